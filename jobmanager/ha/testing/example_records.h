#pragma once

#include <string>

#include "common/base/id.h"
#include "common/hash/sha256.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "proto/job_record.pb.h"
#include "proto/validate/job_graph.h"

namespace weir::jobmanager {

inline constexpr JobId kExampleJob{0x0123456789abcdef, 0xfedcba9876543210};

// A job of a source and a sink.
inline proto::SubmittedJob ExampleSubmittedJob(const JobId& id = kExampleJob) {
  proto::SubmittedJob job;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(R"(
    name: "words"
    graph {
      job_name: "words" max_parallelism: 128 default_parallelism: 2
      nodes { id: 0 uid: "source" operator_id: "0123456789abcdef" kind: SOURCE parallelism: 2
              outputs {} }
      nodes { id: 1 uid: "sink" operator_id: "fedcba9876543210" kind: SINK parallelism: 2 inputs: 1 }
      edges { from_node: 0 to_node: 1 partitioning: HASH }
      vertices { id: 0 vertex_id: "0123456789abcdef" name: "source" parallelism: 2 nodes: 0 }
      vertices { id: 1 vertex_id: "fedcba9876543210" name: "sink" parallelism: 2 nodes: 1 }
    }
    plugin_bytes: 12
    arguments { key: "input" value: "/in" }
    settings { key: "execution.checkpointing.interval" value: "1 s" }
    cluster_settings { key: "execution.checkpointing.dir" value: "/checkpoints" }
    parallelism: 2
    submitted_unix_micros: 1767225600000000
    weir_version: "0.1.0")",
                                                            &job));
  job.set_job_id(std::string(id.bytes().begin(), id.bytes().end()));
  job.set_plugin_sha256(Sha256::Hex("plugin bytes"));
  job.set_graph_hash(GraphHash(job.graph()));
  return job;
}

inline proto::JobRecord ExampleRecord() {
  proto::JobRecord record;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(R"(
    name: "words"
    attempt: 3
    workers { task_manager_id: "task-manager-001" task_manager: "tm-1" address: "h1:1" slots: 1 }
    workers { task_manager_id: "task-manager-002" task_manager: "tm-2" address: "h2:1" slots: 1 }
    tasks_may_run: true
    last_checkpoint_id: 9
    checkpoints { id: 6 kind: CHECKPOINT directory: "/checkpoints/j/chk-6" owned: true }
    checkpoints { id: 8 kind: SAVEPOINT directory: "/savepoints/s" owned: true }
    failure { code: 14 message: "worker 0 is lost" task_manager: "tm-1" time_unix_micros: 7 })",
                                                            &record));
  return record;
}

}  // namespace weir::jobmanager
