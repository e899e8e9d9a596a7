#pragma once

#include <cstddef>
#include <vector>

#include "runtime/time/time_event.h"

namespace weir {

// The watermark over the channels of one input (semantics rules 24 and 25). A channel is ACTIVE,
// IDLE or FINISHED. Each call appends to `out` what is to be passed on, in order. A watermark costs
// O(log channels). Owned by the task's thread.
class WatermarkValve {
 public:
  // `channels` > 0.
  explicit WatermarkValve(size_t channels);

  // A watermark of MAX says that the channel is finished.
  void OnWatermark(size_t channel, Ticks watermark, TimeEvents& out);
  void OnIdle(size_t channel, TimeEvents& out);
  void OnActive(size_t channel, TimeEvents& out);
  // The channel has ended. Idempotent; nothing that comes on it later counts.
  void OnFinished(size_t channel, TimeEvents& out);

  struct ChannelState {
    Ticks watermark = kMinTicks;
    bool idle = false;
    bool finished = false;
    // Active, and behind what was passed on: it does not count until it has caught up.
    bool catching_up = false;
  };
  ChannelState channel(size_t index) const;
  // All that have not finished are idle.
  bool idle() const { return idle_; }
  // The last one passed on.
  Ticks watermark() const { return watermark_; }

 private:
  enum class State : uint8_t { kActive, kIdle, kFinished };
  struct Channel {
    State state = State::kActive;
    // An active channel that has caught up with what was passed on; only such hold the minimum
    // back.
    bool aligned = true;
    Ticks watermark = kMinTicks;
  };

  // Sets what the channel contributes to the minimum: its watermark if it is aligned.
  void UpdateMinimum(size_t channel);
  void Align(size_t channel, bool aligned);
  void EmitMinimum(TimeEvents& out);
  void EmitWatermark(Ticks watermark, TimeEvents& out);
  // No channel is active any more, and some are idle.
  void EmitGreatestOfIdle(TimeEvents& out);

  std::vector<Channel> channels_;
  size_t active_;
  size_t aligned_;
  size_t finished_ = 0;
  // A complete binary tree of minima: leaf i at `leaves_ + i`, MAX where the channel is not
  // aligned; the root at 1.
  size_t leaves_ = 1;
  std::vector<Ticks> minima_;
  Ticks watermark_ = kMinTicks;
  bool idle_ = false;
};

}  // namespace weir
