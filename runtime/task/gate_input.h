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
#include "runtime/task/task_input.h"
#include "runtime/time/watermark_combiner.h"
#include "runtime/time/watermark_valve.h"

namespace weir {

// Reads the channels of a task: batches go to the head of the chain, watermarks through a valve per
// input and, if the operator has several inputs, through what combines them (semantics rules 24 to
// 26). Owned by the task's thread.
class GateInput final : public TaskInput {
 public:
  // `input_of_channel`: by channel of the gate, the input of the head that it belongs to; each of
  // the `inputs` has one at least.
  GateInput(const std::vector<size_t>& input_of_channel, size_t inputs, BarrierOptions barriers);

  InputGate& gate() { return gate_; }

  absl::Status Open() override { return absl::OkStatus(); }
  absl::StatusOr<StepResult> Step(Chain& chain, int64_t now) override;
  std::optional<Barrier> TakeBarrier() override { return std::exchange(barrier_, std::nullopt); }
  Alignment alignment() const override { return alignment_; }
  uint64_t last_barrier() const override { return tracker_->seen(); }
  void AbortBarrier(uint64_t id) override;

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
  void OnBarrier(size_t channel, const Barrier& barrier, int64_t now);
  void Follow(size_t channel, const BarrierTracker::Outcome& outcome);
  void OnTime(const Channel& channel, ElementKind kind, Ticks time, Chain& chain);

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
  // Reused.
  Element element_;
  TimeEvents of_input_;
  TimeEvents events_;
};

}  // namespace weir
