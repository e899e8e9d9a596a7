#include <algorithm>

#include "jobmanager/schedule/phase_internal.h"

namespace weir::jobmanager {
namespace {

constexpr absl::Duration kFirstRetry = absl::Milliseconds(100);
constexpr absl::Duration kLastRetry = absl::Seconds(1);

// Waits for the workers of the attempt that the leader before had deployed. When all are back the
// job goes on as if nothing had happened; if one is not it fails, and starts anew as its restart
// strategy says. An attempt whose tasks were never told to run is given up, which is no failure.
class Reconciling final : public Phase {
 public:
  using Phase::Phase;

  proto::JobState state() const override { return proto::RECONCILING; }

  void Enter() override {
    if (given_up()) {
      core_.Log("info",
                core_.record.has_next_scale()
                    ? "was stopped to be rescaled when its job manager went away: it is deployed "
                      "anew"
                    : "was being deployed when its job manager went away: it is deployed anew");
      core_.StopAllWorkers();
      return OnWorkerGone();
    }
    const auto gone =
        std::find_if(core_.workers.begin(), core_.workers.end(),
                     [](const WorkerRecord& worker) { return worker.gone() && !worker.replaced; });
    if (gone != core_.workers.end()) {
      return core_.Fail(absl::UnavailableError(StrCat("task manager '", gone->task_manager_name,
                                                      "' was restarted while the job manager was "
                                                      "away")),
                        CauseRank::kLost, gone->task_manager_name);
    }
    core_.Log("info", StrCat("waits for its ", core_.workers.size(), " workers to come back"));
    // Before any of them: with their return they tell what the coordinator must not miss.
    core_.OpenAttempt(/*restored=*/0);
    if (core_.record.draining() && !core_.record.stopped()) {
      return core_.Fail(
          absl::AbortedError("the job was being drained when its job manager went away: it goes on "
                             "from its latest checkpoint"),
          CauseRank::kCause);
    }
    After(core_.surroundings.options().takeover_timeout, [this] { OnTimeout(); });
    StartIfAllAreBack();
  }

  void OnWorkerRegistered(WorkerRecord&) override { StartIfAllAreBack(); }
  void OnWorkerGone() override {
    if (!given_up() || !core_.AllWorkersGone()) return;
    JobCore& core = core_;
    core.GoTo(MakeRestarting(core, absl::ZeroDuration()));
  }

  void OnFailure(const proto::Failure& failure, CauseRank rank) override {
    if (!given_up()) return Phase::OnFailure(failure, rank);
    core_.Log("info", StrCat("is deployed anew in any case: ", failure.message()));
  }

  std::string waiting_for() const override {
    const auto back =
        std::count_if(core_.workers.begin(), core_.workers.end(),
                      [](const WorkerRecord& worker) { return !worker.control_address.empty(); });
    return !given_up()
               ? StrCat("waits for its workers to come back: ", back, " of ", core_.workers.size())
               : "the workers that were being started are stopped";
  }

 private:
  // What the leader before had deployed is not to go on: its tasks, or those of a region that was
  // being started again, were never told to run; or they have stopped for another parallelism; or
  // nobody is left who knows what some held when they ended.
  bool given_up() const {
    return !core_.record.tasks_may_run() || core_.record.has_next_scale() ||
           core_.record.ended_region_lost();
  }

  void StartIfAllAreBack() {
    if (given_up() || !All(WorkerState::kRegistered)) return;
    // That all had made their tasks is recorded; that all were told to start them is not.
    for (WorkerRecord& worker : core_.workers) {
      if (worker.replaced) continue;
      worker.state.MoveTo(WorkerState::kDeployed);
      StartTasks(worker.index, kFirstRetry);
    }
  }

  bool All(WorkerState state) const {
    return std::all_of(core_.workers.begin(), core_.workers.end(),
                       [state](const WorkerRecord& worker) {
                         return worker.replaced || worker.state.get() == state;
                       });
  }

  void OnTimeout() {
    core_.LoseAbsentWorkers();
    if (core_.phase.get() != this) return;
    for (const WorkerRecord& worker : core_.workers) {
      const bool back = worker.replaced || worker.state.get() == WorkerState::kRegistered ||
                        worker.state.get() == WorkerState::kRunning;
      if (back) continue;
      core_.Fail(absl::UnavailableError(StrCat(
                     worker.Describe(), " did not come back within ",
                     absl::FormatDuration(core_.surroundings.options().takeover_timeout),
                     " (jobmanager.takeover-timeout) after the job manager was started again")),
                 CauseRank::kLost, worker.task_manager_name);
      return;
    }
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
        Bind([this, index, retry](const absl::StatusOr<proto::StartTasksResponse>& response) {
          WorkerRecord& told = core_.workers[index];
          if (told.ending()) return;
          if (!response.ok()) {
            // Until the time is over.
            core_.Log("warning", StrCat("telling ", told.Describe(),
                                        " to go on: ", ToStd(response.status().message())));
            return After(retry, [this, index, retry] {
              StartTasks(index, std::min(2 * retry, kLastRetry));
            });
          }
          told.state.MoveTo(WorkerState::kRunning);
          if (All(WorkerState::kRunning)) GoOn();
        }));
  }

  void GoOn() {
    JobCore& core = core_;
    core.Log("info", "goes on with the tasks that ran while the job manager was away");
    core.AbandonPendingCheckpoints();
    core.GoTo(MakeRunning(core));
  }
};

}  // namespace

std::unique_ptr<Phase> MakeReconciling(JobCore& core) {
  return std::make_unique<Reconciling>(core);
}

}  // namespace weir::jobmanager
