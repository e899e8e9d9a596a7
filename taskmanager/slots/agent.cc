#include "taskmanager/slots/agent.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/lifetime.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/options.h"
#include "proto/control.pb.h"
#include "taskmanager/slots/plugin_cache.h"
#include "taskmanager/slots/worker_table.h"
#include "transport/rpc/typed_call.h"

namespace weir {
namespace {

constexpr absl::Duration kFirstRetry = absl::Milliseconds(100);
constexpr absl::Duration kLastRetry = absl::Seconds(2);
constexpr absl::Duration kCallTimeout = absl::Seconds(5);
// How long an agent that ends waits for the job manager to take its last reports.
constexpr absl::Duration kFarewell = absl::Seconds(1);

bool MayBeRetried(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kDeadlineExceeded ||
         status.code() == absl::StatusCode::kCancelled;
}

// The job manager will never take this task manager, however often it asks.
bool IsRefusal(const absl::Status& status) {
  return status.code() == absl::StatusCode::kFailedPrecondition ||
         status.code() == absl::StatusCode::kInvalidArgument ||
         status.code() == absl::StatusCode::kPermissionDenied ||
         status.code() == absl::StatusCode::kUnauthenticated ||
         status.code() == absl::StatusCode::kUnimplemented;
}

TaskManagerId DrawId(Random& random) { return TaskManagerId(random.Next(), random.Next()); }

class SlotAgent final : public Agent {
 public:
  SlotAgent(Env& env, Executor& control, WorkerLauncher& launcher, AgentOptions options,
            OnEnd on_end)
      : env_(env),
        control_(control),
        options_(std::move(options)),
        on_end_(std::move(on_end)),
        id_(DrawId(env.random())),
        plugins_(PluginCache::Make(env, StrCat(options_.data_directory, "/plugins"))) {
    if (options_.local_copies_directory.empty()) {
      options_.local_copies_directory = StrCat(options_.data_directory, "/local");
    }
    workers_ = WorkerTable::Make(
        env, control, launcher, *plugins_,
        {.slots = options_.slots,
         .jobs_directory = StrCat(options_.data_directory, "/jobs"),
         .stop_grace = options_.worker_stop_grace},
        [this](const WorkerSpec& spec, const WorkerExit& exit, const proto::Failure& failure) {
          OnWorkerEnded(spec, exit, failure);
        });
  }

  ~SlotAgent() override {
    lifetime_.End();
    listener_.reset();
  }

  absl::Status Start() override {
    WEIR_ASSIGN_OR_RETURN(listener_, env_.network().Listen(options_.listen_address, Methods()));
    address_ = WithHost(listener_->address(), options_.host);
    if (options_.name.empty()) options_.name = address_;
    FindCopies();
    job_manager_ = env_.network().Connect(options_.job_manager_address);
    control_.Post(lifetime_.GuardConst([this] { Register(); }));
    return absl::OkStatus();
  }

  void Stop() override {
    control_.Post(lifetime_.GuardConst([this] { BeginEnd(absl::OkStatus()); }));
  }

  const std::string& address() const override { return address_; }

 private:
  void Log(std::string_view level, const std::string& text) { options_.log(level, text); }

  // --- Ending ---

  void BeginEnd(absl::Status why) {
    if (ending_) return;
    ending_ = true;
    end_status_ = std::move(why);
    workers_->StopAll();
    EndWhenDone();
  }

  void EndWhenDone() {
    if (!ending_ || ended_ || !workers_->Live().empty()) return;
    if (unreported_.empty()) return End();
    if (farewell_begun_) return;
    farewell_begun_ = true;
    control_.PostAfter(kFarewell, lifetime_.GuardConst([this] { End(); }));
  }

  void End() {
    if (ended_) return;
    ended_ = true;
    on_end_(end_status_);
  }

  // --- Registration and heartbeats ---

  absl::Duration NextRetry() {
    retry_ = retry_ == absl::ZeroDuration() ? kFirstRetry : std::min(2 * retry_, kLastRetry);
    // Between half of it and all of it, so that many task managers do not come at once.
    return retry_ / 2 + absl::Nanoseconds(static_cast<int64_t>(env_.random().Below(
                            static_cast<uint64_t>(absl::ToInt64Nanoseconds(retry_ / 2)))));
  }

  template <class Request>
  void AddWorkers(Request& request) const {
    const auto add = [&request](const WorkerKey& key) {
      proto::RunningWorker* worker = request.add_workers();
      worker->set_job_id(JobIdBytes(key.job));
      worker->set_attempt(key.attempt);
      worker->set_index(key.index);
    };
    for (const WorkerKey& key : workers_->Live()) add(key);
    // The job manager is to learn that one has ended together with the reason, not by its absence
    // from this list.
    for (const auto& [key, exited] : unreported_) add(key);
  }

  void Register() {
    if (ending_ || registering_) return;
    registering_ = true;
    registered_ = false;
    proto::RegisterTaskManagerRequest request;
    request.set_id(std::string(id_.bytes().begin(), id_.bytes().end()));
    request.set_name(options_.name);
    request.set_address(address_);
    request.set_slots(options_.slots);
    request.set_version(options_.version);
    request.set_protocol(options_.protocol);
    AddWorkers(request);
    TypedCall<proto::RegisterTaskManagerRequest, proto::RegisterTaskManagerResponse>(
        *job_manager_, "/weir.JobManager/RegisterTaskManager", request, kCallTimeout, &control_,
        lifetime_.GuardConst([this](absl::StatusOr<proto::RegisterTaskManagerResponse> response) {
          registering_ = false;
          OnRegistered(response);
        }));
  }

  void OnRegistered(const absl::StatusOr<proto::RegisterTaskManagerResponse>& response) {
    if (ending_) return;
    absl::Status status = response.status();
    if (status.ok()) status = AcceptEpoch(response->leader_epoch());
    if (!response.ok() && IsRefusal(status)) {
      Log("error", StrCat("the job manager at ", options_.job_manager_address,
                          " refuses this task manager: ", status.message()));
      return BeginEnd(status);
    }
    if (!status.ok()) {
      if (!unreachable_logged_) {
        Log("warning", StrCat("not registered at the job manager at ", options_.job_manager_address,
                              " yet, trying on: ", status.message()));
      }
      unreachable_logged_ = true;
      control_.PostAfter(NextRetry(), lifetime_.GuardConst([this] { Register(); }));
      return;
    }
    unreachable_logged_ = false;
    retry_ = absl::ZeroDuration();
    registered_ = true;
    heartbeat_interval_ =
        absl::Milliseconds(std::clamp(response->heartbeat_interval_ms(), 10u, 60'000u));
    // Short enough for another try before the job manager gives this task manager up.
    heartbeat_call_timeout_ =
        absl::Milliseconds(std::clamp(response->heartbeat_timeout_ms(), 90u, 600'000u)) / 3;
    Log("info", StrCat("registered at the job manager at ", options_.job_manager_address,
                       ", leader epoch ", highest_epoch_, ", ", options_.slots, " slots"));
    for (auto& [key, exited] : unreported_) ReportExit(key);
    ScheduleHeartbeat();
  }

  // One loop: a heartbeat is scheduled when the one before has been answered or has failed.
  void ScheduleHeartbeat() {
    control_.PostAfter(heartbeat_interval_, lifetime_.GuardConst([this] { SendHeartbeat(); }));
  }

  void SendHeartbeat() {
    if (ended_ || !registered_) return;
    proto::TaskManagerHeartbeatRequest request;
    request.set_id(std::string(id_.bytes().begin(), id_.bytes().end()));
    request.set_leader_epoch(highest_epoch_);
    AddWorkers(request);
    for (const JobId& job : copied_jobs_) request.add_copies_of(JobIdBytes(job));
    TypedCall<proto::TaskManagerHeartbeatRequest, proto::TaskManagerHeartbeatResponse>(
        *job_manager_, "/weir.JobManager/TaskManagerHeartbeat", request, heartbeat_call_timeout_,
        &control_,
        lifetime_.GuardConst([this](absl::StatusOr<proto::TaskManagerHeartbeatResponse> response) {
          OnHeartbeat(response);
        }));
  }

  void OnHeartbeat(const absl::StatusOr<proto::TaskManagerHeartbeatResponse>& response) {
    if (ended_) return;
    if (!response.ok()) {
      if (MayBeRetried(response.status())) {
        if (!unreachable_logged_) {
          Log("warning",
              StrCat("the job manager does not answer, trying on: ", response.status().message()));
        }
        unreachable_logged_ = true;
        return ScheduleHeartbeat();
      }
      Log("warning", StrCat("the job manager does not know this task manager, registering again: ",
                            response.status().message()));
      return Register();
    }
    if (AcceptEpoch(response->leader_epoch()).ok()) {
      if (unreachable_logged_) Log("info", "the job manager answers again");
      unreachable_logged_ = false;
      for (const proto::RunningWorker& worker : response->stop()) {
        const auto job = ReadJobId(worker.job_id());
        if (job.ok()) workers_->Stop({*job, worker.attempt(), worker.index()});
      }
      for (auto& [key, exited] : unreported_) ReportExit(key);
      for (const std::string& over : response->over()) {
        const auto job = ReadJobId(over);
        if (job.ok()) DeleteCopies(*job);
      }
    }
    ScheduleHeartbeat();
  }

  // --- Copies of state files ---

  std::string CopiesOf(const JobId& job) const {
    return StrCat(options_.local_copies_directory, "/weir-", job.ToString());
  }

  // Of jobs that ran here under an agent before.
  void FindCopies() {
    env_.RunBlocking([&env = env_, &control = control_, folder = options_.local_copies_directory,
                      found = lifetime_.Guard([this](const std::set<JobId>& jobs) {
                        copied_jobs_.insert(jobs.begin(), jobs.end());
                      })]() mutable {
      std::set<JobId> jobs;
      const auto entries = env.files().List(folder);
      if (!entries.ok()) return;  // nothing was copied yet
      for (const FileInfo& entry : *entries) {
        const std::string name = entry.path.substr(entry.path.rfind('/') + 1);
        if (!name.starts_with("weir-")) continue;
        const auto job = JobId::Parse(name.substr(5));
        if (job.ok()) jobs.insert(*job);
      }
      control.Post([found = std::move(found), jobs = std::move(jobs)]() mutable { found(jobs); });
    });
  }

  void DeleteCopies(const JobId& job) {
    const bool runs = std::any_of(unreported_.begin(), unreported_.end(),
                                  [&](const auto& entry) { return entry.first.job == job; });
    const std::vector<WorkerKey> live = workers_->Live();
    if (runs || std::any_of(live.begin(), live.end(),
                            [&](const WorkerKey& key) { return key.job == job; })) {
      return;  // with a later heartbeat
    }
    copied_jobs_.erase(job);
    env_.RunBlocking([&files = env_.files(), folder = CopiesOf(job)] {
      // What stays is found by the next agent.
      files.DeleteRecursively(folder).IgnoreError();
    });
  }

  absl::Status AcceptEpoch(uint64_t epoch) {
    if (epoch < highest_epoch_) {
      return absl::FailedPreconditionError(
          StrCat("leader epoch ", epoch, " is over: this task manager knows of ", highest_epoch_,
                 "; a newer job manager has taken over"));
    }
    highest_epoch_ = epoch;
    return absl::OkStatus();
  }

  // --- Ended workers ---

  struct Exited {
    proto::WorkerExitedRequest request;
    bool under_way = false;
  };

  void OnWorkerEnded(const WorkerSpec& spec, const WorkerExit& exit,
                     const proto::Failure& failure) {
    Log(exit.exit_code == 0 && exit.signal == 0 ? "info" : "warning",
        StrCat("worker ", spec.key.ToString(), " ended: ", failure.message()));
    Exited& exited = unreported_[spec.key];
    exited.request.set_task_manager_id(std::string(id_.bytes().begin(), id_.bytes().end()));
    exited.request.set_job_id(JobIdBytes(spec.key.job));
    exited.request.set_attempt(spec.key.attempt);
    exited.request.set_worker_index(spec.key.index);
    exited.request.set_exit_code(exit.exit_code);
    exited.request.set_signal(exit.signal);
    *exited.request.mutable_failure() = failure;
    ReportExit(spec.key);
    EndWhenDone();
  }

  // Repeated with every heartbeat until the job manager has taken or refused it.
  void ReportExit(const WorkerKey& key) {
    Exited& exited = unreported_.at(key);
    if (exited.under_way || !registered_) return;
    exited.under_way = true;
    exited.request.set_leader_epoch(highest_epoch_);
    TypedCall<proto::WorkerExitedRequest, proto::WorkerExitedResponse>(
        *job_manager_, "/weir.JobManager/WorkerExited", exited.request, kCallTimeout, &control_,
        lifetime_.GuardConst(
            [this, key](const absl::StatusOr<proto::WorkerExitedResponse>& response) {
              const auto it = unreported_.find(key);
              it->second.under_way = false;
              if (!response.ok() && MayBeRetried(response.status())) return;
              // Another leader: it is told once this task manager has registered there.
              if (response.status().code() == absl::StatusCode::kAborted) return Register();
              if (!response.ok()) {
                Log("info", StrCat("the job manager does not want to know that worker ",
                                   key.ToString(), " ended: ", response.status().message()));
              }
              unreported_.erase(it);
              EndWhenDone();
            }));
  }

  // --- What the job manager orders ---

  ServerMethods Methods() {
    ServerMethods methods;
    methods.unary.push_back(TypedUnary<proto::StartWorkerRequest, proto::StartWorkerResponse>(
        "/weir.TaskManager/StartWorker", &control_,
        lifetime_.GuardConst([this](const proto::StartWorkerRequest& request, auto respond) {
          StartWorker(request, std::move(respond));
        })));
    methods.unary.push_back(TypedUnary<proto::StopWorkerRequest, proto::StopWorkerResponse>(
        "/weir.TaskManager/StopWorker", &control_,
        lifetime_.GuardConst([this](const proto::StopWorkerRequest& request, auto respond) {
          respond(StopWorker(request));
        })));
    methods.unary.push_back(TypedUnary<proto::WorkerLogRequest, proto::WorkerLogResponse>(
        "/weir.TaskManager/WorkerLog", &control_,
        lifetime_.GuardConst([this](const proto::WorkerLogRequest& request, auto respond) {
          ReadWorkerLog(request, std::move(respond));
        })));
    return methods;
  }

  void StartWorker(const proto::StartWorkerRequest& request,
                   TypedResponder<proto::StartWorkerResponse> respond) {
    if (absl::Status fenced = AcceptEpoch(request.leader_epoch()); !fenced.ok()) {
      return respond(fenced);
    }
    if (ending_) return respond(absl::UnavailableError("this task manager is shutting down"));
    absl::StatusOr<WorkerSpec> spec = WorkerSpecFromRequest(request);
    if (!spec.ok()) return respond(spec.status());
    if (spec->job_manager_address.empty()) {
      spec->job_manager_address = options_.job_manager_address;
    }
    spec->task_manager = options_.name;
    spec->listen_host = options_.listen_address.substr(0, options_.listen_address.rfind(':'));
    spec->host = options_.host;
    spec->memory_limit_bytes = options_.worker_memory_limit_bytes;
    spec->orphan_timeout = options_.worker_orphan_timeout;
    const auto copies = spec->settings.find(std::string(options::kLocalRecovery.key));
    if (copies != spec->settings.end() && copies->second == "true") {
      spec->local_copies = CopiesOf(spec->key.job);
      copied_jobs_.insert(spec->key.job);
    }
    workers_->Start(*std::move(spec),
                    [this, respond = std::move(respond)](absl::StatusOr<int64_t> pid) mutable {
                      if (!pid.ok()) {
                        respond(pid.status());
                        return EndWhenDone();
                      }
                      proto::StartWorkerResponse response;
                      response.set_pid(*pid);
                      respond(std::move(response));
                    });
  }

  absl::StatusOr<proto::StopWorkerResponse> StopWorker(const proto::StopWorkerRequest& request) {
    WEIR_RETURN_IF_ERROR(AcceptEpoch(request.leader_epoch()));
    WEIR_ASSIGN_OR_RETURN(const JobId job, ReadJobId(request.job_id()));
    workers_->Stop({job, request.attempt(), request.worker_index()});
    return proto::StopWorkerResponse();
  }

  void ReadWorkerLog(const proto::WorkerLogRequest& request,
                     TypedResponder<proto::WorkerLogResponse> respond) {
    if (absl::Status fenced = AcceptEpoch(request.leader_epoch()); !fenced.ok()) {
      return respond(fenced);
    }
    const absl::StatusOr<JobId> job = ReadJobId(request.job_id());
    if (!job.ok()) return respond(job.status());
    workers_->ReadLog(*job, request.worker_index(), request.max_lines(),
                      [respond = std::move(respond)](absl::StatusOr<std::string> text) mutable {
                        if (!text.ok()) return respond(text.status());
                        proto::WorkerLogResponse response;
                        response.set_text(*std::move(text));
                        respond(std::move(response));
                      });
  }

  Env& env_;
  Executor& control_;
  AgentOptions options_;
  const OnEnd on_end_;
  const TaskManagerId id_;
  std::string address_;
  std::shared_ptr<RemotePeer> job_manager_;
  std::unique_ptr<PluginCache> plugins_;
  std::unique_ptr<WorkerTable> workers_;
  std::map<WorkerKey, Exited> unreported_;
  // Of whose state files copies may be here.
  std::set<JobId> copied_jobs_;
  std::unique_ptr<Listener> listener_;
  uint64_t highest_epoch_ = 0;
  absl::Duration heartbeat_interval_ = absl::Seconds(1);
  absl::Duration heartbeat_call_timeout_ = absl::Seconds(1);
  absl::Duration retry_ = absl::ZeroDuration();
  bool registering_ = false;
  bool registered_ = false;
  bool unreachable_logged_ = false;
  bool ending_ = false;
  bool ended_ = false;
  bool farewell_begun_ = false;
  absl::Status end_status_;
  Lifetime lifetime_;
};

}  // namespace

std::unique_ptr<Agent> Agent::Make(Env& env, Executor& control, WorkerLauncher& launcher,
                                   AgentOptions options, OnEnd on_end) {
  WEIR_CHECK(options.log != nullptr);
  return std::make_unique<SlotAgent>(env, control, launcher, std::move(options), std::move(on_end));
}

}  // namespace weir
