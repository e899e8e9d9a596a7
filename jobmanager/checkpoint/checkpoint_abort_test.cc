#include "jobmanager/checkpoint/testing/coordinator_fixture.h"

namespace weir::jobmanager {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class CheckpointAbortTest : public CoordinatorTest {
 protected:
  // Of checkpoint `id`, with one file of that size.
  absl::Status AckWithFile(uint64_t id, uint32_t vertex, uint32_t subtask, const std::string& file,
                           uint64_t bytes) {
    proto::AcknowledgeCheckpointRequest request = MakeAck(attempt_, id, vertex, subtask);
    AddFiles(request, {file});
    request.mutable_snapshot()->mutable_files(0)->set_bytes(bytes);
    request.mutable_snapshot()->set_full_bytes(bytes);
    return coordinator_->OnAcknowledge(request);
  }
};

TEST_F(CheckpointAbortTest, IsTheLastStateOfTheCheckpointAndHasItsTime) {
  settings_.tolerable_failed = 1;
  Start();
  Pass(absl::Seconds(11));
  ASSERT_TRUE(Decline(1, 1, 0, absl::StatusCode::kResourceExhausted, "the disk is full").ok());
  EXPECT_EQ(LastOver().id, 1u);
  EXPECT_EQ(LastOver().state, CheckpointState::kAborted);
  EXPECT_EQ(LastOver().duration_nanos / 1'000'000, 1'000);
  Pass(absl::Seconds(10));
  EXPECT_EQ(coordinator_->counters().triggered, 2u);
  EXPECT_THAT(coordinator_->InProgress(), SizeIs(1));
}

TEST_F(CheckpointAbortTest, EndsOneWhoseTasksContradictEachOtherAndTheNextIsTaken) {
  settings_.tolerable_failed = 1;
  Start();
  Pass(absl::Seconds(11));
  ASSERT_TRUE(Ack(1, 0, 0).ok());
  ASSERT_TRUE(Ack(1, 0, 1).ok());
  ASSERT_TRUE(AckWithFile(1, 1, 0, "shared/a", 7).ok());
  ASSERT_TRUE(AckWithFile(1, 1, 1, "shared/a", 8).ok());
  Settle();
  ASSERT_THAT(coordinator_->history().checkpoints(), SizeIs(1));
  EXPECT_EQ(LastOver().state, CheckpointState::kAborted);
  EXPECT_EQ(LastOver().abort_reason, AbortReason::kBadState);
  EXPECT_THAT(LastOver().failure, HasSubstr("shared/a"));
  EXPECT_THAT(out_.writes, IsEmpty());
  EXPECT_THAT(out_.deleted, ElementsAre("/job/1"));
  EXPECT_EQ(coordinator_->counters().failed, 1u);
  Pass(absl::Seconds(9));
  AckAll(2);
  EXPECT_EQ(LatestId(), 2u);
}

TEST_F(CheckpointAbortTest, RefusesWhatAnOperatorOfTheTaskTellsTwice) {
  Start();
  Pass(absl::Seconds(11));
  proto::AcknowledgeCheckpointRequest request = MakeAck(1, 1, 1, 0);
  AddFiles(request, {"x"});
  AddFiles(request, {"y"});
  const absl::Status status = coordinator_->OnAcknowledge(request);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("node 1 twice"));
  EXPECT_THAT(out_.log.back(), HasSubstr("node 1 twice"));
  EXPECT_EQ(coordinator_->InProgress().at(0).acknowledged, 0u);
}

TEST_F(CheckpointAbortTest, RefusesAFinalSnapshotThatRefersToAFileThatIsBeingDeleted) {
  Start();
  Pass(absl::Seconds(1));
  CompleteOne({"shared/a"});
  out_.hold_deletes = true;
  CompleteOne();
  out_.Release();
  Settle();
  EXPECT_THAT(out_.deleted, ElementsAre("/job/1", "shared/a"));
  const absl::Status status = Final(1, 0, /*last_barrier=*/2, {"shared/a"});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("'shared/a', which is being deleted"));
  EXPECT_EQ(coordinator_->counters().refused_acknowledgements, 1u);
}

TEST_F(CheckpointAbortTest, PutsATasksOwnSnapshotInThePlaceOfTheFinalOneItWasGiven) {
  Start();
  proto::AcknowledgeCheckpointRequest final_snapshot = MakeAck(1, 0, 0, 0);
  AddFiles(final_snapshot, {"shared/end"});
  final_snapshot.mutable_snapshot()->set_final(true);
  final_snapshot.mutable_snapshot()->set_full_bytes(100);
  ASSERT_TRUE(coordinator_->OnAcknowledge(final_snapshot).ok());
  Pass(absl::Seconds(11));
  ASSERT_TRUE(Ack(1, 0, 1).ok());
  EXPECT_EQ(coordinator_->InProgress().at(0).full_bytes, 100u);
  ASSERT_TRUE(AckWithFile(1, 0, 0, "at-barrier", 30).ok());
  EXPECT_EQ(coordinator_->InProgress().at(0).acknowledged, 2u);
  EXPECT_EQ(coordinator_->InProgress().at(0).full_bytes, 30u);
  ASSERT_THAT(coordinator_->InProgress().at(0).tasks, SizeIs(2));
  EXPECT_EQ(coordinator_->InProgress().at(0).tasks[0].subtask, 1u);
  EXPECT_FALSE(coordinator_->InProgress().at(0).tasks[1].final);
  ASSERT_TRUE(Ack(1, 1, 0).ok());
  ASSERT_TRUE(Ack(1, 1, 1).ok());
  Settle();
  ASSERT_EQ(LatestId(), 1u);
  ASSERT_EQ(coordinator_->latest()->metadata->files_size(), 1);
  EXPECT_EQ(coordinator_->latest()->metadata->files(0).name(), "at-barrier");
}

// ---- A part of the job is started again ----

TEST_F(CheckpointAbortTest, WhileTasksAreStartedAgainNoneIsTakenAndTheirAttemptBeforeDoesNotCount) {
  Start();
  CompleteOne();
  Pass(absl::Seconds(10));
  ASSERT_TRUE(Ack(2, 0, 0).ok());
  coordinator_->SuspendTasks({{0, 1}, {1, 1}}, "a part failed");
  Settle();
  EXPECT_EQ(LastOver().id, 2u);
  EXPECT_EQ(LastOver().abort_reason, AbortReason::kJobNotRunning);
  EXPECT_EQ(coordinator_->counters().failed, 0u);
  EXPECT_EQ(out_.notices.back().aborted, 2u) << "the other tasks are told";
  // What is asked for waits; nothing is triggered.
  std::optional<absl::StatusOr<SavepointResult>> saved;
  coordinator_->TriggerSavepoint("/saved", CheckpointKind::kSavepoint,
                                 [&](auto result) { saved = std::move(result); });
  Pass(absl::Seconds(30));
  EXPECT_EQ(coordinator_->counters().triggered, 2u);
  EXPECT_FALSE(saved.has_value());
  // On another worker, as attempt 2.
  coordinator_->ReplaceTasks({{0, 1, 7}, {1, 1, 7}}, 2, 1);
  EXPECT_EQ(coordinator_->View()->restored->id, 1u);
  coordinator_->ResumeTasks();
  Settle();
  ASSERT_EQ(coordinator_->counters().triggered, 3u);
  EXPECT_THAT(out_.triggers.back().workers, ElementsAre(0, 7));
  const auto late = coordinator_->counters().late_acknowledgements;
  EXPECT_TRUE(Ack(3, 0, 1).ok()) << "of attempt 1, which is no fault of the worker";
  EXPECT_EQ(coordinator_->counters().late_acknowledgements, late + 1);
  for (const uint32_t vertex : {0u, 1u}) {
    ASSERT_TRUE(Ack(3, vertex, 0).ok());
    proto::AcknowledgeCheckpointRequest request = MakeAck(1, 3, vertex, 1);
    request.set_region_attempt(2);
    EXPECT_FALSE(coordinator_->OnAcknowledge(request).ok()) << "from another worker";
    request.set_worker_index(7);
    EXPECT_FALSE(saved.has_value());
    ASSERT_TRUE(coordinator_->OnAcknowledge(request).ok());
  }
  Settle();
  ASSERT_TRUE(saved.has_value());
  EXPECT_TRUE(saved->ok()) << saved->status();
}

TEST_F(CheckpointAbortTest, WhatATaskHeldAtItsEndIsForgottenWhenItIsStartedAgain) {
  Start();
  ASSERT_TRUE(Final(0, 1, 0, {"shared/1-0-1.state"}).ok());
  EXPECT_TRUE(coordinator_->HoldsEndOf({{0, 1}}));
  EXPECT_FALSE(coordinator_->HoldsEndOf({{0, 0}, {0, 1}}));
  coordinator_->SuspendTasks({{0, 1}}, "a part failed");
  EXPECT_FALSE(coordinator_->HoldsEndOf({{0, 1}}));
  ASSERT_TRUE(Final(0, 1).ok());
  EXPECT_FALSE(coordinator_->HoldsEndOf({{0, 1}})) << "it is told by nobody now";
  coordinator_->ReplaceTasks({{0, 1, 1}}, 2, 0);
  coordinator_->ResumeTasks();
  Pass(absl::Seconds(11));
  ASSERT_FALSE(out_.triggers.empty());
  EXPECT_THAT(out_.triggers.back().workers, ElementsAre(0, 1));
  ASSERT_TRUE(Ack(1, 0, 0).ok());
  ASSERT_TRUE(Ack(1, 1, 0).ok());
  ASSERT_TRUE(Ack(1, 1, 1).ok());
  Settle();
  EXPECT_EQ(LatestId(), 0u) << "it waits for the task itself";
  proto::AcknowledgeCheckpointRequest request = MakeAck(1, 1, 0, 1);
  request.set_region_attempt(2);
  ASSERT_TRUE(coordinator_->OnAcknowledge(request).ok());
  Settle();
  EXPECT_EQ(LatestId(), 1u);
  EXPECT_THAT(out_.deleted, ::testing::Contains("shared/1-0-1.state"));
}

}  // namespace
}  // namespace weir::jobmanager
