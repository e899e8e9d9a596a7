#include "weir/window_stream.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weir/connectors.h"
#include "weir/job.h"
#include "weir/testing.h"

namespace weir {

struct Reading {
  std::string key;
  std::int64_t value = 0;
};

namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::OperatorHarness;

struct Sums : WindowProcess<std::string, Reading, std::string> {
  void OnWindow(const WindowElements<Reading>& elements, Context& context) override {
    std::int64_t sum = 0;
    for (const Reading& reading : elements) sum += reading.value;
    context.Emit(context.key() + " " + std::to_string(sum));
  }
};
struct SumsOfWindow : WindowProcess<std::string, Reading, std::string, Reading> {
  void OnWindow(const WindowElements<Reading>&, Context&) override {}
};
// Says what the window's aggregate is, and which of the key's results it is.
struct Numbered : WindowResultProcess<std::string, std::int64_t, std::string> {
  ValueState<std::int64_t> results{this, "results"};
  void OnWindow(const std::int64_t& result, Context& context) override {
    context.Emit(std::to_string(++results.Mutable()) + ": " + std::to_string(result) + " from " +
                 std::to_string(context.window().start.ticks()));
  }
  void Clear(WindowContext& context) override {
    context.Emit("end of " + std::to_string(context.window().start.ticks()));
  }
};

// Fires when the values of a window sum up to `enough`.
struct Enough {
  std::int64_t enough = 0;
  struct State {
    std::int64_t sum = 0;
  };
  TriggerResult OnRecord(const Reading& reading, EventTime, TriggerContext<State>& context) const {
    context.state().sum += reading.value;
    if (context.state().sum < enough) return TriggerResult::kContinue;
    context.state().sum = 0;
    return TriggerResult::kFireAndPurge;
  }
  static void Merge(State& into, const State& from) { into.sum += from.sum; }
};
// Keeps the records whose value is even.
struct EvenOnly : Evictor<Reading> {
  void Before(Elements& elements, const TimeWindow&) const override {
    std::erase_if(elements, [](const auto& element) { return element.record.value % 2 != 0; });
  }
};

template <class F>
JobDefinition Define(F&& windows) {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  windows(Job(graph).From<Reading>("in", Files{.path = "x"}).KeyBy(&Reading::key))
      .To("out", Print{});
  return job;
}

std::vector<std::string> ResultsOf(const JobDefinition& job,
                                   const std::vector<std::pair<std::int64_t, Ticks>>& inputs) {
  EXPECT_THAT(job.errors, IsEmpty());
  std::vector<std::string> results;
  for (const testing::HarnessMode& mode : testing::AllHarnessModes()) {
    testing::HarnessOptions options;
    options.mode = mode;
    OperatorHarness harness(job.nodes[1].make_operator, options);
    harness.AddOutput<std::string>();
    EXPECT_TRUE(harness.Open().ok());
    std::vector<std::string> got;
    for (const auto& [value, time] : inputs)
      EXPECT_TRUE(harness.Process<Reading>({{{"k", value}, time}}).ok());
    EXPECT_TRUE(harness.Finish().ok());
    for (const auto& out : harness.Take<std::string>()) got.push_back(out.value);
    if (results.empty()) results = got;
    EXPECT_EQ(got, results) << mode.name;
  }
  return results;
}

TEST(WindowStreamTest, TakesATriggerOfOnesOwn) {
  const auto inputs = std::vector<std::pair<std::int64_t, Ticks>>{{4, 1}, {5, 2}, {2, 3}, {9, 40}};
  EXPECT_THAT(
      ResultsOf(Define([](auto keyed) {
                  return keyed.Window(Global{}).Trigger(Enough{9}).template Process<Sums>("w");
                }),
                inputs),
      ElementsAre("k 9", "k 11"));
  EXPECT_THAT(ResultsOf(Define([](auto keyed) {
                          return keyed.Window(Session{Duration(10)})
                              .Trigger(Enough{9})
                              .template Process<Sums>("w");
                        }),
                        inputs),
              ElementsAre("k 9", "k 9"));
}

TEST(WindowStreamTest, TakesAnEvictorOfOnesOwn) {
  const auto inputs = std::vector<std::pair<std::int64_t, Ticks>>{{4, 1}, {5, 2}, {2, 3}};
  EXPECT_THAT(ResultsOf(Define([](auto keyed) {
                          return keyed.Window(Tumbling{Duration(10)})
                              .Evict(EvenOnly())
                              .template Process<Sums>("w");
                        }),
                        inputs),
              ElementsAre("k 6"));
  EXPECT_THAT(ResultsOf(Define([](auto keyed) {
                          return keyed.Window(Tumbling{Duration(10)})
                              .Evict(EvenOnly())
                              .Aggregate(
                                  "w", Sum{&Reading::value},
                                  [](const std::string& key, const TimeWindow&, std::int64_t sum) {
                                    return key + " = " + std::to_string(sum);
                                  });
                        }),
                        inputs),
              ElementsAre("k = 6"));
}

TEST(WindowStreamTest, GivesTheResultOfAnAggregationToAClass) {
  EXPECT_THAT(ResultsOf(Define([](auto keyed) {
                          return keyed.Window(Session{Duration(10)})
                              .template Aggregate<Numbered>("w", Sum{&Reading::value});
                        }),
                        {{4, 1}, {5, 2}, {7, 30}}),
              ElementsAre("1: 9 from 1", "end of 1", "2: 7 from 30", "end of 30"));
}

TEST(WindowStreamTest, AWindowHoldsNoMoreThanItMay) {
  const JobDefinition job = Define([](auto keyed) {
    return keyed.Window(Tumbling{Duration(1'000'000)})
        .Trigger(EventTimeTrigger())
        .LimitElements(2)
        .template Process<Sums>("w");
  });
  OperatorHarness harness(job.nodes[1].make_operator);
  harness.AddOutput<std::string>();
  ASSERT_TRUE(harness.Open().ok());
  ASSERT_TRUE(harness.Process<Reading>({{{"ann", 1}, 1}, {{"ann", 1}, 2}, {{"bob", 1}, 2}}).ok());
  const absl::Status status = harness.Process<Reading>({{{"ann", 1}, 3}});
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("a window of key \"ann\" holds more than 2 records"),
                    HasSubstr("starts at 1970-01-01T00:00:00Z")));
}

TEST(WindowStreamTest, MistakesAreRefusedWithTheOperator) {
  const auto refused = [](const JobDefinition& job, const std::string& reason) {
    EXPECT_THAT(job.errors, ElementsAre(AllOf(HasSubstr("operator 'w': "), HasSubstr(reason))));
  };
  const auto sums = [](const auto& windows) { return windows.template Process<Sums>("w"); };
  refused(Define([&](auto keyed) { return sums(keyed.Window(Session{Duration(0)})); }),
          "session gap is 0 us");
  refused(Define([&](auto keyed) {
            return sums(keyed.Window(OnProcessingTime{Tumbling{Duration(-1)}}));
          }),
          "window size is -1 us");
  refused(Define([&](auto keyed) { return sums(keyed.CountWindow(0)); }),
          "the trigger has a count of less than 1");
  refused(Define([&](auto keyed) {
            return sums(keyed.Window(Global{}).Trigger(ContinuousEventTimeTrigger{}));
          }),
          "the trigger has an interval that is not positive");
  refused(Define([&](auto keyed) {
            return sums(keyed.Window(Tumbling{Duration(5)})
                            .Trigger(EventTimeTrigger())
                            .AllowLateness(Duration(-1)));
          }),
          "allowed lateness is -1 us");
  refused(Define([&](auto keyed) {
            return sums(keyed.Window(Tumbling{Duration(5)}).Evict(TimeEvictor{Duration(-1)}));
          }),
          "an evictor with a negative size");
  const auto delta = [](const Reading& a, const Reading& b) { return b.value - a.value; };
  refused(Define([&](auto keyed) {
            return sums(keyed.Window(Session{Duration(5)})
                            .Trigger(DeltaTrigger<Reading, decltype(delta)>{1, delta}));
          }),
          "the trigger's state cannot be: it has no Merge");
  refused(Define([&](auto keyed) {
            return keyed.Window(Session{Duration(5)}).template Process<SumsOfWindow>("w");
          }),
          "cannot have a state of their own");
}

// One operator, step by step, in one mode.
class SteppedTest : public ::testing::Test {
 protected:
  template <class F>
  void Start(F&& windows) {
    const JobDefinition job = Define(std::forward<F>(windows));
    ASSERT_THAT(job.errors, IsEmpty());
    harness_ = std::make_unique<OperatorHarness>(job.nodes[1].make_operator);
    harness_->AddOutput<std::string>();
    ASSERT_TRUE(harness_->Open().ok());
  }
  std::vector<std::string> Give(std::int64_t value, Ticks time) {
    EXPECT_TRUE(harness_->Process<Reading>({{{"k", value}, time}}).ok());
    return Results();
  }
  std::vector<std::string> Watermark(Ticks time) {
    EXPECT_TRUE(harness_->Watermark(time).ok());
    return Results();
  }
  std::vector<std::string> Clock(Ticks time) {
    EXPECT_TRUE(harness_->SetProcessingTime(time).ok());
    return Results();
  }
  std::vector<std::string> Results() {
    std::vector<std::string> results;
    for (const auto& out : harness_->Take<std::string>()) results.push_back(out.value);
    return results;
  }
  std::unique_ptr<OperatorHarness> harness_;
};

constexpr auto kTens = [](auto keyed) {
  return keyed.Window(Tumbling{Duration(10)}).AllowLateness(Duration(20));
};

TEST_F(SteppedTest, EarlyFiringsComeOnTheClockAndLateOnesWithEachRecord) {
  Start([](auto keyed) {
    return kTens(keyed)
        .Trigger(AfterWatermark{.early = Every{Duration(100)}, .late = EachRecord})
        .template Process<Sums>("w");
  });
  EXPECT_THAT(Clock(50), IsEmpty());
  EXPECT_THAT(Give(1, 1), IsEmpty());
  EXPECT_THAT(Give(2, 2), IsEmpty());
  EXPECT_THAT(Clock(150), IsEmpty());
  EXPECT_THAT(Clock(151), ElementsAre("k 3")) << "100 after the first record";
  EXPECT_THAT(Clock(400), IsEmpty()) << "nothing is new";
  EXPECT_THAT(Give(4, 3), IsEmpty());
  EXPECT_THAT(Watermark(9), ElementsAre("k 7"));
  EXPECT_THAT(Clock(600), IsEmpty()) << "the result at the end had it";
  EXPECT_THAT(Give(8, 4), ElementsAre("k 15"));
  EXPECT_THAT(Watermark(29), IsEmpty());
  EXPECT_EQ(harness_->op().keyed_state()[0]->entries(), 0u) << "nothing stays";
}

TEST_F(SteppedTest, WhatIsLateAndInNoResultIsPutOutBeforeTheWindowGoes) {
  Start([](auto keyed) {
    return kTens(keyed)
        .Trigger(Purging{AfterWatermark{.early = EveryRecords{2}, .late = EveryRecords{3}}})
        .template Process<Sums>("w");
  });
  EXPECT_THAT(Give(1, 1), IsEmpty());
  EXPECT_THAT(Give(2, 1), ElementsAre("k 3"));
  EXPECT_THAT(Give(4, 1), IsEmpty());
  EXPECT_THAT(Watermark(9), ElementsAre("k 4")) << "what came since";
  for (const std::int64_t value : {8, 16}) EXPECT_THAT(Give(value, 2), IsEmpty());
  EXPECT_THAT(Give(32, 2), ElementsAre("k 56"));
  EXPECT_THAT(Give(64, 2), IsEmpty());
  EXPECT_THAT(Watermark(28), IsEmpty());
  EXPECT_THAT(Watermark(29), ElementsAre("k 64"));
  EXPECT_THAT(Give(1, 2), IsEmpty()) << "too late";
  EXPECT_EQ(harness_->late_records_dropped(), 1u);
}

TEST_F(SteppedTest, EarlyFiringsOfSessionsLiveThroughTheirMerging) {
  Start([](auto keyed) {
    return keyed.Window(Session{Duration(10)})
        .Trigger(AfterWatermark{.early = Every{Duration(100)}})
        .template Process<Sums>("w");
  });
  EXPECT_THAT(Give(1, 1), IsEmpty());
  EXPECT_THAT(Clock(60), IsEmpty());
  EXPECT_THAT(Give(2, 18), IsEmpty());
  EXPECT_THAT(Give(4, 10), IsEmpty()) << "one session of three";
  EXPECT_THAT(Clock(101), ElementsAre("k 7")) << "at the earlier of the two times";
  EXPECT_THAT(Clock(300), IsEmpty());
  EXPECT_THAT(Watermark(27), ElementsAre("k 7"));
}

TEST(WindowStreamTest, FiringsThatCannotBeAreRefused) {
  const auto error = [](const AfterWatermark& trigger) {
    const JobDefinition job = Define([&](auto keyed) {
      return keyed.Window(Tumbling{Duration(5)}).Trigger(trigger).template Process<Sums>("w");
    });
    return job.errors.size() == 1 ? job.errors[0] : "";
  };
  EXPECT_THAT(error({.early = EveryRecords{0}}),
              HasSubstr("the trigger has early firings with a count of less than 1"));
  EXPECT_THAT(error({.late = Every{}}),
              HasSubstr("the trigger has late firings with an interval that is not positive"));
}

template <class F>
JobDefinition DefineAll(F&& windows) {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  windows(Job(graph).From<Reading>("in", Files{.path = "x"})).To("out", Print{});
  EXPECT_TRUE(job.nodes[1].single);
  return job;
}
struct SumsOfAll : WindowProcess<AllRecords, Reading, std::string> {
  void OnWindow(const WindowElements<Reading>& elements, Context& context) override {
    std::string keys;
    for (const Reading& reading : elements) keys += reading.key;
    context.Emit(keys);
  }
};

TEST(WindowAllTest, TakesTheRecordsOfAllKeysInOneSubtask) {
  const JobDefinition job = DefineAll([](const auto& stream) {
    return stream.WindowAll(Tumbling{Duration(10)}).Aggregate("w", Sum{&Reading::value});
  });
  OperatorHarness harness(job.nodes[1].make_operator);
  using Result = WindowResult<AllRecords, std::int64_t>;
  harness.AddOutput<Result>();
  ASSERT_TRUE(harness.Open().ok());
  ASSERT_TRUE(harness.Process<Reading>({{{"a", 1}, 1}, {{"b", 2}, 2}, {{"a", 4}, 13}}).ok());
  ASSERT_TRUE(harness.Finish().ok());
  const auto results = harness.Take<Result>();
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0].value.value, 3);
  EXPECT_EQ(results[0].value.start.ticks(), 0);
  EXPECT_EQ(results[1].value.value, 4);
  EXPECT_EQ(results[1].value.end.ticks(), 20);
}

TEST(WindowAllTest, HasEveryKindOfWindowAndFinishesWithoutAKey) {
  const std::vector<std::pair<std::int64_t, Ticks>> inputs = {{1, 1}, {2, 5}, {4, 30}};
  EXPECT_THAT(
      ResultsOf(DefineAll([](const auto& stream) {
                  return stream.WindowAll(Session{Duration(10)}).template Process<SumsOfAll>("w");
                }),
                inputs),
      ElementsAre("kk", "k"));
  EXPECT_THAT(ResultsOf(DefineAll([](const auto& stream) {
                          return stream.CountWindowAll(2).Aggregate(
                              "w", Count(), [](const TimeWindow&, std::int64_t count) {
                                return std::to_string(count);
                              });
                        }),
                        inputs),
              ElementsAre("2"));
  EXPECT_THAT(ResultsOf(DefineAll([](const auto& stream) {
                          return stream.WindowAll(Sliding{Duration(10), Duration(5)})
                              .Aggregate("w", Count(), [](const TimeWindow& window, auto count) {
                                return std::to_string(window.start.ticks()) + ":" +
                                       std::to_string(count);
                              });
                        }),
                        inputs),
              ElementsAre("-5:1", "0:2", "5:1", "25:1", "30:1"));
}

// Rule 10.
TEST(WindowStreamTest, AGapThatIsNotPositiveFailsWithTheRecord) {
  const JobDefinition job = Define([](auto keyed) {
    return keyed.Window(SessionBy{[](const Reading& reading) { return Duration(reading.value); }})
        .template Process<Sums>("w");
  });
  OperatorHarness harness(job.nodes[1].make_operator);
  harness.AddOutput<std::string>();
  ASSERT_TRUE(harness.Open().ok());
  const absl::Status status = harness.Process<Reading>({{{"ann", -3}, 1}});
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("the gap of a session is -3 us"), HasSubstr("\"ann\"")));
}

}  // namespace
}  // namespace weir
