#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
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

// Reads `counts[i]` records in each of as many subtasks, restores that with another parallelism,
// and so on; at last to the end. What came of each, together.
std::vector<std::uint64_t> ReadAtParallelisms(const std::vector<std::vector<std::size_t>>& rounds,
                                              std::uint64_t count) {
  const auto factory = Generator{.make = &Same, .count = count}.MakeFactory();
  std::vector<std::uint64_t> all;
  std::vector<std::string> positions;
  for (const std::vector<std::size_t>& counts : rounds) {
    const auto parallelism = static_cast<std::uint32_t>(counts.size());
    std::vector<std::string> next;
    for (std::uint32_t subtask = 0; subtask < parallelism; ++subtask) {
      TestSourceContext context(subtask, parallelism);
      auto reader = factory();
      if (positions.size() == parallelism) {
        EXPECT_TRUE(reader->RestorePosition(positions[subtask]).ok());
      } else if (!positions.empty()) {
        EXPECT_TRUE(
            reader->RestorePositions({positions.begin(), positions.end()}, subtask, parallelism)
                .ok());
      }
      EXPECT_TRUE(reader->Open(context).ok());
      std::uint64_t last = 0;
      for (std::size_t read = 0; read < counts[subtask];) {
        Batch<std::uint64_t> batch;
        const auto result = reader->Poll(batch, std::min<std::size_t>(7, counts[subtask] - read));
        EXPECT_TRUE(result.ok());
        for (const std::uint64_t i : Records(batch)) {
          EXPECT_TRUE(read++ == 0 || i > last) << "not in order: " << i << " after " << last;
          last = i;
          all.push_back(i);
        }
        if (result->state == PollState::kEnd) break;
      }
      next.push_back(reader->SnapshotPosition());
    }
    positions = std::move(next);
  }
  std::sort(all.begin(), all.end());
  return all;
}

// Rule 49
TEST(GeneratorTest, IsDealtOutAnewAtAnotherParallelism) {
  constexpr std::size_t kRest = 100000;
  std::vector<std::uint64_t> expected(1000);
  std::iota(expected.begin(), expected.end(), std::uint64_t{0});
  const std::vector<std::size_t> rest = {kRest, kRest, kRest};
  EXPECT_EQ(ReadAtParallelisms({{100, 3}, rest}, 1000), expected);
  EXPECT_EQ(ReadAtParallelisms({{100, 3, 0, 17, 50}, rest}, 1000), expected);
  EXPECT_EQ(ReadAtParallelisms({{0, 0}, {5}, rest}, 1000), expected);
  // One has ended.
  EXPECT_EQ(ReadAtParallelisms({{kRest, 3}, rest}, 1000), expected);
  EXPECT_EQ(ReadAtParallelisms({{kRest, kRest}, rest}, 1000), expected);
  // Again and again, before what was behind is made.
  EXPECT_EQ(ReadAtParallelisms({{100, 3}, {20, 1, 4}, {2, 30}, {1, 1, 1, 1, 60}, {3}, {1, 2}, rest},
                               1000),
            expected);
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::vector<std::size_t>> rounds;
    for (int i = 0; i < 6; ++i) {
      auto& counts = rounds.emplace_back(1 + random() % 7);
      for (std::size_t& count : counts) count = random() % 60;
    }
    rounds.push_back(std::vector<std::size_t>(1 + random() % 7, kRest));
    ASSERT_EQ(ReadAtParallelisms(rounds, 1000), expected) << round;
  }
}

TEST(GeneratorTest, APositionOfTheFirstVersionIsDealtOut) {
  const auto factory = Generator{.make = &Same, .count = 10}.MakeFactory();
  std::vector<std::uint64_t> all;
  for (std::uint32_t subtask = 0; subtask < 3; ++subtask) {
    TestSourceContext context(subtask, 3);
    auto reader = factory();
    // Of two subtasks: 4, 6, 8 are left, and 9.
    ASSERT_TRUE(reader->RestorePositions({"4", "9"}, subtask, 3).ok());
    ASSERT_TRUE(reader->Open(context).ok());
    Batch<std::uint64_t> batch;
    EXPECT_EQ(reader->Poll(batch, 100)->state, PollState::kEnd);
    for (const std::uint64_t i : Records(batch)) all.push_back(i);
  }
  std::sort(all.begin(), all.end());
  EXPECT_THAT(all, ElementsAre(4, 6, 8, 9));
}

TEST(GeneratorTest, TheTextOfAPositionIsThatOfTheFormat) {
  const auto factory = Generator{.make = &Same}.MakeFactory();
  TestSourceContext context(0, 3);
  auto reader = factory();
  ASSERT_TRUE(reader->RestorePositions({"100", "7"}, 0, 3).ok());
  EXPECT_EQ(reader->SnapshotPosition(), "102 7/6/100");
  for (const char* damaged : {"", "x", "1 ", "1 2", "1 2/3", "1 2/0/4", "1 2/3/4x", "1 2/3/4 "}) {
    EXPECT_EQ(factory()->RestorePosition(damaged).code(), absl::StatusCode::kDataLoss) << damaged;
    EXPECT_EQ(factory()->RestorePositions({"1", damaged}, 0, 3).code(),
              absl::StatusCode::kDataLoss);
  }
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
