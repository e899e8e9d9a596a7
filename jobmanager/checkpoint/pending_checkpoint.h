#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/env/executor.h"
#include "jobmanager/checkpoint/checkpoint_states.h"
#include "jobmanager/checkpoint/checkpoint_statistics.h"

namespace weir::proto {
class CheckpointMetadata;
class JobGraph;
class TaskSnapshot;
}  // namespace weir::proto

namespace weir::jobmanager {

// What the metadata of a checkpoint says besides its state.
struct CheckpointHeader {
  // 16 bytes.
  std::string job_id;
  std::string job_name;
  uint64_t checkpoint_id = 0;
  CheckpointKind kind = CheckpointKind::kCheckpoint;
  int64_t triggered_unix_micros = 0;
  int64_t completed_unix_micros = 0;
};

// The metadata of a checkpoint: operators of all nodes by uid, one table of the files that they
// refer to by name (shared ones in a savepoint by SavepointFileName), and their descriptors of
// state by name. `snapshots`: one a task, by vertex and
// subtask, each checked by AttemptTasks::CheckSnapshot. kDataLoss: two tasks tell of the same file
// with another size or digest, or give a state of one operator another type.
absl::StatusOr<std::shared_ptr<const proto::CheckpointMetadata>> BuildMetadata(
    const proto::JobGraph& graph, const CheckpointHeader& header,
    const std::vector<std::shared_ptr<const proto::TaskSnapshot>>& snapshots);

// A checkpoint from its trigger to its end: what its tasks have told. Pure; owned by one executor.
class PendingCheckpoint {
 public:
  struct Start {
    uint64_t id = 0;
    CheckpointKind kind = CheckpointKind::kCheckpoint;
    uint32_t attempt = 0;
    size_t tasks = 0;
    int64_t now_nanos = 0;
    int64_t now_unix_micros = 0;
  };
  explicit PendingCheckpoint(const Start& start);

  uint64_t id() const { return statistics_.id; }
  CheckpointKind kind() const { return statistics_.kind; }
  CheckpointState state() const { return statistics_.state; }
  bool pending() const { return state() == CheckpointState::kPending; }
  const std::string& directory() const { return statistics_.directory; }
  int64_t triggered_unix_micros() const { return statistics_.triggered_unix_micros; }
  // "checkpoint 7"
  std::string Describe() const;

  // Its folder is there and its tasks are triggered.
  void SetPrepared(std::string directory);
  bool prepared() const { return !directory().empty(); }

  // What `task` held. While pending. A task's own acknowledgement takes the place of its final
  // snapshot; returns what it replaced, or what was not taken as the task had acknowledged already:
  // `snapshot` itself. Null otherwise.
  std::shared_ptr<const proto::TaskSnapshot> Acknowledge(
      size_t task, std::shared_ptr<const proto::TaskSnapshot> snapshot, bool own,
      int64_t now_nanos);
  bool AllAcknowledged() const { return statistics_.acknowledged == snapshots_.size(); }
  // Every task had ended: there is nothing after it.
  bool AllFinal() const;
  // The shared files that the operators of all tasks refer to, by name.
  std::vector<std::string> SharedFiles() const;
  // By task; null where none is known.
  const std::vector<std::shared_ptr<const proto::TaskSnapshot>>& snapshots() const {
    return snapshots_;
  }

  // A move that is not in the table is a broken invariant.
  void MoveTo(CheckpointState next, int64_t now_nanos);
  void SetAborted(AbortReason reason, std::string failure, int64_t now_nanos);
  const CheckpointStatistics& statistics() const { return statistics_; }

  // While COMPLETING.
  std::shared_ptr<const proto::CheckpointMetadata> metadata;
  uint32_t unknown_writes = 0;
  Executor::TimerId timeout_timer = 0;

 private:
  void CountTask(const proto::TaskSnapshot& snapshot, bool own, int64_t now_nanos);

  const int64_t started_nanos_;
  CheckpointStatistics statistics_;
  std::vector<std::shared_ptr<const proto::TaskSnapshot>> snapshots_;
  // Whether the snapshot is the task's own acknowledgement.
  std::vector<bool> own_;
};

}  // namespace weir::jobmanager
