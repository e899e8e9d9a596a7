#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "jobmanager/checkpoint/checkpoint_settings.h"
#include "jobmanager/checkpoint/checkpoint_states.h"

namespace weir::jobmanager {

// What one task told of a checkpoint. Times in nanoseconds.
struct TaskCheckpointStatistics {
  uint32_t vertex = 0;
  uint32_t subtask = 0;
  // Since the trigger.
  int64_t acknowledged_nanos = 0;
  int64_t start_delay_nanos = 0;
  int64_t alignment_nanos = 0;
  int64_t sync_nanos = 0;
  int64_t async_nanos = 0;
  uint64_t new_bytes = 0;
  uint64_t full_bytes = 0;
  // Read while it waited for barriers, and written of what was in flight.
  uint64_t processed_bytes = 0;
  uint64_t persisted_bytes = 0;
  bool unaligned = false;
  // By its final snapshot: it had ended.
  bool final = false;
};

struct CheckpointStatistics {
  uint64_t id = 0;
  CheckpointKind kind = CheckpointKind::kCheckpoint;
  CheckpointState state = CheckpointState::kPending;
  AbortReason abort_reason = AbortReason::kNone;
  std::string failure;
  // Empty until its folder is prepared.
  std::string directory;
  uint32_t attempt = 0;
  int64_t triggered_unix_micros = 0;
  // From the trigger until its last state; 0 before.
  int64_t duration_nanos = 0;
  // From the trigger until the last acknowledgement so far, as Flink's end-to-end duration.
  int64_t end_to_end_nanos = 0;
  uint64_t new_bytes = 0;
  uint64_t full_bytes = 0;
  uint64_t processed_bytes = 0;
  uint64_t persisted_bytes = 0;
  // The longest of its tasks.
  int64_t start_delay_nanos = 0;
  int64_t alignment_nanos = 0;
  int64_t sync_nanos = 0;
  int64_t async_nanos = 0;
  // In flight data is in it.
  bool unaligned = false;
  uint32_t acknowledged = 0;
  uint32_t total = 0;
  // Of completed ones: its files are deleted, or will be.
  bool discarded = false;
  // In the order of acknowledgement; empty for old ones.
  std::vector<TaskCheckpointStatistics> tasks;
};

// Since the coordinator was made; all but the gauges only grow.
struct CheckpointCounters {
  uint64_t triggered = 0;
  uint64_t completed = 0;
  // Those that count as failures, and others that were aborted.
  uint64_t failed = 0;
  uint64_t aborted = 0;
  uint64_t restored = 0;
  // Acknowledgements that changed nothing: of what is not pending any more, and repeated ones.
  uint64_t late_acknowledgements = 0;
  uint64_t repeated_acknowledgements = 0;
  // Those that no correct task sends.
  uint64_t refused_acknowledgements = 0;
  // Writes of metadata whose outcome was unknown, and then asked again.
  uint64_t unknown_writes = 0;
  uint64_t deletions_done = 0;
  uint64_t deletions_failed = 0;
  // Given up as too many waited: left for the next attempt's or job manager's sweep.
  uint64_t deletions_dropped = 0;
  // Gauges.
  uint64_t deletions_waiting = 0;
  uint32_t consecutive_failures = 0;
};

// The last checkpoints that are over, oldest first. Bounded: kMaxCheckpoints of them, and of the
// newest as many with their tasks as have kMaxTasks tasks together, but one at least. Owned by one
// executor.
class CheckpointHistory {
 public:
  static constexpr size_t kMaxCheckpoints = 100;
  static constexpr size_t kMaxTasks = 100'000;

  void Add(CheckpointStatistics checkpoint);
  void SetDiscarded(uint64_t id);
  // None is null; what they point to does not change.
  const std::deque<std::shared_ptr<const CheckpointStatistics>>& checkpoints() const {
    return checkpoints_;
  }

 private:
  std::deque<std::shared_ptr<const CheckpointStatistics>> checkpoints_;
};

// What the last attempt started from.
struct RestoredCheckpoint {
  uint64_t id = 0;
  CheckpointKind kind = CheckpointKind::kCheckpoint;
  std::string directory;
  int64_t restored_unix_micros = 0;
};

// What is shown of the checkpoints of one job at one moment. Immutable; read by any thread.
struct CheckpointsView {
  CheckpointSettings settings;
  CheckpointCounters counters;
  // Oldest first: those that are over, and then those that are not.
  std::vector<std::shared_ptr<const CheckpointStatistics>> over;
  std::vector<std::shared_ptr<const CheckpointStatistics>> in_progress;
  std::optional<RestoredCheckpoint> restored;

  // Null: not known, or not any more.
  std::shared_ptr<const CheckpointStatistics> Find(uint64_t id) const;
};

}  // namespace weir::jobmanager
