#include "runtime/task/input_overtaking.h"

#include <utility>

namespace weir {

InputOvertaking::InputOvertaking(InputGate& gate, BarrierAligner& aligner, BarrierOptions barriers)
    : gate_(gate), aligner_(aligner), barriers_(barriers) {}

void InputOvertaking::Look(Ticks now) {
  ended_.resize(gate_.channels());
  if (gate_.ready().TakeAnnounced()) {
    for (size_t i = 0; i < gate_.channels(); ++i) Examine(i);
  }
  if (newest_.has_value() && !aligner_.Awaits(newest_->id)) {
    if (polled_id_ == newest_->id) ReleasePolled();
    newest_.reset();
  }
  if (newest_.has_value() && barriers_.Overtakes(*newest_, now)) {
    due_ = std::exchange(newest_, std::nullopt);
  }
}

std::optional<Barrier> InputOvertaking::TakeDue() {
  std::optional<Barrier> due = std::exchange(due_, std::nullopt);
  if (due.has_value()) due->unaligned = true;
  return due;
}

Ticks InputOvertaking::due_at() const {
  return newest_.has_value() ? barriers_.OvertakesAt(*newest_) : kMaxTicks;
}

void InputOvertaking::Examine(size_t channel) {
  if (ended_[channel]) return;
  InputChannel& from = gate_.channel(channel);
  if (gathering_.has_value() && gathering_->open[channel]) {
    const Barrier& barrier = gathering_->barrier;
    const Overtaken found = from.OvertakeQueue(barrier.id, gathering_->elements[channel]);
    if (found == Overtaken::kBarrier) aligner_.OnBarrier(channel, barrier);
    if (found != Overtaken::kNothing) CloseChannel(channel);
  }
  if (const auto queued = from.QueuedBarrier(); queued.has_value()) Note(*queued);
}

void InputOvertaking::Note(const Barrier& barrier) {
  if (!MayOvertake(barrier.kind) || barrier.id <= begun_) return;
  if (!aligner_.Awaits(barrier.id)) return;
  if (newest_.has_value() && barrier.id < newest_->id) return;
  const bool unaligned =
      barrier.unaligned || (newest_.has_value() && barrier.id == newest_->id && newest_->unaligned);
  newest_ = barrier;
  newest_->unaligned = unaligned;
}

void InputOvertaking::Begin(const Barrier& barrier, std::vector<std::string> restored) {
  Abort(begun_);
  begun_ = barrier.id;
  if (newest_.has_value() && newest_->id <= begun_) newest_.reset();
  gathering_ = {barrier, std::move(restored), std::vector<bool>(gate_.channels(), false)};
  open_channels_ = 0;
  if (polled_id_ != barrier.id) ReleasePolled();
  polled_.resize(gate_.channels());
  // Before the aligner is told anything: what completes it makes it forget.
  std::vector<bool> delivered(gate_.channels());
  for (size_t i = 0; i < gate_.channels(); ++i) {
    delivered[i] = polled_[i] || aligner_.HasDelivered(i, barrier.id);
  }
  for (size_t i = 0; i < gate_.channels(); ++i) {
    if (ended_[i]) continue;
    std::string& elements = gathering_->elements[i];
    InputChannel& channel = gate_.channel(i);
    if (polled_[i]) aligner_.OnBarrier(i, barrier);
    if (delivered[i]) {
      channel.AppendBegun(elements);
      continue;
    }
    switch (channel.OvertakeQueue(barrier.id, elements)) {
      case Overtaken::kBarrier:
        aligner_.OnBarrier(i, barrier);
        break;
      case Overtaken::kEndOfInput:
        break;
      case Overtaken::kNothing:
        channel.Record(&elements);
        gathering_->open[i] = true;
        ++open_channels_;
        break;
    }
  }
  polled_id_ = 0;
  polled_.clear();
  gate_.ready().SkipNone();
}

bool InputOvertaking::OnBarrier(size_t channel, const Barrier& barrier) {
  if (gathering_.has_value() && gathering_->barrier.id == barrier.id) CloseChannel(channel);
  Note(barrier);
  // One that overtook at its sender may stand within a record, whose parts are to be kept.
  if (!barrier.unaligned || !newest_.has_value() || newest_->id != barrier.id) return false;
  if (polled_id_ != barrier.id) ReleasePolled();
  polled_id_ = barrier.id;
  polled_.resize(gate_.channels());
  polled_[channel] = true;
  gate_.ready().Skip(channel);
  return true;
}

void InputOvertaking::OnEnd(size_t channel) {
  ended_.resize(gate_.channels());
  ended_[channel] = true;
  CloseChannel(channel);
}

void InputOvertaking::CloseChannel(size_t channel) {
  if (!gathering_.has_value() || !gathering_->open[channel]) return;
  gathering_->open[channel] = false;
  --open_channels_;
  gate_.channel(channel).Record(nullptr);
}

void InputOvertaking::Abort(uint64_t id) {
  if (newest_.has_value() && newest_->id == id) newest_.reset();
  if (due_.has_value() && due_->id == id) due_.reset();
  if (polled_id_ == id) ReleasePolled();
  if (!gathering_.has_value() || gathering_->barrier.id != id) return;
  for (size_t i = 0; i < gate_.channels(); ++i) CloseChannel(i);
  gathering_.reset();
}

size_t InputOvertaking::bytes() const {
  if (!gathering_.has_value()) return 0;
  size_t bytes = 0;
  for (const std::string& elements : gathering_->elements) bytes += elements.size();
  return bytes;
}

std::optional<std::vector<std::string>> InputOvertaking::Take() {
  if (!gathering_.has_value()) return std::nullopt;
  std::vector<std::string> elements = std::move(gathering_->elements);
  gathering_.reset();
  return elements;
}

void InputOvertaking::ReleasePolled() {
  polled_id_ = 0;
  polled_.clear();
  // One that is being aligned releases its channels itself.
  if (aligner_.pending() == 0) gate_.ready().SkipNone();
}

}  // namespace weir
