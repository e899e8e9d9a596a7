// Sources that wait for each other (semantics rule 29): through the workers and the job manager, on
// several hosts.
#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sim/sim_cluster.h"
#include "weir/sdk.h"

namespace weir::sim {
namespace {

using namespace std::chrono_literals;  // NOLINT

struct Step {
  std::int64_t tick = 0;
  EventTime at;
};

constexpr std::int64_t kMillisPerStep = 100;
constexpr Ticks kDrift = 2'000'000;

Step MakeStep(std::uint64_t i) {
  const auto tick = static_cast<std::int64_t>(i);
  return {tick, EventTime::FromMillis(tick * kMillisPerStep)};
}

// How far each source has come, and by how much the fast one has been ahead while the slow one was
// still read.
struct Seen {
  std::map<std::string, Ticks> at;
  std::map<std::string, int> records;
  Ticks greatest_lead = 0;

  void Add(const std::string& source, EventTime time) {
    ++records[source];
    at[source] = std::max(at[source], time.ticks());
    if (records["slow"] == 200 || !at.contains("slow") || !at.contains("fast")) return;
    greatest_lead = std::max(greatest_lead, at["fast"] - at["slow"]);
  }
};
Seen* seen = nullptr;

template <class S>
void Watch(S&& stream, const std::string& name) {
  stream.To("out-" + name, ForEach{[name](const Step& step) { seen->Add(name, step.at); }});
}

// Two subtasks, on two hosts, of 200 records each, 100 a second; the time in those of the second
// one goes four times as fast.
Step MakeSkewed(std::uint64_t i) {
  const auto tick = static_cast<std::int64_t>(i);
  return {tick, EventTime::FromMillis(tick * kMillisPerStep * (tick % 2 == 0 ? 1 : 4))};
}
void DescribeSkewed(Job& job) {
  const auto drift = job.Arg<Duration>("drift", "allowed");
  Alignment align;
  if (drift > Duration()) align = {.group = "steps", .max_drift = drift};
  job.From<Step>("steps", Generator{.make = MakeSkewed, .count = 400, .rate = 200},
                 {.timestamp = &Step::at, .align = align})
      .To("out", ForEach{[](const Step& step) {
            seen->Add(step.tick % 2 == 0 ? "slow" : "fast", step.at);
          }});
}

// Of the slow one, 20 records a second and not many.
void DescribePair(Job& job) {
  const auto source = [&](const std::string& name, std::uint64_t count, double rate) {
    Watch(job.From<Step>(
              name, Generator{.make = MakeStep, .count = count, .rate = rate},
              {.timestamp = &Step::at, .align = {.group = "pair", .max_drift = Duration(kDrift)}}),
          name);
  };
  source("slow", 20, 20);
  source("fast", 200, 5'000);
}

// One pauses for a long time in the middle; it is idle then, if it may be.
void DescribeIdle(Job& job) {
  const Alignment align{.group = "pair", .max_drift = Duration(kDrift)};
  Watch(job.From<Step>("slow", Generator{.make = MakeStep, .count = 2, .rate = 0.02},
                       {.timestamp = &Step::at, .idle_after = 1s, .align = align})
            .Parallelism(1),
        "slow");
  // Held back for much longer than its timeout at first: that is no idleness.
  Watch(job.From<Step>("fast", Generator{.make = MakeStep, .count = 200, .rate = 5'000},
                       {.timestamp = &Step::at, .idle_after = 1s, .align = align})
            .Parallelism(1),
        "fast");
}

class AlignmentSimTest : public ::testing::Test {
 protected:
  AlignmentSimTest() : cluster_(Options()) {
    seen = &seen_;
    cluster_.StartJobManager();
    // A slot each: the sources run on two hosts.
    cluster_.StartTaskManager("tm-a", 1);
    cluster_.StartTaskManager("tm-b", 1);
    EXPECT_TRUE(cluster_.AwaitTaskManagers(2));
  }
  void TearDown() override {
    if (!HasFailure()) return;
    for (const std::string& line : cluster_.log()) printf("%s\n", line.c_str());
  }
  static SimCluster::Options Options() {
    SimCluster::Options options;
    options.world.seed = 5;
    options.world.min_link_delay = absl::Microseconds(100);
    options.world.max_link_delay = absl::Milliseconds(5);
    return options;
  }
  JobId Submit(SimCluster::Describe describe, std::map<std::string, std::string> arguments,
               uint32_t parallelism) {
    const auto job = cluster_.Submit("pair", describe, parallelism, std::move(arguments));
    EXPECT_TRUE(job.ok()) << job.status();
    return job.value_or(JobId());
  }

  Seen seen_;
  SimCluster cluster_;
};

// A record more than allowed may be read before its source is held back.
constexpr Ticks kOneRecord = 2 * 4 * kMillisPerStep * 1000;

TEST_F(AlignmentSimTest, WithoutAlignmentTheFastOneIsFarAhead) {
  const JobId job = Submit(DescribeSkewed, {{"drift", "0s"}}, 2);
  ASSERT_TRUE(cluster_.AwaitState(job, proto::FINISHED, absl::Seconds(60)));
  EXPECT_GT(seen_.greatest_lead, 50'000'000);
}

TEST_F(AlignmentSimTest, TheFastOneIsNoFurtherAheadThanAllowedThoughItIsOnAnotherHost) {  // Rule 29
  const JobId job = Submit(DescribeSkewed, {{"drift", "2s"}}, 2);
  ASSERT_TRUE(cluster_.AwaitState(job, proto::RUNNING, absl::Seconds(20)));
  EXPECT_EQ(cluster_.Workers().size(), 2u);
  ASSERT_TRUE(cluster_.AwaitState(job, proto::FINISHED, absl::Seconds(60)));
  EXPECT_EQ(seen_.records["slow"], 200);
  EXPECT_EQ(seen_.records["fast"], 200);
  EXPECT_LE(seen_.greatest_lead, kDrift + kOneRecord);
  EXPECT_GE(seen_.greatest_lead, kDrift / 2) << "it is held back more than needed";
}

TEST_F(AlignmentSimTest, OneThatHasEndedHoldsNobodyBack) {  // Rule 29
  const JobId job = Submit(DescribePair, {}, 1);
  // The slow one ends after a second, at 1.9 s of event time; the fast one goes on to 19.9 s.
  ASSERT_TRUE(cluster_.AwaitState(job, proto::FINISHED, absl::Seconds(5)));
  EXPECT_EQ(seen_.records["fast"], 200);
}

TEST_F(AlignmentSimTest, OneThatIsIdleHoldsNobodyBackAndOneThatIsHeldBackIsNotIdle) {  // Rule 29
  const JobId job = Submit(DescribeIdle, {}, 1);
  ASSERT_TRUE(cluster_.AwaitState(job, proto::RUNNING, absl::Seconds(20)));
  cluster_.world().RunFor(absl::Seconds(10));
  EXPECT_EQ(seen_.records["slow"], 1);
  EXPECT_EQ(seen_.records["fast"], 200);
  ASSERT_TRUE(cluster_.Cancel(job).ok());
}

TEST_F(AlignmentSimTest, SourcesGoOnWhenTheJobManagerWasAway) {  // Rule 29
  const JobId job = Submit(DescribeSkewed, {{"drift", "2s"}}, 2);
  ASSERT_TRUE(cluster_.AwaitState(job, proto::RUNNING, absl::Seconds(20)));
  cluster_.world().RunFor(absl::Seconds(1));
  cluster_.KillJobManager();
  cluster_.world().RunFor(absl::Seconds(3));
  EXPECT_LT(seen_.records["fast"], 200);
  cluster_.StartJobManager();
  ASSERT_TRUE(cluster_.AwaitState(job, proto::FINISHED, absl::Seconds(60)));
  EXPECT_EQ(seen_.records["fast"], 200);
  EXPECT_LE(seen_.greatest_lead, kDrift + kOneRecord);
}

}  // namespace
}  // namespace weir::sim
