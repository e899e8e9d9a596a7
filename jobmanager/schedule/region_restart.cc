#include <algorithm>

#include "jobmanager/schedule/region_restart_internal.h"

namespace weir::jobmanager {
namespace {

constexpr absl::Duration kFirstRetry = absl::Milliseconds(100);
constexpr absl::Duration kLastRetry = absl::Seconds(1);

}  // namespace

RegionRestart::RegionRestart(JobCore& core,
                             std::function<void(const proto::Failure&, CauseRank)> give_up,
                             std::function<void()> on_running)
    : core_(core), give_up_(std::move(give_up)), on_running_(std::move(on_running)) {}

RegionRestart::~RegionRestart() { End(); }

// What belongs to the step before does nothing any more.
void RegionRestart::End() {
  lifetime_ = std::make_unique<Lifetime>();
  for (Executor::TimerId timer : timers_) core_.surroundings.executor().Cancel(timer);
  timers_.clear();
  if (deployment_ == nullptr) return;
  deployment_->End();
  past_deployment_ = std::move(deployment_);
}

void RegionRestart::After(absl::Duration delay, std::function<void()> f) {
  timers_.push_back(core_.surroundings.executor().PostAfter(delay, lifetime_->Guard(std::move(f))));
}

std::string RegionRestart::Names() const {
  std::string names;
  size_t named = 0;
  for (const uint32_t region : regions_) {
    if (++named > 8) return StrCat(names, ", ...");
    names += StrCat(names.empty() ? "" : ", ", region);
  }
  return names;
}

std::string RegionRestart::waiting_for() const {
  const std::string what =
      StrCat(core_.graph.TasksOf(regions_).size(), " of ", core_.graph.tasks(), " tasks (region",
             regions_.size() == 1 ? " " : "s ", Names(), ") ");
  switch (step_) {
    case Step::kNone:
      return {};
    case Step::kEnding:
      return StrCat(what, "have failed and are ended, to start again");
    case Step::kDelay:
      return StrCat(what, "start again within ", absl::FormatDuration(delay_));
    case Step::kSlots:
      return StrCat(
          what, "are to start again: the job ",
          core_.surroundings.slots().DescribeLack(static_cast<uint32_t>(SlotsToFind().size())));
    case Step::kDeploying:
      return StrCat(what, "are started again");
  }
  return {};
}

void RegionRestart::OnFailure(const std::set<uint32_t>& regions, const proto::Failure& failure,
                              CauseRank rank) {
  if (IsDecidedOn(regions)) return;
  const bool anew = step_ != Step::kEnding;
  if (anew) root_cause_ = RootCause();
  if (root_cause_.Offer(failure, rank)) rank_ = rank;
  const size_t before = regions_.size();
  regions_.insert(regions.begin(), regions.end());
  for (size_t i = 0; i < core_.workers.size(); ++i) {
    if (core_.workers[i].silent) core_.StopWorker(core_.workers[i]);
  }
  if (anew || regions_.size() > before) return BeginEnding();
  GoOnIfEnded();
}

bool RegionRestart::IsDecidedOn(const std::set<uint32_t>& regions) const {
  return step_ == Step::kDelay &&
         std::includes(regions_.begin(), regions_.end(), regions.begin(), regions.end()) &&
         std::all_of(core_.workers.begin(), core_.workers.end(), [](const WorkerRecord& worker) {
           return worker.gone() || (!worker.silent && worker.state.get() != WorkerState::kStopping);
         });
}

void RegionRestart::BeginEnding() {
  const bool first = step_ == Step::kNone;
  core_.last_failure = RootCause();
  core_.last_failure.Offer(root_cause_.failure(), rank_);
  const bool anew = step_ != Step::kEnding;
  End();
  step_ = Step::kEnding;
  recorded_ = false;
  core_.Log("info", StrCat(first ? "goes on without region " : "ends region ", Names(), " of ",
                           core_.graph.regions().count(),
                           ", which failed: ", root_cause_.failure().message()));
  core_.checkpoints->coordinator().SuspendTasks(core_.TaskIdsOf(regions_),
                                                "a part of the job failed and starts again");
  core_.graph.CancelRegions(regions_);
  for (const WorkerRecord& worker : core_.workers) {
    // It was to be given tasks, and has none yet.
    if (worker.state.get() == WorkerState::kStarting) {
      core_.graph.EndTasksOf(worker.index, proto::TASK_CANCELED, regions_);
    }
  }
  core_.record.set_tasks_may_run(false);
  core_.Changed();
  if (anew) grace_over_ = false;
  After(core_.surroundings.options().cause_grace, [this] {
    grace_over_ = true;
    GoOnIfEnded();
  });
  After(core_.surroundings.options().stop_timeout, [this] {
    GiveUp(MakeFailure(absl::DeadlineExceededError(
                           StrCat("a worker of a part of the job that failed is not known to be "
                                  "gone; it failed: ",
                                  root_cause_.failure().message())),
                       {}, core_.NowMicros()),
           CauseRank::kCause);
  });
  // A job manager that takes over must not wait for tasks that end.
  core_.Persist(lifetime_->Guard([this] {
    recorded_ = true;
    unanswered_ = Concerned();
    for (const uint32_t index : std::set<uint32_t>(unanswered_)) CancelTasks(index, kFirstRetry);
    After(core_.surroundings.options().cancel_grace, [this] { StopStubborn(); });
    GoOnIfEnded();
  }));
}

std::set<uint32_t> RegionRestart::Concerned() const {
  std::set<uint32_t> workers;
  for (const ExecutionGraph::Place& task : core_.graph.TasksOf(regions_)) {
    if (task.worker >= core_.workers.size()) continue;
    const WorkerRecord& worker = core_.workers[task.worker];
    if (!worker.ending() && worker.peer != nullptr) workers.insert(task.worker);
  }
  return workers;
}

void RegionRestart::CancelTasks(uint32_t index, absl::Duration retry) {
  WorkerRecord& worker = core_.workers[index];
  if (worker.ending()) return;
  const auto& id = core_.spec.id.bytes();
  proto::CancelTasksRequest request;
  request.set_leader_epoch(core_.surroundings.leader_epoch());
  request.set_job_id(std::string(id.begin(), id.end()));
  request.set_attempt(core_.attempt);
  request.mutable_only()->mutable_regions()->Add(regions_.begin(), regions_.end());
  request.mutable_only()->set_attempt(core_.last_attempt);
  TypedCall<proto::CancelTasksRequest, proto::CancelTasksResponse>(
      *worker.peer, "/weir.Worker/CancelTasks", request, core_.surroundings.options().call_timeout,
      &core_.surroundings.executor(),
      lifetime_->Guard([this, index,
                        retry](const absl::StatusOr<proto::CancelTasksResponse>& response) {
        if (response.ok()) {
          // The others have none there that could still say so.
          std::set<uint32_t> ended = regions_;
          for (const uint32_t region : response->ending()) ended.erase(region);
          core_.graph.EndTasksOf(index, proto::TASK_CANCELED, ended);
          unanswered_.erase(index);
          return GoOnIfEnded();
        }
        // Until the grace is over.
        After(retry, [this, index, retry] { CancelTasks(index, std::min(2 * retry, kLastRetry)); });
      }));
}

void RegionRestart::StopStubborn() {
  std::set<uint32_t> others;
  for (const uint32_t index : Concerned()) {
    WorkerRecord& worker = core_.workers[index];
    if (!unanswered_.contains(index) && core_.graph.AllTerminalIn(regions_, index)) continue;
    core_.Log("warning", StrCat(worker.Describe(), " does not end the tasks of region ", Names(),
                                " and is stopped"));
    core_.StrikeWorker(worker);
    const std::set<uint32_t> all = core_.TakeStruck().value_or(std::set<uint32_t>());
    others.insert(all.begin(), all.end());
    core_.StopWorker(worker);
    unanswered_.erase(index);
  }
  if (others.empty()) return;
  const proto::Failure failure = root_cause_.failure();
  OnFailure(others, failure, rank_);
}

void RegionRestart::GoOnIfEnded() {
  if (step_ != Step::kEnding || !recorded_ || !unanswered_.empty()) return;
  if (!root_cause_.settled() && !grace_over_) return;
  for (const WorkerRecord& worker : core_.workers) {
    if (worker.state.get() == WorkerState::kStopping) return;
  }
  if (core_.graph.AllTerminalIn(regions_)) Decide();
}

void RegionRestart::Decide() {
  const proto::Failure failure = root_cause_.failure();
  const auto code = static_cast<absl::StatusCode>(failure.code());
  const bool may_pass = code != absl::StatusCode::kInvalidArgument &&
                        code != absl::StatusCode::kAlreadyExists && core_.restorable;
  const auto delay = may_pass ? core_.restart.OnFailure(core_.NowNanos()) : std::nullopt;
  if (!delay.has_value()) return GiveUp(failure, rank_);
  End();
  step_ = Step::kDelay;
  delay_ = *delay;
  core_.last_failure = std::move(root_cause_);
  core_.Changed();
  After(delay_, [this] {
    core_.checkpoints->coordinator().WhenSettled(lifetime_->Guard(
        [this] { core_.checkpoints->CheckLatest(lifetime_->Guard([this] { Next(); })); }));
  });
}

void RegionRestart::GiveUp(const proto::Failure& failure, CauseRank rank) {
  End();
  step_ = Step::kNone;
  give_up_(failure, rank);
}

void RegionRestart::Next() {
  // Nothing of an earlier step is on the stack of a timer.
  past_deployment_ = nullptr;
  for (WorkerRecord& worker : core_.workers) worker.replaced |= worker.gone();
  ++core_.last_attempt;
  ++core_.region_restarts;
  core_.graph.ResetRegions(regions_, core_.last_attempt);
  step_ = Step::kSlots;
  core_.Changed();
  const absl::Duration timeout = core_.surroundings.options().slot_request_timeout;
  After(timeout, [this, timeout] {
    if (step_ != Step::kSlots) return;
    GiveUp(MakeFailure(absl::ResourceExhaustedError(
                           StrCat("no slots within ", absl::FormatDuration(timeout),
                                  " (slot.request.timeout): ", waiting_for(),
                                  "; start more task managers, or lower the job's parallelism")),
                       {}, core_.NowMicros()),
           CauseRank::kCause);
  });
  TrySchedule();
}

std::vector<uint32_t> RegionRestart::SlotsToFind() const {
  std::vector<uint32_t> slots;
  for (uint32_t slot = 0; slot < core_.worker_of_slot.size(); ++slot) {
    const WorkerRecord& worker = core_.workers[core_.worker_of_slot[slot]];
    if (worker.ending() && core_.graph.NeedSlot(regions_, slot)) slots.push_back(slot);
  }
  return slots;
}

void RegionRestart::TrySchedule() {
  if (step_ != Step::kSlots) return;
  const std::vector<uint32_t> slots = SlotsToFind();
  if (!slots.empty()) {
    const std::vector<TaskManagerId> preferred = core_.PreferredFor(slots);
    const auto shares = core_.surroundings.slots().Allocate(
        core_.OwnerOf(static_cast<uint32_t>(core_.workers.size())),
        static_cast<uint32_t>(slots.size()), preferred);
    if (!shares.has_value()) return;
    core_.AddWorkers(*shares, slots, preferred);
  }
  core_.graph.ScheduleRegions(regions_, core_.worker_of_slot);
  End();
  step_ = Step::kDeploying;
  deployment_ = std::make_unique<Deployment>(core_, regions_,
                                             lifetime_->GuardConst([this] { OnDeployed(); }));
  core_.Changed();
  deployment_->Begin();
}

void RegionRestart::OnDeployed() {
  End();
  step_ = Step::kNone;
  core_.Log("info",
            StrCat("runs as a whole again: region ", Names(), " of ", core_.graph.regions().count(),
                   " was started again, as attempt ", core_.last_attempt));
  regions_.clear();
  core_.checkpoints->coordinator().ResumeTasks();
  core_.Changed();
  on_running_();
}

void RegionRestart::OnTasksChanged() { GoOnIfEnded(); }
void RegionRestart::OnWorkerGone() { GoOnIfEnded(); }
void RegionRestart::OnWorkerRegistered(const WorkerRecord& worker) {
  if (deployment_ != nullptr) deployment_->OnWorkerRegistered(worker);
}

}  // namespace weir::jobmanager
