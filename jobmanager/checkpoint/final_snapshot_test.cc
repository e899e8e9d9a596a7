#include "jobmanager/checkpoint/testing/coordinator_fixture.h"

namespace weir::jobmanager {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

using FinalSnapshotTest = CoordinatorTest;

// Flink 21080, 40482: a finished task's notice lost; FAILED counted as finished.
TEST_F(FinalSnapshotTest, WaitsForTheFinalSnapshotOfATaskThatHasEnded) {
  Start();
  // The notice says that it has ended, but not what it held.
  coordinator_->OnTaskEnded(0, 0);
  Pass(absl::Seconds(11));
  ASSERT_TRUE(Ack(1, 0, 1).ok());
  ASSERT_TRUE(Ack(1, 1, 0).ok());
  ASSERT_TRUE(Ack(1, 1, 1).ok());
  Settle();
  EXPECT_EQ(LatestId(), 0u);
  ASSERT_TRUE(Final(0, 0).ok());
  Settle();
  EXPECT_EQ(LatestId(), 1u);
  EXPECT_TRUE(coordinator_->latest()->metadata->operators(2).subtasks(0).finished());
  EXPECT_FALSE(coordinator_->latest()->metadata->operators(2).subtasks(1).finished());
}

// Flink 21080: the other notice is lost; the final snapshot alone says that it has ended.
TEST_F(FinalSnapshotTest, UsesAFinalSnapshotForAllLaterCheckpoints) {
  Start();
  ASSERT_TRUE(Final(0, 0, 0, {"shared/end"}).ok());
  for (uint64_t id : {1u, 2u, 3u}) {
    Pass(absl::Seconds(id == 1 ? 11 : 10));
    EXPECT_THAT(out_.triggers.back().workers, ElementsAre(1));
    ASSERT_TRUE(Ack(id, 0, 1).ok());
    ASSERT_TRUE(Ack(id, 1, 0).ok());
    ASSERT_TRUE(Ack(id, 1, 1).ok());
    Settle();
    EXPECT_EQ(LatestId(), id);
    EXPECT_EQ(coordinator_->latest()->metadata->files(0).name(), "shared/end");
  }
  EXPECT_THAT(out_.deleted, Not(Contains("shared/end")));
  // Another attempt begins from the checkpoint; the file stays with it.
  coordinator_->EndAttempt("a worker was lost");
  EXPECT_THAT(out_.deleted, Not(Contains("shared/end")));
}

// Flink 38614: end of data overtook what was before it.
TEST_F(FinalSnapshotTest, NeverPutsAFinalSnapshotInThePlaceOfAnEarlierBarriers) {
  Start();
  Pass(absl::Seconds(11));
  ASSERT_TRUE(Ack(1, 0, 1).ok());
  ASSERT_TRUE(Ack(1, 1, 0).ok());
  ASSERT_TRUE(Ack(1, 1, 1).ok());
  // The source passed barrier 1 on before it ended; its acknowledgement of that is late.
  ASSERT_TRUE(Final(0, 0, /*last_barrier=*/1).ok());
  Settle();
  EXPECT_EQ(LatestId(), 0u);
  ASSERT_TRUE(Ack(1, 0, 0, {"at-barrier"}).ok());
  Settle();
  EXPECT_EQ(LatestId(), 1u);
  ASSERT_EQ(coordinator_->latest()->metadata->files_size(), 1);
  EXPECT_EQ(coordinator_->latest()->metadata->files(0).name(), "at-barrier");
  EXPECT_FALSE(coordinator_->latest()->metadata->operators(2).subtasks(0).finished());
}

TEST_F(FinalSnapshotTest, TakesAnAcknowledgementThatIsFinalForItsOwnAndLaterOnes) {
  Start();
  Pass(absl::Seconds(11));
  proto::AcknowledgeCheckpointRequest request = MakeAck(1, 1, 0, 0);
  request.mutable_snapshot()->set_final(true);
  ASSERT_TRUE(coordinator_->OnAcknowledge(request).ok());
  ASSERT_TRUE(coordinator_->OnAcknowledge(request).ok());
  ASSERT_TRUE(Ack(1, 0, 1).ok());
  ASSERT_TRUE(Ack(1, 1, 0).ok());
  ASSERT_TRUE(Ack(1, 1, 1).ok());
  Pass(absl::Seconds(10));
  EXPECT_EQ(LatestId(), 1u);
  EXPECT_THAT(out_.triggers.back().workers, ElementsAre(1));
  EXPECT_EQ(coordinator_->InProgress().at(0).acknowledged, 1u);
}

}  // namespace
}  // namespace weir::jobmanager
