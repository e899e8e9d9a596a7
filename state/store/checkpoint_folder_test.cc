#include "state/store/checkpoint_folder.h"

#include <memory>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/checkpoint.pb.h"
#include "state/testing/example_checkpoint.h"
#include "state/testing/file_systems.h"

namespace weir {
namespace {

using testing::HasSubstr;
using FileCheck = CheckpointFolder::FileCheck;

std::string Message(const absl::Status& status) { return std::string(ToStd(status.message())); }

class CheckpointFolderTest : public testing::TestWithParam<FilesUnderTestFactory> {
 protected:
  CheckpointFolder Folder(const std::string& name) {
    return CheckpointFolder(files_, dir_ + "/" + name);
  }
  // A complete checkpoint.
  proto::CheckpointMetadata Write(const std::string& name,
                                  proto::CheckpointKind kind = proto::CHECKPOINT) {
    CheckpointFolder folder = Folder(name);
    EXPECT_TRUE(folder.Prepare().ok());
    proto::CheckpointMetadata metadata = WriteExampleFiles(folder, 5);
    metadata.set_kind(kind);
    const absl::Status status = folder.WriteMetadata(metadata);
    EXPECT_TRUE(status.ok()) << status;
    return metadata;
  }
  static std::string Read(CheckpointFolder folder) {
    proto::CheckpointMetadata metadata;
    const absl::Status status = folder.ReadMetadata(&metadata);
    return status.ok() ? metadata.SerializeAsString() : status.ToString();
  }
  void Overwrite(const std::string& path, std::string_view content) {
    auto file = files_.OpenForWrite(dir_ + "/" + path, FileSystem::WriteMode::kTruncate);
    ASSERT_TRUE(file.ok() && (*file)->Append(content).ok());
  }

  const std::unique_ptr<FilesUnderTest> disk_ = GetParam()();
  FileSystem& files_ = disk_->files();
  const std::string dir_ = disk_->folder();
};

INSTANTIATE_TEST_SUITE_P(OnDisk, CheckpointFolderTest, BothFileSystems(), NameOfFileSystem);

TEST_P(CheckpointFolderTest, WhatIsWrittenIsReadByTheFolderOrItsMetadata) {
  const proto::CheckpointMetadata written = Write("job/chk-5");
  for (const char* path : {"job/chk-5", "job/chk-5/", "job/chk-5//", "job/chk-5/_metadata"}) {
    CheckpointFolder folder = Folder(path);
    EXPECT_EQ(folder.path(), dir_ + "/job/chk-5");
    EXPECT_EQ(Read(folder), written.SerializeAsString());
    EXPECT_TRUE(folder.CheckFiles(written, FileCheck::kSize).ok());
    EXPECT_TRUE(folder.CheckFiles(written, FileCheck::kDigest).ok());
    const auto reader = folder.OpenStateFile("1-0-1.state");
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ((*reader)->sections()[0].entries[0].key_group, 64u);
  }
}

TEST_P(CheckpointFolderTest, ASavepointMayBeMoved) {
  const proto::CheckpointMetadata written = Write("a/savepoint", proto::SAVEPOINT);
  ASSERT_TRUE(files_.CreateDirectories(dir_ + "/b").ok());
  ASSERT_TRUE(files_.Rename(dir_ + "/a/savepoint", dir_ + "/b/elsewhere").ok());
  CheckpointFolder moved = Folder("b/elsewhere");
  EXPECT_EQ(Read(moved), written.SerializeAsString());
  EXPECT_TRUE(moved.CheckFiles(written, FileCheck::kDigest).ok());
}

TEST_P(CheckpointFolderTest, AnotherPathSaysWhatIsWrongWithIt) {
  Write("job/chk-5");
  ASSERT_TRUE(Folder("job/chk-6").Prepare().ok());
  const auto error = [&](const std::string& path) {
    proto::CheckpointMetadata metadata;
    const absl::Status status = Folder(path).ReadMetadata(&metadata);
    EXPECT_TRUE(absl::IsNotFound(status)) << path << ": " << status;
    return Message(status);
  };
  EXPECT_THAT(error("none"), HasSubstr("there is no folder '" + dir_ + "/none'"));
  EXPECT_THAT(error("job"), HasSubstr("name one of them, such as '" + dir_ + "/job/chk-5'"));
  EXPECT_THAT(error("job/chk-6"), HasSubstr("is no complete checkpoint or savepoint"));
  EXPECT_THAT(error("job/chk-5/1-0-0.state"), HasSubstr("is a file"));
}

TEST_P(CheckpointFolderTest, DamagedMetadataIsRefusedByName) {
  Write("chk");
  std::string content = *ReadFile(files_, dir_ + "/chk/_metadata", 1 << 20);
  content[40] ^= 1;
  Overwrite("chk/_metadata", content);
  proto::CheckpointMetadata metadata;
  const absl::Status status = Folder("chk").ReadMetadata(&metadata);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(Message(status), HasSubstr(dir_ + "/chk/_metadata"));
  EXPECT_THAT(Message(status), HasSubstr("wrong digest"));
}

TEST_P(CheckpointFolderTest, MetadataIsNeverOverwrittenAndTheSameMayBeWrittenAgain) {
  const proto::CheckpointMetadata written = Write("chk");
  EXPECT_TRUE(Folder("chk").WriteMetadata(written).ok());
  proto::CheckpointMetadata other = written;
  other.set_job_name("other");
  const absl::Status status = Folder("chk").WriteMetadata(other);
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_TRUE(absl::IsAlreadyExists(Folder("chk").Prepare()));
  EXPECT_EQ(Read(Folder("chk")), written.SerializeAsString());
}

TEST_P(CheckpointFolderTest, WrongMetadataIsNotWritten) {
  ASSERT_TRUE(Folder("chk").Prepare().ok());
  proto::CheckpointMetadata metadata = ExampleMetadata(5);
  metadata.add_files()->set_name("../x.state");
  const absl::Status status = Folder("chk").WriteMetadata(metadata);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_TRUE(files_.List(dir_ + "/chk")->empty());
}

TEST_P(CheckpointFolderTest, StateFilesAreMadeOnceAndOnlyInTheFolder) {
  ASSERT_TRUE(Folder("chk").Prepare().ok());
  CheckpointFolder folder = Folder("chk");
  ASSERT_TRUE(folder.CreateStateFile("1-0-0.state").ok());
  EXPECT_TRUE(absl::IsAlreadyExists(folder.CreateStateFile("1-0-0.state").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(folder.CreateStateFile("../1.state").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(folder.OpenStateFile("../1.state").status()));
  EXPECT_EQ(*folder.StateFilePath("1-0-0.state"), dir_ + "/chk/1-0-0.state");
  EXPECT_EQ(*folder.StateFilePath("shared/7"), dir_ + "/shared/7");
  EXPECT_EQ(StateFileName(3, 1, 20), "3-1-20.state");
}

TEST_P(CheckpointFolderTest, AFileThatIsMissingOrChangedIsFound) {
  const proto::CheckpointMetadata written = Write("chk");
  const std::string path = dir_ + "/chk/1-0-1.state";
  std::string content = *ReadFile(files_, path, 1 << 20);
  const auto check = [&](FileCheck how) {
    const absl::Status status = Folder("chk").CheckFiles(written, how);
    EXPECT_TRUE(status.ok() || absl::IsDataLoss(status)) << status;
    if (!status.ok()) {
      EXPECT_THAT(Message(status), HasSubstr("checkpoint 5"));
      EXPECT_THAT(Message(status), HasSubstr(path));
    }
    return status.ok() ? "" : Message(status);
  };
  content[500] ^= 1;
  Overwrite("chk/1-0-1.state", content);
  EXPECT_EQ(check(FileCheck::kSize), "");
  EXPECT_THAT(check(FileCheck::kDigest), HasSubstr("wrong digest"));
  content.pop_back();
  Overwrite("chk/1-0-1.state", content);
  EXPECT_THAT(check(FileCheck::kSize), HasSubstr(StrCat("has ", content.size(), " bytes")));
  ASSERT_TRUE(files_.Delete(path).ok());
  EXPECT_THAT(check(FileCheck::kSize), HasSubstr("is missing"));
  ASSERT_TRUE(files_.CreateDirectories(path).ok());
  EXPECT_THAT(check(FileCheck::kSize), HasSubstr("is a folder"));
}

TEST_P(CheckpointFolderTest, ASharedFileIsCheckedBesideTheFolder) {
  ASSERT_TRUE(Folder("job/chk-5").Prepare().ok());
  ASSERT_TRUE(files_.CreateDirectories(dir_ + "/job/shared").ok());
  Overwrite("job/shared/1.sst", "content");
  proto::CheckpointMetadata metadata = ExampleMetadata(5);
  metadata.add_files()->set_name("shared/1.sst");
  metadata.mutable_files(0)->set_bytes(7);
  EXPECT_TRUE(Folder("job/chk-5").CheckFiles(metadata, FileCheck::kSize).ok());
  metadata.mutable_files(0)->set_bytes(8);
  EXPECT_TRUE(absl::IsDataLoss(Folder("job/chk-5").CheckFiles(metadata, FileCheck::kSize)));
}

TEST_P(CheckpointFolderTest, DeletingTakesAllAndMayBeRepeated) {
  Write("job/chk-5");
  Overwrite("job/chk-5/_metadata.tmp", "torn");
  EXPECT_TRUE(Folder("job/chk-5").Delete().ok());
  EXPECT_TRUE(absl::IsNotFound(files_.Stat(dir_ + "/job/chk-5").status()));
  EXPECT_TRUE(Folder("job/chk-5").Delete().ok());
  EXPECT_TRUE(Folder("none/chk-5").Delete().ok());
}

TEST_P(CheckpointFolderTest, DeletingLeavesWhatIsNotWeirs) {
  Write("savepoint");
  Overwrite("savepoint/thesis.txt", "years of work");
  const absl::Status status = Folder("savepoint").Delete();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(Message(status), HasSubstr("thesis.txt"));
  const auto left = files_.List(dir_ + "/savepoint");
  ASSERT_EQ(left->size(), 1u);
  EXPECT_EQ(left->front().path, dir_ + "/savepoint/thesis.txt");
}

TEST(CheckpointFolderFaultTest, ErrorsOfTheDiskSayWhatToDo) {
  SimulatedFiles disk;
  CheckpointFolder folder(disk.files(), disk.folder() + "/chk");
  ASSERT_TRUE(folder.Prepare().ok());
  const proto::CheckpointMetadata metadata = WriteExampleFiles(folder, 5);
  disk.disk().set_fault([](std::string_view operation, const std::string& path) {
    if (operation != "create" && operation != "mkdir") return absl::OkStatus();
    return absl::PermissionDeniedError(StrCat("making '", path, "': Read-only file system"));
  });
  for (const absl::Status& status :
       {folder.WriteMetadata(metadata), folder.CreateStateFile("2-0-0.state").status(),
        CheckpointFolder(disk.files(), "/new/chk").Prepare()}) {
    EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
    EXPECT_THAT(Message(status), HasSubstr("must be able to read and write there"));
  }
}

TEST(CheckpointFolderFaultTest, APreparedFolderAndItsParentsSyncTheirNames) {
  SimulatedFiles disk;
  std::vector<std::string> synced;
  disk.disk().set_fault([&](std::string_view operation, const std::string& path) {
    if (operation == "sync") synced.push_back(path);
    return absl::OkStatus();
  });
  ASSERT_TRUE(CheckpointFolder(disk.files(), "/a/b/c/d").Prepare().ok());
  EXPECT_THAT(synced, testing::ElementsAre("/a/b/c", "/a/b", "/a", "/"));
  synced.clear();
  ASSERT_TRUE(CheckpointFolder(disk.files(), "/a/b/c/e").Prepare().ok());
  EXPECT_THAT(synced, testing::ElementsAre("/a/b/c"));
}

}  // namespace
}  // namespace weir
