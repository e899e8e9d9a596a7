#include "runtime/task/checkpoint_chain.h"

#include <algorithm>
#include <utility>

namespace weir {

bool CheckpointChain::IsWholeDue() const {
  const auto base = links_.find(base_);
  if (base == links_.end() || changes_ >= KeyedStateTable::kMaxChanges) return true;
  const std::vector<SharedStateFile>& files = base->second.files;
  if (files.empty()) return true;
  uint64_t changed = 0;
  for (size_t i = 1; i < files.size(); ++i) changed += files[i].bytes;
  return changed >= files.front().bytes / 2;
}

StateIncrement CheckpointChain::Begin(uint64_t checkpoint,
                                      std::vector<const KeyedStateTable*> tables) {
  MutexLock lock(mutex_);
  StateIncrement plan;
  if (tables != tables_ || IsWholeDue()) {
    tables_ = std::move(tables);
    links_.clear();
    base_ = 0;
    changes_ = 0;
  } else {
    const Link& base = links_.at(base_);
    plan.since = base.number;
    plan.files = base.files;
    ++changes_;
  }
  links_[checkpoint] = {.number = changes_, .files = plan.files};
  last_ = checkpoint;
  return plan;
}

void CheckpointChain::Written(uint64_t checkpoint, std::optional<SharedStateFile> file) {
  MutexLock lock(mutex_);
  const auto found = links_.find(checkpoint);
  if (found == links_.end()) return;
  if (file.has_value()) found->second.files.push_back(*std::move(file));
  found->second.written = true;
}

void CheckpointChain::Complete(uint64_t checkpoint) {
  MutexLock lock(mutex_);
  const auto found = links_.find(checkpoint);
  if (found == links_.end() || checkpoint <= base_ || !found->second.written) return;
  const std::vector<SharedStateFile>& newest = links_.at(last_).files;
  for (const SharedStateFile& file : found->second.files) {
    if (checkpoint == last_) break;
    if (std::none_of(newest.begin(), newest.end(),
                     [&](const SharedStateFile& other) { return other.name == file.name; })) {
      return;
    }
  }
  base_ = checkpoint;
  links_.erase(links_.begin(), found);
}

}  // namespace weir
