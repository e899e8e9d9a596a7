#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir::bench {

// Of a number of times: percentiles by nearest rank, so that each is one of the times, and the
// greatest. All 0 if there are none.
struct LatencySummary {
  uint64_t count = 0;
  double p50_us = 0;
  double p99_us = 0;
  double p999_us = 0;
  double max_us = 0;
};

// Keeps every time that it is given, in nanoseconds: a percentile is exact. Owned by one thread.
class LatencyRecorder {
 public:
  // Room for so many, so that none is measured while memory is moved.
  void Reserve(size_t count) { nanos_.reserve(count); }
  void Add(int64_t nanos) { nanos_.push_back(nanos); }
  LatencySummary Summarize() const;

 private:
  std::vector<int64_t> nanos_;
};

// The middle one; of an even number the greater of the two in the middle. 0 if there are none.
double MedianOf(std::vector<double> values);

}  // namespace weir::bench
