#include <limits>

#include "jobmanager/checkpoint/testing/coordinator_fixture.h"

namespace weir::jobmanager {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

using CheckpointDeletionTest = CoordinatorTest;

TEST_F(CheckpointDeletionTest, RetainsTheLastAndDeletesThoseBefore) {
  settings_.num_retained = 2;
  Start();
  Pass(absl::Seconds(1));
  for (int i = 0; i < 4; ++i) CompleteOne();
  Settle();
  EXPECT_THAT(out_.deleted, ElementsAre("/job/1", "/job/2"));
  ASSERT_THAT(coordinator_->retained(), SizeIs(2));
  EXPECT_EQ(coordinator_->retained()[0].id, 3u);
  EXPECT_TRUE(coordinator_->history().checkpoints()[0]->discarded);
  EXPECT_FALSE(coordinator_->history().checkpoints()[2]->discarded);
}

// Flink 29913, 26985, 37367: a shared file deleted while in use; chains of three and more.
TEST_F(CheckpointDeletionTest, DeletesASharedFileWithTheLastCheckpointThatRefersToIt) {
  settings_.num_retained = 2;
  Start();
  Pass(absl::Seconds(1));
  CompleteOne({"shared/a", "shared/b"});
  CompleteOne({"shared/a", "shared/c"});
  CompleteOne({"shared/a", "shared/c"});
  Settle();
  EXPECT_THAT(out_.deleted, ElementsAre("/job/1", "shared/b"));
  CompleteOne({"shared/c"});
  Settle();
  EXPECT_THAT(out_.deleted, Not(Contains("shared/a")));
  CompleteOne({"shared/d"});
  CompleteOne({"shared/d"});
  Settle();
  EXPECT_THAT(out_.deleted, Contains("shared/a"));
  EXPECT_THAT(out_.deleted, Contains("shared/c"));
  EXPECT_THAT(out_.deleted, Not(Contains("shared/d")));
}

// Flink 26985, 37367: files of an aborted checkpoint that the next one is built on.
TEST_F(CheckpointDeletionTest, KeepsSharedFilesOfAnAbortedOneForTheNext) {
  settings_.tolerable_failed = 1;
  Start();
  Pass(absl::Seconds(11));
  ASSERT_TRUE(Ack(1, 1, 0, {"shared/a", "shared/gone"}).ok());
  ASSERT_TRUE(Decline(1, 0, 0, absl::StatusCode::kInternal, "broken").ok());
  // Also when it is told after the end.
  ASSERT_TRUE(Ack(1, 1, 1, {"shared/late"}).ok());
  Settle();
  EXPECT_THAT(out_.deleted, ElementsAre("/job/1"));
  Pass(absl::Seconds(10));
  AckAll(2, {"shared/a"});
  EXPECT_THAT(out_.deleted, ElementsAre("/job/1", "shared/gone", "shared/late", "/job/1"));
}

TEST_F(CheckpointDeletionTest, TriesToDeleteAgainUntilItIsDone) {
  Start();
  Pass(absl::Seconds(1));
  CompleteOne({"shared/a"});
  out_.delete_status = absl::UnavailableError("the store is away");
  CompleteOne();
  // As long as the checkpoint may be found, so must be the files that it refers to.
  EXPECT_THAT(out_.deleted, ElementsAre("/job/1"));
  EXPECT_EQ(coordinator_->counters().deletions_failed, 1u);
  EXPECT_THAT(out_.log.back(), HasSubstr("the store is away"));
  EXPECT_FALSE(coordinator_->idle());
  Pass(absl::Milliseconds(1'100));
  EXPECT_THAT(out_.deleted, ElementsAre("/job/1", "/job/1"));
  out_.delete_status = absl::OkStatus();
  Pass(absl::Milliseconds(2'100));
  EXPECT_THAT(out_.deleted, ElementsAre("/job/1", "/job/1", "/job/1", "shared/a"));
  EXPECT_TRUE(coordinator_->idle());
  Pass(absl::Seconds(5));
  EXPECT_THAT(out_.deleted, SizeIs(4));
}

TEST_F(CheckpointDeletionTest, IgnoresARepeatedFinalSnapshotOfAnAttemptThatIsOver) {
  Start();
  ASSERT_TRUE(Final(1, 0, 0, {"shared/end"}).ok());
  out_.hold_deletes = true;
  coordinator_->EndAttempt("a worker was lost");
  EXPECT_THAT(out_.deleted, ElementsAre("shared/end"));
  EXPECT_TRUE(Final(1, 0, 0, {"shared/end"}).ok());
  EXPECT_EQ(coordinator_->counters().late_acknowledgements, 1u);
  EXPECT_EQ(coordinator_->counters().refused_acknowledgements, 0u);
}

TEST_F(CheckpointDeletionTest, AbortsOneThatRefersToAFileThatIsBeingDeleted) {
  settings_.tolerable_failed = 1;
  Start();
  Pass(absl::Seconds(1));
  CompleteOne({"shared/a"});
  out_.hold_deletes = true;
  CompleteOne();
  // The checkpoint is deleted, its file is being.
  out_.Release();
  Pass(absl::Seconds(10));
  EXPECT_THAT(out_.deleted, ElementsAre("/job/1", "shared/a"));
  ASSERT_TRUE(Ack(3, 1, 0, {"shared/a"}).ok());
  EXPECT_EQ(LastOver().abort_reason, AbortReason::kBadState);
  EXPECT_THAT(LastOver().failure, HasSubstr("shared/a"));
}

TEST_F(CheckpointDeletionTest, KeepsAFileThatIsToldOfAgainWhileItsDeletionWaits) {
  settings_.tolerable_failed = 100;
  Start();
  Pass(absl::Seconds(1));
  out_.hold_deletes = true;
  for (uint64_t id = 1; id <= 5; ++id) {
    Pass(absl::Seconds(10));
    ASSERT_TRUE(Decline(id, 0, 0, absl::StatusCode::kInternal, "broken").ok());
  }
  EXPECT_THAT(out_.deleted, SizeIs(CheckpointCleaner::kMaxRunning)) << "no more at a time";
  // Nobody needs it once 6 is complete, but other deletions are under way.
  ASSERT_TRUE(Ack(5, 1, 0, {"shared/late"}).ok());
  Pass(absl::Seconds(10));
  AckAll(6);
  Pass(absl::Seconds(10));
  ASSERT_TRUE(Ack(7, 1, 0, {"shared/late"}).ok());
  out_.hold_deletes = false;
  out_.Release();
  Settle();
  EXPECT_THAT(out_.deleted, Contains("/job/5"));
  EXPECT_THAT(out_.deleted, Not(Contains("shared/late")));
  ASSERT_TRUE(coordinator_->idle());
  for (uint32_t subtask : {0u, 1u}) ASSERT_TRUE(Ack(7, 0, subtask).ok());
  ASSERT_TRUE(Ack(7, 1, 1).ok());
  Settle();
  EXPECT_EQ(LatestId(), 7u);
  EXPECT_THAT(out_.deleted, Not(Contains("shared/late")));
}

// Flink 25486, 10255, 11665: losing leadership cleaned up the job.
TEST_F(CheckpointDeletionTest, DeletesNothingWhenItIsDestroyed) {
  Start();
  CompleteOne();
  Pass(absl::Seconds(10));
  ASSERT_TRUE(Ack(2, 1, 0, {"shared/a"}).ok());
  coordinator_.reset();
  Pass(absl::Minutes(10));
  EXPECT_THAT(out_.deleted, IsEmpty());
  EXPECT_THAT(out_.failures, IsEmpty());
}

TEST_F(CheckpointDeletionTest, KeepsOrDeletesWhatIsCompleteByTheJobsEnd) {
  struct Case {
    JobEnd end;
    CheckpointRetention retention;
    bool kept;
  };
  using enum CheckpointRetention;
  for (const Case& c : {Case{JobEnd::kFinished, kDeleteOnCancellation, false},
                        Case{JobEnd::kFinished, kRetainOnCancellation, false},
                        Case{JobEnd::kCanceled, kDeleteOnCancellation, false},
                        Case{JobEnd::kCanceled, kRetainOnCancellation, true},
                        Case{JobEnd::kFailed, kDeleteOnCancellation, true},
                        Case{JobEnd::kFailed, kRetainOnCancellation, true}}) {
    settings_.retention = c.retention;
    Start();
    Pass(absl::Seconds(1));
    CompleteOne({"shared/a"});
    out_.deleted.clear();
    coordinator_->EndJob(c.end);
    Pass(absl::Seconds(1));
    if (c.kept) {
      EXPECT_THAT(out_.deleted, IsEmpty());
      EXPECT_THAT(out_.sweeps.back().keep_directories, ElementsAre("/job/1"));
      EXPECT_THAT(out_.sweeps.back().keep_shared, ElementsAre("shared/a"));
    } else {
      EXPECT_THAT(out_.deleted, ElementsAre("/job/1", "shared/a"));
      EXPECT_THAT(out_.sweeps.back().keep_directories, IsEmpty());
      EXPECT_EQ(LatestId(), 0u);
    }
    EXPECT_TRUE(coordinator_->idle());
  }
}

TEST_F(CheckpointDeletionTest, KeepsOrDeletesAlsoIfTheJobEndsBetweenTwoAttempts) {
  Start();
  Pass(absl::Seconds(1));
  CompleteOne({"shared/a"});
  coordinator_->EndAttempt("a worker was lost");
  // Told late: it belongs to no attempt that runs.
  coordinator_->OnTaskEnded(0, 0);
  EXPECT_THAT(out_.deleted, IsEmpty());
  coordinator_->EndJob(JobEnd::kCanceled);
  Settle();
  EXPECT_THAT(out_.deleted, ElementsAre("/job/1", "shared/a"));
  EXPECT_EQ(coordinator_->counters().deletions_done, 4u) << "these two and two sweeps";
  EXPECT_TRUE(coordinator_->idle());
}

TEST_F(CheckpointDeletionTest, LooksAgainForWhatIsWrittenAfterTheJobsEnd) {
  settings_.retention = CheckpointRetention::kRetainOnCancellation;
  Start();
  Pass(absl::Seconds(1));
  CompleteOne({"shared/a"});
  coordinator_->EndJob(JobEnd::kCanceled);
  Pass(absl::Seconds(1));
  const size_t at_the_end = out_.sweeps.size();
  Pass(absl::Seconds(60));
  EXPECT_EQ(out_.sweeps.size(), at_the_end + 1);
  Pass(absl::Minutes(10));
  EXPECT_EQ(out_.sweeps.size(), at_the_end + 2);
  Pass(absl::Hours(24));
  EXPECT_EQ(out_.sweeps.size(), at_the_end + 3);
  EXPECT_EQ(out_.sweeps.back().live_attempt, std::numeric_limits<uint32_t>::max());
  EXPECT_THAT(out_.sweeps.back().keep_directories, ElementsAre("/job/1"));
  EXPECT_THAT(out_.sweeps.back().keep_shared, ElementsAre("shared/a"));
  EXPECT_THAT(out_.deleted, IsEmpty());
  EXPECT_TRUE(coordinator_->idle());
}

TEST_F(CheckpointDeletionTest, WaitsForAnOpenWriteBeforeItDeletesAtTheJobsEnd) {
  Start();
  CompleteOne();
  out_.hold_writes = true;
  Pass(absl::Seconds(10));
  AckAll(2);
  coordinator_->EndJob(JobEnd::kCanceled);
  Settle();
  EXPECT_THAT(out_.deleted, IsEmpty());
  out_.Release();
  Settle();
  EXPECT_THAT(out_.deleted, ElementsAre("/job/1", "/job/2"));
}

}  // namespace
}  // namespace weir::jobmanager
