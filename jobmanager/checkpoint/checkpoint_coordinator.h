#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/id.h"
#include "common/base/lifetime.h"
#include "common/env/executor.h"
#include "jobmanager/checkpoint/attempt_tasks.h"
#include "jobmanager/checkpoint/checkpoint_cleaner.h"
#include "jobmanager/checkpoint/checkpoint_settings.h"
#include "jobmanager/checkpoint/checkpoint_statistics.h"
#include "jobmanager/checkpoint/checkpoint_surroundings.h"
#include "jobmanager/checkpoint/completed_checkpoints.h"
#include "jobmanager/checkpoint/pending_checkpoint.h"
#include "jobmanager/checkpoint/state_files.h"
#include "jobmanager/checkpoint/trigger_policy.h"

namespace weir::proto {
class AcknowledgeCheckpointRequest;
class JobGraph;
}  // namespace weir::proto

namespace weir::jobmanager {

struct CheckpointedJob {
  JobId id;
  std::string name;
  // Has passed ValidateJobGraph.
  std::shared_ptr<const proto::JobGraph> graph;
  // False: it has no directory for checkpoints, so that nothing is kept of tasks that have ended,
  // and there are savepoints only while none has.
  bool keeps_final_states = true;
};

// What came of a savepoint, or of a checkpoint that was asked for.
struct SavepointResult {
  uint64_t id = 0;
  std::string directory;
};

enum class JobEnd { kFinished, kCanceled, kFailed };

// Takes the checkpoints of one job, over all its attempts: triggers, collects, makes complete,
// tells, deletes. Deterministic; what it needs of the outside is CheckpointSurroundings.
//
// Lifecycle: Resume if the job ran before; then for each attempt BeginAttempt, OnRunning,
// EndAttempt; at last EndJob. A restart waits for WhenSettled and restores latest().
//
// Guarantees:
//  - Ids only grow, those of complete ones too; no id is used twice (failures I5).
//  - Complete is told only when the metadata is durable (I8). Once it is being written, the write's
//    outcome alone decides, whatever happens meanwhile; while that is unknown it is asked again and
//    nothing is deleted.
//  - No file is deleted that a complete checkpoint which is kept, a savepoint or one under way
//    refers to; what nothing refers to goes (I12).
//
// What tasks must keep to:
//  - A task refers to a shared file of an earlier snapshot only if its last one had it too.
//  - A final snapshot says which barrier the task passed on last (TaskSnapshot.last_barrier).
//  - A new job manager that takes running tasks over must be told their final snapshots again.
//
// Owned by one executor; all calls come on it. May be destroyed at any time between calls: then it
// deletes nothing more and calls nobody back.
class CheckpointCoordinator {
 public:
  using SavepointDone = absl::AnyInvocable<void(absl::StatusOr<SavepointResult> result)>;

  static constexpr size_t kMaxWaitingSavepoints = 16;
  static constexpr char kFinalStateNotKept[] =
      "a part of the job has ended, and what it held is not kept as the job has no directory for "
      "checkpoints: submit it with execution.checkpointing.dir";
  // How long until an unknown write is asked again: doubled up to the second.
  static constexpr absl::Duration kFirstWriteRetry = absl::Seconds(1);
  static constexpr absl::Duration kLastWriteRetry = absl::Seconds(30);

  // `next_id` is higher than every id ever given, and at least 1.
  CheckpointCoordinator(CheckpointSurroundings& surroundings, const CheckpointSettings& settings,
                        CheckpointedJob job, uint64_t next_id);
  ~CheckpointCoordinator();

  // Before the first attempt: takes over what the store has, which must be everything. Retains the
  // newest, deletes older ones; what else lies about goes when an attempt begins. On an error
  // nothing is taken over and nothing deleted: an unreadable checkpoint is not skipped.
  absl::Status Resume(std::vector<FoundCheckpoint> found);

  // The tasks are about to be deployed. `attempt` is higher than all before, `restored` the
  // checkpoint that it starts from or 0. Only when settled. Nothing of earlier attempts counts any
  // more, and what they left in the store goes.
  void BeginAttempt(uint32_t attempt, TaskPlacement placement, uint64_t restored);
  // After BeginAttempt: a job manager before this one completed the newest of the checkpoints, a
  // savepoint that stops the job, in this attempt.
  void SetStopped();
  // The job is RUNNING: checkpoints are taken from now on.
  void OnRunning();
  // The job is not RUNNING any more, and its tasks end. What is not being written is aborted.
  void EndAttempt(std::string_view why);
  // The job is terminal, and nothing of it runs any more. Keeps or deletes its checkpoints;
  // savepoints stay. Looks for leftovers again for an hour, but may be destroyed when idle().
  void EndJob(JobEnd end);

  // Some tasks have failed and are to be started again while the others go on: what they say does
  // not count any more, pending checkpoints are aborted, and none is triggered until ResumeTasks;
  // what is asked for waits until then. May be repeated with others.
  void SuspendTasks(const std::vector<std::pair<uint32_t, uint32_t>>& vertex_and_subtask,
                    std::string_view why);
  struct ReplacedTask {
    uint32_t vertex = 0;
    uint32_t subtask = 0;
    uint32_t worker = 0;
  };
  // They run, or will, as attempt `region_attempt`, and begin with checkpoint `restored`; 0: that
  // is not known, or they begin with nothing.
  void ReplaceTasks(const std::vector<ReplacedTask>& tasks, uint32_t region_attempt,
                    uint64_t restored);
  // All of them run.
  void ResumeTasks();
  // All that these tasks held when they ended is known, or nothing is kept of it.
  bool HoldsEndOf(const std::vector<std::pair<uint32_t, uint32_t>>& vertex_and_subtask) const;

  // The task reported FINISHED. Tasks that failed or were cancelled have not ended in this sense.
  void OnTaskEnded(uint32_t vertex, uint32_t subtask);
  // Declined with kAborted or kCancelled: the task went on with a newer one, which is no failure. A
  // final snapshot that is declined (id 0) fails the job: no later checkpoint could be complete.
  // OK also for what changes nothing. kFailedPrecondition: another attempt's. kInvalidArgument: no
  // correct task says this.
  absl::Status OnAcknowledge(const proto::AcknowledgeCheckpointRequest& request);

  // Takes a savepoint below `directory` (empty: the default one) when no other checkpoint is
  // pending; none is triggered meanwhile. After one that stops the job none is triggered either,
  // unless it fails. If one that drains fails once the tasks were told of it, the job fails, as
  // they have done what cannot be undone. `done` comes later, once. kFailedPrecondition: the job
  // does not run, is being stopped, or has parts that have ended and does not keep their state.
  // kResourceExhausted: too many wait. Else why it was aborted.
  void TriggerSavepoint(const std::string& directory, CheckpointKind kind, SavepointDone done);
  // The same for a checkpoint that is due now.
  void TriggerCheckpoint(SavepointDone done);
  // The same for one at which the tasks stop. When it is complete nothing else is triggered in this
  // attempt; if it fails the tasks go on.
  void TriggerRescale(SavepointDone done);
  // Between two attempts, when settled: the next one has another graph of the same job.
  void SetGraph(std::shared_ptr<const proto::JobGraph> graph);

  // No write of metadata is open, so that latest() is known.
  bool settled() const;
  // Calls `f` once, from the executor, when that is so.
  void WhenSettled(Closure f);
  // Settled, and nothing waits to be deleted.
  bool idle() const { return settled() && cleaner_.idle(); }
  // The job has been stopped: the savepoint for it is complete. The job is FINISHED once its tasks
  // have heard of it and committed; attempts that begin later do nothing but commit, and no
  // checkpoint is triggered in them.
  bool stop_completed() const { return stopped_; }
  // Whether the last attempt has been stopped is not known yet, but will be when settled.
  bool stop_undecided() const;
  // A savepoint that stops the job, or a checkpoint at which it is rescaled, is wanted, under way
  // or complete.
  bool stopping() const { return Stopping(); }
  // What a restart restores: the newest complete one, savepoint or not.
  const std::optional<CompletedCheckpoint>& latest() const { return completed_.latest(); }
  // latest() is a savepoint of this job with which nothing was committed outside, as no attempt has
  // started from it: one that is older restores a state that is as good.
  bool latest_may_be_forgotten() const {
    return latest().has_value() && latest()->owned && IsSavepoint(latest()->kind) &&
           latest()->id > told_;
  }
  // It is known to be gone.
  void ForgetLatestSavepoint() { completed_.ForgetLatestSavepoint(); }
  const std::vector<CompletedCheckpoint>& retained() const { return completed_.retained(); }
  // For the answers to heartbeats: the highest whose completion tasks may act on.
  uint64_t completed_for_tasks() const { return told_; }
  uint64_t next_id() const { return next_id_; }

  const CheckpointSettings& settings() const { return settings_; }
  const CheckpointCounters& counters() const { return counters_; }
  // Those that are over, oldest first.
  const CheckpointHistory& history() const { return history_; }
  // Those that are not, oldest first.
  std::vector<CheckpointStatistics> InProgress() const;
  // All that is shown of them.
  std::shared_ptr<const CheckpointsView> View() const;
  int64_t NowUnixMicros() { return NowMicros(); }

 private:
  struct Request {
    CheckpointKind kind = CheckpointKind::kCheckpoint;
    std::string target;
    SavepointDone done;
  };
  // Of a checkpoint that is under way.
  struct Entry {
    std::unique_ptr<PendingCheckpoint> checkpoint;
    SavepointDone done;
  };

  // Triggering; checkpoint_trigger.cc.
  void Ask(Request request);
  void Answer(SavepointDone done, absl::StatusOr<SavepointResult> result);
  bool Stopping() const;
  bool AnyPending() const;
  // Triggers what is due and sets the timer for what comes next.
  void Schedule();
  void SetTimer(int64_t at_nanos);
  void Trigger(Request request);
  void OnPrepared(uint64_t id, absl::StatusOr<std::string> directory);
  void OnTimeout(uint64_t id);

  // From the last acknowledgement on; checkpoint_completion.cc.
  void CompleteIfAcknowledged(uint64_t id);
  void Write(uint64_t id);
  void OnWritten(uint64_t id, WriteOutcome outcome, const absl::Status& status);
  void Complete(uint64_t id);
  void Abort(uint64_t id, AbortReason reason, std::string_view why);
  void AbortPending(std::string_view why);
  // Takes an entry that is over out.
  Entry Remove(uint64_t id);
  void CountFailure(const PendingCheckpoint& checkpoint);
  void FailJob(absl::Status why);
  // Deletes checkpoints, then what only they referred to.
  void Drop(const std::vector<CompletedCheckpoint>& dropped);
  void DeleteUnusedFiles();
  void OnSettled();
  void ApplyRetention();
  void Sweep(uint32_t live_attempt);

  PendingCheckpoint* FindPending(uint64_t id);
  void Record(PendingCheckpoint& checkpoint, size_t task,
              const std::shared_ptr<const proto::TaskSnapshot>& snapshot, bool own);
  void NoteRestored(uint64_t restored);
  void OnFinal(size_t task, const std::shared_ptr<const proto::TaskSnapshot>& snapshot,
               uint64_t acknowledged);
  void Decline(const proto::AcknowledgeCheckpointRequest& request);
  void ReferFiles(const proto::TaskSnapshot& snapshot, uint64_t id);
  void ReleaseFiles(const proto::TaskSnapshot& snapshot);
  void ReleaseSnapshots(const std::vector<std::shared_ptr<const proto::TaskSnapshot>>& snapshots);
  int64_t NowNanos() { return surroundings_.clock().MonotonicNanos(); }
  int64_t NowMicros() { return absl::ToUnixMicros(surroundings_.clock().Now()); }

  CheckpointSurroundings& surroundings_;
  const CheckpointSettings settings_;
  CheckpointedJob job_;
  uint64_t next_id_;
  // The highest complete one that was told; see completed_for_tasks.
  uint64_t told_ = 0;

  CheckpointCounters counters_;
  CheckpointHistory history_;
  std::optional<RestoredCheckpoint> restored_;
  SharedFiles files_;
  CompletedCheckpoints completed_;
  CheckpointCleaner cleaner_;
  TriggerPolicy policy_;

  // Of the last attempt that began; null before.
  std::unique_ptr<AttemptTasks> tasks_;
  bool attempt_live_ = false;
  bool running_ = false;
  // Some tasks are being started again.
  bool suspended_ = false;
  // That the job fails was posted.
  bool failing_ = false;
  // A savepoint that stops the job is complete.
  bool stopped_ = false;
  // A checkpoint of this attempt at which its tasks stop is complete: the next one goes on.
  bool rescaled_ = false;
  // A checkpoint was triggered, or is complete, since every task told its final snapshot.
  bool last_triggered_ = false;
  bool last_complete_ = false;
  std::optional<JobEnd> end_;
  bool retention_applied_ = false;

  std::map<uint64_t, Entry> entries_;
  std::deque<Request> requests_;
  std::vector<Closure> when_settled_;
  // Deleted once more when a later checkpoint is complete: a task may have been writing still.
  std::deque<std::pair<uint64_t, std::string>> aborted_folders_;
  std::optional<Executor::TimerId> timer_;
  Lifetime lifetime_;
};

}  // namespace weir::jobmanager
