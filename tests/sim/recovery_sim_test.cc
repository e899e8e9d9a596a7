// A job with checkpoints on the simulated cluster: whatever is killed, its state ends as if nothing
// had happened.
#include <map>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "tests/sim/sim_cluster.h"
#include "weir/sdk.h"

namespace weir::sim {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t kCount = 4000;
constexpr std::int64_t kKeys = 37;

struct Number {
  std::int64_t key = 0;
  std::int64_t value = 0;
  EventTime at;
};

// Keeps how often each value of its key has come and their sum, and tells both when all have come:
// the output of the last attempt is the whole state.
struct Tally : KeyedProcess<std::int64_t, Number, std::string> {
  ValueState<std::int64_t> count{this, "count"};
  ValueState<std::int64_t> sum{this, "sum"};
  EventTimer end{this, "end"};

  void Process(const Number& number, Context&) override {
    count.Mutable() += 1;
    sum.Mutable() += number.value;
    end.Set(EventTime::FromTicks(2 * kCount));
  }
  void OnTimer(const EventTimer&, Context& context) override {
    context.Emit(StrCat(context.key(), " ", count.Get(), " ", sum.Get()));
    count.Clear();
  }
};

// Two sources, one at a rate, united; a keyed state with a timer behind them.
void DescribeTally(Job& job) {
  const auto make = [](std::uint64_t i) {
    const auto n = static_cast<std::int64_t>(i);
    return Number{n % kKeys, n, EventTime::FromTicks(n)};
  };
  const auto fast = job.From<Number>(
      "fast", Generator{.make = make, .count = static_cast<std::uint64_t>(kCount), .rate = 2000},
      {.timestamp = &Number::at});
  const auto slow = job.From<Number>(
      "slow", Generator{.make = make, .count = static_cast<std::uint64_t>(kCount), .rate = 500},
      {.timestamp = &Number::at});
  fast.Rebalance()
      .Map("pass", [](const Number& number) { return number; })
      .Union(slow)
      .KeyBy(&Number::key)
      .Process<Tally>("tally")
      .To("out", Print{.prefix = "tally"});
}

// What any program can say must come out.
std::map<std::string, int> Expected() {
  std::map<std::int64_t, std::pair<std::int64_t, std::int64_t>> tallies;
  for (std::int64_t n = 0; n < kCount; ++n) {
    tallies[n % kKeys].first += 2;
    tallies[n % kKeys].second += 2 * n;
  }
  std::map<std::string, int> lines;
  for (const auto& [key, tally] : tallies) {
    ++lines[StrCat("\"", key, " ", tally.first, " ", tally.second, "\"")];
  }
  return lines;
}

SimCluster::Options ClusterOptions(std::uint64_t seed) {
  SimCluster::Options options;
  options.world.seed = seed;
  options.settings = {"execution.checkpointing.interval=200 ms",
                      "execution.checkpointing.dir=/shared/checkpoints",
                      "execution.checkpointing.tolerable-failed-checkpoints=1000",
                      "restart-strategy.exponential-delay.initial-backoff=50 ms"};
  return options;
}

std::string LogOf(const SimCluster& cluster) {
  std::string text;
  for (const std::string& line : cluster.log()) {
    if (line.find(" jobmanager ") != std::string::npos) text += line + "\n";
  }
  return text;
}

// Records that the source has put out in the last attempt.
std::uint64_t RecordsOf(const proto::JobStatusResponse& status, const std::string& uid) {
  std::uint64_t records = 0;
  for (const auto& task : status.tasks()) {
    for (const auto& metrics : task.operators()) {
      if (status.graph().nodes(static_cast<int>(metrics.node())).uid() == uid) {
        records += metrics.records_out();
      }
    }
  }
  return records;
}

// Each key's line, as often as it came: at least once, since the sink is no part of a checkpoint,
// and never another one.
void ExpectWholeState(const SimCluster& cluster, const std::string& job) {
  std::map<std::string, int> lines;
  for (const std::string& line : cluster.Output(job)) ++lines[line];
  const std::map<std::string, int> expected = Expected();
  for (const auto& [line, times] : lines) {
    EXPECT_TRUE(expected.contains(line)) << line << ": lost or repeated";
  }
  EXPECT_EQ(lines.size(), expected.size());
}

TEST(RecoverySim, AJobThatNobodyDisturbsTakesCheckpointsAndDeletesThemAtItsEnd) {
  SimCluster cluster(ClusterOptions(1));
  cluster.StartJobManager();
  cluster.StartTaskManager("tm-1", 2);
  ASSERT_TRUE(cluster.AwaitTaskManagers(1));
  const auto job = cluster.Submit("tally", DescribeTally, 2);
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_TRUE(cluster.AwaitState(*job, proto::RUNNING, absl::Seconds(10)));
  cluster.world().RunFor(absl::Seconds(2));
  const std::string folder = StrCat("/shared/checkpoints/", job->ToString());
  EXPECT_TRUE(cluster.shared_disk().Stat(folder).ok()) << LogOf(cluster);
  ASSERT_TRUE(cluster.AwaitState(*job, proto::FINISHED, absl::Seconds(60))) << LogOf(cluster);
  ExpectWholeState(cluster, "tally");
  EXPECT_EQ(cluster.Status(*job)->attempt(), 1u);
  cluster.world().RunFor(absl::Seconds(5));
  EXPECT_FALSE(cluster.shared_disk().Stat(folder).ok()) << "nothing of a finished job stays";
}

TEST(RecoverySim, KilledWorkersAndTaskManagersLoseAndRepeatNothing) {
  std::uint64_t attempts = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    SimCluster cluster(ClusterOptions(seed));
    SimRandom& random = cluster.world().random();
    cluster.StartJobManager();
    for (const char* name : {"tm-1", "tm-2", "tm-3"}) cluster.StartTaskManager(name, 2);
    ASSERT_TRUE(cluster.AwaitTaskManagers(3));
    const auto job = cluster.Submit("tally", DescribeTally, 3);
    ASSERT_TRUE(job.ok()) << job.status();
    const std::uint64_t kills = 1 + random.Below(5);
    for (std::uint64_t kill = 0; kill < kills; ++kill) {
      cluster.world().RunFor(absl::Milliseconds(random.Between(50, 2500)));
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
    ASSERT_TRUE(cluster.AwaitState(*job, proto::FINISHED, absl::Minutes(5))) << LogOf(cluster);
    ExpectWholeState(cluster, "tally");
    if (HasFailure()) FAIL() << LogOf(cluster);
    attempts += cluster.Status(*job)->attempt();
  }
  EXPECT_GT(attempts, 30u) << "otherwise nothing was shown";
}

TEST(RecoverySim, AJobWithoutCheckpointsIsNotStartedAgainUnlessItAsksForIt) {
  SimCluster::Options options = ClusterOptions(3);
  options.settings.clear();
  SimCluster cluster(options);
  cluster.StartJobManager();
  cluster.StartTaskManager("tm-1", 2);
  ASSERT_TRUE(cluster.AwaitTaskManagers(1));
  const auto job = cluster.Submit("tally", DescribeTally, 2);
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_TRUE(cluster.AwaitState(*job, proto::RUNNING, absl::Seconds(10)));
  cluster.KillWorker(cluster.Workers().at(0));
  EXPECT_TRUE(cluster.AwaitState(*job, proto::FAILED, absl::Seconds(20)));
}

TEST(RecoverySim, AFullDiskFailsCheckpointsAndNotTheJob) {
  SimCluster cluster(ClusterOptions(4));
  cluster.StartJobManager();
  cluster.StartTaskManager("tm-1", 2);
  ASSERT_TRUE(cluster.AwaitTaskManagers(1));
  const auto job = cluster.Submit("tally", DescribeTally, 2);
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_TRUE(cluster.AwaitState(*job, proto::RUNNING, absl::Seconds(10)));
  cluster.world().RunFor(absl::Seconds(1));
  cluster.shared_disk().set_capacity_bytes(1);
  cluster.world().RunFor(absl::Seconds(1));
  cluster.shared_disk().set_capacity_bytes(~std::uint64_t{0});
  cluster.world().RunFor(absl::Seconds(1));
  cluster.KillWorker(cluster.Workers().at(0));
  ASSERT_TRUE(cluster.AwaitState(*job, proto::FINISHED, absl::Seconds(60))) << LogOf(cluster);
  EXPECT_EQ(cluster.Status(*job)->attempt(), 2u);
  EXPECT_THAT(LogOf(cluster), HasSubstr("could not be written"));
  // Three seconds had passed: the fast source had ended, the slow one begun 1500 records before.
  EXPECT_EQ(RecordsOf(*cluster.Status(*job), "fast"), 0u);
  EXPECT_LT(RecordsOf(*cluster.Status(*job), "slow"), kCount - 1300);
  EXPECT_GT(RecordsOf(*cluster.Status(*job), "slow"), kCount - 1700);
  ExpectWholeState(cluster, "tally");
}

TEST(RecoverySim, TwoRunsOfOneSeedAreTheSame) {
  std::uint64_t hashes[2];
  for (std::uint64_t& hash : hashes) {
    SimCluster cluster(ClusterOptions(9));
    cluster.StartJobManager();
    cluster.StartTaskManager("tm-1", 2);
    ASSERT_TRUE(cluster.AwaitTaskManagers(1));
    const auto job = cluster.Submit("tally", DescribeTally, 2);
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
