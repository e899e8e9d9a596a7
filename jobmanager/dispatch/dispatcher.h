#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/lifetime.h"
#include "common/config/settings.h"
#include "common/env/env.h"
#include "jobmanager/dispatch/job_records.h"
#include "jobmanager/dispatch/leftover_looks.h"
#include "jobmanager/dispatch/snapshot.h"
#include "jobmanager/dispatch/task_managers.h"
#include "jobmanager/schedule/job.h"
#include "transport/rpc/typed_call.h"

namespace weir::proto {
class AcknowledgeCheckpointRequest;
class AcknowledgeCheckpointResponse;
class AlignSourcesRequest;
class AlignSourcesResponse;
class InspectJobRequest;
class InspectJobResponse;
class CancelJobRequest;
class JobSummary;
class CancelJobResponse;
class ClusterInfoResponse;
class JobLogsRequest;
class JobLogsResponse;
class JobCheckpointsRequest;
class JobCheckpointsResponse;
class JobStatusRequest;
class JobStatusResponse;
class ListJobsResponse;
class RegisterTaskManagerRequest;
class RegisterTaskManagerResponse;
class RegisterWorkerRequest;
class RegisterWorkerResponse;
class RescaleJobRequest;
class RescaleJobResponse;
class RescaleStatusRequest;
class RescaleStatusResponse;
class SavepointStatusRequest;
class SavepointStatusResponse;
class TaskManagerHeartbeatRequest;
class TaskManagerHeartbeatResponse;
class TriggerSavepointRequest;
class TriggerSavepointResponse;
class WorkerExitedRequest;
class WorkerExitedResponse;
class WorkerHeartbeatRequest;
class WorkerHeartbeatResponse;
}  // namespace weir::proto

namespace weir::jobmanager {

struct DispatcherOptions {
  ScheduleOptions schedule;
  // Of the cluster: what holds for a job that says nothing else.
  Settings settings;
  std::string cluster_id;
  // Jobs that have not ended; more are refused.
  size_t max_jobs = 1'000;
  // Jobs that have ended and are still shown; the oldest is forgotten first.
  size_t max_ended_jobs = 100;
  std::function<void(std::string_view level, std::string_view text)> log;
  // Takes a new snapshot, on the dispatcher's executor, at most once a heartbeat interval. May be
  // null.
  std::function<void(std::shared_ptr<const ClusterSnapshot>)> publish;
  // A job of that plugin has ended and its pin is to be taken back. May be null.
  std::function<void(const std::string& plugin_sha256)> release_plugin;
  // Another job manager has taken over; this one answers kUnavailable from now on. May be null.
  std::function<void(const absl::Status& why)> superseded;
};

// The jobs and task managers of a cluster: answers clients, task managers and workers, and tells
// jobs what concerns them.
//
// Guarantees: one job's trouble touches no other; what comes with another leader epoch or attempt
// changes nothing; waiting jobs are tried in the order of their submission (one that needs less may
// start before one that waits for more).
//
// Everything happens on one executor; destroyed when nothing runs on it any more.
class Dispatcher final : public JobSurroundings {
 public:
  // `store`, and `writer` on which it is called, outlive it.
  Dispatcher(Env& env, Executor& executor, Executor& writer, CoordinationStore& store,
             uint64_t leader_epoch, DispatcherOptions options);
  ~Dispatcher() override;

  // Takes up the jobs that leaders before left (each not clean one's plugin is pinned), begins to
  // watch and to take task managers; before it, requests are answered with kUnavailable. `address`
  // is where workers reach this job manager.
  void Start(std::string address, const std::vector<StoredJob>& jobs);

  // `spec` without an id and policies. Its plugin is pinned. `done` is called once the job is
  // durable. kInvalidArgument: its settings do not go together with those of the cluster.
  void Accept(JobSpec spec, std::function<void(absl::StatusOr<JobId>)> done);

  absl::StatusOr<proto::ListJobsResponse> ListJobs();
  absl::StatusOr<proto::JobStatusResponse> JobStatus(const proto::JobStatusRequest& request);
  // Answers when it is durable that the job is to be cancelled.
  void CancelJob(const proto::CancelJobRequest& request,
                 TypedResponder<proto::CancelJobResponse> respond);
  absl::StatusOr<proto::TriggerSavepointResponse> TriggerSavepoint(
      const proto::TriggerSavepointRequest& request);
  absl::StatusOr<proto::SavepointStatusResponse> SavepointStatus(
      const proto::SavepointStatusRequest& request);
  // kNotFound also for a checkpoint that is not known, or not any more.
  absl::StatusOr<proto::JobCheckpointsResponse> JobCheckpoints(
      const proto::JobCheckpointsRequest& request);
  absl::StatusOr<proto::RescaleJobResponse> RescaleJob(const proto::RescaleJobRequest& request);
  absl::StatusOr<proto::RescaleStatusResponse> RescaleStatus(
      const proto::RescaleStatusRequest& request);
  void JobLogs(const proto::JobLogsRequest& request,
               TypedResponder<proto::JobLogsResponse> respond);
  // Answers when its tasks have.
  void InspectJob(const proto::InspectJobRequest& request,
                  TypedResponder<proto::InspectJobResponse> respond);
  absl::StatusOr<proto::ClusterInfoResponse> ClusterInfo();

  absl::StatusOr<proto::RegisterTaskManagerResponse> RegisterTaskManager(
      const proto::RegisterTaskManagerRequest& request);
  absl::StatusOr<proto::TaskManagerHeartbeatResponse> TaskManagerHeartbeat(
      const proto::TaskManagerHeartbeatRequest& request);
  absl::StatusOr<proto::WorkerExitedResponse> WorkerExited(
      const proto::WorkerExitedRequest& request);
  absl::StatusOr<proto::RegisterWorkerResponse> RegisterWorker(
      const proto::RegisterWorkerRequest& request);
  absl::StatusOr<proto::WorkerHeartbeatResponse> WorkerHeartbeat(
      const proto::WorkerHeartbeatRequest& request);
  absl::StatusOr<proto::AcknowledgeCheckpointResponse> AcknowledgeCheckpoint(
      const proto::AcknowledgeCheckpointRequest& request);
  absl::StatusOr<proto::AlignSourcesResponse> AlignSources(
      const proto::AlignSourcesRequest& request);

  // JobSurroundings
  Env& env() override { return env_; }
  Executor& executor() override { return executor_; }
  SlotPool& slots() override { return task_managers_.slots(); }
  const ScheduleOptions& options() const override { return options_.schedule; }
  uint64_t leader_epoch() const override { return leader_epoch_; }
  const std::string& cluster_id() const override { return options_.cluster_id; }
  const std::string& address() const override { return address_; }
  std::shared_ptr<RemotePeer> Agent(const TaskManagerId& id) override;
  std::string TaskManagerName(const TaskManagerId& id) override;
  std::string TaskManagerAddress(const TaskManagerId& id) override;
  void WriteRecord(const JobId& id, std::shared_ptr<const proto::JobRecord> record,
                   Closure durable) override;
  void ConfirmLeadership(Closure leads) override;
  void OnHigherEpoch(uint64_t epoch) override;
  void OnJobChanged(const JobId& id) override;
  void OnSlotsFreed() override;
  void Log(std::string_view level, std::string_view text) override;

 private:
  struct Entry {
    std::unique_ptr<Job> job;
    // Null: out of date.
    std::shared_ptr<const JobSnapshot> snapshot;
    bool plugin_released = false;
  };
  // A job that is there but cannot be read.
  struct Unreadable {
    std::string name;
    absl::Status why;
  };

  absl::Status CheckReady() const;
  void TakeUp(const StoredJob& stored);
  void FillUnreadable(const JobId& id, const Unreadable& job, proto::JobSummary& summary) const;
  absl::StatusOr<Job*> FindJob(const std::string& id_bytes) const;
  // The id by value: its record goes with the task manager.
  void LoseTaskManager(TaskManagerId id, const absl::Status& reason);
  // Tries jobs that wait, later, once.
  void ScheduleWaiting();
  // Forgets what is old, later, once.
  void TidyLater();
  void Tidy();
  void Tick();
  void Publish();
  static std::shared_ptr<const JobSnapshot> SnapshotOf(const Job& job);

  Env& env_;
  Executor& executor_;
  const uint64_t leader_epoch_;
  const DispatcherOptions options_;
  std::string address_;
  bool ready_ = false;
  bool superseded_ = false;
  int64_t started_unix_micros_ = 0;
  int64_t next_tick_nanos_ = 0;
  TaskManagers task_managers_;
  // In the order of submission.
  std::vector<std::unique_ptr<Entry>> entries_;
  std::map<JobId, Entry*> by_id_;
  std::map<JobId, Unreadable> unreadable_;
  // Accepted, and not durable yet.
  size_t being_added_ = 0;
  JobRecords records_;
  LeftoverLooks leftover_looks_;
  bool schedule_pending_ = false;
  bool tidy_pending_ = false;
  bool changed_ = true;
  Lifetime lifetime_;
};

}  // namespace weir::jobmanager
