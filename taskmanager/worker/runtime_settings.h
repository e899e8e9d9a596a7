#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "common/config/settings.h"
#include "runtime/job_runtime.h"

namespace weir {

// What the settings say about how a job runs: buffers, intervals, batches. Threads, worker and log
// are the caller's.
RuntimeOptions RuntimeOptionsFromSettings(const Settings& settings);

// The settings that were given with a job. kInvalidArgument for an unknown one or a bad value.
absl::StatusOr<Settings> SettingsOfJob(const std::map<std::string, std::string>& settings);

}  // namespace weir
