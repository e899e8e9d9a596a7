#include "jobmanager/schedule/phase_internal.h"

namespace weir::jobmanager {
namespace {

// Terminal: nothing but the end of its workers follows.
class Ended final : public Phase {
 public:
  Ended(JobCore& core, proto::JobState state) : Phase(core), state_(state) {}

  proto::JobState state() const override { return state_; }

  void Enter() override {
    core_.graph.EndAll();
    core_.StopAllWorkers();
    core_.checkpoints->EndJob(state_ == proto::FINISHED   ? JobEnd::kFinished
                              : state_ == proto::CANCELED ? JobEnd::kCanceled
                                                          : JobEnd::kFailed);
  }

  void OnFailure(const proto::Failure& failure, CauseRank) override {
    core_.Log("warning", StrCat("has ended; this came later: ", failure.message()));
  }

  absl::StatusOr<proto::JobState> Cancel() override {
    return absl::FailedPreconditionError(StrCat("job ", core_.spec.id.ToString(), " has ended (",
                                                Name(state_), ") and cannot be cancelled"));
  }

 private:
  const proto::JobState state_;
};

}  // namespace

std::unique_ptr<Phase> MakeEnded(JobCore& core, proto::JobState state) {
  return std::make_unique<Ended>(core, state);
}

}  // namespace weir::jobmanager
