#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace weir {
class FileSystem;
namespace proto {
class CheckpointMetadata;
class JobGraph;
}  // namespace proto
}  // namespace weir

namespace weir::jobmanager {

// A savepoint, or a checkpoint that was kept, from which a new job starts. The job only reads it
// and never deletes it, so any number of jobs may start from one. Immutable.
struct RestorePoint {
  // Of the metadata, absolute.
  std::string directory;
  std::shared_ptr<const proto::CheckpointMetadata> metadata;
};

// Reads what a job of `graph` is to start from, and sees whether it fits and all its files are
// there; their content is checked by the tasks that read it. `path`: its folder or the metadata in
// it. Blocks. kInvalidArgument: a relative path. kNotFound: no savepoint. kDataLoss: damaged.
// kFailedPrecondition: of a newer version, or it does not fit: state by state.
absl::StatusOr<RestorePoint> ReadRestorePoint(FileSystem& files, const std::string& path,
                                              bool allow_dropped_state,
                                              const proto::JobGraph& graph);

}  // namespace weir::jobmanager
