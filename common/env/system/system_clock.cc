#include "common/env/system/system_clock.h"

#include <time.h>

#include "absl/time/clock.h"
#include "common/base/check.h"

namespace weir {
namespace {

int64_t ReadNanos(clockid_t clock) {
  timespec now;
  WEIR_CHECK_EQ(clock_gettime(clock, &now), 0);
  return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

absl::Time SystemClock::Now() const { return absl::Now(); }

int64_t SystemClock::MonotonicNanos() const { return ReadNanos(CLOCK_MONOTONIC); }

int64_t SystemClock::ThreadCpuNanos() const { return ReadNanos(CLOCK_THREAD_CPUTIME_ID); }

}  // namespace weir
