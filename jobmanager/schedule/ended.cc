#include "jobmanager/schedule/phase_internal.h"

namespace weir::jobmanager {
namespace {

// Terminal: nothing but the end of its workers follows.
class Ended final : public Phase {
 public:
  Ended(JobCore& core, proto::JobState state) : Phase(core), state_(state) {}

  proto::JobState state() const override { return state_; }

  void Enter() override {
    core_.changed_unix_micros = core_.record.ended_unix_micros();
    if (core_.record.clean()) return;
    if (core_.cleaning_up) return CleanUp();
    core_.graph.EndAll();
    core_.StopAllWorkers();
    if (!core_.checkpoints_unreadable) EndCheckpoints();
  }

  void OnFailure(const proto::Failure& failure, CauseRank) override {
    core_.Log("warning", StrCat("has ended; this came later: ", failure.message()));
  }

  absl::StatusOr<proto::JobState> Cancel() override {
    return absl::FailedPreconditionError(StrCat("job ", core_.spec.id.ToString(), " has ended (",
                                                Name(state_), ") and cannot be cancelled"));
  }

 private:
  void EndCheckpoints() {
    core_.checkpoints->EndJob(state_ == proto::FINISHED   ? JobEnd::kFinished
                              : state_ == proto::CANCELED ? JobEnd::kCanceled
                                                          : JobEnd::kFailed);
  }

  // A job manager before this one had got as far as recording the end.
  void CleanUp() {
    core_.checkpoints->Load(Bind([this](const absl::Status& status) {
      if (status.ok()) {
        EndCheckpoints();
      } else {
        core_.checkpoints_unreadable = true;
        core_.Log("warning",
                  StrCat("has ended; its checkpoints cannot be read and are left as they "
                         "are: ",
                         ToStd(status.message())));
      }
      OnCleanedUp();
    }));
  }

  void OnCleanedUp() {
    core_.cleaning_up = false;
    core_.Changed();
  }

  const proto::JobState state_;
};

}  // namespace

std::unique_ptr<Phase> MakeEnded(JobCore& core, proto::JobState state) {
  return std::make_unique<Ended>(core, state);
}

}  // namespace weir::jobmanager
