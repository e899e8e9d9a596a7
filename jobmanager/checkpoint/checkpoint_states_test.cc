#include "jobmanager/checkpoint/checkpoint_states.h"

#include <set>
#include <utility>

#include "gtest/gtest.h"

namespace weir::jobmanager {
namespace {

using enum CheckpointState;

TEST(CheckpointStateTest, MovesAlongItsTableOnly) {
  const std::set<std::pair<CheckpointState, CheckpointState>> allowed = {{kPending, kCompleting},
                                                                         {kPending, kAborted},
                                                                         {kCompleting, kCompleted},
                                                                         {kCompleting, kAborted}};
  for (CheckpointState from : {kPending, kCompleting, kCompleted, kAborted}) {
    for (CheckpointState to : {kPending, kCompleting, kCompleted, kAborted}) {
      EXPECT_EQ(MayFollow(from, to), allowed.contains({from, to}))
          << Name(from) << " to " << Name(to);
    }
    EXPECT_EQ(IsTerminal(from), from == kCompleted || from == kAborted);
  }
}

TEST(CheckpointStateTest, CountsAsFailuresOnlyWhatWentWrong) {
  for (AbortReason reason :
       {AbortReason::kTimeout, AbortReason::kDeclined, AbortReason::kPrepareFailed,
        AbortReason::kBadState, AbortReason::kMetadataFailed}) {
    EXPECT_TRUE(IsFailure(reason)) << Name(reason);
  }
  for (AbortReason reason :
       {AbortReason::kNone, AbortReason::kSubsumed, AbortReason::kJobNotRunning}) {
    EXPECT_FALSE(IsFailure(reason)) << Name(reason);
  }
}

// Rule 47
TEST(CheckpointKindTest, CommitsNothingByASavepointThatDoesNotStopTheJob) {
  EXPECT_TRUE(CommitsOutside(CheckpointKind::kCheckpoint));
  EXPECT_TRUE(CommitsOutside(CheckpointKind::kStopWithSavepoint));
  EXPECT_FALSE(CommitsOutside(CheckpointKind::kSavepoint));
}

}  // namespace
}  // namespace weir::jobmanager
