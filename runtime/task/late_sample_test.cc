#include "runtime/task/late_sample.h"

#include "gtest/gtest.h"

namespace weir {
namespace {

bool Take(LateSample& sample, Ticks time, Ticks watermark,
          LateRecord::Fate fate = LateRecord::Fate::kDropped) {
  const LateRecord record{.time = time, .watermark = watermark, .late_from = time, .fate = fate};
  const bool kept = sample.Count(record);
  if (kept) sample.Keep().record = record;
  return kept;
}

TEST(LateSampleTest, HoldsTheLastOnesTheOldestFirst) {
  LateSample sample;
  EXPECT_EQ(sample.size(), 0u);
  for (Ticks time = 0; time < 3; ++time) Take(sample, time, 100 + time);
  ASSERT_EQ(sample.size(), 3u);
  EXPECT_EQ(sample.example(0).record.time, 0);
  EXPECT_EQ(sample.example(2).record.time, 2);
  for (Ticks time = 3; time < 100; ++time) Take(sample, time, 100 + time);
  ASSERT_EQ(sample.size(), LateSample::kMost);
  for (size_t i = 0; i < LateSample::kMost; ++i)
    EXPECT_EQ(sample.example(i).record.time, static_cast<Ticks>(100 - LateSample::kMost + i));
}

TEST(LateSampleTest, CountsAllAndKeepsAFewOfEachWatermark) {
  LateSample sample;
  size_t kept = 0;
  for (Ticks time = 0; time < 1000; ++time) kept += Take(sample, time, 5000) ? 1 : 0;
  EXPECT_EQ(kept, LateSample::kMostOfAWatermark);
  EXPECT_TRUE(Take(sample, 7, 5001, LateRecord::Fate::kSideOutput));
  EXPECT_EQ(sample.count(LateRecord::Fate::kDropped), 1000u);
  EXPECT_EQ(sample.count(LateRecord::Fate::kSideOutput), 1u);
  EXPECT_EQ(sample.count(LateRecord::Fate::kJoinedLate), 0u);
  EXPECT_EQ(sample.example(sample.size() - 1).record.time, 7);
}

}  // namespace
}  // namespace weir
