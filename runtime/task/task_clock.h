#pragma once

#include "absl/time/time.h"
#include "common/env/clock.h"
#include "weir/time.h"

namespace weir {

// The wall clock as user code sees it: one value from one BeginCall to the next, read only when it
// is asked for. Owned by the task's thread.
class TaskClock {
 public:
  explicit TaskClock(const Clock& clock) : clock_(clock) {}

  void BeginCall() { valid_ = false; }
  Ticks Now() const {
    if (!valid_) {
      now_ = absl::ToUnixMicros(clock_.Now());
      valid_ = true;
    }
    return now_;
  }
  int64_t MonotonicNanos() const { return clock_.MonotonicNanos(); }

 private:
  const Clock& clock_;
  mutable bool valid_ = false;
  mutable Ticks now_ = 0;
};

}  // namespace weir
