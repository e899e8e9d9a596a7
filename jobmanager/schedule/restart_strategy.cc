#include "jobmanager/schedule/restart_strategy.h"

#include <algorithm>

#include "common/base/strings.h"
#include "common/config/settings.h"
#include "common/config/values.h"
#include "common/env/random.h"

namespace weir::jobmanager {

absl::StatusOr<RestartSettings> RestartSettings::Make(const Settings& settings,
                                                      bool takes_checkpoints) {
  RestartSettings result;
  std::string type = settings.Get(options::kRestartStrategy);
  if (type == "default") type = takes_checkpoints ? "exponential-delay" : "none";
  if (type == "fixed-delay") {
    result.type = Type::kFixedDelay;
    result.attempts = static_cast<uint32_t>(settings.Get(options::kFixedDelayAttempts));
    result.delay = settings.Get(options::kFixedDelay);
  } else if (type == "failure-rate") {
    result.type = Type::kFailureRate;
    result.max_failures = static_cast<uint32_t>(settings.Get(options::kFailureRateMax));
    result.interval = settings.Get(options::kFailureRateInterval);
    result.delay = settings.Get(options::kFailureRateDelay);
  } else if (type == "exponential-delay") {
    result.type = Type::kExponentialDelay;
    result.initial_backoff = settings.Get(options::kInitialBackoff);
    result.max_backoff = settings.Get(options::kMaxBackoff);
    result.multiplier = settings.Get(options::kBackoffMultiplier);
    result.reset_after = settings.Get(options::kResetBackoff);
    result.jitter = settings.Get(options::kBackoffJitter);
    result.attempts = static_cast<uint32_t>(settings.Get(options::kBackoffAttempts));
    if (result.max_backoff < result.initial_backoff) {
      return absl::InvalidArgumentError(
          StrCat(options::kMaxBackoff.key, " (", FormatSettingDuration(result.max_backoff),
                 ") must not be below ", options::kInitialBackoff.key, " (",
                 FormatSettingDuration(result.initial_backoff), ")"));
    }
  }
  return result;
}

std::optional<absl::Duration> RestartStrategy::OnFailure(int64_t now_nanos) {
  const auto exhausted = [this] {
    return settings_.attempts > 0 && failures_ > settings_.attempts;
  };
  switch (settings_.type) {
    case RestartSettings::Type::kNone:
      return std::nullopt;
    case RestartSettings::Type::kFixedDelay:
      ++failures_;
      if (failures_ > settings_.attempts) return std::nullopt;
      return settings_.delay;
    case RestartSettings::Type::kFailureRate:
      while (!recent_.empty() &&
             absl::Nanoseconds(now_nanos - recent_.front()) >= settings_.interval) {
        recent_.pop_front();
      }
      recent_.push_back(now_nanos);
      if (recent_.size() > settings_.max_failures) return std::nullopt;
      return settings_.delay;
    case RestartSettings::Type::kExponentialDelay: {
      const absl::Duration backoff = NextBackoff(now_nanos);
      if (exhausted()) return std::nullopt;
      return backoff;
    }
  }
  return std::nullopt;
}

absl::Duration RestartStrategy::NextBackoff(int64_t now_nanos) {
  // The time that the last restart waited does not count as time without a failure.
  const absl::Duration quiet = absl::Nanoseconds(now_nanos - last_failure_nanos_) - backoff_;
  if (failures_ == 0 || quiet >= settings_.reset_after) {
    failures_ = 0;
    backoff_ = settings_.initial_backoff;
  } else {
    backoff_ = std::min(backoff_ * settings_.multiplier, settings_.max_backoff);
  }
  ++failures_;
  last_failure_nanos_ = now_nanos;
  const double vary = 2 * static_cast<double>(random_.Below(1'000'001)) / 1e6 - 1;
  return std::min(backoff_ * (1 + settings_.jitter * vary), settings_.max_backoff);
}

std::string RestartStrategy::Describe() const {
  switch (settings_.type) {
    case RestartSettings::Type::kNone:
      return "no restart strategy is set (restart-strategy.type)";
    case RestartSettings::Type::kFixedDelay:
    case RestartSettings::Type::kExponentialDelay:
      return StrCat("the restart strategy allows ", settings_.attempts, " restarts");
    case RestartSettings::Type::kFailureRate:
      return StrCat("the restart strategy allows ", settings_.max_failures, " failures within ",
                    FormatSettingDuration(settings_.interval));
  }
  return {};
}

}  // namespace weir::jobmanager
