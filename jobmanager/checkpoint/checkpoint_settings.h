#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace weir {
class Settings;
}

namespace weir::jobmanager {

// What becomes of a job's checkpoints when it is cancelled. When it fails they stay, when it
// finishes they go.
enum class CheckpointRetention { kDeleteOnCancellation, kRetainOnCancellation };

// What a task does between the first barrier of a checkpoint and the last.
enum class CheckpointMode { kExactlyOnce, kAtLeastOnce };

// How a job takes checkpoints; `execution.checkpointing.*`.
struct CheckpointSettings {
  // Zero: none but savepoints.
  absl::Duration interval;
  // From the end of a checkpoint to the next one.
  absl::Duration min_pause;
  // From the trigger until every task has acknowledged.
  absl::Duration timeout = absl::Minutes(10);
  // One more in a row fails the job.
  uint32_t tolerable_failed = 0;
  uint32_t max_concurrent = 1;
  uint32_t num_retained = 1;
  CheckpointRetention retention = CheckpointRetention::kDeleteOnCancellation;
  CheckpointMode mode = CheckpointMode::kExactlyOnce;
  // Barriers overtake records once more than `aligned_timeout` has passed since the trigger.
  bool unaligned = false;
  absl::Duration aligned_timeout;

  bool periodic() const { return interval > absl::ZeroDuration(); }

  // kInvalidArgument, naming the settings: values that do not go together.
  static absl::StatusOr<CheckpointSettings> Make(const Settings& settings);
};

}  // namespace weir::jobmanager
