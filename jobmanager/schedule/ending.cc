#include "jobmanager/schedule/phase_internal.h"

namespace weir::jobmanager {
namespace {

// How the job ends is decided; the state before it is shown until that is durable: what somebody
// has seen end never runs again.
class Ending final : public Phase {
 public:
  Ending(JobCore& core, proto::JobState outcome)
      : Phase(core), before_(core.state()), outcome_(outcome) {}

  proto::JobState state() const override { return before_; }

  void Enter() override {
    core_.CloseAttempt("the job has ended");
    core_.record.set_outcome(outcome_);
    core_.record.set_ended_unix_micros(core_.NowMicros());
    core_.Persist(Bind([this] {
      JobCore& core = core_;
      core.GoTo(MakeEnded(core, outcome_));
    }));
  }

  void OnFailure(const proto::Failure& failure, CauseRank) override {
    core_.Log("info", StrCat("ends as ", Name(outcome_), "; this came later: ", failure.message()));
  }

  absl::StatusOr<proto::JobState> Cancel() override { return state(); }

  std::string waiting_for() const override { return "its end is being recorded"; }

 private:
  const proto::JobState before_;
  const proto::JobState outcome_;
};

}  // namespace

std::unique_ptr<Phase> MakeEnding(JobCore& core, proto::JobState outcome) {
  return std::make_unique<Ending>(core, outcome);
}

}  // namespace weir::jobmanager
