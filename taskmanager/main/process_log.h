#pragma once

#include <functional>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/strings.h"
#include "common/config/settings.h"
#include "common/env/clock.h"

namespace weir {

using ProcessLog = std::function<void(std::string_view level, std::string_view text)>;

// The log that the settings describe (log.level, log.format, log.file). `clock` outlives it.
absl::StatusOr<ProcessLog> MakeProcessLog(const Settings& settings, const Clock& clock,
                                          std::string_view component);

}  // namespace weir
