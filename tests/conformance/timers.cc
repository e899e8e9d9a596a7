// Timers of both times, set and deleted by the text of records; and of a function of two inputs.
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/conformance/kinds.h"
#include "tests/conformance/operator_subject.h"
#include "weir/connected.h"
#include "weir/process.h"

namespace weir::conformance {
namespace {

std::string Text(EventTime time) { return std::to_string(time.ticks()); }

// What is done when a timer fires.
struct OnFired {
  bool when_event = false;
  bool deletes = false;
  bool event = false;
  Ticks plus = 0;
  Ticks until = 0;
};

struct TimerCommands : KeyedProcess<std::string, CaseRecord, std::string> {
  explicit TimerCommands(std::vector<OnFired> on_fired_in) : on_fired(std::move(on_fired_in)) {}
  const std::vector<OnFired> on_fired;
  EventTimers event_timers{this, "event"};
  ProcessingTimers processing_timers{this, "processing"};

  void Process(const CaseRecord& record, Context& context) override {
    Say("record", context.has_timestamp() ? Text(context.timestamp()) : "null", context);
    // "E+5 P-7"
    std::string_view rest = record.text;
    while (!rest.empty()) {
      const std::string_view command = rest.substr(0, rest.find(' '));
      rest.remove_prefix(std::min(rest.size(), command.size() + 1));
      Ticks time = 0;
      const std::string_view number = command.substr(std::min<std::size_t>(2, command.size()));
      std::from_chars(number.data(), number.data() + number.size(), time);
      Do(command.starts_with("E"), command.substr(1).starts_with("-"), time);
    }
  }
  void OnTimer(const EventTimers&, EventTime time, Context& context) override {
    Say("event", Text(time), context);
    Fired(true, time);
  }
  void OnTimer(const ProcessingTimers&, EventTime time, Context& context) override {
    Say("processing", Text(time), context);
    Fired(false, time);
  }

 private:
  static void Say(const char* what, const std::string& time, Context& context) {
    context.Emit(context.key() + "|" + what + "|" + time + "|wm=" + Text(context.watermark()) +
                 "|pt=" + Text(context.now()));
  }
  void Do(bool event, bool deletes, Ticks ticks) {
    const auto time = EventTime::FromTicks(ticks);
    if (event) {
      deletes ? static_cast<void>(event_timers.Delete(time)) : event_timers.Set(time);
    } else {
      deletes ? static_cast<void>(processing_timers.Delete(time)) : processing_timers.Set(time);
    }
  }
  void Fired(bool event, EventTime at) {
    for (const OnFired& entry : on_fired) {
      Ticks time = 0;
      if (entry.when_event != event || __builtin_add_overflow(at.ticks(), entry.plus, &time) ||
          time < 0 || time > entry.until) {
        continue;
      }
      Do(entry.event, entry.deletes, time);
    }
  }
};

bool AreCommands(std::string_view text) {
  while (!text.empty()) {
    const std::string_view command = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), command.size() + 1));
    if (command.size() < 3 || (command[0] != 'E' && command[0] != 'P') ||
        (command[1] != '+' && command[1] != '-')) {
      return false;
    }
    Ticks time = 0;
    const char* const end = command.data() + command.size();
    const auto [parsed, error] = std::from_chars(command.data() + 2, end, time);
    if (error != std::errc() || parsed != end) return false;
  }
  return true;
}

// Whether `value` of `field` is the second of these names; neither: a problem.
bool IsSecond(const CaseValue& entry, const char* field, const char* first, const char* second) {
  const std::string value = entry.Text(field);
  if (value != first && value != second)
    entry.Problem("'" + value + "' as '" + field + "' of on_timer is not known");
  return value == second;
}

// Says with which timer it was called.
struct TwoInputs : KeyedTwoInputProcess<std::string, CaseRecord, CaseRecord, std::string> {
  EventTimers timers{this, "timers"};
  void Process(const CaseRecord& record, Context& context) override { Take(0, record, context); }
  void ProcessSecond(const CaseRecord& record, Context& context) override {
    Take(1, record, context);
  }
  void OnTimer(const EventTimers&, EventTime time, Context& context) override {
    context.Emit(context.key() + "|timer|" + Text(time) + "|wm=" + Text(context.watermark()));
  }

 private:
  void Take(int input, const CaseRecord& record, Context& context) {
    context.Emit(context.key() + "|" + std::to_string(input) + "|" + std::to_string(record.value) +
                 "|wm=" + Text(context.watermark()));
    timers.Set(record.at + Duration(5));
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Subject>> MakeTimers(const Case& test,
                                                    const testing::HarnessOptions& options) {
  std::vector<OnFired> on_fired;
  for (const CaseValue& entry : test.op().List("on_timer")) {
    on_fired.push_back({.when_event = IsSecond(entry, "when", "processing", "event"),
                        .deletes = IsSecond(entry, "do", "set", "delete"),
                        .event = IsSecond(entry, "domain", "processing", "event"),
                        .plus = entry.Number("plus"),
                        .until = entry.Number("until")});
  }
  for (const CaseValue& step : test.steps()) {
    if (step.Has("record") && !AreCommands(step.Object("record").TextOr("text", "")))
      step.Problem("a command is not known: " + step.Json());
  }
  OperatorUnderTest made;
  DefineJob(made, [&](Job& job) {
    job.From<CaseRecord>("in", Files{.path = "x"})
        .KeyBy(&CaseRecord::key)
        .Process<TimerCommands>("timers", on_fired)
        .To("out", Print{});
  });
  return MakeOperatorSubject(std::move(made), options);
}

absl::StatusOr<std::unique_ptr<Subject>> MakeTwoInput(const Case&,
                                                      const testing::HarnessOptions& options) {
  OperatorUnderTest made;
  made.node = 2;
  DefineJob(made, [](Job& job) {
    const auto left = job.From<CaseRecord>("left", Files{.path = "l"}).KeyBy(&CaseRecord::key);
    const auto right = job.From<CaseRecord>("right", Files{.path = "r"}).KeyBy(&CaseRecord::key);
    left.Connect(right).Process<TwoInputs>("both").To("out", Print{});
  });
  return MakeOperatorSubject(std::move(made), options);
}

}  // namespace weir::conformance
