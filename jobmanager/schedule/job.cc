#include "jobmanager/schedule/job.h"

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "jobmanager/schedule/phase_internal.h"

namespace weir::jobmanager {
namespace {

// An agent's heartbeats follow one another, so that what is absent from two, after the agent has
// answered for it, was not there when the second one was made.
constexpr int kAbsencesUntilGone = 2;

}  // namespace

Job::Job(JobSurroundings& surroundings, JobSpec spec)
    : core_(std::make_unique<JobCore>(surroundings, std::move(spec), nullptr)) {
  core_->phase->Enter();
}

Job::Job(JobSurroundings& surroundings, JobSpec spec, const proto::JobRecord& stored)
    : core_(std::make_unique<JobCore>(surroundings, std::move(spec), &stored)) {
  core_->phase->Enter();
}

std::shared_ptr<const proto::JobRecord> Job::InitialRecord(const JobSpec& spec) {
  auto record = std::make_shared<proto::JobRecord>();
  record->set_name(spec.name);
  record->set_attempt(1);
  if (spec.restore.has_value()) {
    const proto::CheckpointMetadata& metadata = *spec.restore->metadata;
    record->set_last_checkpoint_id(metadata.checkpoint_id());
    proto::JobRecord::Checkpoint& checkpoint = *record->add_checkpoints();
    checkpoint.set_id(metadata.checkpoint_id());
    checkpoint.set_kind(metadata.kind());
    checkpoint.set_directory(spec.restore->directory);
  }
  return record;
}

Job::~Job() = default;

void Job::TrySchedule() { core_->phase->TrySchedule(); }

absl::Status Job::OnRegisterWorker(const proto::RegisterWorkerRequest& request) {
  WEIR_CHECK(core_ != nullptr);
  // A worker that comes back from a leader before registers with that one's epoch.
  const uint64_t epoch = std::max(request.leader_epoch(), core_->surroundings.leader_epoch());
  if (absl::Status fence = core_->CheckFence(epoch, request.attempt()); !fence.ok()) {
    return fence;
  }
  WorkerRecord* worker = core_->FindWorker(request.worker_index());
  if (worker == nullptr || worker->ending()) {
    return absl::FailedPreconditionError(StrCat("worker ", request.worker_index(), " of job ",
                                                core_->spec.id.ToString(),
                                                " is not wanted (any more)"));
  }
  worker->last_heard_nanos = core_->NowNanos();
  if (request.graph_hash() != core_->spec.graph_hash) {
    absl::Status wrong = absl::FailedPreconditionError(StrCat(
        "the plugin made another graph in ", worker->Describe(),
        " than where it was submitted: what define makes must depend on its arguments only"));
    core_->Fail(wrong, CauseRank::kCause, worker->task_manager_name);
    return wrong;
  }
  if (request.control_address().empty() || request.exchange_address().empty()) {
    return absl::InvalidArgumentError("a worker registers with both of its addresses");
  }
  if (worker->state.get() != WorkerState::kStarting) {
    // The answer was lost; the same process asks again.
    if (worker->control_address == request.control_address()) return absl::OkStatus();
    return absl::FailedPreconditionError(
        StrCat(worker->Describe(), " is registered already, at ", worker->control_address));
  }
  worker->known_to_agent = true;
  worker->control_address = request.control_address();
  worker->exchange_address = request.exchange_address();
  worker->pid = request.pid();
  worker->peer = core_->surroundings.env().network().Connect(worker->control_address);
  worker->state.MoveTo(WorkerState::kRegistered);
  core_->Changed();
  core_->phase->OnWorkerRegistered(*worker);
  return absl::OkStatus();
}

absl::Status Job::OnAlignSources(const proto::AlignSourcesRequest& request,
                                 proto::AlignSourcesResponse& response) {
  WEIR_RETURN_IF_ERROR(core_->CheckFence(request.leader_epoch(), request.attempt()));
  const WorkerRecord* worker = core_->FindWorker(request.worker_index());
  if (worker == nullptr || worker->gone()) {
    return absl::FailedPreconditionError(
        StrCat("worker ", request.worker_index(), " of the job is gone"));
  }
  SourceGroups::Progress progress;
  for (const proto::SourceGroup& group : request.groups()) {
    progress[group.name()] = group.least_watermark();
  }
  for (const auto& [name, least] : core_->source_groups.Report(
           core_->attempt, request.worker_index(), std::move(progress), core_->NowNanos())) {
    proto::SourceGroup& group = *response.add_groups();
    group.set_name(name);
    group.set_least_watermark(least);
  }
  return absl::OkStatus();
}

absl::Status Job::OnWorkerHeartbeat(const proto::WorkerHeartbeatRequest& request) {
  if (absl::Status fence = core_->CheckFence(request.leader_epoch(), request.attempt());
      !fence.ok()) {
    return fence;
  }
  WorkerRecord* worker = core_->FindWorker(request.worker_index());
  if (worker == nullptr || worker->gone() || worker->control_address.empty()) {
    return absl::FailedPreconditionError(StrCat("worker ", request.worker_index(), " of job ",
                                                core_->spec.id.ToString(),
                                                " is not registered (any more)"));
  }
  worker->last_heard_nanos = core_->NowNanos();
  bool moved = false;
  std::vector<std::pair<proto::Failure, uint32_t>> failures;
  for (const proto::TaskReport& report : request.tasks()) {
    auto change = core_->graph.Apply(worker->index, report, worker->last_heard_nanos);
    if (!change.ok()) {
      absl::Status wrong = absl::InvalidArgumentError(
          StrCat(worker->Describe(),
                 " sent a report that is not valid: ", ToStd(change.status().message())));
      core_->Fail(wrong, CauseRank::kCause, worker->task_manager_name);
      return wrong;
    }
    moved |= *change != ExecutionGraph::Change::kNone;
    if (*change != ExecutionGraph::Change::kFailed) continue;
    const uint32_t region = core_->graph.regions().Of(report.vertex(), report.subtask());
    proto::Failure& failure = failures.emplace_back(report.failure(), region).first;
    if (failure.message().empty()) {
      failure.set_message(StrCat("subtask ", report.subtask(), " of vertex ", report.vertex(),
                                 " failed on ", worker->Describe(), " without a reason"));
    }
    if (failure.code() == 0) failure.set_code(static_cast<int>(absl::StatusCode::kUnknown));
    if (failure.restoring() && failure.code() == static_cast<int>(absl::StatusCode::kDataLoss))
      core_->restorable = false;
    if (failure.task_manager().empty()) failure.set_task_manager(worker->task_manager_name);
    if (failure.time_unix_micros() == 0) failure.set_time_unix_micros(core_->NowMicros());
  }
  if (core_->attempt_open) {
    for (const proto::TaskReport& report : request.tasks()) {
      if (report.state() == proto::TASK_FINISHED && core_->graph.IsCurrent(report)) {
        core_->checkpoints->coordinator().OnTaskEnded(report.vertex(), report.subtask());
      }
    }
  }
  core_->Changed();
  for (const auto& [failure, region] : failures) {
    core_->Strike({region});
    core_->phase->OnFailure(failure, RankOf(failure));
  }
  if (moved) core_->phase->OnTasksChanged();
  return absl::OkStatus();
}

absl::Status Job::OnAcknowledgeCheckpoint(const proto::AcknowledgeCheckpointRequest& request) {
  if (absl::Status fence = core_->CheckFence(request.leader_epoch(), request.attempt());
      !fence.ok()) {
    return fence;
  }
  if (!core_->phase->knows_checkpoints()) {
    return absl::UnavailableError("the job is being taken up: its checkpoints are being read");
  }
  // Nobody waits for it any more.
  if (!core_->attempt_open) return absl::OkStatus();
  return core_->checkpoints->coordinator().OnAcknowledge(request);
}

uint64_t Job::completed_checkpoint() const {
  return core_->attempt_open ? core_->checkpoints->coordinator().completed_for_tasks() : 0;
}

absl::Status Job::OnWorkerExited(const proto::WorkerExitedRequest& request) {
  if (absl::Status fence = core_->CheckFence(request.leader_epoch(), request.attempt());
      !fence.ok()) {
    return fence;
  }
  WorkerRecord* worker = core_->FindWorker(request.worker_index());
  if (worker == nullptr) return absl::NotFoundError("no such worker");
  const std::string id(worker->task_manager.bytes().begin(), worker->task_manager.bytes().end());
  if (request.task_manager_id() != id) {
    return absl::FailedPreconditionError(StrCat("worker ", request.worker_index(), " of job ",
                                                core_->spec.id.ToString(),
                                                " runs on another task manager"));
  }
  const proto::Failure failure =
      FailureOfExit(request, worker->task_manager_name, core_->NowMicros());
  core_->WorkerIsGone(*worker, &failure);
  return absl::OkStatus();
}

void Job::OnWorkersOf(const TaskManagerId& id, const std::set<uint32_t>& running) {
  for (WorkerRecord& worker : core_->workers) {
    if (worker.task_manager != id || worker.gone() || !worker.known_to_agent) continue;
    if (running.contains(worker.index)) {
      worker.absences = 0;
      continue;
    }
    if (++worker.absences < kAbsencesUntilGone) continue;
    const proto::Failure failure =
        MakeFailure(absl::InternalError(StrCat(
                        worker.Describe(), " does not run any more; how it ended is not known")),
                    worker.task_manager_name, core_->NowMicros());
    core_->WorkerIsGone(worker, &failure);
  }
}

void Job::OnTaskManagerLost(const TaskManagerId& id, const absl::Status& reason) {
  core_->LoseTaskManager(id, reason);
}

void Job::OnTaskManagerRegistered(const TaskManagerId& id, const std::string& address) {
  std::map<TaskManagerId, std::string> restarted;
  for (const WorkerRecord& worker : core_->workers) {
    if (worker.gone()) continue;
    if (worker.task_manager == id) {
      core_->surroundings.slots().Hold(core_->OwnerOf(worker.index), id, worker.slots);
      // It could not be told before.
      if (worker.ending()) core_->SendStop(worker.index, absl::Milliseconds(100));
    } else if (worker.agent_address == address) {
      restarted[worker.task_manager] = worker.task_manager_name;
    }
  }
  for (const auto& [before, name] : restarted) {
    core_->LoseTaskManager(
        before, absl::UnavailableError(StrCat("task manager '", name, "' was restarted")));
  }
}

bool Job::Wants(const TaskManagerId& id, uint32_t attempt, uint32_t worker) const {
  const WorkerRecord* record = core_->FindWorker(worker);
  return attempt == core_->attempt && record != nullptr && record->task_manager == id &&
         !record->ending();
}

void Job::CheckWorkers(int64_t now_nanos) {
  if (IsTerminal(core_->state()) || core_->state() == proto::CANCELLING) return;
  const absl::Duration timeout = core_->surroundings.options().heartbeat_timeout;
  for (size_t i = 0; i < core_->workers.size(); ++i) {
    WorkerRecord& worker = core_->workers[i];
    if (worker.ending() || worker.control_address.empty()) continue;
    if (absl::Nanoseconds(now_nanos - worker.last_heard_nanos) < timeout) continue;
    worker.silent = true;
    core_->StrikeWorker(worker);
    core_->Fail(absl::UnavailableError(StrCat(worker.Describe(), " (process ", worker.pid,
                                              ") is lost: nothing was heard of it for ",
                                              absl::FormatDuration(timeout))),
                CauseRank::kLost, worker.task_manager_name);
  }
}

void Job::ForgiveSilence(int64_t now_nanos) {
  for (WorkerRecord& worker : core_->workers) worker.last_heard_nanos = now_nanos;
}

absl::StatusOr<proto::JobState> Job::Cancel(Closure recorded) {
  absl::StatusOr<proto::JobState> state = core_->phase->Cancel();
  if (state.ok() && recorded != nullptr) core_->Persist(std::move(recorded));
  return state;
}

void Job::MarkClean() {
  if (core_->record.clean() || core_->checkpoints_unreadable) return;
  core_->record.set_clean(true);
  core_->Persist();
}

absl::Status Job::TriggerSavepoint(const proto::TriggerSavepointRequest& request) {
  if (core_->savepoints.Knows(request.trigger_id())) return absl::OkStatus();
  if (state() != proto::RUNNING) {
    const std::string waiting = core_->phase->waiting_for();
    return absl::FailedPreconditionError(
        StrCat("job ", core_->spec.id.ToString(), " '", core_->spec.name,
               IsTerminal(state()) ? "' has ended: it is " : "' does not run: it is ",
               Name(state()), waiting.empty() ? "" : StrCat(" (", waiting, ")"),
               "; a savepoint is taken of a job that is RUNNING"));
  }
  return core_->savepoints.Begin(request, core_->NowMicros());
}

absl::Status Job::Rescale(const proto::RescaleJobRequest& request) {
  if (core_->rescale.Knows(request.trigger_id())) return absl::OkStatus();
  const std::string job = StrCat("job ", core_->spec.id.ToString(), " '", core_->spec.name, "'");
  if (state() != proto::RUNNING) {
    const std::string waiting = core_->phase->waiting_for();
    return absl::FailedPreconditionError(
        StrCat(job, IsTerminal(state()) ? " has ended: it is " : " does not run: it is ",
               Name(state()), waiting.empty() ? "" : StrCat(" (", waiting, ")"),
               "; a job that is RUNNING can be given another parallelism"));
  }
  if (core_->spec.policies.checkpoint_directory.empty()) {
    return absl::FailedPreconditionError(
        StrCat(job,
               " has no directory for checkpoints, in which its state is kept while it stops: "
               "submit it with execution.checkpointing.dir, or stop it with a savepoint and submit "
               "that with another parallelism"));
  }
  return core_->rescale.Begin(request);
}

absl::Status Job::FillRescale(const std::string& trigger_id,
                              proto::RescaleProgress& progress) const {
  return core_->rescale.Fill(trigger_id, progress);
}

absl::Status Job::FillSavepoint(const std::string& trigger_id,
                                proto::SavepointProgress& progress) const {
  return core_->savepoints.Fill(trigger_id, progress);
}

std::shared_ptr<const CheckpointsView> Job::Checkpoints() const {
  return core_->checkpoints->coordinator().View();
}

const JobSpec& Job::spec() const { return core_->spec; }
proto::JobState Job::state() const { return core_->state(); }
uint32_t Job::attempt() const { return core_->attempt; }
bool Job::settled() const {
  return IsTerminal(state()) && core_->AllWorkersGone() && !core_->cleaning_up &&
         core_->checkpoints->coordinator().idle();
}
const ExecutionGraph& Job::execution() const { return core_->graph; }
uint32_t Job::full_restarts() const { return core_->full_restarts(); }
uint32_t Job::region_restarts() const { return core_->region_restarts; }
int64_t Job::changed_unix_micros() const { return core_->changed_unix_micros; }

int64_t Job::ended_unix_micros() const {
  return IsTerminal(state()) ? core_->changed_unix_micros : 0;
}

std::vector<int64_t> Job::StateTimesUnixMicros() const {
  std::vector<int64_t> times(proto::JobState_MAX + 1);
  for (const auto& [state, micros] : core_->entered_unix_micros) times[state] = micros;
  return times;
}

void Job::FillSummary(proto::JobSummary& summary) const {
  const auto& bytes = core_->spec.id.bytes();
  summary.set_job_id(std::string(bytes.begin(), bytes.end()));
  summary.set_name(core_->spec.name);
  summary.set_state(state());
  summary.set_submitted_unix_micros(core_->spec.submitted_unix_micros);
  summary.set_ended_unix_micros(ended_unix_micros());
  summary.set_tasks_total(static_cast<uint32_t>(core_->graph.tasks()));
  summary.set_tasks_running(static_cast<uint32_t>(core_->graph.Count(proto::TASK_RUNNING)));
  summary.set_tasks_finished(static_cast<uint32_t>(core_->graph.Count(proto::TASK_FINISHED)));
}

void Job::FillStatus(bool with_operators, proto::JobStatusResponse& status) const {
  FillSummary(*status.mutable_summary());
  std::vector<proto::TaskReport> reports;
  core_->graph.FillReports(with_operators, reports);
  for (proto::TaskReport& report : reports) *status.add_tasks() = std::move(report);
  const std::string waiting_for = core_->phase->waiting_for();
  const bool coming_up = state() == proto::CREATED || state() == proto::DEPLOYING ||
                         state() == proto::RECONCILING ||
                         (state() == proto::RUNNING && !waiting_for.empty());
  if (core_->root_cause.has_failure() && state() != proto::FINISHED) {
    *status.mutable_failure() = core_->root_cause.failure();
  } else if (coming_up && core_->last_failure.has_failure()) {
    *status.mutable_failure() = core_->last_failure.failure();
  }
  status.set_waiting_for(waiting_for);
  status.set_attempt(core_->attempt);
  status.set_full_restarts(core_->full_restarts());
  status.set_region_restarts(core_->region_restarts);
  for (const WorkerRecord& worker : core_->workers) {
    if (worker.replaced) continue;
    proto::WorkerInfo* info = status.add_workers();
    info->set_index(worker.index);
    info->set_task_manager(worker.task_manager_name);
    info->set_exchange_address(worker.exchange_address);
    info->set_pid(worker.pid);
  }
}

std::vector<Job::WorkerPlace> Job::Workers() const {
  std::vector<WorkerPlace> places;
  for (const WorkerRecord& worker : core_->workers) {
    places.push_back({worker.index, worker.task_manager, worker.task_manager_name});
  }
  return places;
}

}  // namespace weir::jobmanager
