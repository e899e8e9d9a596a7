#include "runtime/task/barrier_counter.h"

#include "gtest/gtest.h"

namespace weir {
namespace {

Barrier At(uint64_t id) { return {id, static_cast<Ticks>(id)}; }

// Rule 44.
TEST(BarrierCounterTest, HoldsNoChannelAndCompletesWithTheLastBarrier) {
  BarrierCounter counter(3);
  for (const size_t channel : {2u, 0u}) {
    const auto outcome = counter.OnBarrier(channel, At(1));
    EXPECT_FALSE(outcome.hold);
    EXPECT_FALSE(outcome.release);
    EXPECT_FALSE(outcome.complete.has_value());
  }
  EXPECT_EQ(counter.OnBarrier(1, At(1)).complete, At(1));
  EXPECT_FALSE(counter.OnBarrier(1, At(1)).complete.has_value()) << "it is done";
}

TEST(BarrierCounterTest, CountsABarrierOfAChannelOnce) {
  BarrierCounter counter(2);
  counter.OnBarrier(0, At(1));
  EXPECT_FALSE(counter.OnBarrier(0, At(1)).complete.has_value());
  EXPECT_EQ(counter.OnBarrier(1, At(1)).complete, At(1));
}

TEST(BarrierCounterTest, WaitsForSeveralCheckpointsAtATime) {
  BarrierCounter counter(2);
  counter.OnBarrier(0, At(1));
  counter.OnBarrier(0, At(2));
  EXPECT_EQ(counter.OnBarrier(1, At(1)).complete, At(1));
  EXPECT_EQ(counter.OnBarrier(1, At(2)).complete, At(2));
}

TEST(BarrierCounterTest, AHigherOneThatIsCompleteEndsTheLower) {
  BarrierCounter counter(2);
  counter.OnBarrier(0, At(1));
  counter.OnBarrier(0, At(2));
  const auto outcome = counter.OnBarrier(1, At(2));
  EXPECT_EQ(outcome.complete, At(2));
  EXPECT_EQ(outcome.subsumed, 1u);
  EXPECT_FALSE(counter.Awaits(1));
  EXPECT_FALSE(counter.OnBarrier(1, At(1)).complete.has_value());
}

TEST(BarrierCounterTest, TheEndOfAChannelCountsAsItsBarrier) {
  BarrierCounter counter(3);
  counter.OnEnd(0);
  counter.OnBarrier(1, At(4));
  EXPECT_EQ(counter.OnEnd(2).complete, At(4));
  EXPECT_EQ(counter.OnBarrier(1, At(5)).complete, At(5));
}

TEST(BarrierCounterTest, AnEndAfterTheBarrierIsNotCountedTwice) {
  BarrierCounter counter(3);
  counter.OnBarrier(0, At(1));
  EXPECT_FALSE(counter.OnEnd(0).complete.has_value());
  EXPECT_FALSE(counter.OnBarrier(1, At(1)).complete.has_value());
  EXPECT_EQ(counter.OnBarrier(2, At(1)).complete, At(1));
}

TEST(BarrierCounterTest, IgnoresAnAbortedCheckpointAndWaitsForOthers) {
  BarrierCounter counter(2);
  counter.OnBarrier(0, At(1));
  counter.OnBarrier(0, At(2));
  counter.Abort(2);
  EXPECT_FALSE(counter.OnBarrier(1, At(2)).complete.has_value());
  EXPECT_EQ(counter.seen(), 2u);
  EXPECT_EQ(counter.OnBarrier(1, At(3)).complete, std::nullopt);
  EXPECT_EQ(counter.OnBarrier(0, At(3)).complete, At(3));
}

TEST(BarrierCounterTest, IsBoundedByGivingUpTheOldest) {
  BarrierCounter counter(2);
  for (uint64_t id = 1; id <= 1000; ++id) counter.OnBarrier(0, At(id));
  EXPECT_FALSE(counter.Awaits(900));
  EXPECT_TRUE(counter.Awaits(901));
  EXPECT_EQ(counter.OnBarrier(1, At(901)).complete, At(901));
}

}  // namespace
}  // namespace weir
