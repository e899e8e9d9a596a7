// A job of several pipelined regions on the simulated cluster: whatever fails, its regions start
// again and no others. What shows it is print sinks, which take nothing back and say everything
// twice that is done twice: a region that was not started again has said each record once.
//
//   WEIR_SIM_SEEDS=FIRST:COUNT   which seeds (default 1:25)
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "tests/sim/tally_job.h"

namespace weir::sim {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t kApart = 3000;
constexpr std::int64_t kShort = 100;

// Subtasks that never meet: each a region. A record says by its number which subtask it is of.
void DescribeApart(Job& job, const std::string& uid, std::int64_t count, double rate) {
  job.From<Number>(uid,
                   Generator{.make =
                                 [](std::uint64_t i) {
                                   const auto n = static_cast<std::int64_t>(i);
                                   return Number{0, n, EventTime::FromTicks(n)};
                                 },
                             .count = static_cast<std::uint64_t>(count),
                             .rate = rate},
                   {.timestamp = &Number::at})
      .Map(StrCat(uid, "-value"), [](const Number& number) { return number.value; })
      .To(StrCat(uid, "-out"), Print{.prefix = uid});
}

// The tally, whose keyed exchange makes it one region, and a pipeline apart.
void DescribeTwo(Job& job) {
  DescribeTally(job);
  DescribeApart(job, "apart", kApart, 300);
}

// And one that soon ends.
void DescribeRegions(Job& job) {
  DescribeTwo(job);
  DescribeApart(job, "short", kShort, 300);
}

std::uint32_t VertexOf(const proto::JobStatusResponse& status, const std::string& uid) {
  for (const auto& vertex : status.graph().vertices()) {
    for (const std::uint32_t node : vertex.nodes()) {
      if (status.graph().nodes(static_cast<int>(node)).uid() == uid) return vertex.id();
    }
  }
  ADD_FAILURE() << "no operator " << uid;
  return 0;
}

// Of each subtask of an operator: what `of` says of it.
template <class Of>
std::vector<std::uint32_t> EachTask(const proto::JobStatusResponse& status, const std::string& uid,
                                    Of of) {
  std::vector<std::uint32_t> values;
  for (const auto& task : status.tasks()) {
    if (task.vertex() == VertexOf(status, uid)) values.push_back(of(task));
  }
  return values;
}
std::vector<std::uint32_t> Attempts(const proto::JobStatusResponse& status,
                                    const std::string& uid) {
  return EachTask(status, uid, [](const auto& task) { return task.attempt(); });
}
std::vector<std::uint32_t> Workers(const proto::JobStatusResponse& status, const std::string& uid) {
  return EachTask(status, uid, [](const auto& task) { return task.worker(); });
}

// Each record was printed, and where its region was never started again, once.
void ExpectPrinted(const SimCluster& cluster, const proto::JobStatusResponse& status,
                   const std::string& uid, std::int64_t count) {
  const std::map<std::string, int> lines = Counted(cluster.Output(uid));
  const std::vector<std::uint32_t> attempts = Attempts(status, uid);
  ASSERT_FALSE(attempts.empty());
  EXPECT_EQ(lines.size(), static_cast<std::size_t>(count)) << uid;
  for (std::int64_t n = 0; n < count; ++n) {
    const auto found = lines.find(StrCat(n));
    const int times = found == lines.end() ? 0 : found->second;
    EXPECT_GE(times, 1) << uid << " " << n << " is lost";
    const std::size_t subtask = static_cast<std::size_t>(n) % attempts.size();
    if (attempts[subtask] == 0 && status.full_restarts() == 0) {
      EXPECT_EQ(times, 1) << uid << " " << n << " of subtask " << subtask;
    }
    if (::testing::Test::HasFailure()) return;
  }
}

void ExpectAll(const SimCluster& cluster, const proto::JobStatusResponse& status) {
  ExpectWholeState(cluster, "tally");
  ExpectPrinted(cluster, status, "apart", kApart);
  const auto& nodes = status.graph().nodes();
  const bool has_short = std::any_of(nodes.begin(), nodes.end(),
                                     [](const auto& node) { return node.uid() == "short"; });
  if (has_short) ExpectPrinted(cluster, status, "short", kShort);
}

// Two task managers with two slots each, and the job in four slots.
class RegionSim : public ::testing::Test {
 protected:
  void Begin(std::uint64_t seed = 1, SimCluster::Describe describe = DescribeRegions) {
    cluster_.emplace(TallyClusterOptions(seed));
    cluster_->StartJobManager();
    for (const char* name : {"tm-1", "tm-2"}) cluster_->StartTaskManager(name, 2);
    ASSERT_TRUE(cluster_->AwaitTaskManagers(2));
    const auto job = cluster_->Submit("regions", describe, 4);
    ASSERT_TRUE(job.ok()) << job.status();
    job_ = *job;
    ASSERT_TRUE(cluster_->AwaitState(job_, proto::RUNNING, absl::Seconds(10)));
    RunFor(absl::Seconds(1));
  }
  void RunFor(absl::Duration duration) { cluster_->world().RunFor(duration); }
  proto::JobStatusResponse Status() { return *cluster_->Status(job_); }
  bool AllRun() {
    const auto status = Status();
    return status.waiting_for().empty() && status.summary().state() == proto::RUNNING;
  }
  // As often as that regions were started again, and all run.
  bool AwaitRestarts(std::uint32_t restarts) {
    const auto there = [&] { return Status().region_restarts() == restarts && AllRun(); };
    for (int i = 0; i < 100 && !there(); ++i) RunFor(absl::Milliseconds(50));
    return there();
  }
  void Finish() {
    ASSERT_TRUE(cluster_->AwaitState(job_, proto::FINISHED, absl::Minutes(2))) << LogOf(*cluster_);
    ExpectAll(*cluster_, Status());
    if (HasFailure()) FAIL() << LogOf(*cluster_);
  }

  std::optional<SimCluster> cluster_;
  JobId job_;
};

TEST_F(RegionSim, ADeadWorkerTakesItsOwnRegionsWithItAndNoOthers) {
  Begin();
  const auto before = Status();
  const std::vector<std::uint32_t> workers = Workers(before, "apart");
  ASSERT_EQ(before.workers_size(), 2);
  cluster_->KillWorker(cluster_->Workers().at(0));
  ASSERT_TRUE(AwaitRestarts(1)) << LogOf(*cluster_);
  const auto after = Status();
  EXPECT_EQ(after.summary().state(), proto::RUNNING);
  EXPECT_EQ(after.attempt(), 1u);
  EXPECT_EQ(after.full_restarts(), 0u);
  EXPECT_EQ(after.region_restarts(), 1u);
  // Who was in it: its own subtasks, and what a keyed exchange joins.
  for (std::size_t i = 0; i < workers.size(); ++i) {
    const bool hit = workers[i] != Workers(after, "apart")[i];
    EXPECT_EQ(Attempts(after, "apart")[i], hit ? 2u : 0u) << i;
  }
  EXPECT_THAT(Workers(after, "apart"), ::testing::Contains(2u));
  EXPECT_THAT(Attempts(after, "tally"), ::testing::Each(2u));
  EXPECT_THAT(Attempts(after, "fast"), ::testing::Each(2u));
  // Checkpoints go on.
  const auto checkpoints = cluster_->Checkpoints(job_)->completed();
  RunFor(absl::Seconds(1));
  EXPECT_GT(cluster_->Checkpoints(job_)->completed(), checkpoints);
  Finish();
}

TEST_F(RegionSim, ARegionThatHasEndedDoesNotRunAgain) {
  Begin();
  const auto before = Status();
  for (const auto& task : before.tasks()) {
    if (task.vertex() == VertexOf(before, "short")) {
      ASSERT_EQ(task.state(), proto::TASK_FINISHED);
    }
  }
  for (int i = 0; i < 2; ++i) {
    cluster_->KillWorker(cluster_->Workers().at(0));
    ASSERT_TRUE(AwaitRestarts(static_cast<std::uint32_t>(i + 1))) << LogOf(*cluster_);
    RunFor(absl::Seconds(1));
  }
  EXPECT_THAT(Attempts(Status(), "short"), ::testing::Each(0u));
  Finish();
  for (const auto& [line, times] : Counted(cluster_->Output("short"))) EXPECT_EQ(times, 1) << line;
}

TEST_F(RegionSim, AnotherFailureWhileARegionStartsAgainJoinsIt) {
  // At every step of the restart.
  std::set<std::string> seen;
  for (int millis = 0; millis < 80; millis += 7) {
    SCOPED_TRACE(StrCat("after ", millis, " ms"));
    Begin(static_cast<std::uint64_t>(millis + 1));
    cluster_->KillWorker(cluster_->Workers().at(0));
    RunFor(absl::Milliseconds(millis));
    seen.insert(Status().waiting_for());
    const std::vector<std::string> workers = cluster_->Workers();
    if (!workers.empty()) cluster_->KillWorker(workers.back());
    Finish();
    if (HasFailure()) return;
  }
  EXPECT_GE(seen.size(), 3u) << "steps";
}

TEST_F(RegionSim, AJobManagerThatIsKilledWhileARegionStartsAgainTakesTheJobUp) {
  int by_region = 0;
  for (int millis = 0; millis < 80; millis += 9) {
    SCOPED_TRACE(StrCat("after ", millis, " ms"));
    Begin(static_cast<std::uint64_t>(millis + 1), DescribeTwo);
    cluster_->KillWorker(cluster_->Workers().at(0));
    RunFor(absl::Milliseconds(millis));
    cluster_->KillJobManager();
    RunFor(absl::Milliseconds(500));
    cluster_->StartJobManager();
    Finish();
    if (HasFailure()) return;
    const auto status = Status();
    by_region += status.full_restarts() == 0 && status.region_restarts() == 1 ? 1 : 0;
  }
  EXPECT_GT(by_region, 0) << "it was always started anew";
}

TEST_F(RegionSim, AJobManagerTakesARegionUpThatWasStartedAgain) {
  Begin(1, DescribeTwo);
  cluster_->KillWorker(cluster_->Workers().at(0));
  ASSERT_TRUE(AwaitRestarts(1)) << LogOf(*cluster_);
  RunFor(absl::Milliseconds(300));
  cluster_->KillJobManager();
  RunFor(absl::Milliseconds(300));
  cluster_->StartJobManager();
  ASSERT_TRUE(cluster_->AwaitState(job_, proto::RUNNING, absl::Seconds(10))) << LogOf(*cluster_);
  RunFor(absl::Seconds(1));
  EXPECT_GT(cluster_->Checkpoints(job_)->completed(), 0u) << LogOf(*cluster_);
  // And once more, of the tasks that it took over.
  cluster_->KillWorker(cluster_->Workers().back());
  Finish();
  EXPECT_EQ(Status().full_restarts(), 0u) << LogOf(*cluster_);
  EXPECT_EQ(Status().region_restarts(), 2u);
}

// Nobody is left who could tell the next job manager what it held at its end.
TEST_F(RegionSim, AJobIsStartedAnewByTheNextJobManagerIfAWorkerOfAnEndedRegionIsGone) {
  Begin();
  cluster_->KillWorker(cluster_->Workers().at(0));
  ASSERT_TRUE(AwaitRestarts(1)) << LogOf(*cluster_);
  RunFor(absl::Seconds(1));
  cluster_->KillJobManager();
  cluster_->StartJobManager();
  Finish();
  EXPECT_EQ(Status().full_restarts(), 1u);
  // The checkpoint says that it had ended.
  for (const auto& [line, times] : Counted(cluster_->Output("short"))) EXPECT_EQ(times, 1) << line;
}

TEST_F(RegionSim, AZombieThatWakesUpIsNotHeard) {
  Begin();
  const std::string worker = cluster_->Workers().at(1);
  cluster_->PauseWorker(worker);
  RunFor(absl::Seconds(5));
  cluster_->ResumeWorker(worker);
  Finish();
  EXPECT_EQ(Status().full_restarts(), 0u);
  EXPECT_EQ(Status().region_restarts(), 1u);
}

TEST_F(RegionSim, ASavepointThatIsAskedForMeanwhileWaits) {
  Begin();
  cluster_->KillWorker(cluster_->Workers().at(0));
  RunFor(absl::Milliseconds(30));
  ASSERT_FALSE(AllRun());
  const auto saved = cluster_->TakeSavepoint({.job = job_,
                                              .trigger = TriggerId(1, 1),
                                              .directory = "/shared/saved",
                                              .then = SavepointRequest::Then::kGoOn});
  ASSERT_TRUE(saved.ok()) << saved.status();
  EXPECT_EQ(saved->state(), proto::SavepointProgress::COMPLETED) << saved->failure().message();
  Finish();
}

TEST_F(RegionSim, AJobIsRescaledAndStoppedAfterARegionStartedAgain) {
  Begin();
  cluster_->KillWorker(cluster_->Workers().at(0));
  RunFor(absl::Milliseconds(30));
  const auto rescaled =
      cluster_->Rescale({.job = job_, .trigger = TriggerId(1, 2), .parallelism = 3});
  ASSERT_TRUE(rescaled.ok()) << rescaled.status();
  EXPECT_EQ(rescaled->state(), proto::RescaleProgress::COMPLETED) << rescaled->failure().message();
  ASSERT_TRUE(cluster_->AwaitState(job_, proto::FINISHED, absl::Minutes(2)));
  ExpectWholeState(*cluster_, "tally");
}

TEST_F(RegionSim, AJobIsCancelledWhileARegionStartsAgain) {
  for (int millis = 0; millis < 80; millis += 7) {
    Begin(static_cast<std::uint64_t>(millis + 1));
    cluster_->KillWorker(cluster_->Workers().at(0));
    RunFor(absl::Milliseconds(millis));
    ASSERT_TRUE(cluster_->Cancel(job_).ok());
    ASSERT_TRUE(cluster_->AwaitState(job_, proto::CANCELED, absl::Seconds(30))) << LogOf(*cluster_);
    RunFor(absl::Seconds(5));
    EXPECT_THAT(cluster_->Workers(), ::testing::IsEmpty());
    std::uint32_t free = 0;
    const auto info = cluster_->Info();
    for (const auto& task_manager : info->task_managers()) free += task_manager.slots_free();
    EXPECT_EQ(free, 4u);
  }
}

TEST_F(RegionSim, OtherRegionsRunOnWhileSlotsAreMissing) {
  Begin();
  cluster_->KillTaskManager("tm-2");
  RunFor(absl::Seconds(6));
  EXPECT_THAT(Status().waiting_for(), HasSubstr("needs 2 slots, none is free on 1 task manager"));
  // What the first task manager has of the pipelines that never meet.
  const std::size_t lines = cluster_->Output("apart").size();
  RunFor(absl::Milliseconds(500));
  EXPECT_GT(cluster_->Output("apart").size(), lines + 50);
  cluster_->StartTaskManager("tm-2", 2);
  Finish();
  EXPECT_EQ(Status().full_restarts(), 0u);
}

TEST_F(RegionSim, RegionsFailAsTheJobDoesByItsRestartStrategy) {
  SimCluster::Options options = TallyClusterOptions(1);
  options.settings.push_back("restart-strategy.type=fixed-delay");
  options.settings.push_back("restart-strategy.fixed-delay.attempts=2");
  options.settings.push_back("restart-strategy.fixed-delay.delay=50 ms");
  options.settings.erase(options.settings.begin() + 3);
  cluster_.emplace(options);
  cluster_->StartJobManager();
  for (const char* name : {"tm-1", "tm-2"}) cluster_->StartTaskManager(name, 2);
  ASSERT_TRUE(cluster_->AwaitTaskManagers(2));
  job_ = *cluster_->Submit("regions", DescribeRegions, 4);
  ASSERT_TRUE(cluster_->AwaitState(job_, proto::RUNNING, absl::Seconds(10)));
  for (int i = 0; i < 2; ++i) {
    RunFor(absl::Milliseconds(500));
    cluster_->KillWorker(cluster_->Workers().at(0));
    ASSERT_TRUE(AwaitRestarts(static_cast<std::uint32_t>(i + 1))) << LogOf(*cluster_);
  }
  cluster_->KillWorker(cluster_->Workers().at(0));
  EXPECT_TRUE(cluster_->AwaitState(job_, proto::FAILED, absl::Seconds(20))) << LogOf(*cluster_);
  EXPECT_THAT(LogOf(*cluster_), HasSubstr("allows 2 restarts"));
}

// ---- Random kills ----

struct Restarts {
  std::uint64_t full_restarts = 0;
  std::uint64_t region_restarts = 0;
};

Restarts RunSeed(std::uint64_t seed) {
  SimCluster::Options options = TallyClusterOptions(seed);
  SimCluster cluster(options);
  SimWorld& world = cluster.world();
  SimRandom& random = world.random();
  cluster.StartJobManager();
  const std::uint64_t task_managers = 2 + random.Below(3);
  const auto name = [](std::uint64_t i) { return StrCat("tm-", i); };
  for (std::uint64_t i = 0; i < task_managers; ++i) cluster.StartTaskManager(name(i), 2);
  EXPECT_TRUE(cluster.AwaitTaskManagers(static_cast<int>(task_managers)));
  const auto parallelism = static_cast<std::uint32_t>(2 + random.Below(3));
  const auto job = cluster.Submit("regions", DescribeRegions, parallelism);
  EXPECT_TRUE(job.ok()) << job.status();
  const auto wait = [&](std::int64_t least, std::int64_t most) {
    world.RunFor(absl::Milliseconds(random.Between(least, most)));
  };
  for (std::uint64_t faults = 1 + random.Below(4); faults > 0; --faults) {
    wait(20, 2000);
    const std::vector<std::string> workers = cluster.Workers();
    const std::string worker = workers.empty() ? "" : workers[random.Below(workers.size())];
    const std::string task_manager = name(random.Below(task_managers));
    switch (random.Below(8)) {
      case 0:
        cluster.KillTaskManager(task_manager);
        wait(1, 500);
        cluster.StartTaskManager(task_manager, 2);
        break;
      case 1:
        cluster.PauseWorker(worker);
        wait(10, 6000);
        cluster.ResumeWorker(worker);
        break;
      case 2:
        world.SetConnectionLoss(0.002);
        wait(100, 1000);
        world.SetConnectionLoss(0);
        break;
      case 3: {
        const std::string other = random.Chance(0.4) ? "jobmanager" : name(0);
        if (other == task_manager) break;
        world.CutLink(task_manager, other);
        wait(10, 5000);
        world.HealLink(task_manager, other);
        break;
      }
      case 4:
        cluster.KillJobManager();
        wait(10, 2000);
        cluster.StartJobManager();
        break;
      default:
        cluster.KillWorker(worker);
        break;
    }
  }
  world.HealAllLinks();
  EXPECT_TRUE(cluster.AwaitState(*job, proto::FINISHED, absl::Minutes(5))) << LogOf(cluster);
  const auto status = cluster.Status(*job);
  if (!status.ok()) return {};
  ExpectAll(cluster, *status);
  if (::testing::Test::HasFailure()) ADD_FAILURE() << LogOf(cluster);
  return {status->full_restarts(), status->region_restarts()};
}

TEST(RegionSeedsSim, NoRegionIsTouchedByTheFailureOfAnother) {
  unsigned long long first = 1;
  unsigned long long count = 25;
  if (const char* seeds = getenv("WEIR_SIM_SEEDS"); seeds != nullptr && *seeds != 0) {
    ASSERT_EQ(sscanf(seeds, "%llu:%llu", &first, &count), 2) << "WEIR_SIM_SEEDS is FIRST:COUNT";
  }
  Restarts all;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    const Restarts run = RunSeed(seed);
    if (HasFailure()) return;
    all.full_restarts += run.full_restarts;
    all.region_restarts += run.region_restarts;
  }
  EXPECT_GT(all.region_restarts, count / 2) << all.full_restarts << " full restarts";
}

}  // namespace
}  // namespace weir::sim
