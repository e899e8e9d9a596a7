#include "connectors/files/files_committer.h"

#include "common/base/strings.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

class FilesCommitterTest : public ::testing::Test {
 protected:
  void Put(const std::string& path, std::string_view content) {
    ASSERT_TRUE(files().CreateDirectories(path.substr(0, path.rfind('/'))).ok());
    ASSERT_TRUE(WriteFileAtomically(files(), path, content).ok());
  }
  absl::Status Commit(const FileCommittable& file, bool again = false) {
    const std::string bytes = EncodeCommittable(file);
    return committer_.Commit({{bytes, again}});
  }
  std::string Content(const std::string& path) {
    const auto content = ReadFile(files(), path, 1 << 20);
    return content.ok() ? *content : absl::StatusCodeToString(content.status().code());
  }
  FileSystem& files() { return env_->files(); }

  SimWorld world_;
  SimEnv* env_ = &world_.StartProcess("worker", "host");
  const FilesCommitter::Vanished vanished_ = std::make_shared<std::atomic<uint64_t>>(0);
  FilesCommitter committer_{env_->files(), vanished_};
  const FileCommittable file_{"/out/.inprogress/x", "/out/day/part", 5, false};
};

TEST(FileCommittable, EveryChangeOfItsBytesIsFoundOrIsAnotherOne) {
  const FileCommittable file{"/a/.inprogress/x y", "/a/7 z", 12, true};
  const std::string bytes = EncodeCommittable(file);
  EXPECT_EQ(bytes, "1 12 1 18 /a/.inprogress/x y6 /a/7 z");
  ASSERT_TRUE(DecodeCommittable(bytes).ok());
  EXPECT_EQ(*DecodeCommittable(bytes), file);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(DecodeCommittable(bytes.substr(0, size)).status().code(), absl::StatusCode::kDataLoss)
        << size;
  }
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(value);
      const auto decoded = DecodeCommittable(damaged);
      if (!decoded.ok()) {
        EXPECT_EQ(decoded.status().code(), absl::StatusCode::kDataLoss);
      } else if (damaged != bytes) {
        EXPECT_FALSE(*decoded == file) << at << " " << value;
      }
    }
  }
  EXPECT_FALSE(DecodeCommittable(bytes + "x").ok());
}

TEST_F(FilesCommitterTest, AFinishedFileGetsItsNameForGood) {
  Put(file_.hidden, "hello");
  ASSERT_TRUE(Commit(file_).ok());
  EXPECT_EQ(Content(file_.visible), "hello");
  EXPECT_EQ(Content(file_.hidden), "NOT_FOUND");
  world_.CrashHost("host", SimDisk::Loss::kAllUnsynced);
  env_ = &world_.StartProcess("again", "host");
  EXPECT_EQ(Content(file_.visible), "hello");
}

TEST_F(FilesCommitterTest, ACommitThatIsRepeatedIsDone) {
  Put(file_.hidden, "hello");
  ASSERT_TRUE(Commit(file_).ok());
  EXPECT_TRUE(Commit(file_, true).ok());
  EXPECT_TRUE(Commit(file_, false).ok());
  EXPECT_EQ(Content(file_.visible), "hello");
  // Both names, as after a crash of the host.
  Put(file_.hidden, "hello");
  EXPECT_TRUE(Commit(file_, true).ok());
  EXPECT_EQ(Content(file_.hidden), "NOT_FOUND");
  EXPECT_EQ(Content(file_.visible), "hello");
  EXPECT_EQ(vanished_->load(), 0u);
}

TEST_F(FilesCommitterTest, AFileThatSomebodyTookAwayAfterItsCommitCounts) {
  EXPECT_TRUE(Commit(file_, true).ok());
  EXPECT_EQ(vanished_->load(), 1u);
  const absl::Status lost = Commit(file_, false);
  EXPECT_EQ(lost.code(), absl::StatusCode::kDataLoss) << "it was never committed";
  EXPECT_THAT(lost.ToString(), HasSubstr("'/out/.inprogress/x' has vanished"));
}

TEST_F(FilesCommitterTest, AnotherFileOfThatNameIsNotTouchedUnlessItIsReplaced) {
  Put(file_.hidden, "hello");
  Put(file_.visible, "precious");
  EXPECT_EQ(Commit(file_).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Commit(file_, true).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Content(file_.visible), "precious");
  FileCommittable replacing = file_;
  replacing.replaces = true;
  EXPECT_TRUE(Commit(replacing).ok());
  EXPECT_EQ(Content(file_.visible), "hello");
}

TEST_F(FilesCommitterTest, AFileThatHasAnotherSizeIsDamaged) {
  Put(file_.hidden, "hell");
  const absl::Status status = Commit(file_);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.ToString(), HasSubstr("has 4 bytes, not 5"));
  EXPECT_EQ(Content(file_.visible), "NOT_FOUND");
}

TEST_F(FilesCommitterTest, AnErrorOfTheDiskIsPassedOnAndTheNextTryDoesTheRest) {
  for (const std::string failing : {"stat", "mkdir", "rename", "sync"}) {
    SCOPED_TRACE(failing);
    FileCommittable first = file_;
    first.visible = StrCat("/", failing, "/sub/first");
    FileCommittable second = first;
    second.hidden += "2";
    second.visible = StrCat("/", failing, "/sub/second");
    Put(first.hidden, "hello");
    Put(second.hidden, "world");
    const std::string first_bytes = EncodeCommittable(first);
    const std::string second_bytes = EncodeCommittable(second);
    world_.disk("host").set_fault([&](std::string_view operation, const std::string& path) {
      return operation == failing && path.find(".inprogress/x2") != std::string::npos
                 ? absl::UnavailableError("EIO")
             : operation == failing && failing != "rename" && failing != "stat"
                 ? absl::UnavailableError("EIO")
                 : absl::OkStatus();
    });
    EXPECT_EQ(committer_.Commit({{first_bytes, false}, {second_bytes, false}}).code(),
              absl::StatusCode::kUnavailable);
    world_.disk("host").set_fault(nullptr);
    EXPECT_TRUE(committer_.Commit({{first_bytes, true}, {second_bytes, true}}).ok());
    EXPECT_EQ(Content(first.visible), "hello");
    EXPECT_EQ(Content(second.visible), "world");
  }
}

}  // namespace
}  // namespace weir
