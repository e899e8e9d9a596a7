#include "weir/process.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weir/connectors.h"
#include "weir/job.h"
#include "weir/testing.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::OperatorHarness;
using testing::Timed;

// A record is a list of commands: "E+T" sets the event timer for T, "E-" deletes it, "P+T" and "P-"
// likewise.
struct Command {
  std::string key;
  std::string text;
};
constexpr SideOutput<std::string> kEcho{"echo"};

std::string OrNone(EventTime t) {
  return t == EventTime::Min() ? "none" : std::to_string(t.ticks());
}

struct Timers : KeyedProcess<std::string, Command, std::string> {
  ValueState<std::int64_t> calls{this, "calls"};
  EventTimer event{this, "event"};
  ProcessingTimer processing{this, "processing"};
  // What a timer's callback does, as a command.
  std::string on_timer;

  explicit Timers(std::string command = "") : on_timer(std::move(command)) {}

  void Run(std::string_view text) {
    if (text.empty()) return;
    const Ticks time = text.size() > 2 ? std::stoll(std::string(text.substr(2))) : 0;
    if (text.substr(0, 2) == "E+") event.Set(EventTime::FromTicks(time));
    if (text.substr(0, 2) == "E-") event.Clear();
    if (text.substr(0, 2) == "P+") processing.Set(EventTime::FromTicks(time));
    if (text.substr(0, 2) == "P-") processing.Clear();
    EXPECT_EQ(event.Time().has_value(), event.IsSet());
    if (event.IsSet() && text.substr(0, 2) == "E+") {
      EXPECT_EQ(event.Time(), EventTime::FromTicks(time));
    }
    if (processing.IsSet() && text.substr(0, 2) == "P+") {
      EXPECT_EQ(processing.Time(), EventTime::FromTicks(time));
    }
  }
  void Process(const Command& command, Context& ctx) override {
    calls.Set(calls.Get() + 1);
    ctx.Emit(kEcho, ctx.key() + command.text);
    Run(command.text);
  }
  void OnTimer(const EventTimer&, Context& ctx) override {
    ctx.Emit(ctx.key() + "|event|" + OrNone(ctx.timestamp()) + "|wm=" + OrNone(ctx.watermark()) +
             "|n=" + std::to_string(calls.Get()));
    Run(on_timer);
  }
  void OnTimer(const ProcessingTimer&, Context& ctx) override {
    ctx.Emit(ctx.key() + "|processing|" + OrNone(ctx.timestamp()) + "|pt=" + OrNone(ctx.now()));
    Run(on_timer);
  }
};

class ProcessTest : public ::testing::TestWithParam<testing::HarnessMode> {
 protected:
  void Make(std::string on_timer = "") {
    harness_.reset();
    job_ = JobDefinition();
    const DefineInput input;
    internal::GraphBuilder graph(input, job_);
    Job job(graph);
    const auto out = job.From<Command>("in", Files{.path = "x"})
                         .KeyBy(&Command::key)
                         .Process<Timers>("t", on_timer);
    out.Side(kEcho).To("echo", Print{});
    testing::HarnessOptions options;
    options.mode = GetParam();
    harness_ = std::make_unique<OperatorHarness>(job_.nodes[1].make_operator, options);
    harness_->AddOutput<std::string>();
    harness_->AddOutput<std::string>();
    ASSERT_TRUE(harness_->Open().ok());
  }
  void Add(std::string key, std::string text, Ticks ts = kMinTicks) {
    ASSERT_TRUE(harness_->Process<Command>({{{std::move(key), std::move(text)}, ts}}).ok());
  }
  std::vector<std::string> Out() {
    std::vector<std::string> texts;
    for (const auto& result : harness_->Take<std::string>()) {
      texts.push_back(result.value + "@" + OrNone(EventTime::FromTicks(result.timestamp)));
    }
    return texts;
  }
  JobDefinition job_;
  std::unique_ptr<OperatorHarness> harness_;
};

INSTANTIATE_TEST_SUITE_P(Modes, ProcessTest, ::testing::ValuesIn(testing::AllHarnessModes()),
                         [](const auto& param) { return "mode" + std::to_string(param.index); });

// Rules 18, 19 and 21.
TEST_P(ProcessTest, AnEventTimerFiresWhenTheWatermarkReachesItsTime) {
  Make();
  Add("a", "E+10", 1);
  ASSERT_TRUE(harness_->Watermark(9).ok());
  EXPECT_THAT(Out(), IsEmpty());
  ASSERT_TRUE(harness_->Watermark(12).ok());
  EXPECT_THAT(Out(), ElementsAre("a|event|10|wm=12|n=1@10"));
  ASSERT_TRUE(harness_->Watermark(20).ok());
  EXPECT_THAT(Out(), IsEmpty());
}

TEST_P(ProcessTest, SettingANamedTimerAgainMovesItBothWays) {
  Make();
  Add("a", "E+10", 1);
  Add("a", "E+20", 1);
  Add("b", "E+30", 1);
  Add("b", "E+5", 1);
  ASSERT_TRUE(harness_->Watermark(15).ok());
  EXPECT_THAT(Out(), ElementsAre("b|event|5|wm=15|n=2@5"));
  ASSERT_TRUE(harness_->Watermark(40).ok());
  EXPECT_THAT(Out(), ElementsAre("a|event|20|wm=40|n=2@20"));
}

// Rule 18.
TEST_P(ProcessTest, ADeletedTimerDoesNotFireAndDeletingAnAbsentOneDoesNothing) {
  Make();
  Add("a", "E-", 1);
  Add("a", "E+10", 1);
  Add("a", "E-", 1);
  Add("b", "E+11", 1);
  Add("b", "E-", 1);
  Add("b", "E+11", 1);
  ASSERT_TRUE(harness_->Watermark(40).ok());
  EXPECT_THAT(Out(), ElementsAre("b|event|11|wm=40|n=3@11"));
}

// Rule 19, where it differs from Flink.
TEST_P(ProcessTest, TimersOfOneTimeFireInTheOrderOfTheirKeys) {
  Make();
  for (const char* key : {"c", "a", "bb", "b"}) Add(key, "E+10", 1);
  ASSERT_TRUE(harness_->Watermark(10).ok());
  EXPECT_THAT(Out(), ElementsAre("a|event|10|wm=10|n=1@10", "b|event|10|wm=10|n=1@10",
                                 "bb|event|10|wm=10|n=1@10", "c|event|10|wm=10|n=1@10"));
}

// Rule 19.
TEST_P(ProcessTest, ATimerSetInACallbackForATimeReachedFiresInTheSameSweep) {
  Make("E+12");
  Add("a", "E+10", 1);
  ASSERT_TRUE(harness_->Watermark(11).ok());
  EXPECT_THAT(Out(), ElementsAre("a|event|10|wm=11|n=1@10"));
  Make("E-");
  Add("a", "E+10", 1);
  Add("b", "E+5", 1);
  ASSERT_TRUE(harness_->Watermark(11).ok());
  EXPECT_THAT(Out(), ElementsAre("b|event|5|wm=11|n=1@5", "a|event|10|wm=11|n=1@10"));
}

// Rule 19: set by a record for a time that has been reached.
TEST_P(ProcessTest, ATimerSetByARecordForThePastFiresAtTheNextWatermark) {
  Make();
  ASSERT_TRUE(harness_->Watermark(50).ok());
  Add("a", "E+10", 60);
  EXPECT_THAT(Out(), IsEmpty());
  ASSERT_TRUE(harness_->Watermark(51).ok());
  EXPECT_THAT(Out(), ElementsAre("a|event|10|wm=51|n=1@10"));
}

// Rules 20 and 21.
TEST_P(ProcessTest, AProcessingTimerFiresOnceTheClockIsPastItsTime) {
  Make();
  Add("a", "P+10");
  ASSERT_TRUE(harness_->SetProcessingTime(10).ok());
  EXPECT_THAT(Out(), IsEmpty());
  ASSERT_TRUE(harness_->SetProcessingTime(11).ok());
  EXPECT_THAT(Out(), ElementsAre("a|processing|none|pt=11@none"));
}

// Rule 20.
TEST_P(ProcessTest, AProcessingTimerForThePastFiresAfterTheRecordThatSetIt) {
  Make();
  ASSERT_TRUE(harness_->SetProcessingTime(100).ok());
  Add("a", "P+10");
  EXPECT_THAT(Out(), ElementsAre("a|processing|none|pt=100@none"));
}

// Rule 22, where it differs from Flink.
TEST_P(ProcessTest, AtTheEndStandingProcessingTimersFireOnceAndNewOnesAreDropped) {
  Make("P+500");
  Add("b", "P+300");
  Add("a", "P+200");
  ASSERT_TRUE(harness_->Finish().ok());
  EXPECT_THAT(Out(), ElementsAre("a|processing|none|pt=0@none", "b|processing|none|pt=0@none"));
  EXPECT_EQ(harness_->counter("processingTimersDroppedAtEnd"), 2U);
  Make("E+500");
  Add("a", "P+200");
  Add("b", "P+200");
  ASSERT_TRUE(harness_->Watermark(kMaxTicks - 1).ok());
}

TEST_P(ProcessTest, ASideOutputHasARecordForEachEmit) {
  Make();
  Add("a", "x", 3);
  Add("b", "y", 4);
  EXPECT_THAT(harness_->Take<std::string>(1),
              ElementsAre(Timed<std::string>{"ax", 3}, Timed<std::string>{"by", 4}));
}

struct Repeat : ProcessFunction<std::int64_t, std::int64_t> {
  void Process(const std::int64_t& n, Context& ctx) override {
    for (std::int64_t i = 0; i < n; ++i) ctx.Emit(n);
  }
};

TEST(ProcessFunctionTest, EmitsWithTheTimestampOfTheRecord) {
  JobDefinition definition;
  const auto define = [](Job& job) {
    job.From<std::int64_t>("in", Files{.path = "x"}).Process<Repeat>("repeat").To("out", Print{});
  };
  DefineJob(define, {}, definition);
  OperatorHarness harness(definition.nodes[1].make_operator);
  harness.AddOutput<std::int64_t>();
  ASSERT_TRUE(harness.Open().ok());
  ASSERT_TRUE(harness.Process<std::int64_t>({{2, 7}, {0, 8}, {1, kMinTicks}}).ok());
  EXPECT_THAT(harness.Take<std::int64_t>(),
              ElementsAre(Timed<std::int64_t>{2, 7}, Timed<std::int64_t>{2, 7},
                          Timed<std::int64_t>{1, kMinTicks}));
}

// Fires at its time; then as often again as its record says, with a detour for "b".
struct Again : KeyedProcess<std::string, Command, std::string> {
  EventTimer due{this, "due"};
  ValueState<std::int64_t> left{this, "left"};
  void Process(const Command& command, Context& ctx) override {
    left.Set(std::stoll(command.text));
    due.Set(ctx.timestamp());
  }
  void OnTimer(const EventTimer&, Context& ctx) override {
    ctx.Emit(ctx.key() + (due.IsSet() || due.Time().has_value() || due.AnySet() ? " set" : ""));
    if (left.Get() == 0) return left.Clear();
    left.Set(left.Get() - 1);
    due.Set(ctx.timestamp() + Duration(1));
    EXPECT_TRUE(due.IsSet() && due.AnySet());
    if (ctx.key() != "b") return;
    due.Clear();
    EXPECT_FALSE(due.IsSet());
    due.Set(ctx.timestamp() + Duration(2));
  }
};

// Rule 18.
TEST(ProcessFunctionTest, ATimerIsNotSetWhileItFiresUntilItIsSetAgain) {
  JobDefinition definition;
  const DefineInput input;
  internal::GraphBuilder graph(input, definition);
  Job(graph)
      .From<Command>("in", Files{.path = "x"})
      .KeyBy(&Command::key)
      .Process<Again>("t")
      .To("out", Print{});
  for (const std::string key : {"a", "b"}) {
    OperatorHarness harness(definition.nodes[1].make_operator, {});
    harness.AddOutput<std::string>();
    ASSERT_TRUE(harness.Open().ok());
    ASSERT_TRUE(harness.Process<Command>({{{key, "2"}, 10}}).ok());
    ASSERT_TRUE(harness.Watermark(10).ok());
    ASSERT_TRUE(harness.Watermark(20).ok());
    std::vector<Ticks> times;
    for (const auto& out : harness.Take<std::string>()) {
      EXPECT_EQ(out.value, key);
      times.push_back(out.timestamp);
    }
    const Ticks step = key == "b" ? 2 : 1;
    EXPECT_THAT(times, ElementsAre(10, 10 + step, 10 + 2 * step));
    for (KeyedStateTable* table : harness.op().keyed_state()) EXPECT_EQ(table->entries(), 0u);
  }
}

struct Mover : KeyedProcess<std::int64_t, std::int64_t, std::int64_t> {
  EventTimer timer{this, "timer"};
  void Process(const std::int64_t& n, Context& ctx) override {
    timer.Set(ctx.timestamp() + Duration(n % 3 == 0 ? 1000 : 5));
  }
  void OnTimer(const EventTimer&, Context& ctx) override { ctx.Emit(ctx.key()); }
};

TEST(ProcessFunctionTest, ATimerThatIsMovedAllTheTimeFiresOnceAtTheEnd) {
  JobDefinition definition;
  const auto define = [](Job& job) {
    job.From<std::int64_t>("in", Files{.path = "x"})
        .KeyBy([](const std::int64_t& n) { return n % 10; })
        .Process<Mover>("m")
        .To("out", Print{});
  };
  DefineJob(define, {}, definition);
  OperatorHarness harness(definition.nodes[1].make_operator);
  harness.AddOutput<std::int64_t>();
  ASSERT_TRUE(harness.Open().ok());
  for (std::int64_t i = 0; i < 20'000; ++i)
    ASSERT_TRUE(harness.Process<std::int64_t>({{i, i}}).ok());
  ASSERT_TRUE(harness.Watermark(kMaxTicks).ok());
  EXPECT_EQ(harness.Take<std::int64_t>().size(), 10U);
}

// A record sets timers for its times, and says which of them were set before.
struct Alarm {
  std::string key;
  std::vector<Ticks> times;
};
struct Alarms : KeyedProcess<std::string, Alarm, std::string> {
  EventTimers alarms{this, "alarms"};
  ProcessingTimers clocks{this, "clocks"};
  void Process(const Alarm& alarm, Context& ctx) override {
    std::string text = ctx.key() + ":";
    for (const Ticks ticks : alarm.times) {
      const auto time = EventTime::FromTicks(ticks < 0 ? -ticks : ticks);
      if (ticks == 0) {
        alarms.Clear();
      } else if (ticks < 0) {
        text += alarms.Delete(time) ? " deleted" : " absent";
      } else {
        text += alarms.IsSet(time) ? " set" : " new";
        alarms.Set(time);
        clocks.Set(time);
      }
    }
    ctx.Emit(text);
  }
  void OnTimer(const EventTimers& of, EventTime time, Context& ctx) override {
    EXPECT_TRUE(of == alarms);
    EXPECT_EQ(ctx.timestamp(), time);
    ctx.Emit(ctx.key() + std::to_string(time.ticks()));
  }
  void OnTimer(const ProcessingTimers& of, EventTime time, Context& ctx) override {
    EXPECT_TRUE(of == clocks);
    EXPECT_FALSE(ctx.has_timestamp());
    ctx.Emit("clock " + ctx.key() + std::to_string(time.ticks()));
  }
};
OperatorHarness::Factory AlarmsOperator() {
  JobDefinition definition;
  const auto define = [](Job& job) {
    job.From<Alarm>("in", Files{.path = "x"})
        .KeyBy(&Alarm::key)
        .Process<Alarms>("alarms")
        .To("out", Print{});
  };
  DefineJob(define, {}, definition);
  EXPECT_THAT(definition.errors, IsEmpty());
  return definition.nodes[1].make_operator;
}
std::vector<std::string> TextsOf(OperatorHarness& harness) {
  std::vector<std::string> texts;
  for (const auto& out : harness.Take<std::string>()) texts.push_back(out.value);
  return texts;
}

// Rules 18 and 19
TEST(ManyTimersTest, AKeyHasOneForEachTimeInEveryMode) {
  for (const testing::HarnessMode& mode : testing::AllHarnessModes()) {
    SCOPED_TRACE(mode.name);
    testing::HarnessOptions options;
    options.mode = mode;
    OperatorHarness harness(AlarmsOperator(), options);
    harness.AddOutput<std::string>();
    ASSERT_TRUE(harness.Open().ok());
    ASSERT_TRUE(harness.Process<Alarm>({{{"b", {30, 10, 30}}, 1}, {{"a", {20, 10}}, 1}}).ok());
    EXPECT_THAT(TextsOf(harness), ElementsAre("b: new new set", "a: new new"));
    ASSERT_TRUE(harness.Process<Alarm>({{{"a", {-20, -20, 25}}, 2}}).ok());
    EXPECT_THAT(TextsOf(harness), ElementsAre("a: deleted absent new"));
    ASSERT_TRUE(harness.Watermark(20).ok());
    EXPECT_THAT(TextsOf(harness), ElementsAre("a10", "b10"));
    ASSERT_TRUE(harness.Process<Alarm>({{{"b", {0, 40}}, 3}}).ok());
    EXPECT_THAT(TextsOf(harness), ElementsAre("b: new"));
    ASSERT_TRUE(harness.Watermark(100).ok());
    EXPECT_THAT(TextsOf(harness), ElementsAre("a25", "b40"));
    ASSERT_TRUE(harness.SetProcessingTime(21).ok());
    EXPECT_THAT(TextsOf(harness), ElementsAre("clock a10", "clock b10", "clock a20"));
    ASSERT_TRUE(harness.Finish().ok());
    EXPECT_THAT(TextsOf(harness), ElementsAre("clock a25", "clock b30", "clock b40"));
  }
}

// Rule 49
TEST(ManyTimersTest, TheyMoveWithTheirKeys) {
  OperatorHarness whole(AlarmsOperator());
  whole.AddOutput<std::string>();
  ASSERT_TRUE(whole.Open().ok());
  std::vector<std::string> expected;
  for (int i = 0; i < 20; ++i) {
    const std::string key = "k" + std::to_string(i) + " ";
    ASSERT_TRUE(whole.Process<Alarm>({{{key, {5, 7}}, 1}}).ok());
    expected.insert(expected.end(), {key + "5", key + "7"});
  }
  const testing::HarnessSnapshot snapshot = whole.Snapshot();
  std::vector<std::string> fired;
  for (std::uint32_t subtask = 0; subtask < 2; ++subtask) {
    testing::HarnessOptions options;
    options.subtask = subtask;
    options.parallelism = 2;
    OperatorHarness half(AlarmsOperator(), options);
    half.AddOutput<std::string>();
    ASSERT_TRUE(half.Restore(testing::Rescaled({snapshot}, subtask, 2)).ok());
    ASSERT_TRUE(half.Watermark(10).ok());
    const std::vector<std::string> texts = TextsOf(half);
    EXPECT_THAT(texts, ::testing::Not(IsEmpty()));
    fired.insert(fired.end(), texts.begin(), texts.end());
  }
  EXPECT_THAT(fired, ::testing::UnorderedElementsAreArray(expected));
}

}  // namespace
}  // namespace weir
