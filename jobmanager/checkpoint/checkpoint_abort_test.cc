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

}  // namespace
}  // namespace weir::jobmanager
