#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "runtime/task_state.h"

namespace weir {

// Which channels of a task have delivered the barrier of the checkpoint that is being aligned
// (semantics rules 41 and 42). The caller stops reading a channel when it is told to and goes on
// when all are released.
class BarrierAligner {
 public:
  explicit BarrierAligner(size_t channels) : channels_(channels) {}

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

  // A barrier that is not higher than what has been completed, aborted or begun is ignored.
  Outcome OnBarrier(size_t channel, const Barrier& barrier);
  // The end of a channel counts as its barrier.
  Outcome OnEnd(size_t channel);
  // The checkpoint is not waited for any more; its barriers that are still to come are ignored.
  // Others, older ones too, are waited for as before.
  Outcome Abort(uint64_t id);

  // The checkpoint whose barrier some channels have delivered; 0: none.
  uint64_t pending() const { return pending_.has_value() ? pending_->id : 0; }
  // The highest checkpoint of which a barrier has come, or that was aborted; 0: none.
  uint64_t seen() const {
    return std::max({done_, pending(), aborted_.empty() ? 0 : *aborted_.rbegin()});
  }

 private:
  struct Channel {
    bool delivered = false;
    bool ended = false;
  };
  void CompleteIfAll(Outcome& outcome);
  void Release(Outcome& outcome);
  void SetDone(uint64_t id);

  std::vector<Channel> channels_;
  std::optional<Barrier> pending_;
  // Channels that have delivered it or ended.
  size_t arrived_ = 0;
  size_t ended_ = 0;
  // Barriers up to this are ignored.
  uint64_t done_ = 0;
  // And those of these, which are higher.
  std::set<uint64_t> aborted_;
};

}  // namespace weir
