#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "jobmanager/checkpoint/checkpoint_settings.h"
#include "jobmanager/schedule/restart_strategy.h"

namespace weir {
class Settings;
}  // namespace weir

namespace weir::jobmanager {

// What a job's settings say about how it survives.
struct JobPolicies {
  CheckpointSettings checkpoints;
  // Empty: the job takes no checkpoints.
  std::string checkpoint_directory;
  // Below which savepoints are made that name no other folder; may be empty.
  std::string savepoint_directory;
  RestartSettings restart;
  // Task managers have copies of the state that was written there: restarts prefer them.
  bool local_recovery = false;

  // Those of the job over those of the cluster. kInvalidArgument: a bad value, or values that
  // do not go together.
  static absl::StatusOr<JobPolicies> Make(const Settings& cluster,
                                          const std::map<std::string, std::string>& job);
};

}  // namespace weir::jobmanager
