#include "runtime/task/gate_input.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"
#include "runtime/exchange/in_flight.h"
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

GateInput::GateInput(std::vector<ChannelInfo> channels, size_t inputs, const Options& options)
    : infos_(std::move(channels)),
      options_(options),
      gate_(infos_.size()),
      inputs_(inputs),
      open_channels_(infos_.size()),
      tracker_(MakeTracker(infos_.size(), options.barriers)) {
  std::vector<size_t> channels_of_input(inputs);
  for (const ChannelInfo& channel : infos_) {
    WEIR_CHECK_LT(channel.input, inputs);
    channels_.push_back({channel.input, channels_of_input[channel.input]++});
  }
  for (const size_t of_input : channels_of_input) valves_.emplace_back(of_input);
  if (options.barriers.unaligned) {
    overtaking_ = std::make_unique<InputOvertaking>(gate_, static_cast<BarrierAligner&>(*tracker_),
                                                    options.barriers);
  }
}

absl::StatusOr<StepResult> GateInput::Step(Chain& chain, int64_t now) {
  size_t index = 0;
  if (!restored_.empty()) {
    WEIR_RETURN_IF_ERROR(restored_.Poll(element_, index));
    if (element_.kind == ElementKind::kBatch) {
      // Its memory belongs to no channel.
      WEIR_RETURN_IF_ERROR(chain.Process(channels_[index].input, *element_.batch));
      return StepResult::kMoreWork;
    }
    if (element_.kind != ElementKind::kNone) return OnElement(index, chain, now);
  }
  WEIR_RETURN_IF_ERROR(gate_.Poll(element_, index));
  return OnElement(index, chain, now);
}

absl::StatusOr<StepResult> GateInput::OnElement(size_t index, Chain& chain, int64_t now) {
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
      OnTime(index, element_.kind, element_.time, chain, now);
      return StepResult::kMoreWork;
    case ElementKind::kBarrier:
      OnBarrier(index, BarrierOf(element_), now);
      return StepResult::kMoreWork;
    case ElementKind::kEndOfInput:
      if (std::exchange(channels_[index].ended, true)) {
        return absl::DataLossError("a channel has ended twice");
      }
      OnTime(index, element_.kind, 0, chain, now);
      if (overtaking_ != nullptr) overtaking_->OnEnd(index);
      Follow(index, 0, tracker_->OnEnd(index));
      return --open_channels_ == 0 ? StepResult::kEnd : StepResult::kMoreWork;
  }
  return absl::InternalError("unknown element in a channel");
}

void GateInput::AbortBarrier(uint64_t id) {
  begun_.erase(id);
  Follow(0, 0, tracker_->Abort(id));
  if (overtaking_ != nullptr) overtaking_->Abort(id);
}

void GateInput::OnBarrier(size_t channel, const Barrier& barrier, int64_t now) {
  if (tracker_->Awaits(barrier.id)) Begin(barrier.id, now);
  if (overtaking_ != nullptr && overtaking_->OnBarrier(channel, barrier)) return;
  Follow(channel, barrier.id, tracker_->OnBarrier(channel, barrier));
}

void GateInput::Begin(uint64_t id, int64_t now) {
  begun_.try_emplace(id, Begun{now, bytes_read_});
  if (begun_.size() > kMaxBegun) begun_.erase(begun_.begin());
}

void GateInput::Follow(size_t channel, uint64_t id, const BarrierTracker::Outcome& outcome) {
  if (overtaking_ != nullptr && outcome.subsumed != 0) overtaking_->Abort(outcome.subsumed);
  if (outcome.release) gate_.ready().SkipNone();
  // The barrier that is waited for here has its snapshot already if it has overtaken.
  const uint64_t overtook = overtaking_ != nullptr ? overtaking_->begun() : 0;
  if (outcome.hold && id > overtook) gate_.ready().Skip(channel);
  if (!outcome.complete.has_value() || outcome.complete->id <= overtook) return;
  barrier_ = outcome.complete;
  SetAlignment(barrier_->id);
}

void GateInput::SetAlignment(uint64_t id) {
  alignment_ = {};
  if (const auto begun = begun_.find(id); begun != begun_.end()) {
    alignment_ = {begun->second.since_nanos, bytes_read_ - begun->second.bytes_read};
  }
  begun_.erase(begun_.begin(), begun_.upper_bound(id));
}

absl::Status GateInput::Restore(const OperatorState& state) {
  for (const OperatorState::InFlight& in_flight : state.in_flight) {
    const auto found = std::find_if(infos_.begin(), infos_.end(), [&](const ChannelInfo& channel) {
      return channel.edge == in_flight.edge && channel.from_subtask == in_flight.from_subtask;
    });
    if (found == infos_.end()) {
      return absl::InternalError(StrCat("records in flight on edge ", in_flight.edge,
                                        " from subtask ", in_flight.from_subtask,
                                        ", which do not come here"));
    }
    const auto index = static_cast<size_t>(found - infos_.begin());
    restored_.Add({index, OwnerOf(*found)}, in_flight.elements);
  }
  for (const OperatorState::Rewired& rewired : state.rewired) {
    WEIR_RETURN_IF_ERROR(RestoreRewired(rewired));
  }
  return absl::OkStatus();
}

absl::Status GateInput::RestoreRewired(const OperatorState::Rewired& rewired) {
  // All records come on the edge's first channel: should they be in flight again, they are read
  // before what comes new, whoever sends the later records of their keys.
  bool first = true;
  for (size_t i = 0; i < infos_.size(); ++i) {
    const ChannelInfo& channel = infos_[i];
    if (channel.edge != rewired.edge) continue;
    std::string elements;
    if (std::exchange(first, false)) {
      WEIR_ASSIGN_OR_RETURN(elements, OwnRecords(rewired, OwnerOf(channel)));
    }
    if (rewired.watermark != kMinTicks) AppendInFlightWatermark(elements, rewired.watermark);
    if (!elements.empty()) restored_.Add({i, OwnerOf(channel)}, std::move(elements));
  }
  if (!first) return absl::OkStatus();
  return absl::InternalError(
      StrCat("records in flight on edge ", rewired.edge, ", which does not come here"));
}

RecordOwner GateInput::OwnerOf(const ChannelInfo& channel) const {
  return {channel.type, channel.hasher, options_.key_groups, options_.max_parallelism};
}

void GateInput::LookForBarriers(Ticks now) {
  if (overtaking_ != nullptr) overtaking_->Look(now);
}

std::optional<Barrier> GateInput::TakeOvertaking() {
  // One that has come on all channels is first.
  if (overtaking_ == nullptr || barrier_.has_value()) return std::nullopt;
  return overtaking_->TakeDue();
}

Ticks GateInput::overtaking_due_at() const {
  return overtaking_ != nullptr ? overtaking_->due_at() : kMaxTicks;
}

void GateInput::BeginOvertaking(const Barrier& barrier) {
  SetAlignment(barrier.id);
  overtaking_->Begin(barrier, restored_.Rest(infos_.size()));
}

bool GateInput::OvertakingComplete() const {
  return overtaking_ == nullptr || overtaking_->complete();
}

size_t GateInput::overtaken_bytes() const {
  return overtaking_ != nullptr ? overtaking_->bytes() : 0;
}

std::optional<std::vector<OperatorState::InFlight>> GateInput::TakeOvertaken() {
  if (overtaking_ == nullptr) return std::nullopt;
  std::optional<std::vector<std::string>> elements = overtaking_->Take();
  if (!elements.has_value()) return std::nullopt;
  std::vector<OperatorState::InFlight> taken;
  for (size_t i = 0; i < elements->size(); ++i) {
    if ((*elements)[i].empty()) continue;
    taken.push_back({infos_[i].edge, infos_[i].from_subtask, options_.subtask, false,
                     std::move((*elements)[i])});
  }
  return taken;
}

void GateInput::FillWatermarks(proto::TaskWatermarks& watermarks) const {
  bool all_idle = true;
  for (const WatermarkValve& valve : valves_) all_idle = all_idle && valve.idle();
  watermarks.set_idle(all_idle);
  for (size_t i = 0; i < channels_.size(); ++i) {
    const WatermarkValve::ChannelState state =
        valves_[channels_[i].input].channel(channels_[i].in_valve);
    proto::TaskWatermarks::Channel& channel = *watermarks.add_channels();
    channel.set_input(static_cast<uint32_t>(infos_[i].input));
    channel.set_edge(infos_[i].edge);
    channel.set_from_subtask(infos_[i].from_subtask);
    channel.set_watermark(state.finished ? kMaxTicks : state.watermark);
    channel.set_idle(state.idle);
    channel.set_finished(state.finished);
    channel.set_catching_up(state.catching_up);
  }
}

void GateInput::OnTime(size_t index, ElementKind kind, Ticks time, Chain& chain, int64_t now) {
  const Channel& channel = channels_[index];
  WatermarkValve& valve = valves_[channel.input];
  of_input_.clear();
  WatermarkMover mover{.index = static_cast<uint32_t>(index)};
  switch (kind) {
    case ElementKind::kWatermark:
      valve.OnWatermark(channel.in_valve, time, of_input_);
      break;
    case ElementKind::kIdle:
      valve.OnIdle(channel.in_valve, of_input_);
      mover.what = WatermarkMover::What::kIdle;
      break;
    case ElementKind::kActive:
      valve.OnActive(channel.in_valve, of_input_);
      break;
    case ElementKind::kEndOfInput:
      valve.OnFinished(channel.in_valve, of_input_);
      mover.what = WatermarkMover::What::kEnded;
      break;
    case ElementKind::kNone:
    case ElementKind::kBatch:
    case ElementKind::kBarrier:
      break;
  }
  if (of_input_.empty()) return;
  const WatermarkValve::ChannelState state = valve.channel(channel.in_valve);
  mover.watermark = state.watermark;
  if (state.finished) mover.what = WatermarkMover::What::kEnded;
  if (valves_.size() == 1) {
    for (const TimeEvent& event : of_input_) chain.QueueTimeEvent(event, mover, now);
    return;
  }
  events_.clear();
  for (const TimeEvent& event : of_input_) inputs_.OnEvent(channel.input, event, events_);
  // Downstream ignores the watermark of a channel that is idle, so the word that it is active again
  // goes first.
  std::stable_partition(events_.begin(), events_.end(), [](const TimeEvent& event) {
    return event.kind == TimeEventKind::kActive;
  });
  for (const TimeEvent& event : events_) chain.QueueTimeEvent(event, mover, now);
}

}  // namespace weir
