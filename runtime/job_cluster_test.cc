// A job spread over two or three workers with the real exchange over the simulated network: random
// graphs with known results, cancel at any moment, the loss of a worker.
#include "gmock/gmock.h"
#include "runtime/testing/sim_cluster_internal.h"

namespace weir {
namespace {

using ::testing::HasSubstr;
using namespace weir::testing;  // NOLINT: the jobs of this test

TEST(JobCluster, RandomJobsGiveWhatAPlainFoldGives) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Results results;
    SimCluster cluster(seed, 2 + static_cast<uint32_t>(seed % 2));
    RandomJob random(cluster.world().random(), cluster.env(0), results);
    cluster.Deploy(random.job.definition);
    cluster.Start();
    ASSERT_TRUE(cluster.RunToEnd()) << "hangs";
    ASSERT_EQ(cluster.Failures(), "");
    std::map<int64_t, int64_t> sums = results.SumByKey();
    ASSERT_EQ(sums, random.expected);
  }
}

TEST(JobCluster, CanBeCancelledAtAnyMoment) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Results results;
    SimCluster cluster(seed, 2);
    RandomJob random(cluster.world().random(), cluster.env(0), results);
    cluster.Deploy(random.job.definition);
    if (seed % 5 != 0) cluster.Start();
    for (uint64_t i = 0; i < seed * 29; ++i) cluster.world().Step();
    if (seed % 3 == 0) continue;  // destroyed in flight
    cluster.Cancel();
    ASSERT_TRUE(cluster.RunToEnd(absl::Seconds(10)));
    ASSERT_EQ(cluster.Failures(), "");
  }
}

TEST(JobCluster, TheLossOfAWorkerFailsTheTasksThatExchangeWithItAndNamesIt) {
  Results results;
  SimCluster cluster(7, 2);
  TestJob job;
  const uint32_t source = job.Source("in", 2, {.pause_after = 100, .endless = true});
  const uint32_t sum = job.Apply("sum", 2, [] { return std::make_unique<SumOperator>(); });
  job.Connect(source, sum, Partitioning::kHash);
  job.Connect(sum, job.Sink("out", 2, results), Partitioning::kForward);
  cluster.Deploy(job.definition);
  cluster.Start();
  cluster.world().RunFor(absl::Milliseconds(50));
  ASSERT_EQ(cluster.Failures(), "");
  cluster.Kill(1);
  ASSERT_TRUE(cluster.RunToEnd(absl::Seconds(30)));
  EXPECT_THAT(cluster.Failures(), HasSubstr("on worker 1"));
}

TEST(JobCluster, TwoRunsOfOneSeedAreTheSame) {
  uint64_t hashes[2];
  for (uint64_t& hash : hashes) {
    Results results;
    SimCluster cluster(11, 3);
    RandomJob random(cluster.world().random(), cluster.env(0), results);
    cluster.Deploy(random.job.definition);
    cluster.Start();
    ASSERT_TRUE(cluster.RunToEnd());
    hash = cluster.world().hash();
  }
  EXPECT_EQ(hashes[0], hashes[1]);
}

}  // namespace
}  // namespace weir
