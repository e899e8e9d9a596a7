#include "jobmanager/schedule/phase_internal.h"

namespace weir::jobmanager {
namespace {

// Between two attempts: waits as long as the restart strategy says, and until it is known which
// checkpoint is the newest.
class Restarting final : public Phase {
 public:
  Restarting(JobCore& core, absl::Duration delay) : Phase(core), delay_(delay) {}

  proto::JobState state() const override { return proto::RESTARTING; }

  void Enter() override {
    After(delay_, [this] {
      core_.checkpoints->coordinator().WhenSettled(
          Bind([this] { core_.checkpoints->CheckLatest(Bind([this] { Next(); })); }));
    });
  }

  void OnFailure(const proto::Failure& failure, CauseRank) override {
    core_.Log("info", StrCat("was about to start again; this came later: ", failure.message()));
  }

  std::string waiting_for() const override {
    return StrCat("starts again within ", absl::FormatDuration(delay_));
  }

 private:
  void Next() {
    // Nothing of an earlier phase is on the stack of a timer.
    core_.past_phases.clear();
    core_.BeginNextAttempt();
    JobCore& core = core_;
    core.GoTo(MakeCreated(core));
    core.phase->TrySchedule();
  }

  const absl::Duration delay_;
};

}  // namespace

std::unique_ptr<Phase> MakeRestarting(JobCore& core, absl::Duration delay) {
  return std::make_unique<Restarting>(core, delay);
}

}  // namespace weir::jobmanager
