#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/lifetime.h"
#include "common/base/strings.h"
#include "jobmanager/schedule/job.h"
#include "jobmanager/schedule/job_checkpoints.h"
#include "jobmanager/schedule/job_rescale_internal.h"
#include "jobmanager/schedule/job_savepoints.h"
#include "jobmanager/schedule/root_cause.h"
#include "jobmanager/schedule/source_groups.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"
#include "proto/job_record.pb.h"
#include "transport/rpc/typed_call.h"

namespace weir::jobmanager {

// One worker process of a job, as the job manager knows it.
struct WorkerRecord {
  uint32_t index = 0;
  TaskManagerId task_manager;
  std::string task_manager_name;
  // Of its agent.
  std::string agent_address;
  uint32_t slots = 0;
  StateMachine<WorkerState> state{WorkerState::kStarting};
  std::string control_address;
  std::string exchange_address;
  int64_t pid = 0;
  // The worker's own server; set when it registers.
  std::shared_ptr<RemotePeer> peer;
  int64_t last_heard_nanos = 0;
  // Its agent has answered for it, so that its absence from the agent's heartbeats means something.
  bool known_to_agent = false;
  int absences = 0;
  // Nothing was heard of it for too long.
  bool silent = false;
  // It is gone, and nothing that the job still waits for was in it, or that runs elsewhere now.
  bool replaced = false;

  bool gone() const { return state.get() == WorkerState::kGone; }
  bool ending() const { return gone() || state.get() == WorkerState::kStopping; }
  // "worker 1 on task manager 'tm-2'"
  std::string Describe() const {
    return StrCat("worker ", index, " on task manager '", task_manager_name, "'");
  }
};

// What a job does in one state. The core calls it; it acts on the core and may replace itself by
// core.GoTo, after which it gets no more calls and its callbacks and timers do nothing.
class Phase {
 public:
  explicit Phase(JobCore& core) : core_(core) {}
  virtual ~Phase() = default;

  virtual proto::JobState state() const = 0;
  virtual void Enter() = 0;
  virtual void TrySchedule() {}
  virtual void OnWorkerRegistered(WorkerRecord&) {}
  virtual void OnTasksChanged() {}
  // The checkpoint is complete from which the next attempt starts at another parallelism.
  virtual void OnStoppedToRescale() {}
  // A worker is known to be gone.
  virtual void OnWorkerGone() {}
  // By default: the job fails.
  virtual void OnFailure(const proto::Failure& failure, CauseRank rank);
  // By default: the job is cancelled.
  virtual absl::StatusOr<proto::JobState> Cancel();
  virtual std::string waiting_for() const { return {}; }
  // False: they are being read, so that whoever tells of one is asked to wait.
  virtual bool knows_checkpoints() const { return true; }

  // Last call.
  void Leave();

 protected:
  // What of the phase is not bound by Bind is to do nothing any more.
  virtual void OnLeave() {}
  template <class F>
  auto Bind(F f) {
    return lifetime_.Guard(std::move(f));
  }
  // Runs `f` unless the phase is left before.
  void After(absl::Duration delay, std::function<void()> f);

  JobCore& core_;

 private:
  Lifetime lifetime_;
  std::vector<Executor::TimerId> timers_;
};

std::unique_ptr<Phase> MakeCreated(JobCore& core);
std::unique_ptr<Phase> MakeDeploying(JobCore& core);
std::unique_ptr<Phase> MakeRunning(JobCore& core);
// The tasks have stopped for another parallelism, which the record names.
std::unique_ptr<Phase> MakeRescaling(JobCore& core);
std::unique_ptr<Phase> MakeCancelling(JobCore& core);
std::unique_ptr<Phase> MakeFailing(JobCore& core);
// Nothing of the failed attempt runs any more; the next one begins after `delay`.
std::unique_ptr<Phase> MakeRestarting(JobCore& core, absl::Duration delay);
// A terminal state that is about to be reached.
std::unique_ptr<Phase> MakeEnding(JobCore& core, proto::JobState outcome);
std::unique_ptr<Phase> MakeEnded(JobCore& core, proto::JobState state);
// After a restart of the job manager: of any job that had not ended; of one with workers.
std::unique_ptr<Phase> MakeRecovering(JobCore& core);
std::unique_ptr<Phase> MakeReconciling(JobCore& core);

// The data of a job and what several phases do with it.
struct JobCore {
  // `stored`: what a leader before wrote of the job; null: it is new.
  JobCore(JobSurroundings& surroundings_in, JobSpec spec_in, const proto::JobRecord* stored);
  ~JobCore();

  proto::JobState state() const { return state_machine.get(); }
  void GoTo(std::unique_ptr<Phase> next);
  void Fail(const absl::Status& status, CauseRank rank, std::string_view task_manager = {});
  // What the next failure that is told concerns: these regions. If nothing says so, it concerns the
  // whole job.
  void Strike(const std::set<uint32_t>& regions);
  // All that ran in the worker and is not over.
  void StrikeWorker(const WorkerRecord& worker);
  std::optional<std::set<uint32_t>> TakeStruck() { return std::exchange(struck, std::nullopt); }
  // All tasks of the region have finished, and what they held then is known: it need never run
  // again while this job manager lives.
  bool IsOver(uint32_t region) const;
  std::vector<CheckpointCoordinator::ReplacedTask> ReplacedTasks(
      const std::set<uint32_t>& regions) const;
  std::vector<std::pair<uint32_t, uint32_t>> TaskIdsOf(const std::set<uint32_t>& regions) const;
  SlotOwner OwnerOf(uint32_t worker) const { return {spec.id, attempt, worker}; }
  int64_t NowMicros() const;
  int64_t NowNanos() const;
  // A line that names the job.
  void Log(std::string_view level, std::string_view text) const;
  void Changed() { surroundings.OnJobChanged(spec.id); }

  // Makes the record durable as it is now; then calls `durable` (may be null), also when a later
  // one is. Waits for as long as that takes: what depends on it must not happen before.
  void Persist(Closure durable = nullptr);
  // The job is to be cancelled, whatever becomes of this job manager.
  void RequestCancel();
  // Lets the coordinator know the tasks of this attempt, and that they are no more.
  void OpenAttempt(uint64_t restored);
  void CloseAttempt(std::string_view why);
  // What the leader before had not completed never will be: tells the workers.
  void AbandonPendingCheckpoints();
  // Takes workers for lost whose task managers are not back when the takeover timeout is over.
  void WatchForAbsentWorkers();
  void LoseAbsentWorkers();
  void LoseTaskManager(TaskManagerId id, const absl::Status& reason);

  WorkerRecord* FindWorker(uint32_t index);
  bool AllWorkersGone() const;
  // Asks the agent until the worker is gone.
  void StopWorker(WorkerRecord& worker);
  void SendStop(uint32_t index, absl::Duration retry);
  void StopAllWorkers();
  // `exit`: what the agent told, or null.
  void WorkerIsGone(WorkerRecord& worker, const proto::Failure* failure);
  // The savepoint that stops the job is complete: whatever happens now, it reads nothing more.
  bool Stopped() const { return record.stopped() || checkpoints->coordinator().stop_completed(); }
  // Stopped, and the savepoint holds nothing that sinks have still to commit: the job is FINISHED
  // (semantics rule 47). Otherwise it is when its tasks have, in this attempt or another one, which
  // does nothing else.
  bool StoppedForGood() const;
  // kFailedPrecondition for another leader epoch or attempt.
  absl::Status CheckFence(uint64_t epoch, uint32_t its_attempt) const;

  JobSurroundings& surroundings;
  // As it was submitted, but for the parallelism and the graph, which may have been changed since.
  JobSpec spec;
  // Makes records of workers that take these shares, and gives them `slots`: each slot, as far as
  // may be, to the task manager that `preferred` names for it.
  void AddWorkers(const std::vector<SlotShare>& shares, const std::vector<uint32_t>& slots,
                  const std::vector<TaskManagerId>& preferred);
  // Forgets the attempt that is over, of which nothing runs any more. If the job is being given
  // another parallelism it has that from now on; if it was, and failed before it came to run, it
  // has the former one again.
  void BeginNextAttempt();
  proto::JobRecord::Scale CurrentScale() const;

  // How often the job as a whole was started; regions that are started by themselves have higher
  // numbers, up to last_attempt.
  uint32_t attempt = 1;
  uint32_t last_attempt = 1;
  // Of all numbers, those that went to regions.
  uint32_t region_restarts = 0;
  uint32_t full_restarts() const { return last_attempt - 1 - region_restarts; }
  // The worker in which subtasks of this number run.
  std::vector<uint32_t> worker_of_slot;
  // By slot, the task manager that had it last, if restarts prefer that.
  std::vector<TaskManagerId> PreferredFor(const std::vector<uint32_t>& slots) const;
  std::vector<TaskManagerId> last_places;
  // See Strike.
  std::optional<std::set<uint32_t>> struck;
  // What is kept; Persist adds what is known elsewhere.
  proto::JobRecord record;
  ExecutionGraph graph;
  std::vector<WorkerRecord> workers;
  RootCause root_cause;
  // Of the attempt before this one.
  RootCause last_failure;
  RestartStrategy restart;
  // Failures since the job was stopped.
  uint32_t commit_attempts = 0;
  // What the job would start from is damaged: to start it again would fail again.
  bool restorable = true;
  const std::unique_ptr<JobCheckpoints> checkpoints;
  JobSavepoints savepoints;
  JobRescale rescale;
  SourceGroups source_groups;
  // The coordinator has been told of this attempt's tasks, and not yet of their end.
  bool attempt_open = false;
  // What a restart would begin from is damaged: there is none, and nothing is deleted.
  bool checkpoints_unreadable = false;
  // It had ended before this job manager, which has yet to delete what its end left.
  bool cleaning_up = false;
  StateMachine<proto::JobState> state_machine;
  std::map<proto::JobState, int64_t> entered_unix_micros;
  int64_t changed_unix_micros = 0;
  Lifetime lifetime;
  std::unique_ptr<Phase> phase;
  // Left, but perhaps on the call stack: at most one a state of the job.
  std::vector<std::unique_ptr<Phase>> past_phases;

 private:
  void TakeOver();
  void KeepRegions();
  void UseScale(const proto::JobRecord::Scale& scale);
  JobRescale::Owner RescaleOwner();
  // Asks a worker for the graph at another parallelism.
  void BuildGraph(uint32_t parallelism, std::function<void(absl::StatusOr<proto::JobGraph>)> done);
  absl::Status CheckSlots(const proto::JobGraph& wanted) const;
  std::unique_ptr<JobCheckpoints> MakeCheckpoints();
  // Calls `method` of a worker of this attempt and repeats it while nobody answers; what comes of
  // it is of no concern.
  template <class Request, class Response>
  void Tell(uint32_t worker, std::string method, std::shared_ptr<const Request> request,
            absl::Duration retry);
  void TellTrigger(const TriggerOrder& order);
  void TellNotice(const CheckpointNotice& notice);
};

}  // namespace weir::jobmanager
