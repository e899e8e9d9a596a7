#include "common/env/sim/sim_file_system.h"

#include <memory>
#include <set>
#include <string>

#include "common/base/strings.h"
#include "common/env/file_system_conformance.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

class SimHarness final : public FileSystemHarness {
 public:
  SimHarness() { EXPECT_TRUE(files().CreateDirectories(folder()).ok()); }
  FileSystem& files() override { return env_.files(); }
  std::string folder() override { return "/data/test"; }

 private:
  SimWorld world_;
  SimEnv& env_ = world_.StartProcess("a");
};

INSTANTIATE_TEST_SUITE_P(Simulated, FileSystemConformanceTest,
                         testing::Values([] { return std::make_unique<SimHarness>(); }));

class SimDiskTest : public testing::Test {
 protected:
  std::string Read(const std::string& path) {
    const auto content = ReadFile(env_->files(), path, 1 << 20);
    return content.ok() ? *content : std::string(absl::StatusCodeToString(content.status().code()));
  }
  std::unique_ptr<WritableFile> Open(const std::string& path) {
    return *env_->files().OpenForWrite(path, FileSystem::WriteMode::kTruncate);
  }
  void CrashAndRestart(SimDisk::Loss loss) {
    world_.CrashHost("a", loss);
    env_ = &world_.StartProcess("a");
  }

  SimWorld world_;
  SimEnv* env_ = &world_.StartProcess("a");
};

TEST_F(SimDiskTest, FilesSurviveTheRestartOfAProcess) {
  ASSERT_TRUE(Open("/f")->Append("not synced").ok());
  world_.KillProcess(*env_);
  env_ = &world_.StartProcess("a");
  EXPECT_EQ(Read("/f"), "not synced");
}

TEST_F(SimDiskTest, TheProcessesOfAHostShareItsDiskAndOtherHostsHaveTheirOwn) {
  ASSERT_TRUE(Open("/f")->Append("x").ok());
  EXPECT_EQ(*ReadFile(world_.StartProcess("worker", "a").files(), "/f", 10), "x");
  EXPECT_TRUE(absl::IsNotFound(world_.StartProcess("b").files().Stat("/f").status()));
}

TEST_F(SimDiskTest, ASharedFolderIsOneForAllHostsAndNoCrashTouchesIt) {
  world_.ShareFolder("/shared");
  ASSERT_TRUE(env_->files().CreateDirectories("/shared/a").ok());
  ASSERT_TRUE(Open("/shared/a/f")->Append("not synced").ok());
  ASSERT_TRUE(Open("/sharedf")->Append("own").ok());
  SimEnv& other = world_.StartProcess("b");
  EXPECT_EQ(*ReadFile(other.files(), "/shared/a/f", 100), "not synced");
  EXPECT_FALSE(other.files().Stat("/sharedf").ok());
  CrashAndRestart(SimDisk::Loss::kAllUnsynced);
  EXPECT_EQ(Read("/shared/a/f"), "not synced");
}

TEST_F(SimDiskTest, ACrashOfTheHostLosesWhatWasNotSynced) {
  auto file = Open("/f");
  ASSERT_TRUE(file->Append("synced").ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(file->Append(" and not").ok());
  ASSERT_TRUE(env_->files().SyncDirectory("/").ok());
  ASSERT_TRUE(Open("/nameless")->Append("x").ok());
  CrashAndRestart(SimDisk::Loss::kAllUnsynced);
  EXPECT_EQ(Read("/f"), "synced");
  EXPECT_EQ(Read("/nameless"), "NOT_FOUND");
  EXPECT_TRUE(absl::IsUnavailable(file->Append("from the dead")));
}

TEST_F(SimDiskTest, ASyncedFileInAFolderThatWasNotSyncedLosesItsName) {
  auto file = Open("/f");
  ASSERT_TRUE(file->Append("x").ok());
  ASSERT_TRUE(file->Sync().ok());
  CrashAndRestart(SimDisk::Loss::kAllUnsynced);
  EXPECT_EQ(Read("/f"), "NOT_FOUND");
}

TEST_F(SimDiskTest, AnAtomicWriteIsDurableAsAWholeWhateverIsLost) {
  for (const auto loss : {SimDisk::Loss::kAllUnsynced, SimDisk::Loss::kSomeUnsynced}) {
    ASSERT_TRUE(WriteFileAtomically(env_->files(), "/f", "one").ok());
    ASSERT_TRUE(WriteFileAtomically(env_->files(), "/f", "two").ok());
    CrashAndRestart(loss);
    EXPECT_EQ(Read("/f"), "two");
  }
}

TEST_F(SimDiskTest, APartialLossLeavesARenamedFileAName) {
  std::set<std::string> outcomes;
  for (int i = 0; i < 60; ++i) {
    ASSERT_TRUE(env_->files().DeleteRecursively("/a").ok());
    ASSERT_TRUE(env_->files().DeleteRecursively("/b").ok());
    ASSERT_TRUE(env_->files().CreateDirectories("/a").ok());
    ASSERT_TRUE(env_->files().CreateDirectories("/b").ok());
    ASSERT_TRUE(WriteFileAtomically(env_->files(), "/a/old", "x").ok());
    ASSERT_TRUE(env_->files().Rename("/a/old", "/b/new").ok());
    if (i % 3 == 1) {
      ASSERT_TRUE(env_->files().SyncDirectory("/a").ok());
    }
    if (i % 3 == 2) {
      ASSERT_TRUE(env_->files().SyncDirectory("/b").ok());
    }
    CrashAndRestart(SimDisk::Loss::kSomeUnsynced);
    const std::string names =
        StrCat(Read("/a/old") == "x" ? "old" : "", Read("/b/new") == "x" ? "new" : "");
    EXPECT_NE(names, "") << i;
    if (i % 3 == 1) {
      EXPECT_EQ(names, "new");
    }
    outcomes.insert(names);
  }
  EXPECT_EQ(outcomes.size(), 3u) << "either, and both";
}

TEST_F(SimDiskTest, APartialLossKeepsAPrefixOfTheUnsyncedEnd) {
  bool torn = false;
  for (int i = 0; i < 50; ++i) {
    auto file = Open("/f");
    ASSERT_TRUE(env_->files().SyncDirectory("/").ok());
    ASSERT_TRUE(file->Append("12345").ok());
    ASSERT_TRUE(file->Sync().ok());
    ASSERT_TRUE(file->Append("67890").ok());
    CrashAndRestart(SimDisk::Loss::kSomeUnsynced);
    const std::string left = Read("/f");
    ASSERT_GE(left.size(), 5u);
    ASSERT_EQ(left, std::string("1234567890").substr(0, left.size()));
    torn |= left.size() > 5 && left.size() < 10;
  }
  EXPECT_TRUE(torn);
}

TEST_F(SimDiskTest, AFullDiskWritesWhatFitsAndSaysSo) {
  world_.disk("a").set_capacity_bytes(8);
  auto file = Open("/f");
  ASSERT_TRUE(file->Append("12345").ok());
  const absl::Status full = file->Append("67890");
  EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
  EXPECT_EQ(Read("/f"), "12345678");
  ASSERT_TRUE(env_->files().Delete("/f").ok());
  EXPECT_TRUE(Open("/g")->Append("1234").ok());
}

TEST_F(SimDiskTest, AFaultFailsTheOperationsItChooses) {
  world_.disk("a").set_fault([](std::string_view operation, const std::string& path) {
    if (operation == "sync" && path == "/f") return absl::UnavailableError("syncing '/f': EIO");
    return absl::OkStatus();
  });
  auto file = Open("/f");
  EXPECT_TRUE(file->Append("x").ok());
  EXPECT_TRUE(absl::IsUnavailable(file->Sync()));
  EXPECT_TRUE(Open("/g")->Sync().ok());
}

}  // namespace
}  // namespace weir
