// Real processes on loopback: a job with its state in RocksDB and incremental checkpoints goes on
// after kill -9 of its workers and its job manager, on the same files, and its state reads as if
// nothing had happened.
#include <signal.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cluster/cluster.h"

namespace weir::cluster {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::int64_t kCount = 40'000;

class RocksDbRecoveryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    StartJobManager();
    for (int i = 0; i < 3; ++i) {
      cluster_.StartTaskManager(1, {"taskmanager.worker.orphan-timeout=5 s"});
    }
    ASSERT_TRUE(cluster_.AwaitTaskManagers(3));
    const auto job =
        cluster_.Submit(WEIR_EVOLVING_JOB, 2, {{"count", std::to_string(kCount)}, {"rate", "8000"}},
                        {{"state.backend", "rocksdb"}});
    ASSERT_TRUE(job.ok()) << job.status();
    job_ = *job;
  }
  void TearDown() override {
    if (HasFailure()) cluster_.PrintLogs();
  }
  void StartJobManager() {
    cluster_.StartJobManager(
        {"execution.checkpointing.interval=100 ms",
         StrCat("execution.checkpointing.dir=", cluster_.folder(), "/checkpoints"),
         "execution.checkpointing.tolerable-failed-checkpoints=100"});
  }
  std::filesystem::path Folder() const {
    return cluster_.folder() + "/checkpoints/" + job_.ToString();
  }
  uint64_t NewestCheckpoint() const {
    uint64_t newest = 0;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(Folder(), ignored)) {
      const std::string name = entry.path().filename();
      if (name.rfind("chk-", 0) != 0 || !std::filesystem::exists(entry.path() / "_metadata")) {
        continue;
      }
      newest = std::max<uint64_t>(newest, std::stoull(name.substr(4)));
    }
    return newest;
  }
  bool AwaitCheckpointOf(uint32_t attempt) {
    return cluster_.AwaitStatus(job_, [&](const proto::JobStatusResponse& status) {
      return status.summary().state() == proto::RUNNING && status.attempt() >= attempt &&
             NewestCheckpoint() > before_;
    });
  }
  void KillAWorker() {
    const auto status = cluster_.Status(job_);
    ASSERT_TRUE(status.ok()) << status.status();
    ASSERT_GT(status->workers_size(), 0);
    before_ = NewestCheckpoint();
    ASSERT_EQ(kill(static_cast<pid_t>(status->workers(0).pid()), SIGKILL), 0);
  }
  // What the job has put out at its end, without repetitions.
  std::set<std::string> Results() const {
    std::set<std::string> results;
    for (const std::filesystem::path& path : FilesBelow(cluster_.folder())) {
      if (path.filename() != "stdout.log") continue;
      std::ifstream file(path);
      for (std::string line; std::getline(file, line);) {
        if (line.rfind("total> {", 0) == 0) results.insert(line);
      }
    }
    return results;
  }

  Cluster cluster_;
  JobId job_;
  uint64_t before_ = 0;
};

TEST_F(RocksDbRecoveryTest, KilledWorkersAndAKilledJobManagerChangeNoState) {
  for (uint32_t attempt = 1; attempt <= 3; ++attempt) {
    ASSERT_TRUE(AwaitCheckpointOf(attempt));
    KillAWorker();
  }
  ASSERT_TRUE(AwaitCheckpointOf(4));
  // Files of the stores lie beside the checkpoints, and those that none needs do not pile up.
  size_t shared = 0;
  for (const auto& entry : std::filesystem::directory_iterator(Folder() / "shared")) {
    EXPECT_THAT(entry.path().string(), AnyOf(HasSubstr(".sst"), HasSubstr("-log-")));
    ++shared;
  }
  EXPECT_GT(shared, 0u);
  EXPECT_LT(shared, 200u);
  const auto status = cluster_.Status(job_);
  ASSERT_TRUE(status.ok()) << status.status();
  cluster_.job_manager().Signal(SIGKILL);
  ASSERT_EQ(cluster_.job_manager().AwaitExit(absl::Seconds(10)), 128 + SIGKILL);
  before_ = NewestCheckpoint();
  ASSERT_EQ(kill(static_cast<pid_t>(status->workers(0).pid()), SIGKILL), 0);
  StartJobManager();
  ASSERT_TRUE(AwaitCheckpointOf(5));
  ASSERT_TRUE(cluster_.AwaitState(job_, proto::FINISHED, absl::Seconds(60)));
  std::set<std::string> expected;
  for (std::int64_t key = 0; key < 10; ++key) {
    std::int64_t sum = 0;
    for (std::int64_t n = key; n < kCount; n += 10) sum += n;
    expected.insert(StrCat("total> {\"key\":", key, ",\"count\":", kCount / 10,
                           ",\"began\":\"number ", key, "\",\"since\":1,\"sum\":", sum,
                           ",\"tags\":", kCount / 1000, ",\"kept\":0}"));
  }
  EXPECT_EQ(Results(), expected);
}

}  // namespace
}  // namespace weir::cluster
