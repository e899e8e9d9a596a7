#include "runtime/task/barrier_aligner.h"

#include <random>

#include "gtest/gtest.h"

namespace weir {
namespace {

TEST(BarrierAligner, AChannelThatHasDeliveredTheBarrierWaitsForTheOthers) {  // Rule 41
  BarrierAligner aligner(3);
  BarrierAligner::Outcome outcome = aligner.OnBarrier(1, {1, 10});
  EXPECT_TRUE(outcome.hold);
  EXPECT_FALSE(outcome.release);
  EXPECT_FALSE(outcome.complete.has_value());
  EXPECT_EQ(aligner.pending(), 1u);
  EXPECT_TRUE(aligner.OnBarrier(0, {1, 10}).hold);
  outcome = aligner.OnBarrier(2, {1, 10});
  EXPECT_FALSE(outcome.hold) << "all are released";
  EXPECT_TRUE(outcome.release);
  EXPECT_EQ(outcome.complete, (Barrier{1, 10}));
  EXPECT_EQ(aligner.pending(), 0u);
}

TEST(BarrierAligner, OneChannelNeedsNoAlignment) {  // Rule 41
  BarrierAligner aligner(1);
  const BarrierAligner::Outcome outcome = aligner.OnBarrier(0, {5, 1});
  EXPECT_FALSE(outcome.hold);
  EXPECT_EQ(outcome.complete, (Barrier{5, 1}));
}

TEST(BarrierAligner, TheEndOfAChannelCountsAsItsBarrier) {  // Rule 41
  BarrierAligner aligner(3);
  EXPECT_FALSE(aligner.OnEnd(0).complete.has_value()) << "nothing is pending";
  EXPECT_FALSE(aligner.OnBarrier(1, {1, 0}).complete.has_value());
  EXPECT_EQ(aligner.OnEnd(2).complete, (Barrier{1, 0}));
  // The one that is left is all that the next waits for.
  EXPECT_EQ(aligner.OnBarrier(1, {2, 0}).complete, (Barrier{2, 0}));
}

TEST(BarrierAligner, OldBarriersAreIgnored) {  // Rule 42
  BarrierAligner aligner(2);
  aligner.OnBarrier(0, {3, 0});
  BarrierAligner::Outcome outcome = aligner.OnBarrier(1, {2, 0});
  EXPECT_FALSE(outcome.hold);
  EXPECT_EQ(aligner.pending(), 3u);
  aligner.OnBarrier(1, {3, 0});
  outcome = aligner.OnBarrier(0, {3, 0});
  EXPECT_FALSE(outcome.hold);
  EXPECT_EQ(aligner.pending(), 0u);
}

TEST(BarrierAligner, AHigherBarrierEndsTheWaitForALowerOne) {  // Rule 42
  BarrierAligner aligner(2);
  aligner.OnBarrier(0, {1, 0});
  const BarrierAligner::Outcome outcome = aligner.OnBarrier(1, {2, 0});
  EXPECT_EQ(outcome.subsumed, 1u);
  EXPECT_TRUE(outcome.release);
  EXPECT_TRUE(outcome.hold) << "by the new one";
  EXPECT_EQ(aligner.pending(), 2u);
  EXPECT_EQ(aligner.OnBarrier(0, {2, 0}).complete, (Barrier{2, 0}));
}

TEST(BarrierAligner, AnAbortedCheckpointHoldsNothingBack) {  // Rule 42
  BarrierAligner aligner(2);
  aligner.OnBarrier(0, {1, 0});
  EXPECT_FALSE(aligner.Abort(0).release);
  EXPECT_TRUE(aligner.Abort(1).release);
  EXPECT_FALSE(aligner.OnBarrier(1, {1, 0}).hold);
  EXPECT_EQ(aligner.pending(), 0u);
  // Aborted before any barrier of it has come.
  EXPECT_FALSE(aligner.Abort(2).release);
  EXPECT_FALSE(aligner.OnBarrier(0, {2, 0}).hold);
  EXPECT_TRUE(aligner.OnBarrier(0, {3, 0}).hold);
  EXPECT_EQ(aligner.OnBarrier(1, {3, 0}).complete, (Barrier{3, 0}));
}

TEST(BarrierAligner, AnAbortedCheckpointIsNoReasonToEndAnOlderOne) {
  BarrierAligner aligner(2);
  aligner.OnBarrier(0, {1, 0});
  EXPECT_FALSE(aligner.Abort(2).release) << "the first is waited for as before";
  EXPECT_EQ(aligner.pending(), 1u);
  EXPECT_EQ(aligner.seen(), 2u);
  EXPECT_EQ(aligner.OnBarrier(1, {1, 0}).complete, (Barrier{1, 0}));
  EXPECT_FALSE(aligner.OnBarrier(0, {2, 0}).hold);
  EXPECT_FALSE(aligner.OnBarrier(1, {2, 0}).hold);
  EXPECT_TRUE(aligner.OnBarrier(0, {3, 0}).hold);
}

TEST(BarrierAligner, AbortsWithoutEndTakeBoundedMemory) {
  BarrierAligner aligner(2);
  // Nobody has aborted the first; it is forgotten with the oldest of those that were.
  for (uint64_t id = 2; id <= 2'000; ++id) aligner.Abort(id);
  for (uint64_t id = 1; id <= 2'000; ++id) ASSERT_FALSE(aligner.OnBarrier(0, {id, 0}).hold) << id;
  EXPECT_TRUE(aligner.OnBarrier(0, {2'001, 0}).hold);
}

TEST(BarrierAligner, EveryOrderOfBarriersAndEndsCompletesEachCheckpointOnce) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 2000; ++round) {
    const size_t channels = 1 + random() % 4;
    BarrierAligner aligner(channels);
    std::vector<uint64_t> delivered(channels, 0);
    std::vector<bool> ended(channels, false);
    std::vector<bool> held(channels, false);
    uint64_t complete = 0;
    for (int step = 0; step < 40; ++step) {
      const size_t channel = random() % channels;
      if (held[channel] || ended[channel]) continue;
      BarrierAligner::Outcome outcome;
      if (random() % 10 == 0) {
        ended[channel] = true;
        outcome = aligner.OnEnd(channel);
      } else {
        outcome = aligner.OnBarrier(channel, {++delivered[channel], 0});
      }
      if (outcome.release) held.assign(channels, false);
      if (outcome.hold) held[channel] = true;
      EXPECT_EQ(outcome.subsumed, 0u) << "channels that wait cannot be overtaken";
      if (!outcome.complete.has_value()) continue;
      ASSERT_EQ(outcome.complete->id, complete + 1);
      ++complete;
      for (size_t i = 0; i < channels; ++i) {
        ASSERT_TRUE(delivered[i] == complete || (ended[i] && delivered[i] < complete));
        ASSERT_FALSE(held[i]);
      }
    }
  }
}

// Rule 42.
TEST(BarrierAlignerTest, ALowerBarrierStaysIgnoredWhenTheHigherOneIsAborted) {
  BarrierAligner aligner(3);
  aligner.OnBarrier(0, {2, 0});
  // Channel 1 is read on behind it.
  EXPECT_FALSE(aligner.OnBarrier(1, {1, 0}).hold);
  aligner.Abort(2);
  EXPECT_FALSE(aligner.Awaits(1));
  EXPECT_FALSE(aligner.OnBarrier(2, {1, 0}).hold);
  aligner.OnEnd(0);
  EXPECT_FALSE(aligner.OnEnd(1).complete.has_value());
}

}  // namespace
}  // namespace weir
