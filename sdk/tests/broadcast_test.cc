#include "weir/broadcast.h"

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weir/connectors.h"
#include "weir/job.h"
#include "weir/map_state.h"
#include "weir/testing.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using testing::HarnessSnapshot;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::OperatorHarness;

struct Visit {
  std::string user;
  std::string page;
};

// A limit of 0 takes the rule back.
struct Rule {
  std::string page;
  std::int64_t limit = 0;
};

// Says when a user has seen a page that has a rule more often than that allows.
struct Guard : KeyedBroadcastProcess<std::string, Visit, Rule, std::string> {
  BroadcastState<std::string, std::int64_t> limits{this, "limits"};
  MapState<std::string, std::int64_t> seen{this, "seen"};
  EventTimer end{this, "end"};

  void Process(const Visit& visit, Context& context) override {
    end.Set(EventTime::FromTicks(1000));
    std::int64_t& n = seen.Mutable(visit.page);
    ++n;
    const std::int64_t* const limit = limits.Find(visit.page);
    if (limit != nullptr && n > *limit) context.Emit(context.key() + " " + visit.page);
  }
  void ProcessBroadcast(const Rule& rule, BroadcastContext& context) override {
    if (rule.limit == 0) {
      if (!limits.Remove(context, rule.page)) context.Emit("no rule for " + rule.page);
    } else {
      limits.Put(context, rule.page, rule.limit);
    }
  }
  void OnTimer(const EventTimer&, Context& context) override {
    std::string text = context.key();
    for (const auto& [page, limit] : limits) text += " " + page + std::to_string(limit);
    context.Emit(text);
  }
};

// Lets through what no rule forbids; "show" puts out all rules.
struct Gate : BroadcastProcess<Visit, Rule, std::string> {
  BroadcastState<std::string, Rule> rules{this, "rules"};
  OperatorList<std::string> passed{this, "passed"};

  void Process(const Visit& visit, Context& context) override {
    if (visit.page == "show") {
      std::string text;
      for (const auto& [page, rule] : rules) text += page + std::to_string(rule.limit) + " ";
      for (const std::string& page : passed) text += "| " + page;
      return context.Emit(text);
    }
    if (rules.Contains(visit.page)) return;
    passed->push_back(visit.page);
  }
  void ProcessBroadcast(const Rule& rule, BroadcastContext& context) override {
    if (rule.page == "clear") {
      rules.Clear(context);
    } else {
      rules.Mutable(context, rule.page) = rule;
    }
  }
};

JobDefinition Define() {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  Job builder(graph);
  const auto visits = builder.From<Visit>("visits", Files{.path = "x"});
  const auto rules = builder.From<Rule>("rules", Files{.path = "y"});
  visits.KeyBy(&Visit::user).WithBroadcast(rules).Process<Guard>("guard").To("alerts", Print{});
  visits.WithBroadcast(rules.Filter([](const Rule& rule) { return rule.limit >= 0; }))
      .Process<Gate>("gate")
      .To("passed", Print{});
  EXPECT_THAT(job.errors, IsEmpty());
  return job;
}

const NodeDefinition& Node(const JobDefinition& job, const std::string& uid) {
  for (const NodeDefinition& node : job.nodes) {
    if (node.uid == uid) return node;
  }
  ADD_FAILURE() << uid;
  return job.nodes.front();
}

std::vector<std::string> Texts(OperatorHarness& harness) {
  std::vector<std::string> texts;
  for (const auto& record : harness.Take<std::string>()) texts.push_back(record.value);
  return texts;
}

// Rule 35
TEST(BroadcastTest, TheKeyedSideSeesWhatHasComeInEveryMode) {
  const JobDefinition job = Define();
  for (const testing::HarnessMode& mode : testing::AllHarnessModes()) {
    SCOPED_TRACE(mode.name);
    testing::HarnessOptions options;
    options.mode = mode;
    OperatorHarness harness(Node(job, "guard").make_operator, options);
    harness.AddOutput<std::string>();
    ASSERT_TRUE(harness.Open().ok());
    ASSERT_TRUE(harness.Process<Visit>({{{"ann", "/a"}}, {{"bob", "/b"}}}).ok());
    EXPECT_THAT(Texts(harness), IsEmpty()) << "no rule yet";
    ASSERT_TRUE(harness.Process<Rule>({{{"/b", 2}}, {{"/a", 1}}}, 1).ok());
    ASSERT_TRUE(harness.Process<Visit>({{{"ann", "/a"}}, {{"bob", "/b"}}}).ok());
    EXPECT_THAT(Texts(harness), ElementsAre("ann /a"));
    ASSERT_TRUE(harness.Process<Rule>({{{"/a", 0}}, {{"/c", 0}}}, 1).ok());
    ASSERT_TRUE(harness.Process<Visit>({{{"ann", "/a"}}, {{"bob", "/b"}}}).ok());
    EXPECT_THAT(Texts(harness), ElementsAre("no rule for /c", "bob /b"));
    ASSERT_TRUE(harness.Watermark(1000).ok());
    EXPECT_THAT(Texts(harness), ElementsAre("ann /b2", "bob /b2"));
  }
}

TEST(BroadcastTest, AStreamWithoutKeysHasItToo) {
  const JobDefinition job = Define();
  for (const testing::HarnessMode& mode : testing::AllHarnessModes()) {
    SCOPED_TRACE(mode.name);
    testing::HarnessOptions options;
    options.mode = mode;
    OperatorHarness harness(Node(job, "gate").make_operator, options);
    harness.AddOutput<std::string>();
    ASSERT_TRUE(harness.Open().ok());
    ASSERT_TRUE(harness.Process<Rule>({{{"/b", 2}}, {{"/a", 1}}}, 1).ok());
    ASSERT_TRUE(harness.Process<Visit>({{{"ann", "/a"}}, {{"ann", "/c"}}, {{"", "show"}}}).ok());
    EXPECT_THAT(Texts(harness), ElementsAre("/a1 /b2 | /c"));
    ASSERT_TRUE(harness.Process<Rule>({{{"clear", 0}}, {{"/d", 4}}}, 1).ok());
    ASSERT_TRUE(harness.Process<Visit>({{{"", "show"}}}).ok());
    EXPECT_THAT(Texts(harness), ElementsAre("/d4 | /c"));
  }
}

// Rule 49
TEST(BroadcastTest, IsCopiedToEachSubtaskWhenTheirNumberChanges) {
  const JobDefinition job = Define();
  const auto& make = Node(job, "gate").make_operator;
  std::vector<HarnessSnapshot> snapshots;
  for (const char* page : {"/x", "/y"}) {
    OperatorHarness harness(make);
    harness.AddOutput<std::string>();
    ASSERT_TRUE(harness.Open().ok());
    ASSERT_TRUE(harness.Process<Rule>({{{"/b", 2}}, {{"/a", 1}}}, 1).ok());
    ASSERT_TRUE(harness.Process<Visit>({{{"ann", page}}}).ok());
    snapshots.push_back(harness.Snapshot());
  }
  EXPECT_EQ(snapshots[0].lists.at("rules").items, snapshots[1].lists.at("rules").items);
  for (const std::uint32_t parallelism : {1u, 2u, 3u}) {
    std::vector<std::string> shown;
    for (std::uint32_t subtask = 0; subtask < parallelism; ++subtask) {
      testing::HarnessOptions options;
      options.subtask = subtask;
      options.parallelism = parallelism;
      OperatorHarness harness(make, options);
      harness.AddOutput<std::string>();
      const absl::Status status =
          harness.Restore(testing::Rescaled(snapshots, subtask, parallelism));
      ASSERT_TRUE(status.ok()) << status;
      ASSERT_TRUE(harness.Process<Visit>({{{"", "show"}}}).ok());
      for (std::string& text : Texts(harness)) shown.push_back(std::move(text));
    }
    ASSERT_EQ(shown.size(), parallelism);
    for (const std::string& text : shown) EXPECT_THAT(text, HasSubstr("/a1 /b2 "));
  }
}

TEST(BroadcastTest, IsPartOfTheGraphWithItsType) {
  const JobDefinition job = Define();
  const NodeDefinition& guard = Node(job, "guard");
  EXPECT_EQ(guard.inputs, 2u);
  ASSERT_EQ(guard.states.size(), 3u);
  EXPECT_EQ(guard.states[2].name, "limits");
  EXPECT_THAT(guard.states[2].type, HasSubstr("broadcast<"));
  int broadcast = 0;
  for (const EdgeDefinition& edge : job.edges) {
    if (edge.to_input != 1) continue;
    ++broadcast;
    EXPECT_EQ(edge.partitioning, Partitioning::kBroadcast);
  }
  EXPECT_EQ(broadcast, 2);
}

TEST(BroadcastTest, RefusesDamagedItems) {
  const JobDefinition job = Define();
  OperatorHarness harness(Node(job, "gate").make_operator);
  harness.AddOutput<std::string>();
  ASSERT_TRUE(harness.Open().ok());
  ASSERT_TRUE(harness.Process<Rule>({{{"/b", 2}}}, 1).ok());
  HarnessSnapshot damaged = harness.Snapshot();
  damaged.lists.at("rules").items.at(0).pop_back();
  OperatorHarness restored(Node(job, "gate").make_operator);
  restored.AddOutput<std::string>();
  const absl::Status status = restored.Restore(damaged);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("state 'rules', item 0"));
}

// Counts visits; a rule for a page sets the counts of all users, and one for "" clears those of 2.
struct Recount : KeyedBroadcastProcess<std::string, Visit, Rule, std::string> {
  ValueState<std::int64_t> visits{this, "visits"};
  ProcessingTimer soon{this, "soon"};

  void Process(const Visit&, Context&) override { ++visits.Mutable(); }
  void ProcessBroadcast(const Rule& rule, BroadcastContext& context) override {
    ForEachKey(context, visits, [&](const std::string& user) {
      context.Emit(user + std::to_string(visits.Get()));
      if (rule.page.empty() && visits.Get() == 2) return visits.Clear();
      visits.Set(rule.limit);
      soon.Set(EventTime::FromTicks(rule.limit));
    });
  }
  void OnTimer(const ProcessingTimer&, Context& context) override {
    context.Emit("soon " + context.key());
  }
};

// Rule 35
TEST(BroadcastTest, EveryKeyCanBeVisitedInEveryMode) {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  Job builder(graph);
  const auto rules = builder.From<Rule>("rules", Files{.path = "y"});
  builder.From<Visit>("visits", Files{.path = "x"})
      .KeyBy(&Visit::user)
      .WithBroadcast(rules)
      .Process<Recount>("recount")
      .To("out", Print{});
  ASSERT_THAT(job.errors, IsEmpty());
  for (const testing::HarnessMode& mode : testing::AllHarnessModes()) {
    SCOPED_TRACE(mode.name);
    testing::HarnessOptions options;
    options.mode = mode;
    OperatorHarness harness(Node(job, "recount").make_operator, options);
    harness.AddOutput<std::string>();
    ASSERT_TRUE(harness.Open().ok());
    ASSERT_TRUE(harness.Process<Rule>({{{"p", 1}}}, 1).ok());
    EXPECT_THAT(Texts(harness), IsEmpty());
    ASSERT_TRUE(harness.Process<Visit>({{{"ann", ""}}, {{"bob", ""}}, {{"ann", ""}}}, 0).ok());
    ASSERT_TRUE(harness.Process<Rule>({{{"", 5}}}, 1).ok());
    EXPECT_THAT(Texts(harness), ::testing::UnorderedElementsAre("ann2", "bob1"));
    ASSERT_TRUE(harness.SetProcessingTime(6).ok());
    EXPECT_THAT(Texts(harness), ElementsAre("soon bob"));
    ASSERT_TRUE(harness.Process<Rule>({{{"p", 7}}}, 1).ok());
    EXPECT_THAT(Texts(harness), ElementsAre("bob5"));
  }
}

}  // namespace
}  // namespace weir
