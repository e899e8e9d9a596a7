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
#include "client/lib/job_manager_client.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "connectors/print/print_sink.h"
#include "jobmanager/job_manager.h"
#include "proto/control.pb.h"
#include "taskmanager/slots/agent.h"
#include "taskmanager/worker/worker.h"
#include "weir/job.h"

namespace weir::sim {

// A whole cluster in one SimWorld: a job manager, task managers, the workers that they start, and a
// client, all of the production classes, each process with a SimEnv of its own. Only what makes a
// process is replaced: a worker is made here instead of spawned, and a plugin is a function of the
// test, found by the content of the file that was submitted.
//
// The job manager's host is "jobmanager", a task manager's its name; its workers run on its host,
// as processes
// "<name>/<job>/<attempt>-<index>". One thread. Not for copying.
class SimCluster {
 public:
  struct Options {
    SimOptions world;
    jobmanager::ScheduleOptions schedule;
    absl::Duration worker_orphan_timeout = absl::Seconds(10);
    // Of the cluster, "key=value".
    std::vector<std::string> settings;
  };
  using Describe = void (*)(Job&);

  explicit SimCluster(Options options);
  ~SimCluster();

  SimWorld& world() { return world_; }

  void StartJobManager();
  void KillJobManager();
  uint64_t leader_epoch() const { return job_manager_->leader_epoch(); }

  // `version` is what it tells the job manager.
  void StartTaskManager(const std::string& name, uint32_t slots,
                        std::string_view version = kVersion);
  // Its workers end with it.
  void KillTaskManager(const std::string& name);
  // How the agent has ended; null while it runs.
  const absl::Status* TaskManagerEnd(const std::string& name) const;

  // Names of the workers' processes that live, sorted.
  std::vector<std::string> Workers() const;
  // kill -9.
  void KillWorker(const std::string& process);
  // SIGSTOP and SIGCONT. Nothing happens if it has ended.
  void PauseWorker(const std::string& process);
  void ResumeWorker(const std::string& process);

  // What all hosts see as /shared.
  // The client's files; it sees /shared too.
  FileSystem& client_files() { return client_env_->files(); }
  SimDisk& shared_disk() { return world_.ShareFolder("/shared"); }

  // Submits the job that `describe` describes as "<name>", and waits for the answer.
  absl::StatusOr<JobId> Submit(const std::string& name, Describe describe, uint32_t parallelism,
                               std::map<std::string, std::string> arguments = {},
                               const std::string& restore_from = "",
                               bool allow_dropped_state = false);
  // Asks the job manager; waits for the answer.
  absl::StatusOr<proto::JobStatusResponse> Status(JobId job);
  absl::StatusOr<proto::ClusterInfoResponse> Info();
  absl::StatusOr<proto::JobCheckpointsResponse> Checkpoints(JobId job, uint64_t checkpoint = 0);
  absl::StatusOr<proto::InspectJobResponse> LateRecords(JobId job);
  absl::StatusOr<proto::InspectJobResponse> Windows(JobId job, const std::string& operator_uid,
                                                    uint32_t limit);
  absl::Status Cancel(JobId job);
  // Asks for a savepoint, and waits for the answer. How far it is, Savepoint says.
  absl::StatusOr<proto::SavepointProgress> TriggerSavepoint(const SavepointRequest& request);
  absl::StatusOr<proto::SavepointProgress> Savepoint(const SavepointRequest& request);
  // A savepoint from its order to its end; asks as jobctl does.
  absl::StatusOr<proto::SavepointProgress> TakeSavepoint(const SavepointRequest& request,
                                                         absl::Duration limit = absl::Minutes(1));
  // Another parallelism, from its order to its end; asks as jobctl does.
  absl::StatusOr<proto::RescaleProgress> Rescale(const RescaleRequest& request,
                                                 absl::Duration limit = absl::Minutes(1));
  // Only asks.
  absl::StatusOr<proto::RescaleProgress> TriggerRescale(const RescaleRequest& request);
  absl::StatusOr<proto::RescaleProgress> RescaleStatus(const RescaleRequest& request);
  // Runs the world until the job is in `state`, asking now and then. False: it did not get there
  // within `limit`, or is terminal in another one.
  bool AwaitState(JobId job, proto::JobState state, absl::Duration limit);
  // Runs the world until that many task managers are registered.
  bool AwaitTaskManagers(int count, absl::Duration limit = absl::Seconds(30));

  // Lines that print sinks with the prefix "<job name>" wrote, without the prefix, sorted.
  std::vector<std::string> Output(const std::string& prefix) const;
  std::vector<std::string> log() const { return log_; }

 private:
  struct TaskManager;
  struct WorkerProcessState;
  class Launcher;
  class Plugins;
  class Lines;

  template <class T>
  absl::StatusOr<T> Await(std::function<void(ClientCallback<T>)> call);
  std::function<void(std::string_view, std::string_view)> Log(std::string process);
  void EndWorker(WorkerProcessState& worker, WorkerExit exit);
  // Null if none of that name lives.
  WorkerProcessState* FindWorker(const std::string& process) const;

  Options options_;
  SimWorld world_;
  std::map<std::string, Describe> jobs_;
  std::shared_ptr<Lines> lines_;
  std::vector<std::string> log_;
  SimEnv* job_manager_env_ = nullptr;
  std::unique_ptr<JobManager> job_manager_;
  std::map<std::string, std::unique_ptr<TaskManager>> task_managers_;
  // Also those that have ended: nothing of them runs any more, and they are destroyed with the
  // cluster.
  std::vector<std::unique_ptr<WorkerProcessState>> workers_;
  std::vector<std::unique_ptr<JobManager>> dead_job_managers_;
  std::vector<std::unique_ptr<TaskManager>> dead_task_managers_;
  SimEnv* client_env_ = nullptr;
  std::unique_ptr<Executor> client_executor_;
  std::unique_ptr<JobManagerClient> client_;
  int64_t last_pid_ = 0;
};

}  // namespace weir::sim
