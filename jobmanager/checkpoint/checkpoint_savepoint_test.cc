#include "jobmanager/checkpoint/testing/coordinator_fixture.h"

namespace weir::jobmanager {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SavepointTest : public CoordinatorTest {
 protected:
  void Savepoint(bool stop, const std::string& directory = "/save") {
    Savepoint(stop ? CheckpointKind::kStopWithSavepoint : CheckpointKind::kSavepoint, directory);
  }
  void Savepoint(CheckpointKind kind, const std::string& directory = "/save") {
    coordinator_->TriggerSavepoint(directory, kind, [this](absl::StatusOr<SavepointResult> result) {
      results_.push_back(std::move(result));
    });
    Settle();
  }

  std::vector<absl::StatusOr<SavepointResult>> results_;
};

TEST_F(SavepointTest, IsTakenAtOnceAndSaysWhereItIs) {
  settings_.interval = absl::ZeroDuration();
  Start();
  Savepoint(/*stop=*/false);
  ASSERT_THAT(out_.triggers, SizeIs(1));
  EXPECT_EQ(out_.triggers[0].kind, CheckpointKind::kSavepoint);
  EXPECT_EQ(out_.triggers[0].directory, "/save/1");
  EXPECT_THAT(results_, IsEmpty());
  AckAll(1);
  ASSERT_THAT(results_, SizeIs(1));
  ASSERT_TRUE(results_[0].ok());
  EXPECT_EQ(results_[0]->id, 1u);
  EXPECT_EQ(results_[0]->directory, "/save/1");
  EXPECT_EQ(coordinator_->latest()->metadata->kind(), proto::SAVEPOINT);
}

// Flink 10354: savepoint not counted as checkpoint: restored an older one.
TEST_F(SavepointTest, IsWhatARestartRestores) {
  Start();
  CompleteOne();
  Savepoint(/*stop=*/false);
  AckAll(2);
  coordinator_->EndAttempt("a worker was lost");
  EXPECT_EQ(LatestId(), 2u);
  EXPECT_EQ(coordinator_->latest()->directory, "/save/2");
}

// Rule 47
TEST_F(SavepointTest, CommitsNothingOutsideUnlessItStopsTheJob) {
  Start();
  CompleteOne();
  Savepoint(/*stop=*/false);
  AckAll(2);
  EXPECT_EQ(LatestId(), 2u);
  EXPECT_EQ(coordinator_->completed_for_tasks(), 1u);
  EXPECT_EQ(out_.notices.back().completed, 1u);
  Savepoint(/*stop=*/true);
  AckAll(3);
  EXPECT_EQ(coordinator_->completed_for_tasks(), 3u);
  EXPECT_EQ(out_.notices.back().completed, 3u);
}

// A restore commits what the savepoint holds.
TEST_F(SavepointTest, IsToldAsCompleteOnceAnAttemptHasStartedFromIt) {
  Start();
  Savepoint(/*stop=*/false);
  AckAll(1);
  coordinator_->EndAttempt("a worker was lost");
  BeginAttempt(2, 1);
  EXPECT_EQ(coordinator_->completed_for_tasks(), 1u);
}

// It can be moved, and be read when the job's own files are gone.
TEST_F(SavepointTest, HasCopiesOfTheSharedFilesThatItRefersTo) {
  Start();
  Savepoint(/*stop=*/false);
  AckAll(1, {"shared/a"});
  Pass(absl::Seconds(1));
  for (int i = 0; i < 3; ++i) CompleteOne();
  Settle();
  EXPECT_THAT(out_.copied, ElementsAre("shared/a"));
  EXPECT_EQ(coordinator_->latest()->id, 4u);
  EXPECT_EQ(out_.writes.front().second->files(0).name(), "shared-a.state");
  EXPECT_THAT(out_.deleted, ElementsAre("shared/a", "/job/2", "/job/3"));
  coordinator_->EndJob(JobEnd::kFinished);
  Settle();
  EXPECT_THAT(out_.deleted, ElementsAre("shared/a", "/job/2", "/job/3", "/job/4"));
  EXPECT_THAT(out_.sweeps.back().keep_directories, ElementsAre("/save/1"));
}

// Tasks that read no source need the folder as well.
TEST_F(SavepointTest, IsOrderedOfEveryWorkerAndACheckpointOfThoseWithSources) {
  Start();
  ASSERT_TRUE(Final(0, 1).ok());
  Savepoint(/*stop=*/false);
  EXPECT_THAT(out_.triggers.back().workers, ElementsAre(0, 1));
  Pass(absl::Seconds(1));
  ASSERT_TRUE(Ack(1, 0, 0).ok());
  ASSERT_TRUE(Ack(1, 1, 0).ok());
  ASSERT_TRUE(Ack(1, 1, 1).ok());
  Pass(absl::Seconds(10));
  EXPECT_EQ(out_.triggers.back().checkpoint_id, 2u);
  EXPECT_THAT(out_.triggers.back().workers, ElementsAre(0));
}

TEST_F(SavepointTest, ThatDrainsFailsTheJobIfItFailsOnceTasksWereToldOfIt) {
  Start();
  out_.prepare_error = absl::PermissionDeniedError("read-only");
  Savepoint(CheckpointKind::kDrainWithSavepoint);
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_THAT(out_.failures, IsEmpty()) << "nothing was drained";
  out_.prepare_error = absl::OkStatus();
  Savepoint(CheckpointKind::kDrainWithSavepoint);
  ASSERT_TRUE(Decline(2, 0, 0, absl::StatusCode::kInternal, "the disk is full").ok());
  Settle();
  ASSERT_THAT(results_, SizeIs(2));
  ASSERT_THAT(out_.failures, SizeIs(1));
  EXPECT_THAT(
      std::string(out_.failures[0].message()),
      AllOf(HasSubstr("the disk is full"), HasSubstr("goes on from its latest checkpoint")));
}

class SavepointWithoutDirectoryTest : public SavepointTest {
 protected:
  void StartWithoutDirectory() {
    settings_.interval = absl::ZeroDuration();
    coordinator_ = std::make_unique<CheckpointCoordinator>(
        out_, settings_, CheckpointedJob{JobId(1, 2), "words", graph_, false}, 1);
    BeginAttempt(1);
  }
};

TEST_F(SavepointWithoutDirectoryTest, IsTakenWhileNoPartOfTheJobHasEnded) {
  StartWithoutDirectory();
  Savepoint(/*stop=*/false);
  AckAll(1);
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_TRUE(results_[0].ok()) << results_[0].status();
  coordinator_->OnTaskEnded(0, 0);
  Savepoint(/*stop=*/false);
  ASSERT_THAT(results_, SizeIs(2));
  EXPECT_EQ(results_[1].status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(results_[1].status().message()),
              HasSubstr("execution.checkpointing.dir"));
}

TEST_F(SavepointWithoutDirectoryTest, IsAbortedIfATaskEndsWithoutHavingBeenPartOfIt) {
  StartWithoutDirectory();
  Savepoint(/*stop=*/false);
  ASSERT_TRUE(Ack(1, 0, 0).ok());
  coordinator_->OnTaskEnded(0, 0);
  Settle();
  EXPECT_THAT(results_, IsEmpty()) << "it had told what it held";
  coordinator_->OnTaskEnded(0, 1);
  Settle();
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_THAT(std::string(results_[0].status().message()), HasSubstr("is not kept"));
}

TEST_F(SavepointTest, WaitsForThePendingCheckpointAndHoldsTheNextOnesBack) {
  settings_.max_concurrent = 5;
  Start();
  Pass(absl::Seconds(11));
  Savepoint(/*stop=*/false);
  EXPECT_THAT(out_.prepared, ElementsAre(1));
  AckAll(1);
  EXPECT_THAT(out_.prepared, ElementsAre(1, 2));
  Pass(absl::Seconds(30));
  EXPECT_THAT(out_.prepared, ElementsAre(1, 2));
  AckAll(2);
  EXPECT_THAT(out_.prepared, ElementsAre(1, 2, 3));
  EXPECT_EQ(out_.triggers.back().kind, CheckpointKind::kCheckpoint);
}

TEST_F(SavepointTest, FailsWithoutFailingTheJob) {
  Start();
  Savepoint(/*stop=*/false);
  ASSERT_TRUE(Decline(1, 0, 0, absl::StatusCode::kInternal, "the disk is full").ok());
  Settle();
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_THAT(std::string(results_[0].status().message()), HasSubstr("the disk is full"));
  EXPECT_THAT(out_.failures, IsEmpty());
  EXPECT_THAT(out_.deleted, ElementsAre("/save/1"));
}

TEST_F(SavepointTest, IsRefusedWhileTheJobDoesNotRun) {
  Make();
  coordinator_->BeginAttempt(1, TestPlacement(), 0);
  Savepoint(/*stop=*/false);
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_EQ(results_[0].status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(SavepointTest, IsRefusedWhenTooManyWait) {
  Start();
  for (size_t i = 0; i < 1 + CheckpointCoordinator::kMaxWaitingSavepoints; ++i) Savepoint(false);
  EXPECT_THAT(results_, IsEmpty());
  Savepoint(false);
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_EQ(results_[0].status().code(), absl::StatusCode::kResourceExhausted);
  coordinator_->EndAttempt("cancelled");
  Settle();
  EXPECT_THAT(results_, SizeIs(2 + CheckpointCoordinator::kMaxWaitingSavepoints));
}

TEST_F(SavepointTest, ThatStopsTheJobIsTheLastOne) {
  Start();
  Savepoint(/*stop=*/true);
  EXPECT_EQ(out_.triggers.back().kind, CheckpointKind::kStopWithSavepoint);
  Savepoint(/*stop=*/false);
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_EQ(results_[0].status().code(), absl::StatusCode::kFailedPrecondition);
  AckAll(1);
  Pass(absl::Minutes(5));
  EXPECT_THAT(out_.prepared, ElementsAre(1));
}

TEST_F(SavepointTest, ThatShouldHaveStoppedTheJobLetsItGoOnIfItFails) {
  Start();
  Savepoint(/*stop=*/true);
  ASSERT_TRUE(Decline(1, 0, 0, absl::StatusCode::kInternal, "no").ok());
  Pass(absl::Seconds(11));
  EXPECT_THAT(out_.prepared, ElementsAre(1, 2));
}

// Flink 26783, 21132: crash inside stop-with-savepoint, at each of its steps.
TEST_F(SavepointTest, ThatStopsTheJobIsRestoredFromIfTheJobFailsAfterwardsAndNotIfBefore) {
  for (const std::string step : {"waiting", "preparing", "pending", "writing", "complete"}) {
    SCOPED_TRACE(step);
    results_.clear();
    out_.hold_prepare = out_.hold_writes = false;
    Start();
    CompleteOne();
    if (step == "waiting") Pass(absl::Seconds(10));
    const uint64_t id = coordinator_->next_id();
    if (step == "preparing") out_.hold_prepare = true;
    if (step == "writing") out_.hold_writes = true;
    Savepoint(/*stop=*/true);
    if (step == "pending") {
      ASSERT_TRUE(Ack(id, 0, 0).ok());
    }
    if (step == "writing" || step == "complete") AckAll(id);
    coordinator_->EndAttempt("a worker was lost");
    Settle();
    out_.Release();
    Settle();
    ASSERT_TRUE(coordinator_->settled());
    ASSERT_THAT(results_, SizeIs(1));
    const bool exists = step == "writing" || step == "complete";
    EXPECT_EQ(results_[0].ok(), exists);
    EXPECT_EQ(LatestId(), exists ? id : 1);
    EXPECT_EQ(coordinator_->stop_completed(), exists);
    // The next attempt of a job that has been stopped only commits; another is not being stopped.
    BeginAttempt(2, LatestId());
    EXPECT_EQ(coordinator_->stop_completed(), exists);
    Savepoint(/*stop=*/false);
    ASSERT_THAT(results_, SizeIs(exists ? 2 : 1));
    if (exists) {
      EXPECT_EQ(results_[1].status().code(), absl::StatusCode::kFailedPrecondition);
    }
  }
}

TEST_F(SavepointTest, HasAnIdAmongThoseOfCheckpoints) {
  Start();
  CompleteOne();
  Savepoint(/*stop=*/false);
  AckAll(2);
  Pass(absl::Seconds(10));
  AckAll(3);
  EXPECT_EQ(coordinator_->completed_for_tasks(), 3u);
  EXPECT_THAT(out_.deleted, ElementsAre("/job/1"));
}

TEST_F(SavepointTest, CanBeAnOrdinaryCheckpointThatIsDueNow) {
  settings_.interval = absl::ZeroDuration();
  Start();
  coordinator_->TriggerCheckpoint(
      [this](absl::StatusOr<SavepointResult> result) { results_.push_back(std::move(result)); });
  Settle();
  AckAll(1);
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_EQ(results_[0]->id, 1u);
  EXPECT_EQ(coordinator_->completed_for_tasks(), 1u);
  EXPECT_THAT(coordinator_->retained(), SizeIs(1));
}

}  // namespace
}  // namespace weir::jobmanager
