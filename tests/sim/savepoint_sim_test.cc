// Savepoints on the simulated cluster: taken, stopped with, and interrupted at any moment.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/savepoint_fixture.h"

namespace weir::sim {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

TEST_F(SavepointSim, IsTakenWhileTheJobGoesOn) {
  Start(1);
  const JobId job = Submit();
  cluster_->world().RunFor(absl::Seconds(1));
  const auto taken = cluster_->TakeSavepoint(Request(job));
  ASSERT_TRUE(taken.ok()) << taken.status();
  ASSERT_EQ(taken->state(), proto::SavepointProgress::COMPLETED) << taken->failure().message();
  EXPECT_THAT(taken->directory(), StartsWith("/shared/saved/savepoint-"));
  EXPECT_TRUE(Exists(taken->directory() + "/_metadata"));
  EXPECT_GT(taken->bytes(), 0u);
  EXPECT_EQ(taken->acknowledged(), taken->total());
  ASSERT_TRUE(cluster_->AwaitState(job, proto::FINISHED, absl::Minutes(1))) << Log();
  EXPECT_EQ(Output(), Expected(4000));
  cluster_->world().RunFor(absl::Seconds(5));
  EXPECT_TRUE(Exists(taken->directory() + "/_metadata")) << "it is the user's";
}

TEST_F(SavepointSim, GoesWhereTheSettingsSayUnlessItIsToldWhere) {
  Start(2);
  const JobId job = Submit();
  SavepointRequest request = Request(job);
  request.directory.clear();
  const auto taken = cluster_->TakeSavepoint(request);
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_THAT(taken->directory(), StartsWith("/shared/checkpoints/savepoints/savepoint-"));
  request = Request(job);
  request.directory = "relative";
  EXPECT_THAT(std::string(cluster_->TakeSavepoint(request).status().message()),
              AllOf(HasSubstr("relative"), HasSubstr("absolute path")));
}

TEST_F(SavepointSim, OfAJobWithoutCheckpointsGoesWhereItIsTold) {
  Start(3, {});
  const JobId job = Submit();
  SavepointRequest request = Request(job);
  request.directory.clear();
  EXPECT_THAT(std::string(cluster_->TakeSavepoint(request).status().message()),
              AllOf(HasSubstr("--dir"), HasSubstr("execution.checkpointing.savepoint-dir")));
  const auto taken = cluster_->TakeSavepoint(Request(job));
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ(taken->state(), proto::SavepointProgress::COMPLETED) << taken->failure().message();
  EXPECT_EQ(State(job), proto::RUNNING);
}

TEST_F(SavepointSim, IsRefusedOfAJobThatDoesNotRun) {
  Start(4);
  const JobId job = Submit(/*count=*/500);
  ASSERT_TRUE(cluster_->AwaitState(job, proto::FINISHED, absl::Minutes(1)));
  const auto ended = cluster_->TakeSavepoint(Request(job));
  EXPECT_EQ(ended.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(ended.status().message()), HasSubstr("has ended: it is FINISHED"));
  EXPECT_EQ(cluster_->TakeSavepoint(Request(JobId(7, 7))).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(SavepointSim, IsTheNewestThatTheJobManagerTellsOfTheCheckpoints) {
  Start(9);
  const JobId job = Submit();
  cluster_->world().RunFor(absl::Seconds(1));
  const auto taken = cluster_->TakeSavepoint(Request(job));
  ASSERT_TRUE(taken.ok()) << taken.status();
  const auto all = cluster_->Checkpoints(job);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_GE(all->completed(), 1u);
  const auto told = cluster_->Checkpoints(job, taken->checkpoint_id());
  ASSERT_TRUE(told.ok()) << told.status();
  ASSERT_EQ(told->checkpoints_size(), 1);
  const proto::JobCheckpoint& savepoint = told->checkpoints(0);
  EXPECT_EQ(savepoint.state(), proto::JobCheckpoint::COMPLETED);
  EXPECT_TRUE(savepoint.savepoint());
  EXPECT_FALSE(savepoint.stops_job());
  EXPECT_EQ(savepoint.directory(), taken->directory());
  EXPECT_EQ(savepoint.full_bytes(), taken->bytes());
  EXPECT_GT(savepoint.end_to_end_nanos(), 0);
  EXPECT_EQ(savepoint.acknowledged(), savepoint.total());
  EXPECT_EQ(static_cast<uint32_t>(savepoint.subtasks_size()), savepoint.total());
  uint64_t bytes = 0;
  for (const auto& subtask : savepoint.subtasks()) {
    bytes += subtask.full_bytes();
    EXPECT_GT(subtask.acknowledged_nanos(), 0);
    EXPECT_LE(subtask.acknowledged_nanos(), savepoint.end_to_end_nanos());
    EXPECT_LT(subtask.vertex(), static_cast<uint32_t>(told->vertices_size()));
  }
  EXPECT_EQ(bytes, savepoint.full_bytes());

  EXPECT_EQ(cluster_->Checkpoints(job, 999'999).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(cluster_->Checkpoints(JobId(7, 7)).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(SavepointSim, OnAFullDiskFailsWithTheReasonAndNotTheJob) {
  Start(5);
  const JobId job = Submit();
  cluster_->world().RunFor(absl::Milliseconds(500));
  cluster_->shared_disk().set_capacity_bytes(1);
  const auto failed = cluster_->TakeSavepoint(Request(job));
  ASSERT_TRUE(failed.ok()) << failed.status();
  EXPECT_EQ(failed->state(), proto::SavepointProgress::FAILED);
  EXPECT_THAT(failed->failure().message(), HasSubstr("make room there"));
  cluster_->shared_disk().set_capacity_bytes(~std::uint64_t{0});
  ASSERT_TRUE(cluster_->AwaitState(job, proto::FINISHED, absl::Minutes(1))) << Log();
  EXPECT_EQ(cluster_->Status(job)->attempt(), 1u);
}

// Rule 47
TEST_F(SavepointSim, StopsTheJobWithoutFiringItsTimers) {
  Start(6);
  const JobId job = Submit();
  cluster_->world().RunFor(absl::Seconds(1));
  const auto taken = cluster_->TakeSavepoint(Request(job, Then::kStop));
  ASSERT_TRUE(taken.ok()) << taken.status();
  ASSERT_EQ(taken->state(), proto::SavepointProgress::COMPLETED) << taken->failure().message();
  ASSERT_TRUE(cluster_->AwaitState(job, proto::FINISHED, absl::Seconds(10))) << Log();
  EXPECT_THAT(Output(), IsEmpty());
  EXPECT_EQ(cluster_->Status(job)->attempt(), 1u);
}

// Rule 27
TEST_F(SavepointSim, DrainsTheJobWithAllItsTimers) {
  Start(7);
  const JobId job = Submit();
  cluster_->world().RunFor(absl::Seconds(1));
  const auto taken = cluster_->TakeSavepoint(Request(job, Then::kDrainAndStop));
  ASSERT_TRUE(taken.ok()) << taken.status();
  ASSERT_EQ(taken->state(), proto::SavepointProgress::COMPLETED) << taken->failure().message();
  ASSERT_TRUE(cluster_->AwaitState(job, proto::FINISHED, absl::Seconds(10))) << Log();
  std::int64_t records = 0;
  for (const std::string& line : Output()) records += std::stoll(line.substr(line.find(' ') + 1));
  EXPECT_GT(records, 500);
  EXPECT_LT(records, 4000);
  EXPECT_EQ(Output(), Expected(records)) << "each record once, as far as it had come";
}

TEST_F(SavepointSim, ThatCannotStopTheJobLetsItGoOn) {
  Start(8);
  const JobId job = Submit();
  cluster_->world().RunFor(absl::Milliseconds(500));
  cluster_->shared_disk().set_capacity_bytes(1);
  const auto failed = cluster_->TakeSavepoint(Request(job, Then::kStop));
  ASSERT_TRUE(failed.ok()) << failed.status();
  EXPECT_EQ(failed->state(), proto::SavepointProgress::FAILED);
  cluster_->shared_disk().set_capacity_bytes(~std::uint64_t{0});
  ASSERT_TRUE(cluster_->AwaitState(job, proto::FINISHED, absl::Minutes(1))) << Log();
  EXPECT_EQ(cluster_->Status(job)->attempt(), 1u);
  EXPECT_EQ(Output(), Expected(4000));
}

// The tasks have told all that they hold and the workers are gone, but it is not known whether the
// savepoint is there: until it is, the job is neither stopped nor started again.
TEST_F(SavepointSim, DecidesWhenItsWriteIsKnownWhetherAJobWhoseWorkersAreGoneWasStopped) {
  for (const bool written : {true, false}) {
    SCOPED_TRACE(written);
    Start(9);
    const JobId job = Submit();
    cluster_->world().RunFor(absl::Milliseconds(500));
    const auto fault = std::make_shared<absl::Status>(absl::UnavailableError("the store is away"));
    cluster_->shared_disk().set_fault([fault](std::string_view operation, const std::string& path) {
      const bool writes = operation == "create" && path.find("/saved/") != path.npos &&
                          path.find("_metadata") != path.npos;
      return writes ? *fault : absl::OkStatus();
    });
    const SavepointRequest request = Request(job, Then::kStop);
    ASSERT_TRUE(cluster_->TriggerSavepoint(request).ok());
    cluster_->world().RunFor(absl::Milliseconds(100));
    ASSERT_EQ(State(job), proto::RUNNING);
    cluster_->KillWorker(cluster_->Workers().at(0));
    cluster_->world().RunFor(absl::Seconds(90));  // Longer than workers are waited for.
    EXPECT_EQ(State(job), proto::FAILING) << Log();
    *fault = written ? absl::OkStatus() : absl::DataLossError("refused");
    const auto over = cluster_->TakeSavepoint(request);
    ASSERT_TRUE(over.ok()) << over.status();
    EXPECT_EQ(over->state(),
              written ? proto::SavepointProgress::COMPLETED : proto::SavepointProgress::FAILED);
    ASSERT_TRUE(cluster_->AwaitState(job, proto::FINISHED, absl::Minutes(1))) << Log();
    EXPECT_EQ(cluster_->Status(job)->attempt(), written ? 1u : 2u);
    EXPECT_EQ(Output(), written ? std::set<std::string>() : Expected(4000));
  }
}

// Flink 26783, 21132: crash inside stop-with-savepoint. Killed at any moment of it, the job either
// has been stopped, once, with a savepoint that is there, or goes on as if nobody had asked.
TEST_F(SavepointSim, InterruptedWhileItStopsTheJobDoesSoOrDoesNot) {
  int stopped = 0;
  int went_on = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    Start(seed);
    SimRandom& random = cluster_->world().random();
    const JobId job = Submit();
    cluster_->world().RunFor(absl::Milliseconds(random.Between(300, 1500)));
    const SavepointRequest request =
        Request(job, random.Chance(0.3) ? Then::kDrainAndStop : Then::kStop);
    ASSERT_TRUE(cluster_->TriggerSavepoint(request).ok());
    cluster_->world().RunFor(absl::Microseconds(random.Between(0, 2'500)));
    const std::vector<std::string> workers = cluster_->Workers();
    if (!workers.empty()) cluster_->KillWorker(workers[random.Below(workers.size())]);
    const auto over = cluster_->TakeSavepoint(request);
    ASSERT_TRUE(over.ok()) << over.status();
    ASSERT_TRUE(cluster_->AwaitState(job, proto::FINISHED, absl::Minutes(1))) << Log();
    const uint32_t attempt = cluster_->Status(job)->attempt();
    if (over->state() == proto::SavepointProgress::COMPLETED) {
      ++stopped;
      EXPECT_EQ(attempt, 1u) << "it ran again\n" << Log();
      EXPECT_TRUE(Exists(over->directory() + "/_metadata"));
      cluster_->world().RunFor(absl::Seconds(10));
      EXPECT_EQ(State(job), proto::FINISHED);
    } else {
      ++went_on;
      EXPECT_EQ(attempt, 2u) << over->failure().message();
      for (const std::string& line : Expected(4000)) EXPECT_TRUE(Output().contains(line)) << line;
    }
    if (HasFailure()) FAIL() << Log();
  }
  EXPECT_GT(stopped, 5);
  EXPECT_GT(went_on, 5) << stopped;
}

}  // namespace
}  // namespace weir::sim
