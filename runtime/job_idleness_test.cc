// Idle, finished and blocked sources of a job: what is in time stays so, and nothing stands still.
#include "gmock/gmock.h"
#include "runtime/testing/sim_cluster_internal.h"

namespace weir {
namespace {

using namespace weir::testing;  // NOLINT: the jobs of this test

constexpr Ticks kSecond = 1'000'000;

class IdlenessTest : public ::testing::Test {
 protected:
  uint32_t Source(const std::string& uid, SequenceOptions options) {
    const uint32_t node = job_.Source(uid, 1, options);
    job_.definition.nodes[node].watermarks.idle_after = kSecond;
    return node;
  }
  // Fails the test for each record that is late.
  uint32_t Checks(const std::vector<uint32_t>& sources) {
    const uint32_t op = job_.Apply("checks", 2, [] { return std::make_unique<CheckedOperator>(); });
    for (const uint32_t source : sources) job_.Connect(source, op, Partitioning::kHash);
    job_.Connect(op, job_.Sink("out", 1, results_), Partitioning::kRebalance);
    return op;
  }
  void Run(size_t expected) {
    cluster_.Deploy(job_.definition);
    cluster_.Start();
    ASSERT_TRUE(cluster_.RunToEnd(absl::Minutes(60))) << "it stands still";
    EXPECT_EQ(cluster_.Failures(), "");
    EXPECT_EQ(results_.size(), expected);
  }

  SimCluster cluster_{1, 2};
  TestJob job_;
  Results results_;
};

// Flink 38477: a finished channel's MAX made all later data late. Rule 25
TEST_F(IdlenessTest, WhereSomeSourcesHaveEndedAndTheOthersGoIdleWhatComesLaterIsInTime) {
  const uint32_t ended = Source("ended", {.count = 100});
  const SequenceOptions slow{.count = 20, .pause_after = 1, .pause = 5 * kSecond};
  Checks({ended, Source("slow", slow), Source("slower", slow)});
  Run(140);
}

// Flink 35886: a source that is held back was taken for idle, and all it had was late. Rule 28
TEST_F(IdlenessTest, ASourceThatIsHeldBackIsNotIdleHoweverLongItTakes) {
  const uint32_t held_back = Source("held_back", {.count = 1000});
  // It takes a batch each 10 s.
  Results stuck;
  job_.Connect(held_back, job_.Sink("stuck", 1, stuck, &cluster_.env(0), absl::Seconds(10)),
               Partitioning::kRebalance);
  const uint32_t going = Source("going", {.count = 5000, .pause_after = 1, .pause = kSecond / 10});
  Checks({held_back, going});
  cluster_.configure = [](RuntimeOptions& options) { options.batch_records = 10; };
  Run(6000);
  EXPECT_EQ(stuck.size(), 1000u);
}

// Flink 32496, 32414, 40234: all were idle or at their end, and nothing came of what they had said.
// Rules 24, 25
TEST_F(IdlenessTest, WhatIsIdleForEverLetsTheOthersGoOnToTheirEnd) {
  const uint32_t never = Source("never", {.count = 2, .pause_after = 1, .pause = 200 * kSecond});
  const uint32_t sum =
      job_.Apply("sum", 2, [] { return Checked<CheckedOperator>(/*check_late=*/true); });
  const uint32_t going = Source("going", {.count = 50, .pause_after = 1, .pause = kSecond / 10});
  job_.Connect(never, sum, Partitioning::kHash);
  job_.Connect(going, sum, Partitioning::kHash);
  job_.Connect(sum, job_.Sink("out", 1, results_), Partitioning::kRebalance);
  cluster_.Deploy(job_.definition);
  cluster_.Start();
  // Both are idle or ended by then, and the second record of the first has not come.
  cluster_.world().RunFor(absl::Seconds(100));
  EXPECT_EQ(results_.size(), 51u);
  for (const proto::TaskReport& task : cluster_.Report()) {
    for (const proto::OperatorMetrics& op : task.operators()) {
      if (op.node() != sum) continue;
      EXPECT_GE(op.watermark(), 0) << "it waits for the source that is idle";
      EXPECT_LT(op.watermark(), kMaxTicks) << "one source has not ended";
    }
  }
}

}  // namespace
}  // namespace weir
