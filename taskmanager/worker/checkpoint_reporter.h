#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/lifetime.h"
#include "common/env/env.h"
#include "runtime/task_state.h"
#include "taskmanager/checkpoint/local_copies.h"
#include "taskmanager/checkpoint/task_snapshots.h"
#include "taskmanager/worker/worker_spec.h"

namespace weir {

namespace proto {
class AcknowledgeCheckpointRequest;
class JobGraph;
}  // namespace proto

// Has what tasks hold at a barrier written and made durable on IO threads, and tells the job
// manager of each task, until that has answered or nobody waits for it any more. Owned by the
// worker's control executor.
//
// What cannot be written is declined, except a final state, which is tried again: every later
// checkpoint needs it. A job without a directory for checkpoints keeps no final states: it can have
// savepoints as long as no task has ended.
class CheckpointReporter {
 public:
  // Sends it to the job manager and calls back, on the control executor, with what came of it.
  using Acknowledge = std::function<void(const proto::AcknowledgeCheckpointRequest&,
                                         std::function<void(absl::Status)>)>;

  // All references outlive it; `graph` those that write, too. `copies`: of what is written; null:
  // there are none.
  CheckpointReporter(Env& env, Executor& control, WorkerKey worker, SnapshotPlace place,
                     std::shared_ptr<const proto::JobGraph> graph,
                     std::shared_ptr<LocalCopies> copies, Acknowledge acknowledge,
                     std::function<void(std::string_view)> warn);

  // For RuntimeOptions::on_checkpoint: any thread may call it, and it never blocks.
  std::function<void(TaskCheckpoint)> OnCheckpoint();

  // Where the state of a savepoint goes. What tasks have of it before that is known waits for it.
  void SetDirectory(uint64_t checkpoint_id, std::string directory);

  // Checkpoints up to this are not waited for any more: it is complete.
  void OnCompleted(uint64_t checkpoint_id);
  // This one is not waited for any more.
  void OnAborted(uint64_t checkpoint_id);
  // Another job manager leads: it is told the final states that the one before knew.
  void TellAgain();

 private:
  bool IsForgotten(uint64_t checkpoint_id) const;
  void Write(std::shared_ptr<TaskCheckpoint> checkpoint);
  void OnWritten(std::shared_ptr<TaskCheckpoint> checkpoint, uint64_t checkpoint_id,
                 absl::StatusOr<proto::TaskSnapshot> snapshot, int64_t async_nanos);
  void Send(std::shared_ptr<const proto::AcknowledgeCheckpointRequest> request,
            absl::Duration retry);

  Env& env_;
  Executor& control_;
  const WorkerKey worker_;
  const SnapshotPlace place_;
  const std::shared_ptr<const proto::JobGraph> graph_;
  const std::shared_ptr<LocalCopies> copies_;
  const Acknowledge acknowledge_;
  const std::function<void(std::string_view)> warn_;
  uint64_t completed_ = 0;
  // Later than the completed one.
  std::set<uint64_t> aborted_;
  // Of savepoints that are under way.
  struct Savepoint {
    std::string directory;
    std::vector<std::shared_ptr<TaskCheckpoint>> waiting;
  };
  std::map<uint64_t, Savepoint> savepoints_;
  // One a task that has ended.
  std::vector<std::shared_ptr<const proto::AcknowledgeCheckpointRequest>> finals_;
  Lifetime lifetime_;
};

}  // namespace weir
