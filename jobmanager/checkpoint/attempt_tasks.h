#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace weir::proto {
class JobGraph;
class TaskSnapshot;
}  // namespace weir::proto

namespace weir::jobmanager {

// Of each vertex, the worker of each subtask.
using TaskPlacement = std::vector<std::vector<uint32_t>>;

// The subtasks of one attempt of a job as checkpoints see them: which there are, where they run,
// which have ended and what they held then. Some may be started again while the others run. Tasks
// are numbered by vertex, then subtask. Pure; owned by one executor.
class AttemptTasks {
 public:
  // `graph` has passed ValidateJobGraph, and `placement` fits it.
  AttemptTasks(std::shared_ptr<const proto::JobGraph> graph, uint32_t attempt,
               TaskPlacement placement);
  ~AttemptTasks();

  uint32_t attempt() const { return attempt_; }
  size_t size() const { return tasks_.size(); }
  // kInvalidArgument: there is no such task.
  absl::StatusOr<size_t> Find(uint32_t vertex, uint32_t subtask) const;
  // kInvalidArgument: it runs on another worker.
  absl::Status CheckWorker(size_t task, uint32_t worker) const;

  // kInvalidArgument: nodes of another vertex or twice, file indices out of range, bad names, a
  // file twice, or a final snapshot with files that are not shared: those belong to one checkpoint,
  // but later ones refer to it too.
  absl::Status CheckSnapshot(const proto::TaskSnapshot& snapshot) const;

  // The task has ended: it is not triggered any more. Its final snapshot may come later.
  void SetEnded(size_t task);
  // What it held when it had read all its input. The first one counts: false if there was one.
  bool SetFinal(size_t task, std::shared_ptr<const proto::TaskSnapshot> snapshot);
  // Null: it has told none.
  const std::shared_ptr<const proto::TaskSnapshot>& final_snapshot(size_t task) const;
  bool AllFinal() const { return finals_ == tasks_.size(); }

  // The task does not run any more: nothing that it says counts, until it is replaced. Returns what
  // it held at its end, or null.
  std::shared_ptr<const proto::TaskSnapshot> Withdraw(size_t task);
  // It runs on `worker` as attempt `region_attempt`.
  void Replace(size_t task, uint32_t worker, uint32_t region_attempt);
  // Whether what is told with this attempt (0: that of the job) is of the task as it runs now.
  bool IsCurrent(size_t task, uint32_t region_attempt) const;

  bool AnyEnded() const;

  // Those that run sources which have not ended; ascending.
  std::vector<uint32_t> WorkersToTrigger() const;
  // Those that run tasks, ended or not; ascending.
  std::vector<uint32_t> AllWorkers() const;

 private:
  struct Task {
    uint32_t worker = 0;
    // As others call it; 0: that of the job.
    uint32_t region_attempt = 0;
    bool withdrawn = false;
    bool source = false;
    bool ended = false;
    std::shared_ptr<const proto::TaskSnapshot> final_snapshot;
  };

  const std::shared_ptr<const proto::JobGraph> graph_;
  const uint32_t attempt_;
  std::vector<Task> tasks_;
  // Index of subtask 0 of each vertex.
  std::vector<size_t> first_task_;
  // Of each node, its vertex.
  std::vector<uint32_t> vertex_of_node_;
  size_t finals_ = 0;
};

}  // namespace weir::jobmanager
