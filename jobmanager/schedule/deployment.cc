#include <algorithm>

#include "jobmanager/schedule/deployment_internal.h"

namespace weir::jobmanager {
namespace {

constexpr absl::Duration kFirstRetry = absl::Milliseconds(100);
constexpr absl::Duration kLastRetry = absl::Seconds(1);

// kResourceExhausted: the agent still runs a worker that it was told to stop.
bool MayBeRepeated(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kDeadlineExceeded ||
         status.code() == absl::StatusCode::kResourceExhausted;
}

}  // namespace

Deployment::Deployment(JobCore& core, std::set<uint32_t> regions, std::function<void()> on_running)
    : core_(core), regions_(std::move(regions)), on_running_(std::move(on_running)) {}

Deployment::~Deployment() { End(); }

void Deployment::End() {
  lifetime_.End();
  for (Executor::TimerId timer : timers_) core_.surroundings.executor().Cancel(timer);
  timers_.clear();
}

std::string_view Deployment::Verb(Step step) {
  switch (step) {
    case Step::kStartWorkers:
      return "start and register";
    case Step::kDeploy:
      return "deploy its tasks";
    case Step::kStartTasks:
      return "start its tasks";
  }
  return "";
}

void Deployment::After(absl::Duration delay, std::function<void()> f) {
  timers_.push_back(core_.surroundings.executor().PostAfter(delay, lifetime_.Guard(std::move(f))));
}

void Deployment::BeginStep(Step step, std::set<uint32_t> workers, absl::Duration timeout) {
  step_ = step;
  waiting_ = std::move(workers);
  last_errors_.assign(core_.workers.size(), absl::OkStatus());
  After(timeout, [this, step, timeout] {
    if (step_ == step && !waiting_.empty()) OnStepTimeout(timeout);
  });
}

void Deployment::OnStepTimeout(absl::Duration timeout) {
  WorkerRecord& worker = core_.workers[*waiting_.begin()];
  const absl::Status& last = last_errors_[worker.index];
  // Another one takes its place.
  if (!whole()) core_.StopWorker(worker);
  Fail(absl::DeadlineExceededError(StrCat(
           worker.Describe(), " did not ", Verb(step_), " within ", absl::FormatDuration(timeout),
           last.ok() ? std::string() : StrCat("; last error: ", ToStd(last.message())))),
       worker);
}

void Deployment::Fail(const absl::Status& status, const WorkerRecord& worker) {
  if (!whole()) core_.Strike(regions_);
  core_.Fail(status, CauseRank::kCause, worker.task_manager_name);
}

bool Deployment::Accept(Step step, uint32_t index, const absl::Status& status,
                        std::function<void()> repeat, absl::Duration retry) {
  WorkerRecord& worker = core_.workers[index];
  if (step_ != step || worker.ending()) return false;
  if (status.ok()) return true;
  if (MayBeRepeated(status)) {
    last_errors_[index] = status;
    After(retry, std::move(repeat));
    return false;
  }
  if (step == Step::kDeploy && absl::IsDataLoss(status)) core_.restorable = false;
  Fail(absl::Status(status.code(), StrCat("letting ", worker.Describe(), " ", Verb(step), ": ",
                                          ToStd(status.message()))),
       worker);
  return false;
}

bool Deployment::Done(uint32_t index) { return waiting_.erase(index) > 0 && waiting_.empty(); }

template <class Request>
Request Deployment::Order() const {
  const auto& id = core_.spec.id.bytes();
  Request request;
  request.set_leader_epoch(core_.surroundings.leader_epoch());
  request.set_job_id(std::string(id.begin(), id.end()));
  request.set_attempt(core_.attempt);
  if (!whole()) {
    request.mutable_only()->mutable_regions()->Add(regions_.begin(), regions_.end());
    request.mutable_only()->set_attempt(core_.last_attempt);
  }
  return request;
}

void Deployment::Begin() {
  if (whole()) {
    for (const WorkerRecord& worker : core_.workers) workers_.insert(worker.index);
  } else {
    for (const ExecutionGraph::Place& task : core_.graph.TasksOf(regions_)) {
      workers_.insert(task.worker);
    }
  }
  // An attempt that is not recorded could be given again.
  core_.Persist(lifetime_.Guard([this] { StartWorkers(); }));
}

void Deployment::OnWorkerRegistered(const WorkerRecord& worker) {
  if (step_ == Step::kStartWorkers && Done(worker.index)) DeployAll();
}

void Deployment::StartWorkers() {
  std::set<uint32_t> starting = workers_;
  std::erase_if(starting, [this](uint32_t index) {
    return core_.workers[index].state.get() != WorkerState::kStarting;
  });
  BeginStep(Step::kStartWorkers, starting, core_.surroundings.options().worker_start_timeout);
  for (const uint32_t index : starting) StartWorker(index, kFirstRetry);
  if (starting.empty()) DeployAll();
}

void Deployment::StartWorker(uint32_t index, absl::Duration retry) {
  WorkerRecord& worker = core_.workers[index];
  // It may have registered while the answer was lost.
  if (worker.state.get() != WorkerState::kStarting) return;
  std::shared_ptr<RemotePeer> agent = core_.surroundings.Agent(worker.task_manager);
  if (agent == nullptr) return;
  const JobSpec& spec = core_.spec;
  proto::StartWorkerRequest request;
  request.set_leader_epoch(core_.surroundings.leader_epoch());
  request.set_job_id(std::string(spec.id.bytes().begin(), spec.id.bytes().end()));
  request.set_attempt(core_.attempt);
  request.set_worker_index(index);
  request.set_slots(worker.slots);
  request.set_plugin_sha256(spec.plugin_sha256);
  request.set_plugin_bytes(spec.plugin_bytes);
  request.mutable_arguments()->insert(spec.arguments.begin(), spec.arguments.end());
  request.mutable_settings()->insert(spec.settings.begin(), spec.settings.end());
  // The job's own come first.
  request.mutable_settings()->insert(spec.cluster_settings.begin(), spec.cluster_settings.end());
  request.set_parallelism(spec.parallelism);
  request.set_job_name(spec.name);
  request.set_graph_hash(spec.graph_hash);
  request.set_job_manager_address(core_.surroundings.address());
  request.set_max_parallelism(spec.graph->max_parallelism());
  TypedCall<proto::StartWorkerRequest, proto::StartWorkerResponse>(
      *agent, "/weir.TaskManager/StartWorker", request, core_.surroundings.options().call_timeout,
      &core_.surroundings.executor(),
      lifetime_.Guard([this, index, retry](absl::StatusOr<proto::StartWorkerResponse> response) {
        if (!Accept(
                Step::kStartWorkers, index, response.status(),
                [this, index, retry] { StartWorker(index, std::min(2 * retry, kLastRetry)); },
                retry)) {
          return;
        }
        WorkerRecord& started = core_.workers[index];
        started.known_to_agent = true;
        if (started.pid == 0) started.pid = response->pid();
      }));
}

void Deployment::DeployAll() {
  BeginStep(Step::kDeploy, workers_, core_.surroundings.options().deploy_timeout);
  if (whole()) {
    core_.graph.Deploy();
  } else {
    core_.graph.DeployRegions(regions_);
  }
  deploy_ = Order<proto::DeployRequest>();
  absl::Status fits = core_.checkpoints->FillDeployment(*core_.spec.graph, deploy_);
  if (!fits.ok()) return core_.Fail(fits, CauseRank::kCause);
  proto::DeploymentPlan& plan = *deploy_.mutable_plan();
  for (const WorkerRecord& worker : core_.workers) {
    if (worker.gone()) continue;
    auto* address = plan.add_workers();
    address->set_index(worker.index);
    address->set_exchange_address(worker.exchange_address);
    address->set_task_manager(worker.task_manager_name);
  }
  core_.graph.FillPlacement(plan);
  deploy_.set_commit_only(core_.Stopped());
  const uint64_t restored = deploy_.restore().checkpoint_id();
  if (whole()) {
    core_.OpenAttempt(restored);
  } else {
    deploy_.set_last_checkpoint_id(core_.record.last_checkpoint_id());
    core_.checkpoints->coordinator().ReplaceTasks(core_.ReplacedTasks(regions_), core_.last_attempt,
                                                  restored);
  }
  for (const uint32_t index : workers_) Deploy(index, kFirstRetry);
}

void Deployment::Deploy(uint32_t index, absl::Duration retry) {
  WorkerRecord& worker = core_.workers[index];
  if (worker.ending()) return;
  TypedCall<proto::DeployRequest, proto::DeployResponse>(
      *worker.peer, "/weir.Worker/Deploy", deploy_, core_.surroundings.options().call_timeout,
      &core_.surroundings.executor(),
      lifetime_.Guard([this, index, retry](absl::StatusOr<proto::DeployResponse> response) {
        if (!Accept(
                Step::kDeploy, index, response.status(),
                [this, index, retry] { Deploy(index, std::min(2 * retry, kLastRetry)); }, retry)) {
          return;
        }
        StateMachine<WorkerState>& state = core_.workers[index].state;
        if (state.get() == WorkerState::kRegistered) state.MoveTo(WorkerState::kDeployed);
        if (!Done(index)) return;
        // From here on the next job manager asks the workers what they have done.
        core_.record.set_tasks_may_run(true);
        core_.Persist(lifetime_.Guard([this] { StartAll(); }));
      }));
}

void Deployment::StartAll() {
  BeginStep(Step::kStartTasks, workers_, core_.surroundings.options().start_tasks_timeout);
  for (const uint32_t index : workers_) StartTasks(index, kFirstRetry);
}

void Deployment::StartTasks(uint32_t index, absl::Duration retry) {
  WorkerRecord& worker = core_.workers[index];
  if (worker.ending()) return;
  TypedCall<proto::StartTasksRequest, proto::StartTasksResponse>(
      *worker.peer, "/weir.Worker/StartTasks", Order<proto::StartTasksRequest>(),
      core_.surroundings.options().call_timeout, &core_.surroundings.executor(),
      lifetime_.Guard([this, index, retry](absl::StatusOr<proto::StartTasksResponse> response) {
        if (!Accept(
                Step::kStartTasks, index, response.status(),
                [this, index, retry] { StartTasks(index, std::min(2 * retry, kLastRetry)); },
                retry)) {
          return;
        }
        StateMachine<WorkerState>& state = core_.workers[index].state;
        if (state.get() == WorkerState::kDeployed) state.MoveTo(WorkerState::kRunning);
        if (Done(index)) on_running_();
      }));
}

}  // namespace weir::jobmanager
