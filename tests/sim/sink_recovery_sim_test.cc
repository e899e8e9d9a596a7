// A job that writes files on the simulated cluster: whatever is killed, and however badly the disk
// behaves, readers see each result once, and never one that is taken back.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "tests/sim/sim_cluster.h"
#include "weir/sdk.h"

namespace weir::sim {
namespace {

constexpr std::int64_t kCount = 3000;
constexpr std::int64_t kKeys = 37;
constexpr char kOut[] = "/shared/out";

struct Number {
  std::int64_t key = 0;
  std::int64_t value = 0;
  EventTime at;
};

struct Sum {
  std::int64_t key = 0;
  std::int64_t value = 0;
};

// Puts the sum of each key out at the end: its sink has nothing to commit before.
struct Tally : KeyedProcess<std::int64_t, Number, Sum> {
  ValueState<std::int64_t> sum{this, "sum"};
  EventTimer end{this, "end"};

  void Process(const Number& number, Context&) override {
    sum.Mutable() += number.value;
    end.Set(EventTime::FromTicks(kMaxTicks - 1));
  }
  void OnTimer(const EventTimer&, Context& context) override {
    context.Emit(Sum{context.key(), sum.Get()});
  }
};

void DescribeFiles(Job& job) {
  const auto make = [](std::uint64_t i) {
    const auto n = static_cast<std::int64_t>(i);
    return Number{n % kKeys, n, EventTime::FromMillis(n * 10'000)};
  };
  const auto fast = job.From<Number>(
      "fast", Generator{.make = make, .count = static_cast<std::uint64_t>(kCount), .rate = 2000},
      {.timestamp = &Number::at});
  const auto slow = job.From<Number>(
      "slow", Generator{.make = make, .count = static_cast<std::uint64_t>(kCount), .rate = 500},
      {.timestamp = &Number::at});
  const auto all =
      fast.Rebalance().Map("pass", [](const Number& number) { return number; }).Union(slow);
  all.Map([](const Number& number) { return Sum{number.key, number.value}; })
      .To("numbers", Files{.path = StrCat(kOut, "/numbers"),
                           .bucket = "%H",
                           .roll = {.bytes = 4000, .after = {}, .idle = {}}});
  all.KeyBy(&Number::key).Process<Tally>("tally").To("sums", Files{.path = StrCat(kOut, "/sums")});
}

SimCluster::Options ClusterOptions(std::uint64_t seed) {
  SimCluster::Options options;
  options.world.seed = seed;
  options.settings = {"execution.checkpointing.interval=200 ms",
                      "execution.checkpointing.dir=/shared/checkpoints",
                      "execution.checkpointing.tolerable-failed-checkpoints=1000",
                      "restart-strategy.exponential-delay.initial-backoff=50 ms",
                      "restart-strategy.exponential-delay.max-backoff=1 s"};
  return options;
}

std::string LogOf(const SimCluster& cluster) {
  std::string text;
  for (const std::string& line : cluster.log()) text += line + "\n";
  return text;
}

// The lines of all files below `folder` that readers see, by how often they are there. Also lists
// hidden files.
void ReadLines(SimDisk& disk, const std::string& folder, std::map<std::string, int>& lines,
               std::vector<std::string>& hidden, bool is_hidden = false) {
  const auto entries = disk.List(folder);
  if (!entries.ok()) return;
  for (const FileInfo& entry : *entries) {
    const bool hides = is_hidden || entry.path[entry.path.rfind('/') + 1] == '.';
    if (entry.is_directory) {
      ReadLines(disk, entry.path, lines, hidden, hides);
    } else if (hides) {
      hidden.push_back(entry.path);
    } else {
      const std::string& content = (*disk.Open(entry.path))->data;
      EXPECT_TRUE(content.empty() || content.back() == '\n') << "half a file: " << entry.path;
      for (size_t at = 0; at < content.size();) {
        const size_t end = content.find('\n', at);
        ++lines[content.substr(at, end - at)];
        at = end + 1;
      }
    }
  }
}
std::map<std::string, int> Lines(SimDisk& disk, const std::string& folder) {
  std::map<std::string, int> lines;
  std::vector<std::string> hidden;
  ReadLines(disk, folder, lines, hidden);
  return lines;
}

// What any program can say must be there.
std::map<std::string, int> ExpectedNumbers() {
  std::map<std::string, int> lines;
  for (std::int64_t n = 0; n < kCount; ++n) {
    lines[StrCat("{\"key\":", n % kKeys, ",\"value\":", n, "}")] = 2;
  }
  return lines;
}
std::map<std::string, int> ExpectedSums() {
  std::map<std::int64_t, std::int64_t> sums;
  for (std::int64_t n = 0; n < kCount; ++n) sums[n % kKeys] += 2 * n;
  std::map<std::string, int> lines;
  for (const auto& [key, sum] : sums) {
    lines[StrCat("{\"key\":", key, ",\"value\":", sum, "}")] = 1;
  }
  return lines;
}

// Every line that readers have seen stays, as often.
void ExpectGrown(const std::map<std::string, int>& before, const std::map<std::string, int>& now) {
  for (const auto& [line, times] : before) {
    const auto found = now.find(line);
    ASSERT_TRUE(found != now.end() && found->second >= times) << line << " was taken back";
  }
}

void ExpectResults(SimCluster& cluster, bool nothing_hidden) {
  std::map<std::string, int> numbers;
  std::map<std::string, int> sums;
  std::vector<std::string> hidden;
  ReadLines(cluster.shared_disk(), StrCat(kOut, "/numbers"), numbers, hidden);
  ReadLines(cluster.shared_disk(), StrCat(kOut, "/sums"), sums, hidden);
  EXPECT_EQ(numbers, ExpectedNumbers());
  EXPECT_EQ(sums, ExpectedSums());
  if (nothing_hidden) {
    EXPECT_THAT(hidden, ::testing::IsEmpty());
  }
}

struct Faults {
  // Kills at most.
  std::uint64_t kills = 5;
  // Share of renames, syncs and such of the sinks that fail with an I/O error.
  double disk = 0;
};

// Kills at random moments; then the job must finish with the right results.
void RunWithKills(std::uint64_t seed, std::uint32_t parallelism, const Faults& faults,
                  std::uint64_t& attempts) {
  SCOPED_TRACE(StrCat("seed ", seed, ", parallelism ", parallelism));
  SimCluster cluster(ClusterOptions(seed));
  SimRandom& random = cluster.world().random();
  cluster.StartJobManager();
  for (const char* name : {"tm-1", "tm-2", "tm-3"}) cluster.StartTaskManager(name, 2);
  ASSERT_TRUE(cluster.AwaitTaskManagers(3));
  bool failing = faults.disk > 0;
  cluster.shared_disk().set_fault([&](std::string_view operation, const std::string& path) {
    const bool of_sink = path.rfind(kOut, 0) == 0;
    if (!failing || !of_sink || operation != "rename" || !random.Chance(faults.disk)) {
      return absl::OkStatus();
    }
    return absl::UnavailableError(StrCat("renaming '", path, "': Input/output error"));
  });
  const auto job = cluster.Submit("files", DescribeFiles, parallelism);
  ASSERT_TRUE(job.ok()) << job.status();
  std::map<std::string, int> seen;
  for (std::uint64_t kill = random.Below(faults.kills + 1); kill > 0; --kill) {
    cluster.world().RunFor(absl::Milliseconds(random.Between(50, 2500)));
    const std::map<std::string, int> now = Lines(cluster.shared_disk(), kOut);
    ExpectGrown(seen, now);
    seen = now;
    const auto status = cluster.Status(*job);
    if (random.Chance(0.2) && status.ok() && status->summary().state() == proto::RUNNING) {
      // Its workers run on, and the next one takes the job up.
      cluster.KillJobManager();
      cluster.world().RunFor(absl::Milliseconds(random.Between(1, 3'000)));
      cluster.StartJobManager();
      continue;
    }
    if (random.Chance(0.25)) {
      const std::string name = StrCat("tm-", 1 + random.Below(3));
      cluster.KillTaskManager(name);
      cluster.world().RunFor(absl::Milliseconds(random.Between(1, 500)));
      cluster.StartTaskManager(name, 2);
      continue;
    }
    const std::vector<std::string> workers = cluster.Workers();
    if (workers.empty()) continue;
    const std::string& worker = workers[random.Below(workers.size())];
    if (random.Chance(0.2)) {
      // A zombie: silent for longer than any timeout, then it goes on.
      cluster.PauseWorker(worker);
      cluster.world().RunFor(absl::Seconds(4));
      cluster.ResumeWorker(worker);
    } else {
      cluster.KillWorker(worker);
    }
  }
  cluster.world().RunFor(absl::Seconds(5));
  failing = false;
  ASSERT_TRUE(cluster.AwaitState(*job, proto::FINISHED, absl::Minutes(5))) << LogOf(cluster);
  // FINISHED says that all is committed (I17): nothing is waited for.
  ExpectResults(cluster, /*nothing_hidden=*/false);
  ExpectGrown(seen, Lines(cluster.shared_disk(), kOut));
  if (::testing::Test::HasFailure()) FAIL() << LogOf(cluster);
  attempts += cluster.Status(*job)->attempt();
}

TEST(SinkRecoverySim, AJobThatNobodyDisturbsCommitsWithItsCheckpointsAndAllBeforeItIsFinished) {
  for (const std::uint32_t parallelism : {1u, 2u, 4u}) {
    SCOPED_TRACE(parallelism);
    SimCluster cluster(ClusterOptions(parallelism));
    cluster.StartJobManager();
    cluster.StartTaskManager("tm-1", 4);
    ASSERT_TRUE(cluster.AwaitTaskManagers(1));
    const auto job = cluster.Submit("files", DescribeFiles, parallelism);
    ASSERT_TRUE(job.ok()) << job.status();
    ASSERT_TRUE(cluster.AwaitState(*job, proto::RUNNING, absl::Seconds(10)));
    cluster.world().RunFor(absl::Seconds(2));
    EXPECT_GT(Lines(cluster.shared_disk(), StrCat(kOut, "/numbers")).size(), 100u)
        << "before the end, with the checkpoints";
    ASSERT_TRUE(cluster.AwaitState(*job, proto::FINISHED, absl::Minutes(1))) << LogOf(cluster);
    ExpectResults(cluster, /*nothing_hidden=*/true);
    EXPECT_EQ(cluster.Status(*job)->attempt(), 1u);
  }
}

TEST(SinkRecoverySim, KilledProcessesLoseAndRepeatNothing) {  // I2, I7, I8, I17
  std::uint64_t attempts = 0;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    RunWithKills(seed, 1 + seed % 4, {.kills = 5, .disk = 0}, attempts);
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(attempts, 40u) << "otherwise nothing was shown";
}

// Killed where a checkpoint is complete and its files are not committed yet.
TEST(SinkRecoverySim, ACommitThatFailsAgainAndAgainIsMadeUpForByWhoeverComesLater) {
  std::uint64_t attempts = 0;
  for (std::uint64_t seed = 101; seed <= 120; ++seed) {
    RunWithKills(seed, 1 + seed % 4, {.kills = 5, .disk = 0.7}, attempts);
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(attempts, 30u) << "otherwise nothing was shown";
}

TEST(SinkRecoverySim, ACancelledJobShowsWhatItsCheckpointsHoldAndNothingMore) {
  SimCluster cluster(ClusterOptions(7));
  cluster.StartJobManager();
  cluster.StartTaskManager("tm-1", 2);
  ASSERT_TRUE(cluster.AwaitTaskManagers(1));
  const auto job = cluster.Submit("files", DescribeFiles, 2);
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_TRUE(cluster.AwaitState(*job, proto::RUNNING, absl::Seconds(10)));
  cluster.world().RunFor(absl::Seconds(2));
  ASSERT_TRUE(cluster.Cancel(*job).ok());
  ASSERT_TRUE(cluster.AwaitState(*job, proto::CANCELED, absl::Seconds(20)));
  const std::map<std::string, int> numbers = Lines(cluster.shared_disk(), StrCat(kOut, "/numbers"));
  EXPECT_GT(numbers.size(), 100u);
  const std::map<std::string, int> expected = ExpectedNumbers();
  for (const auto& [line, times] : numbers) EXPECT_LE(times, expected.at(line)) << line;
  EXPECT_THAT(Lines(cluster.shared_disk(), StrCat(kOut, "/sums")), ::testing::IsEmpty())
      << "which come at the end of the input";
}

// One source, so that what is committed by a savepoint is a beginning of what there is.
void DescribeNumbers(Job& job) {
  job.From<std::int64_t>(
         "numbers", Generator{.make = [](std::uint64_t i) { return static_cast<std::int64_t>(i); },
                              .count = static_cast<std::uint64_t>(kCount),
                              .rate = 1000.0})
      .Rebalance()
      .Map([](std::int64_t n) { return n; })
      .To("numbers-out", Files{.path = StrCat(kOut, "/numbers")});
}

class SavepointOfASink : public ::testing::TestWithParam<bool> {
 protected:
  void Start() {
    SimCluster::Options options = ClusterOptions(11);
    if (!GetParam()) options.settings = {"execution.checkpointing.dir=/shared/checkpoints"};
    cluster_ = std::make_unique<SimCluster>(options);
    cluster_->shared_disk();
    cluster_->StartJobManager();
    for (const char* name : {"tm-1", "tm-2"}) cluster_->StartTaskManager(name, 2);
    ASSERT_TRUE(cluster_->AwaitTaskManagers(2));
    const auto job = cluster_->Submit("numbers", DescribeNumbers, 2);
    ASSERT_TRUE(job.ok()) << job.status();
    job_ = *job;
    ASSERT_TRUE(cluster_->AwaitState(job_, proto::RUNNING, absl::Seconds(10)));
    cluster_->world().RunFor(absl::Seconds(1));
  }
  std::string Take(SavepointRequest::Then then) {
    const auto taken = cluster_->TakeSavepoint(
        {.job = job_, .trigger = TriggerId(1, 1), .directory = "/shared/saved", .then = then});
    if (!taken.ok()) return taken.status().ToString();
    return taken->state() == proto::SavepointProgress::COMPLETED ? "" : taken->failure().message();
  }
  std::map<std::string, int> Visible() {
    return Lines(cluster_->shared_disk(), StrCat(kOut, "/numbers"));
  }
  // Each number below some bound once, and no other.
  void ExpectABeginning() {
    const std::map<std::string, int> lines = Visible();
    EXPECT_GT(lines.size(), 800u);
    EXPECT_LT(lines.size(), static_cast<size_t>(kCount));
    for (size_t n = 0; n < lines.size(); ++n) {
      const auto found = lines.find(StrCat(n));
      ASSERT_TRUE(found != lines.end()) << n << " of " << lines.size();
      ASSERT_EQ(found->second, 1) << n;
    }
  }

  std::unique_ptr<SimCluster> cluster_;
  JobId job_;
};

TEST_P(SavepointOfASink, ThatGoesOnCommitsNothing) {  // Rule 47
  Start();
  const size_t before = Visible().size();
  ASSERT_EQ(Take(SavepointRequest::Then::kGoOn), "");
  if (!GetParam()) {
    EXPECT_EQ(before, 0u);
    cluster_->world().RunFor(absl::Milliseconds(500));
    EXPECT_THAT(Visible(), ::testing::IsEmpty());
  }
  ASSERT_TRUE(cluster_->AwaitState(job_, proto::FINISHED, absl::Minutes(1))) << LogOf(*cluster_);
  const std::map<std::string, int> lines = Visible();
  EXPECT_EQ(lines.size(), static_cast<size_t>(kCount));
  for (const auto& [line, times] : lines) EXPECT_EQ(times, 1) << line;
}

TEST_P(SavepointOfASink, ThatStopsTheJobCommitsWhatItHolds) {  // Rule 47
  Start();
  ASSERT_EQ(Take(SavepointRequest::Then::kStop), "");
  ASSERT_TRUE(cluster_->AwaitState(job_, proto::FINISHED, absl::Seconds(10))) << LogOf(*cluster_);
  ExpectABeginning();
  EXPECT_EQ(cluster_->Status(job_)->attempt(), 1u);
}

TEST_P(SavepointOfASink, ThatDrainsTheJobCommitsWhatItHolds) {
  Start();
  ASSERT_EQ(Take(SavepointRequest::Then::kDrainAndStop), "");
  ASSERT_TRUE(cluster_->AwaitState(job_, proto::FINISHED, absl::Seconds(10))) << LogOf(*cluster_);
  ExpectABeginning();
}

// Flink 26783, 21132: FINISHED says that all is committed (I17), also if the workers died before.
TEST_P(SavepointOfASink, ThatStopsTheJobIsCommittedByAnotherAttemptIfNeedBe) {
  Start();
  bool failing = true;
  cluster_->shared_disk().set_fault([&](std::string_view operation, const std::string& path) {
    return failing && operation == "rename" && path.rfind(kOut, 0) == 0
               ? absl::UnavailableError("Input/output error")
               : absl::OkStatus();
  });
  const std::map<std::string, int> before = Visible();
  ASSERT_EQ(Take(SavepointRequest::Then::kStop), "");
  cluster_->world().RunFor(absl::Seconds(1));
  EXPECT_EQ(Visible(), before);
  EXPECT_EQ(cluster_->Status(job_)->summary().state(), proto::RUNNING);
  cluster_->KillWorker(cluster_->Workers().at(0));
  cluster_->world().RunFor(absl::Seconds(5));
  EXPECT_EQ(Visible(), before);
  failing = false;
  ASSERT_TRUE(cluster_->AwaitState(job_, proto::FINISHED, absl::Minutes(1))) << LogOf(*cluster_);
  ExpectABeginning();
  EXPECT_EQ(cluster_->Status(job_)->attempt(), 2u);
}

INSTANTIATE_TEST_SUITE_P(SinkRecoverySim, SavepointOfASink, ::testing::Bool(), [](const auto& run) {
  return run.param ? "WithCheckpoints" : "WithoutCheckpoints";
});

TEST(SinkRecoverySim, ASinkThatCannotGoOnFromACheckpointFailsTheJobOnce) {
  SimCluster cluster(ClusterOptions(8));
  cluster.StartJobManager();
  cluster.StartTaskManager("tm-1", 2);
  ASSERT_TRUE(cluster.AwaitTaskManagers(1));
  ASSERT_TRUE(cluster.shared_disk().CreateDirectories(StrCat(kOut, "/sums")).ok());
  ASSERT_TRUE(cluster.shared_disk()
                  .Create(StrCat(kOut, "/sums/notes.txt"), FileSystem::WriteMode::kCreateNew,
                          absl::UnixEpoch())
                  .ok());
  const auto job = cluster.Submit("files", DescribeFiles, 2);
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_TRUE(cluster.AwaitState(*job, proto::FAILED, absl::Seconds(20)));
  const auto status = cluster.Status(*job);
  EXPECT_THAT(status->failure().message(), ::testing::HasSubstr("holds 'notes.txt' already"));
  EXPECT_EQ(status->attempt(), 1u) << "it would fail for the same reason";
}

TEST(SinkRecoverySim, TwoRunsOfOneSeedAreTheSame) {
  std::uint64_t hashes[2];
  for (std::uint64_t& hash : hashes) {
    SimCluster cluster(ClusterOptions(9));
    cluster.StartJobManager();
    cluster.StartTaskManager("tm-1", 2);
    ASSERT_TRUE(cluster.AwaitTaskManagers(1));
    const auto job = cluster.Submit("files", DescribeFiles, 2);
    ASSERT_TRUE(job.ok()) << job.status();
    ASSERT_TRUE(cluster.AwaitState(*job, proto::RUNNING, absl::Seconds(10)));
    cluster.world().RunFor(absl::Milliseconds(700));
    cluster.KillWorker(cluster.Workers().at(0));
    ASSERT_TRUE(cluster.AwaitState(*job, proto::FINISHED, absl::Seconds(60)));
    hash = cluster.world().hash();
  }
  EXPECT_EQ(hashes[0], hashes[1]);
}

}  // namespace
}  // namespace weir::sim
