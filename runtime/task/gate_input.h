#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/exchange/input_gate.h"
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
  GateInput(const std::vector<size_t>& input_of_channel, size_t inputs);

  InputGate& gate() { return gate_; }

  absl::Status Open() override { return absl::OkStatus(); }
  absl::StatusOr<StepResult> Step(Chain& chain, int64_t now) override;
  std::optional<Barrier> TakeBarrier() override { return std::exchange(barrier_, std::nullopt); }
  uint64_t last_barrier() const override { return aligner_.seen(); }
  void AbortBarrier(uint64_t id) override { Align(0, aligner_.Abort(id)); }

 private:
  struct Channel {
    size_t input;
    // Its number in the input's valve.
    size_t in_valve;
    bool ended = false;
  };
  void Align(size_t channel, const BarrierAligner::Outcome& outcome);
  void OnTime(const Channel& channel, ElementKind kind, Ticks time, Chain& chain);

  InputGate gate_;
  std::vector<Channel> channels_;
  std::vector<WatermarkValve> valves_;
  InputWatermarks inputs_;
  size_t open_channels_;
  BarrierAligner aligner_;
  // Aligned, and its snapshot is to be taken.
  std::optional<Barrier> barrier_;
  // Reused.
  Element element_;
  TimeEvents of_input_;
  TimeEvents events_;
};

}  // namespace weir
