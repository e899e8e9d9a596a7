#include "jobmanager/checkpoint/checkpoint_states.h"

namespace weir::jobmanager {

bool MayFollow(CheckpointState from, CheckpointState to) {
  switch (from) {
    case CheckpointState::kPending:
      return to == CheckpointState::kCompleting || to == CheckpointState::kAborted;
    case CheckpointState::kCompleting:
      return to == CheckpointState::kCompleted || to == CheckpointState::kAborted;
    case CheckpointState::kCompleted:
    case CheckpointState::kAborted:
      return false;
  }
  return false;
}

bool IsTerminal(CheckpointState state) {
  return state == CheckpointState::kCompleted || state == CheckpointState::kAborted;
}

std::string_view Name(CheckpointState state) {
  switch (state) {
    case CheckpointState::kPending:
      return "PENDING";
    case CheckpointState::kCompleting:
      return "COMPLETING";
    case CheckpointState::kCompleted:
      return "COMPLETED";
    case CheckpointState::kAborted:
      return "ABORTED";
  }
  return "unknown";
}

std::string_view Name(CheckpointKind kind) {
  switch (kind) {
    case CheckpointKind::kCheckpoint:
      return "checkpoint";
    case CheckpointKind::kSavepoint:
      return "savepoint";
    case CheckpointKind::kDrainWithSavepoint:
      return "draining savepoint";
    case CheckpointKind::kStopWithSavepoint:
      return "stop-with-savepoint";
    case CheckpointKind::kRescale:
      return "rescaling checkpoint";
  }
  return "unknown";
}

std::string_view Name(AbortReason reason) {
  switch (reason) {
    case AbortReason::kNone:
      return "";
    case AbortReason::kTimeout:
      return "timeout";
    case AbortReason::kDeclined:
      return "declined";
    case AbortReason::kPrepareFailed:
      return "its folder could not be prepared";
    case AbortReason::kBadState:
      return "bad state";
    case AbortReason::kMetadataFailed:
      return "its metadata could not be written";
    case AbortReason::kSubsumed:
      return "subsumed";
    case AbortReason::kJobNotRunning:
      return "the job does not run any more";
  }
  return "unknown";
}

bool IsFailure(AbortReason reason) {
  switch (reason) {
    case AbortReason::kTimeout:
    case AbortReason::kDeclined:
    case AbortReason::kPrepareFailed:
    case AbortReason::kBadState:
    case AbortReason::kMetadataFailed:
      return true;
    case AbortReason::kNone:
    case AbortReason::kSubsumed:
    case AbortReason::kJobNotRunning:
      return false;
  }
  return true;
}

}  // namespace weir::jobmanager
