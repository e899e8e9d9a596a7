#include "weir/window_operator.h"

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weir/connectors.h"
#include "weir/job.h"
#include "weir/testing.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::OperatorHarness;
using testing::Timed;
using ::testing::UnorderedElementsAre;

struct Event {
  std::string key;
  std::int64_t value = 0;
  friend bool operator==(const Event&, const Event&) = default;
};
using SumResult = WindowResult<std::string, std::int64_t>;

// A sum that cannot take back.
struct SumOnly {
  using Accumulator = std::int64_t;
  void Add(Accumulator& acc, const Event& event) const { acc += event.value; }
  void Merge(Accumulator& into, const Accumulator& later) const { into += later; }
  std::int64_t Result(const Accumulator& acc) const { return acc; }
};
enum class How { kSum, kSumOnly, kReduce };
constexpr SideOutput<Event> kLate{"late"};

// A window result as text: key|start|end|value@timestamp.
std::string Text(const Timed<SumResult>& result) {
  const SumResult& r = result.value;
  return r.key + "|" + std::to_string(r.start.ticks()) + "|" + std::to_string(r.end.ticks()) + "|" +
         std::to_string(r.value) + "@" + std::to_string(result.timestamp);
}

// The window operator of one shape, sums of values by key, under a harness.
class Windows {
 public:
  Windows(internal::WindowShape shape, bool late_output = false, How how = How::kSum,
          testing::HarnessMode mode = {}) {
    const DefineInput input;
    internal::GraphBuilder graph(input, job_);
    Job job(graph);
    auto keyed = job.From<Event>("in", Files{.path = "x"}).KeyBy(&Event::key);
    auto windowed = shape.slide == shape.size
                        ? keyed.Window(Tumbling{Duration(shape.size), Duration(shape.offset)})
                        : keyed.Window(Sliding{Duration(shape.size), Duration(shape.slide),
                                               Duration(shape.offset)});
    windowed = windowed.AllowLateness(Duration(shape.lateness));
    if (late_output) windowed = windowed.SideOutputLate(kLate);
    if (how == How::kReduce) {
      // The last record wins, and carries the sum of all.
      windowed
          .Reduce("w",
                  [](const Event& a, const Event& b) { return Event{b.key, a.value + b.value}; })
          .Side(kLate)
          .To("l", Print{});
    } else if (how == How::kSumOnly) {
      windowed.Aggregate("w", SumOnly{}).Side(kLate).To("l", Print{});
    } else {
      windowed.Aggregate("w", Sum{&Event::value}).Side(kLate).To("l", Print{});
    }
    testing::HarnessOptions options;
    options.uid = "w";
    options.mode = mode;
    harness_ = std::make_unique<OperatorHarness>(job_.nodes[1].make_operator, options);
    if (how == How::kReduce) {
      harness_->AddOutput<Event>();
    } else {
      harness_->AddOutput<SumResult>();
    }
    harness_->AddOutput<Event>();
    EXPECT_TRUE(harness_->Open().ok());
  }

  void Add(std::string key, Ticks ts, std::int64_t value) {
    const absl::Status status = harness_->Process<Event>({{{std::move(key), value}, ts}});
    EXPECT_TRUE(status.ok()) << status;
  }
  // What the watermark puts out.
  std::vector<std::string> Watermark(Ticks t) {
    EXPECT_TRUE(harness_->Watermark(t).ok());
    return Results();
  }
  std::vector<std::string> Results() {
    std::vector<std::string> texts;
    for (const auto& result : harness_->Take<SumResult>()) texts.push_back(Text(result));
    return texts;
  }
  OperatorHarness& harness() { return *harness_; }

 private:
  JobDefinition job_;
  std::unique_ptr<OperatorHarness> harness_;
};

// Rule 1.
TEST(WindowStartTest, RoundsTowardsMinusInfinityWithAnOffset) {
  using internal::WindowStart;
  EXPECT_EQ(WindowStart(-1, 0, 10), -10);
  EXPECT_EQ(WindowStart(-10, 0, 10), -10);
  EXPECT_EQ(WindowStart(-11, 0, 10), -20);
  EXPECT_EQ(WindowStart(4, 5, 10), -5);
  EXPECT_EQ(WindowStart(7, -3, 10), 7);
  EXPECT_EQ(WindowStart(-4, -3, 10), -13);
}

// Rules 5 and 8.
TEST(WindowOperatorTest, AWindowFiresWhenTheWatermarkReachesItsLastTick) {
  Windows w({10, 10, 0, 0, ""});
  w.Add("a", 0, 1);
  w.Add("a", 9, 2);
  w.Add("b", 3, 4);
  w.Add("a", 10, 8);
  EXPECT_THAT(w.Watermark(8), IsEmpty());
  EXPECT_THAT(w.Watermark(9), UnorderedElementsAre("a|0|10|3@9", "b|0|10|4@9"));
  EXPECT_THAT(w.Watermark(kMaxTicks), ElementsAre("a|10|20|8@19"));
}

TEST(WindowOperatorTest, SeveralWindowsFireInTheOrderOfTheirEnds) {
  Windows w({10, 10, 0, 0, ""});
  w.Add("a", 25, 1);
  w.Add("a", 5, 2);
  w.Add("a", -5, 4);
  EXPECT_THAT(w.Watermark(100), ElementsAre("a|-10|0|4@-1", "a|0|10|2@9", "a|20|30|1@29"));
}

// Rules 6 and 7.
TEST(WindowOperatorTest, ALateRecordIsCountedOrGoesToTheSideOutput) {
  Windows dropping({10, 10, 0, 0, ""});
  dropping.Add("a", 1, 1);
  EXPECT_THAT(dropping.Watermark(9), ElementsAre("a|0|10|1@9"));
  dropping.Add("a", 5, 2);
  EXPECT_EQ(dropping.harness().late_records_dropped(), 1U);
  EXPECT_THAT(dropping.Watermark(kMaxTicks), IsEmpty());

  Windows side({10, 10, 0, 0, ""}, /*late_output=*/true);
  EXPECT_THAT(side.Watermark(9), IsEmpty());
  side.Add("a", 9, 2);
  side.Add("a", 10, 4);
  EXPECT_THAT(side.harness().Take<Event>(1), ElementsAre(Timed<Event>{{"a", 2}, 9}));
  EXPECT_EQ(side.harness().late_records_dropped(), 0U);
}

// Rules 5, 6 and 7.
TEST(WindowOperatorTest, ARecordWithinTheLatenessFiresItsWindowAgain) {
  Windows w({10, 10, 0, 5, ""}, /*late_output=*/true);
  w.Add("a", 1, 1);
  EXPECT_THAT(w.Watermark(9), ElementsAre("a|0|10|1@9"));
  w.Add("a", 2, 2);
  EXPECT_THAT(w.Results(), ElementsAre("a|0|10|3@9"));
  w.Add("b", 3, 4);
  EXPECT_THAT(w.Results(), ElementsAre("b|0|10|4@9"));
  EXPECT_THAT(w.Watermark(13), IsEmpty());
  w.Add("a", 4, 8);
  EXPECT_THAT(w.Results(), ElementsAre("a|0|10|11@9"));
  EXPECT_THAT(w.Watermark(14), IsEmpty());
  w.Add("a", 5, 16);
  EXPECT_THAT(w.Results(), IsEmpty());
  EXPECT_THAT(w.harness().Take<Event>(1), ElementsAre(Timed<Event>{{"a", 16}, 5}));
}

// Rule 6: a cleanup time beyond MAX never comes.
TEST(WindowOperatorTest, AnEndlessLatenessKeepsAWindowOpen) {
  Windows w({10, 10, 0, kMaxTicks, ""});
  w.Add("a", 1, 1);
  EXPECT_THAT(w.Watermark(1'000'000), ElementsAre("a|0|10|1@9"));
  w.Add("a", 2, 2);
  EXPECT_THAT(w.Results(), ElementsAre("a|0|10|3@9"));
}

// Rule 3.
TEST(WindowOperatorTest, ARecordIsInEachSlidingWindowThatCoversIt) {
  Windows w({10, 5, 0, 0, ""});
  w.Add("a", 7, 1);
  EXPECT_THAT(w.Watermark(kMaxTicks), ElementsAre("a|0|10|1@9", "a|5|15|1@14"));
}

// Rule 3: gaps.
TEST(WindowOperatorTest, ARecordInAGapBelongsToNoWindow) {
  Windows w({4, 10, 0, 0, ""}, /*late_output=*/true);
  w.Add("a", 3, 1);
  w.Add("a", 7, 2);
  EXPECT_THAT(w.Watermark(6), ElementsAre("a|0|4|1@3"));
  EXPECT_THAT(w.harness().Take<Event>(1), IsEmpty());
  w.Add("a", 6, 4);
  w.Add("a", 7, 8);
  EXPECT_THAT(w.harness().Take<Event>(1), ElementsAre(Timed<Event>{{"a", 4}, 6}));
}

// Rule 7, where it differs from Flink.
TEST(WindowOperatorTest, ARecordLateForSomeOfItsWindowsIsCounted) {
  Windows w({10, 5, 0, 0, ""});
  EXPECT_THAT(w.Watermark(9), IsEmpty());
  w.Add("a", 7, 1);
  EXPECT_EQ(w.harness().counter("numLateWindowsSkipped"), 1U);
  EXPECT_EQ(w.harness().late_records_dropped(), 0U);
  EXPECT_THAT(w.Watermark(14), ElementsAre("a|5|15|1@14"));
}

TEST(WindowOperatorTest, ARecordWithoutATimestampIsAnErrorThatNamesTheOperator) {
  for (const Ticks slide : {10, 5}) {
    for (const How how : {How::kSum, How::kReduce}) {
      Windows w({10, slide, 0, 0, ""}, false, how);
      for (const bool first : {true, false}) {
        // In the middle of a batch, too, when the window before it is at hand.
        const Ticks other = first ? kMinTicks : 3;
        const absl::Status status =
            w.harness().Process<Event>({{{"a", 1}, other}, {{"a", 1}, kMinTicks}});
        EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
        EXPECT_THAT(std::string(status.message()), HasSubstr("operator 'w'"));
      }
    }
  }
}

TEST(WindowOperatorTest, AReduceSeesTheRecordsOfAWindowInTheirOrderOfArrival) {
  for (const Ticks slide : {10, 5}) {
    Windows w({10, slide, 0, 0, ""}, false, How::kReduce);
    w.Add("a", 7, 1);
    w.Add("a", 6, 2);
    ASSERT_TRUE(w.harness().Watermark(9).ok());
    EXPECT_THAT(w.harness().Take<Event>(), ElementsAre(Timed<Event>{{"a", 3}, 9}));
  }
}

TEST(CombineTest, HasTheResultsOfItsPartsAlsoWhenSlicesAreMergedAndTakenOut) {
  const Combine both{Count(), Sum{&Event::value}};
  static_assert(Retractable<decltype(both)>);
  static_assert(!Retractable<decltype(Combine{Count(), Max{&Event::value}})>);
  static_assert(!Aggregator<decltype(both), std::string>);
  decltype(both)::Accumulator first;
  decltype(both)::Accumulator second;
  both.Add(first, Event{"a", 5});
  both.Add(second, Event{"a", 7});
  both.Add(second, Event{"b", 1});
  both.Merge(first, second);
  EXPECT_EQ(both.Result(first), (std::tuple<std::int64_t, std::int64_t>(3, 13)));
  both.Retract(first, second);
  EXPECT_EQ(both.Result(first), (std::tuple<std::int64_t, std::int64_t>(1, 5)));
}

TEST(CombineTest, IsAnAggregatorOfAWindowWithARecordMadeOfItsResult) {
  struct Summary {
    std::string key;
    std::int64_t count = 0;
    double mean = 0;
    std::int64_t largest = 0;
    bool operator==(const Summary&) const = default;
  };
  JobDefinition definition;
  const DefineInput input;
  internal::GraphBuilder graph(input, definition);
  Job job(graph);
  job.From<Event>("in", Files{.path = "x"})
      .KeyBy(&Event::key)
      .Window(Sliding{Duration(10), Duration(5)})
      .Aggregate("w", Combine{Count(), Avg{&Event::value}, Max{&Event::value}},
                 [](const std::string& key, const TimeWindow&, const auto& results) {
                   const auto& [count, mean, largest] = results;
                   return Summary{key, count, mean, largest};
                 });
  testing::HarnessOptions options;
  options.uid = "w";
  OperatorHarness harness(definition.nodes[1].make_operator, options);
  harness.AddOutput<Summary>();
  ASSERT_TRUE(harness.Open().ok());
  ASSERT_TRUE(harness.Process<Event>({{{"a", 4}, 6}, {{"a", 8}, 7}, {{"a", 3}, 11}}).ok());
  ASSERT_TRUE(harness.Watermark(14).ok());
  EXPECT_THAT(harness.Take<Summary>(), ElementsAre(Timed<Summary>{{"a", 2, 6.0, 8}, 9},
                                                   Timed<Summary>{{"a", 3, 5.0, 8}, 14}));
}

struct Step {
  bool watermark = false;
  std::string key;
  Ticks ts = 0;
  std::int64_t value = 0;
};

// What semantics rules 1-8 say, a record and a window at a time.
std::map<std::string, int> Expected(const std::vector<Step>& steps,
                                    const internal::WindowShape& shape, int& late) {
  std::map<std::pair<Ticks, std::string>, std::int64_t> windows;
  std::map<std::string, int> out;
  Ticks watermark = kMinTicks;
  const auto emit = [&](Ticks start, const std::string& key, std::int64_t sum) {
    ++out[key + "|" + std::to_string(start) + "|" + std::to_string(start + shape.size) + "|" +
          std::to_string(sum) + "@" + std::to_string(start + shape.size - 1)];
  };
  for (const Step& step : steps) {
    if (step.watermark) {
      if (step.ts <= watermark) continue;
      const Ticks before = watermark;
      watermark = step.ts;
      for (auto it = windows.begin(); it != windows.end();) {
        const auto& [start, key] = it->first;
        const Ticks max = start + shape.size - 1;
        if (max > before && max <= watermark) emit(start, key, it->second);
        it = max + shape.lateness <= watermark ? windows.erase(it) : std::next(it);
      }
      continue;
    }
    bool in_any = false;
    for (Ticks start = -1000; start <= step.ts; ++start) {
      if ((start - shape.offset) % shape.slide != 0 || step.ts >= start + shape.size) continue;
      const Ticks max = start + shape.size - 1;
      if (max + shape.lateness <= watermark) continue;
      in_any = true;
      std::int64_t& sum = windows[{start, step.key}];
      sum += step.value;
      if (max <= watermark) emit(start, step.key, sum);
    }
    if (!in_any && step.ts + shape.lateness <= watermark) ++late;
  }
  return out;
}

class RandomWindows {
 public:
  explicit RandomWindows(std::uint64_t seed) : random_(seed) {}
  std::int64_t Below(std::int64_t n) {
    return static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(n));
  }
  internal::WindowShape Shape(int round) {
    internal::WindowShape shape;
    shape.size = 1 + Below(20);
    shape.slide = round % 3 == 0 ? shape.size : 1 + Below(25);
    shape.offset = Below(2 * shape.slide - 1) - (shape.slide - 1);
    shape.lateness = round % 4 < 2 ? 0 : Below(30);
    return shape;
  }
  std::vector<Step> Steps(std::int64_t keys) {
    std::vector<Step> steps;
    Ticks time = 0;
    for (int i = 0; i < 150; ++i) {
      time += Below(4);
      if (Below(5) == 0) {
        steps.push_back({true, "", time - Below(20), 0});
      } else {
        steps.push_back({false, std::string(1, static_cast<char>('a' + Below(keys))),
                         time - Below(25), 1LL << Below(30)});
      }
    }
    steps.push_back({true, "", 10'000, 0});
    return steps;
  }

 private:
  std::mt19937_64 random_;
};

TEST(WindowOperatorTest, RandomInputGivesWhatTheRulesSayInEveryMode) {
  RandomWindows random(7);
  int refirings = 0;
  for (int round = 0; round < 80; ++round) {
    const internal::WindowShape shape = random.Shape(round);
    const std::vector<Step> steps = random.Steps(/*keys=*/3);
    int late = 0;
    const auto expected = Expected(steps, shape, late);
    refirings += static_cast<int>(expected.size());
    for (const auto& mode : testing::AllHarnessModes()) {
      Windows w(shape, /*late_output=*/true, round % 2 == 0 ? How::kSum : How::kSumOnly, mode);
      std::map<std::string, int> got;
      for (const Step& step : steps) {
        if (step.watermark) {
          ASSERT_TRUE(w.harness().Watermark(step.ts).ok());
        } else {
          w.Add(step.key, step.ts, step.value);
        }
        for (const std::string& text : w.Results()) ++got[text];
      }
      EXPECT_EQ(got, expected) << "size " << shape.size << " slide " << shape.slide << " offset "
                               << shape.offset << " lateness " << shape.lateness << ", "
                               << mode.name;
      EXPECT_EQ(w.harness().Take<Event>(1).size(), static_cast<std::size_t>(late)) << mode.name;
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(refirings, 1000);
}

// A firing of more results than go out at once stops, and goes on, wherever that is.
TEST(WindowOperatorTest, AFiringThatIsHeldUpGivesEachResultOnce) {
  constexpr std::int64_t kKeys = 5'000;
  for (const Ticks slide : {10, 5}) {
    for (const auto& mode : testing::AllHarnessModes()) {
      if (mode.batch_size != 0 || mode.random_batches_seed != 0) continue;
      Windows w({10, slide, 0, 0, ""}, false, How::kSumOnly, mode);
      std::vector<Timed<Event>> events;
      for (std::int64_t key = 0; key < kKeys; ++key)
        events.push_back({{"key " + std::to_string(key), key}, key % 5});
      ASSERT_TRUE(w.harness().Process<Event>(events).ok());
      std::vector<std::string> expected;
      for (Ticks start = 5 - slide == 0 ? -5 : 0; start <= 0; start += slide) {
        for (const auto& [event, time] : events) {
          expected.push_back(event.key + "|" + std::to_string(start) + "|" +
                             std::to_string(start + 10) + "|" + std::to_string(event.value) + "@" +
                             std::to_string(start + 9));
        }
      }
      std::vector<std::string> got = w.Watermark(100);
      std::sort(expected.begin(), expected.end());
      std::sort(got.begin(), got.end());
      ASSERT_TRUE(got == expected) << mode.name << ", slide " << slide << ": " << got.size()
                                   << " results, not " << expected.size();
    }
  }
}

// State goes from memory to a store and back, at any step.
TEST(WindowOperatorTest, WhatOneBackendHasWrittenTheOtherReads) {
  RandomWindows random(8);
  int moves = 0;
  for (int round = 0; round < 40; ++round) {
    const internal::WindowShape shape = random.Shape(round);
    const std::vector<Step> steps = random.Steps(/*keys=*/16);
    int late = 0;
    const auto expected = Expected(steps, shape, late);
    for (const bool refuse : {false, true}) {
      testing::HarnessMode mode;
      mode.refuse_outputs = refuse;
      const How how = round % 2 == 0 ? How::kSum : How::kSumOnly;
      auto w = std::make_unique<Windows>(shape, /*late_output=*/true, how, mode);
      std::map<std::string, int> got;
      std::size_t got_late = 0;
      for (const Step& step : steps) {
        if (random.Below(8) == 0) {
          const testing::HarnessSnapshot snapshot = w->harness().Snapshot();
          mode.in_store = !mode.in_store;
          w = std::make_unique<Windows>(shape, /*late_output=*/true, how, mode);
          ASSERT_TRUE(w->harness().Restore(snapshot).ok());
          ++moves;
        }
        if (step.watermark) {
          ASSERT_TRUE(w->harness().Watermark(step.ts).ok());
        } else {
          w->Add(step.key, step.ts, step.value);
        }
        for (const std::string& text : w->Results()) ++got[text];
        got_late += w->harness().Take<Event>(1).size();
      }
      ASSERT_EQ(got, expected) << "size " << shape.size << " slide " << shape.slide << " offset "
                               << shape.offset << " lateness " << shape.lateness << ", round "
                               << round;
      ASSERT_EQ(got_late, static_cast<std::size_t>(late));
    }
  }
  EXPECT_GT(moves, 500);
}

}  // namespace
}  // namespace weir
