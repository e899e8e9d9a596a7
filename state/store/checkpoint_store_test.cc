#include "state/store/checkpoint_store.h"

#include <memory>
#include <string>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "state/testing/file_systems.h"

namespace weir {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const JobId kJob(1, 2);
const JobId kOtherJob(1, 3);

std::string Message(const absl::Status& status) { return std::string(ToStd(status.message())); }

class CheckpointStoreTest : public testing::TestWithParam<FilesUnderTestFactory> {
 protected:
  void SetUp() override { ASSERT_TRUE(store_.ClaimDirectory("one").ok()); }
  void Touch(const std::string& path) {
    ASSERT_TRUE(files_.OpenForWrite(dir_ + "/" + path, FileSystem::WriteMode::kTruncate).ok());
  }

  const std::unique_ptr<FilesUnderTest> disk_ = GetParam()();
  FileSystem& files_ = disk_->files();
  const std::string dir_ = disk_->folder() + "/base";
  CheckpointStore store_{files_, dir_ + "/"};
};

INSTANTIATE_TEST_SUITE_P(OnDisk, CheckpointStoreTest, BothFileSystems(), NameOfFileSystem);

TEST_P(CheckpointStoreTest, CheckpointsLieByJobAndId) {
  EXPECT_EQ(store_.Folder(kJob, 17).path(), dir_ + "/00000000000000010000000000000002/chk-17");
}

TEST_P(CheckpointStoreTest, TheSameClusterMayClaimAgainAndAnotherMayNot) {
  EXPECT_TRUE(store_.ClaimDirectory("one").ok());
  EXPECT_TRUE(CheckpointStore(files_, dir_).ClaimDirectory("one").ok());
  const absl::Status status = CheckpointStore(files_, dir_).ClaimDirectory("two");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(Message(status), HasSubstr("belongs to the cluster 'one', and this one is 'two'"));
  EXPECT_THAT(Message(status), HasSubstr("delete '" + dir_ + "/_cluster-one'"));
  // The one that was refused leaves nothing.
  EXPECT_TRUE(CheckpointStore(files_, dir_).ClaimDirectory("one").ok());
}

TEST_P(CheckpointStoreTest, AnIdThatIsNoNameIsRefused) {
  for (const std::string& id :
       {std::string(), std::string("a/b"), std::string("a b"), std::string(101, 'x')}) {
    EXPECT_TRUE(absl::IsInvalidArgument(store_.ClaimDirectory(id))) << id;
  }
  EXPECT_TRUE(CheckpointStore(files_, dir_ + "2").ClaimDirectory(std::string(100, 'x')).ok());
}

TEST_P(CheckpointStoreTest, CompleteCheckpointsAndLeftoversAreListedInOrder) {
  for (const uint64_t id : {2, 10, 9, 11}) ASSERT_TRUE(store_.PrepareCheckpoint(kJob, id).ok());
  ASSERT_TRUE(store_.PrepareCheckpoint(kOtherJob, 3).ok());
  for (const uint64_t id : {10, 9}) {
    Touch(StrCat(kJob.ToString(), "/chk-", id, "/_metadata"));
  }
  // Not checkpoints.
  Touch(kJob.ToString() + "/chk-5");
  for (const char* name : {"shared", "chk-07", "chk-", "chk-x", "chk-99999999999999999999"}) {
    ASSERT_TRUE(files_.CreateDirectories(dir_ + "/" + kJob.ToString() + "/" + name).ok());
  }
  const auto checkpoints = store_.ListCheckpoints(kJob);
  ASSERT_TRUE(checkpoints.ok()) << checkpoints.status();
  EXPECT_THAT(checkpoints->complete, ElementsAre(9, 10));
  EXPECT_THAT(checkpoints->leftovers, ElementsAre(2, 11));
  EXPECT_TRUE(absl::IsAlreadyExists(store_.PrepareCheckpoint(kJob, 9)));
}

TEST_P(CheckpointStoreTest, AJobWithoutAFolderHasNoCheckpoints) {
  const auto checkpoints = store_.ListCheckpoints(kJob);
  ASSERT_TRUE(checkpoints.ok()) << checkpoints.status();
  EXPECT_THAT(checkpoints->complete, IsEmpty());
  EXPECT_THAT(checkpoints->leftovers, IsEmpty());
  EXPECT_TRUE(store_.DeleteCheckpoint(kJob, 1).ok());
  EXPECT_TRUE(store_.DeleteJobFolder(kJob).ok());
}

TEST_P(CheckpointStoreTest, AJobsFolderGoesWhenItIsEmpty) {
  ASSERT_TRUE(store_.PrepareCheckpoint(kJob, 1).ok());
  EXPECT_EQ(store_.DeleteJobFolder(kJob).code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(store_.DeleteCheckpoint(kJob, 1).ok());
  EXPECT_TRUE(store_.DeleteJobFolder(kJob).ok());
  EXPECT_TRUE(absl::IsNotFound(files_.Stat(dir_ + "/" + kJob.ToString()).status()));
}

// As when a file system is no longer mounted: the folder it was mounted at is there, and empty.
TEST_P(CheckpointStoreTest, ADirectoryThatIsGoneIsNoticedAndNotMadeAgain) {
  for (const bool mount_point_is_left : {true, false}) {
    ASSERT_TRUE(files_.DeleteRecursively(dir_).ok());
    if (mount_point_is_left) {
      ASSERT_TRUE(files_.CreateDirectories(dir_).ok());
    }
    for (const absl::Status& status :
         {store_.PrepareCheckpoint(kJob, 1), store_.ListCheckpoints(kJob).status(),
          store_.DeleteCheckpoint(kJob, 1), store_.DeleteJobFolder(kJob)}) {
      EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
      EXPECT_THAT(Message(status), HasSubstr(dir_));
      EXPECT_THAT(Message(status), HasSubstr("still mounted"));
    }
    EXPECT_EQ(files_.Stat(dir_).ok(), mount_point_is_left);
  }
  // One that only reads does not claim.
  EXPECT_TRUE(absl::IsNotFound(CheckpointStore(files_, dir_).ListCheckpoints(kJob).status()));
}

// Two clusters start at once; the second one claims before every operation of the first.
TEST(CheckpointStoreRaceTest, OfTwoClustersThatClaimAtOnceAtMostOneGetsTheDirectory) {
  int winners_seen = 0;
  for (int step = 0;; ++step) {
    SimulatedFiles disk;
    SimEnv& other = disk.StartOther();
    CheckpointStore first(disk.files(), "/checkpoints");
    CheckpointStore second(other.files(), "/checkpoints");
    int operations = 0;
    absl::Status second_status = absl::UnknownError("");
    disk.disk().set_fault([&](std::string_view, const std::string&) {
      if (operations++ == step) second_status = second.ClaimDirectory("two");
      return absl::OkStatus();
    });
    const absl::Status first_status = first.ClaimDirectory("one");
    disk.disk().set_fault(nullptr);
    if (absl::IsUnknown(second_status)) {
      EXPECT_TRUE(first_status.ok());
      EXPECT_GE(step, 8);
      break;
    }
    EXPECT_FALSE(first_status.ok() && second_status.ok()) << step;
    winners_seen += first_status.ok() ? 1 : second_status.ok() ? 2 : 0;
    // Whoever was refused has left nothing that is in the way of the winner, or of a later start.
    CheckpointStore& next = second_status.ok() ? second : first;
    const absl::Status again = next.ClaimDirectory(second_status.ok() ? "two" : "one");
    EXPECT_TRUE(again.ok()) << step << ": " << again;
  }
  EXPECT_GE(winners_seen, 3);
}

}  // namespace
}  // namespace weir
