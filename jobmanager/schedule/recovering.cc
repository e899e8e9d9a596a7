#include <algorithm>

#include "jobmanager/schedule/phase_internal.h"

namespace weir::jobmanager {
namespace {

constexpr absl::Duration kFirstRetry = absl::Seconds(1);
constexpr absl::Duration kLastRetry = absl::Seconds(30);

// The job manager was started anew and the job had not ended: makes the record this leader's own
// and reads the job's checkpoints, then goes on where the leader before had come to. Workers may
// come back meanwhile, and what they tell of is acted on afterwards.
class Recovering final : public Phase {
 public:
  using Phase::Phase;

  proto::JobState state() const override { return proto::RECONCILING; }

  void Enter() override {
    core_.Persist(Bind([this] { Load(kFirstRetry); }));
  }

  bool knows_checkpoints() const override { return false; }

  void OnFailure(const proto::Failure& failure, CauseRank rank) override {
    failures_.emplace_back(failure, rank);
  }

  absl::StatusOr<proto::JobState> Cancel() override {
    core_.RequestCancel();
    return state();
  }

  std::string waiting_for() const override { return why_; }

 private:
  void Load(absl::Duration retry) {
    core_.checkpoints->Load(Bind([this, retry](const absl::Status& status) {
      if (status.ok()) return GoOn();
      why_ = StrCat("its checkpoints cannot be read: ", ToStd(status.message()));
      core_.Log("error", StrCat("cannot be taken up: ", why_));
      core_.Changed();
      if (status.code() == absl::StatusCode::kDataLoss) {
        core_.checkpoints_unreadable = true;
        core_.root_cause = RootCause();
        core_.root_cause.Offer(MakeFailure(absl::DataLossError(why_), {}, core_.NowMicros()),
                               CauseRank::kCause);
        return GoOn();
      }
      After(retry, [this, retry] { Load(std::min(2 * retry, kLastRetry)); });
    }));
  }

  void GoOn() {
    JobCore& core = core_;
    core.WatchForAbsentWorkers();
    if (core.record.cancelling()) {
      core.GoTo(MakeCancelling(core));
    } else if (core.checkpoints_unreadable || core.record.failing()) {
      core.GoTo(MakeFailing(core));
    } else if (!core.workers.empty()) {
      core.GoTo(MakeReconciling(core));
    } else {
      core.GoTo(MakeCreated(core));
      return core.phase->TrySchedule();
    }
    for (const auto& [failure, rank] : failures_) core.phase->OnFailure(failure, rank);
  }

  // That came before it could be said what follows from them.
  std::vector<std::pair<proto::Failure, CauseRank>> failures_;

  std::string why_ = "its checkpoints are being read";
};

}  // namespace

std::unique_ptr<Phase> MakeRecovering(JobCore& core) { return std::make_unique<Recovering>(core); }

}  // namespace weir::jobmanager
