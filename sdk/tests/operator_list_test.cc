#include "weir/operator_list.h"

#include <memory>
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
using testing::HarnessSnapshot;
using ::testing::HasSubstr;
using testing::OperatorHarness;

struct Item {
  std::string text;
  std::int64_t number = 0;
};

// Keeps what it gets in both lists; "show" puts out what they hold.
struct Keeper : ProcessFunction<Item, std::string> {
  OperatorList<Item> own{this, "own"};
  OperatorUnionList<std::string> of_all{this, "of all"};

  void Process(const Item& item, Context& context) override {
    if (item.text != "show") {
      own->push_back(item);
      of_all->push_back(item.text);
      return;
    }
    std::string texts;
    for (const Item& kept : own) texts += kept.text + std::to_string(kept.number) + " ";
    texts += "|";
    for (const std::string& text : *of_all) texts += " " + text;
    context.Emit(texts);
  }
};

std::function<std::unique_ptr<Operator>()> MakeKeeper() {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  Job(graph).From<Item>("in", Files{.path = "x"}).Process<Keeper>("keeper").To("out", Print{});
  return job.nodes[1].make_operator;
}

std::string Show(OperatorHarness& harness) {
  EXPECT_TRUE(harness.Process<Item>({{{"show"}}}).ok());
  const auto shown = harness.Take<std::string>();
  return shown.size() == 1 ? shown[0].value : "not one result";
}

TEST(OperatorListTest, IsPartOfTheSnapshotInEveryMode) {
  for (const testing::HarnessMode& mode : testing::AllHarnessModes()) {
    SCOPED_TRACE(mode.name);
    testing::HarnessOptions options;
    options.mode = mode;
    OperatorHarness harness(MakeKeeper(), options);
    harness.AddOutput<std::string>();
    ASSERT_TRUE(harness.Open().ok());
    ASSERT_TRUE(harness.Process<Item>({{{"a", 1}}, {{"b", 2}}}).ok());
    EXPECT_EQ(Show(harness), "a1 b2 | a b");
    ASSERT_TRUE(harness.Process<Item>({{{"c", 3}}}).ok());
    EXPECT_EQ(Show(harness), "a1 b2 c3 | a b c");
  }
}

std::vector<HarnessSnapshot> SnapshotsOf(std::vector<std::vector<Item>> items) {
  std::vector<HarnessSnapshot> snapshots;
  for (std::vector<Item>& part : items) {
    OperatorHarness harness(MakeKeeper());
    harness.AddOutput<std::string>();
    EXPECT_TRUE(harness.Open().ok());
    std::vector<testing::Timed<Item>> records;
    for (Item& item : part) records.push_back({std::move(item)});
    EXPECT_TRUE(harness.Process<Item>(std::move(records)).ok());
    snapshots.push_back(harness.Snapshot());
  }
  return snapshots;
}

std::vector<std::string> ShownBy(const std::vector<HarnessSnapshot>& snapshots,
                                 std::uint32_t parallelism) {
  std::vector<std::string> shown;
  for (std::uint32_t subtask = 0; subtask < parallelism; ++subtask) {
    testing::HarnessOptions options;
    options.subtask = subtask;
    options.parallelism = parallelism;
    OperatorHarness harness(MakeKeeper(), options);
    harness.AddOutput<std::string>();
    const absl::Status status = harness.Restore(testing::Rescaled(snapshots, subtask, parallelism));
    EXPECT_TRUE(status.ok()) << status;
    shown.push_back(Show(harness));
  }
  return shown;
}

// Rule 49.
TEST(OperatorListTest, IsDealtOutWhenTheNumberOfSubtasksChanges) {
  const auto snapshots = SnapshotsOf({{{"a", 1}, {"b", 2}, {"c", 3}}, {{"d", 4}, {"e", 5}}});
  EXPECT_THAT(ShownBy(snapshots, 2), ElementsAre("a1 b2 c3 | a b c d e", "d4 e5 | a b c d e"));
  EXPECT_THAT(ShownBy(snapshots, 3),
              ElementsAre("a1 d4 | a b c d e", "b2 e5 | a b c d e", "c3 | a b c d e"));
  EXPECT_THAT(ShownBy(snapshots, 1), ElementsAre("a1 b2 c3 d4 e5 | a b c d e"));
}

TEST(OperatorListTest, SaysOfWhichTypeItIsAndHowItIsDealtOut) {
  const auto op = MakeKeeper()();
  const auto lists = op->list_state();
  ASSERT_EQ(lists.size(), 2U);
  EXPECT_EQ(lists[0]->name(), "own");
  EXPECT_EQ(lists[0]->type(), "{text:string,number:int64}");
  EXPECT_EQ(lists[0]->redistribution(), Redistribution::kSplit);
  EXPECT_EQ(lists[1]->name(), "of all");
  EXPECT_EQ(lists[1]->redistribution(), Redistribution::kUnion);
}

TEST(OperatorListTest, RefusesDamagedItemsAndAnotherType) {
  HarnessSnapshot damaged = SnapshotsOf({{{"a", 1}, {"b", 2}}}).front();
  damaged.lists.at("own").items.at(1).pop_back();
  OperatorHarness harness(MakeKeeper());
  harness.AddOutput<std::string>();
  absl::Status status = harness.Restore(damaged);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("state 'own', item 1: field 'number'"));

  damaged.lists.at("own").type = "string";
  status = harness.Restore(damaged);
  EXPECT_THAT(std::string(status.message()), HasSubstr("but was written as string"));
}

}  // namespace
}  // namespace weir
