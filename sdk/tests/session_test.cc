#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "weir/connectors.h"
#include "weir/job.h"
#include "weir/testing.h"
#include "weir/window_stream.h"

namespace weir {

struct SessionRecord {
  std::string key;
  std::int64_t gap = 0;
};
// What a session has of its records: their values in order, as the digits of a number.
struct SessionDigits {
  std::int64_t digits = 0;
  std::int64_t count = 0;
};
struct SessionVisit {
  std::int64_t key = 0;
  std::int64_t value = 0;
  std::int64_t gap = 0;
};

namespace {

struct Gaps : WindowProcess<std::string, SessionRecord, std::string> {
  void OnWindow(const WindowElements<SessionRecord>& elements, Context& context) override {
    std::string text = std::to_string(context.window().start.ticks()) + " to " +
                       std::to_string(context.window().end.ticks()) + ":";
    for (const SessionRecord& record : elements) text += " " + std::to_string(record.gap);
    context.Emit(text);
  }
};

// Rule 11: a record whose window is the one that others have become.
TEST(SessionTest, KeepsItsRecordsWhenOneHasItsExactSpan) {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  Job(graph)
      .From<SessionRecord>("in", Files{.path = "x"})
      .KeyBy(&SessionRecord::key)
      .Window(OnProcessingTime{
          SessionBy{[](const SessionRecord& record) { return Duration(record.gap); }}})
      .Process<Gaps>("window")
      .To("out", Print{});
  testing::OperatorHarness harness(job.nodes[1].make_operator);
  harness.AddOutput<std::string>();
  ASSERT_TRUE(harness.Open().ok());
  for (const std::int64_t gap : {1, 5, 5, 2})
    ASSERT_TRUE(harness.Process<SessionRecord>({{{"a", gap}}}).ok());
  ASSERT_TRUE(harness.SetProcessingTime(5).ok());
  const auto out = harness.Take<std::string>();
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].value, "0 to 5: 1 5 5 2");
}

// Depends on the order in which records come, and sessions are merged.
struct InOrder {
  using Accumulator = SessionDigits;
  void Add(SessionDigits& into, const SessionVisit& visit) const {
    into.digits = into.digits * 31 + visit.value;
    ++into.count;
  }
  void Merge(SessionDigits& into, const SessionDigits& later) const {
    into.digits = into.digits * 1'000'003 + later.digits;
    into.count += later.count;
  }
  SessionDigits Result(const SessionDigits& all) const { return all; }
};

constexpr SideOutput<SessionVisit> kLate{"late"};

enum class Engine { kSessions, kAnyWindows };

// The same sessions, by the operator for them, or by that for any windows since a trigger is given.
JobDefinition CountVisits(Engine engine, std::int64_t fixed_gap, std::int64_t lateness) {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  const auto visits =
      Job(graph).From<SessionVisit>("in", Files{.path = "x"}).KeyBy(&SessionVisit::key);
  const auto aggregate = [](const auto& windows) {
    const auto out = windows.Aggregate(
        "sessions", InOrder{},
        [](std::int64_t key, const TimeWindow& window, const SessionDigits& all) {
          return std::to_string(key) + " from " + std::to_string(window.start.ticks()) + " to " +
                 std::to_string(window.end.ticks()) + ": " + std::to_string(all.count) + ", " +
                 std::to_string(all.digits);
        });
    out.To("out", Print{});
    out.Side(kLate).To("late", Print{});
  };
  const auto add = [&](const auto& windows) {
    const auto declared = windows.AllowLateness(Duration(lateness)).SideOutputLate(kLate);
    if (engine == Engine::kSessions) {
      aggregate(declared);
    } else {
      aggregate(declared.Trigger(EventTimeTrigger()));
    }
  };
  if (fixed_gap > 0) {
    add(visits.Window(Session{Duration(fixed_gap)}));
  } else {
    add(visits.Window(SessionBy{[](const SessionVisit& visit) { return Duration(visit.gap); }}));
  }
  EXPECT_TRUE(job.errors.empty());
  return job;
}

struct Subtask {
  Subtask(const JobDefinition& job, testing::HarnessOptions options = {})
      : harness(job.nodes[1].make_operator, std::move(options)) {
    harness.AddOutput<std::string>();
    harness.AddOutput<SessionVisit>();
    EXPECT_TRUE(harness.Open().ok());
  }
  void Process(const std::vector<testing::Timed<SessionVisit>>& visits) {
    const absl::Status status = harness.Process<SessionVisit>(visits);
    EXPECT_TRUE(status.ok()) << status;
    Collect();
  }
  void Watermark(Ticks watermark) {
    const absl::Status status = harness.Watermark(watermark);
    EXPECT_TRUE(status.ok()) << status;
    Collect();
  }
  void Finish() {
    EXPECT_TRUE(harness.Finish().ok());
    Collect();
  }
  void Collect() {
    for (const auto& [value, time] : harness.Take<std::string>())
      results.push_back(value + " @" + std::to_string(time));
    for (const auto& [visit, time] : harness.Take<SessionVisit>(1)) {
      late.push_back(std::to_string(visit.key) + " " + std::to_string(visit.value) + " @" +
                     std::to_string(time));
    }
  }
  // Takes up what another one, perhaps of the other engine, has left.
  void Read(const testing::HarnessSnapshot& snapshot) {
    Watermark(snapshot.watermark);
    for (KeyedStateTable* table : harness.op().keyed_state()) {
      const auto& of_table = snapshot.tables.at(table->name());
      EXPECT_EQ(of_table.type, table->type());
      for (const auto& [key_group, bytes] : of_table.key_groups)
        EXPECT_TRUE(table->ReadKeyGroup(key_group, bytes).ok()) << table->name();
    }
  }

  testing::OperatorHarness harness;
  std::vector<std::string> results;
  std::vector<std::string> late;
};

// Records of a few keys and a watermark, again and again: some in order, some late, some that
// bridge sessions.
class RandomVisits {
 public:
  explicit RandomVisits(std::uint64_t seed) : random_(seed) {}
  std::vector<testing::Timed<SessionVisit>> Next() {
    std::vector<testing::Timed<SessionVisit>> visits;
    for (std::uint64_t i = 0; i < Below(30); ++i) {
      time_ += static_cast<Ticks>(Below(4));
      // One of them is what an empty slot of the table holds in place of a key.
      const std::int64_t key = Below(12) == 0 ? static_cast<std::int64_t>(0x9E37'79B9'7F4A'7C15ULL)
                                              : static_cast<std::int64_t>(Below(6)) - 1;
      visits.push_back({{key, ++value_ % 10, static_cast<std::int64_t>(Below(25)) + 1},
                        time_ - static_cast<Ticks>(Below(Below(5) == 0 ? 90 : 12))});
    }
    return visits;
  }
  Ticks Watermark() { return time_ - 10 - static_cast<Ticks>(Below(20)); }

 private:
  std::uint64_t Below(std::uint64_t end) { return random_() % end; }
  std::mt19937_64 random_;
  Ticks time_ = 0;
  std::int64_t value_ = 0;
};

// Rules 5 to 13: as the engine for any windows, which is replayed against recorded cases.
TEST(SessionOperatorTest, HasTheResultsOfTheEngineForAnyWindowsInTheirOrder) {
  std::size_t results = 0;
  std::size_t late = 0;
  for (const std::int64_t gap : {0, 1, 10, 40}) {
    for (const std::int64_t lateness : {0, 7, 60}) {
      const JobDefinition sessions = CountVisits(Engine::kSessions, gap, lateness);
      const JobDefinition any = CountVisits(Engine::kAnyWindows, gap, lateness);
      for (const testing::HarnessMode& mode : testing::AllHarnessModes()) {
        testing::HarnessOptions options;
        options.mode = mode;
        Subtask own(sessions, options);
        Subtask expected(any);
        RandomVisits visits(static_cast<std::uint64_t>(gap * 1000 + lateness));
        for (int round = 0; round < 60; ++round) {
          const auto next = visits.Next();
          const Ticks watermark = visits.Watermark();
          for (Subtask* const subtask : {&own, &expected}) {
            subtask->Process(next);
            subtask->Watermark(watermark);
          }
          ASSERT_EQ(own.results, expected.results) << mode.name << ", gap " << gap;
          ASSERT_EQ(own.late, expected.late) << mode.name << ", gap " << gap;
        }
        own.Finish();
        expected.Finish();
        ASSERT_EQ(own.results, expected.results) << mode.name << ", gap " << gap;
        results += own.results.size();
        late += own.late.size();
      }
    }
  }
  EXPECT_GT(results, 10'000u);
  EXPECT_GT(late, 1'000u);
}

TEST(SessionOperatorTest, WritesTheBytesOfTheEngineForAnyWindowsAndReadsThem) {
  for (const std::int64_t lateness : {0, 60}) {
    const JobDefinition sessions = CountVisits(Engine::kSessions, 10, lateness);
    const JobDefinition any = CountVisits(Engine::kAnyWindows, 10, lateness);
    Subtask own(sessions);
    Subtask expected(any);
    RandomVisits visits(5);
    for (int round = 0; round < 40; ++round) {
      const auto next = visits.Next();
      own.Process(next);
      expected.Process(next);
      const Ticks watermark = visits.Watermark();
      own.Watermark(watermark);
      expected.Watermark(watermark);
    }
    const testing::HarnessSnapshot of_own = own.harness.Snapshot();
    const testing::HarnessSnapshot of_any = expected.harness.Snapshot();
    ASSERT_FALSE(of_own.tables.at("windows").key_groups.empty());
    EXPECT_EQ(of_own.tables.at("windows").key_groups, of_any.tables.at("windows").key_groups);
    EXPECT_EQ(of_own.tables.size(), of_any.tables.size());
    Subtask own_from_any(sessions);
    own_from_any.Read(of_any);
    Subtask any_from_own(any);
    any_from_own.Read(of_own);
    own.results.clear();
    const std::vector<Subtask*> all = {&own, &own_from_any, &any_from_own};
    for (int round = 0; round < 40; ++round) {
      const auto next = visits.Next();
      const Ticks watermark = visits.Watermark();
      for (Subtask* const subtask : all) {
        subtask->Process(next);
        subtask->Watermark(watermark);
      }
    }
    for (Subtask* const subtask : all) {
      subtask->Finish();
      EXPECT_EQ(subtask->results, own.results);
    }
    EXPECT_GT(own.results.size(), 50u);
  }
}

// It is written while records go on changing the sessions.
TEST(SessionOperatorTest, ASnapshotHasTheSessionsAsTheyWereWhenItWasTaken) {
  const JobDefinition sessions = CountVisits(Engine::kSessions, 10, 0);
  Subtask of(sessions);
  Subtask expected(sessions);
  std::vector<testing::Timed<SessionVisit>> visits;
  for (std::int64_t key = 0; key < 50; ++key) visits.push_back({{key, 1, 0}, key});
  of.Process(visits);
  expected.Process(visits);
  std::vector<std::pair<std::string, std::unique_ptr<KeyedStateSnapshot>>> snapshots;
  for (KeyedStateTable* const table : of.harness.op().keyed_state())
    snapshots.emplace_back(table->name(), table->TakeSnapshot(SnapshotUse::kLive));
  for (auto& visit : visits) visit.value.value = 2;
  of.Process(visits);

  Subtask read(sessions);
  for (KeyedStateTable* const table : read.harness.op().keyed_state()) {
    const auto snapshot = std::find_if(snapshots.begin(), snapshots.end(), [&](const auto& named) {
      return named.first == table->name();
    });
    ASSERT_NE(snapshot, snapshots.end());
    for (std::uint32_t key_group = 0; key_group < 128; ++key_group) {
      std::string bytes;
      snapshot->second->WriteKeyGroup(key_group, bytes);
      ASSERT_TRUE(table->ReadKeyGroup(key_group, bytes).ok());
    }
  }
  read.Finish();
  expected.Finish();
  EXPECT_EQ(read.results, expected.results);
  EXPECT_EQ(read.results.size(), 50u);
}

// Semantics rule 49: subtasks whose watermarks differ become one, which has the least of them.
TEST(SessionOperatorTest, FiresNothingAgainThatHasFiredBeforeARescale) {
  const JobDefinition sessions = CountVisits(Engine::kSessions, 10, 100);
  std::vector<testing::HarnessSnapshot> snapshots;
  std::vector<std::string> results;
  for (const std::uint32_t subtask : {0u, 1u}) {
    testing::HarnessOptions options;
    options.subtask = subtask;
    options.parallelism = 2;
    Subtask of(sessions, options);
    for (std::int64_t key = 0; key < 40; ++key) {
      const std::uint32_t key_group = KeyGroupOf(KeyHash(key), 128);
      if ((key_group >= 64 ? 1u : 0u) == subtask) of.Process({{{key, 1, 0}, 0}, {{key, 2, 0}, 50}});
    }
    of.Watermark(subtask == 0 ? 30 : 5);
    results.insert(results.end(), of.results.begin(), of.results.end());
    snapshots.push_back(of.harness.Snapshot());
  }
  EXPECT_LT(results.size(), 40u);
  Subtask one(sessions);
  one.Read(testing::Rescaled(snapshots, 0, 1));
  one.Watermark(40);
  results.insert(results.end(), one.results.begin(), one.results.end());
  EXPECT_EQ(results.size(), 40u);
  std::sort(results.begin(), results.end());
  EXPECT_EQ(std::unique(results.begin(), results.end()), results.end());
  // Those that began at 50.
  one.results.clear();
  one.Finish();
  EXPECT_EQ(one.results.size(), 40u);
}

TEST(SessionOperatorTest, NamesTheKeyOfARecordWithoutAGap) {
  Subtask of(CountVisits(Engine::kSessions, 0, 0));
  const absl::Status status = of.harness.Process<SessionVisit>({{{77, 1, 0}, 3}});
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find("greater than 0"), std::string::npos) << status;
  EXPECT_FALSE(of.harness.Process<SessionVisit>({{{77, 1, 5}, kMinTicks}}).ok());
}

}  // namespace
}  // namespace weir
