#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/crash_context.h"
#include "common/env/env.h"
#include "runtime/exchange/channel.h"
#include "runtime/exchange/partitioned_output.h"
#include "runtime/task/late_sample.h"
#include "runtime/task/operator_metrics.h"
#include "runtime/task/sink_operator.h"
#include "runtime/task/task_clock.h"
#include "runtime/time/time_event.h"
#include "runtime/time/watermark_moves.h"
#include "state/backend/state_backend.h"
#include "weir/graph.h"
#include "weir/operator.h"

namespace weir {

class TimestampOperator;

// Which subtask of how many a task is; the same for all nodes of its chain.
struct SubtaskInfo {
  uint32_t subtask = 0;
  uint32_t parallelism = 1;
  uint32_t max_parallelism = 128;
  // Outlives the node.
  const RunInfo* run = nullptr;
};

using LogFunction =
    std::function<void(std::string_view uid, std::string_view level, std::string_view text)>;

// One operator, sink or source of a chain: what the runtime keeps for it, and the context that it
// is given. Lives as long as the job's runtime, so that a late WakeNow finds it. Owned by the
// task's thread; WakeNow may be called from any.
class ChainNode final : public OperatorContext {
 public:
  // `uid` is the resolved one: that of a definition may be empty.
  ChainNode(Env& env, uint32_t index, const NodeDefinition& definition, std::string uid,
            SubtaskInfo info, TaskSignals& task, TaskClock& clock, const LogFunction& log);

  const std::string& uid() const override { return uid_; }
  uint32_t subtask() const override { return info_.subtask; }
  uint32_t parallelism() const override { return info_.parallelism; }
  uint32_t max_parallelism() const override { return info_.max_parallelism; }
  KeyGroupRange key_groups() const override;
  const RunInfo& run() const override { return *info_.run; }
  StateStore* state_store() override { return store.get(); }
  Output& output(size_t port) override;
  Ticks ProcessingTime() const override { return clock_.Now(); }
  void WakeAt(Ticks at) override { wake_at = at; }
  void WakeNow() override {
    wake_now.store(true, std::memory_order_release);
    task_.Wake();
  }
  std::unique_ptr<OperatorThread> NewThread() override;
  MetricGroup& metrics() override { return node_metrics.user; }
  void OnLateRecord(const LateRecord& record,
                    absl::FunctionRef<void(std::string&)> write_key) override;
  void OnThrown(std::string_view key, std::string_view record) override;
  void Log(std::string_view level, std::string_view text) override;

  uint32_t index() const { return index_; }
  const NodeDefinition& definition() const { return definition_; }
  TaskSignals& task() { return task_; }
  // Names this node as what the thread runs from here on. Not undone when an exception passes, so
  // that whoever catches it finds the node that threw.
  CrashContext Enter() const {
    CrashContext& current = ThisThreadCrashContext();
    const CrashContext former = current;
    current = {uid_.c_str(), info_.subtask};
    return former;
  }

  // Has what it was told wait in the operator, which answers later.
  void Hold(const TimeEvent& event);
  // Sends what may go on.
  absl::Status SendPassed();
  // A watermark or the idleness of the input, to the channels that begin here.
  absl::Status SendTimeEvent(const TimeEvent& event);

  // Null: keyed state is in memory. The operator's; outlives it.
  std::unique_ptr<OperatorStore> store;
  // Null for a source.
  std::unique_ptr<Operator> op;
  // `op`, if it assigns timestamps; null otherwise.
  TimestampOperator* timestamps = nullptr;
  // Where it is in the chain, and which node's watermarks it is told: those of an operator that
  // assigns timestamps, or kHeadTime, what the head's input says.
  size_t index_in_chain = 0;
  static constexpr size_t kHeadTime = SIZE_MAX;
  size_t time_from = kHeadTime;
  // By port; the last to be made, before the task starts.
  std::vector<std::unique_ptr<Output>> ports;
  // Those of `ports` and below them that lead out of the task: watermarks and ends go there from
  // here.
  std::vector<PartitionedOutput*> channel_outputs;
  OperatorMetrics node_metrics;
  // The last that it was told and has passed on.
  Ticks watermark = kMinTicks;
  // How that came; of who tells it. Set when the chain is opened.
  const WatermarkMoves* moves = nullptr;
  // Of what it tells, if it assigns timestamps.
  WatermarkMoves assigned_moves;
  // Null until a record is late.
  std::unique_ptr<LateSample> late;
  // Records given to the consumers of a port that has several: counted once in the metrics, and
  // here for each.
  Counter copies_out;
  Ticks wake_at = kMaxTicks;
  std::atomic<bool> wake_now{false};
  bool opened = false;
  // Of an operator that answers later: what waits in it, the oldest first.
  std::deque<TimeEvent> held;

 private:
  Env& env_;
  const uint32_t index_;
  const NodeDefinition& definition_;
  const std::string uid_;
  const SubtaskInfo info_;
  TaskSignals& task_;
  TaskClock& clock_;
  const LogFunction& log_;
};

// The output that a node's records take into the next node of the chain: one virtual call a batch.
// It leaves hashes to the operators that need some: those that see a record once fare best without
// a column.
class ChainedOutput final : public Output {
 public:
  // `records_out` is the producer's count. `failed_in` is set to the node in which an error arises,
  // if it is null. All outlive it.
  ChainedOutput(ChainNode& to, size_t input, Counter& records_out, const ChainNode*& failed_in)
      : to_(to), input_(input), records_out_(records_out), failed_in_(failed_in) {}

  absl::Status Push(BatchBase& batch) override;
  bool Blocked() const override;
  ChainNode& to() { return to_; }
  // Whether Lend leaves the batch as it is.
  bool LeavesBatch() const { return to_.op->LeavesInput(); }
  // As Push, and what is left of the batch stays in it.
  absl::Status Lend(BatchBase& batch);

 private:
  ChainNode& to_;
  const size_t input_;
  Counter& records_out_;
  const ChainNode*& failed_in_;
};

// A port with several consumers. Those in the chain that leave a batch as it is read it one after
// the other; of the rest all but the last are given copies.
class TeeOutput final : public Output {
 public:
  struct Consumer {
    std::unique_ptr<Output> output;
    // The same, if it is one within the chain; else null.
    ChainedOutput* chained = nullptr;
  };
  TeeOutput(const RecordType& type, std::vector<Consumer> consumers, Counter& records_out);

  absl::Status Push(BatchBase& batch) override;
  bool Blocked() const override;

 private:
  const RecordType& type_;
  const std::vector<Consumer> consumers_;
  Counter& records_out_;
  const std::unique_ptr<BatchBase> copy_;
};

// A port without a consumer.
class DiscardingOutput final : public Output {
 public:
  explicit DiscardingOutput(Counter& records_out) : records_out_(records_out) {}

  absl::Status Push(BatchBase& batch) override {
    records_out_.Add(batch.size());
    batch.Clear();
    return absl::OkStatus();
  }
  bool Blocked() const override { return false; }

 private:
  Counter& records_out_;
};

}  // namespace weir
