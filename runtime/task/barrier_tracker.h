#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "runtime/task_state.h"

namespace weir {

// Which channels of a task have delivered the barriers of checkpoints, and what follows: exactly
// once a BarrierAligner says that, at least once a BarrierCounter. The caller stops reading a
// channel when it is told to and goes on when all are released.
class BarrierTracker {
 public:
  virtual ~BarrierTracker() = default;

  // What follows from an event, in this order.
  struct Outcome {
    // A checkpoint that was waited for and is not any more, because a later one has come; 0: none.
    uint64_t subsumed = 0;
    // No channel is held back any more.
    bool release = false;
    // The channel that the event came on is not read until the next release.
    bool hold = false;
    // All channels have delivered the barrier or ended: now is the time for the snapshot.
    std::optional<Barrier> complete;
  };

  // A barrier that is not higher than what has been completed, aborted or given up is ignored.
  virtual Outcome OnBarrier(size_t channel, const Barrier& barrier) = 0;
  // The end of a channel counts as its barrier.
  virtual Outcome OnEnd(size_t channel) = 0;
  // The checkpoint is not waited for any more; its barriers that are still to come are ignored.
  // Others, older ones too, are waited for as before.
  virtual Outcome Abort(uint64_t id) = 0;

  // Whether the barrier is one that OnBarrier would count.
  virtual bool Awaits(uint64_t id) const = 0;
  // The highest checkpoint of which a barrier has come, or that was aborted; 0: none.
  virtual uint64_t seen() const = 0;
};

}  // namespace weir
