#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/lifetime.h"
#include "jobmanager/schedule/phase_internal.h"
#include "proto/control.pb.h"

namespace weir::jobmanager {

// Brings tasks of a job to run: all of them, or those of some regions while the others run on.
// Three steps, each for all workers before the next: start the processes that are not there and
// wait until they register; let them make their tasks; let the tasks run. A call whose answer is
// lost is repeated until the step's time is over. What goes wrong is a failure of the job, or of
// those regions. Owned by a phase of the job.
class Deployment {
 public:
  // `regions`: their tasks are scheduled, and their number is the job's last_attempt; empty: the
  // whole job. `on_running` is the last that it does, once.
  Deployment(JobCore& core, std::set<uint32_t> regions, std::function<void()> on_running);
  ~Deployment();

  void Begin();
  // It does nothing any more.
  void End();
  void OnWorkerRegistered(const WorkerRecord& worker);

 private:
  enum class Step { kStartWorkers, kDeploy, kStartTasks };
  static std::string_view Verb(Step step);

  bool whole() const { return regions_.empty(); }
  void BeginStep(Step step, std::set<uint32_t> workers, absl::Duration timeout);
  void OnStepTimeout(absl::Duration timeout);
  void After(absl::Duration delay, std::function<void()> f);
  void Fail(const absl::Status& status, const WorkerRecord& worker);
  // Decides what an answer means: true if the step went well for that worker.
  bool Accept(Step step, uint32_t index, const absl::Status& status, std::function<void()> repeat,
              absl::Duration retry);
  // True if it was the last of this step.
  bool Done(uint32_t index);
  template <class Request>
  Request Order() const;

  void StartWorkers();
  void StartWorker(uint32_t index, absl::Duration retry);
  void DeployAll();
  void Deploy(uint32_t index, absl::Duration retry);
  void StartAll();
  void StartTasks(uint32_t index, absl::Duration retry);

  JobCore& core_;
  const std::set<uint32_t> regions_;
  const std::function<void()> on_running_;
  // Those that get tasks.
  std::set<uint32_t> workers_;
  Step step_ = Step::kStartWorkers;
  // Of this step, those that have not come to its end.
  std::set<uint32_t> waiting_;
  // By worker; what made the last call of this step fail.
  std::vector<absl::Status> last_errors_;
  proto::DeployRequest deploy_;
  std::vector<Executor::TimerId> timers_;
  Lifetime lifetime_;
};

}  // namespace weir::jobmanager
