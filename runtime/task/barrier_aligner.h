#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "runtime/task/barrier_tracker.h"

namespace weir {

// Which channels of a task have delivered the barrier of the checkpoint that is being aligned
// (semantics rules 41 and 42).
class BarrierAligner final : public BarrierTracker {
 public:
  explicit BarrierAligner(size_t channels) : channels_(channels) {}

  // A barrier of a higher checkpoint than the one that is being aligned ends that.
  Outcome OnBarrier(size_t channel, const Barrier& barrier) override;
  Outcome OnEnd(size_t channel) override;
  Outcome Abort(uint64_t id) override;
  bool Awaits(uint64_t id) const override {
    return id > done_ && id >= pending() && aborted_.count(id) == 0;
  }
  uint64_t seen() const override {
    return std::max({done_, pending(), aborted_.empty() ? 0 : *aborted_.rbegin()});
  }

  // The checkpoint whose barrier some channels have delivered; 0: none.
  uint64_t pending() const { return pending_.has_value() ? pending_->id : 0; }
  // Whether it is being aligned, and the channel has delivered its barrier.
  bool HasDelivered(size_t channel, uint64_t id) const {
    return pending() == id && channels_[channel].delivered;
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
