#include "runtime/task/timestamp_operator.h"

#include <memory>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/crash_context.h"
#include "common/env/clock.h"
#include "gtest/gtest.h"
#include "weir/codec.h"
#include "weir/watermarks.h"

namespace weir {
namespace {

struct Event {
  std::string key;
  int64_t value = 0;
};

WatermarkSettings SettingsOf(const Watermarks<Event>& watermarks) {
  const DefineInput input;
  JobDefinition job;
  internal::GraphBuilder graph(input, job);
  WatermarkSettings settings;
  internal::DefineWatermarks(graph, std::source_location::current(), "operator", watermarks, false,
                             settings);
  EXPECT_TRUE(job.errors.empty());
  return settings;
}

class ManualClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::FromUnixMicros(ticks); }
  int64_t MonotonicNanos() const override { return ticks * 1000; }
  int64_t ThreadCpuNanos() const override { return 0; }
  Ticks ticks = 0;
};

// What the operator puts out, as text in the order in which it goes downstream; with `blocked` it
// takes nothing.
class Downstream final : public OperatorContext, public Output {
 public:
  explicit Downstream(const ManualClock& clock) : clock_(clock) {}
  absl::Status Push(BatchBase& base) override {
    auto& batch = static_cast<Batch<Event>&>(base);
    for (size_t i = 0; i < batch.size(); ++i) {
      said.push_back(batch.records[i].key + "|" + std::to_string(batch.records[i].value) + "@" +
                     std::to_string(batch.TimestampAt(i)));
    }
    batch.Clear();
    return absl::OkStatus();
  }
  bool Blocked() const override { return blocked; }
  const std::string& uid() const override { return uid_; }
  uint32_t subtask() const override { return 0; }
  uint32_t parallelism() const override { return 1; }
  uint32_t max_parallelism() const override { return 128; }
  KeyGroupRange key_groups() const override { return {0, 127}; }
  const RunInfo& run() const override { return run_; }
  Output& output(size_t) override { return *this; }
  Ticks ProcessingTime() const override { return clock_.ticks; }
  void WakeAt(Ticks at) override { wake_at = at; }
  void WakeNow() override {}
  std::unique_ptr<OperatorThread> NewThread() override { return nullptr; }
  MetricGroup& metrics() override { std::abort(); }
  void OnLateRecord(const LateRecord&, absl::FunctionRef<void(std::string&)>) override {
    std::abort();
  }
  void OnThrown(std::string_view, std::string_view) override { std::abort(); }
  void Log(std::string_view, std::string_view) override {}

  std::vector<std::string> said;
  bool blocked = false;
  Ticks wake_at = kMaxTicks;

 private:
  const ManualClock& clock_;
  const std::string uid_ = "op";
  const RunInfo run_;
};

class Fixture {
 public:
  explicit Fixture(WatermarkSettings settings) : settings_(std::move(settings)) {
    EXPECT_TRUE(op.Open(down).ok());
  }
  std::vector<std::string> Take() {
    Drain();
    return std::exchange(down.said, {});
  }
  void Drain() {
    while (op.has_work()) {
      if (op.has_event()) {
        const TimeEvent event = op.TakeEvent();
        down.said.push_back(event.kind == TimeEventKind::kWatermark
                                ? "watermark " + std::to_string(event.time)
                            : event.kind == TimeEventKind::kIdle ? "idle"
                                                                 : "active");
      } else if (!op.Continue().value()) {
        return;
      }
    }
  }
  absl::Status Process(const std::vector<Event>& events) {
    Batch<Event> batch;
    for (const Event& event : events) batch.records.emplace_back(event);
    return op.ProcessBatch(0, batch);
  }

  ManualClock clock;
  Downstream down{clock};

 private:
  const WatermarkSettings settings_;
  const TaskClock task_clock_{clock};

 public:
  TimestampOperator op{settings_, RecordTypeOf<Event>(), task_clock_, 10'000};
};

TEST(TimestampOperator, RecordsBehindAMarkerWaitUntilItsWatermarkHasGone) {  // Rule 23
  Fixture fixture(
      SettingsOf({.timestamp = [](const Event& event) { return EventTime::FromTicks(event.value); },
                  .generator = Punctuated{[](const Event& event) { return event.key == "end"; }}}));
  ASSERT_TRUE(fixture.Process({{"a", 3}, {"end", 4}, {"a", 2}, {"end", 9}, {"a", 10}}).ok());
  EXPECT_EQ(fixture.down.said, (std::vector<std::string>{"a|3@3", "end|4@4"}));
  ASSERT_TRUE(fixture.Process({{"b", 11}}).ok());
  fixture.down.blocked = true;
  fixture.Drain();
  EXPECT_EQ(fixture.down.said, (std::vector<std::string>{"a|3@3", "end|4@4", "watermark 4"}));
  fixture.down.blocked = false;
  EXPECT_EQ(fixture.Take(),
            (std::vector<std::string>{"a|3@3", "end|4@4", "watermark 4", "a|2@2", "end|9@9",
                                      "watermark 9", "a|10@10", "b|11@11"}));
}

TEST(TimestampOperator, AWatermarkAfterEachRecordIfTheJobSaysSo) {
  Fixture fixture(
      SettingsOf({.timestamp = [](const Event& event) { return EventTime::FromTicks(event.value); },
                  .every_record = true}));
  ASSERT_TRUE(fixture.Process({{"a", 3}, {"a", 2}, {"a", 9}}).ok());
  EXPECT_EQ(fixture.Take(),
            (std::vector<std::string>{"a|3@3", "watermark 2", "a|2@2", "a|9@9", "watermark 8"}));
}

TEST(TimestampOperator, BackpressureIsNotIdleness) {  // Rule 28
  Fixture fixture(
      SettingsOf({.timestamp = [](const Event& event) { return EventTime::FromTicks(event.value); },
                  .idle_after = Duration(50)}));
  ASSERT_TRUE(fixture.Process({{"a", 3}}).ok());
  const auto period_at = [&](Ticks now) {
    fixture.clock.ticks = now;
    EXPECT_TRUE(fixture.op.OnProcessingTime(now).value());
    return fixture.Take();
  };
  EXPECT_EQ(period_at(10), (std::vector<std::string>{"a|3@3", "watermark 2"}));
  EXPECT_EQ(period_at(20), std::vector<std::string>());  // starts the clock
  fixture.clock.ticks = 30;
  fixture.op.OnBlocked(30'000);
  EXPECT_EQ(period_at(100), std::vector<std::string>());
  EXPECT_EQ(period_at(140), std::vector<std::string>()) << "50 ticks, of which 70 do not count";
  EXPECT_EQ(period_at(141), std::vector<std::string>{"idle"});
}

class Tens final : public WatermarkGenerator<Event> {
 public:
  std::optional<EventTime> OnEvent(const Event& event, EventTime at) override {
    if (event.value < 0) throw std::runtime_error("negative");
    greatest_ = std::max(greatest_, at);
    return std::nullopt;
  }
  std::optional<EventTime> OnPeriodic() override {
    return EventTime::FromTicks(greatest_.ticks() / 10 * 10);
  }

 private:
  EventTime greatest_;
};

TEST(TimestampOperator, AsksAGeneratorOfTheJobsOwnThoughNoRecordComes) {
  Fixture fixture(
      SettingsOf({.timestamp = [](const Event& event) { return EventTime::FromTicks(event.value); },
                  .generator = Tens{}}));
  EXPECT_NE(fixture.down.wake_at, kMaxTicks);
  ASSERT_TRUE(fixture.Process({{"a", 37}, {"a", 35}}).ok());
  fixture.clock.ticks = 20;
  ASSERT_TRUE(fixture.op.OnProcessingTime(20).value());
  EXPECT_EQ(fixture.Take(), (std::vector<std::string>{"a|37@37", "a|35@35", "watermark 30"}));
  EXPECT_GT(fixture.down.wake_at, 20);
}

TEST(TimestampOperator, AFunctionThatThrowsLeavesTheRecord) {
  Fixture fixture(
      SettingsOf({.timestamp = [](const Event& event) { return EventTime::FromTicks(event.value); },
                  .generator = Tens{}}));
  EXPECT_THROW((void)fixture.Process({{"a", 1}, {"b", -2}, {"c", 3}}), std::runtime_error);
  EXPECT_EQ(ThisThreadFailedInput().record, R"({"key":"b","value":-2})");
  Fixture of_timestamps(SettingsOf({.timestamp = [](const Event& event) {
    if (event.value > 2) throw std::runtime_error("too great");
    return EventTime::FromTicks(event.value);
  }}));
  EXPECT_THROW((void)of_timestamps.Process({{"a", 1}, {"b", -2}, {"c", 3}}), std::runtime_error);
  EXPECT_EQ(ThisThreadFailedInput().record, R"({"key":"c","value":3})");
}

}  // namespace
}  // namespace weir
