#include "jobmanager/checkpoint/checkpoint_statistics.h"

#include <utility>

namespace weir::jobmanager {

void CheckpointHistory::Add(CheckpointStatistics checkpoint) {
  checkpoints_.push_back(std::move(checkpoint));
  if (checkpoints_.size() > kMaxCheckpoints) checkpoints_.pop_front();
  size_t tasks = checkpoints_.back().tasks.size();
  for (auto it = checkpoints_.rbegin() + 1; it != checkpoints_.rend(); ++it) {
    tasks += it->tasks.size();
    if (tasks > kMaxTasks) std::vector<TaskCheckpointStatistics>().swap(it->tasks);
  }
}

void CheckpointHistory::SetDiscarded(uint64_t id) {
  for (CheckpointStatistics& checkpoint : checkpoints_) {
    if (checkpoint.id == id) checkpoint.discarded = true;
  }
}

}  // namespace weir::jobmanager
