// Job manager, task managers, workers and a job in one process, on one thread, under virtual time:
// the production code.
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sim/sim_cluster.h"
#include "weir/sdk.h"

namespace weir::sim {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct Reading {
  std::string sensor;
  std::int64_t value = 0;
  EventTime at;
};

struct SensorSum {
  std::string sensor;
  std::int64_t second = 0;
  std::int64_t sum = 0;
};

Reading MakeReading(std::uint64_t i) {
  return {"s" + std::to_string(i % 7), static_cast<std::int64_t>(i),
          EventTime::FromMillis(static_cast<std::int64_t>(i))};
}

// The sum of each of seven sensors per second of event time; reading i is made at i / rate.
void DescribeSums(Job& job) {
  const auto count = job.Arg<std::int64_t>("count", "how many readings, 0 for no end", 10'000);
  const auto rate = job.Arg<double>("rate", "readings a second", 2'000);
  const auto name = job.Arg<std::string>("name", "prefix of the output", "sums");
  job.From<Reading>(
         "readings",
         Generator{.make = MakeReading, .count = static_cast<std::uint64_t>(count), .rate = rate},
         {.timestamp = &Reading::at})
      .KeyBy(&Reading::sensor)
      .Window(Tumbling{std::chrono::seconds(1)})
      .Aggregate("sum", Sum{&Reading::value},
                 [](const std::string& sensor, const TimeWindow& window, std::int64_t&& sum) {
                   return SensorSum{sensor, window.start.ticks() / 1'000'000, sum};
                 })
      .To("out", Print{.prefix = name});
}

// The same by a plain loop.
std::vector<std::string> ExpectedSums(std::uint64_t count) {
  std::map<std::pair<std::string, std::int64_t>, std::int64_t> sums;
  for (std::uint64_t i = 0; i < count; ++i) {
    const Reading reading = MakeReading(i);
    sums[{reading.sensor, reading.at.ticks() / 1'000'000}] += reading.value;
  }
  std::vector<std::string> lines;
  for (const auto& [key, sum] : sums) {
    lines.push_back(
        StrCat("{\"sensor\":\"", key.first, "\",\"second\":", key.second, ",\"sum\":", sum, "}"));
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

// Fails at the 1000th reading.
void DescribeThrowing(Job& job) {
  job.From<Reading>("readings", Generator{.make = MakeReading, .count = 0, .rate = 1'000},
                    {.timestamp = &Reading::at})
      .Map("check",
           [](const Reading& reading) {
             if (reading.value == 1'000) throw std::runtime_error("too hot");
             return reading;
           })
      .To("out", Blackhole{});
}

// Another graph wherever it is made again.
void DescribeUnstable(Job& job) {
  static int runs = 0;
  job.From<Reading>("readings" + std::to_string(++runs),
                    Generator{.make = MakeReading, .count = 10, .rate = 0})
      .To("out", Blackhole{});
}

SimCluster::Options WithSeed(uint64_t seed) {
  SimCluster::Options options;
  options.world.seed = seed;
  options.world.min_link_delay = absl::Microseconds(100);
  options.world.max_link_delay = absl::Milliseconds(20);
  return options;
}

std::map<std::string, std::string> Readings(int count) {
  return {{"count", std::to_string(count)}};
}

class ClusterSimTest : public ::testing::Test {
 protected:
  explicit ClusterSimTest(SimCluster::Options options = WithSeed(1)) : cluster_(options) {
    cluster_.StartJobManager();
    cluster_.StartTaskManager("tm-a", 2);
    cluster_.StartTaskManager("tm-b", 2);
  }

  void TearDown() override {
    if (!HasFailure()) return;
    for (const std::string& line : cluster_.log()) printf("%s\n", line.c_str());
  }

  JobId SubmitSums(std::map<std::string, std::string> arguments, uint32_t parallelism = 4) {
    EXPECT_TRUE(cluster_.AwaitTaskManagers(2));
    const auto job = cluster_.Submit("sums", DescribeSums, parallelism, std::move(arguments));
    EXPECT_TRUE(job.ok()) << job.status();
    return job.value_or(JobId());
  }
  // An endless job, running.
  JobId RunSums(uint32_t parallelism = 4) {
    const JobId job = SubmitSums(Readings(0), parallelism);
    EXPECT_TRUE(cluster_.AwaitState(job, proto::RUNNING, absl::Seconds(20)));
    cluster_.world().RunFor(absl::Seconds(2));
    return job;
  }
  proto::JobStatusResponse Status(JobId job) {
    const auto status = cluster_.Status(job);
    EXPECT_TRUE(status.ok()) << status.status();
    return status.value_or(proto::JobStatusResponse());
  }
  bool AwaitNoWorkers(absl::Duration limit) {
    return cluster_.world().RunUntil([&] { return cluster_.Workers().empty(); }, limit);
  }

  SimCluster cluster_;
};

TEST_F(ClusterSimTest, AJobOnTwoTaskManagersFinishesWithTheRightResults) {
  const JobId job = SubmitSums(Readings(10'000));
  ASSERT_TRUE(cluster_.AwaitState(job, proto::FINISHED, absl::Minutes(1)));
  EXPECT_EQ(cluster_.Output("sums"), ExpectedSums(10'000));
  const proto::JobStatusResponse status = Status(job);
  uint64_t read = 0;
  std::set<std::string> used;
  for (const auto& worker : status.workers()) used.insert(worker.task_manager());
  for (const proto::TaskReport& task : status.tasks()) {
    EXPECT_EQ(task.state(), proto::TASK_FINISHED);
    for (const auto& metrics : task.operators()) {
      if (status.graph().nodes(static_cast<int>(metrics.node())).uid() == "readings") {
        read += metrics.records_out();
      }
    }
  }
  EXPECT_EQ(read, 10'000u);
  EXPECT_THAT(used, SizeIs(2));
  EXPECT_TRUE(AwaitNoWorkers(absl::Seconds(10))) << "workers end with their job";
}

TEST_F(ClusterSimTest, AWorkerThatIsKilledFailsItsJobWithinThreeSecondsWithTheReason) {
  const JobId job = RunSums();
  ASSERT_THAT(cluster_.Workers(), SizeIs(2));
  cluster_.KillWorker(cluster_.Workers()[1]);
  ASSERT_TRUE(cluster_.AwaitState(job, proto::FAILED, absl::Seconds(3)));
  const proto::Failure failure = Status(job).failure();
  EXPECT_EQ(failure.signal(), 9);
  EXPECT_THAT(failure.message(), HasSubstr("SIGKILL"));
  EXPECT_EQ(failure.task_manager(), "tm-b");
  EXPECT_TRUE(AwaitNoWorkers(absl::Seconds(10)));
}

TEST_F(ClusterSimTest, AJobGoesOnWhenATaskManagerIsCutOffForAMoment) {
  const JobId job = SubmitSums(Readings(20'000));
  ASSERT_TRUE(cluster_.AwaitState(job, proto::RUNNING, absl::Seconds(20)));
  cluster_.world().RunFor(absl::Seconds(2));
  cluster_.world().CutLink("jobmanager", "tm-b");
  cluster_.world().RunFor(absl::Milliseconds(1'200));
  cluster_.world().HealLink("jobmanager", "tm-b");
  ASSERT_TRUE(cluster_.AwaitState(job, proto::FINISHED, absl::Minutes(1)))
      << Status(job).failure().message();
  EXPECT_EQ(cluster_.Output("sums"), ExpectedSums(20'000));
}

TEST_F(ClusterSimTest, AConnectionBetweenWorkersThatIsCutFailsTheJobAndNamesThePeer) {
  const JobId job = RunSums();
  cluster_.world().CutLink("tm-a", "tm-b");
  ASSERT_TRUE(cluster_.AwaitState(job, proto::FAILED, absl::Seconds(10)));
  EXPECT_THAT(Status(job).failure().message(), AnyOf(HasSubstr("tm-a"), HasSubstr("tm-b")));
  EXPECT_TRUE(AwaitNoWorkers(absl::Seconds(10)));
  cluster_.world().HealAllLinks();
  const auto next = cluster_.Submit("sums", DescribeSums, 4, Readings(2'000));
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_TRUE(cluster_.AwaitState(*next, proto::FINISHED, absl::Minutes(1)));
}

TEST_F(ClusterSimTest, ATaskManagerThatIsCutOffForLongIsLostAndComesBack) {
  const JobId job = RunSums();
  cluster_.world().CutLink("jobmanager", "tm-b");
  ASSERT_TRUE(cluster_.AwaitState(job, proto::FAILED, absl::Seconds(10)));
  EXPECT_THAT(Status(job).failure().message(), HasSubstr("tm-b"));
  // The worker there hears nothing any more and ends by itself.
  EXPECT_TRUE(AwaitNoWorkers(absl::Seconds(12)));
  EXPECT_EQ(cluster_.Info().value().task_managers_size(), 1);
  cluster_.world().HealAllLinks();
  ASSERT_TRUE(cluster_.AwaitTaskManagers(2));
  const auto next = cluster_.Submit("sums", DescribeSums, 4, Readings(2'000));
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_TRUE(cluster_.AwaitState(*next, proto::FINISHED, absl::Minutes(1)));
}

TEST_F(ClusterSimTest, ATaskManagerThatIsKilledFailsItsJobAndTheOthersGoOn) {
  const JobId both = RunSums();
  cluster_.StartTaskManager("tm-c", 1);
  ASSERT_TRUE(cluster_.AwaitTaskManagers(3));
  const auto alone =
      cluster_.Submit("alone", DescribeSums, 1, {{"count", "30000"}, {"name", "alone"}});
  ASSERT_TRUE(alone.ok());
  ASSERT_TRUE(cluster_.AwaitState(*alone, proto::RUNNING, absl::Seconds(20)));
  cluster_.KillTaskManager("tm-a");
  ASSERT_TRUE(cluster_.AwaitState(both, proto::FAILED, absl::Seconds(10)));
  ASSERT_TRUE(cluster_.AwaitState(*alone, proto::FINISHED, absl::Minutes(1)));
  EXPECT_EQ(cluster_.Output("alone"), ExpectedSums(30'000));
}

TEST_F(ClusterSimTest, WorkersEndWithinTheLimitWhenTheJobManagerIsKilledAndAgentsFindTheNext) {
  RunSums();
  const uint64_t first_epoch = cluster_.leader_epoch();
  ASSERT_THAT(cluster_.Workers(), SizeIs(2));
  cluster_.KillJobManager();
  cluster_.world().RunFor(absl::Seconds(8));
  EXPECT_THAT(cluster_.Workers(), SizeIs(2)) << "not before the limit";
  EXPECT_TRUE(AwaitNoWorkers(absl::Seconds(3)));
  cluster_.world().RunFor(absl::Minutes(5));
  EXPECT_EQ(cluster_.TaskManagerEnd("tm-a"), nullptr) << "task managers stay";
  cluster_.StartJobManager();
  EXPECT_GT(cluster_.leader_epoch(), first_epoch);
  ASSERT_TRUE(cluster_.AwaitTaskManagers(2));
  const auto next =
      cluster_.Submit("sums2", DescribeSums, 4, {{"count", "2000"}, {"name", "sums2"}});
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_TRUE(cluster_.AwaitState(*next, proto::FINISHED, absl::Minutes(1)));
  EXPECT_EQ(cluster_.Output("sums2"), ExpectedSums(2'000));
}

TEST_F(ClusterSimTest, AJobManagerWithAnotherFolderHasWorkersOfTheFormerOneStopped) {
  RunSums();
  cluster_.KillJobManager();
  ASSERT_TRUE(cluster_.world().disk("jobmanager").DeleteRecursively("/data/jobs").ok());
  cluster_.world().RunFor(absl::Seconds(1));
  cluster_.StartJobManager();
  ASSERT_TRUE(cluster_.AwaitTaskManagers(2));
  EXPECT_TRUE(AwaitNoWorkers(absl::Seconds(5))) << "before they notice by themselves";
}

TEST_F(ClusterSimTest, AnExceptionOfUserCodeFailsItsJobAndNoOther) {
  const JobId sums = SubmitSums(Readings(20'000), 2);
  const auto throwing = cluster_.Submit("throwing", DescribeThrowing, 2);
  ASSERT_TRUE(throwing.ok()) << throwing.status();
  ASSERT_TRUE(cluster_.AwaitState(*throwing, proto::FAILED, absl::Seconds(20)));
  const proto::Failure failure = Status(*throwing).failure();
  EXPECT_EQ(failure.operator_uid(), "check");
  EXPECT_THAT(failure.message(), AllOf(HasSubstr("check"), HasSubstr("too hot")));
  ASSERT_TRUE(cluster_.AwaitState(sums, proto::FINISHED, absl::Minutes(1)));
  EXPECT_EQ(cluster_.Output("sums"), ExpectedSums(20'000));
}

TEST_F(ClusterSimTest, AJobIsCancelledAndItsSlotsAreFree) {
  const JobId job = RunSums();
  ASSERT_TRUE(cluster_.Cancel(job).ok());
  ASSERT_TRUE(cluster_.AwaitState(job, proto::CANCELED, absl::Seconds(10)));
  EXPECT_TRUE(AwaitNoWorkers(absl::Seconds(10)));
  const auto next = cluster_.Submit("next", DescribeSums, 4, Readings(2'000));
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_TRUE(cluster_.AwaitState(*next, proto::FINISHED, absl::Minutes(1)));
}

TEST_F(ClusterSimTest, AJobWaitsForSlotsAndSaysSo) {
  RunSums(4);
  const auto waiting =
      cluster_.Submit("waiting", DescribeSums, 3, {{"count", "2000"}, {"name", "waiting"}});
  ASSERT_TRUE(waiting.ok()) << waiting.status();
  cluster_.world().RunFor(absl::Seconds(5));
  const proto::JobStatusResponse status = Status(*waiting);
  EXPECT_EQ(status.summary().state(), proto::CREATED);
  EXPECT_THAT(status.waiting_for(), HasSubstr("3 slots"));
  cluster_.StartTaskManager("tm-c", 3);
  ASSERT_TRUE(cluster_.AwaitState(*waiting, proto::FINISHED, absl::Minutes(1)));
  EXPECT_EQ(cluster_.Output("waiting"), ExpectedSums(2'000));
}

TEST_F(ClusterSimTest, AGraphThatIsAnotherOneInTheWorkerFailsTheJob) {
  ASSERT_TRUE(cluster_.AwaitTaskManagers(2));
  const auto job = cluster_.Submit("unstable", DescribeUnstable, 1);
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_TRUE(cluster_.AwaitState(*job, proto::FAILED, absl::Seconds(20)));
  EXPECT_THAT(Status(*job).failure().message(), HasSubstr("must depend on its arguments only"));
}

TEST_F(ClusterSimTest, ATaskManagerOfAnotherVersionIsRefusedAndEnds) {
  ASSERT_TRUE(cluster_.AwaitTaskManagers(2));
  cluster_.StartTaskManager("tm-old", 1, "0.0.1");
  ASSERT_TRUE(cluster_.world().RunUntil(
      [&] { return cluster_.TaskManagerEnd("tm-old") != nullptr; }, absl::Seconds(10)));
  EXPECT_THAT(std::string(cluster_.TaskManagerEnd("tm-old")->message()),
              AllOf(HasSubstr("0.0.1"), HasSubstr(std::string(kVersion))));
  EXPECT_EQ(cluster_.Info().value().task_managers_size(), 2);
}

// What one run of a seed came to.
struct Outcome {
  uint64_t hash = 0;
  uint64_t events = 0;
  absl::Duration elapsed;
  proto::JobState state = proto::JOB_STATE_UNSPECIFIED;
  std::string failure;
  std::vector<std::string> output;

  auto Tie() const { return std::tie(hash, events, elapsed, state, failure, output); }
};

enum class Fault {
  kNone,
  kWorkerKilled,
  kWorkerPaused,  // for longer than every timeout; then it goes on
  kDataLinkCut,
  kControlLinkCut,
  kMessagesLost,
  kTaskManagerKilled,
  kJobManagerKilled,
};
constexpr uint64_t kFaults = 8;
// After it nothing is broken any more, but that a paused worker may still be.
constexpr absl::Duration kFaultsOver = absl::Seconds(15);

// Does it at some time while the job runs, and undoes it after a while.
void Inject(SimCluster& cluster, Fault fault) {
  SimWorld& world = cluster.world();
  const absl::Duration when = absl::Milliseconds(world.random().Between(500, 6'000));
  const absl::Duration duration = absl::Milliseconds(world.random().Between(200, 8'000));
  world.At(when, [&cluster, &world, fault, duration] {
    const std::vector<std::string> workers = cluster.Workers();
    const std::string worker = workers.empty() ? "" : workers[world.random().Below(workers.size())];
    switch (fault) {
      case Fault::kNone:
        break;
      case Fault::kWorkerKilled:
        cluster.KillWorker(worker);
        break;
      case Fault::kWorkerPaused:
        cluster.PauseWorker(worker);
        world.At(absl::Seconds(30), [&cluster, worker] { cluster.ResumeWorker(worker); });
        break;
      case Fault::kDataLinkCut:
        world.CutLink("tm-a", "tm-b");
        world.At(duration, [&world] { world.HealAllLinks(); });
        break;
      case Fault::kControlLinkCut:
        world.CutOneWay("tm-b", "jobmanager");
        world.At(duration, [&world] { world.HealAllLinks(); });
        break;
      case Fault::kMessagesLost:
        world.SetConnectionLoss(0.001);
        world.At(duration, [&world] { world.SetConnectionLoss(0); });
        break;
      case Fault::kTaskManagerKilled:
        cluster.KillTaskManager("tm-b");
        world.At(duration, [&cluster] { cluster.StartTaskManager("tm-b", 2); });
        break;
      case Fault::kJobManagerKilled:
        cluster.KillJobManager();
        world.At(duration, [&cluster] { cluster.StartJobManager(); });
        break;
    }
  });
}

// First safety: with the fault the job ends, and with the right results or a reason, but never with
// wrong ones. Then liveness: afterwards the cluster is whole again, and a job that is submitted
// finishes.
Outcome RunSeed(uint64_t seed) {
  SCOPED_TRACE(StrCat("seed ", seed));
  SimCluster::Options options = WithSeed(seed);
  SimCluster cluster(options);
  SimWorld& world = cluster.world();
  cluster.StartJobManager();
  cluster.StartTaskManager("tm-a", 2);
  cluster.StartTaskManager("tm-b", 2);
  EXPECT_TRUE(cluster.AwaitTaskManagers(2));
  const auto fault = static_cast<Fault>(world.random().Below(kFaults));
  Inject(cluster, fault);

  Outcome outcome;
  const auto job = cluster.Submit("sums", DescribeSums, 4, Readings(12'000));
  if (job.ok()) {
    cluster.AwaitState(*job, proto::FINISHED, absl::Minutes(1));
    const auto status = cluster.Status(*job);
    if (status.ok()) {
      outcome.state = status->summary().state();
      outcome.failure = status->failure().message();
    } else {
      // The next job manager does not know the jobs of the one before.
      EXPECT_EQ(fault, Fault::kJobManagerKilled) << status.status();
    }
  } else {
    EXPECT_THAT(fault, AnyOf(Fault::kMessagesLost, Fault::kJobManagerKilled)) << job.status();
  }
  outcome.output = cluster.Output("sums");
  if (outcome.state == proto::FINISHED) {
    EXPECT_EQ(outcome.output, ExpectedSums(12'000));
  } else {
    EXPECT_NE(fault, Fault::kNone) << "it failed without a fault";
    EXPECT_THAT(outcome.state, AnyOf(proto::FAILED, proto::JOB_STATE_UNSPECIFIED)) << "it hangs";
    EXPECT_TRUE(outcome.state != proto::FAILED || !outcome.failure.empty()) << "without a reason";
  }

  world.RunFor(std::max(kFaultsOver - world.elapsed(), absl::ZeroDuration()));
  EXPECT_TRUE(cluster.AwaitTaskManagers(2));
  EXPECT_TRUE(world.RunUntil([&] { return cluster.Workers().empty(); }, absl::Minutes(1)))
      << "workers are left behind";
  const auto next = cluster.Submit("next", DescribeSums, 4, {{"count", "2000"}, {"name", "next"}});
  EXPECT_TRUE(next.ok()) << next.status();
  EXPECT_TRUE(next.ok() && cluster.AwaitState(*next, proto::FINISHED, absl::Minutes(1)));
  EXPECT_EQ(cluster.Output("next"), ExpectedSums(2'000));

  outcome.hash = world.hash();
  outcome.events = world.executed_events();
  outcome.elapsed = world.elapsed();
  if (::testing::Test::HasFailure()) {
    for (const std::string& line : cluster.log()) printf("%s\n", line.c_str());
  }
  return outcome;
}

TEST(ClusterSimSeedsTest, ASeedGivesTheSameEventsTwiceAndAnswersThatAreNeverWrong) {
  std::set<uint64_t> hashes;
  std::map<proto::JobState, int> states;
  constexpr uint64_t kSeeds = 40;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const Outcome first = RunSeed(seed);
    const Outcome second = RunSeed(seed);
    EXPECT_EQ(first.Tie(), second.Tie()) << "seed " << seed;
    if (HasFailure()) return;
    hashes.insert(first.hash);
    ++states[first.state];
  }
  EXPECT_THAT(hashes, SizeIs(kSeeds)) << "seeds differ";
  EXPECT_GT(states[proto::FINISHED], 0);
  EXPECT_GT(states[proto::FAILED], 0);
}

}  // namespace
}  // namespace weir::sim
