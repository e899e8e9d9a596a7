#include "runtime/task/barrier_aligner.h"

#include <algorithm>
#include <utility>

namespace weir {

BarrierAligner::Outcome BarrierAligner::OnBarrier(size_t channel, const Barrier& barrier) {
  Outcome outcome;
  if (barrier.id <= done_ || barrier.id < pending()) return outcome;
  if (barrier.id > pending()) {
    if (pending_.has_value()) {
      outcome.subsumed = pending_->id;
      done_ = pending_->id;
      Release(outcome);
    }
    pending_ = barrier;
    arrived_ = ended_;
  }
  if (std::exchange(channels_[channel].delivered, true)) return outcome;
  ++arrived_;
  outcome.hold = true;
  CompleteIfAll(outcome);
  return outcome;
}

BarrierAligner::Outcome BarrierAligner::OnEnd(size_t channel) {
  Outcome outcome;
  if (std::exchange(channels_[channel].ended, true)) return outcome;
  ++ended_;
  if (!pending_.has_value()) return outcome;
  if (!channels_[channel].delivered) ++arrived_;
  CompleteIfAll(outcome);
  return outcome;
}

BarrierAligner::Outcome BarrierAligner::Abort(uint64_t id) {
  Outcome outcome;
  // One that is still to come is refused, and so is what is older.
  done_ = std::max(done_, id);
  if (pending_.has_value() && pending_->id <= done_) Release(outcome);
  return outcome;
}

void BarrierAligner::CompleteIfAll(Outcome& outcome) {
  if (arrived_ < channels_.size()) return;
  done_ = pending_->id;
  outcome.complete = pending_;
  outcome.hold = false;
  Release(outcome);
}

void BarrierAligner::Release(Outcome& outcome) {
  outcome.release = true;
  pending_.reset();
  for (Channel& channel : channels_) channel.delivered = false;
}

}  // namespace weir
