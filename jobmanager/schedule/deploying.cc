#include <algorithm>

#include "jobmanager/schedule/phase_internal.h"

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

// Three steps, each for all workers before the next: start the processes and wait until they
// register; let them make their tasks; let the tasks run. A call whose answer is lost is repeated
// until the step's time is over.
class Deploying final : public Phase {
 public:
  using Phase::Phase;

  proto::JobState state() const override { return proto::DEPLOYING; }

  void Enter() override {
    last_errors_.resize(core_.workers.size());
    // An attempt that is not recorded could be given again.
    core_.Persist(Bind([this] {
      BeginStep(Step::kStartWorkers, core_.surroundings.options().worker_start_timeout);
      for (const WorkerRecord& worker : core_.workers) StartWorker(worker.index, kFirstRetry);
    }));
  }

  void OnWorkerRegistered(WorkerRecord&) override {
    if (step_ == Step::kStartWorkers && All(WorkerState::kRegistered)) DeployAll();
  }

 private:
  enum class Step { kStartWorkers, kDeploy, kStartTasks };

  static WorkerState EndOf(Step step) {
    switch (step) {
      case Step::kStartWorkers:
        return WorkerState::kRegistered;
      case Step::kDeploy:
        return WorkerState::kDeployed;
      case Step::kStartTasks:
        return WorkerState::kRunning;
    }
    return WorkerState::kRunning;
  }

  static std::string_view Verb(Step step) {
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

  bool All(WorkerState state) const {
    return std::all_of(core_.workers.begin(), core_.workers.end(),
                       [state](const WorkerRecord& worker) { return worker.state.get() == state; });
  }

  void BeginStep(Step step, absl::Duration timeout) {
    step_ = step;
    last_errors_.assign(core_.workers.size(), absl::OkStatus());
    After(timeout, [this, step, timeout] {
      if (step_ == step) OnStepTimeout(timeout);
    });
  }

  void OnStepTimeout(absl::Duration timeout) {
    for (const WorkerRecord& worker : core_.workers) {
      if (worker.state.get() == EndOf(step_)) continue;
      const absl::Status& last = last_errors_[worker.index];
      core_.Fail(absl::DeadlineExceededError(StrCat(
                     worker.Describe(), " did not ", Verb(step_), " within ",
                     absl::FormatDuration(timeout),
                     last.ok() ? std::string() : StrCat("; last error: ", ToStd(last.message())))),
                 CauseRank::kCause, worker.task_manager_name);
      return;
    }
  }

  // Decides what an answer means: true if the step went well for that worker.
  bool Accept(Step step, uint32_t index, const absl::Status& status, std::function<void()> repeat,
              absl::Duration retry) {
    WorkerRecord& worker = core_.workers[index];
    if (step_ != step || worker.ending()) return false;
    if (status.ok()) return true;
    if (MayBeRepeated(status)) {
      last_errors_[index] = status;
      After(retry, std::move(repeat));
      return false;
    }
    if (step == Step::kDeploy && absl::IsDataLoss(status)) core_.restorable = false;
    core_.Fail(absl::Status(status.code(), StrCat("letting ", worker.Describe(), " ", Verb(step),
                                                  ": ", ToStd(status.message()))),
               CauseRank::kCause, worker.task_manager_name);
    return false;
  }

  void StartWorker(uint32_t index, absl::Duration retry) {
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
        Bind([this, index, retry](absl::StatusOr<proto::StartWorkerResponse> response) {
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

  void DeployAll() {
    BeginStep(Step::kDeploy, core_.surroundings.options().deploy_timeout);
    core_.graph.Deploy();
    proto::DeploymentPlan plan;
    for (const WorkerRecord& worker : core_.workers) {
      auto* address = plan.add_workers();
      address->set_index(worker.index);
      address->set_exchange_address(worker.exchange_address);
      address->set_task_manager(worker.task_manager_name);
    }
    core_.graph.FillPlacement(plan);
    deploy_.set_leader_epoch(core_.surroundings.leader_epoch());
    deploy_.set_job_id(std::string(core_.spec.id.bytes().begin(), core_.spec.id.bytes().end()));
    deploy_.set_attempt(core_.attempt);
    absl::Status fits = core_.checkpoints->FillDeployment(*core_.spec.graph, deploy_);
    if (!fits.ok()) return core_.Fail(fits, CauseRank::kCause);
    deploy_.set_commit_only(core_.Stopped());
    core_.OpenAttempt(deploy_.restore().checkpoint_id());
    *deploy_.mutable_plan() = std::move(plan);
    for (const WorkerRecord& worker : core_.workers) Deploy(worker.index, kFirstRetry);
  }

  void Deploy(uint32_t index, absl::Duration retry) {
    WorkerRecord& worker = core_.workers[index];
    if (worker.ending()) return;
    TypedCall<proto::DeployRequest, proto::DeployResponse>(
        *worker.peer, "/weir.Worker/Deploy", deploy_, core_.surroundings.options().call_timeout,
        &core_.surroundings.executor(),
        Bind([this, index, retry](absl::StatusOr<proto::DeployResponse> response) {
          if (!Accept(
                  Step::kDeploy, index, response.status(),
                  [this, index, retry] { Deploy(index, std::min(2 * retry, kLastRetry)); },
                  retry)) {
            return;
          }
          core_.workers[index].state.MoveTo(WorkerState::kDeployed);
          if (!All(WorkerState::kDeployed)) return;
          // From here on the next job manager asks the workers what they have done.
          core_.record.set_tasks_may_run(true);
          core_.Persist(Bind([this] { StartAll(); }));
        }));
  }

  void StartAll() {
    BeginStep(Step::kStartTasks, core_.surroundings.options().start_tasks_timeout);
    for (const WorkerRecord& worker : core_.workers) StartTasks(worker.index, kFirstRetry);
  }

  void StartTasks(uint32_t index, absl::Duration retry) {
    WorkerRecord& worker = core_.workers[index];
    if (worker.ending()) return;
    proto::StartTasksRequest request;
    request.set_leader_epoch(core_.surroundings.leader_epoch());
    request.set_job_id(std::string(core_.spec.id.bytes().begin(), core_.spec.id.bytes().end()));
    request.set_attempt(core_.attempt);
    TypedCall<proto::StartTasksRequest, proto::StartTasksResponse>(
        *worker.peer, "/weir.Worker/StartTasks", request, core_.surroundings.options().call_timeout,
        &core_.surroundings.executor(),
        Bind([this, index, retry](absl::StatusOr<proto::StartTasksResponse> response) {
          if (!Accept(
                  Step::kStartTasks, index, response.status(),
                  [this, index, retry] { StartTasks(index, std::min(2 * retry, kLastRetry)); },
                  retry)) {
            return;
          }
          core_.workers[index].state.MoveTo(WorkerState::kRunning);
          if (All(WorkerState::kRunning)) core_.GoTo(MakeRunning(core_));
        }));
  }

  Step step_ = Step::kStartWorkers;
  // By worker; what made the last call of this step fail.
  std::vector<absl::Status> last_errors_;
  proto::DeployRequest deploy_;
};

}  // namespace

std::unique_ptr<Phase> MakeDeploying(JobCore& core) { return std::make_unique<Deploying>(core); }

}  // namespace weir::jobmanager
