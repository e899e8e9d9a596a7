#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "weir/time.h"

namespace weir {

// Who moved a watermark on.
struct WatermarkMover {
  enum class What : uint8_t {
    kWatermark,  // it said so; until then it was the furthest behind
    kIdle,       // it became idle, and did not count any more
    kEnded,
  };
  What what = What::kWatermark;
  // A channel of the task, or a split of its source.
  uint32_t index = 0;
  // Its own; may be ahead of what all have reached.
  Ticks watermark = kMinTicks;
};

// One step of a watermark, or several that were near each other.
struct WatermarkMove {
  // After it.
  Ticks watermark = kMinTicks;
  // Of the last step.
  WatermarkMover mover;
  int64_t first_nanos = 0;
  int64_t last_nanos = 0;
  uint64_t steps = 1;
};

// How the watermark of a task has come to where it is: all of it, but the older the coarser, in
// kMost moves at most. A step costs a few stores. Owned by the task's thread.
class WatermarkMoves {
 public:
  static constexpr size_t kMost = 128;

  // `watermark` is above that of the last one. `now` is on the monotonic clock, in nanoseconds.
  void Add(Ticks watermark, const WatermarkMover& mover, int64_t now) {
    moves_.push_back({watermark, mover, now, now, 1});
    if (moves_.size() == kMost) Thin();
  }
  // The one after which the watermark was at least `time` for the first time; nothing: it was from
  // the beginning, since the task was restored, or is not yet.
  std::optional<WatermarkMove> ThatReached(Ticks time) const;
  const std::vector<WatermarkMove>& all() const { return moves_; }

 private:
  // Makes one of each two neighbours among the older half.
  void Thin();

  std::vector<WatermarkMove> moves_;
};

}  // namespace weir
