#include "jobmanager/testing/fake_task_manager.h"

#include <algorithm>

#include "transport/rpc/typed_call.h"

namespace weir::jobmanager {

template <class Request>
void FakeTaskManager::AddWorkers(Request& request) const {
  const auto add = [&request](const Key& key) {
    auto* running = request.add_workers();
    running->set_job_id(key.job);
    running->set_attempt(key.attempt);
    running->set_index(key.index);
  };
  for (const auto& [key, worker] : workers) add(key);
  for (const auto& [key, exit] : unreported_) add(key);
}

void FakeTaskManager::KillWorker(const Key& key, int signal, int exit_code,
                                 proto::Failure failure) {
  auto worker = workers.find(key);
  if (worker == workers.end()) return;
  proto::WorkerExitedRequest exit;
  exit.set_task_manager_id(Bytes(id_));
  exit.set_job_id(key.job);
  exit.set_attempt(key.attempt);
  exit.set_worker_index(key.index);
  exit.set_signal(signal);
  exit.set_exit_code(exit_code);
  *exit.mutable_failure() = std::move(failure);
  workers.erase(worker);
  if (!behaviour.reports_exits) return;
  unreported_[key] = exit;
  executor_->PostAfter(behaviour.exit_report_delay,
                       lifetime_.Guard([this, key] { ReportExit(key); }));
}

void FakeTaskManager::SetTasks(const Key& key, proto::TaskState state) {
  for (proto::TaskReport& task : workers.at(key).tasks) task.set_state(state);
  WorkerHeartbeat(key);
}

void FakeTaskManager::FailTask(const Key& key, int task, absl::Status why) {
  proto::TaskReport& report = workers.at(key).tasks.at(static_cast<size_t>(task));
  report.set_state(proto::TASK_FAILED);
  report.mutable_failure()->set_code(static_cast<int>(why.code()));
  report.mutable_failure()->set_message(std::string(why.message()));
  WorkerHeartbeat(key);
}

void FakeTaskManager::WorkerHeartbeat(const Key& key) {
  auto found = workers.find(key);
  if (found == workers.end() || !found->second.registered) return;
  proto::WorkerHeartbeatRequest request;
  request.set_job_id(key.job);
  request.set_attempt(key.attempt);
  request.set_worker_index(key.index);
  request.set_leader_epoch(found->second.epoch);
  for (const proto::TaskReport& task : found->second.tasks) *request.add_tasks() = task;
  TypedCall<proto::WorkerHeartbeatRequest, proto::WorkerHeartbeatResponse>(
      *job_manager_, "/weir.JobManager/WorkerHeartbeat", request, absl::Seconds(1), executor_.get(),
      lifetime_.Guard([this, key](absl::StatusOr<proto::WorkerHeartbeatResponse> response) {
        if (!response.ok()) OnWorkerError(key, response.status());
      }));
}

void FakeTaskManager::Listen() {
  ServerMethods methods;
  methods.unary.push_back(TypedUnary<proto::StartWorkerRequest, proto::StartWorkerResponse>(
      "/weir.TaskManager/StartWorker", executor_.get(), [this](const auto& request, auto respond) {
        start_requests.push_back(request);
        if (!behaviour.start_worker.ok()) return respond(behaviour.start_worker);
        const Key key{request.job_id(), request.attempt(), request.worker_index()};
        if (!workers.contains(key)) StartWorker(key, request);
        proto::StartWorkerResponse response;
        response.set_pid(1000 + request.worker_index());
        respond(response);
      }));
  methods.unary.push_back(TypedUnary<proto::StopWorkerRequest, proto::StopWorkerResponse>(
      "/weir.TaskManager/StopWorker", executor_.get(), [this](const auto& request, auto respond) {
        ++stop_requests;
        Stop({request.job_id(), request.attempt(), request.worker_index()});
        respond(proto::StopWorkerResponse());
      }));
  methods.unary.push_back(TypedUnary<proto::WorkerLogRequest, proto::WorkerLogResponse>(
      "/weir.TaskManager/WorkerLog", executor_.get(), [this](const auto& request, auto respond) {
        proto::WorkerLogResponse response;
        response.set_text(StrCat("log of worker ", request.worker_index(), " on ", host_, "\n"));
        respond(response);
      }));
  listener_ = *env_.network().Listen(StrCat(host_, ":7000"), std::move(methods));
}

void FakeTaskManager::Register() {
  proto::RegisterTaskManagerRequest request;
  request.set_id(Bytes(id_));
  request.set_name(host_);
  request.set_address(listener_->address());
  request.set_slots(slots_);
  request.set_version(behaviour.version);
  request.set_protocol(kControlProtocol);
  AddWorkers(request);
  TypedCall<proto::RegisterTaskManagerRequest, proto::RegisterTaskManagerResponse>(
      *job_manager_, "/weir.JobManager/RegisterTaskManager", request, absl::Seconds(1),
      executor_.get(),
      lifetime_.Guard([this](absl::StatusOr<proto::RegisterTaskManagerResponse> response) {
        registration = response.status();
        if (!response.ok()) return;
        ++registrations;
        epoch = response->leader_epoch();
      }));
}

void FakeTaskManager::Tick() {
  executor_->PostAfter(kInterval, lifetime_.Guard([this] { Tick(); }));
  if (!registration.ok()) {
    Register();
  } else if (behaviour.sends_heartbeats) {
    proto::TaskManagerHeartbeatRequest request;
    request.set_id(Bytes(id_));
    request.set_leader_epoch(epoch);
    AddWorkers(request);
    TypedCall<proto::TaskManagerHeartbeatRequest, proto::TaskManagerHeartbeatResponse>(
        *job_manager_, "/weir.JobManager/TaskManagerHeartbeat", request, absl::Seconds(1),
        executor_.get(),
        lifetime_.Guard([this](absl::StatusOr<proto::TaskManagerHeartbeatResponse> response) {
          if (!response.ok()) {
            if (response.status().code() == absl::StatusCode::kNotFound ||
                response.status().code() == absl::StatusCode::kAborted) {
              registration = response.status();
            }
            return;
          }
          told_to_stop = response->stop_size();
          for (const auto& stop : response->stop()) {
            Stop({stop.job_id(), stop.attempt(), stop.index()});
          }
        }));
    for (const auto& [key, exit] : unreported_) ReportExit(key);
  }
  std::vector<Key> keys;
  for (const auto& [key, worker] : workers) keys.push_back(key);
  for (const Key& key : keys) {
    if (!workers.at(key).registered && !workers.at(key).refused && behaviour.workers_register) {
      RegisterWorker(key);
    } else if (behaviour.workers_send_heartbeats) {
      WorkerHeartbeat(key);
    }
  }
}

void FakeTaskManager::ReportExit(const Key& key) {
  auto exit = unreported_.find(key);
  if (exit == unreported_.end() || !registration.ok()) return;
  exit->second.set_leader_epoch(epoch);
  TypedCall<proto::WorkerExitedRequest, proto::WorkerExitedResponse>(
      *job_manager_, "/weir.JobManager/WorkerExited", exit->second, absl::Seconds(1),
      executor_.get(),
      lifetime_.Guard([this, key](absl::StatusOr<proto::WorkerExitedResponse> response) {
        if (response.ok() || response.status().code() == absl::StatusCode::kNotFound ||
            response.status().code() == absl::StatusCode::kFailedPrecondition) {
          unreported_.erase(key);
        }
      }));
}

void FakeTaskManager::StartWorker(const Key& key, const proto::StartWorkerRequest& request) {
  Worker& worker = workers[key];
  worker.key = key;
  worker.epoch = request.leader_epoch();
  worker.graph_hash = behaviour.graph_hash.empty() ? request.graph_hash() : behaviour.graph_hash;
  ServerMethods methods;
  methods.unary.push_back(TypedUnary<proto::DeployRequest, proto::DeployResponse>(
      "/weir.Worker/Deploy", executor_.get(),
      lifetime_.GuardConst([this, key](const proto::DeployRequest& deploy, auto respond) {
        auto found = workers.find(key);
        if (found == workers.end() || !behaviour.answers_deploy) return;
        ++found->second.deploys;
        if (!behaviour.deploy.ok()) return respond(behaviour.deploy);
        if (deploy.has_only() || found->second.tasks.empty()) MakeTasks(found->second, deploy);
        respond(proto::DeployResponse());
      })));
  methods.unary.push_back(TypedUnary<proto::StartTasksRequest, proto::StartTasksResponse>(
      "/weir.Worker/StartTasks", executor_.get(),
      lifetime_.GuardConst([this, key](const proto::StartTasksRequest& start, auto respond) {
        auto found = workers.find(key);
        if (found == workers.end()) return;
        ++found->second.starts;
        if (!behaviour.start_tasks.ok()) return respond(behaviour.start_tasks);
        if (behaviour.tasks_finish_at_once) {
          SetTasks(key, proto::TASK_FINISHED);
          executor_->PostAfter(absl::Seconds(1), [respond = std::move(respond)]() mutable {
            respond(proto::StartTasksResponse());
          });
          return;
        }
        if (start.has_only()) {
          StartRegions(key, start.only());
        } else if (found->second.starts == 1) {
          SetTasks(key, proto::TASK_RUNNING);
        }
        respond(proto::StartTasksResponse());
      })));
  methods.unary.push_back(TypedUnary<proto::CancelTasksRequest, proto::CancelTasksResponse>(
      "/weir.Worker/CancelTasks", executor_.get(),
      lifetime_.GuardConst([this, key](const proto::CancelTasksRequest& cancel, auto respond) {
        auto found = workers.find(key);
        if (found == workers.end()) return;
        if (cancel.has_only()) return respond(CancelRegions(found->second, cancel.only()));
        found->second.canceled = true;
        SetTasks(key, proto::TASK_CANCELED);
        respond(proto::CancelTasksResponse());
      })));
  worker.listener = *env_.network().Listen(StrCat(host_, ":0"), std::move(methods));
  if (behaviour.workers_register) RegisterWorker(key);
}

bool FakeTaskManager::IsOf(const proto::TaskReport& task, const proto::RegionOrder& order) {
  const auto& regions = order.regions();
  return std::find(regions.begin(), regions.end(), task.subtask()) != regions.end();
}

void FakeTaskManager::MakeTasks(Worker& worker, const proto::DeployRequest& deploy) {
  std::erase_if(worker.tasks, [&](const auto& task) { return IsOf(task, deploy.only()); });
  for (const auto& vertex : deploy.plan().vertices()) {
    for (int i = 0; i < vertex.workers_size(); ++i) {
      if (vertex.workers(i) != worker.key.index) continue;
      proto::TaskReport task;
      task.set_vertex(vertex.vertex());
      task.set_subtask(static_cast<uint32_t>(i));
      task.set_state(proto::TASK_INITIALIZING);
      task.set_worker(worker.key.index);
      task.set_attempt(deploy.has_only() ? deploy.only().attempt() : deploy.attempt());
      if (!deploy.has_only() || IsOf(task, deploy.only())) worker.tasks.push_back(std::move(task));
    }
  }
}

void FakeTaskManager::StartRegions(const Key& key, const proto::RegionOrder& order) {
  for (proto::TaskReport& task : workers.at(key).tasks) {
    if (IsOf(task, order) && task.attempt() == order.attempt()) {
      task.set_state(proto::TASK_RUNNING);
    }
  }
  WorkerHeartbeat(key);
}

proto::CancelTasksResponse FakeTaskManager::CancelRegions(Worker& worker,
                                                          const proto::RegionOrder& order) {
  proto::CancelTasksResponse response;
  for (proto::TaskReport& task : worker.tasks) {
    if (!IsOf(task, order) || task.state() > proto::TASK_RUNNING) continue;
    if (behaviour.cancelled_regions_end) {
      task.set_state(proto::TASK_CANCELED);
    } else {
      response.add_ending(task.subtask());
    }
  }
  return response;
}

void FakeTaskManager::RegisterWorker(const Key& key) {
  const Worker& worker = workers.at(key);
  proto::RegisterWorkerRequest request;
  request.set_job_id(key.job);
  request.set_attempt(key.attempt);
  request.set_worker_index(key.index);
  request.set_leader_epoch(worker.epoch);
  request.set_control_address(worker.listener->address());
  request.set_exchange_address(StrCat(host_, ":", 9000 + key.index));
  request.set_pid(1000 + key.index);
  request.set_graph_hash(worker.graph_hash);
  TypedCall<proto::RegisterWorkerRequest, proto::RegisterWorkerResponse>(
      *job_manager_, "/weir.JobManager/RegisterWorker", request, absl::Seconds(1), executor_.get(),
      lifetime_.Guard([this, key](absl::StatusOr<proto::RegisterWorkerResponse> response) {
        auto found = workers.find(key);
        if (found == workers.end()) return;
        if (response.ok()) {
          found->second.registered = true;
          found->second.epoch = response->leader_epoch();
        } else {
          OnWorkerError(key, response.status());
        }
      }));
}

void FakeTaskManager::OnWorkerError(const Key& key, const absl::Status& status) {
  if (status.code() == absl::StatusCode::kUnavailable ||
      status.code() == absl::StatusCode::kDeadlineExceeded) {
    return;
  }
  auto found = workers.find(key);
  if (found == workers.end()) return;
  if (status.code() == absl::StatusCode::kAborted) {
    // Another leader: with the next tick.
    found->second.registered = false;
    return;
  }
  found->second.refused = true;
  KillWorker(key, 0, 13);
}

}  // namespace weir::jobmanager
