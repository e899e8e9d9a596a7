#pragma once

#include <string>

#include "common/base/id.h"
#include "gtest/gtest.h"
#include "proto/checkpoint.pb.h"
#include "state/store/checkpoint_folder.h"

namespace weir {

inline const JobId kExampleJob(0x0123456789abcdef, 0x1122334455667788);

// Two operators of two subtasks each, without files.
inline proto::CheckpointMetadata ExampleMetadata(uint64_t checkpoint_id) {
  proto::CheckpointMetadata metadata;
  metadata.set_job_id(kExampleJob.bytes().data(), kExampleJob.bytes().size());
  metadata.set_job_name("flights");
  metadata.set_checkpoint_id(checkpoint_id);
  metadata.set_kind(proto::CHECKPOINT);
  metadata.set_triggered_unix_micros(1'767'225'600'000'000);
  metadata.set_completed_unix_micros(1'767'225'600'250'000);
  metadata.set_weir_version("0.1.0");
  metadata.set_max_parallelism(128);
  for (const char* uid : {"source", "count"}) {
    proto::OperatorCheckpoint& op = *metadata.add_operators();
    op.set_uid(uid);
    op.set_operator_id(std::string(15, '\1') + uid[0]);
    op.set_parallelism(2);
    op.add_states()->set_name("state");
    op.mutable_states(0)->set_type("string->int64");
    for (uint32_t i = 0; i < 2; ++i) {
      proto::SubtaskState& subtask = *op.add_subtasks();
      subtask.set_subtask(i);
      subtask.set_watermark(1000 + i);
    }
  }
  return metadata;
}

// Writes a state file for each subtask as a worker does, and the metadata that refers to them.
inline proto::CheckpointMetadata WriteExampleFiles(CheckpointFolder folder, uint64_t checkpoint_id,
                                                   uint32_t attempt = 1) {
  proto::CheckpointMetadata metadata = ExampleMetadata(checkpoint_id);
  for (uint32_t i = 0; i < 2; ++i) {
    auto writer = folder.CreateStateFile(StateFileName(attempt, 0, i));
    EXPECT_TRUE(writer.ok()) << writer.status();
    EXPECT_TRUE((*writer)->BeginSection({"count", "state", "t", StateKind::kKeyed}).ok());
    EXPECT_TRUE((*writer)->BeginKeyGroup(64 * i).ok());
    EXPECT_TRUE((*writer)->Append(std::string(1000 + checkpoint_id, 'x')).ok());
    auto file = (*writer)->Finish();
    EXPECT_TRUE(file.ok()) << file.status();
    *metadata.add_files() = *file;
    for (proto::OperatorCheckpoint& op : *metadata.mutable_operators()) {
      op.mutable_subtasks(static_cast<int>(i))->add_files(i);
    }
  }
  return metadata;
}

}  // namespace weir
