#include "jobmanager/checkpoint/testing/coordinator_fixture.h"

namespace weir::jobmanager {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

using CheckpointCompletionTest = CoordinatorTest;

// Rule 45
TEST_F(CheckpointCompletionTest, IsCompleteWhenAllHaveAcknowledgedAndTheMetadataIsDurable) {
  Start();
  out_.hold_writes = true;
  Pass(absl::Seconds(11));
  ASSERT_TRUE(Ack(1, 1, 1).ok());
  ASSERT_TRUE(Ack(1, 0, 0).ok());
  ASSERT_TRUE(Ack(1, 0, 1).ok());
  EXPECT_THAT(out_.writes, IsEmpty());
  EXPECT_EQ(coordinator_->InProgress().at(0).acknowledged, 3u);
  ASSERT_TRUE(Ack(1, 1, 0).ok());
  EXPECT_THAT(out_.writes, SizeIs(1));
  Pass(absl::Seconds(1));
  EXPECT_EQ(coordinator_->InProgress().at(0).state, CheckpointState::kCompleting);
  EXPECT_EQ(coordinator_->completed_for_tasks(), 0u);
  EXPECT_THAT(out_.notices, IsEmpty());
  EXPECT_EQ(LatestId(), 0u);
  out_.Release();
  Settle();
  EXPECT_EQ(coordinator_->completed_for_tasks(), 1u);
  EXPECT_EQ(LatestId(), 1u);
  ASSERT_THAT(out_.notices, SizeIs(1));
  EXPECT_EQ(out_.notices[0].completed, 1u);
  EXPECT_EQ(out_.notices[0].aborted, 0u);
}

TEST_F(CheckpointCompletionTest, CountsARepeatedAcknowledgementOnce) {
  Start();
  Pass(absl::Seconds(11));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Ack(1, 0, 0, {"a"}).ok());
  EXPECT_EQ(coordinator_->InProgress().at(0).acknowledged, 1u);
  EXPECT_THAT(coordinator_->InProgress().at(0).tasks, SizeIs(1));
  EXPECT_EQ(coordinator_->counters().repeated_acknowledgements, 4u);
  EXPECT_THAT(out_.writes, IsEmpty());
}

TEST_F(CheckpointCompletionTest, AnswersOkToAcknowledgementsOfWhatIsNotPending) {
  settings_.tolerable_failed = 1;
  Start();
  CompleteOne();
  Pass(absl::Seconds(10));
  ASSERT_TRUE(Decline(2, 0, 0, absl::StatusCode::kInternal, "broken").ok());
  EXPECT_TRUE(Ack(1, 0, 0).ok());    // complete
  EXPECT_TRUE(Ack(2, 0, 0).ok());    // aborted
  EXPECT_TRUE(Ack(900, 0, 0).ok());  // unknown
  EXPECT_TRUE(Decline(1, 0, 0, absl::StatusCode::kInternal, "late").ok());
  EXPECT_EQ(coordinator_->counters().late_acknowledgements, 4u);
  EXPECT_EQ(coordinator_->counters().failed, 1u);
  EXPECT_EQ(LatestId(), 1u);
}

TEST_F(CheckpointCompletionTest, RefusesWhatNoCorrectTaskSays) {
  Start();
  Pass(absl::Seconds(11));
  EXPECT_EQ(Ack(1, 2, 0).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Ack(1, 1, 2).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Ack(0, 1, 0).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Ack(1, 1, 0, {"../x"}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Ack(1, 1, 0, {"x", "x"}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Final(1, 0, 0, {"private"}).code(), absl::StatusCode::kInvalidArgument);
  proto::AcknowledgeCheckpointRequest request = MakeAck(1, 1, 1, 0);
  request.set_worker_index(1);
  EXPECT_EQ(coordinator_->OnAcknowledge(request).code(), absl::StatusCode::kInvalidArgument);
  request = MakeAck(1, 1, 1, 0);
  AddFiles(request, {"x"});
  request.mutable_snapshot()->mutable_operators(0)->set_node(0);
  EXPECT_EQ(coordinator_->OnAcknowledge(request).code(), absl::StatusCode::kInvalidArgument);
  request.mutable_snapshot()->mutable_operators(0)->set_node(1);
  request.mutable_snapshot()->mutable_operators(0)->set_files(0, 1);
  EXPECT_EQ(coordinator_->OnAcknowledge(request).code(), absl::StatusCode::kInvalidArgument);
  request = MakeAck(2, 1, 1, 0);
  EXPECT_EQ(coordinator_->OnAcknowledge(request).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(coordinator_->InProgress().at(0).acknowledged, 0u);
  EXPECT_EQ(coordinator_->counters().refused_acknowledgements, 9u);
}

TEST_F(CheckpointCompletionTest, AbortsWhatIsNotAcknowledgedInTime) {
  settings_.tolerable_failed = 1;
  Start();
  Pass(absl::Seconds(11));
  ASSERT_TRUE(Ack(1, 0, 0).ok());
  Pass(absl::Seconds(58));
  EXPECT_THAT(coordinator_->InProgress(), SizeIs(1));
  Pass(absl::Seconds(2));
  EXPECT_EQ(LastOver().abort_reason, AbortReason::kTimeout);
  EXPECT_THAT(LastOver().failure, HasSubstr("1 of 4 subtasks"));
  EXPECT_THAT(out_.deleted, ElementsAre("/job/1"));
  ASSERT_THAT(out_.notices, SizeIs(1));
  EXPECT_EQ(out_.notices[0].aborted, 1u);
}

TEST_F(CheckpointCompletionTest, DoesNotTimeOutOnceItsMetadataIsBeingWritten) {
  Start();
  out_.hold_writes = true;
  Pass(absl::Seconds(11));
  Pass(absl::Seconds(58));
  AckAll(1);
  Pass(absl::Minutes(10));
  EXPECT_EQ(coordinator_->InProgress().at(0).state, CheckpointState::kCompleting);
  EXPECT_THAT(out_.failures, IsEmpty());
  out_.Release();
  Settle();
  EXPECT_EQ(LatestId(), 1u);
}

TEST_F(CheckpointCompletionTest, TellsTheReasonWhenATaskDeclines) {
  settings_.tolerable_failed = 1;
  Start();
  Pass(absl::Seconds(11));
  ASSERT_TRUE(Decline(1, 1, 0, absl::StatusCode::kResourceExhausted, "the disk is full").ok());
  EXPECT_EQ(LastOver().abort_reason, AbortReason::kDeclined);
  EXPECT_THAT(LastOver().failure,
              AllOf(HasSubstr("subtask 0 of count"), HasSubstr("the disk is full")));
  EXPECT_EQ(coordinator_->counters().consecutive_failures, 1u);
}

TEST_F(CheckpointCompletionTest, TakesATaskThatWentOnWithANewerOneForNoFailure) {
  Start();
  Pass(absl::Seconds(11));
  ASSERT_TRUE(Decline(1, 1, 0, absl::StatusCode::kAborted, "subsumed by 2").ok());
  EXPECT_EQ(LastOver().abort_reason, AbortReason::kSubsumed);
  Pass(absl::Seconds(10));
  ASSERT_TRUE(Decline(2, 1, 0, absl::StatusCode::kCancelled, "aborted").ok());
  Settle();
  EXPECT_EQ(coordinator_->counters().failed, 0u);
  EXPECT_EQ(coordinator_->counters().aborted, 2u);
  EXPECT_THAT(out_.failures, IsEmpty());
}

TEST_F(CheckpointCompletionTest, FailsTheJobAfterMoreFailuresInARowThanTolerated) {
  settings_.tolerable_failed = 2;
  Start();
  const auto fail_one = [this] {
    Pass(absl::Seconds(10));
    ASSERT_TRUE(Decline(coordinator_->next_id() - 1, 0, 0, absl::StatusCode::kInternal,
                        "reason " + std::to_string(coordinator_->next_id() - 1))
                    .ok());
    Settle();
  };
  Pass(absl::Seconds(1));
  fail_one();
  fail_one();
  CompleteOne();
  fail_one();
  fail_one();
  EXPECT_THAT(out_.failures, IsEmpty());
  fail_one();
  ASSERT_THAT(out_.failures, SizeIs(1));
  EXPECT_THAT(std::string(out_.failures[0].message()),
              AllOf(HasSubstr("reason 6"), HasSubstr("tolerable-failed-checkpoints is 2")));
  // Told once.
  fail_one();
  EXPECT_THAT(out_.failures, SizeIs(1));
  // The next attempt counts from the beginning.
  coordinator_->EndAttempt("too many failed checkpoints");
  BeginAttempt(2, LatestId());
  Pass(absl::Seconds(1));
  fail_one();
  fail_one();
  EXPECT_THAT(out_.failures, SizeIs(1));
  fail_one();
  EXPECT_THAT(out_.failures, SizeIs(2));
}

TEST_F(CheckpointCompletionTest, FailsTheJobWhenAFinalSnapshotIsLost) {
  settings_.tolerable_failed = 100;
  Start();
  ASSERT_TRUE(Decline(0, 1, 1, absl::StatusCode::kResourceExhausted, "the disk is full").ok());
  EXPECT_THAT(out_.failures, IsEmpty());
  Settle();
  ASSERT_THAT(out_.failures, SizeIs(1));
  EXPECT_THAT(std::string(out_.failures[0].message()),
              AllOf(HasSubstr("subtask 1 of count"), HasSubstr("the disk is full")));
}

TEST_F(CheckpointCompletionTest, SubsumesOlderPendingOnes) {
  settings_.max_concurrent = 2;
  Start();
  Pass(absl::Seconds(21));
  ASSERT_TRUE(Ack(1, 0, 0).ok());
  AckAll(2);
  EXPECT_EQ(LatestId(), 2u);
  EXPECT_THAT(coordinator_->InProgress(), IsEmpty());
  EXPECT_EQ(coordinator_->history().checkpoints()[1]->abort_reason, AbortReason::kSubsumed);
  EXPECT_EQ(coordinator_->counters().failed, 0u);
  AckAll(1);
  EXPECT_EQ(LatestId(), 2u);
}

// I5: the ids of complete ones only grow.
TEST_F(CheckpointCompletionTest, DeletesOneThatIsWrittenAfterANewerOne) {
  settings_.max_concurrent = 2;
  Start();
  out_.hold_writes = true;
  Pass(absl::Seconds(11));
  AckAll(1);
  out_.hold_writes = false;
  Pass(absl::Seconds(10));
  AckAll(2);
  EXPECT_EQ(LatestId(), 2u);
  EXPECT_THAT(out_.deleted, IsEmpty());
  out_.Release();
  Settle();
  EXPECT_EQ(LatestId(), 2u);
  EXPECT_EQ(LastOver().id, 1u);
  EXPECT_EQ(LastOver().abort_reason, AbortReason::kSubsumed);
  EXPECT_THAT(out_.deleted, ElementsAre("/job/1"));
  EXPECT_EQ(coordinator_->completed_for_tasks(), 2u);
}

TEST_F(CheckpointCompletionTest, AbortsOneWhoseMetadataCouldNotBeWritten) {
  Start();
  out_.write_outcome = WriteOutcome::kFailed;
  Pass(absl::Seconds(11));
  AckAll(1);
  EXPECT_EQ(LastOver().abort_reason, AbortReason::kMetadataFailed);
  EXPECT_THAT(LastOver().failure, HasSubstr("the store is away"));
  EXPECT_THAT(out_.deleted, ElementsAre("/job/1"));
  EXPECT_THAT(out_.failures, SizeIs(1));
  EXPECT_EQ(LatestId(), 0u);
}

// Failures rule 2: unknown deletes nothing.
TEST_F(CheckpointCompletionTest, AsksAgainWhileItIsUnknownWhetherTheMetadataIsWritten) {
  Start();
  out_.write_outcome = WriteOutcome::kUnknown;
  Pass(absl::Seconds(11));
  AckAll(1, {"shared/a", "b"});
  Pass(absl::Minutes(3));
  EXPECT_GT(out_.writes.size(), 5u);
  EXPECT_LT(out_.writes.size(), 15u);
  EXPECT_EQ(out_.writes.front().second, out_.writes.back().second);
  EXPECT_EQ(coordinator_->counters().unknown_writes, out_.writes.size());
  EXPECT_THAT(out_.deleted, IsEmpty());
  EXPECT_EQ(coordinator_->completed_for_tasks(), 0u);
  EXPECT_FALSE(coordinator_->settled());
  EXPECT_THAT(out_.failures, IsEmpty());
  out_.write_outcome = WriteOutcome::kDone;
  Pass(absl::Minutes(1));
  EXPECT_EQ(LatestId(), 1u);
  EXPECT_TRUE(coordinator_->settled());
}

// Arroyo 802: a restart from a checkpoint that was half complete.
TEST_F(CheckpointCompletionTest, LetsTheWriteDecideWhenTheJobFailsMeanwhile) {
  Start();
  CompleteOne();
  out_.hold_writes = true;
  Pass(absl::Seconds(10));
  AckAll(2);
  coordinator_->EndAttempt("a worker was lost");
  bool settled = false;
  coordinator_->WhenSettled([&settled] { settled = true; });
  Pass(absl::Minutes(1));
  EXPECT_FALSE(settled);
  EXPECT_THAT(out_.deleted, IsEmpty());
  out_.Release();
  Settle();
  EXPECT_TRUE(settled);
  EXPECT_EQ(LatestId(), 2u);
  // Its tasks are gone, so nobody is told now; those of the next attempt are, by its heartbeats.
  EXPECT_THAT(out_.notices, SizeIs(1));
  EXPECT_EQ(coordinator_->completed_for_tasks(), 2u);
}

TEST_F(CheckpointCompletionTest, RestoresTheOneBeforeWhenTheWriteFailsAfterTheJob) {
  Start();
  CompleteOne();
  out_.hold_writes = true;
  Pass(absl::Seconds(10));
  AckAll(2);
  coordinator_->EndAttempt("a worker was lost");
  out_.write_outcome = WriteOutcome::kFailed;
  out_.Release();
  Settle();
  EXPECT_TRUE(coordinator_->settled());
  EXPECT_EQ(LatestId(), 1u);
  EXPECT_THAT(out_.failures, IsEmpty());
}

TEST_F(CheckpointCompletionTest, AbortsWhatIsPendingWhenTheJobLeavesRunning) {
  Start();
  Pass(absl::Seconds(11));
  ASSERT_TRUE(Ack(1, 0, 0).ok());
  coordinator_->EndAttempt("a worker was lost");
  EXPECT_EQ(LastOver().abort_reason, AbortReason::kJobNotRunning);
  EXPECT_EQ(coordinator_->counters().consecutive_failures, 0u);
  EXPECT_TRUE(Ack(1, 0, 1).ok());
  EXPECT_THAT(out_.notices, IsEmpty());
  BeginAttempt(2);
  EXPECT_EQ(MakeAck(1, 1, 0, 1).attempt(), 1u);
  EXPECT_EQ(coordinator_->OnAcknowledge(MakeAck(1, 1, 0, 1)).code(),
            absl::StatusCode::kFailedPrecondition);
  // No id is used twice, and what the attempt before left goes.
  Pass(absl::Seconds(11));
  EXPECT_THAT(out_.prepared, ElementsAre(1, 2));
  EXPECT_EQ(out_.sweeps.back().live_attempt, 2u);
}

TEST_F(CheckpointCompletionTest, KeepsStatisticsOfWhatIsOver) {
  Start();
  Pass(absl::Seconds(10) + absl::Milliseconds(100));
  proto::AcknowledgeCheckpointRequest request = MakeAck(1, 1, 1, 1);
  request.mutable_snapshot()->set_start_delay_nanos(1);
  request.mutable_snapshot()->set_alignment_nanos(2);
  request.mutable_snapshot()->set_sync_nanos(3);
  request.mutable_snapshot()->set_async_nanos(4);
  request.mutable_snapshot()->set_new_bytes(5);
  request.mutable_snapshot()->set_full_bytes(60);
  ASSERT_TRUE(coordinator_->OnAcknowledge(request).ok());
  Pass(absl::Milliseconds(100));
  ASSERT_TRUE(Ack(1, 0, 0).ok());
  ASSERT_TRUE(Ack(1, 0, 1).ok());
  out_.hold_writes = true;
  ASSERT_TRUE(Ack(1, 1, 0).ok());
  Pass(absl::Milliseconds(100));
  out_.Release();
  Settle();

  const CheckpointStatistics& over = LastOver();
  EXPECT_EQ(over.id, 1u);
  EXPECT_EQ(over.state, CheckpointState::kCompleted);
  EXPECT_EQ(over.triggered_unix_micros,
            absl::ToUnixMicros(world_.options().start + absl::Seconds(10)));
  EXPECT_EQ(over.end_to_end_nanos / 1'000'000, 200);
  EXPECT_EQ(over.duration_nanos / 1'000'000, 300);
  EXPECT_EQ(over.new_bytes, 5u);
  EXPECT_EQ(over.full_bytes, 60u);
  EXPECT_EQ(over.acknowledged, 4u);
  EXPECT_EQ(over.total, 4u);
  ASSERT_THAT(over.tasks, SizeIs(4));
  EXPECT_EQ(over.tasks[0].vertex, 1u);
  EXPECT_EQ(over.tasks[0].subtask, 1u);
  EXPECT_EQ(over.tasks[0].acknowledged_nanos / 1'000'000, 100);
  EXPECT_EQ(over.tasks[0].start_delay_nanos, 1);
  EXPECT_EQ(over.tasks[0].alignment_nanos, 2);
  EXPECT_EQ(over.tasks[0].sync_nanos, 3);
  EXPECT_EQ(over.tasks[0].async_nanos, 4);
}

// Arroyo 688: errors after about 100 checkpoints; memory flat.
TEST_F(CheckpointCompletionTest, RemembersNoMoreAfterThousandsOfCheckpoints) {
  settings_.tolerable_failed = 1;
  Start();
  Pass(absl::Seconds(1));
  for (int i = 0; i < 3'000; ++i) {
    if (i % 3 == 0) {
      Pass(absl::Seconds(10));
      ASSERT_TRUE(
          Decline(coordinator_->next_id() - 1, 0, 0, absl::StatusCode::kInternal, "x").ok());
    } else {
      CompleteOne({"shared/" + std::to_string(i)});
    }
    out_.log.clear();
  }
  EXPECT_EQ(coordinator_->counters().completed, 2'000u);
  EXPECT_EQ(coordinator_->counters().failed, 1'000u);
  EXPECT_THAT(coordinator_->history().checkpoints(), SizeIs(CheckpointHistory::kMaxCheckpoints));
  EXPECT_THAT(coordinator_->retained(), SizeIs(1));
  Settle();
  EXPECT_TRUE(coordinator_->idle());
}

TEST(CheckpointHistoryTest, KeepsTasksOfTheNewestOnly) {
  CheckpointHistory history;
  for (uint64_t id = 1; id <= 4; ++id) {
    CheckpointStatistics checkpoint;
    checkpoint.id = id;
    checkpoint.tasks.resize(CheckpointHistory::kMaxTasks / 2);
    history.Add(std::move(checkpoint));
  }
  EXPECT_THAT(history.checkpoints()[1]->tasks, IsEmpty());
  EXPECT_THAT(history.checkpoints()[2]->tasks, Not(IsEmpty()));
  CheckpointStatistics huge;
  huge.id = 5;
  huge.tasks.resize(CheckpointHistory::kMaxTasks * 2);
  history.Add(std::move(huge));
  EXPECT_THAT(history.checkpoints()[3]->tasks, IsEmpty());
  EXPECT_THAT(history.checkpoints()[4]->tasks, SizeIs(CheckpointHistory::kMaxTasks * 2));
}

}  // namespace
}  // namespace weir::jobmanager
