#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "benchmarks/lib/embedded.h"
#include "benchmarks/lib/latency_recorder.h"
#include "common/env/clock.h"
#include "weir/aggregates.h"
#include "weir/source.h"

namespace weir::bench {

// When which records are due, fixed before the job starts: bursts at equal distances, `records` in
// each, all with the time at which they are due as event time. A window is some bursts long. Keys
// go round, so that every key is equally often in every window. Plain data: sent between processes.
struct Schedule {
  static constexpr int64_t kBurstsPerWindow = 20;
  static constexpr int64_t kBurstNanos = 250'000;
  static constexpr int64_t kWindowNanos = kBurstsPerWindow * kBurstNanos;
  static constexpr int64_t kKeys = 1000;

  // Monotonic nanoseconds, a multiple of kWindowNanos: of the first burst.
  int64_t begin = 0;
  // In each burst; times kBurstsPerWindow it is a multiple of kKeys.
  int64_t records = 0;
  int64_t windows = 0;
  // So many of the first are not measured.
  int64_t warmup_windows = 0;
  // False: each record is sent as soon as the one before has been taken.
  bool paced = true;

  int64_t window_records() const { return records * kBurstsPerWindow; }
  int64_t total_records() const { return window_records() * windows; }
  int64_t DueOfBurst(int64_t burst) const { return begin + burst * kBurstNanos; }
  // Of what comes first in the window after it: of the watermark that closes it.
  int64_t EndOfWindow(int64_t window) const { return begin + (window + 1) * kWindowNanos; }
  // The last window is closed by the end of the input, which has no time.
  bool IsMeasured(int64_t window) const {
    return paced && window >= warmup_windows && window + 1 < windows;
  }
};

// What has come out of the job.
struct WindowsSeen {
  int64_t complete = 0;
  // Results that no plain computation gives: another sum, a window or key that is not there, or
  // there twice.
  int64_t wrong = 0;
  int64_t first_nanos = 0;
  int64_t last_nanos = 0;
  LatencySummary latency;
};

// Keyed sums over tumbling windows of 96-byte records, from a source that keeps the schedule to a
// sink that compares each result with the closed formula and records how long after the due time of
// its watermark each window was complete. `clock` and `seen` outlive the job; `seen` is written by
// the subtask of the sink, at the end of its input.
JobDefinition DescribeWindowJob(const Schedule& schedule, const Clock& clock, WindowsSeen& seen);

}  // namespace weir::bench
