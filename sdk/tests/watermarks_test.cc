// How event time is said in a job, and what is refused when it is defined.
#include "weir/watermarks.h"

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weir/sdk.h"

namespace weir {
namespace {

using namespace std::chrono_literals;  // NOLINT
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Click {
  std::string user;
  EventTime at;
  bool last = false;
};

class OnMinutes final : public WatermarkGenerator<Click> {
 public:
  std::optional<EventTime> OnEvent(const Click& click, EventTime) override {
    return click.last ? std::optional(click.at) : std::nullopt;
  }
};

JobDefinition Source(const Watermarks<Click>& watermarks) {
  const DefineInput input;
  JobDefinition job;
  internal::GraphBuilder graph(input, job);
  Job(graph).From<Click>("clicks", Collection<Click>{}, watermarks).To("out", Blackhole{});
  return job;
}
JobDefinition Assigned(const Watermarks<Click>& watermarks) {
  const DefineInput input;
  JobDefinition job;
  internal::GraphBuilder graph(input, job);
  Job(graph)
      .From<Click>("clicks", Collection<Click>{})
      .AssignTimestamps("times", watermarks)
      .To("out", Blackhole{});
  return job;
}

TEST(WatermarksTest, WhatIsSaidInAJobIsWhatTheRuntimeIsTold) {
  const WatermarkSettings none = Source({}).nodes[0].watermarks;
  EXPECT_TRUE(none.none);
  const WatermarkSettings bounded =
      Source({.timestamp = &Click::at, .max_delay = 5s, .idle_after = 30s}).nodes[0].watermarks;
  EXPECT_FALSE(bounded.none);
  EXPECT_EQ(bounded.max_delay, 5'000'000);
  EXPECT_EQ(bounded.idle_after, 30'000'000);
  EXPECT_FALSE(bounded.make_generator);
  const WatermarkSettings from_source =
      Source({.timestamp = SourceTimestamp{}}).nodes[0].watermarks;
  EXPECT_FALSE(from_source.none);
  EXPECT_EQ(from_source.timestamps, nullptr);
  const WatermarkSettings aligned =
      Source({.timestamp = &Click::at, .align = {.group = "all", .max_drift = 1min}})
          .nodes[0]
          .watermarks;
  EXPECT_EQ(aligned.alignment_group, "all");
  EXPECT_EQ(aligned.max_drift, 60'000'000);
  const JobDefinition assigned = Assigned({.timestamp = &Click::at, .max_delay = 1s});
  EXPECT_THAT(assigned.errors, IsEmpty());
  EXPECT_TRUE(assigned.nodes[1].assigns_timestamps);
  EXPECT_EQ(assigned.nodes[1].watermarks.max_delay, 1'000'000);
}

TEST(WatermarksTest, AGeneratorIsOneForEachSplitAndSeesTheRecords) {
  const auto make = [](const Watermarks<Click>& watermarks) {
    return Source(watermarks).nodes[0].watermarks.make_generator;
  };
  Batch<Click> batch;
  for (const bool last : {false, true, false}) {
    batch.records.emplace_back(Click{"a", EventTime::FromTicks(7), last});
    batch.timestamps.emplace_back(40);
  }
  const auto watermarks_of = [&](RecordWatermarks& generator) {
    std::vector<std::pair<std::size_t, Ticks>> made;
    for (std::size_t next = 0; next < batch.size();) {
      std::optional<Ticks> watermark;
      generator.OnRecords(batch, next, watermark);
      if (watermark.has_value()) made.emplace_back(next, *watermark);
    }
    return made;
  };
  using Made = std::pair<std::size_t, Ticks>;
  const auto own = make({.timestamp = &Click::at, .generator = OnMinutes{}});
  EXPECT_THAT(watermarks_of(*own()), ElementsAre(Made(2, 7)));
  EXPECT_NE(own(), own());
  // A marker's watermark is its timestamp, unless the function says another.
  EXPECT_THAT(
      watermarks_of(*make({.timestamp = &Click::at, .generator = Punctuated{&Click::last}})()),
      ElementsAre(Made(2, 40)));
  EXPECT_THAT(watermarks_of(*make({.timestamp = &Click::at,
                                   .generator = Punctuated{[](const Click& click, EventTime at) {
                                     return click.last ? std::optional(at - 1us) : std::nullopt;
                                   }}})()),
              ElementsAre(Made(2, 39)));
  EXPECT_THAT(watermarks_of(*make({.timestamp = &Click::at, .generator = NoWatermarks{}})()),
              IsEmpty());
}

TEST(WatermarksTest, AFunctionMaySeeTheTimestampThatTheRecordHas) {
  const WatermarkSettings settings =
      Source({.timestamp = [](const Click&, EventTime of_source) { return of_source + 1us; }})
          .nodes[0]
          .watermarks;
  Batch<Click> batch;
  batch.records.emplace_back(Click{});
  batch.timestamps.emplace_back(5);
  std::size_t failed_at = 0;
  EXPECT_EQ(settings.timestamps->Assign(batch, failed_at), 6);
}

TEST(WatermarksTest, WrongValuesAreRefusedWithOperatorAndReason) {
  const auto error_of = [](const Watermarks<Click>& watermarks) {
    const JobDefinition job = Source(watermarks);
    return job.errors.size() == 1 ? job.errors[0] : std::to_string(job.errors.size()) + " errors";
  };
  EXPECT_THAT(error_of({.timestamp = &Click::at, .max_delay = -1s}),
              HasSubstr("source 'clicks': max_delay is negative"));
  EXPECT_THAT(error_of({.timestamp = &Click::at, .idle_after = -1s}),
              HasSubstr("source 'clicks': idle_after is negative"));
  EXPECT_THAT(error_of({.max_delay = 1s}), HasSubstr("watermarks only with .timestamp"));
  EXPECT_THAT(error_of({.idle_after = 1s}), HasSubstr("watermarks only with .timestamp"));
  EXPECT_THAT(error_of({.generator = OnMinutes{}}), HasSubstr("watermarks only with .timestamp"));
  EXPECT_THAT(error_of({.timestamp = &Click::at, .max_delay = 1s, .generator = OnMinutes{}}),
              HasSubstr("max_delay has no meaning with .generator"));
  EXPECT_THAT(error_of({.timestamp = &Click::at, .every_record = true, .generator = OnMinutes{}}),
              HasSubstr("every_record has no meaning with .generator"));
  EXPECT_THAT(error_of({.timestamp = &Click::at, .align = {.group = "g"}}),
              HasSubstr("align.max_drift must be positive"));
  EXPECT_THAT(error_of({.timestamp = &Click::at, .align = {.group = "g", .max_drift = -1s}}),
              HasSubstr("align.max_drift must be positive"));
  EXPECT_THAT(error_of({.timestamp = &Click::at, .align = {.max_drift = 1s}}),
              HasSubstr("align.max_drift is given without align.group"));
  EXPECT_THAT(error_of({.timestamp = &Click::at,
                        .generator = NoWatermarks{},
                        .align = {.group = "g", .max_drift = 1s}}),
              HasSubstr("a source without watermarks cannot be aligned"));
  EXPECT_THAT(Assigned({}).errors,
              ElementsAre(HasSubstr("operator 'times': AssignTimestamps needs .timestamp")));
  EXPECT_THAT(Assigned({.timestamp = &Click::at, .align = {.group = "g", .max_drift = 1s}}).errors,
              ElementsAre(HasSubstr("operator 'times': only sources can be aligned")));
}

}  // namespace
}  // namespace weir
