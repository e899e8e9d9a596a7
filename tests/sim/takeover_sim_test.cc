// A job manager that is killed and started again, on the simulated cluster: jobs go on as if
// nothing had happened, and where they cannot, they begin again at their newest checkpoint.
#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "tests/sim/tally_job.h"

namespace weir::sim {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class TakeoverSim : public ::testing::Test {
 protected:
  void Start(std::uint64_t seed, SimCluster::Options options) {
    options.world.seed = seed;
    cluster_ = std::make_unique<SimCluster>(std::move(options));
    cluster_->StartJobManager();
    for (const char* name : {"tm-1", "tm-2"}) cluster_->StartTaskManager(name, 2);
    ASSERT_TRUE(cluster_->AwaitTaskManagers(2));
    const auto job = cluster_->Submit("tally", DescribeTally, 3);
    ASSERT_TRUE(job.ok()) << job.status();
    job_ = *job;
  }
  void ExpectFinishedInAttempt(std::uint32_t attempt) {
    ASSERT_TRUE(cluster_->AwaitState(job_, proto::FINISHED, absl::Minutes(5))) << LogOf(*cluster_);
    EXPECT_EQ(cluster_->Status(job_)->attempt(), attempt) << LogOf(*cluster_);
    ExpectWholeState(*cluster_, "tally");
  }
  // The ids of the folders of checkpoints, complete or not.
  std::vector<std::uint64_t> Checkpoints(bool complete_only) const {
    std::vector<std::uint64_t> ids;
    const std::string folder = StrCat("/shared/checkpoints/", job_.ToString());
    const auto entries = cluster_->shared_disk().List(folder);
    if (!entries.ok()) return ids;
    for (const FileInfo& entry : *entries) {
      const std::string name = entry.path.substr(entry.path.rfind('/') + 1);
      const bool complete = cluster_->shared_disk().Stat(StrCat(entry.path, "/_metadata")).ok();
      if (name.starts_with("chk-") && (complete || !complete_only)) {
        ids.push_back(std::stoull(name.substr(4)));
      }
    }
    std::sort(ids.begin(), ids.end());
    return ids;
  }

  std::unique_ptr<SimCluster> cluster_;
  JobId job_;
};

TEST_F(TakeoverSim, KilledAtAnyMomentTheTasksRunOnAndNothingIsLostOrRepeated) {
  int kills = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    Start(seed, TallyClusterOptions(seed));
    if (HasFatalFailure()) return;
    SimRandom& random = cluster_->world().random();
    ASSERT_TRUE(cluster_->AwaitState(job_, proto::RUNNING, absl::Seconds(20)));
    const std::vector<std::string> workers = cluster_->Workers();
    const std::uint64_t times = 1 + random.Below(4);
    for (std::uint64_t i = 0; i < times; ++i) {
      cluster_->world().RunFor(absl::Microseconds(random.Between(1'000, 2'500'000)));
      cluster_->KillJobManager();
      ++kills;
      cluster_->world().RunFor(absl::Milliseconds(random.Between(1, 5'000)));
      cluster_->StartJobManager();
    }
    ExpectFinishedInAttempt(1);
    // Each key's line once: no attempt but the first one has ever run.
    for (const auto& [line, times_seen] : Counted(cluster_->Output("tally"))) {
      EXPECT_EQ(times_seen, 1) << line;
    }
    if (HasFailure()) FAIL() << LogOf(*cluster_);
  }
  EXPECT_GT(kills, 80);
}

// Each named step: what the job manager does to a file at it, and whether it is done when it dies.
struct Step {
  std::string_view name;
  std::string_view operation;
  std::string_view path;
};

TEST_F(TakeoverSim, KilledAtEachStepOfACheckpointItLosesNone) {
  const std::vector<Step> steps{
      {"the id is being taken", "rename", "/record-"},
      {"the folder is being made", "mkdir", "/chk-"},
      {"metadata is being written", "append", "/_metadata"},
      {"metadata is being renamed", "rename", "/_metadata"},
      {"metadata was renamed", "sync", "/chk-"},
      {"what is complete is being recorded", "create", "/record-"},
      {"an old one's metadata is being deleted", "delete", "/_metadata"},
      {"an old one's state is being deleted", "delete", ".state"},
      {"an old one's folder is being deleted", "delete", "/chk-"},
  };
  for (const Step& step : steps) {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
      SCOPED_TRACE(StrCat(step.name, ", seed ", seed));
      Start(seed, TallyClusterOptions(seed));
      if (HasFatalFailure()) return;
      ASSERT_TRUE(cluster_->AwaitState(job_, proto::RUNNING, absl::Seconds(20)));
      cluster_->world().RunFor(absl::Milliseconds(500));
      const std::vector<std::uint64_t> before = Checkpoints(true);
      ASSERT_FALSE(before.empty());
      bool reached = false;
      const auto fault = [&](std::string_view operation, const std::string& path) {
        const bool here = operation == step.operation && path.find(step.path) != std::string::npos;
        // Only what the job manager does, and the next thing that it does is not done any more.
        if (!here || reached || path.find("/tm-") != std::string::npos) return absl::OkStatus();
        reached = true;
        return absl::UnavailableError("the process dies here");
      };
      cluster_->shared_disk().set_fault(fault);
      cluster_->world().disk("jobmanager").set_fault(fault);
      ASSERT_TRUE(cluster_->world().RunUntil([&] { return reached; }, absl::Seconds(5)));
      cluster_->KillJobManager();
      cluster_->shared_disk().set_fault(nullptr);
      cluster_->world().disk("jobmanager").set_fault(nullptr);
      cluster_->world().RunFor(absl::Milliseconds(700));
      cluster_->StartJobManager();
      ASSERT_TRUE(cluster_->AwaitState(job_, proto::RUNNING, absl::Seconds(20)))
          << LogOf(*cluster_);
      EXPECT_EQ(cluster_->Status(job_)->attempt(), 1u);
      cluster_->world().RunFor(absl::Milliseconds(600));
      const std::vector<std::uint64_t> after = Checkpoints(true);
      ASSERT_FALSE(after.empty()) << LogOf(*cluster_);
      EXPECT_GT(after.back(), before.back()) << "I5: ids only grow";
      // And it can be restored.
      cluster_->KillWorker(cluster_->Workers().at(0));
      ExpectFinishedInAttempt(2);
      if (HasFailure()) FAIL() << LogOf(*cluster_);
    }
  }
}

TEST_F(TakeoverSim, WhatEndedTasksHeldIsToldToTheNextOneSoThatCheckpointsGoOn) {
  Start(3, TallyClusterOptions(3));
  ASSERT_TRUE(cluster_->AwaitState(job_, proto::RUNNING, absl::Seconds(20)));
  cluster_->world().RunFor(absl::Milliseconds(2'700));
  ASSERT_GT(cluster_->Status(job_)->summary().tasks_finished(), 0u) << "the fast source has ended";
  const std::vector<std::uint64_t> before = Checkpoints(true);
  ASSERT_FALSE(before.empty());
  cluster_->KillJobManager();
  cluster_->world().RunFor(absl::Milliseconds(300));
  cluster_->StartJobManager();
  cluster_->world().RunFor(absl::Seconds(2));
  ASSERT_FALSE(Checkpoints(true).empty());
  EXPECT_GT(Checkpoints(true).back(), before.back() + 2) << LogOf(*cluster_);
  cluster_->KillWorker(cluster_->Workers().at(0));
  ExpectFinishedInAttempt(2);
}

TEST_F(TakeoverSim, KilledWhileTheCheckpointsOfAnEndedJobAreDeletedTheNextOneDeletesTheRest) {
  for (const std::string_view path : {"/_metadata", ".state", "/chk-"}) {
    SCOPED_TRACE(path);
    Start(4, TallyClusterOptions(4));
    if (HasFatalFailure()) return;
    ASSERT_TRUE(cluster_->AwaitState(job_, proto::RUNNING, absl::Seconds(20)));
    cluster_->world().RunFor(absl::Milliseconds(1'000));
    bool ended = false;
    bool reached = false;
    cluster_->shared_disk().set_fault([&](std::string_view operation, const std::string& at) {
      ended = ended || cluster_->Workers().empty();
      if (!ended || reached || operation != "delete" || at.find(path) == std::string::npos) {
        return absl::OkStatus();
      }
      reached = true;
      return absl::UnavailableError("the process dies here");
    });
    ASSERT_TRUE(cluster_->Cancel(job_).ok());
    ASSERT_TRUE(cluster_->world().RunUntil([&] { return reached; }, absl::Seconds(20)));
    cluster_->KillJobManager();
    cluster_->shared_disk().set_fault(nullptr);
    cluster_->StartJobManager();
    ASSERT_TRUE(cluster_->AwaitState(job_, proto::CANCELED, absl::Seconds(20)));
    const std::string folder = StrCat("/shared/checkpoints/", job_.ToString());
    EXPECT_TRUE(cluster_->world().RunUntil(
        [&] { return !cluster_->shared_disk().Stat(folder).ok(); }, absl::Seconds(30)))
        << LogOf(*cluster_);
  }
}

TEST_F(TakeoverSim, JobManagerAndWorkersKilledTogetherTheJobGoesOnFromItsNewestCheckpoint) {
  std::uint64_t restarts = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    Start(seed, TallyClusterOptions(seed));
    if (HasFatalFailure()) return;
    SimRandom& random = cluster_->world().random();
    ASSERT_TRUE(cluster_->AwaitState(job_, proto::RUNNING, absl::Seconds(20)));
    const std::uint64_t times = 1 + random.Below(3);
    for (std::uint64_t i = 0; i < times; ++i) {
      cluster_->world().RunFor(absl::Milliseconds(random.Between(300, 1'500)));
      cluster_->KillJobManager();
      cluster_->world().RunFor(absl::Milliseconds(random.Between(0, 1'000)));
      const std::vector<std::string> workers = cluster_->Workers();
      if (random.Chance(0.3)) {
        const std::string name = StrCat("tm-", 1 + random.Below(2));
        cluster_->KillTaskManager(name);
        cluster_->StartTaskManager(name, 2);
      } else if (!workers.empty()) {
        cluster_->KillWorker(workers[random.Below(workers.size())]);
      }
      cluster_->world().RunFor(absl::Milliseconds(random.Between(0, 3'000)));
      cluster_->StartJobManager();
      // Sometimes the next one dies before it is done with taking the job up.
      cluster_->world().RunFor(absl::Milliseconds(random.Between(10, 3'000)));
    }
    ASSERT_TRUE(cluster_->AwaitState(job_, proto::FINISHED, absl::Minutes(5))) << LogOf(*cluster_);
    ExpectWholeState(*cluster_, "tally");
    restarts += cluster_->Status(job_)->attempt() - 1;
    EXPECT_LT(RecordsOf(*cluster_->Status(job_), "slow"), kTallyCount)
        << "it did not begin at the beginning";
    if (HasFailure()) FAIL() << LogOf(*cluster_);
  }
  EXPECT_GT(restarts, 20u) << "otherwise nothing was shown";
}

TEST_F(TakeoverSim, AwayForLongerThanTheLimitTheWorkersEndAndTheJobBeginsAtItsNewestCheckpoint) {
  SimCluster::Options options = TallyClusterOptions(5);
  options.worker_orphan_timeout = absl::Seconds(3);
  Start(5, options);
  ASSERT_TRUE(cluster_->AwaitState(job_, proto::RUNNING, absl::Seconds(20)));
  cluster_->world().RunFor(absl::Seconds(2));
  cluster_->KillJobManager();
  cluster_->world().RunFor(absl::Seconds(2));
  EXPECT_THAT(cluster_->Workers(), SizeIs(2)) << "not before the limit";
  cluster_->world().RunFor(absl::Seconds(3));
  EXPECT_THAT(cluster_->Workers(), IsEmpty());
  cluster_->world().RunFor(absl::Minutes(10));
  cluster_->StartJobManager();
  ASSERT_TRUE(cluster_->AwaitState(job_, proto::RUNNING, absl::Seconds(20))) << LogOf(*cluster_);
  EXPECT_THAT(LogOf(*cluster_), HasSubstr("was silent for 3s")) << "the reason is told";
  ExpectFinishedInAttempt(2);
  // Two seconds of four at the least had been done before.
  EXPECT_LT(RecordsOf(*cluster_->Status(job_), "slow"), kTallyCount - 800);
}

TEST_F(TakeoverSim, TheDiskOfTheJobManagersHostLosesWhatWasNotSynced) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    Start(seed, TallyClusterOptions(seed));
    if (HasFatalFailure()) return;
    ASSERT_TRUE(cluster_->AwaitState(job_, proto::RUNNING, absl::Seconds(20)));
    for (int i = 0; i < 3; ++i) {
      cluster_->world().RunFor(
          absl::Microseconds(cluster_->world().random().Between(1'000, 900'000)));
      cluster_->KillJobManager();
      cluster_->world().CrashHost("jobmanager", SimDisk::Loss::kSomeUnsynced);
      cluster_->world().RunFor(absl::Milliseconds(100));
      cluster_->StartJobManager();
    }
    ExpectFinishedInAttempt(1);
    if (HasFailure()) FAIL() << LogOf(*cluster_);
  }
}

TEST_F(TakeoverSim, WhileCheckpointsCannotBeReadTheTasksRunOnAndTheyGoOnAfterwards) {
  SimCluster::Options options = TallyClusterOptions(6);
  options.worker_orphan_timeout = absl::Seconds(3);
  Start(6, options);
  ASSERT_TRUE(cluster_->AwaitState(job_, proto::RUNNING, absl::Seconds(20)));
  cluster_->world().RunFor(absl::Seconds(1));
  const std::vector<std::string> workers = cluster_->Workers();
  cluster_->KillJobManager();
  cluster_->shared_disk().set_fault([](std::string_view operation, const std::string& path) {
    const bool metadata = path.find("/_metadata") != std::string::npos;
    return metadata && operation != "stat" ? absl::UnavailableError("not mounted")
                                           : absl::OkStatus();
  });
  cluster_->StartJobManager();
  cluster_->world().RunFor(absl::Seconds(10));
  const auto status = cluster_->Status(job_);
  EXPECT_EQ(status->summary().state(), proto::RECONCILING);
  EXPECT_THAT(status->waiting_for(), HasSubstr("its checkpoints cannot be read: checkpoint"));
  EXPECT_EQ(cluster_->Workers(), workers) << "they hear of their job manager";
  EXPECT_FALSE(Checkpoints(true).empty()) << "Flink 22502: nothing is deleted";
  cluster_->shared_disk().set_fault(nullptr);
  ExpectFinishedInAttempt(1);
}

// A job may have savepoints though its directory for checkpoints could never be made.
TEST_F(TakeoverSim, WithoutADirectoryForCheckpointsItGoesOnWithTheSavepointsThatItHas) {
  SimCluster::Options options = TallyClusterOptions(7);
  options.world.seed = 7;
  cluster_ = std::make_unique<SimCluster>(options);
  cluster_->shared_disk().set_fault([](std::string_view, const std::string& path) {
    return path.starts_with("/shared/checkpoints") ? absl::NotFoundError("no such folder")
                                                   : absl::OkStatus();
  });
  cluster_->StartJobManager();
  cluster_->StartTaskManager("tm-1", 4);
  ASSERT_TRUE(cluster_->AwaitTaskManagers(1));
  const auto job = cluster_->Submit("tally", DescribeTally, 3);
  ASSERT_TRUE(job.ok()) << job.status();
  job_ = *job;
  ASSERT_TRUE(cluster_->AwaitState(job_, proto::RUNNING, absl::Seconds(20)));
  const auto taken = cluster_->TakeSavepoint(
      {.job = job_, .trigger = TriggerId(1, 1), .directory = "/shared/saved"});
  ASSERT_TRUE(taken.ok()) << taken.status();
  ASSERT_EQ(taken->state(), proto::SavepointProgress::COMPLETED) << taken->failure().message();
  cluster_->KillJobManager();
  cluster_->world().RunFor(absl::Seconds(1));
  cluster_->StartJobManager();
  ExpectFinishedInAttempt(1);
}

TEST_F(TakeoverSim, ADamagedCheckpointFailsTheJobAndIsNeitherSkippedNorDeleted) {
  Start(7, TallyClusterOptions(7));
  ASSERT_TRUE(cluster_->AwaitState(job_, proto::RUNNING, absl::Seconds(20)));
  cluster_->world().RunFor(absl::Seconds(1));
  cluster_->KillJobManager();
  const std::vector<std::uint64_t> before = Checkpoints(true);
  ASSERT_FALSE(before.empty());
  SimEnv& vandal = cluster_->world().StartProcess("vandal", "tm-1");
  const std::string path =
      StrCat("/shared/checkpoints/", job_.ToString(), "/chk-", before.back(), "/_metadata");
  std::string bytes = *ReadFile(vandal.files(), path, 1 << 20);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  ASSERT_TRUE(WriteFileAtomically(vandal.files(), path, bytes).ok());
  for (int restart = 0; restart < 2; ++restart) {
    cluster_->StartJobManager();
    ASSERT_TRUE(cluster_->AwaitState(job_, proto::FAILED, absl::Seconds(30))) << LogOf(*cluster_);
    EXPECT_THAT(cluster_->Status(job_)->failure().message(), HasSubstr("it has a wrong digest"));
    cluster_->world().RunFor(absl::Seconds(5));
    EXPECT_EQ(Checkpoints(true), before);
    EXPECT_THAT(cluster_->Workers(), IsEmpty());
    cluster_->KillJobManager();
  }
}

// Flink 26783, 21132: at each moment of a stop with a savepoint. It is stopped, or it goes on.
TEST_F(TakeoverSim, KilledWhileAJobIsStoppedItIsStoppedForEverOrGoesOnAsIfNobodyHadAsked) {
  std::uint64_t stopped = 0;
  std::uint64_t went_on = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    Start(seed, TallyClusterOptions(seed));
    if (HasFatalFailure()) return;
    SimRandom& random = cluster_->world().random();
    ASSERT_TRUE(cluster_->AwaitState(job_, proto::RUNNING, absl::Seconds(20)));
    cluster_->world().RunFor(absl::Milliseconds(500));
    const SavepointRequest request{.job = job_,
                                   .trigger = TriggerId(1, seed),
                                   .directory = "/shared/saved",
                                   .then = SavepointRequest::Then::kStop};
    const auto asked = cluster_->TriggerSavepoint(request);
    ASSERT_TRUE(asked.ok()) << asked.status();
    cluster_->world().RunFor(absl::Microseconds(random.Between(0, 8'000)));
    const auto progress = cluster_->Savepoint(request);
    ASSERT_TRUE(progress.ok()) << progress.status();
    const bool told = progress->state() == proto::SavepointProgress::COMPLETED;
    cluster_->KillJobManager();
    cluster_->world().RunFor(absl::Milliseconds(random.Between(1, 2'000)));
    if (random.Chance(0.5) && !cluster_->Workers().empty()) {
      cluster_->KillWorker(cluster_->Workers().at(0));
    }
    cluster_->StartJobManager();
    ASSERT_TRUE(cluster_->AwaitState(job_, proto::FINISHED, absl::Minutes(5))) << LogOf(*cluster_);
    if (cluster_->Output("tally").empty()) {
      ++stopped;
      bool complete = false;
      const auto saved = cluster_->shared_disk().List("/shared/saved");
      ASSERT_TRUE(saved.ok()) << saved.status();
      for (const FileInfo& entry : *saved) {
        complete |= cluster_->shared_disk().Stat(StrCat(entry.path, "/_metadata")).ok();
      }
      EXPECT_TRUE(complete) << "it ended without its savepoint";
    } else {
      ++went_on;
      EXPECT_FALSE(told) << "somebody was told that it is stopped";
      ExpectWholeState(*cluster_, "tally");
    }
    cluster_->KillJobManager();
    cluster_->StartJobManager();
    cluster_->world().RunFor(absl::Seconds(30));
    EXPECT_EQ(cluster_->Status(job_)->summary().state(), proto::FINISHED);
    if (HasFailure()) FAIL() << LogOf(*cluster_);
  }
  EXPECT_GT(stopped, 5u);
  EXPECT_GT(went_on, 5u);
}

TEST_F(TakeoverSim, KilledWhileAJobIsDrainedWhatWasFiredIsFiredAgainFromTheNewestCheckpoint) {
  std::uint64_t again = 0;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    Start(seed, TallyClusterOptions(seed));
    if (HasFatalFailure()) return;
    ASSERT_TRUE(cluster_->AwaitState(job_, proto::RUNNING, absl::Seconds(20)));
    cluster_->world().RunFor(absl::Milliseconds(500));
    ASSERT_TRUE(cluster_
                    ->TriggerSavepoint({.job = job_,
                                        .trigger = TriggerId(1, seed),
                                        .directory = "/shared/saved",
                                        .then = SavepointRequest::Then::kDrainAndStop})
                    .ok());
    cluster_->world().RunFor(absl::Microseconds(cluster_->world().random().Between(0, 6'000)));
    cluster_->KillJobManager();
    cluster_->world().RunFor(absl::Seconds(1));
    cluster_->StartJobManager();
    ASSERT_TRUE(cluster_->AwaitState(job_, proto::FINISHED, absl::Minutes(5))) << LogOf(*cluster_);
    const auto lines = Counted(cluster_->Output("tally"));
    std::size_t whole = 0;
    for (const auto& [line, times] : ExpectedTally()) whole += lines.contains(line) ? 1 : 0;
    EXPECT_TRUE(whole == 0 || whole == static_cast<std::size_t>(kTallyKeys)) << whole;
    if (whole == 0) {
      EXPECT_EQ(lines.size(), static_cast<std::size_t>(kTallyKeys)) << "drained: all was fired";
    } else if (lines.size() > whole) {
      // Something had been fired too early.
      ++again;
      EXPECT_EQ(cluster_->Status(job_)->attempt(), 2u);
    }
    if (HasFailure()) FAIL() << LogOf(*cluster_);
  }
  EXPECT_GT(again, 0u) << "otherwise nothing was shown";
}

TEST_F(TakeoverSim, TwoRunsOfOneSeedAreTheSame) {
  std::uint64_t hashes[2];
  for (std::uint64_t& hash : hashes) {
    Start(9, TallyClusterOptions(9));
    if (HasFatalFailure()) return;
    ASSERT_TRUE(cluster_->AwaitState(job_, proto::RUNNING, absl::Seconds(20)));
    cluster_->world().RunFor(absl::Milliseconds(700));
    cluster_->KillJobManager();
    cluster_->world().RunFor(absl::Milliseconds(700));
    cluster_->StartJobManager();
    ExpectFinishedInAttempt(1);
    hash = cluster_->world().hash();
  }
  EXPECT_EQ(hashes[0], hashes[1]);
}

}  // namespace
}  // namespace weir::sim
