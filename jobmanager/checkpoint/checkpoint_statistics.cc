#include "jobmanager/checkpoint/checkpoint_statistics.h"

#include <utility>

namespace weir::jobmanager {

void CheckpointHistory::Add(CheckpointStatistics checkpoint) {
  checkpoints_.push_back(std::make_shared<const CheckpointStatistics>(std::move(checkpoint)));
  if (checkpoints_.size() > kMaxCheckpoints) checkpoints_.pop_front();
  size_t tasks = checkpoints_.back()->tasks.size();
  for (auto it = checkpoints_.rbegin() + 1; it != checkpoints_.rend(); ++it) {
    tasks += (*it)->tasks.size();
    if (tasks <= kMaxTasks || (*it)->tasks.empty()) continue;
    auto without_tasks = std::make_shared<CheckpointStatistics>(**it);
    without_tasks->tasks = {};
    *it = std::move(without_tasks);
  }
}

void CheckpointHistory::SetDiscarded(uint64_t id) {
  for (auto& checkpoint : checkpoints_) {
    if (checkpoint->id != id) continue;
    auto discarded = std::make_shared<CheckpointStatistics>(*checkpoint);
    discarded->discarded = true;
    checkpoint = std::move(discarded);
  }
}

std::shared_ptr<const CheckpointStatistics> CheckpointsView::Find(uint64_t id) const {
  for (const auto* checkpoints : {&over, &in_progress}) {
    for (const auto& checkpoint : *checkpoints) {
      if (checkpoint->id == id) return checkpoint;
    }
  }
  return nullptr;
}

}  // namespace weir::jobmanager
