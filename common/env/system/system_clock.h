#pragma once

#include "common/env/clock.h"

namespace weir {

// The system's clocks: CLOCK_REALTIME, CLOCK_MONOTONIC and CLOCK_THREAD_CPUTIME_ID.
class SystemClock final : public Clock {
 public:
  absl::Time Now() const override;
  int64_t MonotonicNanos() const override;
  int64_t ThreadCpuNanos() const override;
};

}  // namespace weir
