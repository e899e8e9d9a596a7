#include "jobmanager/schedule/leftover_files.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "common/env/forwarding_file_system.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_record.pb.h"
#include "state/testing/example_checkpoint.h"
#include "state/testing/file_systems.h"

namespace weir::jobmanager {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const JobId kJob(1, 2);

class LeftoverFilesTest : public testing::TestWithParam<FilesUnderTestFactory> {
 protected:
  void SetUp() override { ASSERT_TRUE(store_.ClaimDirectory("one").ok()); }
  // Makes the folder of a checkpoint with these files.
  void Make(uint64_t id, const std::vector<std::string>& names) {
    ASSERT_TRUE(store_.PrepareCheckpoint(kJob, id).ok());
    for (const std::string& name : names) Touch(StrCat("chk-", id, "/", name));
  }
  void Touch(const std::string& name) {
    const std::string path = job_directory_ + "/" + name;
    ASSERT_TRUE(files_.CreateDirectories(path.substr(0, path.rfind('/'))).ok());
    ASSERT_TRUE(files_.OpenForWrite(path, FileSystem::WriteMode::kTruncate).ok());
  }
  std::vector<std::string> In(const std::string& folder) {
    std::vector<std::string> names;
    const auto found = files_.List(job_directory_ + "/" + folder);
    if (!found.ok()) return {"no folder"};
    for (const FileInfo& file : *found) names.push_back(file.path.substr(file.path.rfind('/') + 1));
    std::sort(names.begin(), names.end());
    return names;
  }
  void Delete(const Leftovers& leftovers) {
    const absl::Status status = DeleteLeftoverFiles(files_, store_, kJob, leftovers);
    EXPECT_TRUE(status.ok()) << status;
  }

  const std::unique_ptr<FilesUnderTest> disk_ = GetParam()();
  FileSystem& files_ = disk_->files();
  const std::string dir_ = disk_->folder() + "/base";
  CheckpointStore store_{files_, dir_};
  const std::string job_directory_ = dir_ + "/" + kJob.ToString();
};

INSTANTIATE_TEST_SUITE_P(OnDisk, LeftoverFilesTest, BothFileSystems(), NameOfFileSystem);

TEST_P(LeftoverFilesTest, OfEarlierAttemptsGo) {
  Make(3, {"2-0-0.state"});
  Make(4, {"1-0-0.state", "1-0-1.state"});
  Make(5, {});
  Touch("shared/1-0-0.state");
  Touch("shared/1-0-1.state");
  Touch("shared/2-0-0.state");
  Delete({.newest_complete = 4,
          .next_id = 6,
          .live_attempt = 2,
          .keep_directories = {},
          .keep_shared = {"shared/1-0-1.state"}});
  EXPECT_THAT(In("chk-3"), ElementsAre("no folder"));
  EXPECT_THAT(In("chk-4"), ElementsAre("no folder"));
  EXPECT_THAT(In("chk-5"), ElementsAre("no folder"));
  EXPECT_THAT(In("shared"), ElementsAre("1-0-1.state", "2-0-0.state"));
}

// A number that was given out before the job manager ended is given out again, and deleting is slow
// or tried again: the folder may be that of the checkpoint that is under way.
TEST_P(LeftoverFilesTest, AFolderThatTheLiveAttemptMayWriteToStays) {
  Make(7, {});
  Make(8, {"1-0-0.state", "1-0-1.state"});
  Make(9, {"1-0-0.state", "2-0-0.state"});
  Delete({.newest_complete = 6,
          .next_id = 7,
          .live_attempt = 2,
          .keep_directories = {},
          .keep_shared = {}});
  EXPECT_THAT(In("chk-7"), IsEmpty());
  EXPECT_THAT(In("chk-8"), IsEmpty());
  EXPECT_THAT(In("chk-9"), ElementsAre("2-0-0.state"));
}

TEST_P(LeftoverFilesTest, EverythingGoesWhenTheJobIsOver) {
  Make(7, {});
  Make(8, {"2-0-0.state"});
  Make(9, {"2-0-0.state"});
  Touch("shared/2-0-0.state");
  Delete({.newest_complete = 6,
          .next_id = std::numeric_limits<uint64_t>::max(),
          .live_attempt = std::numeric_limits<uint32_t>::max(),
          .keep_directories = {store_.Folder(kJob, 9).path()},
          .keep_shared = {}});
  EXPECT_THAT(In("chk-7"), ElementsAre("no folder"));
  EXPECT_THAT(In("chk-8"), ElementsAre("no folder"));
  EXPECT_THAT(In("chk-9"), ElementsAre("2-0-0.state"));
  EXPECT_THAT(In("shared"), IsEmpty());
}

// Files among which folders of checkpoints are deleted by others just before they are listed.
class FilesThatGo final : public ForwardingFileSystem {
 public:
  using ForwardingFileSystem::ForwardingFileSystem;
  absl::StatusOr<std::vector<FileInfo>> List(const std::string& directory) override {
    if (directory.find("/chk-") != std::string::npos) {
      const absl::Status status = files_.DeleteRecursively(directory);
      if (!status.ok()) return status;
    }
    return files_.List(directory);
  }
};

// When a job ends, its checkpoints are deleted at the same time as what else there is.
TEST_P(LeftoverFilesTest, WhatOthersDeleteMeanwhileKeepsNothingElse) {
  Make(5, {"1-0-0.state"});
  Make(8, {"2-0-0.state"});
  Touch("shared/2-0-0.state");
  FilesThatGo files(files_);
  CheckpointStore store(files, dir_);
  const absl::Status status =
      DeleteLeftoverFiles(files, store, kJob,
                          {.newest_complete = 6,
                           .next_id = std::numeric_limits<uint64_t>::max(),
                           .live_attempt = std::numeric_limits<uint32_t>::max(),
                           .keep_directories = {},
                           .keep_shared = {}});
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(In("shared"), IsEmpty());
}

// Of a job that had ended before the job manager was started.
class LeftoversOfEndedTest : public LeftoverFilesTest {
 protected:
  // A complete checkpoint of one task, which refers to this shared file.
  void Complete(uint64_t id, const std::string& shared) {
    ASSERT_TRUE(store_.PrepareCheckpoint(kJob, id).ok());
    proto::CheckpointMetadata metadata =
        WriteExampleFiles(store_.Folder(kJob, id), id, /*attempt=*/1);
    Touch(shared);
    metadata.add_files()->set_name(shared);
    for (proto::OperatorCheckpoint& op : *metadata.mutable_operators()) {
      op.mutable_subtasks(0)->add_files(2);
    }
    const absl::Status written = store_.Folder(kJob, id).WriteMetadata(metadata);
    ASSERT_TRUE(written.ok()) << written;
  }
  void Name(uint64_t id, const std::string& directory, bool owned = true,
            proto::CheckpointKind kind = proto::CHECKPOINT) {
    proto::JobRecord::Checkpoint& checkpoint = *record_.add_checkpoints();
    checkpoint.set_id(id);
    checkpoint.set_kind(kind);
    checkpoint.set_directory(directory);
    checkpoint.set_owned(owned);
  }
  absl::Status Look() { return DeleteLeftoversOfEnded(files_, dir_, kJob, record_); }

  proto::JobRecord record_;
};

INSTANTIATE_TEST_SUITE_P(OnDisk, LeftoversOfEndedTest, BothFileSystems(), NameOfFileSystem);

TEST_P(LeftoversOfEndedTest, AllGoesButWhatTheRecordNames) {
  Complete(4, "shared/1-0-0.state");
  Name(4, store_.Folder(kJob, 4).path());
  // What the job began from, and a savepoint of it, lie elsewhere, and may have been deleted.
  Name(3, "/elsewhere/chk-3", /*owned=*/false);
  Name(5, "/elsewhere/savepoint", /*owned=*/true, proto::SAVEPOINT);
  Make(2, {"1-0-0.state"});
  Make(6, {"2-0-0.state"});
  Touch("shared/1-0-1.state");
  Touch("shared/2-0-0.state");
  const std::vector<std::string> complete = In("chk-4");
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = Look();
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_THAT(In(""), ElementsAre("chk-4", "shared"));
    EXPECT_EQ(In("chk-4"), complete);
    EXPECT_THAT(In("shared"), ElementsAre("1-0-0.state"));
  }
}

TEST_P(LeftoversOfEndedTest, TheFolderGoesIfNothingIsKept) {
  EXPECT_TRUE(Look().ok()) << "nor is there one";
  Make(6, {"2-0-0.state"});
  Touch("shared/2-0-0.state");
  const absl::Status status = Look();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(In(""), ElementsAre("no folder"));
}

TEST_P(LeftoversOfEndedTest, NothingIsDeletedIfWhatIsKeptCannotBeRead) {
  Complete(4, "shared/1-0-0.state");
  Name(4, store_.Folder(kJob, 4).path());
  Make(6, {"2-0-0.state"});
  Touch("shared/2-0-0.state");
  const std::string metadata = store_.Folder(kJob, 4).path() + "/_metadata";
  ASSERT_TRUE(WriteFileAtomically(files_, metadata, "damaged").ok());
  EXPECT_EQ(Look().code(), absl::StatusCode::kDataLoss);
  ASSERT_TRUE(files_.Delete(metadata).ok());
  EXPECT_EQ(Look().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(In(""), ElementsAre("chk-4", "chk-6", "shared"));
  EXPECT_THAT(In("shared"), ElementsAre("1-0-0.state", "2-0-0.state"));
}

}  // namespace
}  // namespace weir::jobmanager
