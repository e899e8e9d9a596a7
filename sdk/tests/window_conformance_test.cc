#include <algorithm>
#include <cstdint>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "simdjson.h"
#include "weir/connectors.h"
#include "weir/job.h"
#include "weir/testing.h"
#include "weir/window_stream.h"

namespace weir {

struct WindowRecord {
  std::string key;
  std::int64_t value = 0;
};

namespace {

using simdjson::dom::element;
using testing::HarnessMode;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::OperatorHarness;
using ::testing::UnorderedElementsAreArray;

constexpr SideOutput<WindowRecord> kLate{"late"};

std::string TextOf(element object, const char* key) {
  std::string_view text;
  return object[key].get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}
std::int64_t NumberOf(element object, const char* key) {
  std::int64_t number = 0;
  return object[key].get(number) == simdjson::SUCCESS ? number : 0;
}
bool Flag(element object, const char* key) {
  bool flag = false;
  return object[key].get(flag) == simdjson::SUCCESS && flag;
}

// ---- The functions of the cases.

std::string Prefix(const std::string& key, const TimeWindow& window) {
  if (window.start == EventTime::Min()) return key + "|global|";
  return key + "|" + std::to_string(window.start.ticks()) + "|" +
         std::to_string(window.end.ticks()) + "|";
}

template <class Context>
std::string Describe(const std::string& what, const WindowElements<WindowRecord>& elements,
                     const Context& context) {
  if (what == "count") return std::to_string(elements.size());
  if (what == "context") {
    return std::to_string(elements.size()) + "|wm=" + std::to_string(context.watermark().ticks()) +
           "|pt=" + std::to_string(context.now().ticks());
  }
  std::vector<std::int64_t> values;
  for (const WindowRecord& record : elements) values.push_back(record.value);
  if (what == "sorted") std::sort(values.begin(), values.end());
  std::string text = "[";
  for (const std::int64_t value : values)
    text += (text.size() > 1 ? "," : "") + std::to_string(value);
  return text + "]";
}

struct Listing : WindowProcess<std::string, WindowRecord, std::string> {
  explicit Listing(std::string what_in) : what(std::move(what_in)) {}
  const std::string what;
  void OnWindow(const WindowElements<WindowRecord>& elements, Context& context) override {
    context.Emit(Prefix(context.key(), context.window()) + Describe(what, elements, context));
  }
};

struct FiringCount {
  std::int64_t count = 0;
};
struct Firings : WindowProcess<std::string, WindowRecord, std::string, FiringCount> {
  ValueState<std::int64_t> all{this, "all"};
  void OnWindow(const WindowElements<WindowRecord>& elements, Context& context) override {
    ++context.window_state().count;
    ++all.Mutable();
    context.Emit(Prefix(context.key(), context.window()) + std::to_string(elements.size()) +
                 "|window=" + std::to_string(context.window_state().count) +
                 "|all=" + std::to_string(all.Get()));
  }
};

// The aggregations, chosen when the job is defined.
struct RecordedAggregate {
  std::string what;
  struct Accumulator {
    std::int64_t value = 0;
    bool any = false;
  };
  void Add(Accumulator& acc, const WindowRecord& record) const {
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

// ---- The windows of the cases.

template <class Windows>
void AddFunction(const Windows& windows, element op) {
  const std::string what = TextOf(op["function"].value(), "type");
  const bool late = Flag(op, "late_output");
  const auto finish = [&](auto out) {
    out.To("out", Print{});
    if (late) out.Side(kLate).To("late", Print{});
  };
  element evictor;
  const bool evicts = op["evictor"].get(evictor) == simdjson::SUCCESS && !evictor.is_null();
  if (what == "firings") {
    finish(windows.template Process<Firings>("window"));
  } else if (what == "collect" || what == "sorted" || what == "context" || evicts) {
    finish(windows.template Process<Listing>("window", what));
  } else {
    finish(
        windows.Aggregate("window", RecordedAggregate{what},
                          [](const std::string& key, const TimeWindow& window, std::int64_t value) {
                            return Prefix(key, window) + std::to_string(value);
                          }));
  }
}

double Difference(const WindowRecord& a, const WindowRecord& b) {
  return static_cast<double>(b.value - a.value);
}

template <class Windows>
void AddEvictor(Windows windows, element op) {
  element evictor;
  if (op["evictor"].get(evictor) == simdjson::SUCCESS && !evictor.is_null()) {
    const std::string type = TextOf(evictor, "type");
    const bool after = Flag(evictor, "after");
    if (type == "count") {
      windows =
          windows.Evict(CountEvictor{static_cast<std::size_t>(NumberOf(evictor, "n")), after});
    } else if (type == "time") {
      windows = windows.Evict(TimeEvictor{Duration(NumberOf(evictor, "size")), after});
    } else {
      windows = windows.Evict(
          DeltaEvictor{static_cast<double>(NumberOf(evictor, "threshold")), &Difference, after});
    }
  }
  windows = windows.AllowLateness(Duration(NumberOf(op, "lateness")));
  if (Flag(op, "late_output")) windows = windows.SideOutputLate(kLate);
  AddFunction(windows, op);
}

using Delta = DeltaTrigger<WindowRecord, double (*)(const WindowRecord&, const WindowRecord&)>;

template <class Windows>
void AddTrigger(const Windows& windows, element op) {
  element trigger;
  if (op["trigger"].get(trigger) != simdjson::SUCCESS || trigger.is_null())
    return AddEvictor(windows, op);
  const bool purges = TextOf(trigger, "type") == "purging";
  if (purges) trigger = trigger["of"].value();
  const std::string type = TextOf(trigger, "type");
  const auto add = [&](auto made) {
    if (purges) {
      AddEvictor(windows.Trigger(Purging{made}), op);
    } else {
      AddEvictor(windows.Trigger(made), op);
    }
  };
  const Duration interval(NumberOf(trigger, "interval"));
  if (type == "count") {
    add(CountTrigger{NumberOf(trigger, "n")});
  } else if (type == "event_time") {
    add(EventTimeTrigger{});
  } else if (type == "processing_time") {
    add(ProcessingTimeTrigger{});
  } else if (type == "continuous_event_time") {
    add(ContinuousEventTimeTrigger{interval});
  } else if (type == "continuous_processing_time") {
    add(ContinuousProcessingTimeTrigger{interval});
  } else if (type == "delta") {
    add(Delta{static_cast<double>(NumberOf(trigger, "threshold")), &Difference});
  } else {
    FAIL() << "trigger " << type;
  }
}

JobDefinition DefineCase(element op) {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  const auto keyed =
      Job(graph).From<WindowRecord>("in", Files{.path = "x"}).KeyBy(&WindowRecord::key);
  if (TextOf(op, "kind") == "count_window") {
    const std::int64_t size = NumberOf(op, "size");
    if (element slide; op["slide"].get(slide) == simdjson::SUCCESS) {
      AddFunction(keyed.CountWindow(size, NumberOf(op, "slide")), op);
    } else {
      AddFunction(keyed.CountWindow(size), op);
    }
    return job;
  }
  const element assigner = op["assigner"].value();
  const std::string type = TextOf(assigner, "type");
  const Duration size(NumberOf(assigner, "size"));
  const Duration slide(NumberOf(assigner, "slide"));
  const Duration offset(NumberOf(assigner, "offset"));
  const Duration gap(NumberOf(assigner, "gap"));
  const auto gap_of = [](const WindowRecord& record) { return Duration(1 + record.value % 7); };
  const auto trigger = [&](const auto& windows) { AddTrigger(windows, op); };
  if (type == "tumbling") {
    trigger(keyed.Window(Tumbling{size, offset}).Trigger(EventTimeTrigger()));
  } else if (type == "sliding") {
    trigger(keyed.Window(Sliding{size, slide, offset}).Trigger(EventTimeTrigger()));
  } else if (type == "session") {
    trigger(keyed.Window(Session{gap}));
  } else if (type == "session_dynamic") {
    trigger(keyed.Window(SessionBy{gap_of}));
  } else if (type == "tumbling_processing") {
    trigger(keyed.Window(OnProcessingTime{Tumbling{size, offset}}));
  } else if (type == "sliding_processing") {
    trigger(keyed.Window(OnProcessingTime{Sliding{size, slide, offset}}));
  } else if (type == "session_processing") {
    trigger(keyed.Window(OnProcessingTime{Session{gap}}));
  } else if (type == "session_processing_dynamic") {
    trigger(keyed.Window(OnProcessingTime{SessionBy{gap_of}}));
  } else if (type == "global") {
    trigger(keyed.Window(Global{}));
  } else if (type == "global_end_of_stream") {
    trigger(keyed.Window(Global{.at_end = true}));
  } else {
    ADD_FAILURE() << "assigner " << type;
  }
  return job;
}

bool Differs(element test, std::int64_t rule) {
  simdjson::dom::array rules;
  if (test["differs"].get(rules) != simdjson::SUCCESS) return false;
  for (const element number : rules) {
    if (number.get_int64().value() == rule) return true;
  }
  return false;
}

void Replay(element test, const HarnessMode& mode) {
  const element op = test["operator"].value();
  const JobDefinition job = DefineCase(op);
  if (Flag(op, "refused")) {
    EXPECT_THAT(job.errors, Not(IsEmpty()));
    return;
  }
  ASSERT_THAT(job.errors, IsEmpty());
  // A window over all records has one key.
  const bool all = TextOf(op, "kind") == "window_all";
  const bool late = Flag(op, "late_output");
  const std::string order = TextOf(test, "order");
  testing::HarnessOptions options;
  options.mode = mode;
  OperatorHarness harness(job.nodes[1].make_operator, options);
  harness.AddOutput<std::string>();
  if (late) harness.AddOutput<WindowRecord>();
  ASSERT_TRUE(harness.Open().ok());
  const auto inputs = test["input"].get_array().value();
  const auto outputs = test["output"].get_array().value();
  std::uint64_t dropped = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const element step = inputs.at(i).value();
    absl::Status status;
    bool no_time = false;
    std::int64_t time = 0;
    if (element record; step["record"].get(record) == simdjson::SUCCESS) {
      Ticks ts = kMinTicks;
      no_time = record["ts"].get(ts) != simdjson::SUCCESS;
      if (no_time) ts = kMinTicks;
      status = harness.Process<WindowRecord>(
          {{{all ? "*" : TextOf(record, "key"), NumberOf(record, "value")}, ts}});
    } else if (step["watermark"].get(time) == simdjson::SUCCESS) {
      status = harness.Watermark(time);
    } else if (step["proctime"].get(time) == simdjson::SUCCESS) {
      status = harness.SetProcessingTime(time);
    } else if (Flag(step, "end")) {
      status = harness.Finish();
    }
    const simdjson::dom::array recorded = outputs.at(i).get_array().value();
    element first;
    const bool recorded_error =
        recorded.at(0).get(first) == simdjson::SUCCESS && Flag(first, "error");
    const bool fails = (recorded_error && !Differs(test, 11)) || (Differs(test, 10) && no_time);
    if (fails) {
      EXPECT_FALSE(status.ok()) << "step " << i;
      return;
    }
    ASSERT_TRUE(status.ok()) << "step " << i << ": " << status;
    if (recorded_error) return;
    if (Differs(test, 22) && i + 1 == inputs.size()) return;
    std::vector<std::string> expected;
    std::vector<std::string> expected_late;
    std::uint64_t expected_drops = 0;
    for (const element out : recorded) {
      element of;
      std::int64_t count = 0;
      if (out["value"].get(of) == simdjson::SUCCESS) {
        expected.push_back(TextOf(out, "value") + " @" + std::to_string(NumberOf(out, "ts")));
      } else if (out["late"].get(of) == simdjson::SUCCESS) {
        expected_late.push_back(std::to_string(NumberOf(of, "value")));
      } else if (out["dropped"].get(count) == simdjson::SUCCESS) {
        expected_drops = static_cast<std::uint64_t>(count);
      }
    }
    std::vector<std::string> got;
    for (const auto& out : harness.Take<std::string>())
      got.push_back(out.value + " @" + std::to_string(out.timestamp));
    std::vector<std::string> got_late;
    if (late) {
      for (const auto& out : harness.Take<WindowRecord>(1))
        got_late.push_back(std::to_string(out.value.value));
    }
    if (order == "per-key") {
      const auto by_key = [](const std::string& a, const std::string& b) {
        return a.substr(0, a.find('|')) < b.substr(0, b.find('|'));
      };
      std::stable_sort(got.begin(), got.end(), by_key);
      std::stable_sort(expected.begin(), expected.end(), by_key);
    } else if (order != "exact") {
      // Which of two windows that fire at one time comes first is open in Flink; what counts the
      // firings of a key depends on it.
      for (auto* results : {&got, &expected}) {
        for (std::string& result : *results) {
          const std::size_t at = result.find("|all=");
          if (at != std::string::npos) result.erase(at, result.find(" @") - at);
        }
      }
      std::sort(got.begin(), got.end());
      std::sort(expected.begin(), expected.end());
    }
    EXPECT_EQ(got, expected) << "step " << i;
    EXPECT_EQ(got_late, expected_late) << "step " << i;
    const std::uint64_t now_dropped = harness.late_records_dropped();
    EXPECT_EQ(now_dropped - std::exchange(dropped, now_dropped), expected_drops) << "step " << i;
  }
}

// Cases of sessions in processing time in which Flink loses records: of a key whose session has
// grown to [28, 33), and a record for exactly that span, it forgets under which name the contents
// were kept. Here they stay (rule 11; SessionTest below).
bool LosesRecordsInFlink(const std::string& name) {
  static const std::set<std::string> names = {"processing_windows/0004", "processing_windows/0029",
                                              "processing_windows/0033", "processing_windows/0040",
                                              "processing_windows/0104", "processing_windows/0114",
                                              "processing_windows/0159", "processing_windows/0180",
                                              "processing_windows/0195", "processing_windows/0289"};
  return names.count(name) > 0;
}

void ReplayFamily(const std::string& family, int count) {
  std::ifstream file(WEIR_SDK_TESTDATA "/" + family + ".jsonl");
  simdjson::dom::parser parser;
  std::string line;
  int cases = 0;
  while (std::getline(file, line)) {
    const element test = parser.parse(line).value();
    if (LosesRecordsInFlink(TextOf(test, "name"))) continue;
    ++cases;
    for (const HarnessMode& mode : testing::AllHarnessModes()) {
      SCOPED_TRACE(TextOf(test, "name") + ", " + mode.name);
      Replay(test, mode);
      ASSERT_FALSE(::testing::Test::HasFailure());
    }
  }
  EXPECT_EQ(cases, count);
}

// Rules 1 to 17.
TEST(WindowConformanceTest, EventTime) { ReplayFamily("event_windows", 671); }
// Rules 4, 15, 20 and 22.
TEST(WindowConformanceTest, ProcessingTime) { ReplayFamily("processing_windows", 290); }
// Rule 14.
TEST(WindowConformanceTest, Counts) { ReplayFamily("count_windows", 94); }

// Rule 11: a record whose window is the one that others have become.
TEST(SessionTest, KeepsItsRecordsWhenOneHasItsExactSpan) {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  Job(graph)
      .From<WindowRecord>("in", Files{.path = "x"})
      .KeyBy(&WindowRecord::key)
      .Window(OnProcessingTime{
          SessionBy{[](const WindowRecord& record) { return Duration(record.value); }}})
      .Process<Listing>("window", std::string("collect"))
      .To("out", Print{});
  OperatorHarness harness(job.nodes[1].make_operator);
  harness.AddOutput<std::string>();
  ASSERT_TRUE(harness.Open().ok());
  for (const std::int64_t gap : {1, 5, 5, 2})
    ASSERT_TRUE(harness.Process<WindowRecord>({{{"a", gap}}}).ok());
  ASSERT_TRUE(harness.SetProcessingTime(5).ok());
  const auto out = harness.Take<std::string>();
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].value, "a|0|5|[1,5,5,2]");
}
}  // namespace
}  // namespace weir
