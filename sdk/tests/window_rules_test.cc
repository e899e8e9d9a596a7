#include <cstdint>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sdk/tests/rule_steps.h"
#include "weir/connectors.h"
#include "weir/window_stream.h"

// The rules of windows, one by one, as small examples.

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// "sum of 2 in [start,end)".
struct Shown : WindowProcess<std::string, RuleRecord, std::string> {
  void OnWindow(const WindowElements<RuleRecord>& elements, Context& context) override {
    std::int64_t sum = 0;
    for (const RuleRecord& record : elements) sum += record.value;
    std::string text = std::to_string(sum) + " of " + std::to_string(elements.size());
    if (context.window().end.ticks() != kMaxTicks) {
      text += " in [" + std::to_string(context.window().start.ticks()) + "," +
              std::to_string(context.window().end.ticks()) + ")";
    }
    context.Emit(text);
  }
};

template <class F>
std::vector<std::string> Steps(F&& windows, const std::vector<RuleStep>& steps) {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  windows(Job(graph).From<RuleRecord>("in", Files{.path = "x"}).KeyBy(&RuleRecord::key))
      .template Process<Shown>("w")
      .To("out", Print{});
  return StepsOf(job, 1, steps);
}

TEST(WindowRules, Rule2SizesAndOffsetsThatCannotBeAreRefused) {
  const auto error = [](auto window) {
    JobDefinition job;
    const DefineInput input;
    internal::GraphBuilder graph(input, job);
    Job(graph)
        .From<RuleRecord>("in", Files{.path = "x"})
        .KeyBy(&RuleRecord::key)
        .Window(window)
        .Aggregate("counts", Count())
        .To("out", Print{});
    return job.errors.size() == 1 ? job.errors[0] : std::to_string(job.errors.size()) + " errors";
  };
  EXPECT_THAT(error(Tumbling{Duration(10), Duration(9)}), "0 errors");
  EXPECT_THAT(error(Tumbling{Duration(10), Duration(10)}), HasSubstr("'counts': window offset"));
  EXPECT_THAT(error(Tumbling{Duration(0)}), HasSubstr("'counts': window size"));
  EXPECT_THAT(error(Sliding{Duration(10), Duration(5), Duration(-5)}),
              HasSubstr("'counts': window offset"));
  EXPECT_THAT(error(Sliding{Duration(10), Duration(0)}), HasSubstr("'counts': window slide"));
}

TEST(WindowRules, Rule4OnTheClockTheTimeOfTheRecordDoesNotMatter) {
  const auto tens = [](auto keyed) {
    return keyed.Window(OnProcessingTime<Tumbling>{{Duration(10)}});
  };
  EXPECT_THAT(
      Steps(tens, {ClockAt(13), Rec(1, 5), Mark(100), Rec(2, kMinTicks), ClockAt(19), ClockAt(20)}),
      ElementsAre("", "", "", "", "", "3 of 2 in [10,20)@19"))
      << "nor the watermark; the clock must be past the window's last tick";
}

// Flink would take it as the earliest moment for a session.
TEST(WindowRules, Rule10ARecordWithoutATimeIsRefusedBySessionsToo) {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  Job(graph)
      .From<RuleRecord>("in", Files{.path = "x"})
      .KeyBy(&RuleRecord::key)
      .Window(Session{Duration(10)})
      .Process<Shown>("visits")
      .To("out", Print{});
  testing::HarnessOptions options;
  options.uid = "visits";
  testing::OperatorHarness harness(job.nodes[1].make_operator, options);
  harness.AddOutput<std::string>();
  ASSERT_TRUE(harness.Open().ok());
  const absl::Status status = harness.Process<RuleRecord>({{{"k", 1}, kMinTicks}});
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("'visits'"), HasSubstr("without a timestamp")));
}

TEST(WindowRules, Rule9PurgingKeepsTheExtentAndFiringWithoutContentsPutsNothingOut) {
  const auto sessions = [](auto keyed) {
    return keyed.Window(Session{Duration(10)})
        .AllowLateness(Duration(100))
        .Trigger(Purging{EventTimeTrigger{}});
  };
  EXPECT_THAT(
      Steps(sessions, {Rec(1, 0), Mark(9), Rec(2, 5), Mark(14), Mark(20), Rec(4, 12), Mark(21)}),
      ElementsAre("", "1 of 1 in [0,10)@9", "", "2 of 1 in [0,15)@14", "", "",
                  "4 of 1 in [0,22)@21"))
      << "what was purged is gone, but the session goes on";
  // An evictor that leaves nothing: the function is called all the same.
  const auto none = [](auto keyed) {
    return keyed.Window(Tumbling{Duration(10)}).Evict(CountEvictor{0});
  };
  EXPECT_THAT(Steps(none, {Rec(1, 0), Mark(9)}), ElementsAre("", "0 of 0 in [0,10)@9"));
}

TEST(WindowRules, Rule10SessionsThatTouchAreOne) {
  const auto sessions = [](auto keyed) { return keyed.Window(Session{Duration(10)}); };
  EXPECT_THAT(Steps(sessions, {Rec(1, 0), Rec(2, 10), End()}),
              ElementsAre("", "", "3 of 2 in [0,20)@19"));
  EXPECT_THAT(Steps(sessions, {Rec(1, 0), Rec(2, 11), End()}),
              ElementsAre("", "", "1 of 1 in [0,10)@9, 2 of 1 in [11,21)@20"));
  EXPECT_THAT(Steps(sessions, {Rec(1, 0), Rec(2, 20), Rec(4, 10), End()}),
              ElementsAre("", "", "", "7 of 3 in [0,30)@29"));
}

// Here and in Flink the window would fire at MAX + lateness, which overflows there.
TEST(WindowRules, Rule11TheCleanupTimeOfAMergeEndsAtTheLastMoment) {
  const auto sessions = [](auto keyed) {
    return keyed.Window(Session{Duration(10)}).AllowLateness(Duration(kMaxTicks));
  };
  EXPECT_THAT(Steps(sessions, {Rec(1, 0), Rec(2, 5), Mark(100), Rec(4, 3)}),
              ElementsAre("", "", "3 of 2 in [0,15)@14", "7 of 3 in [0,15)@14"));
}

TEST(WindowRules, Rule12AMergeOfWhatHasEndedSetsNoTimer) {
  const auto sessions = [](auto keyed) {
    return keyed.Window(Session{Duration(10)}).AllowLateness(Duration(100));
  };
  EXPECT_THAT(Steps(sessions, {Rec(1, 0), Mark(30), Rec(2, 5), Mark(31)}),
              ElementsAre("", "1 of 1 in [0,10)@9", "3 of 2 in [0,15)@14", ""))
      << "the record fires, and no timer does so again";
}

TEST(WindowRules, Rule13ALateRecordThatBridgesTwoSessionsFiresTheirCover) {
  const auto sessions = [](auto keyed) {
    return keyed.Window(Session{Duration(10)}).AllowLateness(Duration(100));
  };
  EXPECT_THAT(
      Steps(sessions, {Rec(1, 0), Rec(2, 15), Mark(30), Rec(4, 8)}),
      ElementsAre("", "", "1 of 1 in [0,10)@9, 2 of 1 in [15,25)@24", "7 of 3 in [0,25)@24"));
}

TEST(WindowRules, Rule14CountWindows) {
  const auto threes = [](auto keyed) { return keyed.CountWindow(3); };
  const auto out = [](const char* text) {
    return std::string(text) + "@" + std::to_string(kMaxTicks);
  };
  EXPECT_THAT(Steps(threes, {Rec(1, 0), Rec(2, 0), Rec(4, 0, "b"), Rec(8, 0), Rec(16, 0), End()}),
              ElementsAre("", "", "", out("11 of 3"), "", ""))
      << "a tail is never put out";
  const auto last_three = [](auto keyed) { return keyed.CountWindow(3, 2); };
  EXPECT_THAT(Steps(last_three, {Rec(1, 0), Rec(2, 0), Rec(4, 0), Rec(8, 0), End()}),
              ElementsAre("", out("3 of 2"), "", out("14 of 3"), ""));
  const auto counted = [](auto keyed) {
    return keyed.Window(Tumbling{Duration(10)}).Trigger(CountTrigger{2});
  };
  EXPECT_THAT(Steps(counted, {Rec(1, 0), Rec(2, 1), Rec(4, 2), Mark(20)}),
              ElementsAre("", "3 of 2 in [0,10)@9", "", ""))
      << "not at the end of a time window";
}

TEST(WindowRules, Rule15AContinuousTriggerFiresForEveryIntervalPassed) {
  const auto tens = [](auto keyed) {
    return keyed.Window(Tumbling{Duration(10)}).Trigger(ContinuousTrigger<true>{Duration(4)});
  };
  EXPECT_THAT(Steps(tens, {Rec(1, 1), Mark(3), Mark(4), Mark(20)}),
              ElementsAre("", "", "1 of 1 in [0,10)@9", "1 of 1 in [0,10)@9, 1 of 1 in [0,10)@9"))
      << "at 4, then at 8 and at the end";
}

TEST(WindowRules, Rule16Evictors) {
  const auto by = [](auto evictor) {
    return [evictor](auto keyed) {
      return keyed.Window(Tumbling{Duration(100)}).AllowLateness(Duration(100)).Evict(evictor);
    };
  };
  EXPECT_THAT(Steps(by(CountEvictor{2}), {Rec(1, 0), Rec(2, 1), Rec(4, 2), Mark(99), Rec(8, 3)}),
              ElementsAre("", "", "", "6 of 2 in [0,100)@99", "12 of 2 in [0,100)@99"))
      << "from the front, and gone for later firings";
  EXPECT_THAT(Steps(by(CountEvictor{.count = 1, .after = true}),
                    {Rec(1, 0), Rec(2, 1), Mark(99), Rec(4, 2)}),
              ElementsAre("", "", "3 of 2 in [0,100)@99", "6 of 2 in [0,100)@99"));
  EXPECT_THAT(Steps(by(TimeEvictor{Duration(10)}), {Rec(1, 10), Rec(2, 20), Rec(4, 11), Mark(99)}),
              ElementsAre("", "", "", "6 of 2 in [0,100)@99"))
      << "what is not later than the newest less the size";
  const auto delta = [](const RuleRecord& record, const RuleRecord& last) {
    return static_cast<double>(record.value - last.value);
  };
  EXPECT_THAT(
      Steps(by(DeltaEvictor{3.0, delta}), {Rec(9, 0), Rec(1, 1), Rec(8, 2), Rec(6, 3), Mark(99)}),
      ElementsAre("", "", "", "", "15 of 3 in [0,100)@99"))
      << "a difference has a sign";
}

TEST(WindowRules, Rule17GlobalWindowsFireByThemselvesOnlyAtTheEnd) {
  EXPECT_THAT(
      Steps([](auto keyed) { return keyed.Window(Global{}); }, {Rec(1, 0), Mark(1000), End()}),
      ElementsAre("", "", ""));
  EXPECT_THAT(Steps([](auto keyed) { return keyed.Window(Global{.at_end = true}); },
                    {Rec(1, 0), Rec(2, 5), Mark(1000), End()}),
              ElementsAre("", "", "", "3 of 2@" + std::to_string(kMaxTicks)));
}

}  // namespace
}  // namespace weir
