#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sdk/tests/state_commands.h"
#include "sdk/tests/state_model.h"
#include "weir/connectors.h"
#include "weir/job.h"
#include "weir/testing.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using testing::HarnessSnapshot;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::OperatorHarness;

// Steps of SplitMix64.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::int64_t Below(std::int64_t n) {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<std::int64_t>((z ^ (z >> 31)) % static_cast<std::uint64_t>(n));
  }

 private:
  std::uint64_t state_;
};

StateCommand RandomCommand(Random& random) {
  static const std::vector<std::string> kWords = {"put",
                                                  "add",
                                                  "clear",
                                                  "get",
                                                  "get",
                                                  "sum_add",
                                                  "sum_get",
                                                  "sum_clear",
                                                  "max_add",
                                                  "max_get",
                                                  "max_clear",
                                                  "list_add",
                                                  "list_add_all",
                                                  "list_get",
                                                  "list_get",
                                                  "list_set",
                                                  "list_set_empty",
                                                  "list_clear",
                                                  "list_size",
                                                  "map_put",
                                                  "map_put",
                                                  "map_put",
                                                  "map_add",
                                                  "map_get",
                                                  "map_contains",
                                                  "map_remove",
                                                  "map_removed",
                                                  "map_remove_odd",
                                                  "map_clear",
                                                  "map_size",
                                                  "map_keys",
                                                  "map_entries"};
  StateCommand command;
  command.text =
      kWords[static_cast<std::size_t>(random.Below(static_cast<std::int64_t>(kWords.size())))];
  // Most of what clears comes rarely, so that there is something to clear.
  if ((command.text.find("clear") != std::string::npos || command.text.starts_with("list_set")) &&
      random.Below(4) != 0) {
    command.text = "list_add";
  }
  if (command.text.starts_with("map_") && command.text != "map_clear" &&
      command.text != "map_size" && command.text != "map_keys" && command.text != "map_entries" &&
      command.text != "map_remove_odd") {
    command.text += " m" + std::to_string(random.Below(12));
  }
  command.key = "k" + std::to_string(random.Below(6));
  command.value = random.Below(1000);
  return command;
}

// A state function as a job would have it, for the harness.
template <class P, class... Args>
NodeDefinition Define(Args... args) {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  Job(graph)
      .From<StateCommand>("in", Files{.path = "x"})
      .KeyBy(&StateCommand::key)
      .template Process<P>("state", args...)
      .To("out", Print{});
  EXPECT_THAT(job.errors, IsEmpty());
  return job.nodes[1];
}

struct Variant {
  std::string name;
  std::optional<Ttl> ttl;
};
std::vector<Variant> Variants() {
  std::vector<Variant> variants = {{"NoTtl", std::nullopt}};
  for (const TtlTime time : {TtlTime::kProcessing, TtlTime::kEvent}) {
    for (const TtlRenew renew : {TtlRenew::kOnWrite, TtlRenew::kOnReadAndWrite}) {
      variants.push_back({std::string(time == TtlTime::kEvent ? "Event" : "Processing") +
                              (renew == TtlRenew::kOnWrite ? "OnWrite" : "OnReadAndWrite"),
                          Ttl{.after = Duration(20), .time = time, .renew = renew}});
    }
  }
  return variants;
}

class StateTest : public ::testing::TestWithParam<std::tuple<testing::HarnessMode, Variant>> {
 protected:
  // One harness a subtask.
  void Start(std::uint32_t parallelism, const std::vector<HarnessSnapshot>& snapshots) {
    harnesses_.clear();
    for (std::uint32_t subtask = 0; subtask < parallelism; ++subtask) {
      testing::HarnessOptions options;
      options.mode = std::get<0>(GetParam());
      options.subtask = subtask;
      options.parallelism = parallelism;
      options.processing_time = clock_;
      harnesses_.push_back(std::make_unique<OperatorHarness>(node_.make_operator, options));
      harnesses_.back()->AddOutput<std::string>();
      const absl::Status status =
          snapshots.empty()
              ? harnesses_.back()->Open()
              : harnesses_.back()->Restore(testing::Rescaled(snapshots, subtask, parallelism));
      ASSERT_TRUE(status.ok()) << status;
    }
  }
  std::vector<HarnessSnapshot> Snapshots() {
    std::vector<HarnessSnapshot> snapshots;
    for (const auto& harness : harnesses_) snapshots.push_back(harness->Snapshot());
    return snapshots;
  }
  void Advance(Random& random) {
    clock_ += random.Below(6);
    watermark_ = watermark_ == kMinTicks ? 0 : watermark_ + random.Below(6);
    for (const auto& harness : harnesses_) {
      ASSERT_TRUE(harness->SetProcessingTime(clock_).ok());
      ASSERT_TRUE(harness->Watermark(watermark_).ok());
    }
  }
  OperatorHarness& HarnessOf(const std::string& key) {
    const auto parallelism = static_cast<std::uint32_t>(harnesses_.size());
    return *harnesses_[SubtaskOf(KeyGroupOf(KeyHash(key), 128), 128, parallelism)];
  }

  const Variant& variant() const { return std::get<1>(GetParam()); }

  NodeDefinition node_ = Define<StateCommands>(std::get<1>(GetParam()).ttl);
  std::vector<std::unique_ptr<OperatorHarness>> harnesses_;
  Ticks clock_ = 0;
  Ticks watermark_ = kMinTicks;
};

INSTANTIATE_TEST_SUITE_P(Modes, StateTest,
                         ::testing::Combine(::testing::ValuesIn(testing::AllHarnessModes()),
                                            ::testing::ValuesIn(Variants())),
                         [](const auto& param) {
                           return std::get<1>(param.param).name + "InMode" +
                                  std::to_string(param.index);
                         });

// Rules 48, 49 and 50.
TEST_P(StateTest, SaysWhatAModelSaysAlsoAfterTheSubtasksHaveChanged) {
  Random random(20260811);
  StateModel model(variant().ttl);
  std::vector<HarnessSnapshot> snapshots;
  for (const std::uint32_t parallelism : {1U, 3U, 2U, 1U}) {
    Start(parallelism, snapshots);
    for (int step = 0; step < 120; ++step) {
      if (step % 3 == 0 && parallelism + step > 20) {  // at first there is no watermark
        Advance(random);
        model.SetProcessingTime(clock_);
        model.Watermark(watermark_);
      }
      // Several commands at once, which the mode cuts into batches.
      std::map<OperatorHarness*, std::vector<testing::Timed<StateCommand>>> commands;
      std::map<OperatorHarness*, std::vector<std::string>> expected;
      for (int i = 0; i < 10; ++i) {
        StateCommand command = RandomCommand(random);
        OperatorHarness* const harness = &HarnessOf(command.key);
        if (auto result = model.Run(command)) expected[harness].push_back(*result);
        commands[harness].push_back({std::move(command), 5});
      }
      for (auto& [harness, batch] : commands) {
        const absl::Status status = harness->Process<StateCommand>(std::move(batch));
        ASSERT_TRUE(status.ok()) << status;
        std::vector<std::string> results;
        for (const auto& result : harness->Take<std::string>()) results.push_back(result.value);
        ASSERT_EQ(results, expected[harness]) << "step " << step << ", " << parallelism;
      }
    }
    snapshots = Snapshots();
  }
}

TEST(StateTypesTest, AreShownInTheGraph) {
  const auto described = [](const NodeDefinition& node) {
    std::vector<std::string> texts;
    for (const StateDefinition& state : node.states) texts.push_back(state.name + " " + state.type);
    return texts;
  };
  EXPECT_THAT(described(Define<StateCommands>(std::optional<Ttl>())),
              ElementsAre("one map<string,int64>", "list map<string,list<int64>>",
                          "map map<string,map<string,int64>>", "total map<string,int64>",
                          "largest map<string,{value:int64,set:bool}>"));
  EXPECT_THAT(described(Define<StateCommands>(std::optional<Ttl>(Ttl{.after = Duration(1)}))),
              ElementsAre("one map<string,ttl<int64>>", "list map<string,list<ttl<int64>>>",
                          "map map<string,map<string,ttl<int64>>>", "total map<string,ttl<int64>>",
                          "largest map<string,ttl<{value:int64,set:bool}>>"));
}

std::string BytesOf(const HarnessSnapshot& snapshot, const std::string& name,
                    const std::string& key) {
  const auto& groups = snapshot.tables.at(name).key_groups;
  const auto found = groups.find(KeyGroupOf(KeyHash(key), 128));
  return found != groups.end() ? found->second : "none";
}
std::string Ticks8(Ticks ticks) {
  std::string bytes;
  EncodeValue(ticks, bytes);
  return bytes;
}

// docs/FORMATS.md, "Keyed state".
TEST(StateSnapshotTest, HasTheBytesOfTheFormat) {
  OperatorHarness harness(Define<StateCommands>(std::optional<Ttl>()).make_operator);
  harness.AddOutput<std::string>();
  ASSERT_TRUE(harness.Open().ok());
  ASSERT_TRUE(harness
                  .Process<StateCommand>({{{"a", "list_set", 258}},
                                          {{"a", "map_put y", 2}},
                                          {{"a", "map_put x", 1}},
                                          {{"b", "map_put z", 1}},
                                          {{"b", "map_remove z", 1}}})
                  .ok());
  const HarnessSnapshot snapshot = harness.Snapshot();
  EXPECT_EQ(BytesOf(snapshot, "list", "a"),
            "\x01\x01"
            "a\x02" +
                Ticks8(258) + Ticks8(259));
  EXPECT_EQ(BytesOf(snapshot, "map", "a"),
            "\x01\x01"
            "a\x02\x01x" +
                Ticks8(1) + "\x01y" + Ticks8(2));
  EXPECT_EQ(BytesOf(snapshot, "map", "b"), "none") << "a map without entries is none";
}

TEST(StateSnapshotTest, HasTheTimesOfTheLastAccessAndNothingThatHasExpired) {
  OperatorHarness harness(
      Define<StateCommands>(std::optional<Ttl>(Ttl{.after = Duration(10)})).make_operator);
  harness.AddOutput<std::string>();
  ASSERT_TRUE(harness.Open().ok());
  ASSERT_TRUE(harness
                  .Process<StateCommand>({{{"a", "list_add", 7}},
                                          {{"a", "map_put x", 1}},
                                          {{"a", "put", 1}},
                                          {{"b", "put", 1}}})
                  .ok());
  ASSERT_TRUE(harness.SetProcessingTime(5).ok());
  ASSERT_TRUE(harness
                  .Process<StateCommand>(
                      {{{"a", "list_add", 8}}, {{"a", "map_put y", 2}}, {{"a", "put", 3}}})
                  .ok());
  const HarnessSnapshot early = harness.Snapshot();
  EXPECT_EQ(BytesOf(early, "list", "a"),
            "\x01\x01"
            "a\x02" +
                Ticks8(0) + Ticks8(7) + Ticks8(5) + Ticks8(8));
  EXPECT_EQ(BytesOf(early, "one", "b"),
            "\x01\x01"
            "b" +
                Ticks8(0) + Ticks8(1));
  ASSERT_TRUE(harness.SetProcessingTime(10).ok());
  const HarnessSnapshot late = harness.Snapshot();
  EXPECT_EQ(BytesOf(late, "one", "a"),
            "\x01\x01"
            "a" +
                Ticks8(5) + Ticks8(3));
  EXPECT_EQ(BytesOf(late, "one", "b"), "none");
  EXPECT_EQ(BytesOf(late, "list", "a"),
            "\x01\x01"
            "a\x01" +
                Ticks8(5) + Ticks8(8));
  EXPECT_EQ(BytesOf(late, "map", "a"),
            "\x01\x01"
            "a\x01\x01y" +
                Ticks8(5) + Ticks8(2));
  ASSERT_TRUE(harness.SetProcessingTime(15).ok());
  for (const auto& [name, table] : harness.Snapshot().tables) {
    EXPECT_THAT(table.key_groups, IsEmpty()) << name;
  }
}

// One notation, one encoding: a value that is a container becomes the state of that kind.
struct Containers : KeyedProcess<std::string, StateCommand, std::string> {
  ValueState<std::int64_t> one{this, "one"};
  ValueState<std::vector<std::int64_t>> list{this, "list"};
  ValueState<std::map<std::string, std::int64_t>> map{this, "map"};
  ValueState<std::int64_t> total{this, "total"};
  ValueState<internal::Extreme<std::int64_t>> largest{this, "largest"};

  void Process(const StateCommand&, Context& context) override {
    std::string text;
    for (const std::int64_t element : list.Get()) text += std::to_string(element) + " ";
    for (const auto& [name, value] : map.Get()) text += name + "=" + std::to_string(value) + " ";
    context.Emit(text);
    list.Mutable().push_back(3);
    map.Mutable()["a"] = 4;
  }
};

TEST(StateSnapshotTest, IsThatOfAValueWithTheSameContent) {
  const NodeDefinition kinds = Define<StateCommands>(std::optional<Ttl>());
  OperatorHarness as_kinds(kinds.make_operator);
  as_kinds.AddOutput<std::string>();
  ASSERT_TRUE(as_kinds.Open().ok());
  std::vector<testing::Timed<StateCommand>> commands = {{{"k", "list_set", 1}}};
  for (const char* name : {"m", "z", "q", "c"})
    commands.push_back({{"k", "map_put " + std::string(name), 5}});
  ASSERT_TRUE(as_kinds.Process<StateCommand>(std::move(commands)).ok());

  OperatorHarness as_values(Define<Containers>().make_operator);
  as_values.AddOutput<std::string>();
  absl::Status status = as_values.Restore(as_kinds.Snapshot());
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_TRUE(as_values.Process<StateCommand>({{{"k", ""}}}).ok());
  EXPECT_EQ(as_values.Take<std::string>().at(0).value, "1 2 c=5 m=5 q=5 z=5 ");

  OperatorHarness again(kinds.make_operator);
  again.AddOutput<std::string>();
  status = again.Restore(as_values.Snapshot());
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_TRUE(again.Process<StateCommand>({{{"k", "list_get"}}, {{"k", "map_entries"}}}).ok());
  EXPECT_EQ(again.Take<std::string>().at(0).value, "k|list_get|[1,2,3]");
}

TEST(StateSnapshotTest, RefusesDamagedBytes) {
  const NodeDefinition node = Define<StateCommands>(std::optional<Ttl>());
  OperatorHarness harness(node.make_operator);
  harness.AddOutput<std::string>();
  ASSERT_TRUE(harness.Open().ok());
  ASSERT_TRUE(harness
                  .Process<StateCommand>(
                      {{{"a", "list_set", 1}}, {{"a", "map_put x", 1}}, {{"a", "map_put y", 2}}})
                  .ok());
  const HarnessSnapshot good = harness.Snapshot();
  for (const std::string name : {"list", "map"}) {
    HarnessSnapshot cut = good;
    cut.tables[name].key_groups.begin()->second.pop_back();
    const absl::Status status = harness.Restore(cut);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()), HasSubstr(name));
  }
  HarnessSnapshot twice = good;
  std::string& bytes = twice.tables["map"].key_groups.begin()->second;
  bytes[bytes.find('y')] = 'x';
  const absl::Status status = harness.Restore(twice);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("keys that are not in their order"));
}

struct SameNames : KeyedProcess<std::string, StateCommand, std::string> {
  ListState<std::int64_t> list{this, "same"};
  MapState<std::string, std::int64_t> map{this, "same"};
  ValueState<std::int64_t> never{this, "never", {.after = Duration(0)}};
  void Process(const StateCommand&, Context&) override {}
};

TEST(StateTypesTest, MistakesNameTheOperatorAndTheState) {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  Job(graph)
      .From<StateCommand>("in", Files{.path = "x"})
      .KeyBy(&StateCommand::key)
      .Process<SameNames>("wrong")
      .To("out", Print{});
  EXPECT_THAT(job.errors,
              ElementsAre(HasSubstr("operator 'wrong': two states or timers are named 'same'"),
                          HasSubstr("operator 'wrong', state 'never': the TTL must be positive")));
}

}  // namespace
}  // namespace weir
