#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "runtime/task/task_input.h"
#include "runtime/time/source_alignment.h"
#include "runtime/time/source_watermarks.h"
#include "runtime/time/watermarked_batch.h"
#include "weir/source.h"

namespace weir {

// Reads a source: polls, assigns timestamps, makes watermarks (semantics rules 23 and 26 to 28).
// Owned by the task's thread; Wake may be called from any.
class SourceInput final : public TaskInput, public SourceContext {
 public:
  struct Options {
    size_t batch_records = kBatchRecords;
    int64_t watermark_interval_nanos = 5'000'000;
    // Null: it waits for no other source.
    std::shared_ptr<SourceAlignment::Member> alignment;
  };

  // `node` is the head of the task's chain and outlives it.
  SourceInput(ChainNode& node, std::unique_ptr<SourceReader> reader, TaskClock& clock,
              Options options);

  absl::Status Open() override;
  absl::StatusOr<StepResult> Step(Chain& chain, int64_t now) override;
  void OnBlocked(int64_t now) override;
  int64_t deadline() const override { return deadline_; }
  std::optional<Barrier> TakeBarrier() override {
    // The reader's position is behind the whole batch.
    if (!batch_.done()) return std::nullopt;
    return std::exchange(barrier_, std::nullopt);
  }
  void InjectBarrier(const Barrier& barrier) override {
    barrier_ = barrier;
    last_barrier_ = barrier.id;
  }
  uint64_t last_barrier() const override { return last_barrier_; }
  void Snapshot(OperatorState& state) override;
  absl::Status Restore(const OperatorState& state) override;
  void Close() override;
  void FillWatermarks(proto::TaskWatermarks& watermarks) const override;

  uint32_t subtask() const override { return node_.subtask(); }
  uint32_t parallelism() const override { return node_.parallelism(); }
  Ticks ProcessingTime() const override { return node_.ProcessingTime(); }
  MetricGroup& metrics() override { return node_.metrics(); }
  const std::string& uid() const override { return node_.uid(); }
  void Wake() override {
    woken_.store(true, std::memory_order_release);
    node_.task().Wake();
  }
  Output* malformed_output() override {
    return node_.ports.size() > 1 ? node_.ports[1].get() : nullptr;
  }

 private:
  // Whether a periodic emission was due; queues what it says.
  bool EmitPeriodically(Chain& chain, int64_t now);
  void QueueEvents(Chain& chain, int64_t now);
  absl::Status Poll(int64_t now);
  // Puts out records of the batch that was polled, and goes on from there when that is done.
  absl::StatusOr<StepResult> Emit(Chain& chain, int64_t now);
  void AddNewSplits(int64_t now);
  // Tells the group how far it is, and holds back splits that are too far ahead.
  void Align(int64_t now);
  void Pause(const SourceWatermarks::SplitState& split, bool paused, int64_t now);
  // How many at once: near the limit of alignment no more than would reach it, by what the last
  // ones were apart.
  size_t RecordsToPoll() const;
  void MeasurePace();
  // Decides when to step next by itself while nothing can be read.
  void SetDeadline(int64_t now);

  ChainNode& node_;
  std::unique_ptr<SourceReader> reader_;
  TaskClock& clock_;
  const Options options_;
  const WatermarkSettings& settings_;
  WatermarkedBatch batch_;
  // What came with it.
  PollResult polled_;
  SourceWatermarks watermarks_;
  uint32_t known_splits_ = 0;
  int64_t next_emission_ = 0;
  // Records came since the last periodic emission.
  bool read_since_emission_ = false;
  bool idle_ = false;
  // Alignment lets nothing be read.
  bool held_back_ = false;
  // The reader cannot hold back single splits.
  bool pauses_whole_ = false;
  // There have been several, though all but one may have ended; and those the reader holds back.
  bool several_splits_ = false;
  std::set<uint32_t> paused_in_reader_;
  // How far its splits may go on; and of the last batch: how many records it had, where its split
  // was before, and how far apart they were, if that is known.
  Ticks headroom_ = kMaxTicks;
  size_t polled_records_ = 0;
  Ticks before_batch_ = kMinTicks;
  std::optional<double> ticks_per_record_;
  // The reader said kWait, until it wakes us or the wall clock reaches wake_at_.
  bool waiting_ = false;
  Ticks wake_at_ = kMaxTicks;
  bool opened_ = false;
  int64_t deadline_ = kNoDeadline;
  TimeEvents events_;
  std::optional<Barrier> barrier_;
  uint64_t last_barrier_ = 0;
  std::atomic<bool> woken_{false};
};

}  // namespace weir
