#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "proto/validate/pipelined_regions.h"
#include "runtime/job_runtime.h"
#include "taskmanager/worker/checkpoint_reporter.h"
#include "transport/exchange/exchange.h"

namespace weir {

namespace proto {
class DeploymentPlan;
class DeployRequest;
class TaskInspection;
class TaskReport;
}  // namespace proto

// One attempt of one pipelined region of a job, as far as it runs in this worker: its tasks, their
// way to those of other workers and to the checkpoints. When it has been cancelled and its tasks
// have ended nothing stays but what they last said. Owned by the worker's control executor.
class DeployedRegion {
 public:
  // Everything that outlives it.
  struct Surroundings {
    Env& env;
    Executor& control;
    ExchangeHost& exchanges;
    const JobDefinition& definition;
    std::shared_ptr<const proto::JobGraph> graph;
    const PipelinedRegions& regions;
    const ConnectorRegistry& connectors;
    WorkerKey worker;
    // Of state files; null: there are none.
    std::shared_ptr<LocalCopies> copies;
    CheckpointReporter::Acknowledge acknowledge;
    std::function<void(std::string_view)> warn;
    std::function<void()> on_change;
  };

  // Makes the tasks of `region` that `request` places in this worker; nothing flows yet. `options`
  // are those of the worker, and `exchange` of its exchanges. Errors are those of JobRuntime::Make.
  static absl::StatusOr<std::unique_ptr<DeployedRegion>> Make(const Surroundings& surroundings,
                                                              uint32_t region, uint32_t attempt,
                                                              const proto::DeployRequest& request,
                                                              RuntimeOptions options,
                                                              ExchangeOptions exchange);
  ~DeployedRegion();

  // The regions that have tasks on `worker` by a plan; ascending.
  static std::vector<uint32_t> On(const proto::DeploymentPlan& plan,
                                  const PipelinedRegions& regions, uint32_t worker);

  uint32_t attempt() const { return attempt_; }
  // It was cancelled, and its tasks have ended.
  bool discarded() const { return runtime_ == nullptr; }
  bool started() const { return started_; }
  // Once; nothing if it was, or is discarded.
  void Start();
  void Cancel();
  // Gives its memory back if it was cancelled and its tasks have ended.
  void DiscardIfEnded();
  bool AllTerminal() const;
  // State, failure and metrics of every task, without what only the worker knows.
  std::vector<proto::TaskReport> Report() const;

  // As JobRuntime::Inspect; nobody if it is discarded.
  size_t Inspect(const TaskInspection& inspection, const std::vector<uint32_t>& vertices,
                 std::function<void(proto::TaskInspection)> done);

  void TriggerCheckpoint(const Barrier& barrier, const std::string& directory);
  // What has become of checkpoints; 0: nothing is told of any.
  void OnCompleted(uint64_t id);
  void OnAborted(uint64_t id);
  // Another job manager leads.
  void TellAgain();

 private:
  DeployedRegion(uint32_t attempt, uint64_t last_checkpoint_id);

  const uint32_t attempt_;
  // Barriers up to it are not for these tasks.
  const uint64_t last_checkpoint_id_;
  // Null: its tasks are all in this worker.
  std::unique_ptr<Exchange> exchange_;
  // Before the runtime, whose tasks call it to the end.
  std::unique_ptr<CheckpointReporter> reporter_;
  std::unique_ptr<JobRuntime> runtime_;
  // Once it is discarded.
  std::vector<proto::TaskReport> last_reports_;
  bool started_ = false;
  bool cancelled_ = false;
};

}  // namespace weir
