#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "runtime/task/barrier_tracker.h"

namespace weir {

// Counts barriers and never holds a channel back (semantics rule 44): what a channel delivers
// between its barrier and the last one is part of the snapshot, and comes again after a restore.
// Barriers of several checkpoints may be on their way; the first that is complete ends the lower
// ones.
class BarrierCounter final : public BarrierTracker {
 public:
  explicit BarrierCounter(size_t channels) : channels_(channels), ended_(channels, false) {}

  Outcome OnBarrier(size_t channel, const Barrier& barrier) override;
  Outcome OnEnd(size_t channel) override;
  Outcome Abort(uint64_t id) override;
  bool Awaits(uint64_t id) const override { return id > done_ && aborted_.count(id) == 0; }
  uint64_t seen() const override;

 private:
  struct Pending {
    Barrier barrier;
    std::vector<bool> delivered;
    // Channels that have delivered it or ended.
    size_t arrived = 0;
  };
  // Completes the highest checkpoint of which all barriers are there.
  void CompleteIfAll(Outcome& outcome);
  void SetDone(uint64_t id);

  const size_t channels_;
  std::vector<bool> ended_;
  size_t ended_channels_ = 0;
  // By id.
  std::map<uint64_t, Pending> pending_;
  // Barriers up to this are ignored.
  uint64_t done_ = 0;
  // And those of these, which are higher.
  std::set<uint64_t> aborted_;
};

}  // namespace weir
