#pragma once

#include "absl/time/time.h"

namespace weir {

// Time as the process may know it. Thread safe.
class Clock {
 public:
  virtual ~Clock() = default;

  // The wall clock: may jump. For what people read and for processing-time semantics (semantics rules 4 and 20).
  virtual absl::Time Now() const = 0;
  // Nanoseconds from an arbitrary start; never goes back. For timeouts and measurements.
  virtual int64_t MonotonicNanos() const = 0;
  // CPU nanoseconds used by the calling thread; 0 in the simulator.
  virtual int64_t ThreadCpuNanos() const = 0;
};

}  // namespace weir
