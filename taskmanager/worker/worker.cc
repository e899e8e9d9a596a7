#include "taskmanager/worker/worker.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "common/base/check.h"
#include "common/base/lifetime.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"
#include "proto/validate/job_graph.h"
#include "proto/validate/pipelined_regions.h"
#include "runtime/task_inspection.h"
#include "runtime/time/source_alignment.h"
#include "taskmanager/checkpoint/local_copies.h"
#include "taskmanager/checkpoint/task_snapshots.h"
#include "taskmanager/worker/deployed_region.h"
#include "taskmanager/worker/runtime_settings.h"
#include "transport/rpc/typed_call.h"

namespace weir {
namespace {

constexpr absl::Duration kFirstRetry = absl::Milliseconds(100);
constexpr absl::Duration kLastRetry = absl::Seconds(1);
constexpr absl::Duration kAlignmentInterval = absl::Milliseconds(100);

bool MayBeRetried(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kDeadlineExceeded;
}

// A plugin, and the graph that it made here.
struct LoadedJob {
  std::unique_ptr<Plugin> plugin;
  std::unique_ptr<JobDefinition> definition;
  proto::JobGraph graph;
  std::optional<PipelinedRegions> regions;
};

GraphOptions GraphOptionsOf(const WorkerSpec& spec) {
  return {.job_name = spec.job_name,
          .parallelism = spec.parallelism,
          .max_parallelism = spec.max_parallelism};
}

// Blocks: reads a file and runs user code.
absl::StatusOr<std::shared_ptr<LoadedJob>> LoadJob(PluginLoader& loader, const WorkerSpec& spec) {
  auto job = std::make_shared<LoadedJob>();
  WEIR_ASSIGN_OR_RETURN(job->plugin, loader.Load(spec.plugin_path));
  WEIR_ASSIGN_OR_RETURN(job->definition, job->plugin->Define({.arguments = spec.arguments}));
  WEIR_ASSIGN_OR_RETURN(job->graph, BuildJobGraph(*job->definition, GraphOptionsOf(spec)));
  const std::string hash = GraphHash(job->graph);
  if (hash != spec.graph_hash) {
    return absl::FailedPreconditionError(
        StrCat("the plugin made another graph here (", hash.substr(0, 12),
               ") than where it was submitted (", spec.graph_hash.substr(0, 12),
               "): what define makes must depend on its arguments only, not on the time, the "
               "machine, files or the environment"));
  }
  job->regions.emplace(job->graph);
  return job;
}

class RuntimeWorker final : public Worker {
 public:
  RuntimeWorker(Surroundings surroundings, WorkerSpec spec, OnEnd on_end)
      : surroundings_(std::move(surroundings)),
        env_(surroundings_.env),
        control_(surroundings_.control),
        spec_(std::move(spec)),
        on_end_(std::move(on_end)),
        leader_epoch_(spec_.leader_epoch) {}

  ~RuntimeWorker() override {
    lifetime_.End();
    listener_.reset();
    for (const auto& [region, deployed] : regions_) deployed->Cancel();
    regions_.clear();
  }

  void Start() override {
    control_.Post(lifetime_.GuardConst([this] {
      env_.RunBlocking(
          [&control = control_, &loader = surroundings_.loader, spec = spec_,
           loaded = lifetime_.Guard([this](auto job) { OnLoaded(std::move(job)); })]() mutable {
            control.Post([loaded = std::move(loaded), job = LoadJob(loader, spec)]() mutable {
              loaded(std::move(job));
            });
          });
    }));
  }

  void Stop(absl::Duration patience) override {
    control_.Post(lifetime_.GuardConst([this, patience] {
      if (ended_ || stopping_) return;
      stopping_ = true;
      if (AllTerminal()) return End(WorkerExitCode::kStopped, {});
      for (const auto& [region, deployed] : regions_) deployed->Cancel();
      control_.PostAfter(patience,
                         lifetime_.GuardConst([this] { End(WorkerExitCode::kStopped, {}); }));
    }));
  }

 private:
  void End(WorkerExitCode code, const absl::Status& why) {
    if (ended_) return;
    ended_ = true;
    WorkerEnd end;
    end.code = code;
    if (!why.ok()) {
      end.report.code = static_cast<int>(why.code());
      end.report.message = std::string(why.message());
      surroundings_.log("error", end.report.message);
    }
    for (const auto& [region, deployed] : regions_) deployed->Cancel();
    on_end_(std::move(end));
  }

  // --- Coming up: load, listen, register ---

  void OnLoaded(absl::StatusOr<std::shared_ptr<LoadedJob>> job) {
    if (ended_) return;
    if (!job.ok()) {
      return End(WorkerExitCode::kStartFailed,
                 absl::Status(job.status().code(),
                              StrCat("starting a worker of the job: ", job.status().message())));
    }
    job_ = *std::move(job);
    if (absl::Status listening = Listen(); !listening.ok()) {
      return End(WorkerExitCode::kStartFailed, listening);
    }
    job_manager_ = env_.network().Connect(spec_.job_manager_address);
    last_contact_nanos_ = env_.clock().MonotonicNanos();
    WatchForOrphaning();
    Register(kFirstRetry);
  }

  absl::Status Listen() {
    WEIR_ASSIGN_OR_RETURN(const Settings settings, SettingsOfJob(spec_.settings));
    max_copied_bytes_ = static_cast<uint64_t>(settings.Get(options::kLocalRecoverySize));
    runtime_options_ = RuntimeOptionsFromSettings(settings);
    runtime_options_.worker_index = spec_.key.index;
    runtime_options_.task_threads = spec_.slots;
    runtime_options_.alignment = &alignment_;
    runtime_options_.log = [log = surroundings_.log](std::string_view uid, std::string_view level,
                                                     std::string_view text) {
      log(level, StrCat("operator=", uid, " ", text));
    };
    runtime_options_.incremental = settings.Get(options::kIncrementalCheckpoints);
    runtime_options_.restore_chunk_bytes =
        static_cast<size_t>(settings.Get(options::kRestoreChunkSize));
    // A job whose state is in memory may start from a checkpoint with files of stores.
    if (surroundings_.make_state_backend != nullptr)
      state_backend_ = surroundings_.make_state_backend(settings, LocalStateFolder(spec_));
    if (settings.Get(options::kStateBackend) == "rocksdb") {
      if (state_backend_ == nullptr) {
        return absl::FailedPreconditionError(
            "state.backend is rocksdb, which this program does not have");
      }
      runtime_options_.state_backend = state_backend_.get();
    }
    exchange_options_.job = spec_.key.job;
    exchange_options_.worker_index = spec_.key.index;
    exchange_options_.credits_per_channel =
        static_cast<uint32_t>(settings.Get(options::kCreditsPerChannel));
    // In proportion, so that who lowers the setting to save memory saves it with few channels too.
    exchange_options_.credits_per_stream = 4 * exchange_options_.credits_per_channel;
    WEIR_ASSIGN_OR_RETURN(exchanges_, MakeExchangeHost(env_, StrCat(spec_.listen_host, ":0")));
    ServerMethods methods;
    methods.unary.push_back(TypedUnary<proto::DeployRequest, proto::DeployResponse>(
        "/weir.Worker/Deploy", &control_, lifetime_.GuardConst([this](auto request, auto respond) {
          Deploy(std::move(request), std::move(respond));
        })));
    methods.unary.push_back(TypedUnary<proto::StartTasksRequest, proto::StartTasksResponse>(
        "/weir.Worker/StartTasks", &control_,
        lifetime_.GuardConst(
            [this](auto request, auto respond) { respond(StartTasks(request)); })));
    methods.unary.push_back(TypedUnary<proto::CancelTasksRequest, proto::CancelTasksResponse>(
        "/weir.Worker/CancelTasks", &control_,
        lifetime_.GuardConst(
            [this](auto request, auto respond) { respond(CancelTasks(request)); })));
    methods.unary.push_back(
        TypedUnary<proto::TriggerCheckpointRequest, proto::TriggerCheckpointResponse>(
            "/weir.Worker/TriggerCheckpoint", &control_,
            lifetime_.GuardConst(
                [this](auto request, auto respond) { respond(TriggerCheckpoint(request)); })));
    methods.unary.push_back(
        TypedUnary<proto::NotifyCheckpointRequest, proto::NotifyCheckpointResponse>(
            "/weir.Worker/NotifyCheckpoint", &control_,
            lifetime_.GuardConst(
                [this](auto request, auto respond) { respond(NotifyCheckpoint(request)); })));
    methods.unary.push_back(TypedUnary<proto::BuildGraphRequest, proto::BuildGraphResponse>(
        "/weir.Worker/BuildGraph", &control_,
        lifetime_.GuardConst(
            [this](auto request, auto respond) { respond(BuildGraph(request)); })));
    methods.unary.push_back(TypedUnary<proto::InspectTasksRequest, proto::InspectTasksResponse>(
        "/weir.Worker/InspectTasks", &control_,
        lifetime_.GuardConst([this](const auto& request, auto respond) {
          InspectTasks(request, std::move(respond));
        })));
    WEIR_ASSIGN_OR_RETURN(
        listener_, env_.network().Listen(StrCat(spec_.listen_host, ":0"), std::move(methods)));
    return absl::OkStatus();
  }

  void Register(absl::Duration retry) {
    if (ended_) return;
    proto::RegisterWorkerRequest request;
    request.set_job_id(JobIdBytes(spec_.key.job));
    request.set_attempt(spec_.key.attempt);
    request.set_worker_index(spec_.key.index);
    request.set_leader_epoch(leader_epoch_);
    request.set_control_address(WithHost(listener_->address(), spec_.host));
    request.set_exchange_address(WithHost(exchanges_->address(), spec_.host));
    request.set_pid(spec_.pid);
    request.set_graph_hash(spec_.graph_hash);
    TypedCall<proto::RegisterWorkerRequest, proto::RegisterWorkerResponse>(
        *job_manager_, "/weir.JobManager/RegisterWorker", request, CallTimeout(), &control_,
        lifetime_.GuardConst([this, retry](absl::StatusOr<proto::RegisterWorkerResponse> response) {
          OnRegistered(std::move(response), retry);
        }));
  }

  void OnRegistered(absl::StatusOr<proto::RegisterWorkerResponse> response, absl::Duration retry) {
    if (ended_) return;
    if (!response.ok()) {
      if (!MayBeRetried(response.status())) return EndRefused(response.status());
      control_.PostAfter(retry, lifetime_.GuardConst(
                                    [this, retry] { Register(std::min(2 * retry, kLastRetry)); }));
      return;
    }
    if (!AcceptEpoch(response->leader_epoch()).ok()) return;  // of an old leader: no contact
    last_contact_nanos_ = env_.clock().MonotonicNanos();
    heartbeat_interval_ =
        absl::Milliseconds(std::clamp(response->heartbeat_interval_ms(), 10u, 60'000u));
    // Short enough for another try before the job manager gives this worker up.
    heartbeat_call_timeout_ =
        absl::Milliseconds(std::clamp(response->heartbeat_timeout_ms(), 90u, 600'000u)) / 3;
    registered_ = true;
    surroundings_.log("info",
                      StrCat("registered at the job manager, leader epoch ", leader_epoch_));
    // A new leader knows nothing of what the one before was told.
    for (const auto& [region, deployed] : regions_) deployed->TellAgain();
    if (!std::exchange(heartbeats_begun_, true)) return HeartbeatLoop();
    SendHeartbeat();
  }

  // The job manager is another one than that which it had registered at; its tasks run on.
  void RegisterAgain() {
    if (!std::exchange(registered_, false)) return;
    surroundings_.log("info", "the job manager is another one, registers again");
    Register(kFirstRetry);
  }

  static bool IsOfAnotherLeader(const absl::Status& status) {
    return status.code() == absl::StatusCode::kAborted;
  }

  void EndRefused(const absl::Status& status) {
    End(WorkerExitCode::kFenced,
        absl::Status(status.code(),
                     StrCat("the job manager refused this worker: ", status.message())));
  }

  // --- Contact with the job manager ---

  absl::Duration CallTimeout() const {
    return std::max(absl::Milliseconds(100), spec_.orphan_timeout / 3);
  }

  // Keeps the highest epoch that was seen; a lower one is an old leader's.
  absl::Status AcceptEpoch(uint64_t epoch) {
    if (epoch < leader_epoch_) {
      return absl::FailedPreconditionError(StrCat("leader epoch ", epoch,
                                                  " is over: this worker knows of ", leader_epoch_,
                                                  "; a newer job manager has taken over"));
    }
    leader_epoch_ = epoch;
    return absl::OkStatus();
  }

  void WatchForOrphaning() {
    const absl::Duration silence =
        absl::Nanoseconds(env_.clock().MonotonicNanos() - last_contact_nanos_);
    if (silence >= spec_.orphan_timeout) {
      return End(WorkerExitCode::kOrphaned,
                 absl::UnavailableError(
                     StrCat("the job manager at ", spec_.job_manager_address, " was silent for ",
                            absl::FormatDuration(spec_.orphan_timeout),
                            " (taskmanager.worker.orphan-timeout): the worker ends, so that two "
                            "attempts of a job never run at once")));
    }
    control_.PostAfter(spec_.orphan_timeout - silence, lifetime_.GuardConst([this] {
      if (!ended_) WatchForOrphaning();
    }));
  }

  void HeartbeatLoop() {
    if (ended_) return;
    SendHeartbeat();
    control_.PostAfter(heartbeat_interval_, lifetime_.GuardConst([this] { HeartbeatLoop(); }));
  }

  // One is under way at most; what changes meanwhile goes with the next, at once.
  void SendHeartbeat() {
    if (ended_ || !registered_) return;
    if (heartbeat_under_way_) {
      heartbeat_wanted_ = true;
      return;
    }
    heartbeat_under_way_ = true;
    heartbeat_wanted_ = false;
    proto::WorkerHeartbeatRequest request;
    request.set_job_id(JobIdBytes(spec_.key.job));
    request.set_attempt(spec_.key.attempt);
    request.set_worker_index(spec_.key.index);
    request.set_leader_epoch(leader_epoch_);
    for (const auto& [region, deployed] : regions_) {
      for (proto::TaskReport& task : deployed->Report()) {
        Complete(task);
        *request.add_tasks() = std::move(task);
      }
    }
    TypedCall<proto::WorkerHeartbeatRequest, proto::WorkerHeartbeatResponse>(
        *job_manager_, "/weir.JobManager/WorkerHeartbeat", request, heartbeat_call_timeout_,
        &control_,
        lifetime_.GuardConst([this](absl::StatusOr<proto::WorkerHeartbeatResponse> response) {
          heartbeat_under_way_ = false;
          if (ended_) return;
          if (!response.ok()) {
            if (IsOfAnotherLeader(response.status())) return RegisterAgain();
            if (!MayBeRetried(response.status())) return EndRefused(response.status());
            return;  // the next interval tries again
          }
          if (!AcceptEpoch(response->leader_epoch()).ok()) return;
          last_contact_nanos_ = env_.clock().MonotonicNanos();
          CompleteCheckpoint(response->completed_checkpoint());
          if (heartbeat_wanted_) SendHeartbeat();
        }));
  }

  // One exchange is under way at most. Whatever comes of it, sources that are held back hear more
  // of their group with the next.
  void AlignSources() {
    const SourceAlignment::Progress progress = alignment_.Report();
    if (ended_ || progress.empty()) {
      aligning_ = false;
      return;
    }
    proto::AlignSourcesRequest request;
    request.set_job_id(JobIdBytes(spec_.key.job));
    request.set_attempt(spec_.key.attempt);
    request.set_worker_index(spec_.key.index);
    request.set_leader_epoch(leader_epoch_);
    for (const auto& [name, least] : progress) {
      proto::SourceGroup& group = *request.add_groups();
      group.set_name(name);
      group.set_least_watermark(least);
    }
    TypedCall<proto::AlignSourcesRequest, proto::AlignSourcesResponse>(
        *job_manager_, "/weir.JobManager/AlignSources", request, heartbeat_call_timeout_, &control_,
        lifetime_.GuardConst([this](const absl::StatusOr<proto::AlignSourcesResponse>& response) {
          if (ended_) return;
          // Heartbeats find out what an error means.
          if (response.ok() && AcceptEpoch(response->leader_epoch()).ok()) {
            SourceAlignment::Progress of_all;
            for (const proto::SourceGroup& group : response->groups()) {
              of_all[group.name()] = group.least_watermark();
            }
            alignment_.Apply(of_all);
          }
          control_.PostAfter(kAlignmentInterval, lifetime_.GuardConst([this] { AlignSources(); }));
        }));
  }

  // Adds what the runtime does not know.
  void Complete(proto::TaskReport& task) const {
    task.set_worker(spec_.key.index);
    if (!task.has_failure()) return;
    proto::Failure& failure = *task.mutable_failure();
    failure.set_task_manager(spec_.task_manager);
    if (surroundings_.describe_frame != nullptr) {
      for (std::string& frame : *failure.mutable_stack()) {
        frame = surroundings_.describe_frame(frame);
      }
    }
    if (spec_.memory_limit_bytes != 0 && failure.message().find("bad_alloc") != std::string::npos) {
      failure.set_message(StrCat(failure.message(), ": out of memory; a worker's is limited to ",
                                 spec_.memory_limit_bytes >> 20,
                                 " MiB by taskmanager.memory.worker.size"));
    }
  }

  // --- What the job manager orders ---

  template <class Request>
  absl::Status CheckOrder(const Request& request) {
    WEIR_RETURN_IF_ERROR(AcceptEpoch(request.leader_epoch()));
    if (request.job_id() != JobIdBytes(spec_.key.job) || request.attempt() != spec_.key.attempt) {
      return absl::FailedPreconditionError(StrCat("this worker runs attempt ", spec_.key.attempt,
                                                  " of job ", spec_.key.job.ToString(),
                                                  ", not attempt ", request.attempt()));
    }
    if (ended_ || stopping_) return absl::UnavailableError("this worker is ending");
    return absl::OkStatus();
  }

  // The regions that an order is about, of those that are wanted here.
  template <class Request>
  static std::vector<uint32_t> Ordered(const Request& request, std::vector<uint32_t> here) {
    if (!request.has_only()) return here;
    const auto& only = request.only().regions();
    std::erase_if(here, [&](uint32_t region) {
      return std::find(only.begin(), only.end(), region) == only.end();
    });
    return here;
  }
  template <class Request>
  static uint32_t AttemptOf(const Request& request) {
    return request.has_only() ? request.only().attempt() : request.attempt();
  }

  // Answers when the tasks are made: with state to restore, when that has been read.
  void Deploy(proto::DeployRequest request, TypedResponder<proto::DeployResponse> respond) {
    absl::Status refused = CheckOrder(request);
    if (refused.ok() && cancelled_) {
      refused = absl::CancelledError("the job was cancelled before it was deployed");
    }
    if (!refused.ok()) return respond(refused);
    const uint32_t attempt = AttemptOf(request);
    bool there = true;
    for (const uint32_t region : RegionsToDeploy(request)) {
      const absl::Status free = CheckPlace(region, attempt);
      if (!free.ok()) return respond(free);
      there &= regions_.contains(region) && regions_.at(region)->attempt() == attempt;
    }
    if (there) return respond(proto::DeployResponse());
    if (copies_ == nullptr && !spec_.local_copies.empty() &&
        !request.checkpoint_directory().empty()) {
      copies_ = std::make_shared<LocalCopies>(
          env_.files(), LocalCopies::Options{.directory = request.checkpoint_directory(),
                                             .folder = spec_.local_copies,
                                             .max_bytes = max_copied_bytes_});
    }
    auto& responders = deploy_responders_[attempt];
    responders.push_back(std::move(respond));
    if (responders.size() > 1) return;
    if (!request.has_restore()) return MakeTasks(request, RestoredTasks());
    std::map<uint32_t, std::vector<uint32_t>> workers;
    for (const auto& vertex : request.plan().vertices()) {
      workers[vertex.vertex()].assign(vertex.workers().begin(), vertex.workers().end());
    }
    if (request.has_only()) LeaveOut(request.only(), workers);
    surroundings_.log("info", StrCat("restores checkpoint ", request.restore().checkpoint_id(),
                                     " from ", request.restore().directory()));
    env_.RunBlocking([&env = env_, &control = control_, job = job_, worker = spec_.key.index,
                      request = std::move(request), workers = std::move(workers),
                      backend = state_backend_, copies = copies_, log = surroundings_.log,
                      in_store = runtime_options_.state_backend != nullptr,
                      done = lifetime_.Guard([this](const auto& deploy, auto restored) {
                        MakeTasks(deploy, std::move(restored));
                      })]() mutable {
      if (copies != nullptr) copies->Expect(request.restore());
      FileSystem& files = copies == nullptr ? env.files() : *copies;
      auto restored = ReadTaskStates(files, request.restore(), job->graph, workers, worker,
                                     backend.get(), in_store);
      if (copies != nullptr) {
        const LocalCopies::Reads reads = copies->reads();
        log("info", StrCat("read ", reads.copies, " files of the checkpoint from copies on this ",
                           "host, and ", reads.originals, " that have none here or another one"));
      }
      control.Post(
          [done = std::move(done), request = std::move(request),
           restored = std::move(restored)]() mutable { done(request, std::move(restored)); });
    });
  }

  std::vector<uint32_t> RegionsToDeploy(const proto::DeployRequest& request) const {
    return Ordered(request, DeployedRegion::On(request.plan(), *job_->regions, spec_.key.index));
  }

  // Tasks of other regions run nowhere, as far as reading their state is concerned.
  void LeaveOut(const proto::RegionOrder& only,
                std::map<uint32_t, std::vector<uint32_t>>& workers) const {
    for (auto& [vertex, placed] : workers) {
      for (uint32_t subtask = 0; subtask < placed.size(); ++subtask) {
        const uint32_t region = job_->regions->Of(vertex, subtask);
        const auto& listed = only.regions();
        if (std::find(listed.begin(), listed.end(), region) == listed.end()) {
          placed[subtask] = UINT32_MAX;
        }
      }
    }
  }

  // Whether an attempt of a region may be deployed here, or is.
  absl::Status CheckPlace(uint32_t region, uint32_t attempt) const {
    const auto cancelled = cancelled_up_to_.find(region);
    if (cancelled != cancelled_up_to_.end() && attempt <= cancelled->second) {
      return absl::CancelledError(
          StrCat("attempt ", attempt, " of region ", region, " of the job was cancelled"));
    }
    const auto found = regions_.find(region);
    if (found == regions_.end() || found->second->attempt() == attempt) return absl::OkStatus();
    if (found->second->attempt() > attempt) {
      return absl::FailedPreconditionError(
          StrCat("attempt ", found->second->attempt(), " of region ", region,
                 " of the job is here; attempt ", attempt, " is over"));
    }
    if (found->second->discarded()) return absl::OkStatus();
    return absl::UnavailableError(StrCat("attempt ", found->second->attempt(), " of region ",
                                         region, " of the job has not ended yet"));
  }

  void MakeTasks(const proto::DeployRequest& request, absl::StatusOr<RestoredTasks> restored) {
    const uint32_t attempt = AttemptOf(request);
    const absl::Status status = MakeRegions(request, attempt, std::move(restored));
    auto waiting = deploy_responders_.extract(attempt);
    for (auto& respond : waiting.mapped()) {
      if (status.ok()) {
        respond(proto::DeployResponse());
      } else {
        respond(status);
      }
    }
    if (status.ok()) SendHeartbeat();
  }

  absl::Status MakeRegions(const proto::DeployRequest& request, uint32_t attempt,
                           absl::StatusOr<RestoredTasks> restored) {
    if (ended_ || stopping_) return absl::UnavailableError("this worker is ending");
    if (cancelled_) return absl::CancelledError("the job was cancelled before it was deployed");
    if (!restored.ok()) {
      return absl::Status(restored.status().code(),
                          StrCat("restoring checkpoint ", request.restore().checkpoint_id(), ": ",
                                 restored.status().message()));
    }
    RuntimeOptions options = runtime_options_;
    options.restore = *std::move(restored);
    ExchangeOptions exchange = exchange_options_;
    exchange.leader_epoch = request.leader_epoch();
    const auto guarded = [this](auto f) { return lifetime_.GuardConst(std::move(f)); };
    std::map<uint32_t, std::unique_ptr<DeployedRegion>> made;
    for (const uint32_t region : RegionsToDeploy(request)) {
      WEIR_RETURN_IF_ERROR(CheckPlace(region, attempt));
      const auto there = regions_.find(region);
      if (there != regions_.end() && there->second->attempt() == attempt) continue;
      WEIR_ASSIGN_OR_RETURN(
          made[region],
          DeployedRegion::Make(
              {env_, control_, *exchanges_, *job_->definition,
               std::shared_ptr<const proto::JobGraph>(job_, &job_->graph), *job_->regions,
               surroundings_.connectors, spec_.key, copies_,
               [this](const auto& told, auto done) { Acknowledge(told, std::move(done)); },
               [this](std::string_view text) { surroundings_.log("warning", text); },
               guarded([this] { OnTaskChange(); })},
              region, attempt, request, options, exchange));
    }
    for (auto& [region, deployed] : made) regions_[region] = std::move(deployed);
    return absl::OkStatus();
  }

  // --- Checkpoints ---

  absl::StatusOr<proto::TriggerCheckpointResponse> TriggerCheckpoint(
      const proto::TriggerCheckpointRequest& request) {
    WEIR_RETURN_IF_ERROR(CheckOrder(request));
    if (std::none_of(regions_.begin(), regions_.end(),
                     [](const auto& entry) { return entry.second->started(); })) {
      return absl::FailedPreconditionError("no tasks that take checkpoints run here");
    }
    if (!proto::CheckpointAction_IsValid(request.action())) {
      return absl::InvalidArgumentError("an order to take a checkpoint of an unknown kind");
    }
    const auto kind = static_cast<BarrierKind>(request.action());
    const Barrier barrier{request.checkpoint_id(), request.triggered_unix_micros(), kind};
    for (const auto& [region, deployed] : regions_) {
      deployed->TriggerCheckpoint(barrier, request.directory());
    }
    return proto::TriggerCheckpointResponse();
  }

  absl::StatusOr<proto::NotifyCheckpointResponse> NotifyCheckpoint(
      const proto::NotifyCheckpointRequest& request) {
    WEIR_RETURN_IF_ERROR(CheckOrder(request));
    CompleteCheckpoint(request.completed_checkpoint());
    for (const auto& [region, deployed] : regions_) {
      deployed->OnAborted(request.aborted_checkpoint());
    }
    return proto::NotifyCheckpointResponse();
  }

  // A state that is told with each heartbeat too, for a notice may be lost.
  void CompleteCheckpoint(uint64_t id) {
    for (const auto& [region, deployed] : regions_) deployed->OnCompleted(id);
  }

  void Acknowledge(proto::AcknowledgeCheckpointRequest request,
                   std::function<void(absl::Status)> done) {
    if (ended_) return;
    request.set_leader_epoch(leader_epoch_);
    if (request.has_declined()) {
      request.mutable_declined()->set_task_manager(spec_.task_manager);
      surroundings_.log("warning", request.declined().message());
    }
    TypedCall<proto::AcknowledgeCheckpointRequest, proto::AcknowledgeCheckpointResponse>(
        *job_manager_, "/weir.JobManager/AcknowledgeCheckpoint", request, CallTimeout(), &control_,
        lifetime_.GuardConst(
            [this, done](const absl::StatusOr<proto::AcknowledgeCheckpointResponse>& response) {
              if (ended_) return;
              if (IsOfAnotherLeader(response.status())) {
                RegisterAgain();
                return done(absl::UnavailableError(response.status().message()));
              }
              if (!response.ok() && !MayBeRetried(response.status())) {
                return EndRefused(response.status());
              }
              done(response.status());
            }));
  }

  absl::StatusOr<proto::StartTasksResponse> StartTasks(const proto::StartTasksRequest& request) {
    WEIR_RETURN_IF_ERROR(CheckOrder(request));
    if (!std::exchange(aligning_, true)) AlignSources();
    if (regions_.empty()) return absl::FailedPreconditionError("no tasks are deployed here");
    for (const uint32_t region : Ordered(request, RegionsHere())) {
      DeployedRegion& deployed = *regions_.at(region);
      if (request.has_only() && deployed.attempt() != request.only().attempt()) {
        return absl::FailedPreconditionError(
            StrCat("attempt ", request.only().attempt(), " of region ", region,
                   " of the job is not deployed here, but attempt ", deployed.attempt()));
      }
      deployed.Start();
    }
    return proto::StartTasksResponse();
  }

  // What the job would be at another parallelism: the definition does not depend on it.
  absl::StatusOr<proto::BuildGraphResponse> BuildGraph(const proto::BuildGraphRequest& request) {
    WEIR_RETURN_IF_ERROR(CheckOrder(request));
    GraphOptions graph = GraphOptionsOf(spec_);
    graph.parallelism = request.parallelism();
    proto::BuildGraphResponse response;
    WEIR_ASSIGN_OR_RETURN(*response.mutable_graph(), BuildJobGraph(*job_->definition, graph));
    return response;
  }

  // Answers of tasks, gathered until all are there or nobody waits any more.
  struct Inspection {
    proto::InspectTasksResponse response;
    size_t open = 0;
    TypedResponder<proto::InspectTasksResponse> respond;

    void Answer() {
      if (respond) std::exchange(respond, nullptr)(std::move(response));
    }
  };
  void InspectTasks(const proto::InspectTasksRequest& request,
                    TypedResponder<proto::InspectTasksResponse> respond) {
    absl::Status refused = CheckOrder(request);
    const std::optional<TaskInspection::Kind> kind = TaskInspection::KindOf(request.kind());
    if (refused.ok() && !kind.has_value()) {
      refused = absl::UnimplementedError("this worker is of an older version");
    }
    if (!refused.ok()) return respond(refused);
    auto inspection = std::make_shared<Inspection>();
    inspection->respond = std::move(respond);
    const std::vector<uint32_t> vertices(request.vertices().begin(), request.vertices().end());
    auto take = lifetime_.GuardConst([inspection](proto::TaskInspection task) {
      *inspection->response.add_tasks() = std::move(task);
      if (--inspection->open == 0) inspection->Answer();
    });
    for (const auto& [region, deployed] : regions_) {
      inspection->open +=
          deployed->Inspect({*kind, request.operator_uid(), request.limit()}, vertices,
                            [&control = control_, take](proto::TaskInspection task) {
                              control.Post([take, task = std::move(task)] { take(task); });
                            });
    }
    if (inspection->open == 0) return inspection->Answer();
    control_.PostAfter(absl::Milliseconds(std::clamp(request.patience_ms(), 1u, 60'000u)),
                       lifetime_.GuardConst([inspection] { inspection->Answer(); }));
  }

  absl::StatusOr<proto::CancelTasksResponse> CancelTasks(const proto::CancelTasksRequest& request) {
    WEIR_RETURN_IF_ERROR(CheckOrder(request));
    proto::CancelTasksResponse response;
    if (!request.has_only()) {
      cancelled_ = true;
    } else {
      for (const uint32_t region : request.only().regions()) {
        uint32_t& up_to = cancelled_up_to_[region];
        up_to = std::max(up_to, request.only().attempt());
      }
    }
    for (const uint32_t region : Ordered(request, RegionsHere())) {
      DeployedRegion& deployed = *regions_.at(region);
      if (request.has_only() && deployed.attempt() > request.only().attempt()) continue;
      deployed.Cancel();
      deployed.DiscardIfEnded();
      if (!deployed.discarded()) response.add_ending(region);
    }
    return response;
  }

  std::vector<uint32_t> RegionsHere() const {
    std::vector<uint32_t> here;
    for (const auto& [region, deployed] : regions_) here.push_back(region);
    return here;
  }

  void OnTaskChange() {
    for (const auto& [region, deployed] : regions_) deployed->DiscardIfEnded();
    SendHeartbeat();
    if (stopping_ && AllTerminal()) End(WorkerExitCode::kStopped, {});
  }

  bool AllTerminal() const {
    return std::all_of(regions_.begin(), regions_.end(),
                       [](const auto& entry) { return entry.second->AllTerminal(); });
  }

  Surroundings surroundings_;
  Env& env_;
  Executor& control_;
  const WorkerSpec spec_;
  OnEnd on_end_;
  // Of every region.
  RuntimeOptions runtime_options_;
  ExchangeOptions exchange_options_;
  // Null: state is in memory.
  std::shared_ptr<StateBackend> state_backend_;
  uint64_t leader_epoch_;
  std::shared_ptr<LoadedJob> job_;
  std::unique_ptr<ExchangeHost> exchanges_;
  // Of the job's state files, on this host; null: there are none.
  std::shared_ptr<LocalCopies> copies_;
  uint64_t max_copied_bytes_ = 0;
  // Waiting for the answer to Deploy, by attempt.
  std::map<uint32_t, std::vector<TypedResponder<proto::DeployResponse>>> deploy_responders_;
  // Of all regions; outlives them.
  SourceAlignment alignment_;
  bool aligning_ = false;
  // Those that have tasks here, the newest attempt of each.
  std::map<uint32_t, std::unique_ptr<DeployedRegion>> regions_;
  // Attempts that are not to be deployed here any more.
  std::map<uint32_t, uint32_t> cancelled_up_to_;
  std::unique_ptr<Listener> listener_;
  std::shared_ptr<RemotePeer> job_manager_;
  absl::Duration heartbeat_interval_ = absl::Seconds(1);
  absl::Duration heartbeat_call_timeout_ = absl::Seconds(1);
  int64_t last_contact_nanos_ = 0;
  bool registered_ = false;
  bool heartbeats_begun_ = false;
  bool heartbeat_under_way_ = false;
  bool heartbeat_wanted_ = false;
  bool cancelled_ = false;
  bool stopping_ = false;
  bool ended_ = false;
  Lifetime lifetime_;
};

}  // namespace

std::unique_ptr<Worker> Worker::Make(Surroundings surroundings, WorkerSpec spec, OnEnd on_end) {
  WEIR_CHECK(surroundings.log != nullptr);
  return std::make_unique<RuntimeWorker>(std::move(surroundings), std::move(spec),
                                         std::move(on_end));
}

}  // namespace weir
