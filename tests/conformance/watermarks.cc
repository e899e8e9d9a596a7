// What makes and combines watermarks: the classes of runtime/time.
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/time/source_watermarks.h"
#include "runtime/time/watermark_combiner.h"
#include "runtime/time/watermark_valve.h"
#include "tests/conformance/kinds.h"
#include "tests/conformance/watermark_strategy.h"

namespace weir::conformance {
namespace {

// The clock of idleness starts here.
constexpr Ticks kFirstClock = 1000;

void Add(const TimeEvents& events, Outputs& out) {
  for (const TimeEvent& event : events) {
    if (event.kind == TimeEventKind::kWatermark) {
      out.Watermark(event.time);
    } else {
      out.Idle(event.kind == TimeEventKind::kIdle);
    }
  }
}

void Unknown(const CaseValue& step) { step.Problem("a step is not known: " + step.Json()); }

// Numbers the names of splits.
class Splits {
 public:
  uint32_t Of(const std::string& name) {
    return splits_.emplace(name, static_cast<uint32_t>(splits_.size())).first->second;
  }

 private:
  std::map<std::string, uint32_t> splits_;
};

// A batch of one record, whose time is its value.
std::unique_ptr<BatchBase> OneRecord(const CaseRecord& record) {
  auto batch = std::make_unique<Batch<CaseRecord>>();
  batch->records.emplace_back(record);
  batch->timestamps.emplace_back(record.value);
  return batch;
}

// Semantics rules 24 and 25.
class Valve final : public Subject {
 public:
  explicit Valve(std::size_t channels) : channels_(channels), valve_(channels) {}
  absl::Status Take(const CaseValue& step, Outputs& out) override {
    const auto channel = static_cast<std::size_t>(step.Number("channel"));
    TimeEvents events;
    if (channel >= channels_) {
      step.Problem(absl::StrCat("there is no channel ", channel));
    } else if (step.Has("end")) {
      valve_.OnFinished(channel, events);
    } else if (step.Has("watermark")) {
      valve_.OnWatermark(channel, step.Number("watermark"), events);
    } else if (step.Has("idle")) {
      step.Flag("idle") ? valve_.OnIdle(channel, events) : valve_.OnActive(channel, events);
    } else {
      Unknown(step);
    }
    Add(events, out);
    return absl::OkStatus();
  }

 private:
  const std::size_t channels_;
  WatermarkValve valve_;
};

// Semantics rule 26.
class Combined final : public Subject {
 public:
  explicit Combined(std::size_t inputs) : inputs_(inputs), combined_(inputs) {}
  absl::Status Take(const CaseValue& step, Outputs& out) override {
    const auto input = static_cast<std::size_t>(step.Number("input"));
    TimeEvent event;
    if (input >= inputs_) {
      step.Problem(absl::StrCat("there is no input ", input));
      return absl::OkStatus();
    }
    if (step.Has("watermark")) {
      event.time = step.Number("watermark");
    } else if (step.Has("idle")) {
      event.kind = step.Flag("idle") ? TimeEventKind::kIdle : TimeEventKind::kActive;
    } else {
      Unknown(step);
      return absl::OkStatus();
    }
    TimeEvents events;
    combined_.OnEvent(input, event, events);
    Add(events, out);
    return absl::OkStatus();
  }

 private:
  const std::size_t inputs_;
  InputWatermarks combined_;
};

class Multiplexer final : public Subject {
 public:
  absl::Status Take(const CaseValue& step, Outputs& out) override {
    TimeEvents events;
    if (step.Has("register")) {
      watermarks_.combined().Add(splits_.Of(step.Text("register")));
    } else if (step.Has("unregister")) {
      watermarks_.combined().Remove(splits_.Of(step.Text("unregister")));
    } else if (step.Flag("periodic")) {
      watermarks_.Emit(events);
    } else if (step.Has("split")) {
      const uint32_t split = splits_.Of(step.Text("split"));
      const std::string mode = step.Text("mode");
      if (mode != "immediate" && mode != "deferred")
        step.Problem("the mode '" + mode + "' is not known");
      bool changed = true;
      if (step.Has("watermark")) {
        changed = watermarks_.combined().SetWatermark(split, step.Number("watermark"));
      } else {
        watermarks_.combined().SetIdle(split, step.Flag("idle"));
      }
      if (changed && mode == "immediate") watermarks_.Emit(events);
    } else {
      Unknown(step);
    }
    Add(events, out);
    return absl::OkStatus();
  }

 private:
  Splits splits_;
  SplitWatermarks watermarks_;
};

// Semantics rules 23 and 28.
class Generator final : public Subject {
 public:
  explicit Generator(WatermarkSettings settings)
      : settings_(std::move(settings)),
        generator_(MakeSplitGenerator(settings_), settings_.idle_after) {}
  absl::Status Take(const CaseValue& step, Outputs& out) override {
    TimeEvents events;
    if (step.Has("clock")) {
      clock_ = step.Number("clock");
    } else if (step.Flag("periodic")) {
      if (const auto event = generator_.OnPeriodic(clock_)) events.push_back(*event);
    } else if (step.Has("record")) {
      const CaseRecord record = RecordOf(step.Object("record"));
      std::size_t next = 0;
      const auto watermark = generator_.OnRecords(*OneRecord(record), next, record.value);
      if (watermark.has_value()) events.push_back({TimeEventKind::kWatermark, *watermark});
    } else {
      Unknown(step);
    }
    Add(events, out);
    return absl::OkStatus();
  }

 private:
  const WatermarkSettings settings_;
  IdlenessWatermarkGenerator generator_;
  Ticks clock_ = kFirstClock;
};

// Semantics rules 23, 26 and 28.
class Source final : public Subject {
 public:
  explicit Source(WatermarkSettings settings)
      : settings_(std::move(settings)), watermarks_(settings_) {}
  absl::Status Take(const CaseValue& step, Outputs& out) override {
    TimeEvents events;
    if (step.Has("register")) {
      watermarks_.AddSplit(splits_.Of(step.Text("register")), clock_);
    } else if (step.Has("unregister")) {
      watermarks_.RemoveSplit(splits_.Of(step.Text("unregister")));
    } else if (step.Has("clock")) {
      clock_ = step.Number("clock");
    } else if (step.Has("pause")) {
      watermarks_.SetPaused(splits_.Of(step.Text("pause")), true, clock_);
    } else if (step.Has("resume")) {
      watermarks_.SetPaused(splits_.Of(step.Text("resume")), false, clock_);
    } else if (step.Has("backpressure")) {
      watermarks_.SetBackpressured(step.Flag("backpressure"), clock_);
    } else if (step.Flag("periodic")) {
      watermarks_.OnPeriodic(clock_, events);
    } else if (step.Has("record")) {
      const CaseRecord record = RecordOf(step.Object("record"));
      std::size_t next = 0;
      out.Result(absl::StrCat(record.key, "|", record.value), record.value);
      watermarks_.OnRecords(splits_.Of(step.Text("split")), *OneRecord(record), next, record.value,
                            events);
    } else {
      Unknown(step);
    }
    Add(events, out);
    return absl::OkStatus();
  }

 private:
  Splits splits_;
  const WatermarkSettings settings_;
  SourceWatermarks watermarks_;
  Ticks clock_ = kFirstClock;
};

absl::StatusOr<std::size_t> CountOf(const CaseValue& op, const char* field) {
  const std::int64_t count = op.Number(field);
  if (count <= 0 || count > 1'000'000)
    return absl::InvalidArgumentError(absl::StrCat(field, " must be between 1 and 1000000"));
  return static_cast<std::size_t>(count);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Subject>> MakeValve(const Case& test,
                                                   const testing::HarnessOptions&) {
  const absl::StatusOr<std::size_t> channels = CountOf(test.op(), "channels");
  if (!channels.ok()) return channels.status();
  return std::make_unique<Valve>(*channels);
}
absl::StatusOr<std::unique_ptr<Subject>> MakeCombined(const Case& test,
                                                      const testing::HarnessOptions&) {
  const absl::StatusOr<std::size_t> inputs = CountOf(test.op(), "inputs");
  if (!inputs.ok()) return inputs.status();
  return std::make_unique<Combined>(*inputs);
}
absl::StatusOr<std::unique_ptr<Subject>> MakeMultiplexer(const Case&,
                                                         const testing::HarnessOptions&) {
  return std::make_unique<Multiplexer>();
}
absl::StatusOr<std::unique_ptr<Subject>> MakeGenerator(const Case& test,
                                                       const testing::HarnessOptions&) {
  auto settings = WatermarkSettingsOf(test.op(), true);
  if (!settings.ok()) return settings.status();
  return std::make_unique<Generator>(*std::move(settings));
}
absl::StatusOr<std::unique_ptr<Subject>> MakeSource(const Case& test,
                                                    const testing::HarnessOptions&) {
  auto settings = WatermarkSettingsOf(test.op(), true);
  if (!settings.ok()) return settings.status();
  return std::make_unique<Source>(*std::move(settings));
}

}  // namespace weir::conformance
