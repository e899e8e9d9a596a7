#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
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

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::HarnessMode;
using testing::HarnessOptions;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::OperatorHarness;
using ::testing::UnorderedElementsAreArray;

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
  const JobDefinition past = DefineJoin([&](auto left, auto right) {
    left.IntervalJoin(right, Between{Duration::min(), Duration::min()})
        .Join("j", text)
        .To("o", Print{});
  });
  EXPECT_THAT(past.errors, ElementsAre(HasSubstr("a bound of the interval is more than")));
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

// The same without keys: a plain member is shared by both sides.
struct Balance : TwoInputProcess<JoinLeft, JoinRight, std::string> {
  OperatorList<std::int64_t> sums{this, "sums"};
  void Add(std::int64_t value) {
    if (sums->empty()) sums->push_back(0);
    sums->front() += value;
  }
  void Process(const JoinLeft& left, Context&) override { Add(left.value); }
  void ProcessSecond(const JoinRight& right, Context& context) override {
    Add(-right.value);
    context.Emit(std::to_string(sums->front()));
  }
};

TEST(ConnectedStreamsTest, WithoutKeysShareTheStateOfASubtask) {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  const auto left = Job(graph).From<JoinLeft>("left", Files{.path = "l"});
  const auto right = Job(graph).From<JoinRight>("right", Files{.path = "r"});
  left.Connect(right).Process<Balance>("balance").To("out", Print{});
  ASSERT_THAT(job.errors, IsEmpty());
  EXPECT_EQ(job.nodes[2].inputs, 2u);
  for (const HarnessMode& mode : testing::AllHarnessModes()) {
    SCOPED_TRACE(mode.name);
    HarnessOptions options;
    options.mode = mode;
    OperatorHarness harness(job.nodes[2].make_operator, options);
    harness.AddOutput<std::string>();
    ASSERT_TRUE(harness.Open().ok());
    ASSERT_TRUE(harness.Process<JoinLeft>({{{"a", 5, {}}, 1}, {{"b", 7, {}}, 2}}, 0).ok());
    ASSERT_TRUE(harness.Process<JoinRight>({{{"c", 2, {}, ""}, 3}}, 1).ok());
    const auto got = harness.Take<std::string>();
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(got[0].value, "10");
    EXPECT_EQ(got[0].timestamp, 3);
  }
}

}  // namespace
}  // namespace weir
