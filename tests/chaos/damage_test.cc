// Real processes and real files: a state file that is cut, changed or gone fails the job with the
// file's name, and nothing is skipped or deleted; a full disk fails checkpoints and not the job.
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/chaos/oracle.h"
#include "tests/cluster/cluster.h"

namespace weir::chaos {
namespace {

using ::testing::AnyOfArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kCount = 6'000;

class DamageTest : public ::testing::Test {
 protected:
  void TearDown() override {
    if (HasFailure()) cluster_.PrintLogs();
  }
  std::string checkpoints() const { return cluster_.folder() + "/checkpoints"; }
  std::string out() const { return cluster_.folder() + "/out"; }

  void Start(const std::string& directory, const std::vector<std::string>& more = {}) {
    std::vector<std::string> settings = {
        "execution.checkpointing.interval=100 ms",
        StrCat("execution.checkpointing.dir=", directory),
        "execution.checkpointing.num-retained=3",
        "execution.checkpointing.tolerable-failed-checkpoints=1000000",
        "restart-strategy.exponential-delay.initial-backoff=50 ms",
        "restart-strategy.exponential-delay.max-backoff=200 ms"};
    settings.insert(settings.end(), more.begin(), more.end());
    cluster_.StartJobManager(settings);
    cluster_.StartTaskManager(2);
    ASSERT_TRUE(cluster_.AwaitTaskManagers(1));
    const auto job = cluster_.Submit(WEIR_CHAOS_PLUGIN, 2,
                                     {{"out", out()}, {"count", StrCat(kCount)}, {"rate", "1500"}});
    ASSERT_TRUE(job.ok()) << job.status();
    job_ = *job;
  }
  uint64_t Count(proto::JobCheckpoint::State state) {
    uint64_t count = 0;
    const auto told = cluster_.Checkpoints(job_);
    if (!told.ok()) return 0;
    for (const auto& checkpoint : told->checkpoints()) count += checkpoint.state() == state ? 1 : 0;
    return count;
  }
  bool AwaitCount(proto::JobCheckpoint::State state, uint64_t count) {
    return cluster_.AwaitStatus(job_, [&](const auto&) { return Count(state) >= count; });
  }
  // Folders of complete checkpoints, the newest last.
  std::vector<std::filesystem::path> Complete() const {
    std::vector<std::filesystem::path> folders;
    std::error_code none;
    for (const auto& entry :
         std::filesystem::directory_iterator(StrCat(checkpoints(), "/", job_.ToString()), none)) {
      if (std::filesystem::exists(entry.path() / "_metadata")) folders.push_back(entry.path());
    }
    std::sort(folders.begin(), folders.end(), [](const auto& a, const auto& b) {
      return std::stoull(a.filename().string().substr(4)) <
             std::stoull(b.filename().string().substr(4));
    });
    return folders;
  }

  cluster::Cluster cluster_;
  JobId job_;
};

void Damage(const std::filesystem::path& victim, const std::string& how) {
  if (how == "missing") {
    std::filesystem::remove(victim);
  } else if (how == "truncated") {
    std::filesystem::resize_file(victim, std::filesystem::file_size(victim) - 1);
  } else {
    std::fstream file(victim, std::ios::in | std::ios::out | std::ios::binary);
    const auto middle = static_cast<std::streamoff>(std::filesystem::file_size(victim) / 2);
    file.seekg(middle);
    const int byte = file.get();
    file.seekp(middle);
    file.put(static_cast<char>(byte ^ 1));
  }
}

class DamagedFileTest : public DamageTest,
                        public ::testing::WithParamInterface<std::tuple<const char*, const char*>> {
};

// Flink 22502, 7783: an unreadable checkpoint skipped, or its files deleted.
TEST_P(DamagedFileTest, FailsTheJobWithItsNameAndNothingIsDeleted) {
  const auto [which, how] = GetParam();
  const bool shared = std::string_view(which) != "own";
  Start(checkpoints(),
        {StrCat("state.backend=", std::string_view(which) == "sst" ? "rocksdb" : "heap")});
  ASSERT_TRUE(AwaitCount(proto::JobCheckpoint::COMPLETED, 5));
  cluster_.task_manager(0).Signal(SIGKILL);
  ASSERT_TRUE(cluster_.AwaitStatus(job_, [](const proto::JobStatusResponse& status) {
    return status.summary().state() == proto::CREATED;
  }));
  const std::vector<std::filesystem::path> complete = Complete();
  ASSERT_GE(complete.size(), 3u);
  std::vector<std::filesystem::path> files =
      cluster::FilesBelow(shared ? complete.back().parent_path() / "shared" : complete.back());
  std::erase_if(files, [](const auto& file) { return file.filename() == "_metadata"; });
  ASSERT_FALSE(files.empty());
  const auto size = [](const auto& file) { return std::filesystem::file_size(file); };
  if (!shared) {
    files = {*std::max_element(files.begin(), files.end(),
                               [&](const auto& a, const auto& b) { return size(a) < size(b); })};
  }
  // Not all that is shared is of the last checkpoint.
  std::vector<::testing::Matcher<std::string>> names;
  for (const std::filesystem::path& victim : files) {
    Damage(victim, how);
    names.push_back(HasSubstr(victim.filename().string()));
  }
  cluster_.StartTaskManager(2);
  ASSERT_TRUE(cluster_.AwaitState(job_, proto::FAILED)) << "it is no use to try again";
  const auto status = cluster_.Status(job_);
  ASSERT_TRUE(status.ok());
  EXPECT_THAT(status->failure().message(), AnyOfArray(names));
  EXPECT_EQ(Complete(), complete) << "what is left is for people to look at";
}
INSTANTIATE_TEST_SUITE_P(All, DamagedFileTest,
                         ::testing::Combine(::testing::Values("own", "shared", "sst"),
                                            ::testing::Values("missing", "truncated", "changed")),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param)) + "_" +
                                  std::get<1>(test.param);
                         });

class FullDiskTest : public DamageTest, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    ASSERT_EQ(mkdir(disk().c_str(), 0700), 0);
    ASSERT_EQ(mount("tmpfs", disk().c_str(), "tmpfs", 0, "size=16m"), 0) << strerror(errno);
  }
  void TearDown() override {
    DamageTest::TearDown();
    EXPECT_EQ(umount2(disk().c_str(), MNT_DETACH), 0);
  }
  std::string disk() const { return cluster_.folder() + "/disk"; }
  void FillTheDisk() {
    std::ofstream filler(disk() + "/filler");
    const std::string block(64 << 10, 'x');
    while (filler.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }
  // With room again the job comes to its end, and leaves nothing.
  void MakeRoomAndAwaitTheEnd() {
    ASSERT_TRUE(std::filesystem::remove(disk() + "/filler"));
    ASSERT_TRUE(cluster_.AwaitState(job_, proto::FINISHED, absl::Minutes(1)));
    EXPECT_THAT(Verify(out(), {.count = kCount, .keys = 64, .copies = 2}), IsEmpty());
  }
  // A checkpoint that failed since says that there is no room.
  bool SaysThatItIsFull() {
    const auto told = cluster_.Checkpoints(job_);
    if (!told.ok()) return false;
    for (const auto& checkpoint : told->checkpoints()) {
      if (checkpoint.failure().find("No space left") != std::string::npos ||
          checkpoint.failure().find("is full") != std::string::npos) {
        return true;
      }
    }
    return false;
  }
};

TEST_P(FullDiskTest, FailsCheckpointsAndNotTheJobWhichGoesOnOnceThereIsRoom) {
  Start(disk() + "/checkpoints", {StrCat("state.backend=", GetParam())});
  ASSERT_TRUE(AwaitCount(proto::JobCheckpoint::COMPLETED, 3));
  FillTheDisk();
  ASSERT_TRUE(AwaitCount(proto::JobCheckpoint::FAILED, 3));
  EXPECT_TRUE(SaysThatItIsFull());
  EXPECT_EQ(cluster_.Status(job_)->summary().state(), proto::RUNNING);
  // Killed meanwhile it begins at the last that was complete.
  ASSERT_EQ(kill(static_cast<pid_t>(cluster_.Status(job_)->workers(0).pid()), SIGKILL), 0);
  ASSERT_TRUE(cluster_.AwaitStatus(job_, [](const proto::JobStatusResponse& status) {
    return status.summary().state() == proto::RUNNING && status.attempt() >= 2;
  }));
  MakeRoomAndAwaitTheEnd();
  cluster_.AwaitStatus(
      job_, [&](const auto&) { return std::filesystem::is_empty(disk() + "/checkpoints"); },
      absl::Seconds(5));
}
INSTANTIATE_TEST_SUITE_P(All, FullDiskTest, ::testing::Values("heap", "rocksdb"),
                         [](const auto& test) { return std::string(test.param); });

using FullLocalDiskTest = FullDiskTest;

// The disk with the files of RocksDB: what is in memory cannot be written, so checkpoints fail.
TEST_F(FullLocalDiskTest, IsNamedAndTheJobGoesOnFromItsLastCheckpointOnceThereIsRoom) {
  Start(checkpoints(),
        {"state.backend=rocksdb", StrCat("state.backend.rocksdb.localdir=", disk(), "/local")});
  ASSERT_TRUE(AwaitCount(proto::JobCheckpoint::COMPLETED, 3));
  FillTheDisk();
  const std::string setting = "state.backend.rocksdb.localdir";
  // Either a checkpoint has failed, or the task.
  ASSERT_TRUE(cluster_.AwaitStatus(job_, [&](const proto::JobStatusResponse& status) {
    bool named = status.failure().message().find(setting) != std::string::npos;
    const auto told = cluster_.Checkpoints(job_);
    for (int i = 0; told.ok() && i < told->checkpoints_size(); ++i)
      named |= told->checkpoints(i).failure().find(setting) != std::string::npos;
    return named;
  }));
  EXPECT_NE(cluster_.Status(job_)->summary().state(), proto::FAILED);
  MakeRoomAndAwaitTheEnd();
}

}  // namespace
}  // namespace weir::chaos
