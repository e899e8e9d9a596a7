#include <algorithm>
#include <cstdint>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "simdjson.h"
#include "weir/connected.h"
#include "weir/connectors.h"
#include "weir/interval_join.h"
#include "weir/job.h"
#include "weir/temporal_join.h"
#include "weir/testing.h"
#include "weir/window_join.h"

namespace weir {

struct JoinLeft {
  std::string key;
  std::int64_t value = 0;
  EventTime at;
};
struct JoinRight {
  std::string key;
  std::int64_t value = 0;
  EventTime at;
  std::string text;
};

namespace {

using simdjson::dom::element;
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::HarnessMode;
using testing::HarnessOptions;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::OperatorHarness;
using testing::Timed;
using ::testing::UnorderedElementsAreArray;

constexpr SideOutput<JoinLeft> kLateLeft{"late left"};
constexpr SideOutput<JoinRight> kLateRight{"late right"};

// Defines a job of two keyed streams; its operator is node 2.
template <class F>
JobDefinition DefineJoin(F&& join) {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  Job described(graph);
  join(described.From<JoinLeft>("left", Files{.path = "l"}).KeyBy(&JoinLeft::key),
       described.From<JoinRight>("right", Files{.path = "r"}).KeyBy(&JoinRight::key));
  return job;
}

HarnessOptions OptionsOf(const JobDefinition& job, const HarnessMode& mode = {}) {
  HarnessOptions options;
  options.mode = mode;
  for (const EdgeDefinition& edge : job.edges) {
    if (edge.to_node != 2) continue;
    options.hashers.resize(std::max<std::size_t>(options.hashers.size(), edge.to_input + 1));
    options.hashers[edge.to_input] = edge.hasher;
  }
  return options;
}

std::string Text(const JoinLeft* left, const JoinRight* right) {
  const auto number = [](const auto* side) {
    return side != nullptr ? std::to_string(side->value) : std::string("null");
  };
  const auto time = [](const auto* side) {
    return side != nullptr ? std::to_string(side->at.ticks()) : std::string("null");
  };
  return (left != nullptr ? left->key : right->key) + "|" + number(left) + "|" + number(right) +
         "|" + time(left) + "|" + time(right);
}

// ---- The recorded cases.

std::string TextOf(element object, const char* key) {
  std::string_view text;
  return object[key].get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}
std::int64_t NumberOf(element object, const char* key) { return object[key].get_int64().value(); }
bool Flag(element object, const char* key) {
  bool flag = false;
  return object[key].get(flag) == simdjson::SUCCESS && flag;
}

// key|left|right, or of a coGroup key|[lefts]|[rights], in order.
template <class Windows>
void AddWindowJoin(Windows windows, element op) {
  windows = windows.AllowLateness(Duration(NumberOf(op, "lateness")));
  if (TextOf(op, "kind") == "window_join") {
    windows
        .Join("join",
              [](const JoinLeft& l, const JoinRight& r) {
                return l.key + "|" + std::to_string(l.value) + "|" + std::to_string(r.value);
              })
        .To("out", Print{});
    return;
  }
  windows
      .CoGroup("join",
               [](const std::string& key, const std::vector<const JoinLeft*>& lefts,
                  const std::vector<const JoinRight*>& rights) {
                 const auto list = [](const auto& records) {
                   std::vector<std::int64_t> values;
                   for (const auto* record : records) values.push_back(record->value);
                   std::sort(values.begin(), values.end());
                   std::string text = "[";
                   for (const std::int64_t value : values)
                     text += (text.size() > 1 ? "," : "") + std::to_string(value);
                   return text + "]";
                 };
                 return key + "|" + list(lefts) + "|" + list(rights);
               })
      .To("out", Print{});
}

JobDefinition RecordedJoin(element op) {
  const std::string kind = TextOf(op, "kind");
  return DefineJoin([&](auto left, auto right) {
    if (kind == "window_join" || kind == "co_group") {
      const element assigner = op["assigner"].value();
      const std::string type = TextOf(assigner, "type");
      const auto duration = [&](const char* field) {
        std::int64_t ticks = 0;
        return Duration(assigner[field].get(ticks) == simdjson::SUCCESS ? ticks : 0);
      };
      if (type == "tumbling") {
        AddWindowJoin(left.WindowJoin(right, Tumbling{duration("size"), duration("offset")}), op);
      } else if (type == "sliding") {
        AddWindowJoin(left.WindowJoin(
                          right, Sliding{duration("size"), duration("slide"), duration("offset")}),
                      op);
      } else if (type == "session") {
        AddWindowJoin(left.WindowJoin(right, Session{duration("gap")}), op);
      } else {
        ADD_FAILURE() << "assigner " << type;
      }
      return;
    }
    if (kind == "temporal_join") {
      auto join = left.TemporalJoin(right).Deleted(
          [](const JoinRight& version) { return version.text == "delete"; });
      const auto text = [](const JoinLeft& l, const JoinRight* r) {
        const std::string version =
            r != nullptr ? std::to_string(r->at.ticks()) + "|" + std::to_string(r->value)
                         : std::string("null|null");
        return l.key + "|" + std::to_string(l.at.ticks()) + "|" + std::to_string(l.value) + "|" +
               version;
      };
      if (TextOf(op, "type") == "left") {
        join.LeftJoin("join", text).To("out", Print{});
      } else {
        join.Join("join", [text](const JoinLeft& l, const JoinRight& r) { return text(l, &r); })
            .To("out", Print{});
      }
      return;
    }
    auto join = left.IntervalJoin(
        right, Between{Duration(NumberOf(op, "lower")), Duration(NumberOf(op, "upper"))});
    if (Flag(op, "lower_exclusive")) join = join.LowerExclusive();
    if (Flag(op, "upper_exclusive")) join = join.UpperExclusive();
    if (Flag(op, "late_output")) {
      join = join.SideOutputLateLeft(kLateLeft).SideOutputLateRight(kLateRight);
    }
    auto joined =
        join.Join("join", [](const JoinLeft& l, const JoinRight& r) { return Text(&l, &r); });
    joined.To("out", Print{});
    if (Flag(op, "late_output")) {
      joined.Side(kLateLeft).To("late-left", Print{});
      joined.Side(kLateRight).To("late-right", Print{});
    }
  });
}

class JoinReplay {
 public:
  JoinReplay(element test, const HarnessMode& mode)
      : op_(test["operator"].value()),
        job_(RecordedJoin(op_)),
        harness_(job_.nodes[2].make_operator, OptionsOf(job_, mode)) {
    timed_ = TextOf(op_, "kind") != "temporal_join";
    in_order_ = TextOf(test, "order") == "per-key";
  }

  void Run(element test) {
    harness_.AddOutput<std::string>();
    if (Flag(op_, "late_output")) {
      harness_.AddOutput<JoinLeft>();
      harness_.AddOutput<JoinRight>();
    }
    ASSERT_TRUE(harness_.Open().ok());
    const auto inputs = test["input"].get_array().value();
    const auto outputs = test["output"].get_array().value();
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const absl::Status status = Feed(inputs.at(i).value());
      const element recorded = outputs.at(i).value();
      if (element first; recorded.at(0).get(first) == simdjson::SUCCESS && Flag(first, "error")) {
        EXPECT_FALSE(status.ok());
        return;
      }
      ASSERT_TRUE(status.ok()) << status;
      Compare(outputs.at(i).get_array().value());
      if (::testing::Test::HasFailure()) {
        ADD_FAILURE() << "step " << i;
        return;
      }
    }
  }

 private:
  absl::Status Feed(element step) {
    std::int64_t input = 0;
    const bool one = step["input"].get(input) == simdjson::SUCCESS;
    if (element record; step["record"].get(record) == simdjson::SUCCESS) {
      Ticks ts = kMinTicks;
      if (record["ts"].get(ts) != simdjson::SUCCESS) ts = kMinTicks;
      const auto at = EventTime::FromTicks(ts);
      if (input == 0) {
        return harness_.Process<JoinLeft>(
            {{{TextOf(record, "key"), NumberOf(record, "value"), at}, ts}}, 0);
      }
      return harness_.Process<JoinRight>(
          {{{TextOf(record, "key"), NumberOf(record, "value"), at, TextOf(record, "text")}, ts}},
          1);
    }
    std::int64_t watermark = kMaxTicks;
    if (step["watermark"].get(watermark) != simdjson::SUCCESS && !one) {
      // The first input ends, then the second.
      if (const absl::Status status = harness_.Watermark(watermarks_[1]); !status.ok())
        return status;
      return harness_.Finish();
    }
    for (const std::int64_t of : {std::int64_t{0}, std::int64_t{1}}) {
      if (!one || of == input) watermarks_[of] = std::max(watermarks_[of], watermark);
    }
    return harness_.Watermark(std::min(watermarks_[0], watermarks_[1]));
  }

  void Compare(simdjson::dom::array recorded) {
    std::vector<std::string> expected;
    std::uint64_t expected_drops = 0;
    for (const element out : recorded) {
      element of;
      std::int64_t count = 0;
      if (element value; out["value"].get(value) == simdjson::SUCCESS) {
        expected.push_back(TextOf(out, "value") +
                           (timed_ ? " @" + std::to_string(NumberOf(out, "ts")) : ""));
      } else if (out["late_left"].get(of) == simdjson::SUCCESS) {
        expected.push_back("late left " + std::to_string(NumberOf(of, "value")));
      } else if (out["late_right"].get(of) == simdjson::SUCCESS) {
        expected.push_back("late right " + std::to_string(NumberOf(of, "value")));
      } else if (out["dropped"].get(count) == simdjson::SUCCESS) {
        expected_drops = static_cast<std::uint64_t>(count);
      }
    }
    std::vector<std::string> got;
    for (const auto& out : harness_.Take<std::string>())
      got.push_back(out.value + (timed_ ? " @" + std::to_string(out.timestamp) : ""));
    if (Flag(op_, "late_output")) {
      for (const auto& out : harness_.Take<JoinLeft>(1))
        got.push_back("late left " + std::to_string(out.value.value));
      for (const auto& out : harness_.Take<JoinRight>(2))
        got.push_back("late right " + std::to_string(out.value.value));
    }
    if (in_order_) {
      const auto by_key = [](const std::string& a, const std::string& b) {
        return a.substr(0, a.find('|')) < b.substr(0, b.find('|'));
      };
      std::stable_sort(got.begin(), got.end(), by_key);
      std::stable_sort(expected.begin(), expected.end(), by_key);
      EXPECT_EQ(got, expected);
    } else {
      EXPECT_THAT(got, UnorderedElementsAreArray(expected));
    }
    // Rule 32: late records are counted here.
    if (expected_drops > 0) {
      EXPECT_EQ(harness_.late_records_dropped() - drops_, expected_drops);
    }
    drops_ = harness_.late_records_dropped();
  }

  const element op_;
  const JobDefinition job_;
  OperatorHarness harness_;
  bool timed_ = true;
  bool in_order_ = false;
  std::map<std::int64_t, Ticks> watermarks_ = {{0, kMinTicks}, {1, kMinTicks}};
  std::uint64_t drops_ = 0;
};

// Rules 30 to 34.
TEST(JoinConformanceTest, GivesWhatTheRecordedCasesGive) {
  std::ifstream file(WEIR_SDK_TESTDATA "/joins.jsonl");
  simdjson::dom::parser parser;
  std::string line;
  int cases = 0;
  while (std::getline(file, line)) {
    const element test = parser.parse(line).value();
    const element op = test["operator"].value();
    const std::string kind = TextOf(op, "kind");
    if (kind == "broadcast") continue;  // two streams of which one has no key: not a join
    ++cases;
    if (Flag(op, "refused")) {
      EXPECT_THAT(RecordedJoin(op).errors, ElementsAre(HasSubstr("lower bound")));
      continue;
    }
    for (const HarnessMode& mode : testing::AllHarnessModes()) {
      SCOPED_TRACE(TextOf(test, "name") + ", " + mode.name);
      JoinReplay(test, mode).Run(test);
      ASSERT_FALSE(HasFailure());
    }
  }
  EXPECT_EQ(cases, 370);
}

// ---- What the cases do not have.

struct JoinInput {
  bool left = false;
  std::string key;
  Ticks time = 0;
  std::int64_t value = 0;
};

// All four kinds against every pair compared with every other.
TEST(IntervalJoinTest, OuterJoinsKeepWhatWasNotJoined) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 200; ++round) {
    SCOPED_TRACE(round);
    const auto lower = static_cast<Ticks>(random() % 9) - 5;
    const Ticks upper = lower + static_cast<Ticks>(random() % 6);
    const Between between{Duration(lower), Duration(upper)};
    std::vector<JoinInput> inputs;
    for (std::int64_t i = 0; i < 30; ++i) {
      inputs.push_back(
          {random() % 2 == 0, random() % 2 == 0 ? "a" : "b", static_cast<Ticks>(random() % 30), i});
    }
    for (int kind = 0; kind < 4; ++kind) {
      const bool keeps_left = kind == 1 || kind == 3;
      const bool keeps_right = kind == 2 || kind == 3;
      const JobDefinition job = DefineJoin([&](auto left, auto right) {
        const auto join = left.IntervalJoin(right, between);
        if (kind == 0) {
          join.Join("j", [](const JoinLeft& l, const JoinRight& r) { return Text(&l, &r); })
              .To("out", Print{});
        } else if (kind == 1) {
          join.LeftJoin("j", [](const JoinLeft& l, const JoinRight* r) { return Text(&l, r); })
              .To("out", Print{});
        } else if (kind == 2) {
          join.RightJoin("j", [](const JoinLeft* l, const JoinRight& r) { return Text(l, &r); })
              .To("out", Print{});
        } else {
          join.FullJoin("j", [](const JoinLeft* l, const JoinRight* r) { return Text(l, r); })
              .To("out", Print{});
        }
      });
      ASSERT_THAT(job.errors, IsEmpty());
      HarnessMode mode;
      mode.restore_between_inputs = round % 2 == 1;
      mode.in_store = round % 4 == 3;
      OperatorHarness harness(job.nodes[2].make_operator, OptionsOf(job, mode));
      harness.AddOutput<std::string>();
      ASSERT_TRUE(harness.Open().ok());
      std::vector<std::string> expected;
      std::vector<bool> matched(inputs.size());
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        const JoinInput& in = inputs[i];
        const auto at = EventTime::FromTicks(in.time);
        if (in.left) {
          ASSERT_TRUE(harness.Process<JoinLeft>({{{in.key, in.value, at}, in.time}}, 0).ok());
        } else {
          ASSERT_TRUE(harness.Process<JoinRight>({{{in.key, in.value, at, ""}, in.time}}, 1).ok());
        }
        for (std::size_t j = 0; j < inputs.size(); ++j) {
          const JoinInput& other = inputs[j];
          if (!in.left || other.left || in.key != other.key || other.time < in.time + lower ||
              other.time > in.time + upper) {
            continue;
          }
          matched[i] = matched[j] = true;
          const JoinLeft l{in.key, in.value, at};
          const JoinRight r{other.key, other.value, EventTime::FromTicks(other.time), ""};
          expected.push_back(Text(&l, &r) + " @" + std::to_string(std::max(in.time, other.time)));
        }
      }
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        const JoinInput& in = inputs[i];
        if (matched[i] || !(in.left ? keeps_left : keeps_right)) continue;
        const JoinLeft l{in.key, in.value, EventTime::FromTicks(in.time)};
        const JoinRight r{in.key, in.value, EventTime::FromTicks(in.time), ""};
        const Ticks waits = std::max<Ticks>(in.left ? upper : -lower, 0);
        expected.push_back(Text(in.left ? &l : nullptr, in.left ? nullptr : &r) + " @" +
                           std::to_string(in.time + waits));
      }
      std::vector<std::string> got;
      for (const Ticks watermark : {Ticks{20}, Ticks{100}}) {
        ASSERT_TRUE(harness.Watermark(watermark).ok());
        for (const auto& out : harness.Take<std::string>())
          got.push_back(out.value + " @" + std::to_string(out.timestamp));
      }
      EXPECT_THAT(got, UnorderedElementsAreArray(expected));
      std::size_t entries = 0;
      for (KeyedStateTable* table : harness.op().keyed_state()) {
        if (!table->stored()) entries += table->entries();
      }
      EXPECT_EQ(entries, 0u);
    }
  }
}

TEST(IntervalJoinTest, BadBoundsAndRecordsAreRefused) {
  const auto text = [](const JoinLeft& l, const JoinRight& r) { return Text(&l, &r); };
  const JobDefinition wrong = DefineJoin([&](auto left, auto right) {
    left.IntervalJoin(right, Between{Duration(1), Duration(0)}).Join("j", text).To("o", Print{});
  });
  EXPECT_THAT(wrong.errors,
              ElementsAre(AllOf(HasSubstr("operator 'j'"), HasSubstr("lower bound"))));
  const JobDefinition far = DefineJoin([&](auto left, auto right) {
    left.IntervalJoin(right, Between{Duration(0), Duration::max()})
        .Join("j", text)
        .To("o", Print{});
  });
  EXPECT_THAT(far.errors, ElementsAre(HasSubstr("a bound of the interval is more than")));
  const JobDefinition job = DefineJoin([&](auto left, auto right) {
    left.IntervalJoin(right, Between{Duration(0), Duration(0)}).Join("j", text).To("o", Print{});
  });
  OperatorHarness harness(job.nodes[2].make_operator, OptionsOf(job));
  harness.AddOutput<std::string>();
  ASSERT_TRUE(harness.Open().ok());
  const absl::Status status = harness.Process<JoinLeft>({{{"k", 1, {}}, kMinTicks}}, 0);
  EXPECT_THAT(std::string(status.message()), HasSubstr("without a timestamp cannot be joined"));
}

// Both sides and their timers work on one key's state.
struct Pairing : KeyedTwoInputProcess<std::string, JoinLeft, JoinRight, std::string> {
  ValueState<std::int64_t> sum{this, "sum"};
  EventTimer end{this, "end"};
  void Process(const JoinLeft& left, Context& context) override {
    sum.Mutable() += left.value;
    end.Set(context.timestamp() + Duration(10));
  }
  void ProcessSecond(const JoinRight& right, Context& context) override {
    sum.Mutable() -= right.value;
    context.Emit(context.key() + " " + std::to_string(sum.Get()));
  }
  void OnTimer(const EventTimer&, Context& context) override {
    context.Emit(context.key() + " ends with " + std::to_string(sum.Get()));
    sum.Clear();
  }
};

TEST(ConnectedStreamsTest, ShareTheStateOfAKey) {
  const JobDefinition job = DefineJoin([](auto left, auto right) {
    left.Connect(right).template Process<Pairing>("pair").To("out", Print{});
  });
  ASSERT_THAT(job.errors, IsEmpty());
  EXPECT_EQ(job.nodes[2].inputs, 2u);
  for (const HarnessMode& mode : testing::AllHarnessModes()) {
    SCOPED_TRACE(mode.name);
    OperatorHarness harness(job.nodes[2].make_operator, OptionsOf(job, mode));
    harness.AddOutput<std::string>();
    ASSERT_TRUE(harness.Open().ok());
    ASSERT_TRUE(harness.Process<JoinLeft>({{{"a", 5, {}}, 1}, {{"b", 7, {}}, 2}}, 0).ok());
    ASSERT_TRUE(harness.Process<JoinRight>({{{"a", 2, {}, ""}, 3}, {{"b", 1, {}, ""}, 3}}, 1).ok());
    ASSERT_TRUE(harness.Watermark(11).ok());
    std::vector<std::string> got;
    for (const auto& out : harness.Take<std::string>()) got.push_back(out.value);
    EXPECT_THAT(got, ElementsAre("a 3", "b 6", "a ends with 3"));
  }
}

}  // namespace
}  // namespace weir
