#include "runtime/task/barrier_aligner.h"

#include <algorithm>
#include <utility>

namespace weir {
namespace {

// Of checkpoints that were aborted while no barrier came; with more the oldest is taken for done
// with all before it.
constexpr size_t kMaxAborted = 1'000;

}  // namespace

BarrierTracker::Outcome BarrierAligner::OnBarrier(size_t channel, const Barrier& barrier) {
  Outcome outcome;
  if (!Awaits(barrier.id)) return outcome;
  if (barrier.id > pending()) {
    if (pending_.has_value()) {
      outcome.subsumed = pending_->id;
      Release(outcome);
    }
    // Lower ones that come from now on are ignored, also if this one is aborted: of those that came
    // before, some channels may have been read on.
    SetDone(barrier.id - 1);
    pending_ = barrier;
    arrived_ = ended_;
  }
  if (std::exchange(channels_[channel].delivered, true)) return outcome;
  ++arrived_;
  outcome.hold = true;
  CompleteIfAll(outcome);
  return outcome;
}

BarrierTracker::Outcome BarrierAligner::OnEnd(size_t channel) {
  Outcome outcome;
  if (std::exchange(channels_[channel].ended, true)) return outcome;
  ++ended_;
  if (!pending_.has_value()) return outcome;
  if (!channels_[channel].delivered) ++arrived_;
  CompleteIfAll(outcome);
  return outcome;
}

BarrierTracker::Outcome BarrierAligner::Abort(uint64_t id) {
  Outcome outcome;
  if (id <= done_) return outcome;
  aborted_.insert(id);
  if (aborted_.size() > kMaxAborted) SetDone(*aborted_.begin());
  if (pending_.has_value() && (pending_->id == id || pending_->id <= done_)) Release(outcome);
  return outcome;
}

void BarrierAligner::CompleteIfAll(Outcome& outcome) {
  if (arrived_ < channels_.size()) return;
  SetDone(pending_->id);
  outcome.complete = pending_;
  outcome.hold = false;
  Release(outcome);
}

void BarrierAligner::SetDone(uint64_t id) {
  done_ = id;
  aborted_.erase(aborted_.begin(), aborted_.upper_bound(id));
}

void BarrierAligner::Release(Outcome& outcome) {
  outcome.release = true;
  pending_.reset();
  for (Channel& channel : channels_) channel.delivered = false;
}

}  // namespace weir
