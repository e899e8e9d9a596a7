#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/exchange/input_gate.h"
#include "runtime/task/barrier_tracker.h"
#include "runtime/task/input_overtaking.h"
#include "runtime/task/restored_input.h"
#include "runtime/task/task_input.h"
#include "runtime/time/watermark_combiner.h"
#include "runtime/time/watermark_valve.h"
#include "weir/graph.h"

namespace weir {

// Reads the channels of a task: batches go to the head of the chain, watermarks through a valve per
// input and, if the operator has several inputs, through what combines them (semantics rules 24 to
// 26). Owned by the task's thread.
class GateInput final : public TaskInput {
 public:
  // A channel of the gate.
  struct ChannelInfo {
    // Of the head.
    size_t input = 0;
    // Of the graph, and the subtask that sends.
    uint32_t edge = 0;
    uint32_t from_subtask = 0;
    const RecordType* type = nullptr;
    const KeyHasher* hasher = nullptr;
  };
  struct Options {
    BarrierOptions barriers;
    uint32_t subtask = 0;
    KeyGroupRange key_groups;
    uint32_t max_parallelism = 128;
  };

  // By channel of the gate; each of the `inputs` has one at least.
  GateInput(std::vector<ChannelInfo> channels, size_t inputs, const Options& options);

  InputGate& gate() { return gate_; }

  absl::Status Open() override { return absl::OkStatus(); }
  absl::StatusOr<StepResult> Step(Chain& chain, int64_t now) override;
  std::optional<Barrier> TakeBarrier() override { return std::exchange(barrier_, std::nullopt); }
  Alignment alignment() const override { return alignment_; }
  uint64_t last_barrier() const override { return tracker_->seen(); }
  void AbortBarrier(uint64_t id) override;
  absl::Status Restore(const OperatorState& state) override;
  void FillWatermarks(proto::TaskWatermarks& watermarks) const override;

  void LookForBarriers(Ticks now) override;
  std::optional<Barrier> TakeOvertaking() override;
  Ticks overtaking_due_at() const override;
  void BeginOvertaking(const Barrier& barrier) override;
  bool OvertakingComplete() const override;
  size_t overtaken_bytes() const override;
  std::optional<std::vector<OperatorState::InFlight>> TakeOvertaken() override;

 private:
  struct Channel {
    size_t input;
    // Its number in the input's valve.
    size_t in_valve;
    bool ended = false;
  };
  // A checkpoint of which some channels have delivered the barrier.
  struct Begun {
    int64_t since_nanos;
    // What bytes_read_ was then.
    uint64_t bytes_read;
  };
  absl::StatusOr<StepResult> OnElement(size_t index, Chain& chain, int64_t now);
  void OnBarrier(size_t channel, const Barrier& barrier, int64_t now);
  void Begin(uint64_t id, int64_t now);
  // `id`: of the barrier that has come; 0: none has.
  void Follow(size_t channel, uint64_t id, const BarrierTracker::Outcome& outcome);
  void SetAlignment(uint64_t id);
  absl::Status RestoreRewired(const OperatorState::Rewired& rewired);
  RecordOwner OwnerOf(const ChannelInfo& channel) const;
  void OnTime(size_t index, ElementKind kind, Ticks time, Chain& chain, int64_t now);

  const std::vector<ChannelInfo> infos_;
  const Options options_;
  InputGate gate_;
  std::vector<Channel> channels_;
  std::vector<WatermarkValve> valves_;
  InputWatermarks inputs_;
  size_t open_channels_;
  const std::unique_ptr<BarrierTracker> tracker_;
  // By id; those that are neither complete nor aborted, and a few that will never be.
  std::map<uint64_t, Begun> begun_;
  uint64_t bytes_read_ = 0;
  // All channels have delivered it, and its snapshot is to be taken.
  std::optional<Barrier> barrier_;
  Alignment alignment_;
  // Null unless barriers overtake.
  std::unique_ptr<InputOvertaking> overtaking_;
  RestoredInput restored_;
  // Reused.
  Element element_;
  TimeEvents of_input_;
  TimeEvents events_;
};

}  // namespace weir
