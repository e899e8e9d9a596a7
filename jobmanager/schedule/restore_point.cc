#include "jobmanager/schedule/restore_point.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "jobmanager/checkpoint/checkpoint_restore.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_graph.pb.h"
#include "state/store/checkpoint_folder.h"

namespace weir::jobmanager {

absl::StatusOr<RestorePoint> ReadRestorePoint(FileSystem& files, const std::string& path,
                                              bool allow_dropped_state,
                                              const proto::JobGraph& graph) {
  if (path.empty() || path.front() != '/') {
    return absl::InvalidArgumentError(StrCat(
        "'", path, "' is no absolute path: job manager and task managers read the savepoint, ",
        "so give the whole path, which all hosts see"));
  }
  CheckpointFolder folder(files, path);
  auto metadata = std::make_shared<proto::CheckpointMetadata>();
  WEIR_RETURN_IF_ERROR(folder.ReadMetadata(metadata.get()));
  WEIR_RETURN_IF_ERROR(folder.CheckFiles(*metadata, CheckpointFolder::FileCheck::kSize));
  WEIR_RETURN_IF_ERROR(
      MakeRestore(*metadata, folder.path(), graph, {.allow_dropped_state = allow_dropped_state})
          .status());
  return RestorePoint{folder.path(), std::move(metadata)};
}

}  // namespace weir::jobmanager
