// Unaligned checkpoints that are restored at another parallelism (semantics rule 43), from the
// tasks through files and metadata to the tasks that read them: nothing is lost, repeated, late or
// out of order.
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "jobmanager/checkpoint/pending_checkpoint.h"
#include "proto/checkpoint.pb.h"
#include "runtime/testing/sim_cluster_internal.h"
#include "state/store/checkpoint_folder.h"
#include "state/store/checkpoint_metadata.h"
#include "state/store/in_flight_edges.h"
#include "taskmanager/checkpoint/task_snapshots.h"

namespace weir {
namespace {

using namespace weir::testing;  // NOLINT: the jobs of this test

constexpr char kJobFolder[] = "/checkpoints/job";

// Writes what tasks tell, and knows the newest checkpoint that all tasks have told.
class Storage {
 public:
  void BeginAttempt(uint32_t attempt, const proto::JobGraph& graph) {
    attempt_ = attempt;
    graph_ = graph;
    pending_.clear();
    final_.clear();
    tasks_.clear();
    for (const proto::Vertex& vertex : graph.vertices()) {
      for (uint32_t i = 0; i < vertex.parallelism(); ++i) tasks_.emplace_back(vertex.id(), i);
    }
  }
  void Begin(uint64_t id) {
    ASSERT_TRUE(CheckpointFolder(env_.files(), Folder(id)).Prepare().ok());
  }
  void Add(TaskCheckpoint checkpoint) {
    ASSERT_TRUE(checkpoint.failed.ok()) << checkpoint.failed;
    const TaskKey key{checkpoint.vertex, checkpoint.subtask};
    auto told = WriteTaskSnapshot(env_.files(), {kJobFolder, attempt_}, graph_, checkpoint);
    ASSERT_TRUE(told.ok()) << told.status();
    auto snapshot = std::make_shared<const proto::TaskSnapshot>(*std::move(told));
    if (snapshot->final()) {
      final_[key] = snapshot;
    } else {
      pending_[checkpoint.barrier.id][key] = snapshot;
    }
    for (const auto& [id, of_tasks] : pending_) CompleteIfTold(id, of_tasks);
  }

  // What a job of this graph starts from; null: nothing is complete.
  std::unique_ptr<proto::JobRestore> Restore(const proto::JobGraph& graph) const {
    if (metadata_ == nullptr) return nullptr;
    EXPECT_TRUE(ValidateCheckpointMetadata(*metadata_).ok());
    const absl::Status fits = CheckInFlightFits(*metadata_, graph);
    EXPECT_TRUE(fits.ok()) << fits;
    auto restore = std::make_unique<proto::JobRestore>();
    restore->set_checkpoint_id(metadata_->checkpoint_id());
    restore->set_directory(Folder(metadata_->checkpoint_id()));
    *restore->mutable_files() = metadata_->files();
    for (const proto::OperatorCheckpoint& of_operator : metadata_->operators()) {
      for (const proto::Node& node : graph.nodes()) {
        if (node.uid() != of_operator.uid()) continue;
        proto::OperatorRestore& of_node = *restore->add_operators();
        of_node.set_node(node.id());
        *of_node.mutable_checkpoint() = of_operator;
      }
    }
    return restore;
  }
  uint64_t newest() const { return metadata_ == nullptr ? 0 : metadata_->checkpoint_id(); }
  bool in_flight() const { return metadata_ != nullptr && HasInFlight(*metadata_); }
  FileSystem& files() { return env_.files(); }

 private:
  using TaskKey = std::pair<uint32_t, uint32_t>;
  using Snapshot = std::shared_ptr<const proto::TaskSnapshot>;

  static std::string Folder(uint64_t id) { return StrCat(kJobFolder, "/chk-", id); }
  void CompleteIfTold(uint64_t id, const std::map<TaskKey, Snapshot>& of_tasks) {
    if (metadata_ != nullptr && id <= metadata_->checkpoint_id()) return;
    std::vector<Snapshot> all;
    for (const TaskKey& task : tasks_) {
      const auto told = of_tasks.find(task);
      const auto final = final_.find(task);
      if (told != of_tasks.end()) {
        all.push_back(told->second);
      } else if (final != final_.end() && final->second->last_barrier() < id) {
        all.push_back(final->second);
      } else {
        return;
      }
    }
    jobmanager::CheckpointHeader header;
    header.job_id = std::string(16, 'j');
    header.checkpoint_id = id;
    auto metadata = jobmanager::BuildMetadata(graph_, header, all);
    ASSERT_TRUE(metadata.ok()) << metadata.status();
    metadata_ = *std::move(metadata);
  }

  SimWorld world_{SimOptions{}};
  SimEnv& env_ = world_.StartProcess("storage");
  uint32_t attempt_ = 0;
  proto::JobGraph graph_;
  std::vector<TaskKey> tasks_;
  std::map<uint64_t, std::map<TaskKey, Snapshot>> pending_;
  std::map<TaskKey, Snapshot> final_;
  std::shared_ptr<const proto::CheckpointMetadata> metadata_;
};

// Remembers the last value of each key of input 0, of which each is to be `step` more than the one
// before, and of input 1, which all subtasks have, the last of all.
class OrderOperator final : public CheckedOperator {
 public:
  explicit OrderOperator(int64_t step) : step_(step) {}
  std::vector<KeyedStateTable*> keyed_state() override { return {&table_}; }
  std::vector<OperatorListState*> list_state() override { return {&list_}; }
  absl::Status ProcessBatch(size_t input, BatchBase& batch) override {
    if (input == 0) return CheckedOperator::ProcessBatch(input, batch);
    for (const Event& event : static_cast<Batch<Event>&>(batch).records) {
      EXPECT_EQ(event.value, ++list_.last) << context_->uid() << " has missed a copy, or has two";
      EXPECT_GT(event.at.ticks(), watermark_);
    }
    return absl::OkStatus();
  }

 protected:
  absl::Status OnEvent(Event& event) override {
    const uint32_t group = KeyGroupOf(KeyHash(event.key), context_->max_parallelism());
    EXPECT_TRUE(context_->key_groups().Contains(group));
    const auto [last, is_new] = last_.try_emplace(event.key, event.key - step_);
    EXPECT_EQ(event.value, last->second + step_)
        << context_->uid() << ": a record is lost, repeated or out of order";
    last->second = event.value;
    return Emit(std::move(event));
  }

 private:
  struct CopiedState final : OperatorListState {
    const std::string& name() const override { return list_name; }
    const std::string& type() const override { return list_type; }
    Redistribution redistribution() const override { return Redistribution::kBroadcast; }
    void Write(std::vector<std::string>& items) const override {
      EncodeValue(last, items.emplace_back());
    }
    absl::Status Read(const std::vector<std::string_view>& items) override {
      Decoder in(items.at(0));
      return DecodeValue(in, last) ? absl::OkStatus() : absl::DataLossError("damaged");
    }
    int64_t last = -1;
    const std::string list_name = "copies";
    const std::string list_type = "i64";
  };
  const int64_t step_;
  std::map<int64_t, int64_t> last_;
  const OperatorContext* const& const_context_ = context_;
  MapTable table_{last_, const_context_};
  CopiedState list_;
};

// Three keyed stages in a row, of which the first has a second input that everything is copied to.
// Each key is of one source subtask.
struct OrderedJob {
  OrderedJob(SimRandom& random, SimRandom& scale, Results& results) {
    // Often 1, where exchanges become calls.
    const bool alone = scale.Chance(0.3);
    const auto parallelism = [&] {
      const auto drawn = static_cast<uint32_t>(scale.Below(4));
      return alone ? 1 : 1 + drawn;
    };
    SequenceOptions options;
    options.count = 1000 + static_cast<int64_t>(random.Below(3000));
    options.keys = 12 * (1 + static_cast<int64_t>(random.Below(10)));
    options.text_bytes = random.Chance(0.3) ? random.Below(3000) : random.Below(20);
    for (int64_t i = 0; i < options.count; ++i) expected[i % options.keys] += i;
    SequenceOptions copied;
    copied.count = 300;
    const int64_t keys = options.keys;
    const uint32_t source = job.Source("source", parallelism(), options);
    const uint32_t control = job.Source("control", 1, copied);
    const auto order = [keys] { return std::make_unique<OrderOperator>(keys); };
    const uint32_t first = job.Apply("first", parallelism(), order, 2);
    const uint32_t second = job.Apply("second", parallelism(), order);
    const uint32_t keep = job.Apply("keep", parallelism(),
                                    [&results] { return std::make_unique<KeepOperator>(results); });
    job.Connect(source, first, Partitioning::kHash);
    job.Connect(control, first, Partitioning::kBroadcast, 1);
    job.Connect(first, second, Partitioning::kHash);
    const uint32_t third = job.Apply("third", parallelism(), order);
    job.Connect(second, third, Partitioning::kHash);
    job.Connect(third, keep, Partitioning::kRebalance);
    job.Connect(keep, job.Sink("none", 1, rest), Partitioning::kRebalance);
  }
  TestJob job;
  Results rest;
  std::map<int64_t, int64_t> expected;
};

struct Tally {
  uint64_t restored = 0;
  uint64_t in_flight = 0;
  // Checkpoints at which the tasks stopped to be rescaled.
  uint64_t stopped = 0;
  // Edges of restored tasks of which the records were divided anew, on exchanges and in chains.
  uint64_t rewired = 0;
  uint64_t chained = 0;
};

std::map<std::pair<uint32_t, uint32_t>, std::shared_ptr<const TaskState>> Read(
    Storage& storage, const proto::JobGraph& graph, uint32_t workers, uint32_t worker,
    Tally& tally) {
  const auto restore = storage.Restore(graph);
  if (restore == nullptr) return {};
  std::map<uint32_t, std::vector<uint32_t>> placed;
  for (const proto::Vertex& vertex : graph.vertices()) {
    for (uint32_t i = 0; i < vertex.parallelism(); ++i) {
      placed[vertex.id()].push_back(i % workers);
    }
  }
  auto tasks = ReadTaskStates(storage.files(), *restore, graph, placed, worker);
  EXPECT_TRUE(tasks.ok()) << tasks.status();
  if (!tasks.ok()) return {};
  for (const auto& [key, task] : *tasks) {
    for (const OperatorState& state : *task) {
      const bool head = graph.vertices(static_cast<int>(key.first)).nodes(0) == state.node;
      (head ? tally.rewired : tally.chained) += state.rewired.size();
    }
  }
  return *std::move(tasks);
}

// Runs a job to its end over a few attempts, each with other parallelisms and killed at a random
// moment, from the newest complete checkpoint.
void RunWithKills(uint64_t seed, bool ordered, BarrierOptions barriers, Tally& tally) {
  Storage storage;
  SimRandom faults(seed * 7919);
  const uint64_t kills = 1 + faults.Below(4);
  uint64_t next_id = 1;
  for (uint64_t attempt = 0; attempt <= kills; ++attempt) {
    SCOPED_TRACE(StrCat("attempt ", attempt));
    Results results;
    SimCluster cluster(seed + 100'000 * attempt, 1 + static_cast<uint32_t>(faults.Below(3)));
    SimRandom shape(seed);
    SimRandom scale(seed * 31 + attempt);
    std::optional<RandomJob> random;
    std::optional<OrderedJob> of_order;
    if (ordered) {
      of_order.emplace(shape, scale, results);
    } else {
      random.emplace(shape, cluster.env(0), results, /*keep=*/true, /*check_late=*/true, &scale);
    }
    const auto& expected = ordered ? of_order->expected : random->expected;
    bool begun = false;
    tally.in_flight += storage.in_flight() ? 1 : 0;
    cluster.configure = [&](RuntimeOptions& options) {
      options.on_checkpoint = [&](TaskCheckpoint checkpoint) {
        storage.Add(std::move(checkpoint));
      };
      options.restore = Read(storage, cluster.graph(), static_cast<uint32_t>(cluster.workers()),
                             options.worker_index, tally);
      tally.restored += options.restore.empty() || std::exchange(begun, true) ? 0 : 1;
      options.barriers = barriers;
    };
    cluster.Deploy(ordered ? of_order->job.definition : random->job.definition);
    storage.BeginAttempt(static_cast<uint32_t>(attempt + 1), cluster.graph());
    cluster.Start();
    const bool last = attempt == kills;
    uint64_t steps = last ? ~uint64_t{0} : 200 + faults.Below(8'000);
    const uint64_t interval = 50 + faults.Below(1'500);
    while (!cluster.AllTerminal() && steps > 0) {
      const Barrier barrier{next_id++, absl::ToUnixMicros(cluster.env(0).clock().Now()),
                            faults.Chance(0.2) ? BarrierKind::kRescale : BarrierKind::kCheckpoint};
      const bool stops = StopsTask(barrier.kind);
      storage.Begin(barrier.id);
      for (size_t i = 0; i < cluster.workers(); ++i) {
        if (faults.Chance(0.05)) continue;
        cluster.TriggerCheckpoint(i, barrier);
        for (uint64_t k = faults.Below(100); k > 0; --k) cluster.world().Step();
      }
      for (uint64_t k = 0; k < interval && steps > 0 && !cluster.AllTerminal(); ++k, --steps) {
        if (cluster.world().Step()) continue;
        if (!stops) FAIL() << "hangs";
        break;
      }
      if (stops && storage.newest() == barrier.id && !last) {
        ++tally.stopped;
        break;
      }
      if (stops || faults.Chance(0.3)) cluster.AbortCheckpoint(barrier.id);
      if (::testing::Test::HasFailure()) return;
    }
    ASSERT_EQ(cluster.Failures(), "");
    if (last) {
      ASSERT_EQ(results.SumByKey(), expected);
    }
  }
}

void RunSeeds(uint64_t seeds, bool ordered) {
  Tally tally;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    const Ticks timeout = seed % 3 == 0 ? static_cast<Ticks>(seed % 10) * 300 + 1 : 0;
    RunWithKills(seed, ordered, {.unaligned = true, .aligned_timeout = timeout}, tally);
    if (::testing::Test::HasFailure()) return;
  }
  // Otherwise nothing was shown.
  EXPECT_GT(tally.restored, seeds);
  EXPECT_GT(tally.in_flight, seeds / 2);
  EXPECT_GT(tally.stopped, seeds / 4);
  EXPECT_GT(tally.rewired, seeds * 2);
  EXPECT_GT(tally.chained, seeds / 20);
}

// Rule 43. Flink 38483: an unaligned checkpoint that is restored at another parallelism.
TEST(InFlightRescaleSim, KeyedRecordsStayInOrderAndEachSubtaskHasOneCopyOfWhatGoesToAll) {
  RunSeeds(80, /*ordered=*/true);
}

// Rule 43. Flink 20645, 18139: in-flight buffers missing, with several inputs.
TEST(InFlightRescaleSim, RandomGraphsLoseAndRepeatNothingAtAnotherParallelism) {
  RunSeeds(80, /*ordered=*/false);
}

}  // namespace
}  // namespace weir
