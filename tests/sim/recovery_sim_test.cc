// A job with checkpoints on the simulated cluster: whatever is killed, its state ends as if nothing
// had happened.
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "tests/sim/tally_job.h"

namespace weir::sim {
namespace {

using ::testing::HasSubstr;

TEST(RecoverySim, AJobThatNobodyDisturbsTakesCheckpointsAndDeletesThemAtItsEnd) {
  SimCluster cluster(TallyClusterOptions(1));
  cluster.StartJobManager();
  cluster.StartTaskManager("tm-1", 2);
  ASSERT_TRUE(cluster.AwaitTaskManagers(1));
  const auto job = cluster.Submit("tally", DescribeTally, 2);
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_TRUE(cluster.AwaitState(*job, proto::RUNNING, absl::Seconds(10)));
  cluster.world().RunFor(absl::Seconds(2));
  const std::string folder = StrCat("/shared/checkpoints/", job->ToString());
  EXPECT_TRUE(cluster.shared_disk().Stat(folder).ok()) << LogOf(cluster);
  ASSERT_TRUE(cluster.AwaitState(*job, proto::FINISHED, absl::Seconds(60))) << LogOf(cluster);
  ExpectWholeState(cluster, "tally");
  EXPECT_EQ(cluster.Status(*job)->attempt(), 1u);
  cluster.world().RunFor(absl::Seconds(5));
  EXPECT_FALSE(cluster.shared_disk().Stat(folder).ok()) << "nothing of a finished job stays";
}

TEST(RecoverySim, KilledWorkersAndTaskManagersLoseAndRepeatNothing) {
  std::uint64_t attempts = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    SimCluster cluster(TallyClusterOptions(seed));
    SimRandom& random = cluster.world().random();
    cluster.StartJobManager();
    for (const char* name : {"tm-1", "tm-2", "tm-3"}) cluster.StartTaskManager(name, 2);
    ASSERT_TRUE(cluster.AwaitTaskManagers(3));
    const auto job = cluster.Submit("tally", DescribeTally, 3);
    ASSERT_TRUE(job.ok()) << job.status();
    const std::uint64_t kills = 1 + random.Below(5);
    for (std::uint64_t kill = 0; kill < kills; ++kill) {
      cluster.world().RunFor(absl::Milliseconds(random.Between(50, 2500)));
      if (random.Chance(0.25)) {
        const std::string name = StrCat("tm-", 1 + random.Below(3));
        cluster.KillTaskManager(name);
        cluster.world().RunFor(absl::Milliseconds(random.Between(1, 500)));
        cluster.StartTaskManager(name, 2);
        continue;
      }
      const std::vector<std::string> workers = cluster.Workers();
      if (workers.empty()) continue;
      const std::string& worker = workers[random.Below(workers.size())];
      if (random.Chance(0.2)) {
        // A zombie: silent for longer than any timeout, then it goes on.
        cluster.PauseWorker(worker);
        cluster.world().RunFor(absl::Seconds(4));
        cluster.ResumeWorker(worker);
      } else {
        cluster.KillWorker(worker);
      }
    }
    ASSERT_TRUE(cluster.AwaitState(*job, proto::FINISHED, absl::Minutes(5))) << LogOf(cluster);
    ExpectWholeState(cluster, "tally");
    if (HasFailure()) FAIL() << LogOf(cluster);
    attempts += cluster.Status(*job)->attempt();
  }
  EXPECT_GT(attempts, 30u) << "otherwise nothing was shown";
}

// Copies of the state files lie on the hosts of the tasks: what is far away need not be read.
TEST(RecoverySim, ARestartReadsLocalCopiesWhileTheFilesOfTheCheckpointCannotBeRead) {
  SimCluster::Options options = TallyClusterOptions(5);
  options.settings.push_back("state.local-recovery=true");
  SimCluster cluster(options);
  cluster.StartJobManager();
  for (const char* name : {"tm-1", "tm-2", "tm-3"}) cluster.StartTaskManager(name, 1);
  ASSERT_TRUE(cluster.AwaitTaskManagers(3));
  const auto job = cluster.Submit("tally", DescribeTally, 2);
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_TRUE(cluster.AwaitState(*job, proto::RUNNING, absl::Seconds(10)));
  cluster.world().RunFor(absl::Seconds(1));
  int refused = 0;
  cluster.shared_disk().set_fault(
      [&](std::string_view operation, const std::string& path) -> absl::Status {
        if (!path.ends_with(".state") || operation != "read") return absl::OkStatus();
        ++refused;
        return absl::UnavailableError("the store is away");
      });
  for (int i = 0; i < 3; ++i) {
    cluster.KillWorker(cluster.Workers().at(0));
    const auto restarts = static_cast<std::uint64_t>(i) + 2;
    const auto runs = [&] {
      const auto status = cluster.Status(*job);
      return status->attempt() == restarts && status->summary().state() == proto::RUNNING;
    };
    for (int wait = 0; wait < 100 && !runs(); ++wait) {
      cluster.world().RunFor(absl::Milliseconds(20));
    }
    ASSERT_TRUE(runs()) << LogOf(cluster);
    cluster.world().RunFor(absl::Milliseconds(500));
  }
  ASSERT_TRUE(cluster.AwaitState(*job, proto::FINISHED, absl::Seconds(60))) << LogOf(cluster);
  ExpectWholeState(cluster, "tally");
  EXPECT_EQ(refused, 0) << "it did not have to be tried";
  // Nothing of them stays.
  cluster.world().RunFor(absl::Seconds(10));
  for (const char* host : {"tm-1", "tm-2", "tm-3"}) {
    const auto left = cluster.world().disk(host).List("/data/local");
    EXPECT_TRUE(!left.ok() || left->empty()) << host;
  }
}

TEST(RecoverySim, AJobWithoutCheckpointsIsNotStartedAgainUnlessItAsksForIt) {
  SimCluster::Options options = TallyClusterOptions(3);
  options.settings.clear();
  SimCluster cluster(options);
  cluster.StartJobManager();
  cluster.StartTaskManager("tm-1", 2);
  ASSERT_TRUE(cluster.AwaitTaskManagers(1));
  const auto job = cluster.Submit("tally", DescribeTally, 2);
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_TRUE(cluster.AwaitState(*job, proto::RUNNING, absl::Seconds(10)));
  cluster.KillWorker(cluster.Workers().at(0));
  EXPECT_TRUE(cluster.AwaitState(*job, proto::FAILED, absl::Seconds(20)));
}

TEST(RecoverySim, AFullDiskFailsCheckpointsAndNotTheJob) {
  SimCluster cluster(TallyClusterOptions(4));
  cluster.StartJobManager();
  cluster.StartTaskManager("tm-1", 2);
  ASSERT_TRUE(cluster.AwaitTaskManagers(1));
  const auto job = cluster.Submit("tally", DescribeTally, 2);
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_TRUE(cluster.AwaitState(*job, proto::RUNNING, absl::Seconds(10)));
  cluster.world().RunFor(absl::Seconds(1));
  cluster.shared_disk().set_capacity_bytes(1);
  cluster.world().RunFor(absl::Seconds(1));
  cluster.shared_disk().set_capacity_bytes(~std::uint64_t{0});
  cluster.world().RunFor(absl::Seconds(1));
  cluster.KillWorker(cluster.Workers().at(0));
  ASSERT_TRUE(cluster.AwaitState(*job, proto::FINISHED, absl::Seconds(60))) << LogOf(cluster);
  EXPECT_EQ(cluster.Status(*job)->attempt(), 2u);
  EXPECT_THAT(LogOf(cluster), HasSubstr("could not be written"));
  // Three seconds had passed: the fast source had ended, the slow one begun 1500 records before.
  EXPECT_EQ(RecordsOf(*cluster.Status(*job), "fast"), 0u);
  EXPECT_LT(RecordsOf(*cluster.Status(*job), "slow"), kTallyCount - 1300);
  EXPECT_GT(RecordsOf(*cluster.Status(*job), "slow"), kTallyCount - 1700);
  ExpectWholeState(cluster, "tally");
}

TEST(RecoverySim, TwoRunsOfOneSeedAreTheSame) {
  std::uint64_t hashes[2];
  for (std::uint64_t& hash : hashes) {
    SimCluster cluster(TallyClusterOptions(9));
    cluster.StartJobManager();
    cluster.StartTaskManager("tm-1", 2);
    ASSERT_TRUE(cluster.AwaitTaskManagers(1));
    const auto job = cluster.Submit("tally", DescribeTally, 2);
    ASSERT_TRUE(job.ok()) << job.status();
    ASSERT_TRUE(cluster.AwaitState(*job, proto::RUNNING, absl::Seconds(10)));
    cluster.world().RunFor(absl::Milliseconds(700));
    cluster.KillWorker(cluster.Workers().at(0));
    ASSERT_TRUE(cluster.AwaitState(*job, proto::FINISHED, absl::Seconds(60)));
    hash = cluster.world().hash();
  }
  EXPECT_EQ(hashes[0], hashes[1]);
}

}  // namespace
}  // namespace weir::sim
