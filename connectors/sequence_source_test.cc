#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "connectors/testing/contexts.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weir/connectors.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Ticks kSecond = 1000000;

std::vector<std::uint64_t> Records(Batch<std::uint64_t>& batch) {
  return std::vector<std::uint64_t>(batch.records.begin(), batch.records.end());
}

std::uint64_t Same(std::uint64_t i) { return i; }

TEST(GeneratorTest, SubtasksDealOutTheIndices) {
  const auto factory = Generator{.make = &Same, .count = 7}.MakeFactory();
  std::vector<std::uint64_t> all;
  for (std::uint32_t subtask = 0; subtask < 3; ++subtask) {
    TestSourceContext context(subtask, 3);
    auto reader = factory();
    ASSERT_TRUE(reader->Open(context).ok());
    Batch<std::uint64_t> batch;
    auto result = reader->Poll(batch, 100);
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->state, PollState::kEnd);
    EXPECT_TRUE(result->split_ended);
    for (const std::uint64_t i : Records(batch)) {
      EXPECT_EQ(i % 3, subtask);
      all.push_back(i);
    }
  }
  std::sort(all.begin(), all.end());
  EXPECT_THAT(all, ElementsAre(0, 1, 2, 3, 4, 5, 6));
}

TEST(GeneratorTest, ASubtaskBeyondTheCountEndsAtOnce) {
  TestSourceContext context(3, 4);
  auto reader = Generator{.make = &Same, .count = 2}.MakeFactory()();
  ASSERT_TRUE(reader->Open(context).ok());
  Batch<std::uint64_t> batch;
  EXPECT_EQ(reader->Poll(batch, 100)->state, PollState::kEnd);
  EXPECT_TRUE(batch.empty());
}

TEST(GeneratorTest, GivesNoMoreThanIsTakenAndGoesOn) {
  TestSourceContext context(0, 1);
  auto reader = Generator{.make = &Same}.MakeFactory()();
  ASSERT_TRUE(reader->Open(context).ok());
  Batch<std::uint64_t> batch;
  EXPECT_EQ(reader->Poll(batch, 3)->state, PollState::kMore);
  EXPECT_EQ(reader->Poll(batch, 2)->state, PollState::kMore);
  EXPECT_THAT(Records(batch), ElementsAre(0, 1, 2, 3, 4));
}

TEST(GeneratorTest, KeepsItsRateOverAllSubtasks) {
  // 10 a second over two subtasks: subtask 1 makes 1, 3, 5, ... at 0.2 s, 0.4 s, ...
  TestSourceContext context(1, 2);
  context.now = 500 * kSecond;
  auto reader = Generator{.make = &Same, .rate = 10}.MakeFactory()();
  ASSERT_TRUE(reader->Open(context).ok());
  Batch<std::uint64_t> batch;
  auto result = reader->Poll(batch, 100);
  EXPECT_THAT(Records(batch), ElementsAre(1));
  ASSERT_EQ(result->state, PollState::kWait);
  EXPECT_NEAR(static_cast<double>(result->wake_at - context.now), 200000, 2);

  context.now = result->wake_at;
  result = reader->Poll(batch, 100);
  EXPECT_THAT(Records(batch), ElementsAre(1, 3));

  // What was not taken for a second is made up for, in order and without a gap.
  context.now += kSecond;
  EXPECT_EQ(reader->Poll(batch, 2)->state, PollState::kMore);
  EXPECT_EQ(reader->Poll(batch, 100)->state, PollState::kWait);
  EXPECT_THAT(Records(batch), ElementsAre(1, 3, 5, 7, 9, 11, 13));
}

TEST(GeneratorTest, AtAHighRateAWakeMakesManyRecords) {
  TestSourceContext context(0, 1);
  auto reader = Generator{.make = &Same, .rate = 1e6}.MakeFactory()();
  ASSERT_TRUE(reader->Open(context).ok());
  std::uint64_t made = 0;
  int polls = 0;
  while (context.now < kSecond) {
    Batch<std::uint64_t> batch;
    auto result = reader->Poll(batch, 1024);
    made += batch.size();
    ++polls;
    if (result->state == PollState::kWait) context.now = result->wake_at;
  }
  EXPECT_NEAR(static_cast<double>(made), 1e6, 1000);
  EXPECT_LE(polls, 10001);
}

TEST(GeneratorTest, ABackwardJumpOfTheClockDelaysNothing) {
  TestSourceContext context(0, 1);
  context.now = 1000 * kSecond;
  auto reader = Generator{.make = &Same, .rate = 10}.MakeFactory()();
  ASSERT_TRUE(reader->Open(context).ok());
  Batch<std::uint64_t> batch;
  reader->Poll(batch, 100).IgnoreError();
  context.now = 10 * kSecond;
  auto result = reader->Poll(batch, 100);
  EXPECT_LE(result->wake_at, context.now + 200000);
  context.now += kSecond;
  reader->Poll(batch, 100).IgnoreError();
  EXPECT_NEAR(static_cast<double>(batch.size()), 12, 1);
}

TEST(GeneratorTest, GoesOnFromItsPosition) {
  const auto factory = Generator{.make = &Same, .count = 10}.MakeFactory();
  TestSourceContext context(1, 2);
  auto reader = factory();
  ASSERT_TRUE(reader->Open(context).ok());
  Batch<std::uint64_t> batch;
  reader->Poll(batch, 2).IgnoreError();
  const std::string position = reader->SnapshotPosition();
  auto restored = factory();
  ASSERT_TRUE(restored->RestorePosition(position).ok());
  ASSERT_TRUE(restored->Open(context).ok());
  EXPECT_EQ(restored->Poll(batch, 100)->state, PollState::kEnd);
  EXPECT_THAT(Records(batch), ElementsAre(1, 3, 5, 7, 9));
  EXPECT_EQ(factory()->RestorePosition("x").code(), absl::StatusCode::kDataLoss);
}

TEST(GeneratorTest, ANegativeRateIsRefused) {
  TestSourceContext context(0, 1);
  auto reader = Generator{.make = &Same, .count = 1, .rate = -1.0}.MakeFactory()();
  EXPECT_THAT(reader->Open(context).ToString(), HasSubstr("source 'in': the rate"));
}

TEST(CollectionTest, EmitsItsRecords) {
  const auto factory = Collection{.records = std::vector<std::string>{"a", "b", "c"}}.MakeFactory();
  TestSourceContext context(0, 2);
  auto reader = factory();
  ASSERT_TRUE(reader->Open(context).ok());
  Batch<std::string> batch;
  EXPECT_EQ(reader->Poll(batch, 100)->state, PollState::kEnd);
  EXPECT_THAT(std::vector<std::string>(batch.records.begin(), batch.records.end()),
              ElementsAre("a", "c"));
}

TEST(CollectionTest, AnEmptyOneEndsAtOnce) {
  TestSourceContext context(0, 1);
  auto reader = Collection{.records = std::vector<std::string>{}}.MakeFactory()();
  ASSERT_TRUE(reader->Open(context).ok());
  Batch<std::string> batch;
  EXPECT_EQ(reader->Poll(batch, 100)->state, PollState::kEnd);
}

}  // namespace
}  // namespace weir
