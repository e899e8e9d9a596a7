#include "jobmanager/checkpoint/testing/coordinator_fixture.h"

namespace weir::jobmanager {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using CheckpointTriggerTest = CoordinatorTest;

TEST_F(CheckpointTriggerTest, TakesTheFirstAnIntervalAfterTheJobRuns) {
  Start(/*next_id=*/41);
  Pass(absl::Seconds(10) - absl::Milliseconds(1));
  EXPECT_THAT(out_.prepared, IsEmpty());
  Pass(absl::Milliseconds(2));
  EXPECT_THAT(out_.prepared, ElementsAre(41));
  ASSERT_EQ(out_.triggers.size(), 1u);
  EXPECT_EQ(out_.triggers[0].checkpoint_id, 41u);
  EXPECT_EQ(out_.triggers[0].directory, "/job/41");
  EXPECT_EQ(out_.triggers[0].triggered_unix_micros,
            absl::ToUnixMicros(world_.options().start + absl::Seconds(10)));
  EXPECT_THAT(out_.triggers[0].workers, ElementsAre(0, 1));
}

TEST_F(CheckpointTriggerTest, TakesNoneWithoutAnInterval) {
  settings_.interval = absl::ZeroDuration();
  Start();
  Pass(absl::Hours(1));
  EXPECT_THAT(out_.prepared, IsEmpty());
}

TEST_F(CheckpointTriggerTest, TakesNoneBeforeTheJobRunsAndNoneAfter) {
  Make();
  coordinator_->BeginAttempt(1, TestPlacement(), 0);
  Pass(absl::Minutes(1));
  EXPECT_THAT(out_.prepared, IsEmpty());
  coordinator_->OnRunning();
  Pass(absl::Seconds(9));
  coordinator_->EndAttempt("a task failed");
  Pass(absl::Minutes(1));
  EXPECT_THAT(out_.prepared, IsEmpty());
}

TEST_F(CheckpointTriggerTest, TriggersNobodyBeforeTheFolderIsThere) {
  Start();
  out_.hold_prepare = true;
  Pass(absl::Seconds(11));
  EXPECT_THAT(out_.prepared, ElementsAre(1));
  EXPECT_THAT(out_.triggers, IsEmpty());
  out_.Release();
  Settle();
  EXPECT_EQ(out_.triggers.size(), 1u);
}

TEST_F(CheckpointTriggerTest, FailsACheckpointWhoseFolderCannotBeMade) {
  settings_.tolerable_failed = 1;
  Start();
  out_.prepare_error = absl::ResourceExhaustedError("no space");
  Pass(absl::Seconds(11));
  EXPECT_THAT(out_.triggers, IsEmpty());
  EXPECT_EQ(LastOver().abort_reason, AbortReason::kPrepareFailed);
  EXPECT_THAT(LastOver().failure, HasSubstr("no space"));
  EXPECT_EQ(coordinator_->counters().failed, 1u);
  // The next one is tried an interval later, not at once.
  out_.prepare_error = absl::OkStatus();
  Pass(absl::Seconds(8));
  EXPECT_THAT(out_.prepared, ElementsAre(1));
  Pass(absl::Seconds(2));
  EXPECT_THAT(out_.prepared, ElementsAre(1, 2));
}

TEST_F(CheckpointTriggerTest, DeletesAFolderThatIsReadyAfterItsCheckpointWasAborted) {
  Start();
  out_.hold_prepare = true;
  Pass(absl::Seconds(11));
  coordinator_->EndAttempt("cancelled");
  EXPECT_THAT(out_.deleted_ids, IsEmpty());
  out_.Release();
  Settle();
  EXPECT_THAT(out_.deleted, ElementsAre("/job/1"));
  EXPECT_THAT(out_.triggers, IsEmpty());
}

TEST_F(CheckpointTriggerTest, LeavesOutWorkersWhoseSourcesHaveEnded) {
  Start();
  coordinator_->OnTaskEnded(0, 0);
  Pass(absl::Seconds(11));
  ASSERT_EQ(out_.triggers.size(), 1u);
  EXPECT_THAT(out_.triggers[0].workers, ElementsAre(1));
}

TEST_F(CheckpointTriggerTest, HasNoMoreUnderWayThanAllowed) {
  Start();
  Pass(absl::Seconds(45));
  EXPECT_THAT(out_.prepared, ElementsAre(1));
  // The next one is overdue.
  AckAll(1);
  EXPECT_THAT(out_.prepared, ElementsAre(1, 2));
}

TEST_F(CheckpointTriggerTest, LetsAsManyOverlapAsAllowed) {
  settings_.max_concurrent = 3;
  Start();
  Pass(absl::Seconds(55));
  EXPECT_THAT(out_.prepared, ElementsAre(1, 2, 3));
  EXPECT_EQ(coordinator_->InProgress().size(), 3u);
}

TEST_F(CheckpointTriggerTest, TriggersInTheOrderOfTheIds) {
  settings_.max_concurrent = 3;
  Start();
  out_.hold_prepare = true;
  Pass(absl::Seconds(25));
  EXPECT_THAT(out_.prepared, ElementsAre(1));
  out_.hold_prepare = false;
  out_.Release();
  Settle();
  EXPECT_THAT(out_.prepared, ElementsAre(1, 2));
  ASSERT_EQ(out_.triggers.size(), 2u);
  EXPECT_EQ(out_.triggers[1].checkpoint_id, 2u);
}

TEST_F(CheckpointTriggerTest, CountsTheIntervalFromTriggerToTrigger) {
  Start();
  Pass(absl::Seconds(13));
  AckAll(1);
  Pass(absl::Seconds(6));
  EXPECT_THAT(out_.prepared, ElementsAre(1));
  Pass(absl::Seconds(2));
  EXPECT_THAT(out_.prepared, ElementsAre(1, 2));
}

TEST_F(CheckpointTriggerTest, PausesFromTheEndOfTheLastOne) {
  settings_.min_pause = absl::Seconds(8);
  Start();
  Pass(absl::Seconds(15));
  out_.hold_writes = true;
  AckAll(1);
  Pass(absl::Seconds(1));
  // The end is when the metadata is written: at 16 s, so the next is due at 24 s, not at 20 s.
  out_.Release();
  Pass(absl::Milliseconds(7'990));
  EXPECT_THAT(out_.prepared, ElementsAre(1));
  Pass(absl::Milliseconds(20));
  EXPECT_THAT(out_.prepared, ElementsAre(1, 2));
}

TEST_F(CheckpointTriggerTest, PausesAfterAFailedOneToo) {
  settings_.min_pause = absl::Seconds(8);
  settings_.tolerable_failed = 1;
  Start();
  Pass(absl::Seconds(15));
  ASSERT_TRUE(Decline(1, 0, 0, absl::StatusCode::kInternal, "broken").ok());
  Pass(absl::Milliseconds(7'990));
  EXPECT_THAT(out_.prepared, ElementsAre(1));
  Pass(absl::Milliseconds(20));
  EXPECT_THAT(out_.prepared, ElementsAre(1, 2));
}

// Rule 46
TEST_F(CheckpointTriggerTest, TakesALastOneAtOnceWhenEveryTaskHasEnded) {
  settings_.min_pause = absl::Seconds(5);
  Start();
  CompleteOne();
  for (uint32_t vertex : {0u, 1u}) {
    for (uint32_t subtask : {0u, 1u}) ASSERT_TRUE(Final(vertex, subtask, 1).ok());
  }
  // Neither interval nor pause is waited for, and nobody is triggered.
  Settle();
  EXPECT_THAT(out_.prepared, ElementsAre(1, 2));
  EXPECT_EQ(out_.triggers.size(), 1u);
  EXPECT_EQ(coordinator_->completed_for_tasks(), 2u);
  for (const auto& operator_state : coordinator_->latest()->metadata->operators()) {
    for (const auto& subtask : operator_state.subtasks()) EXPECT_TRUE(subtask.finished());
  }
  // Nothing changes any more.
  Pass(absl::Minutes(5));
  EXPECT_THAT(out_.prepared, ElementsAre(1, 2));
}

TEST_F(CheckpointTriggerTest, TriesTheLastOneAgainAnIntervalAfterItFailed) {
  settings_.tolerable_failed = 100;
  Start();
  out_.prepare_error = absl::UnavailableError("away");
  for (uint32_t vertex : {0u, 1u}) {
    for (uint32_t subtask : {0u, 1u}) ASSERT_TRUE(Final(vertex, subtask).ok());
  }
  Pass(absl::Seconds(9));
  EXPECT_THAT(out_.prepared, ElementsAre(1));
  out_.prepare_error = absl::OkStatus();
  Pass(absl::Seconds(2));
  EXPECT_THAT(out_.prepared, ElementsAre(1, 2));
  EXPECT_EQ(coordinator_->completed_for_tasks(), 2u);
}

// Rule 46
TEST_F(CheckpointTriggerTest, TakesTheLastOneAtOnceInTheNextAttemptToo) {
  settings_.tolerable_failed = 100;
  Start();
  out_.prepare_error = absl::UnavailableError("away");
  const auto end_all = [this] {
    for (uint32_t vertex : {0u, 1u}) {
      for (uint32_t subtask : {0u, 1u}) ASSERT_TRUE(Final(vertex, subtask).ok());
    }
    Settle();
  };
  end_all();
  EXPECT_THAT(out_.prepared, ElementsAre(1));
  out_.prepare_error = absl::OkStatus();
  coordinator_->EndAttempt("a worker was lost");
  BeginAttempt(2);
  EXPECT_THAT(out_.prepared, ElementsAre(1));
  end_all();
  EXPECT_THAT(out_.prepared, ElementsAre(1, 2));
  EXPECT_EQ(coordinator_->completed_for_tasks(), 2u);
}

// Rule 46: the one that was pending has it all.
TEST_F(CheckpointTriggerTest, NeedsNoLastOneIfAPendingOneHasWhatTheTasksHeldAtTheirEnd) {
  Start();
  Pass(absl::Seconds(11));
  for (uint32_t vertex : {0u, 1u}) {
    for (uint32_t subtask : {0u, 1u}) ASSERT_TRUE(Final(vertex, subtask).ok());
  }
  Pass(absl::Minutes(5));
  EXPECT_THAT(out_.prepared, ElementsAre(1));
  EXPECT_EQ(coordinator_->completed_for_tasks(), 1u);
}

}  // namespace
}  // namespace weir::jobmanager
