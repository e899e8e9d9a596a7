#include "connectors/json/time_text.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

int64_t Micros(std::string_view text) {
  auto time = ParseTimeText(text);
  EXPECT_TRUE(time.ok()) << time.status();
  return time.ok() ? time->ticks() : -1;
}

TEST(TimeTextTest, ReadsTimesWithAZone) {
  EXPECT_EQ(Micros("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(Micros("2001-01-01T01:24:00Z"), 978312240000000);
  EXPECT_EQ(Micros("2001-01-01T01:24Z"), 978312240000000);
  EXPECT_EQ(Micros("2001-01-01 02:24:00+01:00"), 978312240000000);
  EXPECT_EQ(Micros("2000-12-31T20:24:00-0500"), 978312240000000);
  EXPECT_EQ(Micros("2000-12-31T20:24:00-05"), 978312240000000);
  EXPECT_EQ(Micros("1969-12-31T23:59:59.999999Z"), -1);
  EXPECT_EQ(Micros("2024-02-29T00:00:00Z"), 1709164800000000);
}

TEST(TimeTextTest, KeepsMicrosecondsAndDropsWhatIsBelow) {
  EXPECT_EQ(Micros("1970-01-01T00:00:00.25Z"), 250000);
  EXPECT_EQ(Micros("1970-01-01T00:00:00.0000019Z"), 1);
}

TEST(TimeTextTest, RefusesWhatIsNoTime) {
  for (const char* text :
       {"", "2001", "2001-01-01", "2001-01-01T01:24:00", "2001-02-29T00:00:00Z",
        "2001-13-01T00:00:00Z", "2001-01-00T00:00:00Z", "2001-01-01T24:00:00Z",
        "2001-01-01T00:60:00Z", "2001-01-01T00:00:00.Z", "2001-01-01T00:00:00Zx",
        "2001-01-01T00:00:00+1", "2001-1-1T0:0:0Z", "2001-01-01T00:00:00+24:00"}) {
    auto time = ParseTimeText(text);
    ASSERT_FALSE(time.ok()) << text;
    EXPECT_THAT(time.status().ToString(), HasSubstr("expected a time such as"));
  }
}

TEST(TimeTextTest, ReadsDurations) {
  EXPECT_EQ(ParseDurationText("1h30m").value(), Duration(5400LL * 1000000));
  EXPECT_EQ(ParseDurationText("250ms").value(), Duration(250000));
  EXPECT_EQ(ParseDurationText("-1.5s").value(), Duration(-1500000));
  EXPECT_EQ(ParseDurationText("0").value(), Duration(0));
}

TEST(TimeTextTest, RefusesWhatIsNoDuration) {
  for (const char* text : {"", "5", "1 hour", "inf", "abc"}) {
    EXPECT_FALSE(ParseDurationText(text).ok()) << text;
  }
  EXPECT_THAT(ParseDurationText("99999999999h").status().ToString(), HasSubstr("days"));
}

}  // namespace
}  // namespace weir
