#include "benchmarks/lib/latency_recorder.h"

#include <algorithm>
#include <cstddef>

namespace weir::bench {

LatencySummary LatencyRecorder::Summarize() const {
  LatencySummary summary;
  if (nanos_.empty()) return summary;
  std::vector<int64_t> sorted = nanos_;
  std::sort(sorted.begin(), sorted.end());
  // The least time that at least so many of a thousand do not exceed.
  const auto at = [&sorted](size_t of_thousand) {
    const size_t rank = (of_thousand * sorted.size() + 999) / 1000;
    return static_cast<double>(sorted[std::max<size_t>(rank, 1) - 1]) / 1000;
  };
  summary.count = sorted.size();
  summary.p50_us = at(500);
  summary.p99_us = at(990);
  summary.p999_us = at(999);
  summary.max_us = at(1000);
  return summary;
}

double MedianOf(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace weir::bench
