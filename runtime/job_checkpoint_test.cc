// Checkpoints of jobs on several workers under virtual time: what is restored from any of them ends
// as if nothing had happened.
#include <optional>
#include <set>
#include <tuple>

#include "gmock/gmock.h"
#include "runtime/exchange/in_flight.h"
#include "runtime/testing/sim_cluster_internal.h"

namespace weir {
namespace {

using namespace weir::testing;  // NOLINT: the jobs of this test

using TaskKey = std::pair<uint32_t, uint32_t>;
using JobState = std::map<TaskKey, std::shared_ptr<const TaskState>>;

// Gathers what tasks tell and knows the newest checkpoint that all tasks have told.
class Checkpoints {
 public:
  explicit Checkpoints(size_t tasks) : tasks_(tasks) {}

  void Add(TaskCheckpoint checkpoint) {
    const TaskKey key{checkpoint.vertex, checkpoint.subtask};
    EXPECT_TRUE(checkpoint.failed.ok()) << checkpoint.failed;
    auto state = std::make_shared<const TaskState>(std::move(checkpoint.state));
    if (checkpoint.final) {
      EXPECT_TRUE(final_.emplace(key, std::pair(checkpoint.barrier.id, std::move(state))).second)
          << "told twice";
    } else {
      EXPECT_TRUE(pending_[checkpoint.barrier.id].emplace(key, std::move(state)).second);
    }
    // A final state completes whatever waited for it.
    for (auto& [id, told] : pending_) {
      JobState all = told;
      for (const auto& [task, of_final] : final_) {
        if (of_final.first < id) all.emplace(task, of_final.second);
      }
      if (all.size() < tasks_ || id <= newest_) continue;
      newest_ = id;
      state_ = std::move(all);
    }
  }
  uint64_t newest() const { return newest_; }
  const JobState& state() const { return state_; }

 private:
  const size_t tasks_;
  std::map<uint64_t, JobState> pending_;
  // With the last checkpoint that the task has seen before.
  std::map<TaskKey, std::pair<uint64_t, std::shared_ptr<const TaskState>>> final_;
  uint64_t newest_ = 0;
  JobState state_;
};

size_t TasksOf(const proto::JobGraph& graph) {
  size_t tasks = 0;
  for (const proto::Vertex& vertex : graph.vertices()) tasks += vertex.parallelism();
  return tasks;
}

// What a worker does when it reads a checkpoint: records in flight go to the task that was to read
// them, first what had arrived, then what its sender had.
JobState AsRestored(const proto::JobGraph& graph, const JobState& state, uint64_t& in_flight) {
  std::map<uint32_t, uint32_t> vertex_of;
  for (const proto::Vertex& vertex : graph.vertices()) {
    for (const uint32_t node : vertex.nodes()) vertex_of[node] = vertex.id();
  }
  std::map<TaskKey, TaskState> tasks;
  std::map<std::tuple<TaskKey, uint32_t, uint32_t>, std::string> elements[2];
  for (const auto& [key, task] : state) {
    for (OperatorState& node : tasks[key] = *task) {
      for (OperatorState::InFlight& part : node.in_flight) {
        const uint32_t to = vertex_of.at(graph.edges(static_cast<int>(part.edge)).to_node());
        elements[part.sent ? 1 : 0][{{to, part.to_subtask}, part.edge, part.from_subtask}] +=
            part.elements;
        ++in_flight;
      }
      node.in_flight.clear();
    }
  }
  for (const auto& sent : elements[1]) elements[0][sent.first] += sent.second;
  for (auto& [channel, bytes] : elements[0]) {
    const auto& [to, edge, from] = channel;
    tasks.at(to).front().in_flight.push_back({edge, from, to.second, false, std::move(bytes)});
  }
  JobState restored;
  for (auto& [key, task] : tasks) {
    restored[key] = std::make_shared<const TaskState>(std::move(task));
  }
  return restored;
}

// A sum over records of which each takes several frames between workers.
struct JobOfLargeRecords {
  JobOfLargeRecords(SimRandom& random, Results& results) {
    SequenceOptions options;
    options.count = 150;
    options.keys = 7;
    options.text_bytes = 70'000 + random.Below(200'000);
    for (int64_t i = 0; i < options.count; ++i) expected[i % options.keys] += i;
    const uint32_t source = job.Source("source", 2, options);
    const uint32_t sum = job.Apply("sum", 3, [] { return std::make_unique<SumOperator>(); });
    const uint32_t keep =
        job.Apply("keep", 2, [&results] { return std::make_unique<KeepOperator>(results); });
    job.Connect(source, sum, Partitioning::kHash);
    job.Connect(sum, keep, Partitioning::kRebalance);
    job.Connect(keep, job.Sink("none", 1, rest), Partitioning::kRebalance);
  }
  TestJob job;
  Results rest;
  std::map<int64_t, int64_t> expected;
};

struct Tally {
  uint64_t checkpoints = 0;
  uint64_t restored = 0;
  // At least once: keys of which some records count twice.
  uint64_t repeated = 0;
  // Channels of restored checkpoints with records in flight.
  uint64_t in_flight = 0;
};

// Runs a random job to its end over a few attempts, each killed at a random moment and restored
// from the newest complete checkpoint of the one before.
void RunWithKills(uint64_t seed, Tally& tally, BarrierOptions barriers = {}, bool large = false) {
  JobState restore;
  SimRandom faults(seed * 7919);
  const uint64_t kills = faults.Below(4);
  uint64_t next_id = 1;
  for (uint64_t attempt = 0; attempt <= kills; ++attempt) {
    SCOPED_TRACE("attempt " + std::to_string(attempt));
    Results results;
    SimCluster cluster(seed + 100'000 * attempt, 1 + static_cast<uint32_t>(faults.Below(3)));
    SimRandom shape(seed);
    std::optional<RandomJob> random;
    std::optional<JobOfLargeRecords> of_large;
    if (large) {
      of_large.emplace(shape, results);
    } else {
      random.emplace(shape, cluster.env(0), results, /*keep=*/true,
                     /*check_late=*/!barriers.at_least_once);
    }
    const auto& expected = large ? of_large->expected : random->expected;
    std::optional<Checkpoints> checkpoints;
    cluster.configure = [&](RuntimeOptions& options) {
      options.on_checkpoint = [&](TaskCheckpoint checkpoint) {
        checkpoints->Add(std::move(checkpoint));
      };
      options.restore = restore;
      options.barriers = barriers;
    };
    cluster.Deploy(large ? of_large->job.definition : random->job.definition);
    checkpoints.emplace(TasksOf(cluster.graph()));
    cluster.Start();
    const bool last = attempt == kills;
    uint64_t steps = last ? ~uint64_t{0} : 200 + faults.Below(large ? 1'000 : 20'000);
    const uint64_t interval = 50 + faults.Below(large ? 100 : 2'000);
    while (!cluster.AllTerminal() && steps > 0) {
      const Barrier barrier{next_id++, absl::ToUnixMicros(cluster.env(0).clock().Now())};
      // Workers hear of it at different times, or never.
      for (size_t i = 0; i < cluster.workers(); ++i) {
        if (faults.Chance(0.05)) continue;
        cluster.TriggerCheckpoint(i, barrier);
        for (uint64_t k = faults.Below(100); k > 0; --k) cluster.world().Step();
      }
      for (uint64_t k = 0; k < interval && steps > 0 && !cluster.AllTerminal(); ++k, --steps) {
        if (!cluster.world().Step()) FAIL() << "hangs";
      }
      // It is given up, complete or not, so that no task waits for a barrier that never comes.
      if (faults.Chance(0.3)) cluster.AbortCheckpoint(barrier.id);
    }
    ASSERT_EQ(cluster.Failures(), "");
    tally.checkpoints += checkpoints->newest() > 0 ? 1 : 0;
    if (checkpoints->newest() > 0) {
      restore = AsRestored(cluster.graph(), checkpoints->state(), tally.in_flight);
      tally.restored += last ? 0 : 1;
    }
    if (!last) continue;
    const std::map<int64_t, int64_t> sums = results.SumByKey();
    if (!barriers.at_least_once) {
      ASSERT_EQ(sums, expected);
      continue;
    }
    ASSERT_EQ(sums.size(), expected.size());
    for (const auto& [key, sum] : expected) {
      ASSERT_GE(sums.at(key), sum) << "key " << key << " has lost something";
      tally.repeated += sums.at(key) > sum ? 1 : 0;
    }
  }
}

TEST(JobCheckpoint, ARestoredJobEndsAsIfNothingHadHappened) {
  Tally tally;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RunWithKills(seed, tally);
    if (HasFatalFailure() || HasFailure()) return;
  }
  // Otherwise nothing was shown.
  EXPECT_GT(tally.restored, 50u);
}

// Rule 43.
TEST(JobCheckpoint, BarriersThatOvertakeLoseAndRepeatNothing) {
  Tally tally;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RunWithKills(seed, tally, {.unaligned = true});
    if (HasFatalFailure() || HasFailure()) return;
  }
  EXPECT_GT(tally.restored, 50u);
  EXPECT_GT(tally.in_flight, 100u) << "otherwise nothing was overtaken";
}

// Rule 43: a barrier overtakes the rest of a record, too.
TEST(JobCheckpoint, BarriersThatOvertakeWithinRecordsLoseAndRepeatNothing) {
  Tally tally;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RunWithKills(seed, tally, {.unaligned = true}, /*large=*/true);
    if (HasFatalFailure() || HasFailure()) return;
  }
  EXPECT_GT(tally.restored, 30u);
  EXPECT_GT(tally.in_flight, 100u) << "otherwise nothing was overtaken";
}

// Rule 43, with a timeout that some checkpoints meet and others do not.
TEST(JobCheckpoint, BarriersThatOvertakeAfterATimeoutLoseAndRepeatNothing) {
  Tally tally;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RunWithKills(seed, tally,
                 {.unaligned = true, .aligned_timeout = static_cast<Ticks>(seed % 10) * 300 + 1});
    if (HasFatalFailure() || HasFailure()) return;
  }
  EXPECT_GT(tally.restored, 50u);
  EXPECT_GT(tally.in_flight, 30u) << "otherwise nothing was overtaken";
}

// Rule 44.
TEST(JobCheckpoint, AtLeastOnceNothingIsLostAndSomeIsRepeated) {
  Tally tally;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RunWithKills(seed, tally, {.at_least_once = true});
    if (HasFatalFailure() || HasFailure()) return;
  }
  EXPECT_GT(tally.restored, 30u);
  EXPECT_GT(tally.repeated, 30u) << "otherwise barriers were aligned";
}

// Writes down what it is told.
class RecordingOperator final : public CheckedOperator {
 public:
  explicit RecordingOperator(std::vector<std::string>& told) : told_(told) { check_late = false; }
  absl::StatusOr<bool> OnWatermark(Ticks watermark) override {
    told_.push_back("watermark " + std::to_string(watermark));
    return true;
  }

 protected:
  absl::Status OnEvent(Event& event) override {
    told_.push_back("record " + std::to_string(event.value));
    return Emit(std::move(event));
  }

 private:
  std::vector<std::string>& told_;
};

// Rule 43: an exchange has become a call, since both ends are alone now.
TEST(JobCheckpoint, WhatWasInFlightIsProcessedInTheChainFromItsTailAndThenTheWatermarkComes) {
  SimCluster cluster(1, 1);
  TestJob job;
  Results results;
  std::vector<std::string> told;
  SequenceOptions options;
  options.endless = true;
  options.pause_after = 1;
  options.pause = 3'600'000'000;
  const uint32_t source = job.Source("source", 1, options);
  const uint32_t first =
      job.Apply("first", 1, [] { return Checked<CheckedOperator>(/*check_late=*/false); });
  const uint32_t second =
      job.Apply("second", 1, [&] { return std::make_unique<RecordingOperator>(told); });
  job.Connect(source, first, Partitioning::kHash);
  job.Connect(first, second, Partitioning::kHash);
  job.Connect(second, job.Sink("sink", 1, results), Partitioning::kRebalance);
  const auto in_flight = [](uint32_t edge, std::vector<int64_t> values) {
    Batch<Event> batch;
    for (const int64_t value : values) {
      batch.records.emplace_back(Event{value, value, EventTime::FromTicks(value), ""});
      batch.timestamps.emplace_back(value);
    }
    OperatorState::Rewired rewired;
    rewired.edge = edge;
    rewired.watermark = 100;
    rewired.channels.push_back({{0, 127}, ""});
    AppendInFlightWatermark(rewired.channels[0].elements, 55);
    AppendInFlightBatch(rewired.channels[0].elements, RecordTypeOf<Event>(), batch);
    return rewired;
  };
  auto state = std::make_shared<TaskState>(4);
  const Ticks watermarks[] = {100, 80, 50, 50};
  for (uint32_t node = 0; node < 4; ++node) {
    (*state)[node].node = node;
    (*state)[node].watermark = watermarks[node];
  }
  (*state)[first].rewired.push_back(in_flight(0, {90, 95}));
  (*state)[second].rewired.push_back(in_flight(1, {60, 70}));
  cluster.configure = [&](RuntimeOptions& runtime) { runtime.restore[{0, 0}] = state; };
  cluster.Deploy(job.definition);
  ASSERT_EQ(cluster.graph().vertices_size(), 1);
  cluster.Start();
  cluster.world().RunFor(absl::Seconds(1));
  EXPECT_EQ(cluster.Failures(), "");
  EXPECT_THAT(told, ::testing::ElementsAre("watermark 50", "record 60", "record 70", "record 90",
                                           "record 95", "watermark 100", "record 0"));
  EXPECT_EQ(results.size(), 5u);
}

// Endless sources on two workers, and a sink that takes one batch and then nothing.
struct Stuck {
  explicit Stuck(BarrierOptions barriers, BarrierKind kind = BarrierKind::kCheckpoint)
      : cluster(1, 2) {
    SequenceOptions options;
    options.endless = true;
    options.text_bytes = 1000;
    const uint32_t source = job.Source("source", 2, options);
    const uint32_t stage =
        job.Apply("stage", 2, [] { return std::make_unique<CheckedOperator>(); });
    const uint32_t sum = job.Apply("pass", 3, [] { return std::make_unique<CheckedOperator>(); });
    job.Connect(source, stage, Partitioning::kRebalance);
    job.Connect(stage, sum, Partitioning::kHash);
    job.Connect(sum, job.Sink("sink", 1, results, &cluster.env(0), absl::Hours(1)),
                Partitioning::kRebalance);
    cluster.configure = [this, barriers](RuntimeOptions& runtime) {
      runtime.barriers = barriers;
      runtime.on_checkpoint = [this](TaskCheckpoint told) {
        checkpoints.push_back(std::move(told));
      };
    };
    cluster.Deploy(job.definition);
    cluster.Start();
    cluster.world().RunFor(absl::Seconds(5));
    taken = results.size();
    const Barrier barrier{1, absl::ToUnixMicros(cluster.env(0).clock().Now()), kind};
    for (size_t i = 0; i < cluster.workers(); ++i) cluster.TriggerCheckpoint(i, barrier);
  }
  TestJob job;
  Results results;
  SimCluster cluster;
  std::vector<TaskCheckpoint> checkpoints;
  size_t taken = 0;
};

TEST(JobCheckpoint, BehindAStuckSinkAnAlignedBarrierDoesNotArrive) {
  Stuck job({});
  job.cluster.world().RunFor(absl::Minutes(5));
  EXPECT_LT(job.checkpoints.size(), 8u);
}

// Rule 43. NebulaStream 1683: no buffer of the full channels is needed.
TEST(JobCheckpoint, BehindAStuckSinkACheckpointIsCompleteInASecond) {
  Stuck job({.unaligned = true});
  job.cluster.world().RunFor(absl::Seconds(1));
  EXPECT_EQ(job.results.size(), job.taken) << "the sink has moved";
  EXPECT_EQ(job.checkpoints.size(), 8u);
  uint64_t in_flight = 0;
  for (const TaskCheckpoint& told : job.checkpoints) in_flight += told.in_flight_bytes;
  EXPECT_GT(in_flight, 100'000u);
}

TEST(JobCheckpoint, BehindAStuckSinkAJobIsStoppedToBeRescaledInASecond) {
  for (const Ticks timeout : {Ticks{0}, Ticks{500'000}}) {
    Stuck job({.unaligned = true, .aligned_timeout = timeout}, BarrierKind::kRescale);
    job.cluster.world().RunFor(absl::Seconds(1));
    EXPECT_EQ(job.results.size(), job.taken) << "the sink has moved";
    ASSERT_EQ(job.checkpoints.size(), 8u);
    for (const TaskCheckpoint& told : job.checkpoints) {
      EXPECT_TRUE(told.failed.ok());
      EXPECT_EQ(told.barrier.kind, BarrierKind::kRescale);
    }
    for (size_t i = 0; i < job.cluster.workers(); ++i) job.cluster.CompleteCheckpoint(i, 1);
    ASSERT_TRUE(job.cluster.RunToEnd(absl::Seconds(1)));
    EXPECT_EQ(job.cluster.Failures(), "");
    EXPECT_EQ(job.results.size(), job.taken) << "what is in flight is read by the next attempt";
  }
}

TEST(JobCheckpoint, BehindAStuckSinkACheckpointIsCompleteSoonAfterItsTimeout) {
  Stuck job({.unaligned = true, .aligned_timeout = 10'000'000});
  job.cluster.world().RunFor(absl::Seconds(9));
  EXPECT_LT(job.checkpoints.size(), 8u) << "too early";
  job.cluster.world().RunFor(absl::Seconds(2));
  EXPECT_EQ(job.results.size(), job.taken) << "the sink has moved";
  EXPECT_EQ(job.checkpoints.size(), 8u);
}

// Two sources at a rate on two workers, of which the second hears of checkpoint 1 50 ms after the
// first, and one sink.
struct HalfTriggered {
  explicit HalfTriggered(BarrierOptions barriers) : cluster(1, 2) {
    SequenceOptions options;
    options.count = 1000;
    options.pause_after = 1;
    const uint32_t source = job.Source("source", 2, options);
    job.Connect(source, job.Sink("sink", 1, results), Partitioning::kRebalance);
    cluster.configure = [this, barriers](RuntimeOptions& runtime) {
      runtime.barriers = barriers;
      runtime.on_checkpoint = [this](TaskCheckpoint told) {
        if (told.vertex == 1 && !told.final) checkpoint = std::move(told);
      };
    };
    cluster.Deploy(job.definition);
    cluster.Start();
    cluster.world().RunFor(absl::Milliseconds(100));
    const Barrier barrier{1, absl::ToUnixMicros(cluster.env(0).clock().Now())};
    cluster.TriggerCheckpoint(0, barrier);
    cluster.world().RunFor(absl::Milliseconds(2));
    const size_t before = results.size();
    cluster.world().RunFor(absl::Milliseconds(48));
    while_it_waited = results.size() - before;
    cluster.TriggerCheckpoint(1, barrier);
    cluster.world().RunFor(absl::Milliseconds(50));
  }
  TestJob job;
  Results results;
  SimCluster cluster;
  size_t while_it_waited = 0;
  std::optional<TaskCheckpoint> checkpoint;
};

// Rule 41; 1,000 records a second from each source.
TEST(JobCheckpoint, ExactlyOnceOneBarrierHoldsItsChannelBack) {
  const HalfTriggered run({});
  EXPECT_NEAR(static_cast<double>(run.while_it_waited), 48, 8);
  ASSERT_TRUE(run.checkpoint.has_value());
  EXPECT_NEAR(static_cast<double>(run.checkpoint->alignment_nanos) / 1e6, 50, 6);
  EXPECT_NEAR(static_cast<double>(run.checkpoint->start_delay_nanos) / 1e6, 1, 5);
  // 50 records from the other worker, encoded.
  EXPECT_GT(run.checkpoint->alignment_bytes, 40u * 20);
  EXPECT_LT(run.checkpoint->alignment_bytes, 60u * 60);
}

// Rule 44.
TEST(JobCheckpoint, AtLeastOnceNoChannelIsHeldBack) {
  const HalfTriggered run({.at_least_once = true});
  EXPECT_NEAR(static_cast<double>(run.while_it_waited), 96, 16);
  ASSERT_TRUE(run.checkpoint.has_value());
  EXPECT_NEAR(static_cast<double>(run.checkpoint->alignment_nanos) / 1e6, 50, 6);
  EXPECT_GT(run.checkpoint->alignment_bytes, 40u * (20 + sizeof(Event)));
}

// Rule 43: a barrier is missing on one input, and what comes there is kept up to a limit.
TEST(JobCheckpoint, ATaskThatWouldHaveToKeepTooMuchDeclinesAndGoesOn) {
  constexpr uint64_t kLimit = 3'000;
  SimCluster cluster(1, 2);
  TestJob job;
  Results results;
  SequenceOptions options;
  options.count = 1000;
  options.pause_after = 1;
  const uint32_t source = job.Source("source", 2, options);
  job.Connect(source, job.Sink("sink", 1, results), Partitioning::kRebalance);
  std::map<uint64_t, TaskCheckpoint> told;
  cluster.configure = [&](RuntimeOptions& runtime) {
    runtime.barriers = {.unaligned = true, .max_in_flight_bytes = kLimit};
    runtime.on_checkpoint = [&](TaskCheckpoint checkpoint) {
      if (checkpoint.vertex != 1 || checkpoint.final) return;
      EXPECT_TRUE(told.emplace(checkpoint.barrier.id, std::move(checkpoint)).second);
    };
  };
  cluster.Deploy(job.definition);
  cluster.Start();
  cluster.world().RunFor(absl::Milliseconds(50));
  const auto barrier = [&](uint64_t id) {
    return Barrier{id, absl::ToUnixMicros(cluster.env(0).clock().Now())};
  };
  cluster.TriggerCheckpoint(0, barrier(1));
  cluster.world().RunFor(absl::Milliseconds(20));
  EXPECT_TRUE(told.empty()) << "too early";
  cluster.world().RunFor(absl::Milliseconds(200));
  ASSERT_EQ(told.size(), 1u);
  const TaskCheckpoint& declined = told.at(1);
  EXPECT_EQ(declined.failed.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(declined.failed.message()),
              ::testing::AllOf(::testing::HasSubstr("has not come on all inputs"),
                               ::testing::HasSubstr("at most 3000 are kept")));
  EXPECT_TRUE(declined.state.empty());

  cluster.AbortCheckpoint(1);
  for (const size_t worker : {0, 1}) cluster.TriggerCheckpoint(worker, barrier(2));
  cluster.world().RunFor(absl::Milliseconds(20));
  ASSERT_EQ(told.size(), 2u);
  EXPECT_TRUE(told.at(2).failed.ok()) << told.at(2).failed;
  EXPECT_LE(told.at(2).in_flight_bytes, kLimit);
  ASSERT_TRUE(cluster.RunToEnd());
  EXPECT_EQ(cluster.Failures(), "");
  EXPECT_EQ(results.size(), 1000u);
}

}  // namespace
}  // namespace weir
