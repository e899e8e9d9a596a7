#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/lifetime.h"
#include "common/env/executor.h"
#include "jobmanager/checkpoint/checkpoint_statistics.h"
#include "jobmanager/checkpoint/checkpoint_surroundings.h"
#include "jobmanager/checkpoint/state_files.h"

namespace weir::jobmanager {

// Deletes what is not needed any more, in the background. What fails is logged, counted and tried
// again, from 1 s up to once a minute, as long as the cleaner lives. At most kMaxRunning deletions
// are under way, at most kMaxWaiting wait; beyond that they are counted and left for the next
// sweep. Owned by one executor.
class CheckpointCleaner {
 public:
  static constexpr size_t kMaxRunning = 4;
  static constexpr size_t kMaxWaiting = 10'000;
  static constexpr absl::Duration kFirstRetry = absl::Seconds(1);
  static constexpr absl::Duration kLastRetry = absl::Minutes(1);

  // All outlive the cleaner. A shared file that `files` knows again by the time it would be deleted
  // is not.
  CheckpointCleaner(CheckpointSurroundings& surroundings, const SharedFiles& files,
                    CheckpointCounters& counters);

  // `deleted` is called once it is: only then may shared files that it refers to go, or else
  // somebody could find it without them.
  void DeleteCheckpoint(uint64_t id, const std::string& directory, Closure deleted = nullptr);
  void DeleteShared(std::vector<std::string> names);
  void DeleteLeftovers(Leftovers leftovers);

  // The shared file was asked to be deleted and may be gone already.
  bool MayBeGone(const std::string& name) const { return leaving_.contains(name); }
  bool idle() const { return counters_.deletions_waiting == 0; }

 private:
  struct Checkpoint {
    uint64_t id;
    std::string directory;
    Closure deleted;
  };
  struct Item {
    std::variant<Checkpoint, std::vector<std::string>, Leftovers> what;
    uint32_t failures = 0;
  };

  void Enqueue(Item item);
  void StartSome();
  void Start(Item item);
  void OnDone(Item item, const absl::Status& status);

  CheckpointSurroundings& surroundings_;
  const SharedFiles& files_;
  CheckpointCounters& counters_;
  std::deque<Item> queue_;
  size_t running_ = 0;
  absl::flat_hash_set<std::string> leaving_;
  Lifetime lifetime_;
};

}  // namespace weir::jobmanager
