#include "jobmanager/schedule/phase_internal.h"

namespace weir::jobmanager {
namespace {

// The tasks have stopped at the checkpoint from which the next attempt starts, at another
// parallelism: stops the workers, and goes on when none of them runs any more.
class Rescaling final : public Phase {
 public:
  using Phase::Phase;

  proto::JobState state() const override { return proto::RESTARTING; }

  void Enter() override {
    core_.graph.Cancel();
    core_.StopAllWorkers();
    After(core_.surroundings.options().stop_timeout, [this] {
      Phase::OnFailure(
          MakeFailure(absl::DeadlineExceededError(
                          "workers that were stopped for another parallelism are not known to be "
                          "gone"),
                      {}, core_.NowMicros()),
          CauseRank::kCause);
    });
    OnWorkerGone();
  }

  void OnWorkerGone() override {
    if (!core_.AllWorkersGone()) return;
    JobCore& core = core_;
    core.GoTo(MakeRestarting(core, absl::ZeroDuration()));
  }

  void OnFailure(const proto::Failure& failure, CauseRank) override {
    core_.Log("info", StrCat("was stopped to be rescaled; this came later: ", failure.message()));
  }

  std::string waiting_for() const override {
    return StrCat("is stopped to go on at parallelism ", core_.record.next_scale().parallelism());
  }
};

}  // namespace

std::unique_ptr<Phase> MakeRescaling(JobCore& core) { return std::make_unique<Rescaling>(core); }

}  // namespace weir::jobmanager
