#include "runtime/time/watermark_moves.h"

#include "gtest/gtest.h"
#include "runtime/time/source_watermarks.h"

namespace weir {
namespace {

TEST(WatermarkMovesTest, TheFirstMoveThatReachesATimeIsThatWhichMadeItLate) {
  WatermarkMoves moves;
  EXPECT_FALSE(moves.ThatReached(0).has_value());
  moves.Add(10, {.index = 0, .watermark = 12}, 100);
  moves.Add(20, {.what = WatermarkMover::What::kIdle, .index = 1, .watermark = 10}, 200);
  EXPECT_EQ(moves.ThatReached(-5)->watermark, 10);
  EXPECT_EQ(moves.ThatReached(10)->mover.watermark, 12);
  const auto second = moves.ThatReached(11);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->mover.index, 1u);
  EXPECT_EQ(second->mover.what, WatermarkMover::What::kIdle);
  EXPECT_EQ(second->first_nanos, 200);
  EXPECT_EQ(second->steps, 1u);
  EXPECT_FALSE(moves.ThatReached(21).has_value());
}

TEST(WatermarkMovesTest, ALongPastIsKeptCoarselyAndTheNewestMovesOneByOne) {
  WatermarkMoves moves;
  constexpr int kSteps = 1'000'000;
  for (int i = 1; i <= kSteps; ++i) {
    moves.Add(i, {.index = static_cast<uint32_t>(i % 3), .watermark = i}, i);
    ASSERT_LE(moves.all().size(), WatermarkMoves::kMost);
  }
  uint64_t steps = 0;
  for (const WatermarkMove& move : moves.all()) {
    // Each is of the steps right behind those of the one before.
    EXPECT_EQ(move.first_nanos, static_cast<int64_t>(steps + 1));
    steps += move.steps;
    EXPECT_EQ(move.watermark, static_cast<int64_t>(steps));
    EXPECT_EQ(move.last_nanos, move.watermark);
    EXPECT_EQ(move.mover.index, static_cast<uint32_t>(move.watermark % 3));
  }
  EXPECT_EQ(steps, static_cast<uint64_t>(kSteps));
  for (int i = kSteps - 30; i <= kSteps; ++i) EXPECT_EQ(moves.ThatReached(i)->steps, 1u) << i;
  EXPECT_GT(moves.ThatReached(1)->steps, 1000u);
}

TEST(SourceWatermarksTest, TheSplitThatWasTheLeastIsWhoMovedTheWatermark) {
  CombinedWatermark combined;
  for (const uint32_t split : {0u, 1u, 2u}) combined.Add(split);
  combined.SetWatermark(0, 5);
  combined.SetWatermark(1, 8);
  EXPECT_FALSE(combined.Update());
  combined.SetWatermark(2, 6);
  ASSERT_TRUE(combined.Update());
  EXPECT_EQ(combined.watermark(), 5);
  EXPECT_EQ(combined.moved_by(), 2u);
  combined.SetWatermark(1, 9);
  EXPECT_FALSE(combined.Update());
  combined.SetWatermark(0, 7);
  ASSERT_TRUE(combined.Update());
  EXPECT_EQ(combined.watermark(), 6);
  EXPECT_EQ(combined.moved_by(), 0u);
  combined.SetIdle(2, true);
  ASSERT_TRUE(combined.Update());
  EXPECT_EQ(combined.watermark(), 7);
  EXPECT_EQ(combined.moved_by(), 2u);
}

}  // namespace
}  // namespace weir
