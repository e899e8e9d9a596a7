// Running jobs that are given another parallelism, on the simulated cluster: whatever is killed
// meanwhile, the result is that of a job that nobody touched.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/held_tally_job.h"
#include "tests/sim/savepoint_fixture.h"

namespace weir::sim {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::int64_t kCount = 4000;

struct Value {
  std::int64_t value = 0;
};

// Source, operator list, keyed state and timers; each number goes to files, and at the end what the
// keys have.
void DescribeFiled(Job& job) {
  auto held = job.From<Number>("numbers",
                               Generator{.make =
                                             [](std::uint64_t i) {
                                               const auto n = static_cast<std::int64_t>(i);
                                               return Number{n % kKeys, n, EventTime::FromTicks(n)};
                                             },
                                         .count = static_cast<std::uint64_t>(kCount),
                                         .rate = 500},
                               {.timestamp = &Number::at})
                  .Process<Hold>("hold", kCount - 200);
  held.Map([](const Number& number) { return Value{number.value}; })
      .To("values", Files{.path = "/shared/out/values"});
  held.KeyBy(&Number::key)
      .Process<Tally>("tally")
      .To("tallies", Files{.path = "/shared/out/tallies"});
}

constexpr std::int64_t kRules = 50;

// Tells at the end of event time what of the rules it knows, which came at the beginning.
struct Ruled : KeyedBroadcastProcess<std::int64_t, Number, Number, std::string> {
  BroadcastState<std::int64_t, std::int64_t> rules{this, "rules"};
  ValueState<std::int64_t> count{this, "count"};
  EventTimer end{this, "end"};

  void Process(const Number&, Context&) override {
    count.Mutable() += 1;
    end.Set(EventTime::FromTicks(1'000'000));
  }
  void ProcessBroadcast(const Number& rule, BroadcastContext& context) override {
    rules.Mutable(context, rule.value) += rule.value;
  }
  void OnTimer(const EventTimer&, Context& context) override {
    context.Emit(StrCat(context.key(), " ", count.Get(), " ", rules.size(), " ",
                        rules.Get(context.key()).value_or(-1)));
  }
};

void DescribeRuled(Job& job) {
  const auto make = [](std::uint64_t i) {
    const auto n = static_cast<std::int64_t>(i);
    return Number{n % kKeys, n, EventTime::FromTicks(n)};
  };
  const auto rules = job.From<Number>("rules", Generator{.make = make, .count = kRules},
                                      {.timestamp = &Number::at});
  job.From<Number>(
         "numbers",
         Generator{.make = make, .count = static_cast<std::uint64_t>(kCount), .rate = 1000},
         {.timestamp = &Number::at})
      .KeyBy(&Number::key)
      .WithBroadcast(rules)
      .Process<Ruled>("ruled")
      .To("out", Print{.prefix = "ruled"});
}

// One source ends after half a second, the other after three.
void DescribeTwoSources(Job& job) {
  const auto numbers = [&job](const char* uid, std::uint64_t count, double rate) {
    return job.From<Number>(uid,
                            Generator{.make =
                                          [](std::uint64_t i) {
                                            const auto n = static_cast<std::int64_t>(i);
                                            return Number{n % kKeys, n, EventTime::FromTicks(n)};
                                          },
                                      .count = count,
                                      .rate = rate},
                            {.timestamp = &Number::at});
  };
  numbers("short", 500, 1000)
      .Process<Hold>("hold", 400)
      .Union(numbers("long", 2500, 800))
      .KeyBy(&Number::key)
      .Process<Tally>("tally")
      .To("out", Print{.prefix = "two"});
}

void ReadLines(SimDisk& disk, const std::string& folder, std::map<std::string, int>& lines) {
  const auto entries = disk.List(folder);
  if (!entries.ok()) return;
  for (const FileInfo& entry : *entries) {
    if (entry.path[entry.path.rfind('/') + 1] == '.') continue;
    if (entry.is_directory) {
      ReadLines(disk, entry.path, lines);
      continue;
    }
    const std::string& content = (*disk.Open(entry.path))->data;
    for (size_t at = 0; at < content.size();) {
      const size_t end = content.find('\n', at);
      ++lines[content.substr(at, end - at)];
      at = end + 1;
    }
  }
}

class LiveRescaleSim : public SavepointSim {
 protected:
  void Start(std::uint64_t seed, int task_managers = 4) {
    SavepointSim::Start(seed, {"execution.checkpointing.interval=200 ms",
                               "execution.checkpointing.dir=/shared/checkpoints",
                               "execution.checkpointing.tolerable-failed-checkpoints=1000",
                               "restart-strategy.exponential-delay.initial-backoff=50 ms",
                               "restart-strategy.exponential-delay.max-backoff=1 s"});
    for (int i = 3; i <= task_managers; ++i) cluster_->StartTaskManager(StrCat("tm-", i), 2);
    ASSERT_TRUE(cluster_->AwaitTaskManagers(task_managers));
  }
  JobId SubmitFiled(uint32_t parallelism) {
    const auto job = cluster_->Submit("filed", DescribeFiled, parallelism);
    EXPECT_TRUE(job.ok()) << job.status();
    EXPECT_TRUE(cluster_->AwaitState(*job, proto::RUNNING, absl::Seconds(20))) << Log();
    return job.value_or(JobId());
  }
  RescaleRequest To(JobId job, uint32_t parallelism) {
    return {.job = job, .trigger = TriggerId(2, ++last_trigger_), .parallelism = parallelism};
  }
  // "" or why it was not done.
  std::string Rescale(JobId job, uint32_t parallelism) {
    const auto progress = cluster_->Rescale(To(job, parallelism));
    if (!progress.ok()) return std::string(progress.status().message());
    return progress->failure().message();
  }
  uint32_t Parallelism(JobId job) { return cluster_->Status(job)->graph().default_parallelism(); }
  void ExpectResults() {
    std::map<std::string, int> values;
    ReadLines(cluster_->shared_disk(), "/shared/out/values", values);
    std::map<std::string, int> expected;
    for (std::int64_t n = 0; n < kCount; ++n) expected[StrCat("{\"value\":", n, "}")] = 1;
    EXPECT_EQ(values, expected);
    std::map<std::string, int> tallies;
    ReadLines(cluster_->shared_disk(), "/shared/out/tallies", tallies);
    std::map<std::string, int> folded;
    for (const std::string& line : Expected(kCount)) folded[line] = 1;
    EXPECT_EQ(tallies, folded);
  }
};

// Rules 48, 49
TEST_F(LiveRescaleSim, UpAndDownWhileItRuns) {
  Start(1);
  const JobId job = SubmitFiled(2);
  uint32_t attempt = 1;
  for (const uint32_t parallelism : {4u, 1u, 8u, 3u}) {
    cluster_->world().RunFor(absl::Milliseconds(700));
    const auto progress = cluster_->Rescale(To(job, parallelism));
    ASSERT_TRUE(progress.ok()) << progress.status();
    ASSERT_EQ(progress->state(), proto::RescaleProgress::COMPLETED)
        << progress->failure().message() << Log();
    EXPECT_GT(progress->checkpoint_id(), 0u);
    EXPECT_GT(progress->interruption_micros(), 0);
    EXPECT_EQ(cluster_->Status(job)->attempt(), ++attempt);
    EXPECT_EQ(Parallelism(job), parallelism);
    EXPECT_EQ(State(job), proto::RUNNING);
    EXPECT_FALSE(cluster_->Status(job)->has_failure()) << "it is no failure";
  }
  ASSERT_TRUE(cluster_->AwaitState(job, proto::FINISHED, absl::Minutes(1))) << Log();
  ExpectResults();
  EXPECT_EQ(cluster_->Status(job)->attempt(), attempt);
  // Slots were given back each time.
  uint32_t free = 0;
  const auto info = cluster_->Info();
  ASSERT_TRUE(info.ok()) << info.status();
  for (const auto& task_manager : info->task_managers()) {
    free += task_manager.slots_free();
  }
  EXPECT_EQ(free, 8u);
}

TEST_F(LiveRescaleSim, WhatCannotBeIsRefusedAndTheJobGoesOn) {
  Start(2);
  const JobId job = SubmitFiled(2);
  EXPECT_THAT(Rescale(job, 0), HasSubstr("1 to 128"));
  EXPECT_THAT(Rescale(job, 129), AllOf(HasSubstr("129"), HasSubstr("1 to 128"),
                                       HasSubstr("pipeline.max-parallelism")));
  EXPECT_THAT(Rescale(job, 2), HasSubstr("has parallelism 2 already"));
  EXPECT_THAT(Rescale(job, 9), AllOf(HasSubstr("needs 9 slots"), HasSubstr("has 2"),
                                     HasSubstr("6 more are free"), HasSubstr("task managers")));
  EXPECT_THAT(Rescale(JobId(1, 1), 2), HasSubstr("there is no job"));
  const RescaleRequest first = To(job, 4);
  ASSERT_TRUE(cluster_->TriggerRescale(first).ok());
  EXPECT_THAT(Rescale(job, 3), HasSubstr("being given parallelism 4 already"));
  EXPECT_TRUE(cluster_->TriggerRescale(first).ok()) << "the same again";
  EXPECT_EQ(State(job), proto::RUNNING);
  ASSERT_TRUE(cluster_->AwaitState(job, proto::FINISHED, absl::Minutes(1))) << Log();
  EXPECT_EQ(Parallelism(job), 4u);
  EXPECT_EQ(cluster_->Status(job)->attempt(), 2u);
  EXPECT_THAT(Rescale(job, 2), HasSubstr("has ended"));
  ExpectResults();
}

TEST_F(LiveRescaleSim, AJobWithoutAFolderForItsStateIsRefused) {
  SavepointSim::Start(3, {});
  const JobId job = Submit();
  EXPECT_THAT(Rescale(job, 3), HasSubstr("execution.checkpointing.dir"));
}

// A worker is killed while the state is written: the checkpoint is not complete.
TEST_F(LiveRescaleSim, WhatFailsBeforeTheStateIsKeptLeavesTheParallelismAsItWas) {
  Start(4);
  const JobId job = SubmitFiled(2);
  cluster_->world().RunFor(absl::Seconds(1));
  bool failing = true;
  cluster_->shared_disk().set_fault([&](std::string_view operation, const std::string& path) {
    if (!failing || operation != "append" || path.find("_metadata") != std::string::npos ||
        path.find("/chk-") == std::string::npos) {
      return absl::OkStatus();
    }
    return absl::ResourceExhaustedError(StrCat(path, ": No space left on device"));
  });
  EXPECT_THAT(Rescale(job, 4), HasSubstr("No space left on device"));
  failing = false;
  EXPECT_EQ(Parallelism(job), 2u);
  EXPECT_EQ(State(job), proto::RUNNING);
  EXPECT_EQ(cluster_->Status(job)->attempt(), 1u) << "its tasks go on";
  EXPECT_EQ(Rescale(job, 4), "");
  ASSERT_TRUE(cluster_->AwaitState(job, proto::FINISHED, absl::Minutes(1))) << Log();
  ExpectResults();
}

// A task manager goes between: there are not slots enough for the new parallelism any more.
TEST_F(LiveRescaleSim, WhatDoesNotComeToRunGoesBackToTheParallelismBefore) {
  Start(5);
  const JobId job = SubmitFiled(2);
  cluster_->world().RunFor(absl::Seconds(1));
  const RescaleRequest request = To(job, 8);
  ASSERT_TRUE(cluster_->TriggerRescale(request).ok());
  ASSERT_TRUE(cluster_->world().RunUntil(
      [&] { return Log().find("is started at parallelism 8") != std::string::npos; },
      absl::Seconds(20)))
      << Log();
  cluster_->KillTaskManager("tm-4");
  auto progress = cluster_->RescaleStatus(request);
  for (int i = 0; i < 60 && progress->state() != proto::RescaleProgress::FAILED; ++i) {
    cluster_->world().RunFor(absl::Seconds(1));
    progress = cluster_->RescaleStatus(request);
  }
  ASSERT_EQ(progress->state(), proto::RescaleProgress::FAILED) << Log();
  EXPECT_THAT(progress->failure().message(), HasSubstr("did not come to run"));
  ASSERT_TRUE(cluster_->AwaitState(job, proto::RUNNING, absl::Seconds(30))) << Log();
  EXPECT_EQ(Parallelism(job), 2u);
  ASSERT_TRUE(cluster_->AwaitState(job, proto::FINISHED, absl::Minutes(1))) << Log();
  ExpectResults();
}

// The job manager is killed at any moment around it: the job has the one parallelism or the other.
TEST_F(LiveRescaleSim, AJobManagerThatIsKilledMeanwhileLosesNothing) {
  int changed = 0;
  constexpr int kSeeds = 40;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    Start(100 + seed);
    SimRandom& random = cluster_->world().random();
    const JobId job = SubmitFiled(2);
    cluster_->world().RunFor(absl::Milliseconds(random.Between(1, 1500)));
    ASSERT_TRUE(cluster_->TriggerRescale(To(job, 5)).ok());
    cluster_->world().RunFor(absl::Microseconds(random.Between(0, 20'000)));
    cluster_->KillJobManager();
    cluster_->world().RunFor(absl::Milliseconds(random.Between(1, 3000)));
    cluster_->StartJobManager();
    ASSERT_TRUE(cluster_->AwaitState(job, proto::FINISHED, absl::Minutes(2))) << Log();
    const uint32_t parallelism = Parallelism(job);
    EXPECT_TRUE(parallelism == 2 || parallelism == 5) << parallelism;
    if (parallelism == 5) ++changed;
    ExpectResults();
    if (HasFailure()) FAIL() << Log();
  }
  EXPECT_GT(changed, 3);
  EXPECT_LT(changed, kSeeds - 3);
}

// What has ended ends again at once, and its state is there.
TEST_F(LiveRescaleSim, PartsOfTheJobThatHaveEndedAreNotRepeated) {
  std::map<std::int64_t, std::pair<std::int64_t, std::int64_t>> tallies;
  for (const std::int64_t count : {500, 2500}) {
    for (std::int64_t n = 0; n < count; ++n) {
      tallies[n % kKeys].first += 1;
      tallies[n % kKeys].second += n;
    }
  }
  std::set<std::string> expected;
  for (const auto& [key, tally] : tallies) {
    expected.insert(StrCat("\"", key, " ", tally.first, " ", tally.second, "\""));
  }
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    Start(300 + seed);
    SimRandom& random = cluster_->world().random();
    const auto job = cluster_->Submit("two", DescribeTwoSources, 2);
    ASSERT_TRUE(job.ok()) << job.status();
    ASSERT_TRUE(cluster_->AwaitState(*job, proto::RUNNING, absl::Seconds(20))) << Log();
    for (const uint32_t parallelism : {3u, 1u, 4u}) {
      cluster_->world().RunFor(absl::Milliseconds(random.Between(300, 800)));
      EXPECT_EQ(Rescale(*job, parallelism), "") << Log();
    }
    ASSERT_TRUE(cluster_->AwaitState(*job, proto::FINISHED, absl::Minutes(1))) << Log();
    const std::vector<std::string> lines = cluster_->Output("two");
    EXPECT_EQ(std::set<std::string>(lines.begin(), lines.end()), expected);
    EXPECT_EQ(lines.size(), expected.size()) << "each once: nothing has failed";
    if (HasFailure()) FAIL() << Log();
  }
}

// Rule 49: what was broadcast is copied to each subtask, though its source has ended.
TEST_F(LiveRescaleSim, BroadcastStateIsCopiedUpAndDown) {
  std::set<std::string> expected;
  for (std::int64_t key = 0; key < kKeys; ++key) {
    const std::int64_t count = (kCount - key + kKeys - 1) / kKeys;
    expected.insert(StrCat("\"", key, " ", count, " ", kRules, " ", key, "\""));
  }
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    Start(200 + seed);
    SimRandom& random = cluster_->world().random();
    const auto job =
        cluster_->Submit("ruled", DescribeRuled, static_cast<uint32_t>(random.Between(1, 4)));
    ASSERT_TRUE(job.ok()) << job.status();
    ASSERT_TRUE(cluster_->AwaitState(*job, proto::RUNNING, absl::Seconds(20))) << Log();
    for (int i = 0; i < 3; ++i) {
      cluster_->world().RunFor(absl::Milliseconds(random.Between(100, 800)));
      const std::string refused = Rescale(*job, static_cast<uint32_t>(random.Between(1, 8)));
      EXPECT_THAT(refused, ::testing::AnyOf("", HasSubstr("already"), HasSubstr("does not run")));
      if (!random.Chance(0.5)) continue;
      const std::vector<std::string> workers = cluster_->Workers();
      if (!workers.empty()) cluster_->KillWorker(workers[random.Below(workers.size())]);
    }
    ASSERT_TRUE(cluster_->AwaitState(*job, proto::FINISHED, absl::Minutes(1))) << Log();
    const std::vector<std::string> lines = cluster_->Output("ruled");
    EXPECT_EQ(std::set<std::string>(lines.begin(), lines.end()), expected);
    if (HasFailure()) FAIL() << Log();
  }
}

// At any moment, to any parallelism, while workers, task managers and the job manager are killed.
TEST_F(LiveRescaleSim, AnyNumberOfTimesWhileAllIsKilled) {
  std::uint64_t rescales = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    Start(1000 + seed);
    SimRandom& random = cluster_->world().random();
    const JobId job = SubmitFiled(static_cast<uint32_t>(random.Between(1, 6)));
    for (std::int64_t i = random.Between(2, 8); i > 0; --i) {
      cluster_->world().RunFor(absl::Milliseconds(random.Between(1, 900)));
      const auto begun =
          cluster_->TriggerRescale(To(job, static_cast<uint32_t>(random.Between(1, 8))));
      if (begun.ok()) ++rescales;
      if (random.Chance(0.4)) continue;
      cluster_->world().RunFor(absl::Microseconds(random.Between(0, 30'000)));
      const std::uint64_t what = random.Below(10);
      if (what < 2) {
        cluster_->KillJobManager();
        cluster_->world().RunFor(absl::Milliseconds(random.Between(1, 2000)));
        cluster_->StartJobManager();
      } else if (what < 4) {
        const std::string name = StrCat("tm-", 1 + random.Below(4));
        cluster_->KillTaskManager(name);
        cluster_->world().RunFor(absl::Milliseconds(random.Between(1, 500)));
        cluster_->StartTaskManager(name, 2);
      } else {
        const std::vector<std::string> workers = cluster_->Workers();
        if (!workers.empty()) cluster_->KillWorker(workers[random.Below(workers.size())]);
      }
    }
    ASSERT_TRUE(cluster_->AwaitState(job, proto::FINISHED, absl::Minutes(10))) << Log();
    ExpectResults();
    if (HasFailure()) FAIL() << Log();
  }
  EXPECT_GT(rescales, 100u);
}

}  // namespace
}  // namespace weir::sim
