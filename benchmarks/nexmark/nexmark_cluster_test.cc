// Each query on a cluster of real processes gives the expected result: with state in memory and in
// RocksDB, and when workers are killed with kill -9 in the middle.
#include <signal.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "benchmarks/nexmark/result_files.h"
#include "common/base/strings.h"
#include "gtest/gtest.h"
#include "tests/cluster/cluster.h"

namespace nexmark {
namespace {

using weir::JobId;
using weir::StrCat;
using weir::cluster::Cluster;
namespace proto = weir::proto;

const std::vector<std::string> kQueries = {"q0", "q1", "q2", "q3", "q5", "q7", "q8", "q11", "q17"};
const std::vector<std::string> kWithState = {"q3", "q5", "q7", "q8", "q11", "q17"};

class NexmarkClusterTest : public ::testing::Test {
 protected:
  // Checkpoints are on: results are in files once each.
  void Start(std::uint32_t slots) {
    cluster_.StartJobManager(
        {StrCat("execution.checkpointing.dir=", cluster_.folder(), "/checkpoints"),
         "execution.checkpointing.interval=100 ms",
         "execution.checkpointing.tolerable-failed-checkpoints=100",
         "restart-strategy.exponential-delay.max-backoff=500 ms"});
    for (int i = 0; i < 2; ++i) cluster_.StartTaskManager(slots);
    ASSERT_TRUE(cluster_.AwaitTaskManagers(2));
  }
  void TearDown() override {
    if (HasFailure()) cluster_.PrintLogs();
  }

  struct Run {
    std::string query;
    std::string backend;
    JobId job;
    std::string output;
  };
  // The first 100,000 events at a rate of 1,000; `speed`: how many are made a second.
  Run Submit(const std::string& query, const std::string& backend, std::uint32_t parallelism,
             int speed = 0) {
    Run run{
        query, backend, {}, StrCat(cluster_.folder(), "/", query, "-", backend, "-", parallelism)};
    const auto job = cluster_.Submit(NEXMARK_JOB, parallelism,
                                     {{"query", query},
                                      {"output", run.output},
                                      {"events", "100000"},
                                      {"rate", "1000"},
                                      {"speed", std::to_string(speed)}},
                                     {{"state.backend", backend}});
    EXPECT_TRUE(job.ok()) << job.status();
    if (job.ok()) run.job = *job;
    return run;
  }
  void ExpectResult(const Run& run) {
    SCOPED_TRACE(StrCat(run.query, ", ", run.backend));
    ASSERT_TRUE(cluster_.AwaitState(run.job, proto::FINISHED, absl::Seconds(60)));
    const ResultDigest digest = DigestOfFiles(run.output);
    EXPECT_EQ(digest.rows, expected_.at(run.query).rows);
    EXPECT_EQ(digest.sum, expected_.at(run.query).sum);
  }
  void ExpectResults(std::uint32_t parallelism) {
    for (const std::string& query : kQueries) ExpectResult(Submit(query, "heap", parallelism));
    for (const std::string& query : kWithState) {
      ExpectResult(Submit(query, "rocksdb", parallelism));
    }
  }
  // Kills a worker of each query in the middle, `kills` times.
  void ExpectResultsInSpiteOfKills(const std::vector<std::string>& queries,
                                   const std::string& backend, std::uint32_t parallelism,
                                   std::uint32_t kills) {
    std::vector<Run> runs;
    for (const std::string& query : queries) {
      runs.push_back(Submit(query, backend, parallelism, 30'000));
    }
    for (std::uint32_t kill = 0; kill < kills; ++kill) {
      for (const Run& run : runs) KillWorker(run, kill);
    }
    for (const Run& run : runs) {
      ExpectResult(run);
      const auto status = cluster_.Status(run.job);
      ASSERT_TRUE(status.ok()) << status.status();
      EXPECT_GE(Restarts(*status), kills) << run.query << " was not restarted";
    }
  }

  Cluster cluster_;

 private:
  // As a whole or a region by itself.
  static std::uint32_t Restarts(const proto::JobStatusResponse& status) {
    return status.full_restarts() + status.region_restarts();
  }
  // Once it runs after so many restarts, and has completed a checkpoint since.
  void KillWorker(const Run& run, std::uint32_t restarts) {
    std::uint64_t& before = newest_checkpoint_[run.query];
    ASSERT_TRUE(cluster_.AwaitStatus(run.job, [&](const proto::JobStatusResponse& status) {
      return status.summary().state() == proto::RUNNING && Restarts(status) >= restarts &&
             cluster_.NewestCheckpoint(run.job) > before;
    })) << run.query;
    before = cluster_.NewestCheckpoint(run.job);
    const auto status = cluster_.Status(run.job);
    ASSERT_TRUE(status.ok()) << status.status();
    ASSERT_GT(status->workers_size(), 0);
    const int victim = static_cast<int>(restarts) % status->workers_size();
    ASSERT_EQ(kill(static_cast<pid_t>(status->workers(victim).pid()), SIGKILL), 0);
  }

  const std::map<std::string, ResultDigest> expected_ = ExpectedDigests("seed1-rate1000-100k");
  std::map<std::string, std::uint64_t> newest_checkpoint_;
};

TEST_F(NexmarkClusterTest, GivesTheExpectedResults) {
  Start(2);
  ExpectResults(NEXMARK_SLOW ? 1 : 2);
  if (NEXMARK_SLOW) ExpectResults(4);
}

TEST_F(NexmarkClusterTest, GivesTheExpectedResultsThoughWorkersAreKilled) {
  Start(20);
  ExpectResultsInSpiteOfKills(kQueries, "heap", NEXMARK_SLOW ? 4 : 2, NEXMARK_SLOW ? 2 : 1);
}

TEST_F(NexmarkClusterTest, GivesTheExpectedResultsThoughWorkersWithRocksDbAreKilled) {
  Start(20);
  ExpectResultsInSpiteOfKills(kWithState, "rocksdb", NEXMARK_SLOW ? 4 : 2, NEXMARK_SLOW ? 2 : 1);
}

}  // namespace
}  // namespace nexmark
