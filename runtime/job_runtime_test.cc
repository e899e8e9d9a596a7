#include "runtime/job_runtime.h"

#include <array>
#include <chrono>
#include <condition_variable>
#include <stdexcept>
#include <vector>

#include "common/base/crash_context.h"
#include "common/base/strings.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "common/env/system/system_env.h"
#include "gmock/gmock.h"
#include "runtime/testing/test_job_internal.h"

namespace weir {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using namespace weir::testing;  // NOLINT: the jobs of this test

std::map<int64_t, int64_t> ExpectedSums(const SequenceOptions& sequence, int64_t times = 1) {
  std::map<int64_t, int64_t> sums;
  for (int64_t i = 0; i < sequence.count; ++i) sums[i % sequence.keys] += times * i;
  return sums;
}

// A job on one worker under virtual time.
class SimJob {
 public:
  explicit SimJob(uint64_t seed = 1) : world_(Options(seed)), env_(world_.StartProcess("worker")) {
    control_ = env_.NewExecutor("control");
    options.task_threads = 2;
  }
  ~SimJob() {
    runtime_.reset();
    control_.reset();
  }

  void Deploy(const JobDefinition& definition) {
    definition_ = definition;
    auto graph = BuildJobGraph(definition_, {});
    ASSERT_TRUE(graph.ok()) << graph.status();
    graph_ = *std::move(graph);
    auto runtime =
        JobRuntime::Make(env_, *control_, definition_, graph_, SpreadOver(graph_, {"here:1"}),
                         connectors_, nullptr, options, [this] { ++changes_; });
    ASSERT_TRUE(runtime.ok()) << runtime.status();
    runtime_ = *std::move(runtime);
  }
  bool RunToEnd(absl::Duration limit = absl::Seconds(60)) {
    return world_.RunUntil([this] { return AllTerminal(); }, limit);
  }
  bool AllTerminal() {
    for (const auto& task : runtime_->Report()) {
      if (!IsTerminal(task.state())) return false;
    }
    return true;
  }
  std::vector<proto::TaskState> States() {
    std::vector<proto::TaskState> states;
    for (const auto& task : runtime_->Report()) states.push_back(task.state());
    return states;
  }
  proto::Failure FirstFailure() {
    for (const auto& task : runtime_->Report()) {
      if (task.has_failure()) return task.failure();
    }
    return {};
  }
  proto::OperatorMetrics MetricsOf(const std::string& uid) {
    proto::OperatorMetrics total;
    for (const auto& task : runtime_->Report()) {
      for (const auto& metrics : task.operators()) {
        if (graph_.nodes(static_cast<int>(metrics.node())).uid() != uid) continue;
        total.set_records_in(total.records_in() + metrics.records_in());
        total.set_records_out(total.records_out() + metrics.records_out());
        total.set_bytes_in(total.bytes_in() + metrics.bytes_in());
        total.set_bytes_out(total.bytes_out() + metrics.bytes_out());
        total.set_watermark(metrics.watermark());
      }
    }
    return total;
  }

  RuntimeOptions options;
  SimWorld& world() { return world_; }
  SimEnv& env() { return env_; }
  JobRuntime& runtime() { return *runtime_; }
  void Destroy() { runtime_.reset(); }
  int changes() const { return changes_; }

 private:
  static SimOptions Options(uint64_t seed) {
    SimOptions options;
    options.seed = seed;
    return options;
  }
  SimWorld world_;
  SimEnv& env_;
  std::unique_ptr<Executor> control_;
  NoConnectors connectors_;
  JobDefinition definition_;
  proto::JobGraph graph_;
  std::unique_ptr<JobRuntime> runtime_;
  int changes_ = 0;
};

template <class T>
std::function<std::unique_ptr<Operator>()> Make() {
  return [] { return std::make_unique<T>(); };
}

TEST(JobRuntime, RunsAChainFromSourceToSink) {
  Results results;
  TestJob job;
  const SequenceOptions sequence{.count = 5000};
  const uint32_t source = job.Source("in", 1, sequence);
  const uint32_t map = job.Apply("map", 1, Make<CheckedOperator>());
  job.Connect(source, map, Partitioning::kForward);
  job.Connect(map, job.Sink("out", 1, results), Partitioning::kForward);
  SimJob run;
  run.Deploy(job.definition);
  run.runtime().Start();
  ASSERT_TRUE(run.RunToEnd());
  EXPECT_THAT(run.States(), ElementsAre(proto::TASK_FINISHED)) << run.FirstFailure().message();
  EXPECT_EQ(results.SumByKey(), ExpectedSums(sequence));
  EXPECT_EQ(run.MetricsOf("in").records_out(), 5000u);
  EXPECT_EQ(run.MetricsOf("map").records_in(), 5000u);
  EXPECT_EQ(run.MetricsOf("map").records_out(), 5000u);
  EXPECT_EQ(run.MetricsOf("out").records_in(), 5000u);
  EXPECT_EQ(run.MetricsOf("out").watermark(), kMaxTicks);
  run.world().RunFor(absl::Seconds(1));
  EXPECT_GT(run.changes(), 0);
}

TEST(JobRuntime, SendsEachKeyToItsSubtask) {  // Rule 48
  for (const uint32_t parallelism : {1u, 2u, 3u, 7u}) {
    Results results;
    TestJob job;
    const SequenceOptions sequence{.count = 20000, .keys = 300};
    const uint32_t source = job.Source("in", 2, sequence, 100000);
    const uint32_t sum = job.Apply("sum", parallelism, Make<SumOperator>());
    job.Connect(source, sum, Partitioning::kHash);
    job.Connect(sum, job.Sink("out", 1, results), Partitioning::kRebalance);
    SimJob run(parallelism);
    run.Deploy(job.definition);
    run.runtime().Start();
    ASSERT_TRUE(run.RunToEnd());
    EXPECT_EQ(run.FirstFailure().message(), "");
    EXPECT_EQ(results.SumByKey(), ExpectedSums(sequence));
    EXPECT_EQ(results.size(), 300u);
  }
}

TEST(JobRuntime, UnitesBroadcastsAndTees) {
  Results results;
  Results copies;
  TestJob job;
  const SequenceOptions sequence{.count = 3000};
  const uint32_t first = job.Source("first", 2, sequence);
  const uint32_t second = job.Source("second", 1, sequence);
  const uint32_t unite = job.Apply("unite", 3, Make<CheckedOperator>());
  job.Connect(first, unite, Partitioning::kRebalance);
  job.Connect(second, unite, Partitioning::kBroadcast);
  job.Connect(unite, job.Sink("out", 3, results), Partitioning::kForward);
  job.Connect(unite, job.Sink("copies", 1, copies), Partitioning::kRebalance);
  SimJob run;
  run.Deploy(job.definition);
  run.runtime().Start();
  ASSERT_TRUE(run.RunToEnd());
  EXPECT_EQ(run.FirstFailure().message(), "");
  EXPECT_EQ(results.SumByKey(), ExpectedSums(sequence, 1 + 3));
  EXPECT_EQ(copies.SumByKey(), ExpectedSums(sequence, 1 + 3));
  EXPECT_EQ(run.MetricsOf("unite").records_out(), 12000u)
      << "a record for two consumers is counted once";
}

// Remembers where the records of each batch were.
class LookingOperator : public CheckedOperator {
 public:
  LookingOperator(std::vector<const void*>& seen, bool leaves) : seen_(seen), leaves_(leaves) {}
  bool LeavesInput() const override { return leaves_; }
  absl::Status ProcessBatch(size_t input, BatchBase& batch) override {
    auto& events = static_cast<Batch<Event>&>(batch);
    seen_.push_back(events.records.data());
    if (!leaves_) return CheckedOperator::ProcessBatch(input, batch);
    for (const Event& event : events.records) WEIR_RETURN_IF_ERROR(Emit(event));
    return absl::OkStatus();
  }

 private:
  std::vector<const void*>& seen_;
  const bool leaves_;
};

TEST(JobRuntime, ThoseThatLeaveABatchAsItIsReadTheSameOne) {
  TestJob job;
  const SequenceOptions sequence{.count = 3000, .text_bytes = 40};
  const uint32_t source = job.Source("in", 1, sequence);
  // The second and the fourth take what they are given, so one of them needs copies.
  constexpr std::array<bool, 4> kLeaves = {true, false, true, false};
  std::array<std::vector<const void*>, 4> seen;
  std::array<Results, 4> results;
  for (size_t i = 0; i < kLeaves.size(); ++i) {
    const uint32_t look = job.Apply(StrCat("look", i), 1, [&seen, i, kLeaves] {
      return std::make_unique<LookingOperator>(seen[i], kLeaves[i]);
    });
    job.Connect(source, look, Partitioning::kForward);
    job.Connect(look, job.Sink(StrCat("out", i), 1, results[i]), Partitioning::kForward);
  }
  SimJob run;
  run.Deploy(job.definition);
  run.runtime().Start();
  ASSERT_TRUE(run.RunToEnd());
  EXPECT_EQ(run.FirstFailure().message(), "");
  for (Results& result : results) {
    EXPECT_EQ(result.size(), 3000u);
    EXPECT_EQ(result.SumByKey(), ExpectedSums(sequence));
    for (const Event& event : result.Take()) ASSERT_EQ(event.text.size(), 40u);
  }
  ASSERT_THAT(seen[0], Not(IsEmpty()));
  EXPECT_EQ(seen[0], seen[2]);
  EXPECT_EQ(seen[0], seen[3]) << "the last that takes it needs no copy";
  EXPECT_NE(seen[0], seen[1]);
  EXPECT_EQ(run.MetricsOf("in").records_out(), 3000u);
}

TEST(JobRuntime, ASlowSinkHoldsBackItsProducersAndLosesNothing) {
  Results results;
  SimJob run;
  TestJob job;
  const SequenceOptions sequence{.count = 200000, .keys = 5};
  const uint32_t source = job.Source("in", 2, sequence);
  const uint32_t sink = job.Sink("out", 1, results, &run.env(), absl::Milliseconds(10));
  job.Connect(source, sink, Partitioning::kRebalance);
  run.Deploy(job.definition);
  run.runtime().Start();
  run.world().RunFor(absl::Milliseconds(100));
  // 2 channels of 8 batches, one step of each source and of the sink, and 10 batches written.
  EXPECT_LT(run.MetricsOf("in").records_out(), 60u * 1024u);
  EXPECT_LT(results.size(), 30u * 1024u);
  ASSERT_TRUE(run.RunToEnd());
  EXPECT_EQ(results.SumByKey(), ExpectedSums(sequence));
  for (const auto& task : run.runtime().Report()) {
    EXPECT_GT(task.backpressured_micros(), task.idle_micros()) << task.ShortDebugString();
  }
}

// Watermarks per record, and what an operator sees of them.
class WatermarkRecorder final : public CheckedOperator {
 public:
  explicit WatermarkRecorder(std::vector<std::string>& seen) : seen_(seen) {}
  absl::StatusOr<bool> OnWatermark(Ticks watermark) override {
    seen_.push_back("w" + std::to_string(watermark));
    return CheckedOperator::OnWatermark(watermark);
  }

 protected:
  absl::Status OnEvent(Event& event) override {
    seen_.push_back(std::to_string(event.value));
    return absl::OkStatus();
  }

 private:
  std::vector<std::string>& seen_;
};

// Sees that the sums come before the watermark that made them.
class BeforeTheEnd final : public CheckedOperator {
 public:
  BeforeTheEnd() { check_late = false; }

 protected:
  absl::Status OnEvent(Event& event) override {
    EXPECT_LT(watermark_, kMaxTicks);
    return Emit(std::move(event));
  }
};

// Rule 8. NebulaStream 1683: what drained a full pipeline needed a buffer of it.
TEST(JobRuntime, AnOperatorThatStopsForABlockedOutputGoesOnWhereItWas) {
  for (const Partitioning after : {Partitioning::kForward, Partitioning::kRebalance}) {
    Results results;
    SimJob run;
    TestJob job;
    const SequenceOptions sequence{.count = 50000, .keys = 40000};
    const uint32_t source = job.Source("in", 1, sequence);
    const uint32_t sum = job.Apply("sum", 2, Make<SumOperator>());
    const uint32_t before =
        job.Apply("before", after == Partitioning::kForward ? 2 : 1, Make<BeforeTheEnd>());
    job.Connect(source, sum, Partitioning::kHash);
    job.Connect(sum, before, after);
    job.Connect(before,
                job.Sink("out", after == Partitioning::kForward ? 2 : 1, results, &run.env(),
                         absl::Microseconds(20)),
                Partitioning::kForward);
    run.Deploy(job.definition);
    run.runtime().Start();
    ASSERT_TRUE(run.RunToEnd());
    EXPECT_EQ(run.FirstFailure().message(), "");
    EXPECT_EQ(results.SumByKey(), ExpectedSums(sequence));
  }
}

TEST(JobRuntime, AnIdleSourceDoesNotHoldTheWatermarkOfTheOthersBack) {  // Rules 24 and 28
  std::vector<std::string> seen;
  Results nothing;
  TestJob job;
  const uint32_t stalled =
      job.Source("stalled", 1, {.count = 2, .pause_after = 1, .pause = 60'000'000});
  job.definition.nodes[stalled].watermarks.idle_after = 1'000'000;
  const uint32_t going =
      job.Source("going", 1, {.count = 1000, .pause_after = 1, .pause = 100'000});
  const uint32_t recorder =
      job.Apply("recorder", 1, [&seen] { return std::make_unique<WatermarkRecorder>(seen); });
  job.Connect(stalled, recorder, Partitioning::kRebalance);
  job.Connect(going, recorder, Partitioning::kRebalance);
  job.Connect(recorder, job.Sink("out", 1, nothing), Partitioning::kForward);
  SimJob run;
  run.Deploy(job.definition);
  run.runtime().Start();
  run.world().RunFor(absl::Milliseconds(950));
  EXPECT_THAT(seen, ::testing::Contains("w-1"));
  EXPECT_THAT(seen, ::testing::Not(::testing::Contains("w0")));
  run.world().RunFor(absl::Milliseconds(500));
  EXPECT_THAT(seen, ::testing::Contains("w10"));
}

// Has nothing but an event for its second output.
class MalformedReader final : public SourceReader {
 public:
  absl::Status Open(SourceContext& context) override {
    context_ = &context;
    return absl::OkStatus();
  }
  uint32_t splits() const override { return 0; }
  absl::StatusOr<PollResult> Poll(BatchBase&, size_t) override {
    Batch<Event> bad;
    bad.records.emplace_back(Event{1, 99, {}, ""});
    WEIR_RETURN_IF_ERROR(context_->malformed_output()->Push(bad));
    return PollResult{PollState::kEnd};
  }
  std::string SnapshotPosition() const override { return ""; }
  absl::Status RestorePosition(std::string_view) override { return absl::OkStatus(); }

 private:
  SourceContext* context_ = nullptr;
};

TEST(JobRuntime, TheSecondOutputOfASourceTakesWhatItCouldNotRead) {
  Results results;
  Results malformed;
  TestJob job;
  const uint32_t source = job.Source("in", 1, {});
  job.definition.nodes[source].make_source = [] { return std::make_unique<MalformedReader>(); };
  job.definition.nodes[source].outputs.push_back({"malformed", &RecordTypeOf<Event>()});
  job.Connect(source, job.Sink("out", 1, results), Partitioning::kForward);
  job.Connect(source, job.Sink("bad", 1, malformed), Partitioning::kForward);
  job.definition.edges.back().from_port = 1;
  SimJob run;
  run.Deploy(job.definition);
  run.runtime().Start();
  ASSERT_TRUE(run.RunToEnd());
  EXPECT_EQ(results.size(), 0u);
  EXPECT_EQ(malformed.SumByKey(), (std::map<int64_t, int64_t>{{1, 99}}));
}

// Has an event a second, each announced by Wake from a timer.
class WokenReader final : public SourceReader {
 public:
  explicit WokenReader(Env& env) : timers_(env.NewExecutor("reader")) {}
  absl::Status Open(SourceContext& context) override {
    context_ = &context;
    return absl::OkStatus();
  }
  uint32_t splits() const override { return 1; }
  absl::StatusOr<PollResult> Poll(BatchBase& batch, size_t) override {
    if (ready_.exchange(false)) {
      static_cast<Batch<Event>&>(batch).records.emplace_back(
          Event{0, 1, EventTime::FromTicks(events_), ""});
      if (++events_ == 5) return PollResult{PollState::kEnd};
    }
    timers_->PostAfter(absl::Seconds(1), [this] {
      ready_.store(true);
      context_->Wake();
    });
    return PollResult{PollState::kWait};
  }
  std::string SnapshotPosition() const override { return ""; }
  absl::Status RestorePosition(std::string_view) override { return absl::OkStatus(); }
  void Close() override { timers_->Shutdown(); }

 private:
  SourceContext* context_ = nullptr;
  std::atomic<bool> ready_{false};
  int64_t events_ = 0;
  const std::unique_ptr<Executor> timers_;
};

TEST(JobRuntime, ASourceThatWaitsIsReadAgainWhenItWakesTheTask) {
  Results results;
  SimJob run;
  TestJob job;
  const uint32_t source = job.Source("in", 1, {});
  job.definition.nodes[source].make_source = [&run] {
    return std::make_unique<WokenReader>(run.env());
  };
  job.Connect(source, job.Sink("out", 1, results), Partitioning::kForward);
  run.Deploy(job.definition);
  run.runtime().Start();
  ASSERT_TRUE(run.RunToEnd());
  EXPECT_EQ(results.size(), 5u);
  EXPECT_LT(run.world().elapsed(), absl::Seconds(5) + absl::Milliseconds(1));
}

// Throws at an event with a certain value.
class ThrowingOperator final : public CheckedOperator {
 protected:
  absl::Status OnEvent(Event& event) override {
    if (event.value == 777) throw std::runtime_error("no sevens");
    return Emit(std::move(event));
  }
};

TEST(JobRuntime, NamesTheOperatorThatThrewInTheMiddleOfAChain) {
  Results results;
  TestJob job;
  const uint32_t source = job.Source("in", 1, {.count = 5000});
  const uint32_t before = job.Apply("before", 1, Make<CheckedOperator>());
  const uint32_t throwing = job.Apply("throwing", 1, Make<ThrowingOperator>());
  job.Connect(source, before, Partitioning::kForward);
  job.Connect(before, throwing, Partitioning::kForward);
  job.Connect(throwing, job.Sink("out", 1, results), Partitioning::kForward);
  SimJob run;
  run.Deploy(job.definition);
  run.runtime().Start();
  ASSERT_TRUE(run.RunToEnd());
  EXPECT_THAT(run.States(), ElementsAre(proto::TASK_FAILED));
  EXPECT_EQ(run.FirstFailure().operator_uid(), "throwing");
  EXPECT_THAT(run.FirstFailure().message(), HasSubstr("threw std::runtime_error: no sevens"));
  EXPECT_EQ(ThisThreadCrashContext().operator_uid, nullptr);
}

class RefusingOperator final : public CheckedOperator {
 protected:
  absl::Status OnEvent(Event&) override { return absl::ResourceExhaustedError("the disk is full"); }
};

TEST(JobRuntime, AFailedTaskLeavesTheOthersRunningUntilCancel) {
  Results results;
  TestJob job;
  const uint32_t good = job.Source("good", 1, {.pause_after = 100, .endless = true});
  job.Connect(good, job.Sink("out", 1, results), Partitioning::kForward);
  const uint32_t bad = job.Source("bad", 1, {.count = 10});
  const uint32_t refusing = job.Apply("refusing", 1, Make<RefusingOperator>());
  job.Connect(bad, refusing, Partitioning::kRebalance);
  job.Connect(refusing, job.Sink("bad-out", 1, results), Partitioning::kForward);
  SimJob run;
  run.Deploy(job.definition);
  run.runtime().Start();
  run.world().RunFor(absl::Milliseconds(20));
  EXPECT_EQ(run.FirstFailure().operator_uid(), "refusing");
  EXPECT_EQ(run.FirstFailure().code(), static_cast<int>(absl::StatusCode::kResourceExhausted));
  EXPECT_FALSE(run.AllTerminal());
  const size_t so_far = results.size();
  run.world().RunFor(absl::Milliseconds(20));
  EXPECT_GT(results.size(), so_far);
  run.runtime().Cancel();
  run.runtime().Cancel();
  ASSERT_TRUE(run.RunToEnd());
  const auto states = run.States();
  EXPECT_EQ(std::count(states.begin(), states.end(), proto::TASK_CANCELED), 1);
}

TEST(JobRuntime, CanBeCancelledOrDestroyedAtAnyMoment) {
  for (uint64_t moment = 0; moment < 60; ++moment) {
    SCOPED_TRACE(moment);
    Results results;
    SimJob run(moment);
    TestJob job;
    const uint32_t source = job.Source("in", 2, {.count = 50000, .pause_after = 3000});
    const uint32_t sum = job.Apply("sum", 2, Make<SumOperator>());
    job.Connect(source, sum, Partitioning::kHash);
    job.Connect(sum, job.Sink("out", 2, results, &run.env(), absl::Microseconds(50)),
                Partitioning::kRebalance);
    run.Deploy(job.definition);
    if (moment > 0) run.runtime().Start();
    for (uint64_t i = 0; i < moment * moment; ++i) run.world().Step();
    if (moment % 2 == 0) {
      run.runtime().Cancel();
      ASSERT_TRUE(run.RunToEnd());
    } else {
      run.Destroy();  // CheckedOperator sees that it is closed
    }
  }
}

TEST(JobRuntime, GivesAWatermarkAfterEveryRecordWhenAsked) {  // Rules 8, 23 and 27
  for (const Partitioning partitioning : {Partitioning::kForward, Partitioning::kRebalance}) {
    std::vector<std::string> seen;
    TestJob job;
    const uint32_t source = job.Source("in", 1, {.count = 3}, 0, true);
    const uint32_t recorder =
        job.Apply("recorder", 1, [&seen] { return std::make_unique<WatermarkRecorder>(seen); });
    job.Connect(source, recorder, partitioning);
    Results nothing;
    job.Connect(recorder, job.Sink("out", 1, nothing), Partitioning::kForward);
    SimJob run;
    run.Deploy(job.definition);
    run.runtime().Start();
    ASSERT_TRUE(run.RunToEnd());
    EXPECT_THAT(seen, ElementsAre("0", "w-1", "1", "w0", "2", "w1", "w9223372036854775807"));
  }
}

TEST(JobRuntime, TheWatermarkFollowsAtOnceWhenTheSourceRunsDry) {
  std::vector<std::string> seen;
  TestJob job;
  const uint32_t source = job.Source("in", 1, {.count = 4, .pause_after = 2, .pause = 60'000'000});
  const uint32_t recorder =
      job.Apply("recorder", 1, [&seen] { return std::make_unique<WatermarkRecorder>(seen); });
  job.Connect(source, recorder, Partitioning::kForward);
  Results nothing;
  job.Connect(recorder, job.Sink("out", 1, nothing), Partitioning::kForward);
  SimJob run;
  run.options.watermark_interval = absl::Hours(1);
  run.Deploy(job.definition);
  run.runtime().Start();
  run.world().RunFor(absl::Milliseconds(1));
  EXPECT_THAT(seen, ElementsAre("0", "1", "w0"));
  ASSERT_TRUE(run.RunToEnd(absl::Minutes(5)));
}

// Asks to be woken at fixed times; puts out how late it was.
class AlarmOperator final : public CheckedOperator {
 public:
  explicit AlarmOperator(std::vector<Ticks>& late) : late_(late) {}
  absl::Status Open(OperatorContext& context) override {
    WEIR_RETURN_IF_ERROR(CheckedOperator::Open(context));
    at_ = context.ProcessingTime() + 1'000'000;
    context.WakeAt(at_);
    return absl::OkStatus();
  }
  absl::StatusOr<bool> OnProcessingTime(Ticks now) override {
    late_.push_back(now - at_);
    if (late_.size() == 3) return true;
    at_ = now + 20'000'000;
    context_->WakeAt(at_);
    return true;
  }

 private:
  std::vector<Ticks>& late_;
  Ticks at_ = 0;
};

TEST(JobRuntime, WakesAnOperatorInTheTickAfterTheOneItAskedFor) {  // Rule 20
  std::vector<Ticks> late;
  TestJob job;
  const uint32_t source = job.Source("in", 1, {.count = 2, .pause_after = 1, .pause = 100'000'000});
  const uint32_t alarm =
      job.Apply("alarm", 1, [&late] { return std::make_unique<AlarmOperator>(late); });
  job.Connect(source, alarm, Partitioning::kForward);
  Results nothing;
  job.Connect(alarm, job.Sink("out", 1, nothing), Partitioning::kForward);
  SimJob run;
  run.Deploy(job.definition);
  run.runtime().Start();
  ASSERT_TRUE(run.RunToEnd(absl::Minutes(5)));
  // The simulator takes a tick to run what a timer posts.
  EXPECT_THAT(late, ElementsAre(AnyOf(1, 2), AnyOf(1, 2), AnyOf(1, 2)));
}

class BadMetricsOperator final : public CheckedOperator {
 public:
  absl::Status Open(OperatorContext& context) override {
    context.metrics().counter("twice").Add();
    context.metrics().gauge("twice").Set(1);
    return CheckedOperator::Open(context);
  }
};

TEST(JobRuntime, AMetricNameForTwoKindsEndsTheTask) {
  TestJob job;
  const uint32_t source = job.Source("in", 1, {.pause_after = 100, .endless = true});
  Results nothing;
  const uint32_t metrics = job.Apply("metrics", 1, Make<BadMetricsOperator>());
  job.Connect(source, metrics, Partitioning::kForward);
  job.Connect(metrics, job.Sink("out", 1, nothing), Partitioning::kForward);
  SimJob run;
  run.Deploy(job.definition);
  run.runtime().Start();
  ASSERT_TRUE(run.RunToEnd());
  EXPECT_EQ(run.FirstFailure().operator_uid(), "metrics");
  EXPECT_THAT(run.FirstFailure().message(),
              HasSubstr("'twice' of a metric is used for a counter and for a gauge"));
}

TEST(JobRuntime, AWaitingJobHardlyRuns) {
  Results results;
  TestJob job;
  const uint32_t source =
      job.Source("in", 4, {.count = 8, .pause_after = 1, .pause = 3'600'000'000});
  job.definition.nodes[source].watermarks.idle_after = 10'000'000;
  const uint32_t sum = job.Apply("sum", 4, Make<SumOperator>());
  job.Connect(source, sum, Partitioning::kHash);
  job.Connect(sum, job.Sink("out", 4, results), Partitioning::kForward);
  SimJob run;
  run.Deploy(job.definition);
  run.runtime().Start();
  run.world().RunFor(absl::Seconds(30));
  const uint64_t before = run.world().executed_events();
  run.world().RunFor(absl::Seconds(100));
  EXPECT_LT(run.world().executed_events() - before, 500u);
}

TEST(JobRuntime, TwoRunsOfOneSeedAreTheSame) {
  uint64_t hashes[2];
  for (uint64_t& hash : hashes) {
    Results results;
    SimJob run(42);
    TestJob job;
    const uint32_t source = job.Source("in", 3, {.count = 30000, .pause_after = 500});
    const uint32_t sum = job.Apply("sum", 3, Make<SumOperator>());
    job.Connect(source, sum, Partitioning::kHash);
    job.Connect(sum, job.Sink("out", 1, results, &run.env(), absl::Microseconds(100)),
                Partitioning::kRebalance);
    run.Deploy(job.definition);
    run.runtime().Start();
    ASSERT_TRUE(run.RunToEnd());
    hash = run.world().hash();
  }
  EXPECT_EQ(hashes[0], hashes[1]);
}

TEST(JobRuntime, AFactoryThatThrowsIsAnErrorThatNamesTheOperator) {
  Results results;
  TestJob job;
  const uint32_t source = job.Source("in", 1, {});
  const uint32_t op =
      job.Apply("broken", 1, []() -> std::unique_ptr<Operator> { throw std::bad_alloc(); });
  job.Connect(source, op, Partitioning::kForward);
  job.Connect(op, job.Sink("out", 1, results), Partitioning::kForward);
  auto graph = BuildJobGraph(job.definition, {});
  ASSERT_TRUE(graph.ok());
  SimWorld world;
  SimEnv& env = world.StartProcess("worker");
  auto control = env.NewExecutor("control");
  NoConnectors connectors;
  auto runtime = JobRuntime::Make(env, *control, job.definition, *graph,
                                  SpreadOver(*graph, {"a:1"}), connectors, nullptr, {}, [] {});
  EXPECT_THAT(std::string(runtime.status().message()),
              HasSubstr("operator 'broken' threw std::bad_alloc"));
}

TEST(JobRuntime, RefusesAPlanThatDoesNotFitTheGraph) {
  Results results;
  TestJob job;
  const uint32_t source = job.Source("in", 2, {});
  job.Connect(source, job.Sink("out", 2, results), Partitioning::kForward);
  auto graph = BuildJobGraph(job.definition, {});
  ASSERT_TRUE(graph.ok());
  SimWorld world;
  SimEnv& env = world.StartProcess("worker");
  auto control = env.NewExecutor("control");
  NoConnectors connectors;
  proto::DeploymentPlan plan = SpreadOver(*graph, {"a:1", "b:2"});
  auto runtime =
      JobRuntime::Make(env, *control, job.definition, *graph, {}, connectors, nullptr, {}, [] {});
  EXPECT_THAT(std::string(runtime.status().message()), HasSubstr("places 0 of 2 subtasks"));
  graph->mutable_nodes(0)->set_uid("other");
  runtime =
      JobRuntime::Make(env, *control, job.definition, *graph, plan, connectors, nullptr, {}, [] {});
  EXPECT_THAT(std::string(runtime.status().message()), HasSubstr("operator 0 is 'in' and 'other'"));
}

// The same with threads.
class ThreadedJob {
 public:
  ThreadedJob() : env_(MakeSystemEnv()), control_(env_->NewExecutor("control")) {}
  ~ThreadedJob() {
    OnControl([this] { runtime_.reset(); });
    control_->Shutdown();
  }
  void Start(const JobDefinition& definition, RuntimeOptions options) {
    definition_ = definition;
    auto graph = BuildJobGraph(definition_, {});
    ASSERT_TRUE(graph.ok()) << graph.status();
    graph_ = *std::move(graph);
    OnControl([&] {
      auto runtime =
          JobRuntime::Make(*env_, *control_, definition_, graph_, SpreadOver(graph_, {"here:1"}),
                           connectors_, nullptr, options, [this] { OnChange(); });
      ASSERT_TRUE(runtime.ok()) << runtime.status();
      runtime_ = *std::move(runtime);
      runtime_->Start();
    });
  }
  // False: some task has not ended within a minute.
  bool WaitForEnd() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::minutes(1), [this] { return ended_; });
  }
  void ExpectAll(proto::TaskState state) {
    for (const auto& task : runtime_->Report()) {
      EXPECT_EQ(task.state(), state) << task.failure().message();
    }
  }
  void OnControl(const std::function<void()>& call) {
    std::unique_lock lock(mutex_);
    bool done = false;
    control_->Post([&] {
      call();
      std::unique_lock inner(mutex_);
      done = true;
      changed_.notify_all();
    });
    changed_.wait(lock, [&] { return done; });
  }
  Env& env() { return *env_; }
  JobRuntime& runtime() { return *runtime_; }

 private:
  void OnChange() {
    bool ended = true;
    for (const auto& task : runtime_->Report()) ended = ended && IsTerminal(task.state());
    std::unique_lock lock(mutex_);
    ended_ = ended;
    changed_.notify_all();
  }
  std::unique_ptr<Env> env_;
  std::unique_ptr<Executor> control_;
  NoConnectors connectors_;
  JobDefinition definition_;
  proto::JobGraph graph_;
  std::unique_ptr<JobRuntime> runtime_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
};

TEST(JobRuntimeThreads, GiveTheSameResultAsOne) {
  for (const uint32_t threads : {1u, 2u, 4u}) {
    Results results;
    ThreadedJob run;
    TestJob job;
    const SequenceOptions sequence{
        .count = 300000, .keys = 100, .pause_after = 20000, .pause = 100};
    const uint32_t source = job.Source("in", 2, sequence);
    const uint32_t map = job.Apply("map", 2, Make<CheckedOperator>());
    const uint32_t sum = job.Apply("sum", 3, Make<SumOperator>());
    job.Connect(source, map, Partitioning::kRebalance);
    job.Connect(map, sum, Partitioning::kHash);
    job.Connect(sum, job.Sink("out", 1, results, &run.env(), absl::Microseconds(10)),
                Partitioning::kRebalance);
    RuntimeOptions options;
    options.task_threads = threads;
    run.Start(job.definition, options);
    ASSERT_TRUE(run.WaitForEnd());
    run.ExpectAll(proto::TASK_FINISHED);
    EXPECT_EQ(results.SumByKey(), ExpectedSums(sequence));
  }
}

TEST(JobRuntimeThreads, CanBeCancelledInFullFlight) {
  for (int i = 0; i < 10; ++i) {
    Results results;
    ThreadedJob run;
    TestJob job;
    const uint32_t source = job.Source("in", 2, {.keys = 100, .endless = true});
    const uint32_t sum = job.Apply("sum", 2, Make<SumOperator>());
    job.Connect(source, sum, Partitioning::kHash);
    job.Connect(sum, job.Sink("out", 1, results), Partitioning::kRebalance);
    RuntimeOptions options;
    options.task_threads = 2;
    run.Start(job.definition, options);
    run.OnControl([&run, i] {
      if (i % 2 == 0) run.runtime().Cancel();
    });
    if (i % 2 != 0) continue;  // destroyed in flight
    ASSERT_TRUE(run.WaitForEnd());
    run.ExpectAll(proto::TASK_CANCELED);
  }
}

}  // namespace
}  // namespace weir
