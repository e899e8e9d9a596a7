#pragma once

#include <cstdint>
#include <string_view>

namespace weir::jobmanager {

// The closed state machine of a checkpoint (failures rule 6).
enum class CheckpointState {
  kPending,     // its folder is prepared, then its tasks are waited for
  kCompleting,  // all tasks have acknowledged; its metadata is being written
  kCompleted,   // its metadata is durable: it exists
  kAborted,
};
bool MayFollow(CheckpointState from, CheckpointState to);
bool IsTerminal(CheckpointState state);
// As Flink's tools show them; the first two are "IN_PROGRESS" there.
std::string_view Name(CheckpointState state);

enum class CheckpointKind {
  kCheckpoint,
  kSavepoint,
  // The job ends with it.
  kStopWithSavepoint,
  // Likewise, after all has been done that would be done at the end of the input.
  kDrainWithSavepoint,
  // A checkpoint of the job's own at which its tasks stop: the next attempt goes on from it, at
  // another parallelism.
  kRescale,
};
std::string_view Name(CheckpointKind kind);
inline bool IsSavepoint(CheckpointKind kind) {
  return kind != CheckpointKind::kCheckpoint && kind != CheckpointKind::kRescale;
}
inline bool StopsJob(CheckpointKind kind) {
  return kind == CheckpointKind::kStopWithSavepoint || kind == CheckpointKind::kDrainWithSavepoint;
}
// The tasks stop behind its barrier until it is complete or aborted.
inline bool StopsTasks(CheckpointKind kind) {
  return StopsJob(kind) || kind == CheckpointKind::kRescale;
}
// Somebody asked for it, and is told what comes of it.
inline bool IsAskedFor(CheckpointKind kind) { return kind != CheckpointKind::kCheckpoint; }
// The order to trigger it goes to all workers and names the folder that their tasks write to.
inline bool NamesFolder(CheckpointKind kind) { return IsSavepoint(kind) || StopsTasks(kind); }
// Whether its completion is told to the tasks, so that sinks commit: a savepoint that does not stop
// the job commits nothing outside (semantics rule 47).
inline bool CommitsOutside(CheckpointKind kind) { return kind != CheckpointKind::kSavepoint; }

enum class AbortReason {
  kNone,
  kTimeout,
  kDeclined,
  kPrepareFailed,
  // What the tasks told does not fit together, or refers to a file that is being deleted.
  kBadState,
  // It is known not to be written.
  kMetadataFailed,
  // Another one with a higher id is complete, or the task says that it went on with another one.
  kSubsumed,
  kJobNotRunning,
};
std::string_view Name(AbortReason reason);
// Counts against execution.checkpointing.tolerable-failed-checkpoints.
bool IsFailure(AbortReason reason);

}  // namespace weir::jobmanager
