#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/job_runtime.h"

namespace weir {

// What a job's settings say about how it runs: execution.buffer-timeout,
// pipeline.auto-watermark-interval. Settings that concern others are left alone (the job manager
// refuses unknown ones). kInvalidArgument names the setting, its value and what is expected.
absl::StatusOr<RuntimeOptions> RuntimeOptionsFromSettings(
    const std::map<std::string, std::string>& settings);

}  // namespace weir
