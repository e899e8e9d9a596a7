#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "jobmanager/schedule/states.h"
#include "proto/validate/pipelined_regions.h"

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
// broken invariant. A region may be started again by itself, as another attempt, of which reports
// of the one before say nothing. Pure (no time, no calls); owned by one executor.
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
  // Takes what `worker` says about one of its tasks. A report that is older than what is known, or
  // of another attempt of the task's region, changes nothing. kInvalidArgument: no such task,
  // another worker's, or a state that cannot be.
  absl::StatusOr<Change> Apply(uint32_t worker, const proto::TaskReport& report, int64_t now_nanos);

  // Tasks that run somewhere become CANCELING, those that never did CANCELED.
  void Cancel();
  // No more is heard of `worker`: its tasks that are not done become `end`.
  void EndTasksOf(uint32_t worker, proto::TaskState end);
  // The same of tasks of these regions only.
  void EndTasksOf(uint32_t worker, proto::TaskState end, const std::set<uint32_t>& regions);
  // All that are not done become CANCELED: nothing of the job runs any more.
  void EndAll();
  // Of a job that ended before: all become FINISHED.
  void FinishAll();

  bool AllFinished() const { return Count(proto::TaskState{kFinished}) == tasks(); }
  bool AllTerminalOf(uint32_t worker) const;

  // ---- Regions ----

  const PipelinedRegions& regions() const { return regions_; }
  // 0: that of the job.
  uint32_t AttemptOf(uint32_t region) const { return attempts_.at(region); }
  void SetAttempt(uint32_t region, uint32_t attempt) { attempts_.at(region) = attempt; }
  // Whether a report is of the attempt that its task is in. The task exists.
  bool IsCurrent(const proto::TaskReport& report) const;
  // Those that have tasks on `worker`.
  std::set<uint32_t> RegionsOn(uint32_t worker) const;
  bool AllFinishedIn(uint32_t region) const;
  bool AllTerminalIn(const std::set<uint32_t>& regions) const;
  bool AllTerminalIn(const std::set<uint32_t>& regions, uint32_t worker) const;
  // Whether one of them has a task in that slot.
  bool NeedSlot(const std::set<uint32_t>& regions, uint32_t slot) const;
  // As Cancel, of those only.
  void CancelRegions(const std::set<uint32_t>& regions);
  // All their tasks have ended, and are CREATED again, for this attempt.
  void ResetRegions(const std::set<uint32_t>& regions, uint32_t attempt);
  // As Schedule and Deploy, of those only.
  void ScheduleRegions(const std::set<uint32_t>& regions,
                       const std::vector<uint32_t>& worker_of_slot);
  void DeployRegions(const std::set<uint32_t>& regions);
  struct Place {
    uint32_t vertex = 0;
    uint32_t subtask = 0;
    uint32_t worker = 0;
  };
  std::vector<Place> TasksOf(const std::set<uint32_t>& regions) const;

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
  void CancelTask(Task& task);

  std::shared_ptr<const proto::JobGraph> graph_;
  PipelinedRegions regions_;
  // By region.
  std::vector<uint32_t> attempts_;
  std::vector<Task> tasks_;
  // Index of subtask 0 of each vertex.
  std::vector<size_t> first_task_;
  std::array<size_t, 10> counts_{};
  uint32_t slots_needed_ = 0;
};

}  // namespace weir::jobmanager
