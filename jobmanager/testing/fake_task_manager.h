#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/id.h"
#include "common/base/lifetime.h"
#include "common/base/strings.h"
#include "common/base/version.h"
#include "common/env/env.h"
#include "proto/control.pb.h"

namespace weir::jobmanager {

// A task manager and its workers as the job manager sees them, without a plugin or a runtime: for
// tests, which decide how each call is answered and what becomes of each worker. Follows the rules
// of proto/control.proto. One executor, of a simulated process.
class FakeTaskManager {
 public:
  struct Key {
    std::string job;
    uint32_t attempt = 0;
    uint32_t index = 0;
    friend auto operator<=>(const Key&, const Key&) = default;
  };

  // What each call is answered with, and whether things happen at all.
  struct Behaviour {
    absl::Status start_worker;
    absl::Status deploy;
    absl::Status start_tasks;
    bool answers_deploy = true;
    // A very short job: done before the answer to StartTasks is under way.
    bool tasks_finish_at_once = false;
    // Otherwise tasks of a region that is cancelled go on.
    bool cancelled_regions_end = true;
    bool workers_register = true;
    bool workers_send_heartbeats = true;
    bool sends_heartbeats = true;
    bool stops_workers = true;
    bool reports_exits = true;
    absl::Duration exit_report_delay;
    // Empty: the one that it was told.
    std::string graph_hash;
    std::string version{kVersion};
  };

  struct Worker {
    Key key;
    std::string graph_hash;
    std::unique_ptr<Listener> listener;
    uint64_t epoch = 0;
    bool registered = false;
    bool refused = false;
    bool canceled = false;
    std::vector<proto::TaskReport> tasks;
    int deploys = 0;
    int starts = 0;
  };

  FakeTaskManager(Env& env, std::string host, std::string job_manager, uint32_t slots)
      : env_(env), host_(std::move(host)), slots_(slots), executor_(env.NewExecutor("agent")) {
    job_manager_ = env_.network().Connect(job_manager);
    id_ = TaskManagerId(env_.random().Next(), env_.random().Next());
    Listen();
    executor_->Post(lifetime_.Guard([this] { Register(); }));
    executor_->PostAfter(kInterval, lifetime_.Guard([this] { Tick(); }));
  }
  ~FakeTaskManager() { lifetime_.End(); }

  // The worker ends: by a signal or with an exit code, and the agent tells of it.
  void KillWorker(const Key& key, int signal, int exit_code = 0, proto::Failure failure = {});

  // All its tasks go to a state, and the job manager is told at once.
  void SetTasks(const Key& key, proto::TaskState state);
  void FailTask(const Key& key, int task, absl::Status why);
  void WorkerHeartbeat(const Key& key);

  std::set<Key> Running() const {
    std::set<Key> keys;
    for (const auto& [key, worker] : workers) keys.insert(key);
    return keys;
  }

  Behaviour behaviour;
  std::map<Key, Worker> workers;
  absl::Status registration = absl::UnknownError("not registered yet");
  int registrations = 0;
  // Every StartWorker that came.
  std::vector<proto::StartWorkerRequest> start_requests;
  int stop_requests = 0;
  // Of the last heartbeat's answer.
  int told_to_stop = 0;
  uint64_t epoch = 0;

 private:
  static constexpr absl::Duration kInterval = absl::Milliseconds(500);

  template <class Id>
  static std::string Bytes(const Id& id) {
    return std::string(id.bytes().begin(), id.bytes().end());
  }

  void Listen();

  void Stop(const Key& key) {
    if (behaviour.stops_workers) KillWorker(key, /*SIGTERM*/ 15);
  }

  void Register();

  // Adds what runs, and what has ended and is not taken note of.
  template <class Request>
  void AddWorkers(Request& request) const;

  void Tick();

  void ReportExit(const Key& key);

  // ---- Workers ----

  void StartWorker(const Key& key, const proto::StartWorkerRequest& request);

  // In a job of forward edges, as far as there is more than one region: the region of a task is its
  // subtask.
  static bool IsOf(const proto::TaskReport& task, const proto::RegionOrder& order);
  static void MakeTasks(Worker& worker, const proto::DeployRequest& deploy);
  void StartRegions(const Key& key, const proto::RegionOrder& order);
  proto::CancelTasksResponse CancelRegions(Worker& worker, const proto::RegionOrder& order);

  void RegisterWorker(const Key& key);

  // A worker that is refused ends, as the real one does.
  void OnWorkerError(const Key& key, const absl::Status& status);

  Env& env_;
  const std::string host_;
  const uint32_t slots_;
  TaskManagerId id_;
  std::unique_ptr<Executor> executor_;
  std::shared_ptr<RemotePeer> job_manager_;
  std::map<Key, proto::WorkerExitedRequest> unreported_;
  std::unique_ptr<Listener> listener_;
  Lifetime lifetime_;
};

}  // namespace weir::jobmanager
