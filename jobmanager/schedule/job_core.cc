#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <set>

#include "common/base/check.h"
#include "jobmanager/checkpoint/checkpoint_restore.h"
#include "jobmanager/schedule/phase_internal.h"

namespace weir::jobmanager {
namespace {

constexpr absl::Duration kFirstRetry = absl::Milliseconds(100);
constexpr absl::Duration kLastRetry = absl::Seconds(1);
// Checkpoints that workers are told of one by one.
constexpr uint64_t kMaxAbandoned = 100;

std::string BytesOf(const JobId& id) { return std::string(id.bytes().begin(), id.bytes().end()); }

proto::CheckpointAction ActionOf(CheckpointKind kind) {
  switch (kind) {
    case CheckpointKind::kCheckpoint:
      return proto::TAKE_CHECKPOINT;
    case CheckpointKind::kSavepoint:
      return proto::TAKE_SAVEPOINT;
    case CheckpointKind::kStopWithSavepoint:
      return proto::STOP_WITH_SAVEPOINT;
    case CheckpointKind::kDrainWithSavepoint:
      return proto::DRAIN_WITH_SAVEPOINT;
    case CheckpointKind::kRescale:
      return proto::STOP_TO_RESCALE;
  }
  return proto::TAKE_CHECKPOINT;
}

}  // namespace

// ---- Phase ----

void Phase::OnFailure(const proto::Failure& failure, CauseRank rank) {
  core_.root_cause.Offer(failure, rank);
  core_.GoTo(MakeFailing(core_));
}

absl::StatusOr<proto::JobState> Phase::Cancel() {
  core_.Log("info", "is cancelled");
  JobCore& core = core_;
  core.GoTo(MakeCancelling(core));
  return core.state();
}

void Phase::Leave() {
  OnLeave();
  lifetime_.End();
  for (Executor::TimerId timer : timers_) core_.surroundings.executor().Cancel(timer);
  timers_.clear();
}

void Phase::After(absl::Duration delay, std::function<void()> f) {
  timers_.push_back(core_.surroundings.executor().PostAfter(delay, Bind(std::move(f))));
}

// ---- JobCore ----

JobCore::JobCore(JobSurroundings& surroundings_in, JobSpec spec_in, const proto::JobRecord* stored)
    : surroundings(surroundings_in),
      spec(std::move(spec_in)),
      record(stored == nullptr ? *Job::InitialRecord(spec) : *stored),
      graph(spec.graph),
      restart(spec.policies.restart, surroundings.env().random()),
      checkpoints(MakeCheckpoints()),
      savepoints(checkpoints->coordinator(), spec.policies.savepoint_directory),
      rescale(RescaleOwner()),
      source_groups(absl::ToInt64Nanoseconds(surroundings.options().heartbeat_timeout)),
      state_machine(stored == nullptr              ? proto::CREATED
                    : IsTerminal(record.outcome()) ? record.outcome()
                                                   : proto::RECONCILING) {
  changed_unix_micros = entered_unix_micros[state()] = NowMicros();
  if (stored != nullptr) {
    TakeOver();
  } else {
    phase = MakeCreated(*this);
  }
}

void JobCore::TakeOver() {
  attempt = record.attempt();
  last_attempt = std::max(attempt, record.last_attempt());
  region_restarts = record.region_restarts();
  const proto::JobState outcome = record.outcome();
  if (record.has_failure()) {
    RootCause& failure = record.failing() || outcome == proto::FAILED ? root_cause : last_failure;
    failure.Offer(record.failure(), CauseRank::kCause);
  }
  for (const proto::JobRecord::Worker& stored : record.workers()) {
    WorkerRecord& worker = workers.emplace_back();
    worker.index = static_cast<uint32_t>(workers.size() - 1);
    std::array<uint8_t, TaskManagerId::kBytes> id{};
    std::copy_n(stored.task_manager_id().begin(), id.size(), id.begin());
    worker.task_manager = TaskManagerId(id);
    worker.task_manager_name = stored.task_manager();
    worker.agent_address = stored.address();
    worker.slots = stored.slots();
    worker.last_heard_nanos = NowNanos();
    // It was told to start; whether it has is for its heartbeats to say.
    worker.known_to_agent = true;
    worker_of_slot.insert(worker_of_slot.end(), worker.slots, worker.index);
    if (!stored.gone()) continue;
    worker.state.MoveTo(WorkerState::kGone);
    worker.replaced = true;
  }
  if (record.worker_of_slot_size() >= static_cast<int>(graph.slots_needed())) {
    worker_of_slot.assign(record.worker_of_slot().begin(), record.worker_of_slot().end());
  }
  if (IsTerminal(outcome)) {
    // Where its logs are.
    for (WorkerRecord& worker : workers) {
      if (!worker.gone()) worker.state.MoveTo(WorkerState::kGone);
    }
    cleaning_up = !record.clean();
    outcome == proto::FINISHED ? graph.FinishAll() : graph.EndAll();
    phase = MakeEnded(*this, outcome);
    return;
  }
  if (!workers.empty()) graph.Schedule(worker_of_slot);
  const int regions = static_cast<int>(graph.regions().count());
  for (int i = 0; i < std::min(regions, record.region_attempts_size()); ++i) {
    graph.SetAttempt(static_cast<uint32_t>(i), record.region_attempts(i));
  }
  if (record.tasks_may_run()) graph.Deploy();
  phase = MakeRecovering(*this);
}

void JobCore::Persist(Closure durable) {
  record.set_job_id(BytesOf(spec.id));
  record.set_name(spec.name);
  record.set_attempt(attempt);
  record.clear_workers();
  for (const WorkerRecord& worker : workers) {
    proto::JobRecord::Worker* stored = record.add_workers();
    const auto& id = worker.task_manager.bytes();
    stored->set_task_manager_id(std::string(id.begin(), id.end()));
    stored->set_task_manager(worker.task_manager_name);
    stored->set_address(worker.agent_address);
    stored->set_slots(worker.slots);
    stored->set_gone(worker.replaced);
  }
  KeepRegions();
  const RootCause& failure = root_cause.has_failure() ? root_cause : last_failure;
  record.clear_failure();
  if (failure.has_failure()) *record.mutable_failure() = failure.failure();
  if (durable != nullptr) durable = lifetime.Guard(std::move(durable));
  surroundings.WriteRecord(spec.id, std::make_shared<const proto::JobRecord>(record),
                           std::move(durable));
}

void JobCore::RequestCancel() {
  if (record.cancelling()) return;
  record.set_cancelling(true);
  Persist();
}

void JobCore::OpenAttempt(uint64_t restored) {
  proto::DeploymentPlan plan;
  graph.FillPlacement(plan);
  TaskPlacement placement(static_cast<size_t>(spec.graph->vertices_size()));
  for (const auto& vertex : plan.vertices()) {
    placement[vertex.vertex()].assign(vertex.workers().begin(), vertex.workers().end());
  }
  attempt_open = true;
  checkpoints->coordinator().BeginAttempt(attempt, std::move(placement), restored);
  // Those that a leader before started again by themselves.
  for (uint32_t region = 0; region < graph.regions().count(); ++region) {
    if (graph.AttemptOf(region) == 0) continue;
    checkpoints->coordinator().ReplaceTasks(ReplacedTasks({region}), graph.AttemptOf(region), 0);
  }
  if (record.stopped()) checkpoints->coordinator().SetStopped();
}

void JobCore::CloseAttempt(std::string_view why) {
  if (!std::exchange(attempt_open, false)) return;
  checkpoints->coordinator().EndAttempt(why);
}

void JobCore::AbandonPendingCheckpoints() {
  const uint64_t completed = checkpoints->coordinator().completed_for_tasks();
  const uint64_t last = record.last_checkpoint_id();
  const uint64_t oldest = last > kMaxAbandoned ? last - kMaxAbandoned : 0;
  if (last == completed) TellNotice({.completed = completed, .aborted = 0});
  for (uint64_t id = std::max(completed, oldest) + 1; id <= last; ++id) {
    TellNotice({.completed = completed, .aborted = id});
  }
}

void JobCore::WatchForAbsentWorkers() {
  surroundings.executor().PostAfter(surroundings.options().takeover_timeout,
                                    lifetime.Guard([this] { LoseAbsentWorkers(); }));
}

void JobCore::LoseAbsentWorkers() {
  std::map<TaskManagerId, std::string> absent;
  for (const WorkerRecord& worker : workers) {
    if (!worker.gone() && surroundings.Agent(worker.task_manager) == nullptr) {
      absent[worker.task_manager] = worker.task_manager_name;
    }
  }
  for (const auto& [id, name] : absent) {
    LoseTaskManager(
        id, absl::UnavailableError(
                StrCat("task manager '", name, "' did not come back within ",
                       absl::FormatDuration(surroundings.options().takeover_timeout),
                       " (jobmanager.takeover-timeout) after the job manager was started again")));
  }
}

void JobCore::LoseTaskManager(TaskManagerId id, const absl::Status& reason) {
  bool concerned = false;
  bool wanted = false;
  std::string name;
  for (const WorkerRecord& worker : workers) {
    if (worker.task_manager != id || worker.gone()) continue;
    concerned = true;
    wanted |= !worker.ending();
    name = worker.task_manager_name;
  }
  if (!concerned) return;
  if (wanted && !IsTerminal(state())) {
    for (const WorkerRecord& worker : workers) {
      if (worker.task_manager == id && !worker.ending()) StrikeWorker(worker);
    }
    Fail(reason, CauseRank::kLost, name);
  }
  for (size_t i = 0; i < workers.size(); ++i) {
    if (workers[i].task_manager == id) WorkerIsGone(workers[i], nullptr);
  }
}

JobCore::~JobCore() {
  lifetime.End();
  phase->Leave();
}

int64_t JobCore::NowMicros() const { return absl::ToUnixMicros(surroundings.env().clock().Now()); }

int64_t JobCore::NowNanos() const { return surroundings.env().clock().MonotonicNanos(); }

void JobCore::Log(std::string_view level, std::string_view text) const {
  surroundings.Log(level, StrCat("job ", spec.id.ToString(), " '", spec.name, "' ", text));
}

void JobCore::GoTo(std::unique_ptr<Phase> next) {
  const proto::JobState from = state();
  struck.reset();
  phase->Leave();
  past_phases.push_back(std::move(phase));
  phase = std::move(next);
  if (phase->state() == from) return phase->Enter();
  state_machine.MoveTo(phase->state());
  if (state() != proto::RUNNING) CloseAttempt(StrCat("the job is ", Name(state())));
  changed_unix_micros = entered_unix_micros[state()] = NowMicros();
  std::string why;
  if (root_cause.has_failure() && (state() == proto::FAILING || state() == proto::FAILED)) {
    why = StrCat(": ", root_cause.failure().message());
  }
  Log(state() == proto::FAILED ? "error" : "info",
      StrCat("switched from ", Name(from), " to ", Name(state()), why));
  Changed();
  phase->Enter();
}

void JobCore::Fail(const absl::Status& status, CauseRank rank, std::string_view task_manager) {
  phase->OnFailure(MakeFailure(status, task_manager, NowMicros()), rank);
}

bool JobCore::StoppedForGood() const {
  if (!Stopped()) return false;
  const auto& latest = checkpoints->coordinator().latest();
  return graph.AllFinished() || !latest.has_value() || !HoldsCommittables(*latest->metadata);
}

proto::JobRecord::Scale JobCore::CurrentScale() const {
  proto::JobRecord::Scale scale;
  scale.set_parallelism(spec.parallelism);
  *scale.mutable_graph() = *spec.graph;
  scale.set_graph_hash(spec.graph_hash);
  return scale;
}

void JobCore::UseScale(const proto::JobRecord::Scale& scale) {
  Log("info", StrCat("is started at parallelism ", scale.parallelism(), ", before it had ",
                     spec.parallelism));
  ApplyScale(scale, spec);
  *record.mutable_scale() = scale;
  checkpoints->coordinator().SetGraph(spec.graph);
}

void JobCore::BeginNextAttempt() {
  attempt = ++last_attempt;
  if (root_cause.has_failure()) last_failure = std::move(root_cause);
  root_cause = RootCause();
  if (record.has_next_scale()) {
    *record.mutable_former_scale() = CurrentScale();
    const proto::JobRecord::Scale next = std::move(*record.mutable_next_scale());
    record.clear_next_scale();
    UseScale(next);
  } else if (record.has_former_scale() && record.failing()) {
    rescale.OnFailed(absl::AbortedError(
        StrCat("it did not come to run at that parallelism: ", last_failure.failure().message())));
    const proto::JobRecord::Scale former = std::move(*record.mutable_former_scale());
    record.clear_former_scale();
    UseScale(former);
  }
  graph = ExecutionGraph(spec.graph);
  last_places = PreferredFor([&] {
    std::vector<uint32_t> slots(worker_of_slot.size());
    std::iota(slots.begin(), slots.end(), 0);
    return slots;
  }());
  workers.clear();
  worker_of_slot.clear();
  record.set_ended_region_lost(false);
  record.set_failing(false);
  record.set_draining(false);
  record.set_tasks_may_run(false);
}

std::unique_ptr<JobCheckpoints> JobCore::MakeCheckpoints() {
  return std::make_unique<JobCheckpoints>(
      JobCheckpoints::Owner{
          surroundings.env(), surroundings.executor(), surroundings.cluster_id(), record,
          [this](Closure durable) { Persist(std::move(durable)); },
          [this] { *record.mutable_next_scale() = rescale.target(); },
          [this](Closure leads) {
            surroundings.ConfirmLeadership(lifetime.Guard(std::move(leads)));
          },
          [this](const TriggerOrder& order) { TellTrigger(order); },
          [this](const CheckpointNotice& notice) { TellNotice(notice); },
          [this](const absl::Status& why) { Fail(why, CauseRank::kCause); }, [this] { Changed(); },
          [this](std::string_view level, std::string_view text) { Log(level, text); }},
      CheckpointedJob{spec.id, spec.name, spec.graph,
                      /*keeps_final_states=*/!spec.policies.checkpoint_directory.empty()},
      spec.policies.checkpoints, spec.policies.checkpoint_directory, spec.restore,
      spec.allow_dropped_state);
}

JobRescale::Owner JobCore::RescaleOwner() {
  return {.coordinator = checkpoints->coordinator(),
          .build_graph = [this](uint32_t parallelism,
                                auto done) { BuildGraph(parallelism, std::move(done)); },
          .current = [this] { return CurrentScale(); },
          .check_slots = [this](const proto::JobGraph& wanted) { return CheckSlots(wanted); },
          .on_stopped = [this] { phase->OnStoppedToRescale(); },
          .now_unix_micros = [this] { return NowMicros(); },
          .log = [this](std::string_view level, std::string_view text) { Log(level, text); }};
}

void JobCore::BuildGraph(uint32_t parallelism,
                         std::function<void(absl::StatusOr<proto::JobGraph>)> done) {
  const auto asked = std::find_if(workers.begin(), workers.end(), [](const WorkerRecord& worker) {
    return worker.peer != nullptr && !worker.ending();
  });
  if (asked == workers.end()) {
    surroundings.executor().Post(lifetime.Guard([done = std::move(done)] {
      done(absl::UnavailableError("no worker of the job can be asked for its graph"));
    }));
    return;
  }
  proto::BuildGraphRequest request;
  request.set_leader_epoch(surroundings.leader_epoch());
  request.set_job_id(BytesOf(spec.id));
  request.set_attempt(attempt);
  request.set_parallelism(parallelism);
  TypedCall<proto::BuildGraphRequest, proto::BuildGraphResponse>(
      *asked->peer, "/weir.Worker/BuildGraph", request, surroundings.options().call_timeout,
      &surroundings.executor(),
      lifetime.Guard([done = std::move(done),
                      who = asked->Describe()](absl::StatusOr<proto::BuildGraphResponse> response) {
        if (response.ok()) return done(std::move(*response->mutable_graph()));
        done(absl::Status(response.status().code(), StrCat("asking ", who, " for the graph: ",
                                                           ToStd(response.status().message()))));
      }));
}

absl::Status JobCore::CheckSlots(const proto::JobGraph& wanted) const {
  uint32_t needed = 0;
  for (const proto::Vertex& vertex : wanted.vertices()) {
    needed = std::max(needed, vertex.parallelism());
  }
  uint32_t held = 0;
  for (const WorkerRecord& worker : workers) held += worker.gone() ? 0 : worker.slots;
  const SlotPool& pool = surroundings.slots();
  if (needed <= held + pool.free()) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      StrCat("it needs ", needed, " slots, has ", held, ", and ", pool.free(),
             " more are free: start more task managers, or choose a lower parallelism"));
}

template <class Request, class Response>
void JobCore::Tell(uint32_t index, std::string method, std::shared_ptr<const Request> request,
                   absl::Duration retry) {
  WorkerRecord* worker = FindWorker(index);
  if (request->attempt() != attempt || worker == nullptr || worker->peer == nullptr ||
      worker->ending()) {
    return;
  }
  TypedCall<Request, Response>(
      *worker->peer, method, *request, surroundings.options().call_timeout,
      &surroundings.executor(),
      lifetime.Guard([this, index, method, request, retry](absl::StatusOr<Response> response) {
        if (response.ok() || (response.status().code() != absl::StatusCode::kUnavailable &&
                              response.status().code() != absl::StatusCode::kDeadlineExceeded)) {
          return;
        }
        surroundings.executor().PostAfter(
            retry, lifetime.Guard([this, index, method, request, retry] {
              Tell<Request, Response>(index, method, request, std::min(2 * retry, kLastRetry));
            }));
      }));
}

void JobCore::TellTrigger(const TriggerOrder& order) {
  auto request = std::make_shared<proto::TriggerCheckpointRequest>();
  request->set_leader_epoch(surroundings.leader_epoch());
  request->set_job_id(BytesOf(spec.id));
  request->set_attempt(attempt);
  request->set_checkpoint_id(order.checkpoint_id);
  request->set_triggered_unix_micros(order.triggered_unix_micros);
  request->set_action(ActionOf(order.kind));
  if (NamesFolder(order.kind)) request->set_directory(order.directory);
  for (const uint32_t worker : order.workers) {
    Tell<proto::TriggerCheckpointRequest, proto::TriggerCheckpointResponse>(
        worker, "/weir.Worker/TriggerCheckpoint", request, kFirstRetry);
  }
}

void JobCore::TellNotice(const CheckpointNotice& notice) {
  auto request = std::make_shared<proto::NotifyCheckpointRequest>();
  request->set_leader_epoch(surroundings.leader_epoch());
  request->set_job_id(BytesOf(spec.id));
  request->set_attempt(attempt);
  request->set_completed_checkpoint(notice.completed);
  request->set_aborted_checkpoint(notice.aborted);
  for (const WorkerRecord& worker : workers) {
    Tell<proto::NotifyCheckpointRequest, proto::NotifyCheckpointResponse>(
        worker.index, "/weir.Worker/NotifyCheckpoint", request, kFirstRetry);
  }
}

WorkerRecord* JobCore::FindWorker(uint32_t index) {
  return index < workers.size() ? &workers[index] : nullptr;
}

bool JobCore::AllWorkersGone() const {
  return std::all_of(workers.begin(), workers.end(),
                     [](const WorkerRecord& worker) { return worker.gone(); });
}

absl::Status JobCore::CheckFence(uint64_t epoch, uint32_t its_attempt) const {
  const uint64_t ours = surroundings.leader_epoch();
  if (epoch > ours) {
    surroundings.OnHigherEpoch(epoch);
    return absl::UnavailableError(StrCat("this job manager leads no more: leader epoch ", epoch,
                                         " is newer than its own, ", ours));
  }
  if (epoch < ours) {
    return absl::AbortedError(
        StrCat("leader epoch ", epoch, " is not the current one, ", ours, ": register again"));
  }
  if (its_attempt != attempt) {
    return absl::FailedPreconditionError(StrCat("attempt ", its_attempt, " of job ",
                                                spec.id.ToString(), " is not the current one, ",
                                                attempt));
  }
  return absl::OkStatus();
}

void JobCore::StopWorker(WorkerRecord& worker) {
  if (worker.ending()) return;
  worker.state.MoveTo(WorkerState::kStopping);
  worker.absences = 0;
  SendStop(worker.index, kFirstRetry);
}

void JobCore::StopAllWorkers() {
  for (WorkerRecord& worker : workers) StopWorker(worker);
}

void JobCore::SendStop(uint32_t index, absl::Duration retry) {
  WorkerRecord& worker = workers[index];
  if (worker.gone()) return;
  const uint32_t of_attempt = attempt;
  std::shared_ptr<RemotePeer> agent = surroundings.Agent(worker.task_manager);
  // Its loss is told by OnTaskManagerLost.
  if (agent == nullptr) return;
  proto::StopWorkerRequest request;
  request.set_leader_epoch(surroundings.leader_epoch());
  request.set_job_id(BytesOf(spec.id));
  request.set_attempt(attempt);
  request.set_worker_index(index);
  TypedCall<proto::StopWorkerRequest, proto::StopWorkerResponse>(
      *agent, "/weir.TaskManager/StopWorker", request, surroundings.options().call_timeout,
      &surroundings.executor(),
      lifetime.Guard([this, index, retry,
                      of_attempt](absl::StatusOr<proto::StopWorkerResponse> response) {
        if (attempt != of_attempt) return;
        WorkerRecord& stopped = workers[index];
        if (stopped.gone()) return;
        if (response.ok()) {
          stopped.known_to_agent = true;
          return;
        }
        Log("warning", StrCat("stopping ", stopped.Describe(), ": ",
                              ToStd(response.status().message()), "; is tried again"));
        surroundings.executor().PostAfter(retry, lifetime.Guard([this, index, retry, of_attempt] {
          if (attempt == of_attempt) SendStop(index, std::min(2 * retry, kLastRetry));
        }));
      }));
}

void JobCore::WorkerIsGone(WorkerRecord& worker, const proto::Failure* failure) {
  if (worker.gone()) return;
  const bool stopped = worker.state.get() == WorkerState::kStopping;
  const bool accident = !stopped && !IsTerminal(state());
  worker.state.MoveTo(WorkerState::kGone);
  worker.peer = nullptr;
  if (accident && failure != nullptr) StrikeWorker(worker);
  graph.EndTasksOf(worker.index, accident ? proto::TASK_FAILED : proto::TASK_CANCELED);
  surroundings.slots().Release(OwnerOf(worker.index), worker.task_manager);
  surroundings.OnSlotsFreed();
  Changed();
  if (failure != nullptr && accident) {
    phase->OnFailure(*failure, RankOf(*failure));
  } else if (failure != nullptr && stopped && IsCrashSignal(failure->signal()) &&
             state() == proto::FAILING) {
    // It crashed before the order to stop reached it: that is what its peers noticed.
    phase->OnFailure(*failure, CauseRank::kCause);
  }
  phase->OnWorkerGone();
}

}  // namespace weir::jobmanager
