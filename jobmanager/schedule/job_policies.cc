#include "jobmanager/schedule/job_policies.h"

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/settings.h"

namespace weir::jobmanager {

absl::StatusOr<JobPolicies> JobPolicies::Make(const Settings& cluster,
                                              const std::map<std::string, std::string>& job) {
  Settings settings = cluster;
  for (const auto& [key, value] : job) WEIR_RETURN_IF_ERROR(settings.Set(key, value));
  JobPolicies policies;
  WEIR_ASSIGN_OR_RETURN(policies.checkpoints, CheckpointSettings::Make(settings));
  policies.checkpoint_directory = settings.Get(options::kCheckpointDirectory);
  const bool periodic = policies.checkpoints.periodic();
  if (periodic && policies.checkpoint_directory.empty()) {
    return absl::InvalidArgumentError(
        StrCat(options::kCheckpointInterval.key, " is set, but ", options::kCheckpointDirectory.key,
               " is not: say where checkpoints are kept, a folder that all hosts see by one path"));
  }
  if (!policies.checkpoint_directory.empty() && policies.checkpoint_directory.front() != '/') {
    return absl::InvalidArgumentError(StrCat(options::kCheckpointDirectory.key, " is '",
                                             policies.checkpoint_directory,
                                             "'; it must be an absolute path"));
  }
  policies.savepoint_directory = settings.Get(options::kSavepointDirectory);
  if (!policies.savepoint_directory.empty() && policies.savepoint_directory.front() != '/') {
    return absl::InvalidArgumentError(StrCat(options::kSavepointDirectory.key, " is '",
                                             policies.savepoint_directory,
                                             "'; it must be an absolute path"));
  }
  if (policies.savepoint_directory.empty() && !policies.checkpoint_directory.empty()) {
    policies.savepoint_directory = StrCat(policies.checkpoint_directory, "/savepoints");
  }
  policies.local_recovery = settings.Get(options::kLocalRecovery);
  WEIR_ASSIGN_OR_RETURN(policies.restart, RestartSettings::Make(settings, periodic));
  return policies;
}

}  // namespace weir::jobmanager
