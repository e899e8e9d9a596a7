#include "jobmanager/schedule/phase_internal.h"

namespace weir::jobmanager {
namespace {

// Tasks are asked to end; a worker is stopped when its tasks have, or when they take too long. Over
// when all are gone. What fails meanwhile is logged and no failure of the job.
class Cancelling final : public Phase {
 public:
  using Phase::Phase;

  proto::JobState state() const override { return proto::CANCELLING; }

  void Enter() override {
    core_.RequestCancel();
    core_.graph.Cancel();
    for (WorkerRecord& worker : core_.workers) {
      const WorkerState state = worker.state.get();
      if (state == WorkerState::kDeployed || state == WorkerState::kRunning) {
        CancelTasks(worker);
      } else {
        core_.StopWorker(worker);
      }
    }
    After(core_.surroundings.options().cancel_grace, [this] { core_.StopAllWorkers(); });
    After(core_.surroundings.options().stop_timeout, [this] {
      core_.Log("warning", "has workers that are not known to be gone; their slots stay taken");
      End();
    });
    OnWorkerGone();
  }

  void OnTasksChanged() override {
    for (WorkerRecord& worker : core_.workers) {
      if (core_.graph.AllTerminalOf(worker.index)) core_.StopWorker(worker);
    }
  }

  void OnWorkerGone() override {
    if (core_.AllWorkersGone()) End();
  }

  void OnFailure(const proto::Failure& failure, CauseRank) override {
    core_.Log("warning", StrCat("failed while it was cancelled: ", failure.message()));
  }

  absl::StatusOr<proto::JobState> Cancel() override { return state(); }

 private:
  void CancelTasks(WorkerRecord& worker) {
    proto::CancelTasksRequest request;
    request.set_leader_epoch(core_.surroundings.leader_epoch());
    request.set_job_id(std::string(core_.spec.id.bytes().begin(), core_.spec.id.bytes().end()));
    request.set_attempt(core_.attempt);
    const uint32_t index = worker.index;
    TypedCall<proto::CancelTasksRequest, proto::CancelTasksResponse>(
        *worker.peer, "/weir.Worker/CancelTasks", request,
        core_.surroundings.options().cancel_grace, &core_.surroundings.executor(),
        Bind([this, index](absl::StatusOr<proto::CancelTasksResponse> response) {
          if (!response.ok()) core_.StopWorker(core_.workers[index]);
        }));
  }

  void End() { core_.GoTo(MakeEnding(core_, proto::CANCELED)); }
};

}  // namespace

std::unique_ptr<Phase> MakeCancelling(JobCore& core) { return std::make_unique<Cancelling>(core); }

}  // namespace weir::jobmanager
