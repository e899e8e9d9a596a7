#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "jobmanager/schedule/states.h"

namespace weir::proto {
class DeploymentPlan;
class JobGraph;
class TaskReport;
}  // namespace weir::proto

namespace weir::jobmanager {

// Of one subtask, between its last two reports.
struct TaskRates {
  // Milliseconds of a second; together at most 1000.
  double busy_ms = 0;
  double idle_ms = 0;
  double backpressured_ms = 0;
  // Of the head's input and of all operators' output that leaves the chain, as Flink counts a
  // task's.
  double records_in = 0;
  double records_out = 0;
};

// The subtasks of one execution of a job: where each runs and how far it is. A state moves along
// its table only; what a worker reports is checked, so that a wrong report is an error and never a
// broken invariant. Pure (no time, no calls); owned by one executor.
class ExecutionGraph {
 public:
  // `graph` has passed ValidateJobGraph.
  explicit ExecutionGraph(std::shared_ptr<const proto::JobGraph> graph);
  ~ExecutionGraph();
  ExecutionGraph(ExecutionGraph&&) noexcept;
  ExecutionGraph& operator=(ExecutionGraph&&) noexcept;

  // The largest parallelism of a vertex: subtasks of one index share a slot, as in Flink.
  uint32_t slots_needed() const { return slots_needed_; }
  size_t tasks() const;

  // Subtask i of every vertex runs in slot i, on that worker. CREATED becomes SCHEDULED.
  void Schedule(const std::vector<uint32_t>& worker_of_slot);
  // SCHEDULED becomes DEPLOYING.
  void Deploy();
  // Vertices of the plan: who runs what. After Schedule.
  void FillPlacement(proto::DeploymentPlan& plan) const;

  enum class Change { kNone, kMoved, kFailed };
  // Takes what `worker` says about one of its tasks. A report that is older than what is known
  // changes nothing. kInvalidArgument: no such task, another worker's, or a state that cannot be.
  absl::StatusOr<Change> Apply(uint32_t worker, const proto::TaskReport& report, int64_t now_nanos);

  // Tasks that run somewhere become CANCELING, those that never did CANCELED.
  void Cancel();
  // No more is heard of `worker`: its tasks that are not done become `end`.
  void EndTasksOf(uint32_t worker, proto::TaskState end);
  // All that are not done become CANCELED: nothing of the job runs any more.
  void EndAll();
  // Of a job that ended before: all become FINISHED.
  void FinishAll();

  bool AllFinished() const { return Count(proto::TaskState{kFinished}) == tasks(); }
  bool AllTerminalOf(uint32_t worker) const;
  size_t Count(proto::TaskState state) const { return counts_[static_cast<size_t>(state)]; }

  // One report a task, by vertex and subtask: what was last told, with the state that is known.
  void FillReports(bool with_operators, std::vector<proto::TaskReport>& reports) const;
  // In the order of FillReports.
  std::vector<TaskRates> Rates() const;
  std::vector<uint32_t> Workers() const;

 private:
  struct Task;
  static constexpr int kFinished = 6;

  void Move(Task& task, proto::TaskState next);

  std::shared_ptr<const proto::JobGraph> graph_;
  std::vector<Task> tasks_;
  // Index of subtask 0 of each vertex.
  std::vector<size_t> first_task_;
  std::array<size_t, 10> counts_{};
  uint32_t slots_needed_ = 0;
};

}  // namespace weir::jobmanager
