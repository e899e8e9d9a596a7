#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/id.h"
#include "common/env/env.h"
#include "jobmanager/schedule/execution_graph.h"
#include "jobmanager/schedule/job_policies.h"
#include "jobmanager/schedule/restore_point.h"
#include "jobmanager/schedule/slot_pool.h"
#include "jobmanager/schedule/states.h"

namespace weir::proto {
class JobStatusResponse;
class JobSummary;
class RegisterWorkerRequest;
class AcknowledgeCheckpointRequest;
class AlignSourcesRequest;
class AlignSourcesResponse;
class InspectJobRequest;
class InspectJobResponse;
class SavepointProgress;
class TriggerSavepointRequest;
class WorkerExitedRequest;
class JobRecord;
class JobRecord_Scale;
class RescaleJobRequest;
class RescaleProgress;
class SubmittedJob;
class WorkerHeartbeatRequest;
}  // namespace weir::proto

namespace weir::jobmanager {

struct CheckpointsView;

// How long the job manager waits for what.
struct ScheduleOptions {
  absl::Duration heartbeat_interval = absl::Milliseconds(500);
  absl::Duration heartbeat_timeout = absl::Seconds(3);
  absl::Duration slot_request_timeout = absl::Minutes(5);
  // From the order to start a job's workers until all have registered: the plugin is copied and
  // loaded meanwhile.
  absl::Duration worker_start_timeout = absl::Minutes(1);
  // Until all workers have made their tasks and are connected.
  absl::Duration deploy_timeout = absl::Seconds(30);
  absl::Duration start_tasks_timeout = absl::Seconds(15);
  // How long a failure that may be another one's consequence waits for that one.
  absl::Duration cause_grace = absl::Milliseconds(500);
  // How long the tasks of a cancelled job may take to end by themselves.
  absl::Duration cancel_grace = absl::Seconds(2);
  // After it a job counts as ended though a worker is not known to be gone; the worker's slots stay
  // taken.
  absl::Duration stop_timeout = absl::Minutes(1);
  // How long the workers of a job may take to come back to a job manager that was started again.
  absl::Duration takeover_timeout = absl::Seconds(10);
  // Of one call; it is repeated while the times above allow.
  absl::Duration call_timeout = absl::Seconds(5);
};

// What was submitted. Immutable.
struct JobSpec {
  JobId id;
  std::string name;
  std::shared_ptr<const proto::JobGraph> graph;
  std::string graph_hash;
  std::string plugin_sha256;
  uint64_t plugin_bytes = 0;
  std::map<std::string, std::string> arguments;
  std::map<std::string, std::string> settings;
  // Of the cluster, those that held for the job when it was submitted: they go on to.
  std::map<std::string, std::string> cluster_settings;
  uint32_t parallelism = 1;
  int64_t submitted_unix_micros = 0;
  JobPolicies policies;
  // What the job starts from when it is new; nothing: from the beginning. Afterwards its record
  // says it.
  std::optional<RestorePoint> restore;
  // State of another job that this one does not have is left behind.
  bool allow_dropped_state = false;
};

// A spec as it is kept, and back; the policies are made anew from the settings. kInvalidArgument:
// this version does not take such settings.
std::shared_ptr<const proto::SubmittedJob> ToSubmittedJob(const JobSpec& spec);
absl::StatusOr<JobSpec> ToJobSpec(const JobId& id, const proto::SubmittedJob& job);

// The job has another parallelism than it was submitted with. Whether the graph fits was seen when
// it was changed.
void ApplyScale(const proto::JobRecord_Scale& scale, JobSpec& spec);

// What a job needs of the cluster around it; outlives the job. Calls come on the job's executor.
class JobSurroundings {
 public:
  virtual ~JobSurroundings() = default;

  virtual Env& env() = 0;
  virtual Executor& executor() = 0;
  virtual SlotPool& slots() = 0;
  virtual const ScheduleOptions& options() const = 0;
  virtual uint64_t leader_epoch() const = 0;
  // The same for as long as the cluster lives, over all its job managers.
  virtual const std::string& cluster_id() const = 0;
  // Where workers reach this job manager.
  virtual const std::string& address() const = 0;
  // The agent of a registered task manager; null once it is lost.
  virtual std::shared_ptr<RemotePeer> Agent(const TaskManagerId& id) = 0;
  virtual std::string TaskManagerName(const TaskManagerId& id) = 0;
  virtual std::string TaskManagerAddress(const TaskManagerId& id) = 0;
  // Makes the record durable, however long that takes, and calls `durable` (may be null), also once
  // a later record of the same job is. Not at all if another job manager has taken over.
  virtual void WriteRecord(const JobId& id, std::shared_ptr<const proto::JobRecord> record,
                           Closure durable) = 0;
  // Calls `leads` when the store says that this job manager still leads, and not at all otherwise.
  virtual void ConfirmLeadership(Closure leads) = 0;
  // Somebody has told of a leader with a higher epoch: this job manager is over.
  virtual void OnHigherEpoch(uint64_t epoch) = 0;
  // Something that is shown of the job changed. Must not call the job.
  virtual void OnJobChanged(const JobId& id) = 0;
  // Slots were given back. Must not call the job.
  virtual void OnSlotsFreed() = 0;
  virtual void Log(std::string_view level, std::string_view text) = 0;
};

struct JobCore;

// One job from its acceptance to its end: waits for slots, starts workers, deploys, watches, takes
// checkpoints, cancels or fails, stops what it started, and starts again from the newest checkpoint
// if its restart strategy says so. Its state is a phase object (a file each in this
// folder) around the execution graph and the workers.
//
// Guarantees: a terminal state is final; the first cause of a failure is kept; slots are given back
// only when their worker is known to be gone or its task manager is lost; nothing an earlier
// attempt says has an effect.
//
// Owned by one executor; all calls come on it. May be destroyed at any time between calls.
class Job {
 public:
  // A new job, of which a record is durable (InitialRecord).
  Job(JobSurroundings& surroundings, JobSpec spec);
  // A job as a leader before left it: ended, or to be taken up.
  Job(JobSurroundings& surroundings, JobSpec spec, const proto::JobRecord& stored);
  ~Job();
  static std::shared_ptr<const proto::JobRecord> InitialRecord(const JobSpec& spec);

  // Takes slots if there are enough; called at first and whenever some may be free. Does nothing
  // unless CREATED.
  void TrySchedule();

  // What workers say. Errors go back to the worker: kNotFound or kFailedPrecondition end it.
  absl::Status OnRegisterWorker(const proto::RegisterWorkerRequest& request);
  absl::Status OnWorkerHeartbeat(const proto::WorkerHeartbeatRequest& request);
  absl::Status OnAcknowledgeCheckpoint(const proto::AcknowledgeCheckpointRequest& request);
  absl::Status OnAlignSources(const proto::AlignSourcesRequest& request,
                              proto::AlignSourcesResponse& response);
  // Asks its tasks what they hold. `respond` is called once, within seconds, unless the job is gone
  // before. kFailedPrecondition: it does not run. kNotFound: it has no such operator.
  void Inspect(const proto::InspectJobRequest& request,
               absl::AnyInvocable<void(absl::StatusOr<proto::InspectJobResponse>)> respond);
  // The highest complete checkpoint, for the answers to heartbeats; 0: none.
  uint64_t completed_checkpoint() const;

  // What agents say.
  absl::Status OnWorkerExited(const proto::WorkerExitedRequest& request);
  // The workers of this job's attempt that run on `id`, by a heartbeat of its agent.
  void OnWorkersOf(const TaskManagerId& id, const std::set<uint32_t>& running);
  void OnTaskManagerLost(const TaskManagerId& id, const absl::Status& reason);
  // A task manager is there, perhaps not for the first time: the job holds its slots again.
  void OnTaskManagerRegistered(const TaskManagerId& id, const std::string& address);
  // True if that worker should run: neither stopped nor gone.
  bool Wants(const TaskManagerId& id, uint32_t attempt, uint32_t worker) const;

  // Fails the job if a worker has been silent for too long.
  void CheckWorkers(int64_t now_nanos);
  // After a pause of this process: nobody's silence counts.
  void ForgiveSilence(int64_t now_nanos);

  // The state after it. Cancelling twice is no error; cancelling what has ended is
  // kFailedPrecondition. `recorded` is called (unless it fails) once that is durable.
  absl::StatusOr<proto::JobState> Cancel(Closure recorded = nullptr);
  // All that its end left is deleted: remembered for the next job manager.
  void MarkClean();

  // Begins a savepoint; FillSavepoint says how far it is. OK also for one that was begun by the
  // same trigger id. kFailedPrecondition: the job does not run, or has a sink that would lose
  // results. kInvalidArgument: no folder, or a relative one.
  absl::Status TriggerSavepoint(const proto::TriggerSavepointRequest& request);
  // kNotFound: not known, or not any more.
  absl::Status FillSavepoint(const std::string& trigger_id,
                             proto::SavepointProgress& progress) const;

  // What is known of its checkpoints; never null.
  std::shared_ptr<const CheckpointsView> Checkpoints() const;
  // Begins to give it another parallelism; FillRescale says how far that is. OK also for what was
  // begun by the same trigger id. kFailedPrecondition: the job does not run, or takes no
  // checkpoints, or has that parallelism. kInvalidArgument: no job can have it.
  absl::Status Rescale(const proto::RescaleJobRequest& request);
  // kNotFound: not known, or not any more.
  absl::Status FillRescale(const std::string& trigger_id, proto::RescaleProgress& progress) const;

  const JobSpec& spec() const;
  proto::JobState state() const;
  uint32_t attempt() const;
  // How often it was started again as a whole, and how often regions of it by themselves.
  uint32_t full_restarts() const;
  uint32_t region_restarts() const;
  // Ended, no worker of it may still run, and its checkpoints are kept or deleted as configured.
  bool settled() const;
  int64_t ended_unix_micros() const;
  int64_t changed_unix_micros() const;
  // Millis since the epoch at which a state was entered; 0 for the others. Index: JobState.
  std::vector<int64_t> StateTimesUnixMicros() const;

  void FillSummary(proto::JobSummary& summary) const;
  // All but the graph.
  void FillStatus(bool with_operators, proto::JobStatusResponse& status) const;
  const ExecutionGraph& execution() const;

  struct WorkerPlace {
    uint32_t index;
    TaskManagerId task_manager;
    std::string task_manager_name;
  };
  std::vector<WorkerPlace> Workers() const;

 private:
  std::unique_ptr<JobCore> core_;
};

}  // namespace weir::jobmanager
