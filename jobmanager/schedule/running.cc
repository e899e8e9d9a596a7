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
    core_.checkpoints->coordinator().OnRunning();
    OnTasksChanged();
  }

  void OnFailure(const proto::Failure& failure, CauseRank rank) override {
    if (!core_.StoppedForGood()) return Phase::OnFailure(failure, rank);
    core_.Log("warning", StrCat("was stopped with a savepoint, which is complete; what failed "
                                "afterwards changes nothing: ",
                                failure.message()));
    core_.GoTo(MakeEnding(core_, proto::FINISHED));
  }

  void OnTasksChanged() override {
    if (core_.graph.AllFinished()) core_.GoTo(MakeEnding(core_, proto::FINISHED));
  }
};

}  // namespace

std::unique_ptr<Phase> MakeRunning(JobCore& core) { return std::make_unique<Running>(core); }

}  // namespace weir::jobmanager
