#include "runtime/task/barrier_counter.h"

#include <algorithm>

namespace weir {
namespace {

// No more are under way at a time; with more the oldest is given up with all before it.
constexpr size_t kMaxPending = 100;
// Of checkpoints that were aborted while no barrier came; with more the oldest is taken for done
// with all before it.
constexpr size_t kMaxAborted = 1'000;

}  // namespace

BarrierTracker::Outcome BarrierCounter::OnBarrier(size_t channel, const Barrier& barrier) {
  Outcome outcome;
  if (!Awaits(barrier.id)) return outcome;
  const auto [entry, inserted] = pending_.try_emplace(barrier.id);
  Pending& pending = entry->second;
  if (inserted) {
    pending = {barrier, std::vector<bool>(channels_, false), ended_channels_};
  }
  if (pending.delivered[channel] || ended_[channel]) return outcome;
  pending.delivered[channel] = true;
  ++pending.arrived;
  CompleteIfAll(outcome);
  if (pending_.size() > kMaxPending) {
    outcome.subsumed = pending_.begin()->first;
    SetDone(outcome.subsumed);
  }
  return outcome;
}

BarrierTracker::Outcome BarrierCounter::OnEnd(size_t channel) {
  Outcome outcome;
  if (ended_[channel]) return outcome;
  ended_[channel] = true;
  ++ended_channels_;
  for (auto& [id, pending] : pending_) pending.arrived += pending.delivered[channel] ? 0 : 1;
  CompleteIfAll(outcome);
  return outcome;
}

BarrierTracker::Outcome BarrierCounter::Abort(uint64_t id) {
  if (id <= done_) return {};
  pending_.erase(id);
  aborted_.insert(id);
  if (aborted_.size() > kMaxAborted) SetDone(*aborted_.begin());
  return {};
}

uint64_t BarrierCounter::seen() const {
  return std::max({done_, pending_.empty() ? 0 : pending_.rbegin()->first,
                   aborted_.empty() ? 0 : *aborted_.rbegin()});
}

void BarrierCounter::CompleteIfAll(Outcome& outcome) {
  const auto complete = std::find_if(pending_.rbegin(), pending_.rend(), [this](const auto& entry) {
    return entry.second.arrived == channels_;
  });
  if (complete == pending_.rend()) return;
  outcome.complete = complete->second.barrier;
  const auto lower = pending_.lower_bound(complete->first);
  if (lower != pending_.begin()) outcome.subsumed = std::prev(lower)->first;
  SetDone(outcome.complete->id);
}

void BarrierCounter::SetDone(uint64_t id) {
  done_ = id;
  pending_.erase(pending_.begin(), pending_.upper_bound(id));
  aborted_.erase(aborted_.begin(), aborted_.upper_bound(id));
}

}  // namespace weir
