// Real processes on hosts of their own (network namespaces), and cables that are pulled out: a
// silent host is noticed, the job goes on without it, and what runs on there as a zombie does no
// harm when it comes back.
#include <stdio.h>

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/chaos/hosts.h"
#include "tests/chaos/oracle.h"
#include "tests/cluster/cluster.h"

namespace weir::chaos {
namespace {

using ::testing::IsEmpty;

class PartitionTest : public ::testing::Test {
 protected:
  void TearDown() override {
    if (HasFailure()) cluster_.PrintLogs();
  }
  std::string out() const { return cluster_.folder() + "/out"; }

  void Start(int64_t count) {
    cluster_.StartJobManager(
        {"--insecure-allow-plaintext", StrCat("jobmanager.bind-host=", Hosts::kOwnAddress),
         StrCat("jobmanager.rpc.address=", Hosts::kOwnAddress),
         "execution.checkpointing.interval=100 ms",
         StrCat("execution.checkpointing.dir=", cluster_.folder(), "/checkpoints"),
         "execution.checkpointing.tolerable-failed-checkpoints=1000000",
         "restart-strategy.exponential-delay.initial-backoff=50 ms",
         "restart-strategy.exponential-delay.max-backoff=200 ms"});
    for (const char* name : {"left", "middle", "right"}) {
      const std::string address = hosts_.Add(name);
      cluster_.StartTaskManager(
          1,
          {"--insecure-allow-plaintext", StrCat("taskmanager.host=", address),
           StrCat("taskmanager.bind-host=", address), "taskmanager.worker.orphan-timeout=20 s"},
          "", {}, hosts_.Launcher(name));
    }
    ASSERT_TRUE(cluster_.AwaitTaskManagers(3));
    const auto job = cluster_.Submit(WEIR_CHAOS_PLUGIN, 2,
                                     {{"out", out()}, {"count", StrCat(count)}, {"rate", "1000"}});
    ASSERT_TRUE(job.ok()) << job.status();
    job_ = *job;
    ASSERT_TRUE(AwaitCheckpointAfter(0));
  }
  uint64_t Newest() { return cluster_.NewestCheckpoint(job_); }
  bool AwaitCheckpointAfter(uint64_t id) {
    return cluster_.AwaitStatus(
        job_, [&](const auto&) { return Newest() > id; }, absl::Seconds(60));
  }
  // The host of one of the job's workers.
  std::string HostOfAWorker() {
    const auto status = cluster_.Status(job_);
    EXPECT_TRUE(status.ok()) << status.status();
    if (!status.ok() || status->workers().empty()) return "left";
    const std::string task_manager = status->workers(0).task_manager();
    return std::vector<std::string>{"left", "middle", "right"}.at(
        static_cast<size_t>(task_manager.back() - '0'));
  }
  void ExpectResults(int64_t count) {
    ASSERT_TRUE(cluster_.AwaitState(job_, proto::FINISHED, absl::Minutes(3)));
    EXPECT_THAT(Verify(out(), {.count = count, .keys = 64, .copies = 2}), IsEmpty());
  }

  Hosts hosts_;
  cluster::Cluster cluster_;
  JobId job_;
};

// RisingWave 14931: an old attempt kept running. I7
TEST_F(PartitionTest, ASilentHostIsReplacedAndItsZombieDoesNoHarm) {
  constexpr int64_t kCount = 20'000;
  Start(kCount);
  for (int round = 0; round < 2; ++round) {
    const std::string host = HostOfAWorker();
    const uint64_t before = Newest();
    const uint32_t attempt = cluster_.Status(job_)->attempt();
    const absl::Time cut = absl::Now();
    hosts_.Cut(host);
    ASSERT_TRUE(cluster_.AwaitStatus(job_, [&](const proto::JobStatusResponse& status) {
      return status.summary().state() != proto::RUNNING || status.attempt() > attempt;
    }));
    const absl::Time noticed = absl::Now();
    ASSERT_TRUE(cluster_.AwaitStatus(job_, [&](const proto::JobStatusResponse& status) {
      return status.summary().state() == proto::RUNNING && status.attempt() > attempt;
    }));
    const absl::Time running = absl::Now();
    ASSERT_TRUE(AwaitCheckpointAfter(before + 1));
    printf("host '%s' silent: noticed after %.1f s, the job runs again after %.1f s\n",
           host.c_str(), absl::ToDoubleSeconds(noticed - cut),
           absl::ToDoubleSeconds(running - cut));
    // The worker there runs on until somebody tells it.
    hosts_.Heal(host);
    ASSERT_TRUE(cluster_.AwaitTaskManagers(3)) << "it is back, and of use";
  }
  ExpectResults(kCount);
}

// The tasks hear nothing of the job manager for a while, and neither knows why.
TEST_F(PartitionTest, AJobManagerThatNobodyReachesForAMomentCostsNothing) {
  constexpr int64_t kCount = 12'000;
  Start(kCount);
  const uint32_t attempt = cluster_.Status(job_)->attempt();
  for (const char* host : {"left", "middle", "right"}) hosts_.Cut(host);
  cluster_.RunFor(absl::Milliseconds(1'200));
  for (const char* host : {"left", "middle", "right"}) hosts_.Heal(host);
  ASSERT_TRUE(AwaitCheckpointAfter(Newest()));
  EXPECT_EQ(cluster_.Status(job_)->attempt(), attempt) << "shorter than the timeout of heartbeats";
  // And for longer than that.
  for (const char* host : {"left", "middle", "right"}) hosts_.Cut(host);
  cluster_.RunFor(absl::Seconds(5));
  for (const char* host : {"left", "middle", "right"}) hosts_.Heal(host);
  ExpectResults(kCount);
}

}  // namespace
}  // namespace weir::chaos
