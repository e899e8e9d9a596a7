// Real processes on loopback: the files of a job with checkpoints hold each result once, whenever
// its workers and task managers are killed with kill -9.
#include <signal.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cluster/cluster.h"

namespace weir::cluster {
namespace {

constexpr std::int64_t kCount = 60'000;

class FilesRecoveryTest : public ::testing::Test {
 protected:
  void Start(const std::vector<std::string>& more_settings, uint32_t parallelism) {
    std::vector<std::string> settings = {
        StrCat("execution.checkpointing.dir=", cluster_.folder(), "/checkpoints"),
        "execution.checkpointing.tolerable-failed-checkpoints=100",
        "restart-strategy.exponential-delay.max-backoff=500 ms"};
    settings.insert(settings.end(), more_settings.begin(), more_settings.end());
    cluster_.StartJobManager(settings);
    for (int i = 0; i < 3; ++i) cluster_.StartTaskManager(2);
    ASSERT_TRUE(cluster_.AwaitTaskManagers(3));
    const auto job =
        cluster_.Submit(WEIR_FILES_JOB, parallelism,
                        {{"out", out()}, {"count", std::to_string(kCount)}, {"rate", "6000"}});
    ASSERT_TRUE(job.ok()) << job.status();
    job_ = *job;
  }
  void TearDown() override {
    if (HasFailure()) cluster_.PrintLogs();
  }
  std::string out() const { return cluster_.folder() + "/out"; }

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
  bool Running() {
    const auto status = cluster_.Status(job_);
    return status.ok() && status->summary().state() == proto::RUNNING;
  }
  // Until a later checkpoint than `than` is complete; false if the job ends first.
  bool AwaitCheckpointAfter(uint64_t than) {
    return cluster_.AwaitStatus(
        job_, [&](const proto::JobStatusResponse&) { return NewestCheckpoint() > than; });
  }

  // How often each line is in a visible file below `folder`.
  static std::map<std::string, int> Lines(const std::filesystem::path& folder) {
    std::map<std::string, int> lines;
    for (auto entry = std::filesystem::recursive_directory_iterator(folder);
         entry != std::filesystem::recursive_directory_iterator(); ++entry) {
      if (entry->path().filename().string().front() == '.') {
        entry.disable_recursion_pending();
        continue;
      }
      if (!entry->is_regular_file()) continue;
      std::ifstream file(entry->path());
      for (std::string line; std::getline(file, line);) ++lines[line];
    }
    return lines;
  }
  static int64_t NumberAfter(const std::string& line, const std::string& name) {
    const size_t at = line.find("\"" + name + "\":");
    return at == std::string::npos ? -1 : std::stoll(line.substr(at + name.size() + 3));
  }
  void ExpectResults() {
    std::map<int64_t, int> numbers;
    for (const auto& [line, times] : Lines(out() + "/all")) {
      numbers[NumberAfter(line, "value")] += times;
    }
    ASSERT_EQ(numbers.size(), static_cast<size_t>(kCount));
    for (const auto& [number, times] : numbers) {
      ASSERT_GE(number, 0);
      ASSERT_LT(number, kCount);
      ASSERT_EQ(times, 1) << number;
    }
    std::map<std::pair<int64_t, int64_t>, int> sums;
    for (const auto& [line, times] : Lines(out() + "/sums")) {
      sums[{NumberAfter(line, "key"), NumberAfter(line, "value")}] += times;
    }
    std::map<std::pair<int64_t, int64_t>, int> expected;
    for (int64_t begin = 0; begin < kCount; begin += 1000) {
      for (int64_t key = 0; key < 10; ++key) {
        int64_t sum = 0;
        for (int64_t n = begin + key; n < begin + 1000; n += 10) sum += n;
        ++expected[{key, sum}];
      }
    }
    EXPECT_EQ(sums, expected);
  }

  Cluster cluster_;
  JobId job_;
};

TEST_F(FilesRecoveryTest, KilledAtAnyMomentItsFilesHoldEachResultOnce) {
  Start({"execution.checkpointing.interval=100 ms"}, 4);
  std::mt19937 random(20261121);
  const auto below = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  for (int kill_number = 0; kill_number < 6; ++kill_number) {
    ASSERT_TRUE(cluster_.AwaitStatus(job_, [&](const auto& status) {
      return status.summary().state() == proto::RUNNING ||
             status.summary().state() == proto::FINISHED;
    }));
    const uint64_t before = NewestCheckpoint();
    ASSERT_TRUE(AwaitCheckpointAfter(before));
    const auto status = cluster_.Status(job_);
    ASSERT_TRUE(status.ok());
    if (status->summary().state() == proto::FINISHED) break;
    if (kill_number == 3) {
      cluster_.task_manager(below(3)).Signal(SIGKILL);
      cluster_.StartTaskManager(2);
      continue;
    }
    if (status->workers_size() == 0) continue;
    if (kill_number % 2 == 0) {
      // As soon as there is another complete checkpoint: its files are being committed.
      const uint64_t complete = NewestCheckpoint();
      for (int i = 0; i < 20'000 && NewestCheckpoint() == complete; ++i) {
      }
    }
    const auto& worker =
        status->workers(static_cast<int>(below(static_cast<uint32_t>(status->workers_size()))));
    ::kill(static_cast<pid_t>(worker.pid()), SIGKILL);
  }
  ASSERT_TRUE(cluster_.AwaitState(job_, proto::FINISHED, absl::Seconds(90)));
  const auto status = cluster_.Status(job_);
  ASSERT_TRUE(status.ok());
  EXPECT_GE(status->attempt(), 4u);
  ExpectResults();
}

TEST_F(FilesRecoveryTest, AJobThatEndsSoonerThanItsFirstCheckpointCommitsAll) {  // Rule 46
  Start({"execution.checkpointing.interval=1 h"}, 2);
  ASSERT_TRUE(cluster_.AwaitState(job_, proto::FINISHED, absl::Seconds(60)));
  ExpectResults();
  EXPECT_FALSE(std::filesystem::exists(out() + "/all/.inprogress"));
  EXPECT_FALSE(std::filesystem::exists(out() + "/sums/.inprogress"));
}

TEST_F(FilesRecoveryTest, AJobWithoutCheckpointsShowsItsFilesAtTheEnd) {
  Start({}, 2);
  ASSERT_TRUE(cluster_.AwaitState(job_, proto::RUNNING, absl::Seconds(30)));
  ASSERT_TRUE(cluster_.AwaitStatus(
      job_, [&](const auto&) { return std::filesystem::exists(out() + "/all/.inprogress"); }));
  EXPECT_TRUE(Lines(out() + "/all").empty());
  ASSERT_TRUE(cluster_.AwaitState(job_, proto::FINISHED, absl::Seconds(60)));
  ExpectResults();
}

}  // namespace
}  // namespace weir::cluster
