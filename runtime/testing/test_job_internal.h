#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "common/env/env.h"
#include "common/env/sim/sim_random.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"
#include "runtime/job_runtime.h"
#include "sdk/host/plugin_host.h"
#include "weir/async.h"
#include "weir/binary_codec.h"
#include "weir/codec.h"
#include "weir/graph.h"
#include "weir/hash.h"

// Sources, operators and sinks for tests of the runtime, and jobs made of them.
namespace weir::testing {

struct Event {
  int64_t key = 0;
  int64_t value = 0;
  EventTime at;
  std::string text;
};

class EventKeyHasher final : public KeyHasher {
 public:
  void Hash(BatchBase& batch) const override {
    auto& events = static_cast<Batch<Event>&>(batch);
    events.hashes.clear();
    for (const Event& event : events.records) events.hashes.emplace_back(KeyHash(event.key));
  }
};

class EventTimestamps final : public TimestampAssigner {
 public:
  Ticks Assign(BatchBase& batch, size_t&) const override {
    auto& events = static_cast<Batch<Event>&>(batch);
    events.timestamps.clear();
    Ticks greatest = kMinTicks;
    for (const Event& event : events.records) {
      events.timestamps.emplace_back(event.at.ticks());
      greatest = std::max(greatest, event.at.ticks());
    }
    return greatest;
  }
};

// Events 0 .. count-1, dealt out to the subtasks in turns; event i has key i % keys, value i and
// time i.
struct SequenceOptions {
  int64_t count = 1000;
  int64_t keys = 10;
  // Not 0: after so many records the reader waits for the clock for `pause`.
  int64_t pause_after = 0;
  Ticks pause = 1000;
  size_t text_bytes = 0;
  // Never ends.
  bool endless = false;
};

// Reads runs of events, each `stride` apart, in the order of their values. At first each subtask
// has one; at another parallelism the runs are dealt out.
class SequenceReader final : public SourceReader {
 public:
  explicit SequenceReader(SequenceOptions options) : options_(options) {}
  absl::Status Open(SourceContext& context) override {
    context_ = &context;
    if (!restored_) runs_.push_back({context.subtask(), context.parallelism()});
    return absl::OkStatus();
  }
  uint32_t splits() const override { return 1; }
  absl::StatusOr<PollResult> Poll(BatchBase& batch, size_t max_records) override {
    auto& events = static_cast<Batch<Event>&>(batch);
    for (size_t i = 0; i < max_records && !AtEnd(); ++i) {
      const auto run = Lowest();
      events.records.emplace_back(Event{run->next % options_.keys, run->next,
                                        EventTime::FromTicks(run->next),
                                        std::string(options_.text_bytes, 'x')});
      run->next += run->stride;
      if (options_.pause_after > 0 && ++since_pause_ == options_.pause_after) {
        since_pause_ = 0;
        return PollResult{PollState::kWait, 0, false, context_->ProcessingTime() + options_.pause};
      }
    }
    return PollResult{AtEnd() ? PollState::kEnd : PollState::kMore};
  }
  std::string SnapshotPosition() const override {
    std::string position;
    for (const Run& run : runs_) {
      EncodeValue(run.next, position);
      EncodeValue(run.stride, position);
    }
    return position;
  }
  absl::Status RestorePosition(std::string_view position) override {
    return RestorePositions({position}, 0, 1);
  }
  absl::Status RestorePositions(const std::vector<std::string_view>& positions, uint32_t subtask,
                                uint32_t parallelism) override {
    restored_ = true;
    uint32_t seen = 0;
    for (const std::string_view position : positions) {
      Decoder in(position);
      while (in.remaining() > 0) {
        Run run{};
        if (!DecodeValue(in, run.next) || !DecodeValue(in, run.stride)) {
          return absl::DataLossError("damaged");
        }
        if (seen++ % parallelism == subtask) runs_.push_back(run);
      }
    }
    return absl::OkStatus();
  }

 private:
  struct Run {
    int64_t next;
    int64_t stride;
  };
  std::vector<Run>::iterator Lowest() {
    return std::min_element(runs_.begin(), runs_.end(),
                            [](const Run& a, const Run& b) { return a.next < b.next; });
  }
  bool AtEnd() { return runs_.empty() || (!options_.endless && Lowest()->next >= options_.count); }

  const SequenceOptions options_;
  SourceContext* context_ = nullptr;
  std::vector<Run> runs_;
  bool restored_ = false;
  int64_t since_pause_ = 0;
};

// What a job has written, from all subtasks. Thread safe.
class Results {
 public:
  void Add(Batch<Event>& batch) {
    MutexLock lock(mutex_);
    for (Event& event : batch.records) events_.push_back(std::move(event));
  }
  std::vector<Event> Take() {
    MutexLock lock(mutex_);
    return std::exchange(events_, {});
  }
  // Sum of the values by key.
  std::map<int64_t, int64_t> SumByKey() {
    std::map<int64_t, int64_t> sums;
    MutexLock lock(mutex_);
    for (const Event& event : events_) sums[event.key] += event.value;
    return sums;
  }
  size_t size() {
    MutexLock lock(mutex_);
    return events_.size();
  }

 private:
  Mutex mutex_;
  std::vector<Event> events_ ABSL_GUARDED_BY(mutex_);
};

// Adds to the results. With a `busy` time it is blocked after each batch, until a timer wakes it.
class CollectingWriter final : public SinkWriter {
 public:
  CollectingWriter(Results& results, Env* env, absl::Duration busy)
      : results_(results),
        busy_(busy),
        timers_(env == nullptr ? nullptr : env->NewExecutor("sink")) {}
  absl::Status Open(OperatorContext& context) override {
    context_ = &context;
    return absl::OkStatus();
  }
  absl::Status Write(BatchBase& batch) override {
    results_.Add(static_cast<Batch<Event>&>(batch));
    if (timers_ != nullptr && !blocked_.exchange(true)) {
      timers_->PostAfter(busy_, [this] {
        blocked_.store(false);
        context_->WakeNow();
      });
    }
    return absl::OkStatus();
  }
  bool Blocked() const override { return blocked_.load(); }
  absl::Status Flush() override { return absl::OkStatus(); }
  absl::StatusOr<bool> Finish() override { return !blocked_.load(); }
  void Close() override {
    if (timers_ != nullptr) timers_->Shutdown();
  }

 private:
  Results& results_;
  const absl::Duration busy_;
  OperatorContext* context_ = nullptr;
  std::atomic<bool> blocked_{false};
  const std::unique_ptr<Executor> timers_;
};

// Passes events on, one by one, and checks what every operator may rely on: watermarks grow,
// nothing comes after Finish, Open and Close are called once.
class CheckedOperator : public Operator {
 public:
  ~CheckedOperator() override { EXPECT_EQ(opened_, closed_); }
  absl::Status Open(OperatorContext& context) override {
    EXPECT_EQ(opened_++, 0);
    context_ = &context;
    return absl::OkStatus();
  }
  absl::Status ProcessBatch(size_t, BatchBase& batch) override {
    EXPECT_FALSE(finished_);
    EXPECT_FALSE(batch.empty());
    // Each reader gives its events in the order of their times, so none may come behind a watermark
    // (rule 23).
    if (check_late) {
      for (const Event& event : static_cast<Batch<Event>&>(batch).records) {
        EXPECT_GT(event.at.ticks(), watermark_) << context_->uid();
      }
    }
    for (Event& event : static_cast<Batch<Event>&>(batch).records)
      WEIR_RETURN_IF_ERROR(OnEvent(event));
    return absl::OkStatus();
  }
  absl::StatusOr<bool> OnWatermark(Ticks watermark) override {
    if (watermark != stopped_at_) {
      EXPECT_GT(watermark, watermark_);
    }
    watermark_ = watermark;
    return true;
  }
  absl::StatusOr<bool> Finish() override {
    EXPECT_EQ(watermark_, kMaxTicks) << "rule 22: the watermark MAX comes before the end";
    finished_ = true;
    return true;
  }
  void Close() override { EXPECT_EQ(closed_++, 0); }

  bool check_late = true;

 protected:
  virtual absl::Status OnEvent(Event& event) { return Emit(std::move(event)); }
  absl::Status Emit(Event event) {
    Batch<Event> out;
    out.timestamps.emplace_back(event.at.ticks());
    out.records.emplace_back(std::move(event));
    return context_->output(0).Push(out);
  }

  OperatorContext* context_ = nullptr;
  Ticks watermark_ = kMinTicks;
  Ticks stopped_at_ = kMinTicks;
  bool finished_ = false;

 private:
  int opened_ = 0;
  int closed_ = 0;
};

template <class Op>
std::unique_ptr<Op> Checked(bool check_late) {
  auto op = std::make_unique<Op>();
  op->check_late = check_late;
  return op;
}

// A map of the test's operators as keyed state.
class MapTable final : public KeyedStateTable {
 public:
  MapTable(std::map<int64_t, int64_t>& map, const OperatorContext* const& context)
      : map_(map), context_(context) {}
  const std::string& name() const override { return name_; }
  const std::string& type() const override { return type_; }
  std::unique_ptr<KeyedStateSnapshot> TakeSnapshot(SnapshotUse) override {
    auto taken = std::make_unique<Taken>();
    for (const auto& [key, value] : map_) {
      std::string& group = taken->groups[GroupOf(key)];
      EncodeValue(key, group);
      EncodeValue(value, group);
    }
    return taken;
  }
  absl::Status ReadKeyGroup(uint32_t key_group, std::string_view bytes) override {
    Decoder in(bytes);
    while (in.remaining() > 0) {
      int64_t key = 0;
      int64_t value = 0;
      if (!DecodeValue(in, key) || !DecodeValue(in, value) || GroupOf(key) != key_group) {
        return absl::DataLossError("damaged");
      }
      map_[key] = value;
    }
    return absl::OkStatus();
  }
  void DropKeyGroup(uint32_t) override {}
  std::size_t entries() const override { return map_.size(); }
  std::size_t memory_bytes() const override { return 0; }

 private:
  struct Taken final : KeyedStateSnapshot {
    std::map<uint32_t, std::string> groups;
    void WriteKeyGroup(std::uint32_t key_group, std::string& out) override {
      out += groups[key_group];
    }
  };
  uint32_t GroupOf(int64_t key) const {
    return KeyGroupOf(KeyHash(key), context_->max_parallelism());
  }
  std::map<int64_t, int64_t>& map_;
  const OperatorContext* const& context_;
  const std::string name_ = "sums";
  const std::string type_ = "map<i64,i64>";
};

// Sums by key; puts the sums out at the watermark MAX, in order of the key, stopping whenever the
// output is blocked. Checks that each key belongs to this subtask.
class SumOperator final : public CheckedOperator {
 public:
  std::vector<KeyedStateTable*> keyed_state() override { return {&table_}; }
  absl::Status ProcessBatch(size_t input, BatchBase& batch) override {
    // Between tasks all are there; within a chain none.
    EXPECT_TRUE(batch.hashes.empty() || batch.hashes.size() == batch.size());
    return CheckedOperator::ProcessBatch(input, batch);
  }
  absl::StatusOr<bool> OnWatermark(Ticks watermark) override {
    WEIR_RETURN_IF_ERROR(CheckedOperator::OnWatermark(watermark).status());
    if (watermark != kMaxTicks) return true;
    stopped_at_ = watermark;
    while (!sums_.empty()) {
      if (context_->output(0).Blocked()) return false;
      const auto [key, sum] = *sums_.begin();
      sums_.erase(sums_.begin());
      WEIR_RETURN_IF_ERROR(Emit({key, sum, EventTime::FromTicks(0), ""}));
    }
    return true;
  }

 protected:
  absl::Status OnEvent(Event& event) override {
    const uint32_t group = KeyGroupOf(KeyHash(event.key), context_->max_parallelism());
    EXPECT_TRUE(context_->key_groups().Contains(group));
    sums_[event.key] += event.value;
    return absl::OkStatus();
  }

 private:
  std::map<int64_t, int64_t> sums_;
  const OperatorContext* const& const_context_ = context_;
  MapTable table_{sums_, const_context_};
};

// Keeps all events and adds them to the results when its input ends; a sink whose results are part
// of its state.
class KeepOperator final : public CheckedOperator, private OperatorListState {
 public:
  explicit KeepOperator(Results& results) : results_(results) { check_late = false; }
  absl::StatusOr<bool> Finish() override {
    Batch<Event> all;
    for (const Event& event : kept_) all.records.emplace_back(Event(event));
    results_.Add(all);
    return CheckedOperator::Finish();
  }
  std::vector<OperatorListState*> list_state() override { return {this}; }

 protected:
  absl::Status OnEvent(Event& event) override {
    kept_.push_back(std::move(event));
    return absl::OkStatus();
  }

 private:
  const std::string& name() const override { return name_; }
  const std::string& type() const override { return type_; }
  Redistribution redistribution() const override { return Redistribution::kSplit; }
  void Write(std::vector<std::string>& items) const override {
    for (const Event& event : kept_) EncodeValue(event, items.emplace_back());
  }
  absl::Status Read(const std::vector<std::string_view>& items) override {
    for (const std::string_view item : items) {
      Decoder in(item);
      if (!DecodeValue(in, kept_.emplace_back())) return absl::DataLossError("damaged");
    }
    return absl::OkStatus();
  }

  Results& results_;
  std::vector<Event> kept_;
  const std::string name_ = "kept";
  const std::string type_ = "event";
};

// Answers with the event itself after a while, and now and then not at first.
class EchoLater final : public AsyncFunction<Event, Event> {
 public:
  EchoLater(Env& env, uint64_t seed) : executor_(env.NewExecutor("answers")), random_(seed) {}
  void Ask(const Event& event, AsyncReply<Event> reply) override {
    if (random_.Chance(0.2)) return reply.Complete(event);
    const absl::Duration delay = absl::Microseconds(static_cast<int64_t>(random_.Below(2'000)));
    executor_->PostAfter(delay, [reply, event, fails = random_.Chance(0.05)]() mutable {
      fails ? reply.Fail("not now") : reply.Complete(std::move(event));
    });
  }
  void Close() override { executor_->Shutdown(); }

 private:
  const std::unique_ptr<Executor> executor_;
  SimRandom random_;
};

// The definition of a job, built node by node.
class TestJob {
 public:
  TestJob() { definition.name = "test"; }

  uint32_t Source(const std::string& uid, uint32_t parallelism, SequenceOptions options,
                  Ticks max_delay = 0, bool every_record = false) {
    NodeDefinition node = Node(uid, parallelism, NodeKind::kSource);
    node.inputs = 0;
    node.make_source = [options] { return std::make_unique<SequenceReader>(options); };
    node.watermarks.timestamps = std::make_shared<EventTimestamps>();
    node.watermarks.none = false;
    node.watermarks.max_delay = max_delay;
    node.watermarks.every_record = every_record;
    return Add(std::move(node));
  }
  uint32_t Apply(const std::string& uid, uint32_t parallelism,
                 std::function<std::unique_ptr<Operator>()> make, uint32_t inputs = 1) {
    NodeDefinition node = Node(uid, parallelism, NodeKind::kOperator);
    node.inputs = inputs;
    node.make_operator = std::move(make);
    return Add(std::move(node));
  }
  // Passes events on, but later.
  uint32_t Later(const std::string& uid, uint32_t parallelism, Env& env, uint64_t seed,
                 AsyncOptions options) {
    const uint32_t node = Apply(uid, parallelism, [&env, seed, options] {
      return std::make_unique<internal::AsyncOperator<EchoLater>>(
          std::make_unique<EchoLater>(env, seed), options,
          std::make_shared<const internal::SidePorts>());
    });
    definition.nodes[node].answers_later = true;
    return node;
  }
  // `env` not null: blocked for `busy` after each batch.
  uint32_t Sink(const std::string& uid, uint32_t parallelism, Results& results, Env* env = nullptr,
                absl::Duration busy = absl::ZeroDuration()) {
    NodeDefinition node = Node(uid, parallelism, NodeKind::kSink);
    node.outputs.clear();
    node.make_sink = [&results, env, busy] {
      return std::make_unique<CollectingWriter>(results, env, busy);
    };
    return Add(std::move(node));
  }
  void Connect(uint32_t from, uint32_t to, Partitioning partitioning, uint32_t input = 0) {
    EdgeDefinition edge;
    edge.from_node = from;
    edge.to_node = to;
    edge.to_input = input;
    edge.partitioning = partitioning;
    edge.type = &RecordTypeOf<Event>();
    if (partitioning == Partitioning::kHash) edge.hasher = std::make_shared<EventKeyHasher>();
    definition.edges.push_back(std::move(edge));
  }

  JobDefinition definition;

 private:
  static NodeDefinition Node(const std::string& uid, uint32_t parallelism, NodeKind kind) {
    NodeDefinition node;
    node.uid = uid;
    node.description = uid;
    node.kind = kind;
    node.parallelism = parallelism;
    node.outputs = {{"", &RecordTypeOf<Event>()}};
    node.record_type = &RecordTypeOf<Event>();
    return node;
  }
  uint32_t Add(NodeDefinition node) {
    definition.nodes.push_back(std::move(node));
    return static_cast<uint32_t>(definition.nodes.size() - 1);
  }
};

class NoConnectors final : public ConnectorRegistry {
 public:
  absl::Status Validate(const ConnectorSpec&, bool) const override { return absl::OkStatus(); }
  absl::StatusOr<std::unique_ptr<SourceReader>> MakeSource(const ConnectorSpec&,
                                                           const RecordType&) const override {
    return absl::UnimplementedError("no connectors here");
  }
  absl::StatusOr<std::unique_ptr<SinkWriter>> MakeSink(const ConnectorSpec&,
                                                       const RecordType&) const override {
    return absl::UnimplementedError("no connectors here");
  }
};

inline bool IsTerminal(proto::TaskState state) {
  return state == proto::TASK_FINISHED || state == proto::TASK_CANCELED ||
         state == proto::TASK_FAILED;
}

// Puts subtask i of each vertex on worker i % workers.
inline proto::DeploymentPlan SpreadOver(const proto::JobGraph& graph,
                                        const std::vector<std::string>& addresses) {
  proto::DeploymentPlan plan;
  const auto workers = static_cast<uint32_t>(addresses.size());
  for (uint32_t i = 0; i < workers; ++i) {
    auto* worker = plan.add_workers();
    worker->set_index(i);
    worker->set_exchange_address(addresses[i]);
  }
  for (const proto::Vertex& vertex : graph.vertices()) {
    auto* placement = plan.add_vertices();
    placement->set_vertex(vertex.id());
    for (uint32_t i = 0; i < vertex.parallelism(); ++i) placement->add_workers(i % workers);
  }
  return plan;
}

}  // namespace weir::testing
