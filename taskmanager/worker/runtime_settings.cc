#include "taskmanager/worker/runtime_settings.h"

#include "absl/strings/str_replace.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace weir {
namespace {

// "5 ms", "1min", "250us": Flink's words, with or without a space.
absl::StatusOr<absl::Duration> ParseInterval(const std::string& key, const std::string& value) {
  const std::string compact = absl::StrReplaceAll(value, {{" ", ""}, {"min", "m"}});
  absl::Duration duration;
  if (!absl::ParseDuration(compact, &duration) || duration < absl::ZeroDuration() ||
      duration > absl::Hours(24)) {
    return absl::InvalidArgumentError(
        StrCat("setting ", key, " = '", value, "': expected a duration such as '5 ms' or '1 s'"));
  }
  return duration;
}

}  // namespace

absl::StatusOr<RuntimeOptions> RuntimeOptionsFromSettings(
    const std::map<std::string, std::string>& settings) {
  RuntimeOptions options;
  if (const auto it = settings.find("execution.buffer-timeout"); it != settings.end()) {
    WEIR_ASSIGN_OR_RETURN(options.flush_interval, ParseInterval(it->first, it->second));
  }
  if (const auto it = settings.find("pipeline.auto-watermark-interval"); it != settings.end()) {
    WEIR_ASSIGN_OR_RETURN(options.watermark_interval, ParseInterval(it->first, it->second));
  }
  return options;
}

}  // namespace weir
