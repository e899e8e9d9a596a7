#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/env/file_system.h"
#include "runtime/task_state.h"
#include "state/backend/state_backend.h"

namespace weir {

namespace proto {
class JobGraph;
class JobRestore;
class TaskSnapshot;
}  // namespace proto

// What tasks have at a barrier, to files and back.

// Where a job's checkpoints lie: <directory>/chk-<id>/ and, for what several of them share,
// <directory>/shared/.
struct SnapshotPlace {
  // Of the job.
  std::string directory;
  uint32_t attempt = 0;
  // Of a savepoint: its own folder, which takes the place of chk-<id>. Empty: it is none.
  std::string savepoint = {};
  // The newest checkpoint that is known to be complete; 0: none.
  uint64_t complete = 0;
};

// Writes the state of a task to a file of the checkpoint's folder, which must be there (a final one
// to the shared folder, which is made), and makes it durable. A task without state writes none.
// Returns what the job manager is told. Blocks. Snapshots of keyed state are used up, but those of
// a final state, which may be written again. Errors are the file system's, or kInternal if the
// job's code threw; then the file is deleted if that can be done.
absl::StatusOr<proto::TaskSnapshot> WriteTaskSnapshot(FileSystem& files, const SnapshotPlace& place,
                                                      const proto::JobGraph& graph,
                                                      TaskCheckpoint& checkpoint);

// By vertex and subtask.
using RestoredTasks = std::map<std::pair<uint32_t, uint32_t>, std::shared_ptr<const TaskState>>;

// Reads what the tasks of `worker` start from, or, of keyed state, says where it is: of that the
// key groups that are theirs, of lists what the rule of each gives them (semantics rule 49). State
// that a checkpoint has in files of stores is left in them where `backend` can take it up as it is,
// if `in_store` says that keyed state goes to stores, and else is read by it. `backend` may be
// null: then such checkpoints are refused. `workers` says for each vertex which worker runs which
// subtask. Blocks. kDataLoss: a file is damaged or is not what the checkpoint says;
// kFailedPrecondition: it does not fit the graph; others are the file system's.
absl::StatusOr<RestoredTasks> ReadTaskStates(
    FileSystem& files, const proto::JobRestore& restore, const proto::JobGraph& graph,
    const std::map<uint32_t, std::vector<uint32_t>>& workers, uint32_t worker,
    StateBackend* backend = nullptr, bool in_store = false);

}  // namespace weir
