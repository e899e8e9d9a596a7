#include "benchmarks/lib/latency_recorder.h"

#include "gtest/gtest.h"

namespace weir::bench {
namespace {

// 1, 2, ... `count` microseconds, the greatest first.
LatencySummary OfMicrosUpTo(int64_t count) {
  LatencyRecorder recorder;
  for (int64_t micros = count; micros > 0; --micros) recorder.Add(micros * 1000);
  return recorder.Summarize();
}

TEST(LatencyRecorder, GivesEachPercentileByNearestRank) {
  const LatencySummary thousand = OfMicrosUpTo(1000);
  EXPECT_EQ(thousand.count, 1000u);
  EXPECT_EQ(thousand.p50_us, 500);
  EXPECT_EQ(thousand.p99_us, 990);
  EXPECT_EQ(thousand.p999_us, 999);
  EXPECT_EQ(thousand.max_us, 1000);
}

TEST(LatencyRecorder, RoundsARankUpSoThatNoPercentileIsTooSmall) {
  const LatencySummary odd = OfMicrosUpTo(1001);
  EXPECT_EQ(odd.p50_us, 501);
  EXPECT_EQ(odd.p99_us, 991);
  EXPECT_EQ(odd.p999_us, 1000);
  EXPECT_EQ(odd.max_us, 1001);
}

TEST(LatencyRecorder, GivesTheGreatestForAPercentileThatSoFewTimesCannotTell) {
  const LatencySummary few = OfMicrosUpTo(20);
  EXPECT_EQ(few.p50_us, 10);
  EXPECT_EQ(few.p99_us, 20);
  EXPECT_EQ(few.p999_us, 20);
  EXPECT_EQ(OfMicrosUpTo(1).p50_us, 1);
}

TEST(LatencyRecorder, IsZeroWithoutTimes) {
  const LatencySummary none = LatencyRecorder().Summarize();
  EXPECT_EQ(none.count, 0u);
  EXPECT_EQ(none.p50_us, 0);
  EXPECT_EQ(none.max_us, 0);
}

TEST(LatencyRecorder, CountsWhatCameEarlyAsItIs) {
  LatencyRecorder recorder;
  recorder.Add(-1000);
  recorder.Add(3000);
  EXPECT_EQ(recorder.Summarize().p50_us, -1);
  EXPECT_EQ(recorder.Summarize().max_us, 3);
}

TEST(MedianOf, IsTheMiddleOneAndTheGreaterOfTwo) {
  EXPECT_EQ(MedianOf({3, 1, 2}), 2);
  EXPECT_EQ(MedianOf({4, 1, 3, 2}), 3);
  EXPECT_EQ(MedianOf({}), 0);
}

}  // namespace
}  // namespace weir::bench
