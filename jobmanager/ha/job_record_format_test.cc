#include "jobmanager/ha/job_record_format.h"

#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "jobmanager/ha/testing/example_records.h"

namespace weir::jobmanager {
namespace {

using ::testing::HasSubstr;

proto::JobRecord ValidRecord() {
  proto::JobRecord record = ExampleRecord();
  record.set_job_id("0123456789abcdef");
  record.set_leader_epoch(5);
  return record;
}

TEST(JobRecordFormat, WhatIsWrittenIsRead) {
  proto::SubmittedJob job;
  ASSERT_TRUE(DecodeSubmittedJob(*EncodeSubmittedJob(ExampleSubmittedJob()), &job).ok());
  EXPECT_EQ(job.DebugString(), ExampleSubmittedJob().DebugString());
  proto::JobRecord record;
  ASSERT_TRUE(DecodeJobRecord(*EncodeJobRecord(ValidRecord()), &record).ok());
  EXPECT_EQ(record.DebugString(), ValidRecord().DebugString());
}

TEST(JobRecordFormat, OneIsNotReadAsTheOther) {
  proto::JobRecord record;
  const absl::Status status = DecodeJobRecord(*EncodeSubmittedJob(ExampleSubmittedJob()), &record);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
}

TEST(JobRecordFormat, ANewerVersionIsRefusedAsSuch) {
  std::string bytes = *EncodeJobRecord(ValidRecord());
  bytes[8] = 4;
  proto::JobRecord record;
  const absl::Status status = DecodeJobRecord(bytes, &record);
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("newer version of Weir (format 4"));
}

TEST(JobRecordFormat, WhatContradictsItselfIsNeitherWrittenNorRead) {
  const auto refused = [](const std::string& why, const std::function<void(proto::JobRecord&)>& f) {
    proto::JobRecord record = ValidRecord();
    f(record);
    const absl::Status status = EncodeJobRecord(record).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << why << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(why));
  };
  refused("id has 3 bytes", [](auto& record) { record.set_job_id("123"); });
  refused("no leader epoch", [](auto& record) { record.clear_leader_epoch(); });
  refused("no attempt", [](auto& record) { record.clear_attempt(); });
  refused("task manager", [](auto& record) { record.mutable_workers(0)->set_slots(0); });
  refused("without workers", [](auto& record) { record.clear_workers(); });
  refused("outcome", [](auto& record) { record.set_outcome(proto::RUNNING); });
  refused("checkpoint 8", [](auto& record) { record.set_last_checkpoint_id(7); });
  refused("checkpoint 6", [](auto& record) { record.mutable_checkpoints(1)->set_id(6); });
  refused("unknown kind", [](auto& record) { record.mutable_checkpoints(1)->clear_kind(); });
  refused("absolute", [](auto& record) { record.mutable_checkpoints(0)->set_directory("chk"); });
}

TEST(JobRecordFormat, ASubmissionMustStillPassWhatItPassedWhenItCame) {
  const auto refused = [](const std::function<void(proto::SubmittedJob&)>& f) {
    proto::SubmittedJob job = ExampleSubmittedJob();
    f(job);
    EXPECT_TRUE(absl::IsInvalidArgument(EncodeSubmittedJob(job).status()));
  };
  refused([](auto& job) { job.set_plugin_sha256("../../etc/passwd"); });
  refused([](auto& job) { job.set_plugin_bytes(uint64_t{1} << 40); });
  refused([](auto& job) { job.set_parallelism(0); });
  refused([](auto& job) { job.mutable_graph()->mutable_edges(0)->set_to_node(7); });
  refused([](auto& job) { job.set_graph_hash(std::string(64, '0')); });
}

}  // namespace
}  // namespace weir::jobmanager
