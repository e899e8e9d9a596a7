#include "weir/time_format.h"

#include <limits>
#include <random>
#include <string>
#include <string_view>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

std::string Time(Ticks ticks) { return FormatTime(EventTime::FromTicks(ticks)); }

Ticks Parsed(std::string_view text) {
  EventTime time;
  const absl::Status status = ParseTime(text, time);
  EXPECT_TRUE(status.ok()) << status;
  return time.ticks();
}

TEST(TimeFormatTest, WritesIso8601InUtcWithTheDigitsThatAreNeeded) {
  EXPECT_EQ(Time(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(Time(-1), "1969-12-31T23:59:59.999999Z");
  EXPECT_EQ(Time(978'312'240'000'000), "2001-01-01T01:24:00Z");
  EXPECT_EQ(Time(978'312'240'250'000), "2001-01-01T01:24:00.25Z");
  EXPECT_EQ(Time(951'782'400'000'001), "2000-02-29T00:00:00.000001Z");
  EXPECT_EQ(Time(253'402'300'799'999'999), "9999-12-31T23:59:59.999999Z");
  EXPECT_EQ(Time(253'402'300'800'000'000), "+010000-01-01T00:00:00Z");
  EXPECT_EQ(Time(-62'167'219'200'000'000), "0000-01-01T00:00:00Z");
  EXPECT_EQ(Time(-62'167'219'200'000'001), "-000001-12-31T23:59:59.999999Z");
  EXPECT_EQ(Time(kMinTicks), "-290308-12-21T19:59:05.224192Z");
  EXPECT_EQ(Time(kMaxTicks), "+294247-01-10T04:00:54.775807Z");
}

TEST(TimeFormatTest, ReadsTimesWithAZone) {
  EXPECT_EQ(Parsed("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(Parsed("2001-01-01T01:24Z"), 978'312'240'000'000);
  EXPECT_EQ(Parsed("2001-01-01 02:24:00+01:00"), 978'312'240'000'000);
  EXPECT_EQ(Parsed("2000-12-31T20:24:00-0500"), 978'312'240'000'000);
  EXPECT_EQ(Parsed("2000-12-31t20:24:00-05"), 978'312'240'000'000);
  EXPECT_EQ(Parsed("1969-12-31T23:59:59.999999z"), -1);
  EXPECT_EQ(Parsed("2024-02-29T00:00:00Z"), 1'709'164'800'000'000);
  EXPECT_EQ(Parsed("2016-12-31T23:59:60Z"), Parsed("2017-01-01T00:00:00Z"));
}

TEST(TimeFormatTest, DropsDigitsBelowAMicrosecondTowardsThePast) {
  EXPECT_EQ(Parsed("1970-01-01T00:00:00.25Z"), 250'000);
  EXPECT_EQ(Parsed("1970-01-01T00:00:00,0000019Z"), 1);
  EXPECT_EQ(Parsed("1969-12-31T23:59:59.9999999Z"), -1);
}

TEST(TimeFormatTest, RefusesWhatIsNoTime) {
  for (const char* text : {"",
                           "2001",
                           "2001-01-01",
                           "2001-01-01T01:24:00",
                           "2001-02-29T00:00:00Z",
                           "1900-02-29T00:00:00Z",
                           "2001-13-01T00:00:00Z",
                           "2001-00-01T00:00:00Z",
                           "2001-01-00T00:00:00Z",
                           "2001-01-01T24:00:00Z",
                           "2001-01-01T00:60:00Z",
                           "2001-01-01T00:00:61Z",
                           "2001-01-01T00:00:00.Z",
                           "2001-01-01T00:00:00Zx",
                           "2001-01-01T00:00:00+1",
                           "2001-01-01T00:00:00+1:00",
                           "2001-1-1T0:0:0Z",
                           "2001-01-01T00:00:00+24:00",
                           "2001-01-01T00:00:00+00:60",
                           " 2001-01-01T00:00:00Z",
                           "20010101T000000Z",
                           "12001-01-01T00:00:00Z",
                           "-000000-01-01T00:00:00Z",
                           "+300000-01-01T00:00:00Z",
                           "-300000-01-01T00:00:00Z"}) {
    EventTime time;
    const absl::Status status = ParseTime(text, time);
    ASSERT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("expected a time such as"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("\"" + std::string(text) + "\""));
  }
  EventTime time;
  EXPECT_THAT(std::string(ParseTime("2001-01-01T01:24:00", time).message()),
              HasSubstr("the zone is missing"));
  EXPECT_TRUE(ParseTime("2001-01-01T01:24:00", time, MissingZone::kUtc).ok());
  EXPECT_EQ(time.ticks(), 978'312'240'000'000);
}

TEST(TimeFormatTest, ReadsBackEveryTimeThatItWrites) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 200'000; ++i) {
    const auto ticks = static_cast<Ticks>(random()) >> (random() % 64);
    ASSERT_EQ(Parsed(Time(ticks)), ticks) << Time(ticks);
  }
  EXPECT_EQ(Parsed(Time(kMinTicks)), kMinTicks);
  EXPECT_EQ(Parsed(Time(kMaxTicks)), kMaxTicks);
  EventTime time;
  EXPECT_FALSE(ParseTime("-290308-12-21T19:59:05.224191Z", time).ok());
  EXPECT_FALSE(ParseTime("+294247-01-10T04:00:54.775808Z", time).ok());
}

TEST(TimeFormatTest, CountsEveryDayOfFourHundredYears) {
  std::int64_t days = internal::DaysFromCivil({1600, 1, 1});
  for (std::int64_t year = 1600; year <= 2000; ++year) {
    for (unsigned month = 1; month <= 12; ++month) {
      for (unsigned day = 1; day <= internal::DaysInMonth(year, month); ++day, ++days) {
        ASSERT_EQ(internal::DaysFromCivil({year, month, day}), days);
        const auto civil = internal::CivilFromDays(days);
        ASSERT_TRUE(civil.year == year && civil.month == month && civil.day == day);
      }
    }
  }
}

TEST(DurationFormatTest, WritesTheUnitsThatAreNotZero) {
  using namespace std::chrono_literals;
  EXPECT_EQ(FormatDuration(0s), "0s");
  EXPECT_EQ(FormatDuration(90min), "1h30m");
  EXPECT_EQ(FormatDuration(250ms), "250ms");
  EXPECT_EQ(FormatDuration(-1500ms), "-1s500ms");
  EXPECT_EQ(FormatDuration(1us), "1us");
  EXPECT_EQ(FormatDuration(100h + 1us), "100h1us");
  EXPECT_EQ(FormatDuration(Duration(kMinTicks)), "-2562047788h54s775ms808us");
}

Duration ParsedDuration(std::string_view text) {
  Duration duration{};
  const absl::Status status = ParseDuration(text, duration);
  EXPECT_TRUE(status.ok()) << status;
  return duration;
}

TEST(DurationFormatTest, ReadsSumsOfUnits) {
  using namespace std::chrono_literals;
  EXPECT_EQ(ParsedDuration("1h30m"), 90min);
  EXPECT_EQ(ParsedDuration("1h30min"), 90min);
  EXPECT_EQ(ParsedDuration("2d"), 48h);
  EXPECT_EQ(ParsedDuration("-1.5s"), -1500ms);
  EXPECT_EQ(ParsedDuration("+250ms"), 250ms);
  EXPECT_EQ(ParsedDuration("0"), 0s);
  EXPECT_EQ(ParsedDuration("0.5us"), 0s);
  EXPECT_EQ(ParsedDuration("1500ns"), 1us);
  EXPECT_EQ(ParsedDuration("0.0000000000000000000000001h"), 0s);
}

TEST(DurationFormatTest, RefusesWhatIsNoDuration) {
  for (const char* text :
       {"", "-", "5", "1 hour", "inf", "abc", "1h 2m", "h", ".s", "1.h", "1hs", "--1s",
        "99999999999h", "2562047788h55s", "99999999999999999999999999999999999999999s"}) {
    Duration duration{};
    EXPECT_TRUE(absl::IsInvalidArgument(ParseDuration(text, duration))) << text;
  }
}

TEST(DurationFormatTest, ReadsBackEveryDurationThatItWrites) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 100'000; ++i) {
    const Duration duration(static_cast<Ticks>(random()) >> (random() % 64));
    ASSERT_EQ(ParsedDuration(FormatDuration(duration)), duration);
  }
  EXPECT_EQ(ParsedDuration(FormatDuration(Duration(kMinTicks))), Duration(kMinTicks));
  EXPECT_EQ(ParsedDuration(FormatDuration(Duration(kMaxTicks))), Duration(kMaxTicks));
}

}  // namespace
}  // namespace weir
