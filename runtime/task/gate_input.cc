#include "runtime/task/gate_input.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "runtime/task/barrier_aligner.h"
#include "runtime/task/barrier_counter.h"

namespace weir {

namespace {

// Of which it is remembered when they began; none that is later known is among the oldest.
constexpr size_t kMaxBegun = 100;

std::unique_ptr<BarrierTracker> MakeTracker(size_t channels, BarrierOptions barriers) {
  if (barriers.at_least_once) return std::make_unique<BarrierCounter>(channels);
  return std::make_unique<BarrierAligner>(channels);
}

}  // namespace

GateInput::GateInput(const std::vector<size_t>& input_of_channel, size_t inputs,
                     BarrierOptions barriers)
    : gate_(input_of_channel.size()),
      inputs_(inputs),
      open_channels_(input_of_channel.size()),
      tracker_(MakeTracker(input_of_channel.size(), barriers)) {
  std::vector<size_t> channels_of_input(inputs);
  for (const size_t input : input_of_channel) {
    WEIR_CHECK_LT(input, inputs);
    channels_.push_back({input, channels_of_input[input]++});
  }
  for (const size_t channels : channels_of_input) valves_.emplace_back(channels);
}

absl::StatusOr<StepResult> GateInput::Step(Chain& chain, int64_t now) {
  size_t index = 0;
  WEIR_RETURN_IF_ERROR(gate_.Poll(element_, index));
  switch (element_.kind) {
    case ElementKind::kNone:
      return StepResult::kNoInput;
    case ElementKind::kBatch: {
      bytes_read_ += element_.bytes;
      WEIR_RETURN_IF_ERROR(chain.Process(channels_[index].input, *element_.batch));
      gate_.Recycle(index, std::move(element_.batch));
      return StepResult::kMoreWork;
    }
    case ElementKind::kWatermark:
    case ElementKind::kIdle:
    case ElementKind::kActive:
      OnTime(channels_[index], element_.kind, element_.time, chain);
      return StepResult::kMoreWork;
    case ElementKind::kBarrier:
      OnBarrier(index, {element_.barrier, element_.time, element_.barrier_kind}, now);
      return StepResult::kMoreWork;
    case ElementKind::kEndOfInput:
      if (std::exchange(channels_[index].ended, true)) {
        return absl::DataLossError("a channel has ended twice");
      }
      OnTime(channels_[index], element_.kind, 0, chain);
      Follow(index, tracker_->OnEnd(index));
      return --open_channels_ == 0 ? StepResult::kEnd : StepResult::kMoreWork;
  }
  return absl::InternalError("unknown element in a channel");
}

void GateInput::AbortBarrier(uint64_t id) {
  begun_.erase(id);
  Follow(0, tracker_->Abort(id));
}

void GateInput::OnBarrier(size_t channel, const Barrier& barrier, int64_t now) {
  if (tracker_->Awaits(barrier.id)) {
    begun_.try_emplace(barrier.id, Begun{now, bytes_read_});
    if (begun_.size() > kMaxBegun) begun_.erase(begun_.begin());
  }
  Follow(channel, tracker_->OnBarrier(channel, barrier));
}

void GateInput::Follow(size_t channel, const BarrierTracker::Outcome& outcome) {
  if (outcome.release) gate_.ready().SkipNone();
  if (outcome.hold) gate_.ready().Skip(channel);
  if (!outcome.complete.has_value()) return;
  barrier_ = outcome.complete;
  alignment_ = {};
  if (const auto begun = begun_.find(barrier_->id); begun != begun_.end()) {
    alignment_ = {begun->second.since_nanos, bytes_read_ - begun->second.bytes_read};
  }
  begun_.erase(begun_.begin(), begun_.upper_bound(barrier_->id));
}

void GateInput::OnTime(const Channel& channel, ElementKind kind, Ticks time, Chain& chain) {
  WatermarkValve& valve = valves_[channel.input];
  of_input_.clear();
  switch (kind) {
    case ElementKind::kWatermark:
      valve.OnWatermark(channel.in_valve, time, of_input_);
      break;
    case ElementKind::kIdle:
      valve.OnIdle(channel.in_valve, of_input_);
      break;
    case ElementKind::kActive:
      valve.OnActive(channel.in_valve, of_input_);
      break;
    case ElementKind::kEndOfInput:
      valve.OnFinished(channel.in_valve, of_input_);
      break;
    case ElementKind::kNone:
    case ElementKind::kBatch:
    case ElementKind::kBarrier:
      break;
  }
  if (valves_.size() == 1) {
    for (const TimeEvent& event : of_input_) chain.QueueTimeEvent(event);
    return;
  }
  events_.clear();
  for (const TimeEvent& event : of_input_) inputs_.OnEvent(channel.input, event, events_);
  // Downstream ignores the watermark of a channel that is idle, so the word that it is active again
  // goes first.
  std::stable_partition(events_.begin(), events_.end(), [](const TimeEvent& event) {
    return event.kind == TimeEventKind::kActive;
  });
  for (const TimeEvent& event : events_) chain.QueueTimeEvent(event);
}

}  // namespace weir
