#include "jobmanager/checkpoint/checkpoint_cleaner.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "common/base/strings.h"

namespace weir::jobmanager {

CheckpointCleaner::CheckpointCleaner(CheckpointSurroundings& surroundings, const SharedFiles& files,
                                     CheckpointCounters& counters)
    : surroundings_(surroundings), files_(files), counters_(counters) {}

void CheckpointCleaner::DeleteCheckpoint(uint64_t id, const std::string& directory,
                                         Closure deleted) {
  Enqueue({.what = Checkpoint{id, directory, std::move(deleted)}});
}

void CheckpointCleaner::DeleteShared(std::vector<std::string> names) {
  if (!names.empty()) Enqueue({.what = std::move(names)});
}

void CheckpointCleaner::DeleteLeftovers(Leftovers leftovers) {
  Enqueue({.what = std::move(leftovers)});
}

void CheckpointCleaner::Enqueue(Item item) {
  if (counters_.deletions_waiting >= kMaxWaiting) {
    ++counters_.deletions_dropped;
    return;
  }
  ++counters_.deletions_waiting;
  queue_.push_back(std::move(item));
  StartSome();
}

void CheckpointCleaner::StartSome() {
  while (running_ < kMaxRunning && !queue_.empty()) {
    Item item = std::move(queue_.front());
    queue_.pop_front();
    ++running_;
    Start(std::move(item));
  }
}

void CheckpointCleaner::Start(Item item) {
  // Shared by the callback and the call's arguments.
  const auto shared = std::make_shared<Item>(std::move(item));
  auto done = lifetime_.Guard([this, shared](const absl::Status& status) {
    --running_;
    OnDone(std::move(*shared), status);
    StartSome();
  });
  if (const auto* checkpoint = std::get_if<Checkpoint>(&shared->what)) {
    surroundings_.DeleteCheckpoint(checkpoint->id, checkpoint->directory, std::move(done));
  } else if (auto* names = std::get_if<std::vector<std::string>>(&shared->what)) {
    if (shared->failures == 0) {
      // Told of again meanwhile: whoever told of it keeps it.
      std::erase_if(*names, [this](const std::string& name) { return files_.Knows(name); });
      leaving_.insert(names->begin(), names->end());
    }
    surroundings_.DeleteShared(*names, std::move(done));
  } else {
    surroundings_.DeleteLeftovers(std::get<Leftovers>(shared->what), std::move(done));
  }
}

void CheckpointCleaner::OnDone(Item item, const absl::Status& status) {
  if (status.ok()) {
    ++counters_.deletions_done;
    --counters_.deletions_waiting;
    if (const auto* names = std::get_if<std::vector<std::string>>(&item.what)) {
      for (const std::string& name : *names) leaving_.erase(name);
    }
    auto* checkpoint = std::get_if<Checkpoint>(&item.what);
    if (checkpoint != nullptr && checkpoint->deleted != nullptr) checkpoint->deleted();
    return;
  }
  ++counters_.deletions_failed;
  const absl::Duration delay =
      std::min(kLastRetry, kFirstRetry * (int64_t{1} << std::min(item.failures, 10u)));
  ++item.failures;
  surroundings_.Log("warning", StrCat("state that is not needed any more could not be deleted; it "
                                      "is tried again: ",
                                      status.ToString()));
  surroundings_.executor().PostAfter(delay,
                                     lifetime_.Guard([this, item = std::move(item)]() mutable {
                                       queue_.push_back(std::move(item));
                                       StartSome();
                                     }));
}

}  // namespace weir::jobmanager
