#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace weir {
class Random;
class Settings;
}  // namespace weir

namespace weir::jobmanager {

// restart-strategy.*: whether and when a job that has failed is started again.
struct RestartSettings {
  enum class Type { kNone, kFixedDelay, kExponentialDelay, kFailureRate };
  Type type = Type::kNone;

  // kFixedDelay: how often, and after how long. kFailureRate: after how long.
  uint32_t attempts = 0;
  absl::Duration delay;

  // kFailureRate: one failure more within the interval is the last.
  uint32_t max_failures = 1;
  absl::Duration interval;

  // kExponentialDelay: the first delay, by what it grows with each failure and up to what; from the
  // first one again after so long without a failure. Each is varied by up to `jitter` of itself.
  // `attempts` 0: for ever.
  absl::Duration initial_backoff;
  absl::Duration max_backoff;
  double multiplier = 1;
  absl::Duration reset_after;
  double jitter = 0;

  // What the settings say; where restart-strategy.type is not set, exponential delay for a job that
  // takes checkpoints, none for one that does not. kInvalidArgument: values that do not go
  // together.
  static absl::StatusOr<RestartSettings> Make(const Settings& settings, bool takes_checkpoints);
};

// Decides for one job, over all its attempts. Owned by one executor.
class RestartStrategy {
 public:
  // `random`, for the jitter, outlives it.
  RestartStrategy(RestartSettings settings, Random& random)
      : settings_(settings), random_(random) {}

  // The job has failed, at this monotonic time in nanoseconds: how long to wait before it is
  // started again, or nothing if it is not.
  std::optional<absl::Duration> OnFailure(int64_t now_nanos);
  // Why not, after OnFailure returned nothing: "the restart strategy allows 3 restarts".
  std::string Describe() const;

 private:
  absl::Duration NextBackoff(int64_t now_nanos);

  const RestartSettings settings_;
  Random& random_;
  uint32_t failures_ = 0;
  std::deque<int64_t> recent_;
  absl::Duration backoff_;
  int64_t last_failure_nanos_ = 0;
};

}  // namespace weir::jobmanager
