#include "taskmanager/worker/worker.h"

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "taskmanager/worker/worker_fixture_internal.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_F(WorkerTest, RegistersWithItsAddressesAndItsGraphsHash) {
  StartAndRegister();
  ASSERT_THAT(registrations_, SizeIs(1));
  EXPECT_EQ(registrations_[0].graph_hash(), GraphHash(Graph()));
  EXPECT_EQ(registrations_[0].attempt(), 3u);
  EXPECT_THAT(registrations_[0].control_address(), HasSubstr("host:"));
  EXPECT_THAT(registrations_[0].exchange_address(), HasSubstr("host:"));
}

TEST_F(WorkerTest, RunsTheJobAndTellsEachChangeAtOnce) {
  spec_.arguments = {{"count", "5"}};
  StartAndRegister();
  ASSERT_TRUE(Deploy().ok());
  ASSERT_TRUE(StartTasks().ok());
  // Five numbers take half a second, a heartbeat's interval is two.
  EXPECT_TRUE(Until([this] { return AllTasksAre(proto::TASK_RUNNING); }, absl::Milliseconds(100)));
  EXPECT_TRUE(Until([this] { return AllTasksAre(proto::TASK_FINISHED); }, absl::Seconds(1)));
  world_.RunFor(absl::Seconds(30));
  EXPECT_FALSE(end_.has_value()) << "that its tasks are done is no reason to end";
}

TEST_F(WorkerTest, RepeatedOrdersAreAnsweredAsTheFirstWasAndChangeNothing) {
  const auto records = [this] {
    uint64_t sum = 0;
    for (const auto& task : heartbeats_.back().tasks()) {
      for (const auto& metrics : task.operators()) sum += metrics.records_out();
    }
    return sum;
  };
  StartAndRegister();
  ASSERT_TRUE(Deploy().ok());
  ASSERT_TRUE(Deploy().ok());
  ASSERT_TRUE(StartTasks().ok());
  ASSERT_TRUE(Until([&] { return AllTasksAre(proto::TASK_RUNNING) && records() > 100; }));
  const uint64_t before = records();
  ASSERT_TRUE(Deploy().ok());
  ASSERT_TRUE(StartTasks().ok());
  const size_t heartbeats = heartbeats_.size();
  ASSERT_TRUE(Until([&] { return heartbeats_.size() == heartbeats + 2; }));
  EXPECT_TRUE(AllTasksAre(proto::TASK_RUNNING));
  EXPECT_GT(records(), before);
}

TEST_F(WorkerTest, RefusesOrdersOfAnOldLeaderAndOfAnotherAttempt) {
  StartAndRegister();
  EXPECT_EQ(Deploy(4).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Deploy(5, 2).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(StartTasks().code(), absl::StatusCode::kFailedPrecondition) << "nothing is deployed";
  EXPECT_TRUE(Deploy(6).ok());
  EXPECT_EQ(StartTasks(5).code(), absl::StatusCode::kFailedPrecondition)
      << "a newer leader has spoken";
}

TEST_F(WorkerTest, CancelsItsTasksWhenItIsTold) {
  StartAndRegister();
  ASSERT_TRUE(Deploy().ok());
  ASSERT_TRUE(StartTasks().ok());
  ASSERT_TRUE(Until([this] { return AllTasksAre(proto::TASK_RUNNING); }));
  ASSERT_TRUE(CancelTasks().ok());
  EXPECT_TRUE(Until([this] { return AllTasksAre(proto::TASK_CANCELED); }, absl::Milliseconds(500)));
  EXPECT_FALSE(end_.has_value());
}

TEST_F(WorkerTest, ACancelBeforeTheDeploymentWins) {
  StartAndRegister();
  ASSERT_TRUE(CancelTasks().ok());
  EXPECT_EQ(Deploy().code(), absl::StatusCode::kCancelled);
}

TEST_F(WorkerTest, AFailureNamesOperatorAndTaskManagerAndTheMemoryLimit) {
  spec_.arguments = {{"fail-at", "2"}};
  spec_.memory_limit_bytes = 300 << 20;
  StartAndRegister();
  ASSERT_TRUE(Deploy().ok());
  ASSERT_TRUE(StartTasks().ok());
  ASSERT_TRUE(Until([this] {
    const auto& tasks = heartbeats_.back().tasks();
    return !tasks.empty() && tasks[0].state() == proto::TASK_FAILED;
  }));
  const proto::Failure& failure = heartbeats_.back().tasks(0).failure();
  EXPECT_EQ(failure.operator_uid(), "check");
  EXPECT_EQ(failure.task_manager(), "tm-1");
  EXPECT_THAT(failure.message(), AllOf(HasSubstr("bad_alloc"), HasSubstr("limited to 300 MiB")));
}

TEST_F(WorkerTest, EndsWhenAHeartbeatIsRefused) {
  StartAndRegister();
  heartbeat_status_ = absl::NotFoundError("no such job");
  ASSERT_TRUE(Until([this] { return end_.has_value(); }, 2 * kInterval));
  EXPECT_EQ(end_->code, WorkerExitCode::kFenced);
  EXPECT_THAT(end_->report.message, HasSubstr("no such job"));
}

TEST_F(WorkerTest, EndsWhenItsRegistrationIsRefused) {
  register_status_ = absl::FailedPreconditionError("attempt 4 runs");
  Start();
  ASSERT_TRUE(Until([this] { return end_.has_value(); }));
  EXPECT_EQ(end_->code, WorkerExitCode::kFenced);
  EXPECT_THAT(end_->report.message, HasSubstr("attempt 4 runs"));
}

TEST_F(WorkerTest, KeepsTryingToRegisterUntilTheOrphanTimeout) {
  register_status_ = absl::UnavailableError("starting");
  Start();
  ASSERT_TRUE(Until([this] { return registrations_.size() > 3; }));
  ASSERT_TRUE(Until([this] { return end_.has_value(); }, spec_.orphan_timeout));
  EXPECT_EQ(end_->code, WorkerExitCode::kOrphaned);
}

TEST_F(WorkerTest, EndsWhenTheJobManagerIsSilentForTheOrphanTimeout) {
  StartAndRegister();
  ASSERT_TRUE(Deploy().ok());
  world_.CutLink("jobmanager", "host");
  world_.RunFor(spec_.orphan_timeout - kInterval - absl::Milliseconds(100));
  EXPECT_FALSE(end_.has_value());
  world_.RunFor(kInterval + absl::Milliseconds(200));
  ASSERT_TRUE(end_.has_value());
  EXPECT_EQ(end_->code, WorkerExitCode::kOrphaned);
  EXPECT_THAT(end_->report.message, HasSubstr("taskmanager.worker.orphan-timeout"));
}

TEST_F(WorkerTest, AnswersOfAnOldLeaderAreNoSignOfLife) {
  StartAndRegister();
  ASSERT_TRUE(Deploy(6).ok());
  heartbeat_epoch_ = 5;
  ASSERT_TRUE(Until([this] { return end_.has_value(); }, spec_.orphan_timeout + kInterval));
  EXPECT_EQ(end_->code, WorkerExitCode::kOrphaned);
}

TEST_F(WorkerTest, APluginThatCannotBeLoadedIsReportedBeforeAnythingListens) {
  loader_.status = absl::InvalidArgumentError("built for another version");
  Start();
  ASSERT_TRUE(Until([this] { return end_.has_value(); }));
  EXPECT_EQ(end_->code, WorkerExitCode::kStartFailed);
  EXPECT_THAT(end_->report.message, HasSubstr("built for another version"));
  EXPECT_THAT(registrations_, IsEmpty());
}

TEST_F(WorkerTest, AnotherGraphThanTheSubmittedOneIsReported) {
  spec_.graph_hash = std::string(64, 'a');
  Start();
  ASSERT_TRUE(Until([this] { return end_.has_value(); }));
  EXPECT_EQ(end_->code, WorkerExitCode::kStartFailed);
  EXPECT_THAT(end_->report.message, HasSubstr("must depend on its arguments only"));
}

TEST_F(WorkerTest, AnUnknownSettingOfTheJobIsReported) {
  spec_.settings = {{"execution.bufer-timeout", "1 s"}};
  Start();
  ASSERT_TRUE(Until([this] { return end_.has_value(); }));
  EXPECT_EQ(end_->code, WorkerExitCode::kStartFailed);
  EXPECT_THAT(end_->report.message, HasSubstr("execution.buffer-timeout"));
}

TEST_F(WorkerTest, StopsOnceItsTasksAreDone) {
  StartAndRegister();
  ASSERT_TRUE(Deploy().ok());
  ASSERT_TRUE(StartTasks().ok());
  ASSERT_TRUE(Until([this] { return AllTasksAre(proto::TASK_RUNNING); }));
  worker_->Stop(absl::Seconds(2));
  ASSERT_TRUE(Until([this] { return end_.has_value(); }, absl::Seconds(1)));
  EXPECT_EQ(end_->code, WorkerExitCode::kStopped);
  const size_t heartbeats = heartbeats_.size();
  world_.RunFor(absl::Seconds(30));
  EXPECT_LE(heartbeats_.size(), heartbeats + 1) << "it says nothing more";
}

}  // namespace
}  // namespace weir
