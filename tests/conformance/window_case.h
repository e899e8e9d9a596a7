#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tests/conformance/operator_subject.h"
#include "weir/window_stream.h"

// Windows as cases describe them: their functions, evictors, triggers and assigners, on a keyed
// stream or on one without keys.
namespace weir::conformance {

inline constexpr SideOutput<CaseRecord> kLate{"late"};

// ---- Functions.

// A key as results have it.
inline const std::string& KeyText(const std::string& key) { return key; }
inline std::string KeyText(const AllRecords&) { return "*"; }
inline std::string KeyOf(const CaseRecord& record, const std::string*) { return record.key; }
inline AllRecords KeyOf(const CaseRecord&, const AllRecords*) { return {}; }

template <class Key>
std::string Prefix(const Key& key, const TimeWindow& window) {
  if (window.start == EventTime::Min()) return KeyText(key) + "|global|";
  return KeyText(key) + "|" + std::to_string(window.start.ticks()) + "|" +
         std::to_string(window.end.ticks()) + "|";
}

// Those that see all elements: collect, sorted, context, and behind an evictor the others too.
template <class Key>
struct Listing : WindowProcess<Key, CaseRecord, std::string> {
  using typename WindowProcess<Key, CaseRecord, std::string>::Context;
  explicit Listing(std::string what_in) : what(std::move(what_in)) {}
  const std::string what;

  void OnWindow(const WindowElements<CaseRecord>& elements, Context& context) override {
    context.Emit(Prefix(context.key(), context.window()) + Describe(elements, context));
  }

 private:
  std::string Describe(const WindowElements<CaseRecord>& elements, const Context& context) const {
    if (what == "count") return std::to_string(elements.size());
    if (what == "context") {
      return std::to_string(elements.size()) +
             "|wm=" + std::to_string(context.watermark().ticks()) +
             "|pt=" + std::to_string(context.now().ticks());
    }
    std::vector<std::int64_t> values;
    for (const CaseRecord& record : elements) values.push_back(record.value);
    if (what == "sorted") std::sort(values.begin(), values.end());
    std::string text = "[";
    for (const std::int64_t value : values)
      text += (text.size() > 1 ? "," : "") + std::to_string(value);
    return text + "]";
  }
};

struct FiringCount {
  std::int64_t count = 0;
};
template <class Key>
struct Firings : WindowProcess<Key, CaseRecord, std::string, FiringCount> {
  using typename WindowProcess<Key, CaseRecord, std::string, FiringCount>::Context;
  ValueState<std::int64_t> all{this, "all"};
  void OnWindow(const WindowElements<CaseRecord>& elements, Context& context) override {
    ++context.window_state().count;
    ++all.Mutable();
    context.Emit(Prefix(context.key(), context.window()) + std::to_string(elements.size()) +
                 "|window=" + std::to_string(context.window_state().count) +
                 "|all=" + std::to_string(all.Get()));
  }
};

// The pre-aggregated ones.
struct CaseAggregate {
  std::string what;
  struct Accumulator {
    std::int64_t value = 0;
    bool any = false;
  };
  void Add(Accumulator& acc, const CaseRecord& record) const {
    Merge(acc, {what == "count" ? 1 : record.value, true});
  }
  void Merge(Accumulator& into, const Accumulator& from) const {
    if (!from.any) return;
    if (!into.any) {
      into = from;
    } else if (what == "min") {
      into.value = std::min(into.value, from.value);
    } else if (what == "max") {
      into.value = std::max(into.value, from.value);
    } else if (what == "reduce_last") {
      into.value = from.value;
    } else {
      into.value += from.value;
    }
  }
  std::int64_t Result(const Accumulator& acc) const { return acc.value; }
};

template <class Windows>
void AddFunction(const Windows& windows, const CaseValue& op) {
  using Key = typename Windows::Key;
  static const std::vector<std::string> listed = {"collect", "sorted", "context"};
  static const std::vector<std::string> aggregated = {"sum", "count",      "min",
                                                      "max", "reduce_sum", "reduce_last"};
  const auto among = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  const std::string what = op.Object("function").Text("type");
  const bool late = op.Flag("late_output");
  const auto finish = [&](const auto& out) {
    out.To("out", Print{});
    if (late) out.Side(kLate).To("late", Print{});
  };
  if (what == "firings") {
    finish(windows.template Process<Firings<Key>>("window"));
  } else if (among(listed, what) || (what == "count" && op.Has("evictor"))) {
    finish(windows.template Process<Listing<Key>>("window", what));
  } else if (among(aggregated, what) && !op.Has("evictor")) {
    finish(windows.Aggregate("window", CaseAggregate{what},
                             [](const Key& key, const TimeWindow& window, std::int64_t value) {
                               return Prefix(key, window) + std::to_string(value);
                             }));
  } else {
    op.Problem("the function '" + what + "'" + (op.Has("evictor") ? " with an evictor" : "") +
               " is not known");
  }
}

// Reduce as aligned windows have it: its result is a record, and of the window it has the time.
template <class Windows>
void AddReduce(const Windows& windows, Duration size, bool last, OperatorUnderTest& made) {
  using Key = typename Windows::Key;
  made.text_of = [size](const CaseRecord& record, Ticks timestamp) {
    const auto end = EventTime::FromTicks(timestamp + 1);
    return Prefix(KeyOf(record, static_cast<const Key*>(nullptr)), {end - size, end}) +
           std::to_string(record.value);
  };
  const auto out =
      windows.Reduce("window", [last](const CaseRecord& before, const CaseRecord& next) {
        CaseRecord reduced = next;
        if (!last) reduced.value += before.value;
        return reduced;
      });
  out.To("out", Print{});
  if (!made.sides.empty()) out.Side(kLate).To("late", Print{});
}

// ---- Evictors, triggers.

inline double Difference(const CaseRecord& a, const CaseRecord& b) {
  return static_cast<double>(b.value - a.value);
}

template <class Windows>
void AddEvictor(Windows windows, const CaseValue& op) {
  if (op.Has("evictor")) {
    const CaseValue& evictor = op.Object("evictor");
    const std::string type = evictor.Text("type");
    const bool after = evictor.Flag("after");
    if (type == "count") {
      windows = windows.Evict(CountEvictor{static_cast<std::size_t>(evictor.Number("n")), after});
    } else if (type == "time") {
      windows = windows.Evict(TimeEvictor{Duration(evictor.Number("size")), after});
    } else if (type == "delta") {
      windows = windows.Evict(
          DeltaEvictor{static_cast<double>(evictor.Number("threshold")), &Difference, after});
    } else {
      op.Problem("the evictor '" + type + "' is not known");
    }
  }
  windows = windows.AllowLateness(Duration(op.NumberOr("lateness", 0)));
  if (op.Flag("late_output")) windows = windows.SideOutputLate(kLate);
  AddFunction(windows, op);
}

using Delta = DeltaTrigger<CaseRecord, double (*)(const CaseRecord&, const CaseRecord&)>;

template <class Windows>
void AddTrigger(const Windows& windows, const CaseValue& op) {
  if (!op.Has("trigger")) return AddEvictor(windows, op);
  const CaseValue& outer = op.Object("trigger");
  const bool purges = outer.Text("type") == "purging";
  const CaseValue& trigger = purges ? outer.Object("of") : outer;
  const std::string type = trigger.Text("type");
  const auto add = [&](const auto& made) {
    if (purges) {
      AddEvictor(windows.Trigger(Purging{made}), op);
    } else {
      AddEvictor(windows.Trigger(made), op);
    }
  };
  if (type == "count") {
    add(CountTrigger{trigger.Number("n")});
  } else if (type == "event_time") {
    add(EventTimeTrigger{});
  } else if (type == "processing_time") {
    add(ProcessingTimeTrigger{});
  } else if (type == "continuous_event_time") {
    add(ContinuousEventTimeTrigger{Duration(trigger.Number("interval"))});
  } else if (type == "continuous_processing_time") {
    add(ContinuousProcessingTimeTrigger{Duration(trigger.Number("interval"))});
  } else if (type == "delta") {
    add(Delta{static_cast<double>(trigger.Number("threshold")), &Difference});
  } else {
    op.Problem("the trigger '" + type + "' is not known");
  }
}

// ---- Assigners.

template <class Keyed>
void AddWindows(const Keyed& keyed, const CaseValue& op, OperatorUnderTest& made) {
  const CaseValue& assigner = op.Object("assigner");
  const std::string type = assigner.Text("type");
  const auto duration = [&](const char* field) { return Duration(assigner.Number(field)); };
  const auto offset = [&] { return Duration(assigner.NumberOr("offset", 0)); };
  const auto gap_of = [](const CaseRecord& record) { return Duration(1 + record.value % 7); };
  const auto add = [&](const auto& windows) { AddTrigger(windows, op); };
  // With nothing said of triggers, aggregations have operators of their own.
  const auto add_aligned = [&](auto windows) {
    const std::string what = op.Object("function").Text("type");
    if (op.Has("trigger") || op.Has("evictor")) return add(windows.Trigger(EventTimeTrigger()));
    windows = windows.AllowLateness(Duration(op.NumberOr("lateness", 0)));
    if (op.Flag("late_output")) windows = windows.SideOutputLate(kLate);
    if (what == "reduce_sum" || what == "reduce_last")
      return AddReduce(windows, duration("size"), what == "reduce_last", made);
    AddFunction(windows, op);
  };
  if (type == "tumbling") {
    add_aligned(keyed.Window(Tumbling{duration("size"), offset()}));
  } else if (type == "sliding") {
    add_aligned(keyed.Window(Sliding{duration("size"), duration("slide"), offset()}));
  } else if (type == "session") {
    add(keyed.Window(Session{duration("gap")}));
  } else if (type == "session_dynamic") {
    add(keyed.Window(SessionBy{gap_of}));
  } else if (type == "tumbling_processing") {
    add(keyed.Window(OnProcessingTime{Tumbling{duration("size"), offset()}}));
  } else if (type == "sliding_processing") {
    add(keyed.Window(OnProcessingTime{Sliding{duration("size"), duration("slide"), offset()}}));
  } else if (type == "session_processing") {
    add(keyed.Window(OnProcessingTime{Session{duration("gap")}}));
  } else if (type == "session_processing_dynamic") {
    add(keyed.Window(OnProcessingTime{SessionBy{gap_of}}));
  } else if (type == "global") {
    add(keyed.Window(Global{}));
  } else if (type == "global_end_of_stream") {
    add(keyed.Window(Global{.at_end = true}));
  } else {
    op.Problem("the assigner '" + type + "' is not known");
  }
}

inline OperatorUnderTest WindowsUnderTest(const CaseValue& op) {
  OperatorUnderTest test;
  if (op.Flag("late_output")) test.sides.push_back({"late"});
  // Which of two windows that fire at one time comes first is open; what counts all firings of a
  // key depends on it.
  test.depends_on_order = "|all=";
  return test;
}

}  // namespace weir::conformance
