#include "gmock/gmock.h"
#include "proto/checkpoint.pb.h"
#include "taskmanager/worker/worker_fixture_internal.h"

namespace weir {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kDirectory[] = "/checkpoints/job";

// The job of the fixture, ten numbers a second, with checkpoints.
class WorkerCheckpointTest : public WorkerTest {
 protected:
  WorkerCheckpointTest() { EXPECT_TRUE(host_.files().CreateDirectories(Folder(1)).ok()); }

  static std::string Folder(uint64_t id) {
    return std::string(kDirectory) + "/chk-" + std::to_string(id);
  }
  void Run(proto::DeployRequest deploy = {}) {
    StartAndRegister();
    deploy.set_checkpoint_directory(kDirectory);
    ASSERT_TRUE(Deploy(5, 3, std::move(deploy)).ok());
    ASSERT_TRUE(StartTasks().ok());
    ASSERT_TRUE(Until([this] { return AllTasksAre(proto::TASK_RUNNING); }));
  }
  absl::Status Trigger(uint64_t id) {
    proto::TriggerCheckpointRequest request;
    request.set_checkpoint_id(id);
    request.set_triggered_unix_micros(absl::ToUnixMicros(host_.clock().Now()));
    return Order<proto::TriggerCheckpointResponse>("TriggerCheckpoint", request);
  }
  absl::Status Notify(uint64_t completed, uint64_t aborted) {
    proto::NotifyCheckpointRequest request;
    request.set_completed_checkpoint(completed);
    request.set_aborted_checkpoint(aborted);
    return Order<proto::NotifyCheckpointResponse>("NotifyCheckpoint", request);
  }
  // What restores the acknowledged snapshot of the job's only task.
  proto::JobRestore RestoreOf(const proto::AcknowledgeCheckpointRequest& acknowledged) {
    const proto::TaskSnapshot& snapshot = acknowledged.snapshot();
    proto::JobRestore restore;
    restore.set_checkpoint_id(1);
    restore.set_directory(Folder(1));
    *restore.mutable_files() = snapshot.files();
    const proto::JobGraph graph = Graph();
    for (const auto& of_operator : snapshot.operators()) {
      proto::OperatorRestore& to = *restore.add_operators();
      to.set_node(of_operator.node());
      to.mutable_checkpoint()->set_uid(graph.nodes(static_cast<int>(of_operator.node())).uid());
      to.mutable_checkpoint()->set_parallelism(1);
      *to.mutable_checkpoint()->mutable_states() = of_operator.states();
      proto::SubtaskState& state = *to.mutable_checkpoint()->add_subtasks();
      *state.mutable_files() = of_operator.files();
      state.set_watermark(of_operator.watermark());
    }
    return restore;
  }
  uint64_t RecordsOfSource() {
    uint64_t records = 0;
    for (const auto& task : heartbeats_.back().tasks()) {
      for (const auto& metrics : task.operators()) {
        if (metrics.node() == 0) records = metrics.records_out();
      }
    }
    return records;
  }
};

TEST_F(WorkerCheckpointTest, TellsWhatItsTasksHaveAtABarrierOnceThatIsDurable) {
  Run();
  ASSERT_TRUE(Trigger(1).ok());
  ASSERT_TRUE(Until([this] { return !acknowledgements_.empty(); }, absl::Seconds(5)));
  const proto::AcknowledgeCheckpointRequest& told = acknowledgements_[0];
  EXPECT_EQ(told.checkpoint_id(), 1u);
  EXPECT_EQ(told.attempt(), 3u);
  EXPECT_EQ(told.leader_epoch(), 5u);
  EXPECT_FALSE(told.has_declined());
  EXPECT_FALSE(told.snapshot().final());
  ASSERT_THAT(told.snapshot().files(), SizeIs(1));
  EXPECT_EQ(told.snapshot().files(0).name(), "3-0-0.state");
  const auto file = host_.files().Stat(Folder(1) + "/3-0-0.state");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->size_bytes, told.snapshot().files(0).bytes());
  // The same order again changes nothing.
  ASSERT_TRUE(Trigger(1).ok());
  world_.RunFor(absl::Seconds(5));
  EXPECT_THAT(acknowledgements_, SizeIs(1));
}

TEST_F(WorkerCheckpointTest, StartsFromWhereTheCheckpointWas) {
  spec_.arguments = {{"count", "50"}};
  Run();
  world_.RunFor(absl::Seconds(2));
  ASSERT_TRUE(Trigger(1).ok());
  ASSERT_TRUE(Until([this] { return AllTasksAre(proto::TASK_FINISHED); }));
  const uint64_t all = RecordsOfSource();
  EXPECT_EQ(all, 50u);
  const proto::JobRestore restore = RestoreOf(acknowledgements_.at(0));

  // Another attempt, as another process.
  worker_.reset();
  heartbeats_.clear();
  spec_.key.attempt = 3;
  proto::DeployRequest deploy;
  *deploy.mutable_restore() = restore;
  Run(std::move(deploy));
  ASSERT_TRUE(Until([this] { return AllTasksAre(proto::TASK_FINISHED); }));
  EXPECT_LE(RecordsOfSource(), 31u);
  EXPECT_GE(RecordsOfSource(), 28u);
}

TEST_F(WorkerCheckpointTest, ATaskThatHasFinishedTellsItOnce) {
  spec_.arguments = {{"count", "5"}};
  Run();
  ASSERT_TRUE(Until([this] { return AllTasksAre(proto::TASK_FINISHED); }));
  ASSERT_TRUE(Until([this] { return !acknowledgements_.empty(); }, absl::Seconds(5)));
  EXPECT_EQ(acknowledgements_[0].checkpoint_id(), 0u);
  EXPECT_TRUE(acknowledgements_[0].snapshot().final());
  EXPECT_EQ(acknowledgements_[0].snapshot().files(0).name(), "shared/3-0-0.state");
  EXPECT_TRUE(host_.files().Stat(std::string(kDirectory) + "/shared/3-0-0.state").ok());
}

// Flink 21080, 40482: one of the two ways may fail.
TEST_F(WorkerCheckpointTest, SinksCommitWhenANoticeOrAHeartbeatSaysThatTheCheckpointIsComplete) {
  connectors_.commits = std::make_shared<std::atomic<int>>(0);
  proto::DeployRequest deploy;
  deploy.set_commits_with_checkpoints(true);
  Run(std::move(deploy));
  ASSERT_TRUE(Trigger(1).ok());
  ASSERT_TRUE(Until([this] { return !acknowledgements_.empty(); }, absl::Seconds(5)));
  world_.RunFor(absl::Seconds(5));
  EXPECT_EQ(*connectors_.commits, 0) << "acknowledged is not complete";
  ASSERT_TRUE(Notify(1, 0).ok());
  EXPECT_TRUE(Until([this] { return *connectors_.commits == 1; }, absl::Seconds(5)));
  ASSERT_TRUE(host_.files().CreateDirectories(Folder(2)).ok());
  ASSERT_TRUE(Trigger(2).ok());
  ASSERT_TRUE(Until([this] { return acknowledgements_.size() >= 2; }, absl::Seconds(5)));
  heartbeat_completed_ = 2;
  EXPECT_TRUE(Until([this] { return *connectors_.commits == 2; }, absl::Seconds(30)));
  // Told again, and of an older one: nothing is committed twice.
  ASSERT_TRUE(Notify(1, 0).ok());
  world_.RunFor(absl::Seconds(30));
  EXPECT_EQ(*connectors_.commits, 2);
}

TEST_F(WorkerCheckpointTest, ATaskThatCommitsWithCheckpointsIsFinishedWhenItHas) {  // Rule 46, I17
  connectors_.commits = std::make_shared<std::atomic<int>>(0);
  spec_.arguments = {{"count", "5"}};
  proto::DeployRequest deploy;
  deploy.set_commits_with_checkpoints(true);
  Run(std::move(deploy));
  ASSERT_TRUE(Until([this] { return !acknowledgements_.empty(); }, absl::Seconds(5)));
  EXPECT_TRUE(acknowledgements_[0].snapshot().final());
  world_.RunFor(absl::Seconds(30));
  EXPECT_TRUE(AllTasksAre(proto::TASK_RUNNING));
  heartbeat_completed_ = 1;
  ASSERT_TRUE(Until([this] { return AllTasksAre(proto::TASK_FINISHED); }));
  EXPECT_EQ(*connectors_.commits, 1);
}

TEST_F(WorkerCheckpointTest, WhatCannotBeWrittenIsDeclinedWithTheReasonAndTheJobGoesOn) {
  Run();
  ASSERT_TRUE(Trigger(2).ok());  // Its folder was not made.
  ASSERT_TRUE(Until([this] { return !acknowledgements_.empty(); }, absl::Seconds(5)));
  ASSERT_TRUE(acknowledgements_[0].has_declined());
  EXPECT_THAT(acknowledgements_[0].declined().message(), HasSubstr(Folder(2)));
  EXPECT_EQ(acknowledgements_[0].declined().task_manager(), "tm-1");
  const uint64_t before = RecordsOfSource();
  EXPECT_TRUE(Until([&] { return RecordsOfSource() > before; }));
  EXPECT_TRUE(AllTasksAre(proto::TASK_RUNNING));
}

TEST_F(WorkerCheckpointTest, AnAcknowledgementIsRepeatedUntilItIsAnsweredOrNotWaitedForAnyMore) {
  acknowledge_status_ = absl::UnavailableError("not now");
  Run();
  ASSERT_TRUE(Trigger(1).ok());
  ASSERT_TRUE(Until([this] { return acknowledgements_.size() >= 4; }, absl::Seconds(30)));
  ASSERT_TRUE(Notify(0, 1).ok());
  world_.RunFor(absl::Seconds(2));
  const size_t so_far = acknowledgements_.size();
  world_.RunFor(absl::Seconds(30));
  EXPECT_EQ(acknowledgements_.size(), so_far);
}

TEST_F(WorkerCheckpointTest, AnAbortedCheckpointIsNoReasonToForgetAnOlderOne) {
  acknowledge_status_ = absl::UnavailableError("not now");
  Run();
  ASSERT_TRUE(Trigger(1).ok());
  ASSERT_TRUE(Trigger(2).ok());
  ASSERT_TRUE(Until([this] { return acknowledgements_.size() >= 2; }, absl::Seconds(5)));
  ASSERT_TRUE(Notify(0, 2).ok());
  world_.RunFor(absl::Seconds(2));
  const size_t so_far = acknowledgements_.size();
  ASSERT_TRUE(Until([&] { return acknowledgements_.size() >= so_far + 2; }, absl::Seconds(30)));
  for (size_t i = so_far; i < acknowledgements_.size(); ++i) {
    EXPECT_EQ(acknowledgements_[i].checkpoint_id(), 1u);
  }
}

TEST_F(WorkerCheckpointTest, ARefusedAcknowledgementEndsTheWorker) {  // failures: zombies
  acknowledge_status_ = absl::FailedPreconditionError("attempt 3 is over");
  Run();
  ASSERT_TRUE(Trigger(1).ok());
  ASSERT_TRUE(Until([this] { return end_.has_value(); }, absl::Seconds(5)));
  EXPECT_EQ(end_->code, WorkerExitCode::kFenced);
  EXPECT_THAT(end_->report.message, HasSubstr("attempt 3 is over"));
}

TEST_F(WorkerCheckpointTest, ADamagedCheckpointIsRefusedWithItsFile) {
  Run();
  ASSERT_TRUE(Trigger(1).ok());
  ASSERT_TRUE(Until([this] { return !acknowledgements_.empty(); }));
  proto::DeployRequest deploy;
  *deploy.mutable_restore() = RestoreOf(acknowledgements_[0]);
  deploy.mutable_restore()->mutable_files(0)->set_bytes(7);
  worker_.reset();
  heartbeats_.clear();
  StartAndRegister();
  const absl::Status status = Deploy(5, 3, std::move(deploy));
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("restoring checkpoint 1"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("3-0-0.state"));
}

}  // namespace
}  // namespace weir
