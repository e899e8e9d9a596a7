#include "jobmanager/schedule/states.h"

#include <initializer_list>

#include "proto/control.pb.h"

namespace weir::jobmanager {
namespace {

template <class State>
bool OneOf(State state, std::initializer_list<State> states) {
  for (State candidate : states) {
    if (candidate == state) return true;
  }
  return false;
}

}  // namespace

bool MayFollow(proto::JobState from, proto::JobState to) {
  switch (from) {
    case proto::CREATED:
      return OneOf(to, {proto::DEPLOYING, proto::CANCELLING, proto::FAILING});
    case proto::RECONCILING:
      return OneOf(to, {proto::CREATED, proto::RUNNING, proto::RESTARTING, proto::CANCELLING,
                        proto::FAILING});
    case proto::DEPLOYING:
      return OneOf(to, {proto::RUNNING, proto::CANCELLING, proto::FAILING});
    case proto::RUNNING:
      return OneOf(to, {proto::FINISHED, proto::RESTARTING, proto::CANCELLING, proto::FAILING});
    case proto::CANCELLING:
      return to == proto::CANCELED;
    case proto::FAILING:
      return OneOf(to, {proto::FAILED, proto::RESTARTING, proto::FINISHED});
    case proto::RESTARTING:
      return OneOf(to, {proto::CREATED, proto::CANCELLING, proto::FAILING});
    default:
      return false;
  }
}

bool MayFollow(proto::TaskState from, proto::TaskState to) {
  switch (from) {
    case proto::TASK_CREATED:
      return OneOf(to, {proto::TASK_SCHEDULED, proto::TASK_CANCELED});
    case proto::TASK_SCHEDULED:
      return OneOf(to, {proto::TASK_DEPLOYING, proto::TASK_CANCELED, proto::TASK_FAILED});
    // A report tells the newest state only, so that those between may have passed unseen.
    case proto::TASK_DEPLOYING:
      return OneOf(to, {proto::TASK_INITIALIZING, proto::TASK_RUNNING, proto::TASK_FINISHED,
                        proto::TASK_CANCELING, proto::TASK_CANCELED, proto::TASK_FAILED});
    case proto::TASK_INITIALIZING:
      return OneOf(to, {proto::TASK_RUNNING, proto::TASK_FINISHED, proto::TASK_CANCELING,
                        proto::TASK_CANCELED, proto::TASK_FAILED});
    case proto::TASK_RUNNING:
      return OneOf(to, {proto::TASK_FINISHED, proto::TASK_CANCELING, proto::TASK_CANCELED,
                        proto::TASK_FAILED});
    // It may have finished or failed before the order to cancel reached it.
    case proto::TASK_CANCELING:
      return OneOf(to, {proto::TASK_FINISHED, proto::TASK_CANCELED, proto::TASK_FAILED});
    default:
      return false;
  }
}

bool MayFollow(WorkerState from, WorkerState to) {
  switch (from) {
    case WorkerState::kStarting:
      return OneOf(to, {WorkerState::kRegistered, WorkerState::kStopping, WorkerState::kGone});
    case WorkerState::kRegistered:
      return OneOf(to, {WorkerState::kDeployed, WorkerState::kStopping, WorkerState::kGone});
    case WorkerState::kDeployed:
      return OneOf(to, {WorkerState::kRunning, WorkerState::kStopping, WorkerState::kGone});
    case WorkerState::kRunning:
      return OneOf(to, {WorkerState::kStopping, WorkerState::kGone});
    case WorkerState::kStopping:
      return to == WorkerState::kGone;
    case WorkerState::kGone:
      return false;
  }
  return false;
}

bool IsTerminal(proto::JobState state) {
  return OneOf(state, {proto::FINISHED, proto::CANCELED, proto::FAILED});
}

bool IsTerminal(proto::TaskState state) {
  return OneOf(state, {proto::TASK_FINISHED, proto::TASK_CANCELED, proto::TASK_FAILED});
}

std::string_view Name(proto::JobState state) {
  switch (state) {
    case proto::CREATED:
      return "CREATED";
    case proto::DEPLOYING:
      return "DEPLOYING";
    case proto::RUNNING:
      return "RUNNING";
    case proto::CANCELLING:
      return "CANCELLING";
    case proto::FAILING:
      return "FAILING";
    case proto::FINISHED:
      return "FINISHED";
    case proto::CANCELED:
      return "CANCELED";
    case proto::FAILED:
      return "FAILED";
    case proto::RESTARTING:
      return "RESTARTING";
    case proto::RECONCILING:
      return "RECONCILING";
    default:
      return "UNSPECIFIED";
  }
}

std::string_view Name(proto::TaskState state) {
  switch (state) {
    case proto::TASK_CREATED:
      return "CREATED";
    case proto::TASK_SCHEDULED:
      return "SCHEDULED";
    case proto::TASK_DEPLOYING:
      return "DEPLOYING";
    case proto::TASK_INITIALIZING:
      return "INITIALIZING";
    case proto::TASK_RUNNING:
      return "RUNNING";
    case proto::TASK_FINISHED:
      return "FINISHED";
    case proto::TASK_CANCELING:
      return "CANCELING";
    case proto::TASK_CANCELED:
      return "CANCELED";
    case proto::TASK_FAILED:
      return "FAILED";
    default:
      return "UNSPECIFIED";
  }
}

std::string_view Name(WorkerState state) {
  switch (state) {
    case WorkerState::kStarting:
      return "starting";
    case WorkerState::kRegistered:
      return "registered";
    case WorkerState::kDeployed:
      return "deployed";
    case WorkerState::kRunning:
      return "running";
    case WorkerState::kStopping:
      return "stopping";
    case WorkerState::kGone:
      return "gone";
  }
  return "unknown";
}

}  // namespace weir::jobmanager
