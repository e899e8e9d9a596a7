#include "jobmanager/checkpoint/checkpoint_settings.h"

#include "common/base/strings.h"
#include "common/config/settings.h"
#include "common/config/values.h"

namespace weir::jobmanager {

absl::StatusOr<CheckpointSettings> CheckpointSettings::Make(const Settings& settings) {
  CheckpointSettings result;
  result.interval = settings.Get(options::kCheckpointInterval);
  result.min_pause = settings.Get(options::kCheckpointMinPause);
  result.timeout = settings.Get(options::kCheckpointTimeout);
  result.tolerable_failed =
      static_cast<uint32_t>(settings.Get(options::kTolerableFailedCheckpoints));
  result.max_concurrent = static_cast<uint32_t>(settings.Get(options::kMaxConcurrentCheckpoints));
  result.num_retained = static_cast<uint32_t>(settings.Get(options::kRetainedCheckpoints));
  result.retention = settings.Get(options::kCheckpointRetention) == "RETAIN_ON_CANCELLATION"
                         ? CheckpointRetention::kRetainOnCancellation
                         : CheckpointRetention::kDeleteOnCancellation;
  const std::string mode = settings.Get(options::kCheckpointMode);
  result.mode = mode == "at-least-once" || mode == "AT_LEAST_ONCE" ? CheckpointMode::kAtLeastOnce
                                                                   : CheckpointMode::kExactlyOnce;
  result.unaligned = settings.Get(options::kUnalignedCheckpoints);
  result.aligned_timeout = settings.Get(options::kAlignedTimeout);
  if (result.unaligned && result.mode != CheckpointMode::kExactlyOnce) {
    return absl::InvalidArgumentError(StrCat(
        options::kUnalignedCheckpoints.key, " needs ", options::kCheckpointMode.key,
        "=exactly-once: at least once no barrier waits, so that none has anything to overtake"));
  }
  if (result.unaligned && result.max_concurrent > 1) {
    return absl::InvalidArgumentError(StrCat(
        options::kUnalignedCheckpoints.key, " needs ", options::kMaxConcurrentCheckpoints.key,
        "=1, not ", result.max_concurrent, ": what one overtakes would be written again by each"));
  }

  if (result.periodic() && result.interval < absl::Milliseconds(1)) {
    return absl::InvalidArgumentError(StrCat(options::kCheckpointInterval.key, " is ",
                                             FormatSettingDuration(result.interval),
                                             "; it must be 0 (no checkpoints) or at least 1 ms"));
  }
  if (result.min_pause > absl::ZeroDuration() && result.max_concurrent > 1) {
    return absl::InvalidArgumentError(StrCat(
        "with ", options::kCheckpointMinPause.key, " (", FormatSettingDuration(result.min_pause),
        ") checkpoints do not overlap: ", options::kMaxConcurrentCheckpoints.key,
        " must be 1, not ", result.max_concurrent));
  }
  return result;
}

}  // namespace weir::jobmanager
