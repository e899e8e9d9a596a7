#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "common/base/mutex.h"
#include "runtime/task_state.h"
#include "weir/operator.h"

namespace weir {

// The checkpoints of one task's keyed state in memory that build on each other: a whole one, then
// what has changed. Says at each barrier which of the two is due, and on what it builds.
//
// One is built on only while it is known to be complete, and if the last one that was begun has all
// its files: others may have been deleted (failures rule 2). Whole is the first one after a
// restart, since the tables know no changes then and key groups may have moved; the one after a
// whole one of which it is not known that it is complete; and one whose changes, summed up, are
// half of the whole, so that a restore reads, and the disk holds, at most one and a half times the
// state, and writing it whole again is paid by what was written in between. Thread safe.
class CheckpointChain {
 public:
  // The task is at the barrier of this checkpoint, and `tables`, which are not empty, can track
  // changes by now. What is returned lacks `written`.
  StateIncrement Begin(uint64_t checkpoint, std::vector<const KeyedStateTable*> tables);
  // See StateIncrement::written.
  void Written(uint64_t checkpoint, std::optional<SharedStateFile> file);
  // May be told of others, too, and again.
  void Complete(uint64_t checkpoint);

 private:
  struct Link {
    // How many TakeChanges came before its own, from the whole one on.
    uint32_t number = 0;
    std::vector<SharedStateFile> files;
    bool written = false;
  };
  bool IsWholeDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Mutex mutex_;
  std::vector<const KeyedStateTable*> tables_ ABSL_GUARDED_BY(mutex_);
  // From the last whole one on.
  std::map<uint64_t, Link> links_ ABSL_GUARDED_BY(mutex_);
  // What the next one builds on; 0: nothing.
  uint64_t base_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t last_ ABSL_GUARDED_BY(mutex_) = 0;
  // TakeChanges since the last whole one.
  uint32_t changes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace weir
