#include "jobmanager/checkpoint/checkpoint_restore.h"
#include "jobmanager/checkpoint/testing/coordinator_fixture.h"

namespace weir::jobmanager {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ResumeTest : public CoordinatorTest {
 protected:
  static FoundCheckpoint Found(uint64_t id, const std::vector<std::string>& files = {},
                               proto::CheckpointKind kind = proto::CHECKPOINT) {
    auto metadata = std::make_shared<proto::CheckpointMetadata>();
    metadata->set_job_id(std::string(16, 'j'));
    metadata->set_max_parallelism(128);
    metadata->set_checkpoint_id(id);
    metadata->set_kind(kind);
    for (const std::string& name : files) metadata->add_files()->set_name(name);
    return {.directory = "/job/" + std::to_string(id),
            .metadata = std::shared_ptr<const proto::CheckpointMetadata>(std::move(metadata))};
  }
};

TEST_F(ResumeTest, GoesOnFromTheNewest) {
  settings_.num_retained = 2;
  Make(/*next_id=*/8);
  ASSERT_TRUE(coordinator_
                  ->Resume({Found(7, {"shared/c"}), Found(3, {"shared/a", "shared/b"}),
                            Found(5, {"shared/b", "shared/c"})})
                  .ok());
  EXPECT_EQ(LatestId(), 7u);
  EXPECT_EQ(coordinator_->completed_for_tasks(), 7u);
  ASSERT_THAT(coordinator_->retained(), SizeIs(2));
  EXPECT_EQ(coordinator_->retained()[0].id, 5u);
  Settle();
  EXPECT_THAT(out_.deleted, ElementsAre("/job/3", "shared/a"));
}

TEST_F(ResumeTest, NeverGivesAnIdAgain) {
  Make(/*next_id=*/20);
  ASSERT_TRUE(coordinator_->Resume({Found(7)}).ok());
  EXPECT_EQ(coordinator_->next_id(), 20u);
  // The counter was lost: the ids of complete ones grow all the same.
  Make(/*next_id=*/1);
  ASSERT_TRUE(coordinator_->Resume({Found(7)}).ok());
  EXPECT_EQ(coordinator_->next_id(), 8u);
}

TEST_F(ResumeTest, LeavesToTheSweepWhatAttemptsThatAreOverLeft) {
  Make(/*next_id=*/9);
  ASSERT_TRUE(coordinator_->Resume({Found(7, {"shared/c", "private.state"})}).ok());
  Settle();
  EXPECT_THAT(out_.sweeps, IsEmpty());
  BeginAttempt(4, 7);
  Settle();
  ASSERT_THAT(out_.sweeps, SizeIs(1));
  EXPECT_EQ(out_.sweeps[0].newest_complete, 7u);
  EXPECT_EQ(out_.sweeps[0].next_id, 9u);
  EXPECT_EQ(out_.sweeps[0].live_attempt, 4u);
  EXPECT_THAT(out_.sweeps[0].keep_directories, ElementsAre("/job/7"));
  EXPECT_THAT(out_.sweeps[0].keep_shared, ElementsAre("shared/c"));
  EXPECT_EQ(coordinator_->counters().restored, 1u);
}

// Flink 22502, 7783: unreadable checkpoint skipped, or its files deleted.
TEST_F(ResumeTest, NeitherSkipsNorDeletesWhenOneCannotBeRead) {
  for (const absl::Status& error :
       {absl::UnavailableError("the store is away"), absl::DataLossError("its digest is wrong")}) {
    Make();
    std::vector<FoundCheckpoint> found = {Found(3), Found(5, {"shared/a"}), Found(7)};
    found[2].metadata = error;
    const absl::Status status = coordinator_->Resume(std::move(found));
    EXPECT_EQ(status.code(), error.code());
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("/job/7"), HasSubstr(std::string(error.message()))));
    EXPECT_EQ(LatestId(), 0u);
    // It can be tried again.
    EXPECT_TRUE(coordinator_->Resume({Found(3), Found(5), Found(7)}).ok());
    EXPECT_EQ(LatestId(), 7u);
  }
  Make();
  std::vector<FoundCheckpoint> found = {Found(3), Found(5, {"../a"})};
  EXPECT_EQ(coordinator_->Resume(std::move(found)).code(), absl::StatusCode::kDataLoss);
  Make();
  EXPECT_EQ(coordinator_->Resume({Found(3), Found(3)}).code(), absl::StatusCode::kDataLoss);
}

TEST_F(ResumeTest, DeletesNothingWhenOneCannotBeRead) {
  Make();
  std::vector<FoundCheckpoint> found = {Found(3), Found(5), Found(7)};
  found[0].metadata = absl::DataLossError("its digest is wrong");
  EXPECT_FALSE(coordinator_->Resume(std::move(found)).ok());
  Pass(absl::Minutes(5));
  EXPECT_THAT(out_.deleted, IsEmpty());
  EXPECT_THAT(out_.sweeps, IsEmpty());
}

// Flink 10354: savepoint not counted as checkpoint: restored an older one.
TEST_F(ResumeTest, RestoresASavepointThatIsNewerThanTheCheckpoints) {
  Make();
  ASSERT_TRUE(
      coordinator_->Resume({Found(5), Found(6, {"shared-s.state"}, proto::SAVEPOINT)}).ok());
  EXPECT_EQ(LatestId(), 6u);
  EXPECT_EQ(coordinator_->completed_for_tasks(), 5u);
  BeginAttempt(2, 6);
  EXPECT_EQ(coordinator_->completed_for_tasks(), 6u);
  Pass(absl::Seconds(1));
  CompleteOne();
  Settle();
  EXPECT_THAT(out_.deleted, ElementsAre("/job/5"));
  EXPECT_THAT(out_.sweeps[0].keep_directories, ElementsAre("/job/6", "/job/5"));
}

TEST_F(ResumeTest, NeverDeletesTheCheckpointOfAnotherJobThatThisOneBeganFrom) {
  Make();
  FoundCheckpoint other = Found(500, {"shared/x"});
  other.owned = false;
  std::vector<FoundCheckpoint> found;
  found.push_back(std::move(other));
  ASSERT_TRUE(coordinator_->Resume(std::move(found)).ok());
  EXPECT_EQ(LatestId(), 500u);
  BeginAttempt(1, 500);
  Pass(absl::Seconds(1));
  CompleteOne();
  EXPECT_EQ(LatestId(), 501u);
  coordinator_->EndJob(JobEnd::kFinished);
  Settle();
  EXPECT_THAT(out_.deleted, ElementsAre("/job/501"));
}

TEST_F(ResumeTest, RestoresAnywhereAfterEachCompleteOne) {
  Start();
  Pass(absl::Seconds(1));
  for (int i = 0; i < 3; ++i) {
    CompleteOne({"shared/a", "b.state"});
    const auto restore =
        MakeRestore(*coordinator_->latest()->metadata, coordinator_->latest()->directory, *graph_);
    ASSERT_TRUE(restore.ok()) << restore.status();
    EXPECT_EQ((*restore)->operators_size(), 3);
    EXPECT_EQ((*restore)->files_size(), 2);
  }
}

}  // namespace
}  // namespace weir::jobmanager
