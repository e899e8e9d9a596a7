#include "jobmanager/schedule/phase_internal.h"

namespace weir::jobmanager {
namespace {

// How often at least a job that was stopped is started again to commit, and after how long.
constexpr uint32_t kCommitAttempts = 10;
constexpr absl::Duration kCommitDelay = absl::Seconds(1);

// Whether another attempt could go better: not if the job, its settings or its input are wrong.
bool MayPass(const proto::Failure& failure) {
  const auto code = static_cast<absl::StatusCode>(failure.code());
  return code != absl::StatusCode::kInvalidArgument && code != absl::StatusCode::kAlreadyExists;
}

// If what is known may be a consequence, waits a moment for the cause; then stops all workers. When
// all are gone, the restart strategy decides how it goes on; while one may still run, the job is
// not started again.
class Failing final : public Phase {
 public:
  using Phase::Phase;

  proto::JobState state() const override { return proto::FAILING; }

  void Enter() override {
    core_.record.set_failing(true);
    core_.Persist();
    core_.graph.Cancel();
    if (core_.root_cause.settled()) {
      Stop();
    } else {
      After(core_.surroundings.options().cause_grace, [this] { Stop(); });
    }
    After(core_.surroundings.options().stop_timeout, [this] {
      // Only the store is waited for, however long it is away: nothing else knows the outcome.
      if (waits_for_savepoint_) return;
      core_.Log("warning", "has workers that are not known to be gone; their slots stay taken");
      End();
    });
    OnWorkerGone();
  }

  void OnFailure(const proto::Failure& failure, CauseRank rank) override {
    if (!core_.root_cause.Offer(failure, rank)) return;
    core_.Log("info", StrCat("fails for another reason than first seen: ", failure.message()));
    core_.Changed();
    if (core_.root_cause.settled()) Stop();
  }

  void OnWorkerGone() override {
    if (!core_.AllWorkersGone()) return;
    if (core_.checkpoints->coordinator().stop_undecided()) {
      // Whether the job has been stopped, its savepoint says.
      if (!std::exchange(waits_for_savepoint_, true)) {
        core_.checkpoints->coordinator().WhenSettled(Bind([this] { OnWorkerGone(); }));
      }
      return;
    }
    if (core_.StoppedForGood()) return core_.GoTo(MakeEnding(core_, proto::FINISHED));
    const bool readable = !core_.checkpoints_unreadable && core_.restorable;
    // That is no failure of the job as it was.
    if (readable && (core_.record.has_next_scale() || core_.record.has_former_scale())) {
      return core_.GoTo(MakeRestarting(core_, absl::ZeroDuration()));
    }
    if (!MayPass(core_.root_cause.failure())) {
      core_.Log("info", "is not started again: it would fail for the same reason");
      return End();
    }
    if (!readable) {
      core_.Log("error", "is not started again: what it would begin from cannot be read");
      return End();
    }
    auto delay = core_.restart.OnFailure(core_.NowNanos());
    // A job that is not to be started again is, to commit what its savepoint holds.
    if (!delay.has_value() && core_.Stopped() && core_.commit_attempts < kCommitAttempts) {
      delay = kCommitDelay;
    }
    if (core_.Stopped()) ++core_.commit_attempts;
    if (delay.has_value()) return core_.GoTo(MakeRestarting(core_, *delay));
    core_.Log("info", StrCat("is not started again: ", core_.restart.Describe()));
    End();
  }

  // It ends in any case, and keeps its failure.
  absl::StatusOr<proto::JobState> Cancel() override { return state(); }

 private:
  void Stop() { core_.StopAllWorkers(); }
  void End() {
    core_.GoTo(MakeEnding(core_, core_.StoppedForGood() ? proto::FINISHED : proto::FAILED));
  }

  bool waits_for_savepoint_ = false;
};

}  // namespace

std::unique_ptr<Phase> MakeFailing(JobCore& core) { return std::make_unique<Failing>(core); }

}  // namespace weir::jobmanager
