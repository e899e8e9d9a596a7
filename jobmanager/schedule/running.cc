#include "jobmanager/schedule/phase_internal.h"

namespace weir::jobmanager {
namespace {

// Until every task has finished, one fails, or a worker is lost.
class Running final : public Phase {
 public:
  using Phase::Phase;

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
    if (core_.record.has_next_scale()) {
      core_.Log("info", StrCat("is stopped to be rescaled; this came later: ", failure.message()));
      return Rescale();
    }
    if (!core_.StoppedForGood()) return Phase::OnFailure(failure, rank);
    core_.Log("warning", StrCat("was stopped with a savepoint, which is complete; what failed "
                                "afterwards changes nothing: ",
                                failure.message()));
    core_.GoTo(MakeEnding(core_, proto::FINISHED));
  }

  void OnTasksChanged() override {
    if (!core_.graph.AllFinished()) return;
    if (core_.record.has_next_scale()) return Rescale();
    core_.GoTo(MakeEnding(core_, proto::FINISHED));
  }

 private:
  void Rescale() {
    JobCore& core = core_;
    core.GoTo(MakeRescaling(core));
  }
};

}  // namespace

std::unique_ptr<Phase> MakeRunning(JobCore& core) { return std::make_unique<Running>(core); }

}  // namespace weir::jobmanager
