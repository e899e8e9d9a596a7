// Real processes on loopback: a job with checkpoints goes on after kill -9 of its workers, its task
// managers and its job manager, and its results are those of a job that nobody has disturbed.
#include <signal.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cluster/cluster.h"

namespace weir::cluster {
namespace {

constexpr std::int64_t kCount = 40'000;

class RecoveryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    StartJobManager();
    for (int i = 0; i < 3; ++i) {
      cluster_.StartTaskManager(1, {"taskmanager.worker.orphan-timeout=5 s"});
    }
    ASSERT_TRUE(cluster_.AwaitTaskManagers(3));
    Submit({});
  }
  void Submit(std::map<std::string, std::string> arguments) {
    arguments.insert({{"count", std::to_string(kCount)}, {"rate", "8000"}});
    const auto job = cluster_.Submit(WEIR_NUMBERS_JOB, 2, arguments);
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
  void KillJobManager() {
    cluster_.job_manager().Signal(SIGKILL);
    ASSERT_EQ(cluster_.job_manager().AwaitExit(absl::Seconds(10)), 128 + SIGKILL);
  }
  std::vector<int64_t> Pids() {
    std::vector<int64_t> pids;
    const auto status = cluster_.Status(job_);
    EXPECT_TRUE(status.ok()) << status.status();
    if (!status.ok()) return pids;
    for (const auto& worker : status->workers()) pids.push_back(worker.pid());
    return pids;
  }

  // The attempt runs and a checkpoint of it is complete.
  bool AwaitCheckpointOf(uint32_t attempt) {
    return cluster_.AwaitStatus(job_, [&](const proto::JobStatusResponse& status) {
      return status.summary().state() == proto::RUNNING && status.attempt() >= attempt &&
             NewestCheckpoint() > before_;
    });
  }
  // The highest id of a folder with metadata.
  uint64_t NewestCheckpoint() const {
    uint64_t newest = 0;
    std::error_code ignored;
    const std::filesystem::path folder = cluster_.folder() + "/checkpoints/" + job_.ToString();
    for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
      const std::string name = entry.path().filename();
      if (name.rfind("chk-", 0) != 0 || !std::filesystem::exists(entry.path() / "_metadata")) {
        continue;
      }
      newest = std::max<uint64_t>(newest, std::stoull(name.substr(4)));
    }
    return newest;
  }
  void KillAWorker() {
    const auto status = cluster_.Status(job_);
    ASSERT_TRUE(status.ok()) << status.status();
    ASSERT_GT(status->workers_size(), 0);
    before_ = NewestCheckpoint();
    ASSERT_EQ(kill(static_cast<pid_t>(status->workers(0).pid()), SIGKILL), 0);
  }

  // All lines that tasks have printed, also those that were killed.
  std::vector<std::string> Printed() const {
    std::vector<std::string> lines;
    for (const std::filesystem::path& path : FilesBelow(cluster_.folder())) {
      std::ifstream file(path);
      for (std::string line; std::getline(file, line);) lines.push_back(line);
    }
    return lines;
  }
  // (key, sum) of every result that any attempt has printed.
  std::set<std::pair<int64_t, int64_t>> Results() const {
    std::set<std::pair<int64_t, int64_t>> results;
    for (const std::string& line : Printed()) {
      if (line.rfind("sum> {", 0) != 0) continue;
      const size_t key = line.find("\"key\":");
      const size_t value = line.find("\"value\":");
      // The end of a process that was killed may cut a line.
      if (key == std::string::npos || value == std::string::npos || line.back() != '}') continue;
      results.emplace(std::stoll(line.substr(key + 6)), std::stoll(line.substr(value + 8)));
    }
    return results;
  }

  Cluster cluster_;
  JobId job_;
  uint64_t before_ = 0;
};

// Ten keys; a window is a thousand numbers.
std::set<std::pair<int64_t, int64_t>> Expected() {
  std::set<std::pair<int64_t, int64_t>> sums;
  for (int64_t begin = 0; begin < kCount; begin += 1000) {
    for (int64_t key = 0; key < 10; ++key) {
      int64_t sum = 0;
      for (int64_t n = begin + key; n < begin + 1000; n += 10) sum += n;
      sums.emplace(key, sum);
    }
  }
  return sums;
}

TEST_F(RecoveryTest, KilledWorkersAndTaskManagersChangeNoResult) {
  ASSERT_TRUE(AwaitCheckpointOf(1));
  KillAWorker();
  ASSERT_TRUE(AwaitCheckpointOf(2)) << "it goes on by itself";
  before_ = NewestCheckpoint();
  cluster_.task_manager(0).Signal(SIGKILL);
  ASSERT_TRUE(AwaitCheckpointOf(2));
  KillAWorker();
  ASSERT_TRUE(cluster_.AwaitState(job_, proto::FINISHED, absl::Seconds(60)));
  const auto status = cluster_.Status(job_);
  ASSERT_TRUE(status.ok());
  EXPECT_GE(status->attempt(), 3u);
  // Replayed windows are printed again, with the same sums: a print sink is no part of a
  // checkpoint.
  EXPECT_EQ(Results(), Expected());
  uint64_t numbers = 0;
  for (const auto& task : status->tasks()) {
    for (const auto& metrics : task.operators()) {
      if (status->graph().nodes(static_cast<int>(metrics.node())).uid() == "numbers") {
        numbers += metrics.records_out();
      }
    }
  }
  EXPECT_LT(numbers, static_cast<uint64_t>(kCount)) << "it did not begin at the beginning";
}

TEST_F(RecoveryTest, AKilledJobManagerInterruptsNothingOnceItIsBack) {
  ASSERT_TRUE(AwaitCheckpointOf(1));
  const std::vector<int64_t> workers = Pids();
  const auto first = cluster_.Info();
  for (int kill = 0; kill < 3; ++kill) {
    KillJobManager();
    before_ = NewestCheckpoint();
    StartJobManager();
    ASSERT_TRUE(AwaitCheckpointOf(1)) << "checkpoints go on, with ids that grow";
    EXPECT_EQ(Pids(), workers) << "the tasks were never interrupted";
  }
  EXPECT_EQ(cluster_.Info()->leader_epoch(), first->leader_epoch() + 3);
  ASSERT_TRUE(cluster_.AwaitState(job_, proto::FINISHED, absl::Seconds(60)));
  EXPECT_EQ(cluster_.Status(job_)->attempt(), 1u);
  EXPECT_EQ(Results(), Expected());
  KillJobManager();
  StartJobManager();
  EXPECT_EQ(cluster_.Status(job_)->summary().state(), proto::FINISHED);
}

TEST_F(RecoveryTest, JobManagerAndWorkerKilledTogetherTheJobGoesOnFromACheckpoint) {
  ASSERT_TRUE(AwaitCheckpointOf(1));
  const std::vector<int64_t> workers = Pids();
  ASSERT_FALSE(workers.empty());
  KillJobManager();
  before_ = NewestCheckpoint();
  ASSERT_EQ(kill(static_cast<pid_t>(workers[0]), SIGKILL), 0);
  StartJobManager();
  ASSERT_TRUE(AwaitCheckpointOf(2));
  ASSERT_TRUE(cluster_.AwaitState(job_, proto::FINISHED, absl::Seconds(60)));
  EXPECT_EQ(cluster_.Status(job_)->attempt(), 2u);
  EXPECT_EQ(Results(), Expected());
}

TEST_F(RecoveryTest, AwayForTooLongItsWorkersEndAndTheNextOneStartsTheJobFromACheckpoint) {
  ASSERT_TRUE(AwaitCheckpointOf(1));
  const std::vector<int64_t> workers = Pids();
  KillJobManager();
  before_ = NewestCheckpoint();
  for (const int64_t worker : workers) {
    EXPECT_TRUE(cluster_.AwaitGone(worker, absl::Seconds(20)));
  }
  StartJobManager();
  ASSERT_TRUE(AwaitCheckpointOf(2));
  ASSERT_TRUE(cluster_.AwaitState(job_, proto::FINISHED, absl::Seconds(60)));
  EXPECT_EQ(cluster_.Status(job_)->attempt(), 2u);
  EXPECT_EQ(Results(), Expected());
}

TEST_F(RecoveryTest, RegionsOfAWorkerThatIsNotKilledRunOnAndRepeatNothing) {
  constexpr int64_t kApart = 6'000;
  ASSERT_TRUE(cluster_.Cancel(job_).ok());
  ASSERT_TRUE(cluster_.AwaitState(job_, proto::CANCELED, absl::Seconds(20)));
  Submit({{"apart", std::to_string(kApart)}});
  before_ = 0;
  ASSERT_TRUE(AwaitCheckpointOf(1));
  const std::vector<int64_t> pids = Pids();
  KillAWorker();
  ASSERT_TRUE(AwaitCheckpointOf(1));
  ASSERT_TRUE(cluster_.AwaitState(job_, proto::FINISHED, absl::Seconds(60)));
  const auto status = cluster_.Status(job_);
  EXPECT_EQ(status->attempt(), 1u);
  EXPECT_EQ(status->full_restarts(), 0u);
  EXPECT_EQ(status->region_restarts(), 1u);
  EXPECT_EQ(Results(), Expected());
  std::map<int64_t, int> times;
  for (const std::string& line : Printed()) {
    if (line.rfind("apart> ", 0) == 0) ++times[std::stoll(line.substr(7))];
  }
  // Subtask 0 was in the worker that was killed, 1 in the other one.
  for (int64_t n = 1; n < kApart; n += 2) ASSERT_EQ(times[n], 1) << n;
  EXPECT_EQ(pids.size(), 2u);
}

}  // namespace
}  // namespace weir::cluster
