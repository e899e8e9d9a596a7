#pragma once

#include <string_view>

#include "common/base/check.h"

namespace weir::proto {
enum JobState : int;
enum TaskState : int;
}  // namespace weir::proto

namespace weir::jobmanager {

// The closed state machines of a job and of a subtask (failures rule 6). A terminal state has no
// successor.
bool MayFollow(proto::JobState from, proto::JobState to);
bool MayFollow(proto::TaskState from, proto::TaskState to);

bool IsTerminal(proto::JobState state);
bool IsTerminal(proto::TaskState state);

// As Flink's tools show them: "RUNNING", and for a subtask "RUNNING" too.
std::string_view Name(proto::JobState state);
std::string_view Name(proto::TaskState state);

// Where one worker process of a job stands, as the job manager knows.
enum class WorkerState {
  kStarting,    // its agent was told to start it
  kRegistered,  // it has told where it listens
  kDeployed,    // it has made its tasks
  kRunning,     // its tasks were started
  kStopping,    // its agent was told to stop it
  kGone,        // it is known not to run, or its task manager is lost
};
bool MayFollow(WorkerState from, WorkerState to);
std::string_view Name(WorkerState state);

// A state that moves along its table only; any other move is a broken invariant. Owned by one
// executor.
template <class State>
class StateMachine {
 public:
  explicit StateMachine(State initial) : state_(initial) {}

  State get() const { return state_; }
  void MoveTo(State next) {
    if (!MayFollow(state_, next)) WEIR_CHECK_EQ(Name(state_), Name(next));
    state_ = next;
  }

 private:
  State state_;
};

}  // namespace weir::jobmanager
