#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sdk/tests/rule_steps.h"
#include "weir/connectors.h"
#include "weir/interval_join.h"
#include "weir/temporal_join.h"
#include "weir/window_join.h"

// The rules of joins, one by one, as small examples.

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr SideOutput<RuleRecord> kLateLeft{"late left"};

template <class F>
JobDefinition Define(F&& join) {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  Job described(graph);
  auto joined =
      join(described.From<RuleRecord>("left", Files{.path = "l"}).KeyBy(&RuleRecord::key),
           described.From<RuleRecord>("right", Files{.path = "r"}).KeyBy(&RuleRecord::key));
  joined.To("out", Print{});
  return job;
}
template <class F>
std::vector<std::string> Steps(F&& join, const std::vector<RuleStep>& steps) {
  return StepsOf(Define(join), 2, steps);
}

std::string Pair(const RuleRecord& left, const RuleRecord& right) {
  return std::to_string(left.value) + "+" + std::to_string(right.value);
}
// With 0 in the place of none.
std::string PairOrOne(const RuleRecord& left, const RuleRecord* right) {
  return Pair(left, right != nullptr ? *right : RuleRecord{});
}

TEST(JoinRules, Rule30AWindowJoinIsTheProductOfBothSides) {
  const Tumbling tens{Duration(10)};
  EXPECT_THAT(
      Steps([&](auto left, auto right) { return left.WindowJoin(right, tens).Join("j", Pair); },
            {Rec(1, 0), Rec(2, 9), Right(3, 5), Right(4, 4), Right(5, 5, "other"), Right(6, 10),
             Mark(9), End()}),
      ElementsAre("", "", "", "", "", "", "1+3@9, 1+4@9, 2+3@9, 2+4@9", ""));
  const auto both = [](const std::string& key, const TimeWindow& window,
                       const std::vector<const RuleRecord*>& lefts,
                       const std::vector<const RuleRecord*>& rights) {
    return key + " from " + std::to_string(window.start.ticks()) + ": " +
           std::to_string(lefts.size()) + " and " + std::to_string(rights.size());
  };
  EXPECT_THAT(
      Steps([&](auto left, auto right) { return left.WindowJoin(right, tens).CoGroup("j", both); },
            {Rec(1, 0), Rec(2, 9), Right(6, 15), End()}),
      ElementsAre("", "", "", "k from 0: 2 and 0@9, k from 10: 0 and 1@19"))
      << "one side may be empty";
}

TEST(WindowJoinTest, ACoGroupPutsOutAnyNumberOfRecords) {
  const Tumbling tens{Duration(10)};
  const auto unmatched = [](const std::string&, const std::vector<const RuleRecord*>& lefts,
                            const std::vector<const RuleRecord*>& rights) {
    std::vector<std::string> out;
    for (const RuleRecord* left : lefts) {
      if (rights.empty()) out.push_back(std::to_string(left->value));
    }
    return out;
  };
  EXPECT_THAT(
      Steps([&](auto left,
                auto right) { return left.WindowJoin(right, tens).CoGroup("j", unmatched); },
            {Rec(1, 0), Rec(2, 1), Rec(3, 11), Right(4, 12), End()}),
      ElementsAre("", "", "", "", "1@9, 2@9"));
}

TEST(WindowJoinTest, TakesATriggerAndAnEvictor) {
  EXPECT_THAT(Steps(
                  [](auto left, auto right) {
                    return left.WindowJoin(right, Tumbling{Duration(10)})
                        .Trigger(CountTrigger{2})
                        .Evict(CountEvictor{2})
                        .Join("j", Pair);
                  },
                  {Rec(1, 0), Right(2, 1), Rec(3, 2), Rec(4, 3), Right(5, 4), Right(6, 4)}),
              ElementsAre("", "1+2@9", "", "", "", ""))
      << "records of both sides are counted, and the last two are kept";
  const JobDefinition job = Define([](auto left, auto right) {
    return left.WindowJoin(right, Tumbling{Duration(10)})
        .Evict(TimeEvictor{Duration(-1)})
        .Join("j", Pair);
  });
  ASSERT_EQ(job.errors.size(), 1u);
  EXPECT_THAT(job.errors[0], HasSubstr("an evictor with a negative size"));
}

TEST(JoinRules, Rule31AnIntervalJoinHasItsBoundsUnlessTheyAreExclusive) {
  const Between between{Duration(-2), Duration(1)};
  const std::vector<RuleStep> steps = {Rec(1, 10), Right(7, 7), Right(8, 8), Right(9, 11),
                                       Right(3, 12)};
  EXPECT_THAT(Steps([&](auto left,
                        auto right) { return left.IntervalJoin(right, between).Join("j", Pair); },
                    steps),
              ElementsAre("", "", "1+8@10", "1+9@11", ""))
      << "with the later of the two times";
  EXPECT_THAT(Steps(
                  [&](auto left, auto right) {
                    return left.IntervalJoin(right, between)
                        .LowerExclusive()
                        .UpperExclusive()
                        .Join("j", Pair);
                  },
                  {Rec(1, 10), Right(8, 8), Right(9, 9), Right(2, 10), Right(3, 11)}),
              ElementsAre("", "", "1+9@10", "1+2@10", ""));
  const JobDefinition refused = Define([](auto left, auto right) {
    return left.IntervalJoin(right, Between{Duration(2), Duration(1)}).Join("j", Pair);
  });
  EXPECT_EQ(refused.errors.size(), 1u);
}

// Flink does not count what is late.
TEST(JoinRules, Rule32WhatIsBeforeTheWatermarkIsLate) {
  const Between between{Duration(0), Duration(100)};
  const auto join = [&](auto left, auto right) {
    auto joined = left.IntervalJoin(right, between).SideOutputLateLeft(kLateLeft).Join("j", Pair);
    joined.Side(kLateLeft).To("late", Print{});
    return joined;
  };
  EXPECT_THAT(StepsOf(Define(join), 2, {Mark(10), Rec(1, 10), Rec(2, 9), Right(4, 20)}, 1),
              ElementsAre("", "", "!2@9", "1+4@20"));
  const JobDefinition job = Define(
      [&](auto left, auto right) { return left.IntervalJoin(right, between).Join("j", Pair); });
  testing::OperatorHarness harness(job.nodes[2].make_operator, {});
  harness.AddOutput<std::string>();
  ASSERT_TRUE(harness.Open().ok());
  ASSERT_TRUE(harness.Watermark(10).ok());
  ASSERT_TRUE(harness.Process<RuleRecord>({{{"k", 1}, 10}}, 0).ok());
  EXPECT_EQ(harness.late_records_dropped(), 0u);
  ASSERT_TRUE(harness.Process<RuleRecord>({{{"k", 1}, 9}}, 1).ok());
  EXPECT_EQ(harness.late_records_dropped(), 1u);
}

TEST(JoinRules, Rule33OnlyAWatermarkCleansAndWhatIsAtItStays) {
  const JobDefinition job = Define([](auto left, auto right) {
    return left.IntervalJoin(right, Between{Duration(-5), Duration(3)}).Join("j", Pair);
  });
  testing::OperatorHarness harness(job.nodes[2].make_operator, {});
  harness.AddOutput<std::string>();
  ASSERT_TRUE(harness.Open().ok());
  const auto entries = [&] {
    std::size_t total = 0;
    for (KeyedStateTable* table : harness.op().keyed_state()) total += table->entries();
    return total;
  };
  ASSERT_TRUE(harness.Process<RuleRecord>({{{"left", 1}, 10}}, 0).ok());
  ASSERT_TRUE(harness.Process<RuleRecord>({{{"right", 1}, 10}}, 1).ok());
  const std::size_t both = entries();
  ASSERT_TRUE(harness.Watermark(12).ok());
  EXPECT_EQ(entries(), both) << "the left one waits for rights up to 13";
  ASSERT_TRUE(harness.Watermark(13).ok());
  EXPECT_LT(entries(), both);
  const std::size_t right = entries();
  ASSERT_TRUE(harness.Watermark(14).ok());
  EXPECT_EQ(entries(), right) << "the right one waits for lefts up to 15";
  ASSERT_TRUE(harness.Watermark(15).ok());
  EXPECT_EQ(entries(), 0u);
}

TEST(JoinRules, Rule34ATemporalJoinTakesTheVersionOfTheRecordsTime) {
  const auto join = [](auto left, auto right) {
    return left.TemporalJoin(right)
        .Deleted([](const RuleRecord& version) { return version.value < 0; })
        .LeftJoin("j", PairOrOne);
  };
  EXPECT_THAT(Steps(join, {Right(100, 5), Rec(1, 4), Rec(2, 5), Rec(3, 9), Right(200, 8), Mark(5),
                           Right(300, 8), Mark(9)}),
              ElementsAre("", "", "", "", "", "1+0@4, 2+100@5", "", "3+300@9"))
      << "of two versions of one time the last";
  EXPECT_THAT(Steps(join, {Right(100, 5), Right(-1, 7), Rec(1, 6), Rec(2, 7), Mark(10)}),
              ElementsAre("", "", "", "", "1+100@6, 2+0@7"))
      << "from its deletion on there is none";
  EXPECT_THAT(Steps(join, {Right(100, 5), Mark(10), Right(200, 8), Rec(1, 9), Mark(11)}),
              ElementsAre("", "", "", "", "1+200@9"))
      << "a late version is used, and a late record joined";
}

// Counted, which Flink does not.
TEST(JoinRules, Rule34ARecordThatIsJoinedLateIsCounted) {
  const JobDefinition job = Define(
      [](auto left, auto right) { return left.TemporalJoin(right).LeftJoin("j", PairOrOne); });
  testing::OperatorHarness harness(job.nodes[2].make_operator, {});
  harness.AddOutput<std::string>();
  ASSERT_TRUE(harness.Open().ok());
  ASSERT_TRUE(harness.Watermark(10).ok());
  ASSERT_TRUE(harness.Process<RuleRecord>({{{"k", 1}, 11}}, 0).ok());
  EXPECT_EQ(harness.counter("numLateRecordsJoined"), 0u);
  ASSERT_TRUE(harness.Process<RuleRecord>({{{"k", 1}, 10}}, 0).ok());
  EXPECT_EQ(harness.counter("numLateRecordsJoined"), 1u);
}

}  // namespace
}  // namespace weir
