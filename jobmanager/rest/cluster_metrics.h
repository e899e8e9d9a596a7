#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/obs/metrics.h"
#include "jobmanager/dispatch/snapshot.h"

namespace weir::jobmanager {

// The numbers of a cluster under the names that Flink's Prometheus reporter gives them, as boards
// and alarms made for Flink expect: counters as gauges without "_total", names and label values
// with '_' for every character outside [a-zA-Z0-9:_], watermarks in milliseconds, a task's series
// gone once it has ended. `host` is the job manager's.
std::vector<MetricFamily> ClusterMetrics(const ClusterSnapshot& cluster, int64_t now_unix_micros,
                                         std::string_view host);

}  // namespace weir::jobmanager
