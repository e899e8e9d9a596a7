#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "jobmanager/checkpoint/checkpoint_settings.h"
#include "jobmanager/schedule/restart_strategy.h"

namespace weir {
class Settings;
namespace proto {
class JobGraph;
}
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

  // kFailedPrecondition, naming the sink: the graph has one whose results a checkpoint or savepoint
  // would lose.
  static absl::Status CheckSinks(const proto::JobGraph& graph);

  // Those of the job over those of the cluster. kInvalidArgument: a bad value, values that do
  // not go together, or a graph that cannot do what they ask for.
  static absl::StatusOr<JobPolicies> Make(const Settings& cluster,
                                          const std::map<std::string, std::string>& job,
                                          const proto::JobGraph& graph);
};

}  // namespace weir::jobmanager
