#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace weir::proto {
class CheckpointMetadata;
class JobGraph;
class JobRestore;
}  // namespace weir::proto

namespace weir::jobmanager {

struct RestoreOptions {
  // State that the graph does not have is left behind, not an error.
  bool allow_dropped_state = false;
};

// What a deployment of `graph` starts from: for every node that the checkpoint has state of, by its
// operator id. `directory` is the folder of the metadata, absolute. `graph` has passed
// ValidateJobGraph.
//
// kFailedPrecondition names each operator and state that does not fit (FitState). kDataLoss: the
// metadata contradicts itself.
absl::StatusOr<std::unique_ptr<proto::JobRestore>> MakeRestore(
    const proto::CheckpointMetadata& metadata, const std::string& directory,
    const proto::JobGraph& graph, RestoreOptions options = {});

// Whether some sink has prepared output in it that is still to be committed, or was not known to be
// committed (docs/FORMATS.md, "Committables").
bool HoldsCommittables(const proto::CheckpointMetadata& metadata);

}  // namespace weir::jobmanager
