// Runs the recorded cases of testdata/watermarks.jsonl (semantics rules 23 to 28) against the
// classes of this folder.
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/time/source_watermarks.h"
#include "runtime/time/watermark_combiner.h"
#include "runtime/time/watermark_valve.h"
#include "simdjson.h"
#include "weir/watermarks.h"

namespace weir {
namespace {

using simdjson::dom::element;

bool Has(element step, const char* key) { return step[key].error() == simdjson::SUCCESS; }
int64_t Int(element step, const char* key) { return step[key].get_int64().value(); }
bool Bool(element step, const char* key) { return step[key].get_bool().value(); }
std::string Text(element step, const char* key) {
  return std::string(step[key].get_string().value());
}

// As a job would say it; a record is its timestamp.
WatermarkSettings SettingsOf(element op) {
  const element strategy = op["strategy"].value();
  const std::string type = Text(strategy, "type");
  Watermarks<int64_t> watermarks{.timestamp = SourceTimestamp{}};
  if (type == "bounded") watermarks.max_delay = Duration(Int(strategy, "bound"));
  if (type == "punctuated") {
    watermarks.generator = Punctuated{[](const int64_t& value) { return value % 2 == 0; }};
  }
  if (type == "none") watermarks.generator = NoWatermarks{};
  if (Has(op, "idle_after")) watermarks.idle_after = Duration(Int(op, "idle_after"));
  const DefineInput input;
  JobDefinition job;
  internal::GraphBuilder graph(input, job);
  WatermarkSettings settings;
  internal::DefineWatermarks(graph, std::source_location::current(), "a source", watermarks, true,
                             settings);
  EXPECT_TRUE(job.errors.empty());
  return settings;
}

std::unique_ptr<BatchBase> OneRecord(int64_t value) {
  auto batch = std::make_unique<Batch<int64_t>>();
  batch->records.emplace_back(value);
  batch->timestamps.emplace_back(value);
  return batch;
}

class Case {
 public:
  virtual ~Case() = default;
  virtual void Step(element step, TimeEvents& out) = 0;
};

class ValveCase final : public Case {
 public:
  explicit ValveCase(element op) : valve_(static_cast<size_t>(Int(op, "channels"))) {}
  void Step(element step, TimeEvents& out) override {
    const auto channel = static_cast<size_t>(Int(step, "channel"));
    if (Has(step, "end")) {
      valve_.OnFinished(channel, out);
    } else if (Has(step, "watermark")) {
      valve_.OnWatermark(channel, Int(step, "watermark"), out);
    } else {
      Bool(step, "idle") ? valve_.OnIdle(channel, out) : valve_.OnActive(channel, out);
    }
  }

 private:
  WatermarkValve valve_;
};

class CombinedCase final : public Case {
 public:
  explicit CombinedCase(element op) : inputs_(static_cast<size_t>(Int(op, "inputs"))) {}
  void Step(element step, TimeEvents& out) override {
    TimeEvent event;
    if (Has(step, "watermark")) {
      event = {TimeEventKind::kWatermark, Int(step, "watermark")};
    } else {
      event.kind = Bool(step, "idle") ? TimeEventKind::kIdle : TimeEventKind::kActive;
    }
    inputs_.OnEvent(static_cast<size_t>(Int(step, "input")), event, out);
  }

 private:
  InputWatermarks inputs_;
};

class MultiplexerCase final : public Case {
 public:
  void Step(element step, TimeEvents& out) override {
    if (Has(step, "register")) {
      multiplexer_.combined().Add(Split(Text(step, "register")));
    } else if (Has(step, "unregister")) {
      multiplexer_.combined().Remove(Split(Text(step, "unregister")));
    } else if (Has(step, "periodic")) {
      multiplexer_.Emit(out);
    } else {
      const uint32_t split = Split(Text(step, "split"));
      bool changed = true;
      if (Has(step, "watermark")) {
        changed = multiplexer_.combined().SetWatermark(split, Int(step, "watermark"));
      } else {
        multiplexer_.combined().SetIdle(split, Bool(step, "idle"));
      }
      if (changed && Text(step, "mode") == "immediate") multiplexer_.Emit(out);
    }
  }

 private:
  uint32_t Split(const std::string& name) {
    return splits_.emplace(name, static_cast<uint32_t>(splits_.size())).first->second;
  }
  std::map<std::string, uint32_t> splits_;
  SplitWatermarks multiplexer_;
};

class GeneratorCase final : public Case {
 public:
  explicit GeneratorCase(element op)
      : settings_(SettingsOf(op)),
        generator_(MakeSplitGenerator(settings_), settings_.idle_after) {}
  void Step(element step, TimeEvents& out) override {
    if (Has(step, "clock")) {
      clock_ = Int(step, "clock");
    } else if (Has(step, "periodic")) {
      if (auto event = generator_.OnPeriodic(clock_)) out.push_back(*event);
    } else {
      const int64_t value = Int(step["record"].value(), "value");
      size_t next = 0;
      const auto watermark = generator_.OnRecords(*OneRecord(value), next, value);
      EXPECT_EQ(next, 1u);
      if (watermark) out.push_back({TimeEventKind::kWatermark, *watermark});
    }
  }

 private:
  const WatermarkSettings settings_;
  IdlenessWatermarkGenerator generator_;
  Ticks clock_ = 1000;
};

class SourceCase final : public Case {
 public:
  explicit SourceCase(element op) : settings_(SettingsOf(op)), watermarks_(settings_) {}
  void Step(element step, TimeEvents& out) override {
    if (Has(step, "register")) {
      watermarks_.AddSplit(Split(Text(step, "register")), clock_);
    } else if (Has(step, "unregister")) {
      watermarks_.RemoveSplit(Split(Text(step, "unregister")));
    } else if (Has(step, "clock")) {
      clock_ = Int(step, "clock");
    } else if (Has(step, "pause")) {
      watermarks_.SetPaused(Split(Text(step, "pause")), true, clock_);
    } else if (Has(step, "resume")) {
      watermarks_.SetPaused(Split(Text(step, "resume")), false, clock_);
    } else if (Has(step, "backpressure")) {
      watermarks_.SetBackpressured(Bool(step, "backpressure"), clock_);
    } else if (Has(step, "periodic")) {
      watermarks_.OnPeriodic(clock_, out);
    } else {
      const int64_t value = Int(step["record"].value(), "value");
      size_t next = 0;
      watermarks_.OnRecords(Split(Text(step, "split")), *OneRecord(value), next, value, out);
    }
  }

 private:
  uint32_t Split(const std::string& name) {
    return splits_.emplace(name, static_cast<uint32_t>(splits_.size())).first->second;
  }
  const WatermarkSettings settings_;
  SourceWatermarks watermarks_;
  std::map<std::string, uint32_t> splits_;
  Ticks clock_ = 1000;
};

std::unique_ptr<Case> MakeCase(const std::string& kind, element op) {
  if (kind == "valve") return std::make_unique<ValveCase>(op);
  if (kind == "combined") return std::make_unique<CombinedCase>(op);
  if (kind == "multiplexer") return std::make_unique<MultiplexerCase>();
  if (kind == "watermark_generator") return std::make_unique<GeneratorCase>(op);
  if (kind == "source") return std::make_unique<SourceCase>(op);
  return nullptr;
}

std::string Describe(const TimeEvents& events) {
  std::string text;
  for (const TimeEvent& event : events) {
    text += event.kind == TimeEventKind::kWatermark
                ? "watermark " + std::to_string(event.time) + "; "
            : event.kind == TimeEventKind::kIdle ? "idle; "
                                                 : "active; ";
  }
  return text;
}

// What a case says, without the records themselves: they go straight through.
TimeEvents Expected(element outputs) {
  TimeEvents events;
  for (const element output : outputs.get_array()) {
    if (Has(output, "watermark")) {
      events.push_back({TimeEventKind::kWatermark, Int(output, "watermark")});
    } else if (Has(output, "idle")) {
      events.push_back({Bool(output, "idle") ? TimeEventKind::kIdle : TimeEventKind::kActive});
    }
  }
  return events;
}

TEST(WatermarkConformance, EveryRecordedCaseOfRules23To28GivesWhatWasRecorded) {
  simdjson::dom::parser parser;
  std::map<std::string, int> cases;
  const simdjson::padded_string file =
      simdjson::padded_string::load(WEIR_TIME_TESTDATA "/watermarks.jsonl").value();
  std::string_view rest = file;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    const element recorded = parser.parse(std::string(rest.substr(0, end))).value();
    rest.remove_prefix(end + 1);
    SCOPED_TRACE(Text(recorded, "name"));
    const element op = recorded["operator"].value();
    const std::string kind = Text(op, "kind");
    const bool differs = Has(recorded, "differs");  // Rule 25: compared up to the first MAX
    std::unique_ptr<Case> run = MakeCase(kind, op);
    ASSERT_NE(run, nullptr) << kind;
    ++cases[kind];
    auto expected = recorded["output"].get_array().value().begin();
    int step_index = 0;
    for (const element step : recorded["input"].get_array()) {
      TimeEvents out;
      run->Step(step, out);
      const TimeEvents expected_now = Expected(*expected);
      ++expected;
      bool has_max = false;
      for (const TimeEvent& event : expected_now) has_max = has_max || event.time == kMaxTicks;
      if (differs && has_max) break;
      EXPECT_EQ(Describe(out), Describe(expected_now)) << "step " << step_index;
      if (Describe(out) != Describe(expected_now)) break;
      ++step_index;
    }
  }
  EXPECT_EQ(cases, (std::map<std::string, int>{{"combined", 51},
                                               {"multiplexer", 85},
                                               {"source", 71},
                                               {"valve", 194},
                                               {"watermark_generator", 61}}));
}

TEST(WatermarkValve, KeepsAFinishedChannelOutWhenTheOthersGoIdle) {  // Rule 25, Flink 38477
  WatermarkValve valve(3);
  TimeEvents out;
  valve.OnFinished(0, out);
  valve.OnWatermark(1, 8, out);
  valve.OnWatermark(2, 12, out);
  EXPECT_EQ(Describe(out), "watermark 8; ");
  out.clear();
  valve.OnIdle(1, out);
  EXPECT_EQ(Describe(out), "watermark 12; ");
  out.clear();
  valve.OnIdle(2, out);
  EXPECT_EQ(Describe(out), "idle; ");
  out.clear();
  valve.OnActive(2, out);
  valve.OnWatermark(2, 13, out);
  EXPECT_EQ(Describe(out), "active; watermark 13; ");
  out.clear();
  valve.OnWatermark(2, kMaxTicks, out);
  EXPECT_EQ(Describe(out), "idle; ") << "channel 1 is idle at 8, which was passed on";
  out.clear();
  valve.OnFinished(1, out);
  EXPECT_EQ(Describe(out), "active; watermark 9223372036854775807; ");
}

TEST(WatermarkValve, FlushesTheGreatestOfTheIdleOnesWhenTheLastActiveChannelFinishes) {  // Rule 25
  WatermarkValve valve(2);
  TimeEvents out;
  valve.OnWatermark(0, 20, out);
  valve.OnWatermark(1, 5, out);
  valve.OnIdle(0, out);
  valve.OnFinished(1, out);
  EXPECT_EQ(Describe(out), "watermark 5; watermark 20; idle; ");
}

TEST(InputWatermarks, AnInputAtMaxIsFinishedAndTheOtherMayGoIdle) {  // Rules 25 and 26
  InputWatermarks inputs(2);
  TimeEvents out;
  inputs.OnEvent(0, {TimeEventKind::kWatermark, 7}, out);
  inputs.OnEvent(1, {TimeEventKind::kWatermark, kMaxTicks}, out);
  inputs.OnEvent(0, {TimeEventKind::kIdle}, out);
  EXPECT_EQ(Describe(out), "watermark 7; idle; ");
}

TEST(SourceWatermarks, AnEmissionOutOfTurnDoesNotStartTheClockOfIdleness) {  // Rule 28
  SourceWatermarks watermarks([] { return std::make_unique<BoundedOutOfOrderness>(0); }, 50);
  TimeEvents out;
  watermarks.AddSplit(0, 0);
  size_t next = 0;
  watermarks.OnRecords(0, *OneRecord(10), next, 10, out);
  watermarks.EmitNow(out);
  EXPECT_EQ(Describe(out), "watermark 9; ");
  out.clear();
  watermarks.OnPeriodic(10, out);  // finds the record
  watermarks.EmitNow(out);
  watermarks.OnPeriodic(20, out);  // starts the clock
  watermarks.OnPeriodic(70, out);
  EXPECT_EQ(Describe(out), "");
  watermarks.OnPeriodic(71, out);
  EXPECT_EQ(Describe(out), "idle; ");
}

TEST(SourceWatermarks, AWatermarkInTheMiddleOfABatchComesBehindItsRecord) {  // Rule 26
  WatermarkSettings settings;
  settings.make_generator =
      GeneratorOf<int64_t>(Punctuated{[](const int64_t& value,
                                         EventTime) -> std::optional<EventTime> {
        if (value % 10 != 0) return std::nullopt;
        return EventTime::FromTicks(value);
      }}).make();
  SourceWatermarks watermarks(settings);
  watermarks.AddSplit(0, 0);
  watermarks.AddSplit(1, 0);
  Batch<int64_t> batch;
  for (const int64_t value : {5, 10, 11, 20, 21}) batch.records.emplace_back(value);
  TimeEvents out;
  size_t next = 0;
  watermarks.OnRecords(0, batch, next, kMinTicks, out);
  EXPECT_EQ(next, 5u) << "the other split holds the watermark: nothing goes downstream in between";
  EXPECT_EQ(Describe(out), "");
  next = 0;
  watermarks.OnRecords(1, batch, next, kMinTicks, out);
  EXPECT_EQ(next, 2u);
  EXPECT_EQ(Describe(out), "watermark 10; ");
  watermarks.OnRecords(1, batch, next, kMinTicks, out);
  EXPECT_EQ(next, 4u);
  watermarks.OnRecords(1, batch, next, kMinTicks, out);
  EXPECT_EQ(next, 5u);
  EXPECT_EQ(Describe(out), "watermark 10; watermark 20; ");
}

TEST(SourceWatermarks, ABoundBeyondTheFirstTimestampsStaysAtMin) {  // Rule 23
  BoundedOutOfOrderness generator(100);
  size_t next = 0;
  EXPECT_EQ(generator.OnRecords(*OneRecord(0), next, kMinTicks + 5), std::nullopt);
  EXPECT_EQ(generator.Periodic(), kMinTicks);
}

}  // namespace
}  // namespace weir
