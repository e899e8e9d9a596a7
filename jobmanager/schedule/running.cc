#include "jobmanager/schedule/phase_internal.h"
#include "jobmanager/schedule/region_restart_internal.h"

namespace weir::jobmanager {
namespace {

// Until every task has finished, or a failure concerns the whole job. Regions that fail while
// others run are started again by themselves.
class Running final : public Phase {
 public:
  explicit Running(JobCore& core)
      : Phase(core),
        restart_(
            core,
            [this](const proto::Failure& failure, CauseRank rank) {
              Phase::OnFailure(failure, rank);
            },
            [this] { OnTasksChanged(); }) {}

  proto::JobState state() const override { return proto::RUNNING; }
  // A short job may be done before the last worker has answered.
  void Enter() override {
    if (core_.record.has_former_scale()) {
      core_.record.clear_former_scale();
      core_.Persist();
      core_.rescale.OnRunning();
    }
    core_.checkpoints->coordinator().OnRunning();
    OnTasksChanged();
  }

  void OnStoppedToRescale() override {
    // Its tasks hear of it, commit and end; whatever has not by then is done by the next attempt.
    After(core_.surroundings.options().cancel_grace, [this] { Rescale(); });
    OnTasksChanged();
  }

  void OnFailure(const proto::Failure& failure, CauseRank rank) override {
    const std::optional<std::set<uint32_t>> struck = core_.TakeStruck();
    if (core_.record.has_next_scale()) {
      core_.Log("info", StrCat("is stopped to be rescaled; this came later: ", failure.message()));
      return Rescale();
    }
    if (core_.StoppedForGood()) {
      core_.Log("warning", StrCat("was stopped with a savepoint, which is complete; what failed "
                                  "afterwards changes nothing: ",
                                  failure.message()));
      return core_.GoTo(MakeEnding(core_, proto::FINISHED));
    }
    if (!struck.has_value() || IsWholeJob(*struck) || !core_.restorable || core_.Stopped() ||
        core_.checkpoints->coordinator().stopping()) {
      return Phase::OnFailure(failure, rank);
    }
    if (struck->empty()) {
      // Whatever ran there has ended.
      for (WorkerRecord& worker : core_.workers) {
        if (worker.silent) core_.StopWorker(worker);
        worker.replaced |= worker.gone();
      }
      core_.Log("info", StrCat("needs nothing of what failed: ", failure.message()));
      return core_.Persist();
    }
    restart_.OnFailure(*struck, failure, rank);
  }

  void OnTasksChanged() override {
    if (restart_.active()) return restart_.OnTasksChanged();
    if (!core_.graph.AllFinished()) return;
    if (core_.record.has_next_scale()) return Rescale();
    core_.GoTo(MakeEnding(core_, proto::FINISHED));
  }

  void OnWorkerGone() override { restart_.OnWorkerGone(); }
  void OnWorkerRegistered(WorkerRecord& worker) override { restart_.OnWorkerRegistered(worker); }
  void TrySchedule() override { restart_.TrySchedule(); }
  std::string waiting_for() const override { return restart_.waiting_for(); }

 protected:
  void OnLeave() override { restart_.End(); }

 private:
  bool IsWholeJob(std::set<uint32_t> struck) const {
    struck.insert(restart_.regions().begin(), restart_.regions().end());
    return struck.size() == core_.graph.regions().count();
  }

  void Rescale() {
    JobCore& core = core_;
    core.GoTo(MakeRescaling(core));
  }

  RegionRestart restart_;
};

}  // namespace

std::unique_ptr<Phase> MakeRunning(JobCore& core) { return std::make_unique<Running>(core); }

}  // namespace weir::jobmanager
