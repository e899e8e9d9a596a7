// Sinks that commit with checkpoints, on several workers under virtual time: whatever is killed,
// delayed or not known, each event is committed once, and nothing before its checkpoint is
// complete.
#include <map>
#include <optional>
#include <set>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "runtime/testing/sim_cluster_internal.h"

namespace weir {
namespace {

using namespace weir::testing;  // NOLINT: the jobs of this test

using TaskKey = std::pair<uint32_t, uint32_t>;
using JobState = std::map<TaskKey, std::shared_ptr<const TaskState>>;

// What sinks write to: outlives the attempts.
struct Store {
  struct Output {
    std::string sink;
    std::vector<int64_t> values;
  };
  std::map<std::string, Output> prepared;
  std::map<std::string, Output> committed;
  // In a checkpoint that is complete.
  std::set<std::string> allowed;
  // A commit that is not allowed yet.
  std::vector<std::string> too_early;
  uint64_t next = 0;
  // Share of the calls that fail.
  double failures = 0;
  // Every commit fails with it.
  absl::Status broken;
  uint64_t tries = 0;
  bool without_checkpoints = false;

  std::map<int64_t, int> Values(const std::string& sink) const {
    std::map<int64_t, int> times;
    for (const auto& [id, output] : committed) {
      if (output.sink != sink) continue;
      for (const int64_t value : output.values) ++times[value];
    }
    return times;
  }
};

class StoreCommitter final : public Committer {
 public:
  StoreCommitter(Store& store, SimRandom& random) : store_(store), random_(random) {}
  std::string type() const override { return "store.1"; }
  absl::Status Commit(const std::vector<Committable>& committables) override {
    ++store_.tries;
    if (!store_.broken.ok()) return store_.broken;
    // Some may be committed before it fails.
    const bool fails = random_.Chance(store_.failures);
    const uint64_t commits = fails ? random_.Below(committables.size() + 1) : committables.size();
    for (uint64_t i = 0; i < commits; ++i) {
      const Committable& committable = committables[i];
      const std::string id(committable.bytes);
      if (!store_.without_checkpoints && !store_.allowed.contains(id)) {
        store_.too_early.push_back(id);
      }
      if (const auto found = store_.prepared.find(id); found != store_.prepared.end()) {
        store_.committed.insert(store_.prepared.extract(found));
      } else if (!store_.committed.contains(id)) {
        return absl::DataLossError(StrCat(id, " was never prepared"));
      } else if (!committable.again) {
        return absl::InternalError(StrCat(id, " is committed twice, and nobody said so"));
      }
    }
    return fails ? absl::UnavailableError("the store does not answer") : absl::OkStatus();
  }

 private:
  Store& store_;
  SimRandom& random_;
};

// Takes a while to make ready what it has; `busy`: and takes nothing more meanwhile.
class StoreWriter final : public SinkWriter {
 public:
  StoreWriter(Store& store, SimRandom& random, Env& env, bool busy)
      : store_(store), random_(random), timers_(env.NewExecutor("store")), busy_(busy) {}
  absl::Status Open(OperatorContext& context) override {
    context_ = &context;
    return absl::OkStatus();
  }
  absl::Status Write(BatchBase& batch) override {
    EXPECT_TRUE(!busy_ || !preparing_.has_value());
    for (const Event& event : static_cast<Batch<Event>&>(batch).records) {
      values_.push_back(event.value);
    }
    return absl::OkStatus();
  }
  bool Blocked() const override { return busy_ && preparing_.has_value(); }
  absl::Status Flush() override { return absl::OkStatus(); }
  absl::StatusOr<bool> Finish() override { return absl::InternalError("a sink that commits"); }
  void Close() override { timers_->Shutdown(); }

  std::unique_ptr<Committer> MakeCommitter() override {
    return std::make_unique<StoreCommitter>(store_, random_);
  }
  absl::StatusOr<bool> PrepareCommit(uint64_t id, std::vector<std::string>& out) override {
    if (!preparing_.has_value()) {
      EXPECT_GT(id, last_);
      last_ = id;
      preparing_ = std::exchange(values_, {});
      done_ = random_.Chance(0.3);
      if (!done_) {
        timers_->PostAfter(absl::Microseconds(random_.Between(1, 20'000)), [this] {
          done_ = true;
          context_->WakeNow();
        });
      }
    }
    EXPECT_EQ(id, last_) << "one is ready before the next begins";
    if (!done_) return false;
    if (!preparing_->empty()) {
      out.push_back(StrCat(context_->uid(), "-", store_.next++));
      store_.prepared[out.back()] = {context_->uid(), *std::move(preparing_)};
    }
    preparing_.reset();
    return true;
  }

 private:
  Store& store_;
  SimRandom& random_;
  const std::unique_ptr<Executor> timers_;
  const bool busy_;
  OperatorContext* context_ = nullptr;
  std::vector<int64_t> values_;
  std::optional<std::vector<int64_t>> preparing_;
  uint64_t last_ = 0;
  bool done_ = false;
};

// The committables in a state, of all sinks.
void AddCommittables(const JobState& state, std::set<std::string>& to) {
  for (const auto& [task, of_task] : state) {
    for (const OperatorState& of_node : *of_task) {
      for (const OperatorState::List& list : of_node.lists) {
        if (list.name == "committables") to.insert(list.items.begin(), list.items.end());
      }
    }
  }
}

// A coordinator in short: knows the newest checkpoint that all tasks have told.
class Coordinator {
 public:
  Coordinator(Store& store, uint64_t& next_id) : store_(store), next_id_(next_id) {}

  void SetTasks(size_t tasks) { tasks_ = tasks; }
  Barrier Trigger() {
    const Barrier barrier{next_id_++, 0};
    pending_[barrier.id];
    Complete();
    return barrier;
  }
  void Add(TaskCheckpoint checkpoint) {
    const TaskKey key{checkpoint.vertex, checkpoint.subtask};
    auto state = std::make_shared<const TaskState>(std::move(checkpoint.state));
    if (checkpoint.final) {
      EXPECT_TRUE(final_.emplace(key, std::pair(checkpoint.barrier.id, std::move(state))).second);
    } else if (const auto found = pending_.find(checkpoint.barrier.id); found != pending_.end()) {
      EXPECT_TRUE(found->second.emplace(key, std::move(state)).second);
    }
    Complete();
  }
  uint64_t newest() const { return newest_; }
  const JobState& state() const { return state_; }

 private:
  void Complete() {
    for (auto& [id, told] : pending_) {
      JobState all = told;
      for (const auto& [task, of_final] : final_) {
        if (of_final.first < id) all.emplace(task, of_final.second);
      }
      if (all.size() < tasks_ || id <= newest_) continue;
      newest_ = id;
      state_ = std::move(all);
      AddCommittables(state_, store_.allowed);
    }
    pending_.erase(pending_.begin(), pending_.upper_bound(newest_));
  }

  Store& store_;
  uint64_t& next_id_;
  size_t tasks_ = ~size_t{0};
  std::map<uint64_t, JobState> pending_;
  std::map<TaskKey, std::pair<uint64_t, std::shared_ptr<const TaskState>>> final_;
  uint64_t newest_ = 0;
  JobState state_;
};

struct SinkJob {
  // Two sources, a stage, and two sinks: one chained to the stage.
  SinkJob(SimRandom& shape, Store& store, SimRandom& faults, Env& env) {
    const auto parallelism = [&] { return 1 + static_cast<uint32_t>(shape.Below(4)); };
    const uint32_t p = parallelism();
    const uint32_t stage =
        job.Apply("stage", p, [] { return std::make_unique<CheckedOperator>(); });
    for (int i = 0; i < 2; ++i) {
      SequenceOptions options;
      options.count = static_cast<int64_t>(shape.Below(3000));
      options.pause_after = 1 + static_cast<int64_t>(shape.Below(200));
      options.pause = static_cast<Ticks>(shape.Below(3000));
      job.Connect(job.Source(StrCat("source-", i), parallelism(), options), stage,
                  Partitioning::kRebalance);
      for (int64_t value = 0; value < options.count; ++value) ++expected[value];
    }
    for (const bool chained : {true, false}) {
      NodeDefinition node;
      node.uid = chained ? "chained" : "apart";
      node.description = node.uid;
      node.kind = NodeKind::kSink;
      node.parallelism = chained ? p : parallelism();
      node.record_type = &RecordTypeOf<Event>();
      const bool busy = shape.Chance(0.5);
      node.make_sink = [&store, &faults, &env, busy] {
        return std::make_unique<StoreWriter>(store, faults, env, busy);
      };
      job.definition.nodes.push_back(std::move(node));
      job.Connect(stage, static_cast<uint32_t>(job.definition.nodes.size() - 1),
                  chained ? Partitioning::kForward : Partitioning::kRebalance);
    }
  }
  TestJob job;
  std::map<int64_t, int> expected;
};

struct Tally {
  uint64_t kills = 0;
  uint64_t restored = 0;
  uint64_t recommitted = 0;
};

void RunWithKills(uint64_t seed, Tally& tally) {
  Store store;
  SimRandom faults(seed * 7919);
  store.failures = faults.Chance(0.5) ? 0.4 : 0;
  JobState restore;
  uint64_t restored = 0;
  uint64_t next_id = 1;
  const uint64_t kills = faults.Below(5);
  for (uint64_t attempt = 0; attempt <= kills; ++attempt) {
    SCOPED_TRACE(StrCat("attempt ", attempt));
    SimCluster cluster(seed + 100'000 * attempt, 1 + static_cast<uint32_t>(faults.Below(3)));
    SimRandom shape(seed);
    SinkJob job(shape, store, faults, cluster.env(0));
    Coordinator coordinator(store, next_id);
    cluster.configure = [&](RuntimeOptions& options) {
      options.on_checkpoint = [&](TaskCheckpoint told) { coordinator.Add(std::move(told)); };
      options.restore = restore;
      options.run = {"job", static_cast<uint32_t>(attempt + 1), restored, true, true};
    };
    std::set<std::string> left;
    AddCommittables(restore, left);
    for (const std::string& id : left) tally.recommitted += store.prepared.contains(id) ? 1 : 0;
    cluster.Deploy(job.job.definition);
    size_t tasks = 0;
    for (const proto::Vertex& vertex : cluster.graph().vertices()) tasks += vertex.parallelism();
    coordinator.SetTasks(tasks);
    cluster.Start();
    const bool last = attempt == kills;
    uint64_t steps = last ? ~uint64_t{0} : 200 + faults.Below(30'000);
    const uint64_t interval = 50 + faults.Below(2'000);
    while (!cluster.AllTerminal() && steps > 0) {
      const Barrier barrier = coordinator.Trigger();
      for (size_t i = 0; i < cluster.workers(); ++i) {
        if (!faults.Chance(0.05)) cluster.TriggerCheckpoint(i, barrier);
        // A notice may be lost, for it is told again.
        if (!faults.Chance(0.2)) cluster.CompleteCheckpoint(i, coordinator.newest());
      }
      for (uint64_t k = 0; k < interval && steps > 0 && !cluster.AllTerminal(); ++k, --steps) {
        if (!cluster.world().Step()) break;
      }
      if (faults.Chance(0.2)) cluster.AbortCheckpoint(barrier.id);
      ASSERT_LT(next_id, 100'000u) << "hangs";
    }
    ASSERT_EQ(cluster.Failures(), "");
    if (coordinator.newest() > 0) {
      restore = coordinator.state();
      restored = coordinator.newest();
    }
    if (!last) {
      ++tally.kills;
      tally.restored += restored > 0 ? 1 : 0;
      continue;
    }
    EXPECT_THAT(store.too_early, ::testing::IsEmpty());
    EXPECT_EQ(store.Values("chained"), job.expected);
    EXPECT_EQ(store.Values("apart"), job.expected);
  }
}

// Flink 8132, 31363, 4027: what is committed, as a multiset, is what went in, whenever the job is
// killed.
TEST(SinkCommit, WhateverIsKilledEachEventIsCommittedOnce) {  // Rules 45, 46
  Tally tally;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    RunWithKills(seed, tally);
    if (HasFailure()) return;
  }
  EXPECT_GT(tally.kills, 200u);
  EXPECT_GT(tally.restored, 100u);
  EXPECT_GT(tally.recommitted, 20u) << "killed between the completion and the commit";
}

// One job that ends by itself.
class SinkCommitEnd : public ::testing::Test {
 protected:
  void Deploy(bool with_checkpoints) {
    store_.without_checkpoints = !with_checkpoints;
    cluster_.configure = [this, with_checkpoints](RuntimeOptions& options) {
      if (with_checkpoints) {
        options.on_checkpoint = [this](TaskCheckpoint told) { coordinator_.Add(std::move(told)); };
      }
      options.run.commits_with_checkpoints = with_checkpoints;
    };
    cluster_.Deploy(job_.job.definition);
    size_t tasks = 0;
    for (const proto::Vertex& vertex : cluster_.graph().vertices()) tasks += vertex.parallelism();
    coordinator_.SetTasks(tasks);
    cluster_.Start();
  }
  // The names of the vertices of which a subtask has finished, and of those of which one has not.
  std::set<std::string> Names(bool finished) {
    std::set<std::string> names;
    for (const auto& task : cluster_.Report()) {
      if ((task.state() == proto::TASK_FINISHED) != finished) continue;
      const auto& vertex = cluster_.graph().vertices(static_cast<int>(task.vertex()));
      names.insert(cluster_.graph().nodes(static_cast<int>(vertex.nodes(0))).uid());
    }
    return names;
  }
  void CompleteTheLast() {
    cluster_.TriggerCheckpoint(0, coordinator_.Trigger());
    ASSERT_EQ(coordinator_.newest(), 1u);
    cluster_.CompleteCheckpoint(0, 1);
  }

  uint64_t next_id_ = 1;
  Store store_;
  SimRandom shape_{4};
  SimRandom faults_{5};
  SimCluster cluster_{1, 1};
  SinkJob job_{shape_, store_, faults_, cluster_.env(0)};
  Coordinator coordinator_{store_, next_id_};
};

// Flink 38614: the end of data does not overtake the last committables.
TEST_F(SinkCommitEnd, ATaskWithACommittingSinkWaitsForTheLastCheckpoint) {  // Rule 46, I17
  Deploy(true);
  ASSERT_FALSE(cluster_.RunToEnd(absl::Seconds(30)));
  EXPECT_THAT(Names(true), ::testing::ElementsAre("source-0", "source-1"))
      << "what has no sink that commits waits for nothing";
  EXPECT_THAT(Names(false), ::testing::ElementsAre("apart", "stage"));
  EXPECT_TRUE(store_.committed.empty());
  CompleteTheLast();
  ASSERT_TRUE(cluster_.RunToEnd(absl::Seconds(30)));
  EXPECT_EQ(cluster_.Failures(), "");
  EXPECT_EQ(store_.Values("chained"), job_.expected);
  EXPECT_EQ(store_.Values("apart"), job_.expected);
}

TEST_F(SinkCommitEnd, ACommitThatIsSlowIsWaitedFor) {
  Deploy(true);
  ASSERT_FALSE(cluster_.RunToEnd(absl::Seconds(30)));
  store_.broken = absl::UnavailableError("stalled");
  CompleteTheLast();
  EXPECT_FALSE(cluster_.RunToEnd(absl::Minutes(2)));
  EXPECT_GT(store_.tries, 10u);
  EXPECT_LT(store_.tries, 200u) << "with a growing delay";
  store_.broken = absl::OkStatus();
  ASSERT_TRUE(cluster_.RunToEnd(absl::Seconds(30)));
  EXPECT_EQ(cluster_.Failures(), "");
  EXPECT_EQ(store_.Values("chained"), job_.expected);
}

TEST_F(SinkCommitEnd, ACommitThatNeverGoesWellFailsTheJobWithItsReason) {
  Deploy(true);
  ASSERT_FALSE(cluster_.RunToEnd(absl::Seconds(30)));
  store_.broken = absl::UnavailableError("stalled");
  CompleteTheLast();
  ASSERT_TRUE(cluster_.RunToEnd(absl::Minutes(10)));
  EXPECT_THAT(cluster_.Failures(), ::testing::HasSubstr("committing the output of sink 'chained'"));
  EXPECT_THAT(cluster_.Failures(), ::testing::HasSubstr("times in 5m"));
  EXPECT_THAT(cluster_.Failures(), ::testing::HasSubstr("stalled"));
}

TEST_F(SinkCommitEnd, AnErrorThatDoesNotPassFailsTheJobAtOnce) {
  Deploy(true);
  ASSERT_FALSE(cluster_.RunToEnd(absl::Seconds(30)));
  store_.broken = absl::PermissionDeniedError("no");
  CompleteTheLast();
  ASSERT_TRUE(cluster_.RunToEnd(absl::Seconds(5)));
  EXPECT_THAT(cluster_.Failures(), ::testing::HasSubstr("sink 'chained': no"));
}

TEST_F(SinkCommitEnd, WithoutCheckpointsTheEndOfTheInputCommits) {
  Deploy(false);
  ASSERT_TRUE(cluster_.RunToEnd(absl::Seconds(60)));
  EXPECT_EQ(cluster_.Failures(), "");
  EXPECT_EQ(store_.Values("chained"), job_.expected);
  EXPECT_EQ(store_.Values("apart"), job_.expected);
}

TEST_F(SinkCommitEnd, ACancelledJobCommitsNothingMore) {
  Deploy(true);
  ASSERT_FALSE(cluster_.RunToEnd(absl::Seconds(30)));
  cluster_.Cancel();
  ASSERT_TRUE(cluster_.RunToEnd(absl::Seconds(5)));
  EXPECT_TRUE(store_.committed.empty());
  EXPECT_EQ(store_.tries, 0u);
}

}  // namespace
}  // namespace weir
