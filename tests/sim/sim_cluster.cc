#include "tests/sim/sim_cluster.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/base/strings.h"
#include "connectors/registry.h"
#include "proto/validate/job_graph.h"
#include "sdk/host/plugin_host.h"
#include "taskmanager/slots/worker_launcher.h"
#include "tests/sim/sim_state_backend.h"

namespace weir::sim {
namespace {

constexpr char kJobManagerAddress[] = "jobmanager:6123";
constexpr char kPluginMark[] = "simulated plugin: ";
constexpr size_t kMaxPluginBytes = 1 << 20;

absl::StatusOr<std::unique_ptr<JobDefinition>> Define(SimCluster::Describe describe,
                                                      const DefineInput& input) {
  auto definition = std::make_unique<JobDefinition>();
  DefineJob(describe, input, *definition);
  if (!definition->errors.empty()) return absl::InvalidArgumentError(definition->errors[0]);
  return definition;
}

}  // namespace

// What all print sinks of the cluster write.
class SimCluster::Lines final : public PrintStream {
 public:
  absl::Status Write(std::string_view text) override {
    while (!text.empty()) {
      const size_t end = text.find('\n');
      lines.emplace_back(text.substr(0, end));
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return absl::OkStatus();
  }
  std::vector<std::string> lines;
};

// Finds a job by the content of the plugin's file.
class SimCluster::Plugins final : public PluginLoader {
 public:
  Plugins(SimEnv& env, const std::map<std::string, Describe>& jobs) : env_(env), jobs_(jobs) {}

  absl::StatusOr<std::unique_ptr<Plugin>> Load(const std::string& path) override {
    const auto content = ReadFile(env_.files(), path, kMaxPluginBytes);
    if (!content.ok()) return content.status();
    const auto job = jobs_.find(content->substr(sizeof(kPluginMark) - 1));
    if (job == jobs_.end()) return absl::InvalidArgumentError("no such simulated plugin");
    return std::make_unique<FunctionPlugin>(job->second);
  }

 private:
  class FunctionPlugin final : public Plugin {
   public:
    explicit FunctionPlugin(Describe describe) : describe_(describe) {}
    absl::StatusOr<std::unique_ptr<JobDefinition>> Define(const DefineInput& input) const override {
      return weir::sim::Define(describe_, input);
    }

   private:
    const Describe describe_;
  };

  SimEnv& env_;
  const std::map<std::string, Describe>& jobs_;
};

// One simulated worker process.
struct SimCluster::WorkerProcessState {
  std::string name;
  std::string task_manager;
  std::string directory;
  SimEnv* env = nullptr;
  std::function<void(WorkerExit)> on_exit;
  std::unique_ptr<Executor> control;
  std::unique_ptr<Plugins> plugins;
  std::unique_ptr<ConnectorRegistry> connectors;
  std::unique_ptr<Worker> worker;
  bool ended = false;
};

struct SimCluster::TaskManager {
  SimEnv* env = nullptr;
  std::unique_ptr<Launcher> launcher;
  std::unique_ptr<Executor> control;
  std::unique_ptr<Agent> agent;
  std::optional<absl::Status> end;
};

// Makes workers in this process.
class SimCluster::Launcher final : public WorkerLauncher {
 public:
  Launcher(SimCluster& cluster, SimEnv& env) : cluster_(cluster), env_(env) {}

  absl::StatusOr<std::unique_ptr<WorkerProcess>> Launch(
      const WorkerSpec& original, std::function<void(WorkerExit)> on_exit) override {
    WorkerSpec spec = original;
    spec.pid = ++cluster_.last_pid_;
    auto owned = std::make_unique<WorkerProcessState>();
    WorkerProcessState& state = *owned;
    cluster_.workers_.push_back(std::move(owned));
    state.name = StrCat(env_.name(), "/", spec.key.ToString());
    state.task_manager = env_.name();
    state.directory = spec.directory;
    state.env = &cluster_.world_.StartProcess(state.name, env_.host());
    state.on_exit = std::move(on_exit);
    state.control = state.env->NewExecutor("worker");
    state.plugins = std::make_unique<Plugins>(*state.env, cluster_.jobs_);
    state.connectors = MakeConnectorRegistry(*state.env, cluster_.lines_);
    state.worker = Worker::Make(
        {*state.env, *state.control, *state.plugins, *state.connectors, cluster_.Log(state.name),
         /*describe_frame=*/nullptr,
         [env = state.env](const Settings&, const std::string& folder) {
           return std::make_unique<SimStateBackend>(env->files(), folder);
         }},
        spec, [this, &state](const WorkerEnd& end) { OnEnd(state, end); });
    state.worker->Start();
    return std::make_unique<Process>(cluster_, state, spec.pid);
  }

 private:
  class Process final : public WorkerProcess {
   public:
    Process(SimCluster& cluster, WorkerProcessState& state, int64_t pid)
        : cluster_(cluster), state_(state), pid_(pid) {}
    int64_t pid() const override { return pid_; }
    void Terminate() override {
      if (!state_.ended) state_.worker->Stop(absl::Seconds(2));
    }
    void Kill() override { cluster_.EndWorker(state_, {.signal = 9}); }

   private:
    SimCluster& cluster_;
    WorkerProcessState& state_;
    const int64_t pid_;
  };

  // What main does when a worker has ended.
  void OnEnd(WorkerProcessState& state, const WorkerEnd& end) {
    if (end.code != WorkerExitCode::kStopped) {
      // Without it the exit code is what is known.
      WriteFileAtomically(state.env->files(), StrCat(state.directory, "/", kCrashReportName),
                          FormatCrashReport(end.report))
          .IgnoreError();
    }
    cluster_.world_.At(absl::ZeroDuration(), [this, &state, code = end.code] {
      cluster_.EndWorker(state, {.exit_code = static_cast<int>(code)});
    });
  }

  SimCluster& cluster_;
  SimEnv& env_;
};

SimCluster::SimCluster(Options options)
    : options_(std::move(options)), world_(options_.world), lines_(std::make_shared<Lines>()) {
  shared_disk();
  client_env_ = &world_.StartProcess("client");
  client_executor_ = client_env_->NewExecutor("client");
  client_ = std::make_unique<JobManagerClient>(*client_env_, *client_executor_,
                                               ClientOptions{.address = kJobManagerAddress});
}

SimCluster::~SimCluster() = default;

std::function<void(std::string_view, std::string_view)> SimCluster::Log(std::string process) {
  return [this, process = std::move(process)](std::string_view level, std::string_view text) {
    log_.push_back(
        StrCat(absl::FormatDuration(world_.elapsed()), " ", process, " ", level, " ", text));
  };
}

void SimCluster::StartJobManager() {
  job_manager_env_ = &world_.StartProcess("jobmanager");
  JobManagerOptions options;
  options.data_directory = "/data";
  options.schedule = options_.schedule;
  options.log = Log("jobmanager");
  for (const std::string& assignment : options_.settings) {
    const absl::Status set = options.settings.Override(assignment);
    if (!set.ok()) log_.push_back(std::string(set.message()));
  }
  job_manager_ = std::make_unique<JobManager>(*job_manager_env_, std::move(options));
  const absl::Status started = job_manager_->Start(kJobManagerAddress);
  if (!started.ok()) log_.push_back(StrCat("the job manager did not start: ", started.ToString()));
}

void SimCluster::KillJobManager() {
  world_.KillProcess(*job_manager_env_);
  dead_job_managers_.push_back(std::move(job_manager_));
}

void SimCluster::StartTaskManager(const std::string& name, uint32_t slots,
                                  std::string_view version) {
  auto owned = std::make_unique<TaskManager>();
  TaskManager& task_manager = *owned;
  task_managers_[name] = std::move(owned);
  task_manager.env = &world_.StartProcess(name);
  task_manager.launcher = std::make_unique<Launcher>(*this, *task_manager.env);
  task_manager.control = task_manager.env->NewExecutor("agent");
  AgentOptions options;
  options.name = name;
  options.listen_address = StrCat(name, ":0");
  options.job_manager_address = kJobManagerAddress;
  options.slots = slots;
  options.data_directory = "/data";
  options.version = std::string(version);
  options.worker_orphan_timeout = options_.worker_orphan_timeout;
  options.log = Log(name);
  task_manager.agent =
      Agent::Make(*task_manager.env, *task_manager.control, *task_manager.launcher, options,
                  [&task_manager](const absl::Status& why) { task_manager.end = why; });
  const absl::Status started = task_manager.agent->Start();
  if (!started.ok()) task_manager.end = started;
}

void SimCluster::KillTaskManager(const std::string& name) {
  const auto node = task_managers_.extract(name);
  world_.KillProcess(*node.mapped()->env);
  dead_task_managers_.push_back(std::move(node.mapped()));
  // They see the end of its pipe.
  for (auto& worker : workers_) {
    if (worker->task_manager == name) {
      EndWorker(*worker, {.exit_code = static_cast<int>(WorkerExitCode::kAgentGone)});
    }
  }
}

const absl::Status* SimCluster::TaskManagerEnd(const std::string& name) const {
  const auto& end = task_managers_.at(name)->end;
  return end.has_value() ? &*end : nullptr;
}

std::vector<std::string> SimCluster::Workers() const {
  std::vector<std::string> names;
  for (const auto& worker : workers_) {
    if (!worker->ended) names.push_back(worker->name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

SimCluster::WorkerProcessState* SimCluster::FindWorker(const std::string& process) const {
  for (const auto& worker : workers_) {
    if (worker->name == process && !worker->ended) return worker.get();
  }
  return nullptr;
}

void SimCluster::KillWorker(const std::string& process) {
  if (WorkerProcessState* worker = FindWorker(process)) EndWorker(*worker, {.signal = 9});
}

void SimCluster::PauseWorker(const std::string& process) {
  if (WorkerProcessState* worker = FindWorker(process)) world_.PauseProcess(*worker->env);
}

void SimCluster::ResumeWorker(const std::string& process) {
  if (WorkerProcessState* worker = FindWorker(process)) world_.ResumeProcess(*worker->env);
}

void SimCluster::EndWorker(WorkerProcessState& worker, WorkerExit exit) {
  if (worker.ended) return;
  worker.ended = true;
  world_.KillProcess(*worker.env);
  worker.on_exit(exit);
}

template <class T>
absl::StatusOr<T> SimCluster::Await(std::function<void(ClientCallback<T>)> call) {
  auto result = std::make_shared<std::optional<absl::StatusOr<T>>>();
  client_executor_->Post([call, result] {
    call([result](absl::StatusOr<T>&& answer) { *result = std::move(answer); });
  });
  if (!world_.RunUntil([&] { return result->has_value(); }, absl::Minutes(2))) {
    return absl::DeadlineExceededError("the client was never answered");
  }
  return **result;
}

absl::StatusOr<JobId> SimCluster::Submit(const std::string& name, Describe describe,
                                         uint32_t parallelism,
                                         std::map<std::string, std::string> arguments,
                                         const std::string& restore_from,
                                         bool allow_dropped_state) {
  jobs_[name] = describe;
  Submission submission;
  submission.plugin_path = StrCat("/", name, ".so");
  submission.arguments = std::move(arguments);
  submission.fingerprint = HostFingerprint();
  submission.restore_from = restore_from;
  submission.allow_dropped_state = allow_dropped_state;
  auto definition = Define(describe, {.arguments = submission.arguments});
  if (!definition.ok()) return definition.status();
  auto graph = BuildJobGraph(**definition, {.job_name = name, .parallelism = parallelism});
  if (!graph.ok()) return graph.status();
  submission.graph = std::make_shared<const proto::JobGraph>(*std::move(graph));
  const absl::Status written =
      WriteFileAtomically(client_env_->files(), submission.plugin_path, StrCat(kPluginMark, name));
  if (!written.ok()) return written;
  return Await<JobId>([this, submission](ClientCallback<JobId> done) {
    client_->Submit(submission, nullptr, std::move(done));
  });
}

absl::StatusOr<proto::JobStatusResponse> SimCluster::Status(JobId job) {
  return Await<proto::JobStatusResponse>(
      [this, job](auto done) { client_->JobStatus(job, std::move(done)); });
}

absl::StatusOr<proto::ClusterInfoResponse> SimCluster::Info() {
  return Await<proto::ClusterInfoResponse>(
      [this](auto done) { client_->ClusterInfo(std::move(done)); });
}

absl::StatusOr<proto::JobCheckpointsResponse> SimCluster::Checkpoints(JobId job,
                                                                      uint64_t checkpoint) {
  return Await<proto::JobCheckpointsResponse>([this, job, checkpoint](auto done) {
    client_->JobCheckpoints(job, checkpoint, std::move(done));
  });
}

absl::StatusOr<proto::InspectJobResponse> SimCluster::LateRecords(JobId job) {
  return Await<proto::InspectJobResponse>(
      [this, job](auto done) { client_->InspectLateRecords(job, std::move(done)); });
}

absl::StatusOr<proto::InspectJobResponse> SimCluster::Windows(JobId job,
                                                              const std::string& operator_uid,
                                                              uint32_t limit) {
  return Await<proto::InspectJobResponse>([this, job, operator_uid, limit](auto done) {
    client_->InspectWindows(job, operator_uid, limit, std::move(done));
  });
}

absl::Status SimCluster::Cancel(JobId job) {
  return Await<proto::CancelJobResponse>(
             [this, job](auto done) { client_->CancelJob(job, std::move(done)); })
      .status();
}

absl::StatusOr<proto::SavepointProgress> SimCluster::TriggerSavepoint(
    const SavepointRequest& request) {
  return Await<proto::SavepointProgress>(
      [this, request](auto done) { client_->TriggerSavepoint(request, std::move(done)); });
}

absl::StatusOr<proto::SavepointProgress> SimCluster::Savepoint(const SavepointRequest& request) {
  return Await<proto::SavepointProgress>([this, request](auto done) {
    client_->SavepointStatus(request.job, request.trigger, std::move(done));
  });
}

absl::StatusOr<proto::SavepointProgress> SimCluster::TakeSavepoint(const SavepointRequest& request,
                                                                   absl::Duration limit) {
  const absl::Duration until = world_.elapsed() + limit;
  auto progress = TriggerSavepoint(request);
  while (progress.ok() && progress->state() != proto::SavepointProgress::COMPLETED &&
         progress->state() != proto::SavepointProgress::FAILED) {
    if (world_.elapsed() >= until) return absl::DeadlineExceededError("the savepoint is not over");
    world_.RunFor(absl::Milliseconds(10));
    progress = Savepoint(request);
  }
  return progress;
}

absl::StatusOr<proto::RescaleProgress> SimCluster::TriggerRescale(const RescaleRequest& request) {
  return Await<proto::RescaleProgress>(
      [this, request](auto done) { client_->RescaleJob(request, std::move(done)); });
}

absl::StatusOr<proto::RescaleProgress> SimCluster::RescaleStatus(const RescaleRequest& request) {
  return Await<proto::RescaleProgress>([this, request](auto done) {
    client_->RescaleStatus(request.job, request.trigger, std::move(done));
  });
}

absl::StatusOr<proto::RescaleProgress> SimCluster::Rescale(const RescaleRequest& request,
                                                           absl::Duration limit) {
  const absl::Duration until = world_.elapsed() + limit;
  auto progress = TriggerRescale(request);
  while (progress.ok() && progress->state() != proto::RescaleProgress::COMPLETED &&
         progress->state() != proto::RescaleProgress::FAILED) {
    if (world_.elapsed() >= until) return absl::DeadlineExceededError("it is not over");
    world_.RunFor(absl::Milliseconds(10));
    progress = RescaleStatus(request);
  }
  return progress;
}

bool SimCluster::AwaitState(JobId job, proto::JobState state, absl::Duration limit) {
  const absl::Duration until = world_.elapsed() + limit;
  while (world_.elapsed() < until) {
    const auto status = Status(job);
    if (status.ok()) {
      const proto::JobState now = status->summary().state();
      if (now == state) return true;
      if (now == proto::FINISHED || now == proto::CANCELED || now == proto::FAILED) return false;
    }
    world_.RunFor(absl::Milliseconds(50));
  }
  return false;
}

bool SimCluster::AwaitTaskManagers(int count, absl::Duration limit) {
  const absl::Duration until = world_.elapsed() + limit;
  while (world_.elapsed() < until) {
    const auto info = Info();
    if (info.ok() && info->task_managers_size() == count) return true;
    world_.RunFor(absl::Milliseconds(50));
  }
  return false;
}

std::vector<std::string> SimCluster::Output(const std::string& prefix) const {
  std::vector<std::string> found;
  const std::string head = StrCat(prefix, "> ");
  for (const std::string& line : lines_->lines) {
    if (line.starts_with(head)) found.push_back(line.substr(head.size()));
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace weir::sim
