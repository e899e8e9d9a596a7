#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/time/source_watermarks.h"
#include "runtime/time/watermark_combiner.h"
#include "runtime/time/watermark_valve.h"
#include "weir/watermarks.h"

namespace weir {
namespace {

std::unique_ptr<BatchBase> OneRecord(int64_t value) {
  auto batch = std::make_unique<Batch<int64_t>>();
  batch->records.emplace_back(value);
  batch->timestamps.emplace_back(value);
  return batch;
}

std::string Describe(const TimeEvents& events) {
  std::string text;
  for (const TimeEvent& event : events) {
    text += event.kind == TimeEventKind::kWatermark
                ? "watermark " + std::to_string(event.time) + "; "
            : event.kind == TimeEventKind::kIdle ? "idle; "
                                                 : "active; ";
  }
  return text;
}

TEST(WatermarkValve, KeepsAFinishedChannelOutWhenTheOthersGoIdle) {  // Rule 25, Flink 38477
  WatermarkValve valve(3);
  TimeEvents out;
  valve.OnFinished(0, out);
  valve.OnWatermark(1, 8, out);
  valve.OnWatermark(2, 12, out);
  EXPECT_EQ(Describe(out), "watermark 8; ");
  out.clear();
  valve.OnIdle(1, out);
  EXPECT_EQ(Describe(out), "watermark 12; ");
  out.clear();
  valve.OnIdle(2, out);
  EXPECT_EQ(Describe(out), "idle; ");
  out.clear();
  valve.OnActive(2, out);
  valve.OnWatermark(2, 13, out);
  EXPECT_EQ(Describe(out), "active; watermark 13; ");
  out.clear();
  valve.OnWatermark(2, kMaxTicks, out);
  EXPECT_EQ(Describe(out), "idle; ") << "channel 1 is idle at 8, which was passed on";
  out.clear();
  valve.OnFinished(1, out);
  EXPECT_EQ(Describe(out), "active; watermark 9223372036854775807; ");
}

TEST(WatermarkValve, FlushesTheGreatestOfTheIdleOnesWhenTheLastActiveChannelFinishes) {  // Rule 25
  WatermarkValve valve(2);
  TimeEvents out;
  valve.OnWatermark(0, 20, out);
  valve.OnWatermark(1, 5, out);
  valve.OnIdle(0, out);
  valve.OnFinished(1, out);
  EXPECT_EQ(Describe(out), "watermark 5; watermark 20; idle; ");
}

TEST(InputWatermarks, AnInputAtMaxIsFinishedAndTheOtherMayGoIdle) {  // Rules 25 and 26
  InputWatermarks inputs(2);
  TimeEvents out;
  inputs.OnEvent(0, {TimeEventKind::kWatermark, 7}, out);
  inputs.OnEvent(1, {TimeEventKind::kWatermark, kMaxTicks}, out);
  inputs.OnEvent(0, {TimeEventKind::kIdle}, out);
  EXPECT_EQ(Describe(out), "watermark 7; idle; ");
}

TEST(SourceWatermarks, AnEmissionOutOfTurnDoesNotStartTheClockOfIdleness) {  // Rule 28
  SourceWatermarks watermarks([] { return std::make_unique<BoundedOutOfOrderness>(0); }, 50);
  TimeEvents out;
  watermarks.AddSplit(0, 0);
  size_t next = 0;
  watermarks.OnRecords(0, *OneRecord(10), next, 10, out);
  watermarks.EmitNow(out);
  EXPECT_EQ(Describe(out), "watermark 9; ");
  out.clear();
  watermarks.OnPeriodic(10, out);  // finds the record
  watermarks.EmitNow(out);
  watermarks.OnPeriodic(20, out);  // starts the clock
  watermarks.OnPeriodic(70, out);
  EXPECT_EQ(Describe(out), "");
  watermarks.OnPeriodic(71, out);
  EXPECT_EQ(Describe(out), "idle; ");
}

TEST(SourceWatermarks, AWatermarkInTheMiddleOfABatchComesBehindItsRecord) {  // Rule 26
  WatermarkSettings settings;
  settings.make_generator =
      GeneratorOf<int64_t>(Punctuated{[](const int64_t& value,
                                         EventTime) -> std::optional<EventTime> {
        if (value % 10 != 0) return std::nullopt;
        return EventTime::FromTicks(value);
      }}).make();
  SourceWatermarks watermarks(settings);
  watermarks.AddSplit(0, 0);
  watermarks.AddSplit(1, 0);
  Batch<int64_t> batch;
  for (const int64_t value : {5, 10, 11, 20, 21}) batch.records.emplace_back(value);
  TimeEvents out;
  size_t next = 0;
  watermarks.OnRecords(0, batch, next, kMinTicks, out);
  EXPECT_EQ(next, 5u) << "the other split holds the watermark: nothing goes downstream in between";
  EXPECT_EQ(Describe(out), "");
  next = 0;
  watermarks.OnRecords(1, batch, next, kMinTicks, out);
  EXPECT_EQ(next, 2u);
  EXPECT_EQ(Describe(out), "watermark 10; ");
  watermarks.OnRecords(1, batch, next, kMinTicks, out);
  EXPECT_EQ(next, 4u);
  watermarks.OnRecords(1, batch, next, kMinTicks, out);
  EXPECT_EQ(next, 5u);
  EXPECT_EQ(Describe(out), "watermark 10; watermark 20; ");
}

TEST(SourceWatermarks, ABoundBeyondTheFirstTimestampsStaysAtMin) {  // Rule 23
  BoundedOutOfOrderness generator(100);
  size_t next = 0;
  EXPECT_EQ(generator.OnRecords(*OneRecord(0), next, kMinTicks + 5), std::nullopt);
  EXPECT_EQ(generator.Periodic(), kMinTicks);
}

}  // namespace
}  // namespace weir
