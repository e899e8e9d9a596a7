#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/base/lifetime.h"
#include "jobmanager/schedule/deployment_internal.h"
#include "jobmanager/schedule/phase_internal.h"

namespace weir::jobmanager {

// Starts regions of a running job again from the newest checkpoint, while the others run on: ends
// their tasks and the workers that are silent, asks the restart strategy, waits until it is known
// which checkpoint is the newest, finds slots for those of workers that are gone, and deploys. What
// fails meanwhile joins them, and it begins anew. Until it is done no checkpoint is taken, and the
// record says that the attempt does not run: a job manager that takes over starts the whole job
// again. So does this one if it cannot go on.
//
// Owned by the job's phase while it is RUNNING.
class RegionRestart {
 public:
  // `give_up`: the job as a whole has failed for this reason. `on_running`: all tasks run again.
  // Both are the last that it does for one restart.
  RegionRestart(JobCore& core, std::function<void(const proto::Failure&, CauseRank)> give_up,
                std::function<void()> on_running);
  ~RegionRestart();
  void End();

  bool active() const { return step_ != Step::kNone; }
  const std::set<uint32_t>& regions() const { return regions_; }

  // These have failed; some may be under way.
  void OnFailure(const std::set<uint32_t>& regions, const proto::Failure& failure, CauseRank rank);
  void OnTasksChanged();
  void OnWorkerGone();
  void OnWorkerRegistered(const WorkerRecord& worker);
  void TrySchedule();
  std::string waiting_for() const;

 private:
  enum class Step { kNone, kEnding, kDelay, kSlots, kDeploying };

  void After(absl::Duration delay, std::function<void()> f);
  // Whether it is known of these that they have failed, and nothing of them runs any more: what is
  // told of them now came with the failure that the restart strategy was asked about.
  bool IsDecidedOn(const std::set<uint32_t>& regions) const;
  void BeginEnding();
  // Workers in which something of the regions may still run.
  std::set<uint32_t> Concerned() const;
  void CancelTasks(uint32_t index, absl::Duration retry);
  // Stops the workers whose tasks do not end.
  void StopStubborn();
  void GoOnIfEnded();
  void Decide();
  void Next();
  void GiveUp(const proto::Failure& failure, CauseRank rank);
  void OnDeployed();
  std::vector<uint32_t> SlotsToFind() const;
  std::string Names() const;

  JobCore& core_;
  const std::function<void(const proto::Failure&, CauseRank)> give_up_;
  const std::function<void()> on_running_;
  Step step_ = Step::kNone;
  std::set<uint32_t> regions_;
  RootCause root_cause_;
  CauseRank rank_ = CauseRank::kConsequence;
  // While kEnding: the record says that tasks are being ended; workers that have not answered the
  // order; whether a better reason for the failure may still come.
  bool recorded_ = false;
  std::set<uint32_t> unanswered_;
  bool grace_over_ = false;
  absl::Duration delay_;
  std::unique_ptr<Deployment> deployment_;
  // Over, but perhaps on the call stack.
  std::unique_ptr<Deployment> past_deployment_;
  std::vector<Executor::TimerId> timers_;
  // Of the step that it is in.
  std::unique_ptr<Lifetime> lifetime_ = std::make_unique<Lifetime>();
};

}  // namespace weir::jobmanager
