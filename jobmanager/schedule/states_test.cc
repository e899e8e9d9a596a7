#include "jobmanager/schedule/states.h"

#include <set>
#include <utility>

#include "gtest/gtest.h"
#include "proto/control.pb.h"

namespace weir::jobmanager {
namespace {

TEST(JobStateTest, MovesAlongItsTableOnly) {
  const std::set<std::pair<int, int>> allowed = {
      {proto::CREATED, proto::DEPLOYING},
      {proto::CREATED, proto::CANCELLING},
      {proto::CREATED, proto::FAILING},
      {proto::DEPLOYING, proto::RUNNING},
      {proto::DEPLOYING, proto::CANCELLING},
      {proto::DEPLOYING, proto::FAILING},
      {proto::RUNNING, proto::FINISHED},
      {proto::RUNNING, proto::RESTARTING},
      {proto::RUNNING, proto::CANCELLING},
      {proto::RUNNING, proto::FAILING},
      {proto::CANCELLING, proto::CANCELED},
      {proto::FAILING, proto::FAILED},
      {proto::FAILING, proto::RESTARTING},
      // Stopped with a savepoint that was complete before its failure was known.
      {proto::FAILING, proto::FINISHED},
      {proto::RESTARTING, proto::CREATED},
      {proto::RESTARTING, proto::CANCELLING},
      {proto::RESTARTING, proto::FAILING},
      // After a restart of the job manager, by what its record and its workers say.
      {proto::RECONCILING, proto::CREATED},
      {proto::RECONCILING, proto::RUNNING},
      {proto::RECONCILING, proto::RESTARTING},
      {proto::RECONCILING, proto::CANCELLING},
      {proto::RECONCILING, proto::FAILING}};
  for (int from = 0; from <= proto::JobState_MAX; ++from) {
    for (int to = 0; to <= proto::JobState_MAX; ++to) {
      EXPECT_EQ(MayFollow(static_cast<proto::JobState>(from), static_cast<proto::JobState>(to)),
                allowed.contains({from, to}))
          << Name(static_cast<proto::JobState>(from)) << " to "
          << Name(static_cast<proto::JobState>(to));
    }
  }
}

TEST(JobStateTest, LeavesNoTerminalState) {
  for (proto::JobState end : {proto::FINISHED, proto::CANCELED, proto::FAILED}) {
    EXPECT_TRUE(IsTerminal(end));
  }
  EXPECT_FALSE(IsTerminal(proto::FAILING));
  EXPECT_FALSE(IsTerminal(proto::CANCELLING));
}

TEST(TaskStateTest, NeverGoesBackAndNeverLeavesATerminalState) {
  for (int from = 0; from <= proto::TaskState_MAX; ++from) {
    const auto before = static_cast<proto::TaskState>(from);
    for (int to = 0; to <= proto::TaskState_MAX; ++to) {
      const auto after = static_cast<proto::TaskState>(to);
      if (!MayFollow(before, after)) continue;
      EXPECT_FALSE(IsTerminal(before)) << Name(before) << " to " << Name(after);
      // CANCELING comes after FINISHED by number only.
      if (!(before == proto::TASK_CANCELING && after == proto::TASK_FINISHED)) {
        EXPECT_LT(from, to);
      }
    }
  }
}

TEST(TaskStateTest, CannotRunBeforeItIsDeployed) {
  EXPECT_FALSE(MayFollow(proto::TASK_CREATED, proto::TASK_RUNNING));
  EXPECT_FALSE(MayFollow(proto::TASK_SCHEDULED, proto::TASK_RUNNING));
  EXPECT_TRUE(MayFollow(proto::TASK_DEPLOYING, proto::TASK_RUNNING));
}

TEST(WorkerStateTest, StopsOrVanishesFromEveryStateAndComesBackFromNone) {
  for (WorkerState state : {WorkerState::kStarting, WorkerState::kRegistered,
                            WorkerState::kDeployed, WorkerState::kRunning}) {
    EXPECT_TRUE(MayFollow(state, WorkerState::kStopping));
    EXPECT_TRUE(MayFollow(state, WorkerState::kGone));
    EXPECT_FALSE(MayFollow(WorkerState::kStopping, state));
    EXPECT_FALSE(MayFollow(WorkerState::kGone, state));
  }
}

TEST(StateMachineDeathTest, EndsTheProcessOnAMoveThatIsNotInTheTable) {
  StateMachine<proto::JobState> machine(proto::CREATED);
  EXPECT_DEATH(machine.MoveTo(proto::FINISHED), "CREATED vs. FINISHED");
}

}  // namespace
}  // namespace weir::jobmanager
