#include "jobmanager/dispatch/dispatcher.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/base/version.h"
#include "jobmanager/dispatch/checkpoint_report.h"
#include "jobmanager/schedule/root_cause.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"
#include "proto/job_record.pb.h"

namespace weir::jobmanager {
namespace {

template <class Id>
std::string BytesOf(const Id& id) {
  return std::string(id.bytes().begin(), id.bytes().end());
}

template <class Id>
absl::StatusOr<Id> IdFromBytes(const std::string& bytes, std::string_view what) {
  if (bytes.size() != Id::kBytes) {
    return absl::InvalidArgumentError(
        StrCat(what, " has 16 bytes, shown as 32 hex digits; this one has ", bytes.size()));
  }
  std::array<uint8_t, Id::kBytes> id;
  std::copy(bytes.begin(), bytes.end(), id.begin());
  return Id(id);
}

template <class Response>
void FillHeartbeatSettings(const ScheduleOptions& options, Response& response) {
  response.set_heartbeat_interval_ms(
      static_cast<uint32_t>(absl::ToInt64Milliseconds(options.heartbeat_interval)));
  response.set_heartbeat_timeout_ms(
      static_cast<uint32_t>(absl::ToInt64Milliseconds(options.heartbeat_timeout)));
}

}  // namespace

Dispatcher::Dispatcher(Env& env, Executor& executor, Executor& writer, CoordinationStore& store,
                       uint64_t leader_epoch, DispatcherOptions options)
    : env_(env),
      executor_(executor),
      leader_epoch_(leader_epoch),
      options_(std::move(options)),
      task_managers_(env),
      records_(executor, writer, store, options_.log,
               [this](const absl::Status& why) {
                 ready_ = false;
                 superseded_ = true;
                 if (options_.superseded) options_.superseded(why);
               }),
      leftover_looks_(
          env, executor, [this](Closure leads) { records_.ConfirmLeadership(std::move(leads)); },
          options_.log) {
  WEIR_CHECK(options_.log != nullptr);
}

Dispatcher::~Dispatcher() { lifetime_.End(); }

void Dispatcher::Start(std::string address, const std::vector<StoredJob>& jobs) {
  address_ = std::move(address);
  ready_ = true;
  std::vector<const StoredJob*> ordered;
  for (const StoredJob& job : jobs) ordered.push_back(&job);
  const auto submitted = [](const StoredJob* job) {
    return job->submitted == nullptr ? 0 : job->submitted->submitted_unix_micros();
  };
  std::stable_sort(ordered.begin(), ordered.end(), [&](const StoredJob* a, const StoredJob* b) {
    return submitted(a) < submitted(b);
  });
  for (const StoredJob* job : ordered) TakeUp(*job);
  started_unix_micros_ = absl::ToUnixMicros(env_.clock().Now());
  next_tick_nanos_ = env_.clock().MonotonicNanos();
  Tick();
}

absl::Status Dispatcher::CheckReady() const {
  if (ready_) return absl::OkStatus();
  return absl::UnavailableError(superseded_ ? "this job manager leads no more"
                                            : "the job manager is starting");
}

void Dispatcher::WriteRecord(const JobId& id, std::shared_ptr<const proto::JobRecord> record,
                             Closure durable) {
  records_.Write(id, std::move(record), std::move(durable));
}

void Dispatcher::ConfirmLeadership(Closure leads) { records_.ConfirmLeadership(std::move(leads)); }

void Dispatcher::OnHigherEpoch(uint64_t epoch) {
  records_.Supersede(absl::AbortedError(
      StrCat("a task manager or worker knows of a job manager with leader epoch ", epoch,
             ", which is newer than ", leader_epoch_)));
}

void Dispatcher::Log(std::string_view level, std::string_view text) { options_.log(level, text); }

// ---- Jobs and clients ----

void Dispatcher::Accept(JobSpec spec, std::function<void(absl::StatusOr<JobId>)> done) {
  if (absl::Status ready = CheckReady(); !ready.ok()) return done(ready);
  const auto active =
      static_cast<size_t>(std::count_if(entries_.begin(), entries_.end(), [](const auto& entry) {
        return !IsTerminal(entry->job->state());
      }));
  if (active + being_added_ >= options_.max_jobs) {
    return done(absl::ResourceExhaustedError(
        StrCat(active, " jobs have not ended yet, which is as many as are allowed; cancel one")));
  }
  auto policies = JobPolicies::Make(options_.settings, spec.settings);
  if (!policies.ok()) return done(policies.status());
  spec.policies = *std::move(policies);
  for (const auto& [key, value] : options_.settings.SetValues()) {
    if (IsOfJobs(key)) spec.cluster_settings.emplace(key, value);
  }
  do {
    spec.id = JobId(env_.random().Next(), env_.random().Next());
  } while (spec.id.IsZero() || by_id_.contains(spec.id) || unreadable_.contains(spec.id));
  spec.submitted_unix_micros = absl::ToUnixMicros(env_.clock().Now());
  ++being_added_;
  const JobId id = spec.id;
  auto submitted = ToSubmittedJob(spec);
  auto record = Job::InitialRecord(spec);
  records_.Add(
      id, std::move(submitted), std::move(record),
      [this, spec = std::move(spec), done = std::move(done)](const absl::Status& added) mutable {
        --being_added_;
        if (!added.ok()) return done(added);
        const JobId of = spec.id;
        Log("info",
            StrCat("audit: job ", of.ToString(), " '", spec.name, "' submitted, plugin ",
                   spec.plugin_sha256, ", ", spec.graph->vertices_size(), " vertices",
                   spec.restore.has_value() ? StrCat(", from ", spec.restore->directory) : ""));
        auto entry = std::make_unique<Entry>();
        by_id_[of] = entry.get();
        entry->job = std::make_unique<Job>(*this, std::move(spec));
        entries_.push_back(std::move(entry));
        changed_ = true;
        ScheduleWaiting();
        done(of);
      });
}

absl::StatusOr<Job*> Dispatcher::FindJob(const std::string& id_bytes) const {
  WEIR_RETURN_IF_ERROR(CheckReady());
  WEIR_ASSIGN_OR_RETURN(const JobId id, IdFromBytes<JobId>(id_bytes, "a job's id"));
  if (auto unreadable = unreadable_.find(id); unreadable != unreadable_.end()) {
    return absl::FailedPreconditionError(
        StrCat("job ", id.ToString(), " could not be taken up when the job manager was started: ",
               ToStd(unreadable->second.why.message())));
  }
  auto entry = by_id_.find(id);
  if (entry == by_id_.end()) {
    return absl::NotFoundError(
        StrCat("there is no job ", id.ToString(), "; `jobctl list` shows those that there are"));
  }
  return entry->second->job.get();
}

absl::StatusOr<proto::ListJobsResponse> Dispatcher::ListJobs() {
  WEIR_RETURN_IF_ERROR(CheckReady());
  proto::ListJobsResponse response;
  for (const auto& [id, job] : unreadable_) FillUnreadable(id, job, *response.add_jobs());
  for (const auto& entry : entries_) entry->job->FillSummary(*response.add_jobs());
  return response;
}

absl::StatusOr<proto::JobStatusResponse> Dispatcher::JobStatus(
    const proto::JobStatusRequest& request) {
  proto::JobStatusResponse response;
  const absl::StatusOr<JobId> id = IdFromBytes<JobId>(request.job_id(), "a job's id");
  if (auto job = id.ok() ? unreadable_.find(*id) : unreadable_.end(); job != unreadable_.end()) {
    FillUnreadable(*id, job->second, *response.mutable_summary());
    *response.mutable_failure() = MakeFailure(job->second.why, {}, 0);
    return response;
  }
  WEIR_ASSIGN_OR_RETURN(const Job* job, FindJob(request.job_id()));
  job->FillStatus(true, response);
  *response.mutable_graph() = *job->spec().graph;
  if (response.ByteSizeLong() <= kMaxControlMessageBytes) return response;
  // A very large job: its state without its numbers.
  for (proto::TaskReport& task : *response.mutable_tasks()) task.clear_operators();
  if (response.ByteSizeLong() > kMaxControlMessageBytes) response.clear_graph();
  return response;
}

void Dispatcher::CancelJob(const proto::CancelJobRequest& request,
                           TypedResponder<proto::CancelJobResponse> respond) {
  absl::StatusOr<Job*> job = FindJob(request.job_id());
  if (!job.ok()) return respond(job.status());
  const auto answer =
      std::make_shared<TypedResponder<proto::CancelJobResponse>>(std::move(respond));
  const JobId id = (*job)->spec().id;
  absl::StatusOr<proto::JobState> state = (*job)->Cancel([this, id, answer] {
    auto entry = by_id_.find(id);
    if (entry == by_id_.end()) return (*answer)(absl::NotFoundError("the job has been forgotten"));
    proto::CancelJobResponse response;
    response.set_state(entry->second->job->state());
    (*answer)(std::move(response));
  });
  Log("info",
      StrCat("audit: job ", id.ToString(), " '", (*job)->spec().name, "' cancel asked for: ",
             state.ok() ? std::string(Name(*state)) : std::string(state.status().message())));
  if (!state.ok()) (*answer)(state.status());
}

absl::StatusOr<proto::TriggerSavepointResponse> Dispatcher::TriggerSavepoint(
    const proto::TriggerSavepointRequest& request) {
  WEIR_ASSIGN_OR_RETURN(Job * job, FindJob(request.job_id()));
  const absl::Status begun = job->TriggerSavepoint(request);
  Log("info",
      StrCat("audit: job ", job->spec().id.ToString(), " '", job->spec().name, "' ",
             request.then() == proto::GO_ON ? "savepoint" : "stop with savepoint", " asked for",
             begun.ok() ? std::string() : StrCat(", refused: ", ToStd(begun.message()))));
  if (!begun.ok()) return begun;
  proto::TriggerSavepointResponse response;
  WEIR_RETURN_IF_ERROR(job->FillSavepoint(request.trigger_id(), *response.mutable_progress()));
  return response;
}

absl::StatusOr<proto::SavepointStatusResponse> Dispatcher::SavepointStatus(
    const proto::SavepointStatusRequest& request) {
  WEIR_ASSIGN_OR_RETURN(const Job* job, FindJob(request.job_id()));
  proto::SavepointStatusResponse response;
  WEIR_RETURN_IF_ERROR(job->FillSavepoint(request.trigger_id(), *response.mutable_progress()));
  return response;
}

absl::StatusOr<proto::JobCheckpointsResponse> Dispatcher::JobCheckpoints(
    const proto::JobCheckpointsRequest& request) {
  WEIR_ASSIGN_OR_RETURN(const Job* job, FindJob(request.job_id()));
  return ReportCheckpoints(*job->Checkpoints(), *job->spec().graph, request.checkpoint_id());
}

absl::StatusOr<proto::RescaleJobResponse> Dispatcher::RescaleJob(
    const proto::RescaleJobRequest& request) {
  WEIR_ASSIGN_OR_RETURN(Job * job, FindJob(request.job_id()));
  const absl::Status begun = job->Rescale(request);
  Log("info", StrCat("audit: job ", job->spec().id.ToString(), " '", job->spec().name,
                     "' parallelism ", request.parallelism(), " asked for",
                     begun.ok() ? std::string() : StrCat(", refused: ", ToStd(begun.message()))));
  if (!begun.ok()) return begun;
  proto::RescaleJobResponse response;
  WEIR_RETURN_IF_ERROR(job->FillRescale(request.trigger_id(), *response.mutable_progress()));
  return response;
}

absl::StatusOr<proto::RescaleStatusResponse> Dispatcher::RescaleStatus(
    const proto::RescaleStatusRequest& request) {
  WEIR_ASSIGN_OR_RETURN(const Job* job, FindJob(request.job_id()));
  proto::RescaleStatusResponse response;
  WEIR_RETURN_IF_ERROR(job->FillRescale(request.trigger_id(), *response.mutable_progress()));
  return response;
}

absl::StatusOr<proto::ClusterInfoResponse> Dispatcher::ClusterInfo() {
  WEIR_RETURN_IF_ERROR(CheckReady());
  proto::ClusterInfoResponse response;
  response.set_version(std::string(kVersion));
  response.set_leader_epoch(leader_epoch_);
  response.set_started_unix_micros(started_unix_micros_);
  for (const TaskManagerRecord* record : task_managers_.All()) {
    auto* shown = response.add_task_managers();
    shown->set_name(record->name);
    shown->set_address(record->address);
    shown->set_slots_total(record->slots);
    shown->set_slots_free(task_managers_.slots().free_on(record->id));
    shown->set_version(record->version);
    shown->set_last_heartbeat_unix_micros(record->last_heard_unix_micros);
    shown->set_id(BytesOf(record->id));
  }
  return response;
}

// ---- Task managers ----

absl::StatusOr<proto::RegisterTaskManagerResponse> Dispatcher::RegisterTaskManager(
    const proto::RegisterTaskManagerRequest& request) {
  WEIR_RETURN_IF_ERROR(CheckReady());
  if (absl::Status fit = task_managers_.Check(request); !fit.ok()) {
    Log("warning", StrCat("a task manager was refused: ", ToStd(fit.message())));
    return fit;
  }
  WEIR_ASSIGN_OR_RETURN(const TaskManagerId id,
                        IdFromBytes<TaskManagerId>(request.id(), "a task manager's id"));
  while (const TaskManagerRecord* other = task_managers_.FindOther(request.address(), id)) {
    LoseTaskManager(other->id, absl::UnavailableError(
                                   StrCat("task manager '", other->name, "' was restarted")));
  }
  const bool known = task_managers_.Find(id) != nullptr;
  const TaskManagerRecord& record = task_managers_.Register(request);
  Log("info", StrCat("task manager '", record.name, "' at ", record.address, " registered",
                     known ? " again" : "", " with ", record.slots,
                     record.slots == 1 ? " slot" : " slots"));
  changed_ = true;
  // The slots of its workers are taken before others are given any.
  const std::string address = record.address;
  for (const auto& entry : entries_) entry->job->OnTaskManagerRegistered(id, address);
  ScheduleWaiting();
  proto::RegisterTaskManagerResponse response;
  response.set_leader_epoch(leader_epoch_);
  FillHeartbeatSettings(options_.schedule, response);
  return response;
}

absl::StatusOr<proto::TaskManagerHeartbeatResponse> Dispatcher::TaskManagerHeartbeat(
    const proto::TaskManagerHeartbeatRequest& request) {
  WEIR_RETURN_IF_ERROR(CheckReady());
  WEIR_ASSIGN_OR_RETURN(const TaskManagerId id,
                        IdFromBytes<TaskManagerId>(request.id(), "a task manager's id"));
  if (request.leader_epoch() > leader_epoch_) {
    OnHigherEpoch(request.leader_epoch());
    return absl::UnavailableError("this job manager leads no more");
  }
  if (request.leader_epoch() != leader_epoch_) {
    return absl::AbortedError(StrCat("leader epoch ", request.leader_epoch(),
                                     " is not the current one, ", leader_epoch_,
                                     ": register again"));
  }
  if (task_managers_.Find(id) == nullptr) {
    return absl::NotFoundError("this task manager is not registered (any more): register again");
  }
  task_managers_.Heard(id);
  proto::TaskManagerHeartbeatResponse response;
  response.set_leader_epoch(leader_epoch_);
  std::map<Job*, std::set<uint32_t>> running;
  for (const proto::RunningWorker& worker : request.workers()) {
    absl::StatusOr<Job*> job = FindJob(worker.job_id());
    // What cannot be read is nothing to act on.
    if (job.status().code() == absl::StatusCode::kFailedPrecondition) continue;
    if (job.ok() && worker.attempt() == (*job)->attempt()) running[*job].insert(worker.index());
    if (!job.ok() || !(*job)->Wants(id, worker.attempt(), worker.index())) {
      *response.add_stop() = worker;
    }
  }
  for (const std::string& copied : request.copies_of()) {
    const absl::StatusOr<Job*> job = FindJob(copied);
    const bool over = job.ok() ? IsTerminal((*job)->state()) : absl::IsNotFound(job.status());
    if (over) response.add_over(copied);
  }
  for (const auto& entry : entries_) {
    if (!entry->job->settled()) entry->job->OnWorkersOf(id, running[entry->job.get()]);
  }
  return response;
}

void Dispatcher::LoseTaskManager(TaskManagerId id, const absl::Status& reason) {
  Log("warning", reason.message().empty() ? std::string_view("a task manager is lost")
                                          : ToStd(reason.message()));
  // First its slots, so that no job is placed there by what follows.
  task_managers_.Remove(id);
  for (const auto& entry : entries_) entry->job->OnTaskManagerLost(id, reason);
  changed_ = true;
}

std::shared_ptr<RemotePeer> Dispatcher::Agent(const TaskManagerId& id) {
  const TaskManagerRecord* record = task_managers_.Find(id);
  return record == nullptr ? nullptr : record->agent;
}

std::string Dispatcher::TaskManagerAddress(const TaskManagerId& id) {
  const TaskManagerRecord* record = task_managers_.Find(id);
  return record == nullptr ? std::string() : record->address;
}

std::string Dispatcher::TaskManagerName(const TaskManagerId& id) {
  const TaskManagerRecord* record = task_managers_.Find(id);
  return record == nullptr ? std::string() : record->name;
}

// ---- Workers ----

absl::StatusOr<proto::WorkerExitedResponse> Dispatcher::WorkerExited(
    const proto::WorkerExitedRequest& request) {
  WEIR_ASSIGN_OR_RETURN(Job * job, FindJob(request.job_id()));
  WEIR_RETURN_IF_ERROR(job->OnWorkerExited(request));
  return proto::WorkerExitedResponse();
}

absl::StatusOr<proto::RegisterWorkerResponse> Dispatcher::RegisterWorker(
    const proto::RegisterWorkerRequest& request) {
  WEIR_ASSIGN_OR_RETURN(Job * job, FindJob(request.job_id()));
  WEIR_RETURN_IF_ERROR(job->OnRegisterWorker(request));
  proto::RegisterWorkerResponse response;
  response.set_leader_epoch(leader_epoch_);
  FillHeartbeatSettings(options_.schedule, response);
  return response;
}

absl::StatusOr<proto::WorkerHeartbeatResponse> Dispatcher::WorkerHeartbeat(
    const proto::WorkerHeartbeatRequest& request) {
  WEIR_ASSIGN_OR_RETURN(Job * job, FindJob(request.job_id()));
  WEIR_RETURN_IF_ERROR(job->OnWorkerHeartbeat(request));
  proto::WorkerHeartbeatResponse response;
  response.set_leader_epoch(leader_epoch_);
  response.set_completed_checkpoint(job->completed_checkpoint());
  return response;
}

absl::StatusOr<proto::AcknowledgeCheckpointResponse> Dispatcher::AcknowledgeCheckpoint(
    const proto::AcknowledgeCheckpointRequest& request) {
  WEIR_ASSIGN_OR_RETURN(Job * job, FindJob(request.job_id()));
  WEIR_RETURN_IF_ERROR(job->OnAcknowledgeCheckpoint(request));
  return proto::AcknowledgeCheckpointResponse();
}

void Dispatcher::InspectJob(const proto::InspectJobRequest& request,
                            TypedResponder<proto::InspectJobResponse> respond) {
  absl::StatusOr<Job*> job = FindJob(request.job_id());
  if (!job.ok()) return respond(job.status());
  (*job)->Inspect(request, std::move(respond));
}

absl::StatusOr<proto::AlignSourcesResponse> Dispatcher::AlignSources(
    const proto::AlignSourcesRequest& request) {
  WEIR_ASSIGN_OR_RETURN(Job * job, FindJob(request.job_id()));
  proto::AlignSourcesResponse response;
  response.set_leader_epoch(leader_epoch_);
  WEIR_RETURN_IF_ERROR(job->OnAlignSources(request, response));
  return response;
}

// ---- What jobs say, and what comes with time ----

void Dispatcher::OnJobChanged(const JobId& id) {
  changed_ = true;
  auto entry = by_id_.find(id);
  if (entry == by_id_.end() || entry->second->job == nullptr) return;  // being made
  entry->second->snapshot = nullptr;
  if (IsTerminal(entry->second->job->state())) TidyLater();
}

void Dispatcher::OnSlotsFreed() { ScheduleWaiting(); }

void Dispatcher::ScheduleWaiting() {
  if (schedule_pending_) return;
  schedule_pending_ = true;
  executor_.Post(lifetime_.Guard([this] {
    schedule_pending_ = false;
    for (const auto& entry : entries_) entry->job->TrySchedule();
  }));
}

void Dispatcher::TidyLater() {
  if (tidy_pending_) return;
  tidy_pending_ = true;
  executor_.Post(lifetime_.Guard([this] {
    tidy_pending_ = false;
    Tidy();
  }));
}

void Dispatcher::Tidy() {
  std::vector<const Job*> settled;
  for (const auto& entry : entries_) {
    if (!entry->job->settled()) continue;
    entry->job->MarkClean();
    settled.push_back(entry->job.get());
    if (entry->plugin_released) continue;
    entry->plugin_released = true;
    if (options_.release_plugin) options_.release_plugin(entry->job->spec().plugin_sha256);
  }
  if (settled.size() <= options_.max_ended_jobs) return;
  std::sort(settled.begin(), settled.end(), [](const Job* a, const Job* b) {
    return a->ended_unix_micros() < b->ended_unix_micros();
  });
  settled.resize(settled.size() - options_.max_ended_jobs);
  for (const Job* job : settled) {
    by_id_.erase(job->spec().id);
    records_.Remove(job->spec().id);
    std::erase_if(entries_, [job](const auto& entry) { return entry->job.get() == job; });
  }
  changed_ = true;
}

void Dispatcher::Tick() {
  const absl::Duration interval = options_.schedule.heartbeat_interval;
  const absl::Duration timeout = options_.schedule.heartbeat_timeout;
  const int64_t now = env_.clock().MonotonicNanos();
  if (absl::Nanoseconds(now - next_tick_nanos_) > timeout / 4) {
    // This process did not run for a while: it cannot say who was silent.
    Log("warning", StrCat("this job manager was paused for ",
                          absl::FormatDuration(absl::Nanoseconds(now - next_tick_nanos_))));
    task_managers_.ForgiveSilence();
    for (const auto& entry : entries_) entry->job->ForgiveSilence(now);
  }
  for (const TaskManagerId& id : task_managers_.Silent(timeout)) {
    LoseTaskManager(id, absl::UnavailableError(StrCat("task manager '", TaskManagerName(id),
                                                      "' is lost: nothing was heard of it for ",
                                                      absl::FormatDuration(timeout))));
  }
  for (const auto& entry : entries_) entry->job->CheckWorkers(now);
  if (changed_) Publish();
  next_tick_nanos_ = now + absl::ToInt64Nanoseconds(interval);
  executor_.PostAfter(interval, lifetime_.Guard([this] { Tick(); }));
}

}  // namespace weir::jobmanager
