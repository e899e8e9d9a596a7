#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/id.h"
#include "common/env/file_system.h"
#include "state/store/checkpoint_folder.h"

namespace weir {

// The checkpoints of a cluster in one directory (execution.checkpointing.dir), which all its hosts
// see by one path:
//   <directory>/_cluster-<cluster id>        whose directory it is
//   <directory>/<job id>/chk-<id>/           a CheckpointFolder
//
// Every call but the first three blocks, so it is made on an IO thread. Errors are like
// CheckpointFolder's. After ClaimDirectory any thread may call; what is done to one checkpoint at
// once is the caller's to order.
class CheckpointStore {
 public:
  // `files` outlives this.
  CheckpointStore(FileSystem& files, std::string directory);

  // Where a checkpoint lies, whether or not it is there.
  CheckpointFolder Folder(const JobId& job, uint64_t checkpoint_id) const;
  // Of all that belongs to a job.
  std::string JobFolder(const JobId& job) const;

  // Makes the directory and marks it as that of this cluster; once, before anything is written to
  // it. An id has 1 to 100 letters, digits, "-", "_" or "." (else kInvalidArgument), and stays the
  // same when the cluster starts again. kFailedPrecondition: the directory is another cluster's,
  // which is named. Of two clusters that claim a directory at the same time at most one gets it,
  // perhaps none.
  absl::Status ClaimDirectory(std::string_view cluster_id);

  // Makes the folder of a checkpoint durably. kAlreadyExists if this checkpoint is complete.
  // kFailedPrecondition: the directory is no longer the one that was claimed.
  absl::Status PrepareCheckpoint(const JobId& job, uint64_t checkpoint_id);

  struct Checkpoints {
    // With metadata, which may yet be damaged; ascending.
    std::vector<uint64_t> complete;
    // Without: under way, given up, or partly deleted; ascending.
    std::vector<uint64_t> leftovers;
  };
  // None if the job has no folder. kNotFound or kFailedPrecondition if the directory itself is
  // gone.
  absl::StatusOr<Checkpoints> ListCheckpoints(const JobId& job);

  // See CheckpointFolder::Delete. A directory that is gone is an error, not a success.
  absl::Status DeleteCheckpoint(const JobId& job, uint64_t checkpoint_id);
  // Removes the job's folder if it is empty; succeeds if it is not there. kFailedPrecondition if it
  // is not empty.
  absl::Status DeleteJobFolder(const JobId& job);

 private:
  // Whether the directory is there and, if it was claimed, is still the same.
  absl::Status CheckDirectory();
  // Of clusters, from the names of the markers.
  absl::StatusOr<std::vector<std::string>> Claims();
  absl::Status Taken(std::string_view by, std::string_view cluster_id) const;

  FileSystem& files_;
  const std::string directory_;
  // The path of the marker; empty before ClaimDirectory.
  std::string marker_;
};

}  // namespace weir
