#pragma once

#include <string>
#include <string_view>

#include "jobmanager/dispatch/snapshot.h"

namespace weir::jobmanager {

// Bodies of Flink's REST API, so that its tools can read them. Times are milliseconds since 1970,
// durations milliseconds.

// GET /overview
std::string OverviewJson(const ClusterSnapshot& cluster);
// GET /jobs/overview. `now_unix_micros` is for the duration of jobs that have not ended.
std::string JobsOverviewJson(const ClusterSnapshot& cluster, int64_t now_unix_micros);
// {"errors":["..."]}
std::string ErrorJson(std::string_view text);

// The state of a job in Flink's words, which has none for the time in which workers start.
std::string_view FlinkJobState(proto::JobState state);

}  // namespace weir::jobmanager
