#include "connectors/files/bucket_format.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

constexpr Ticks kSecond = 1'000'000;
constexpr Ticks kHour = 3600 * kSecond;
// 2001-02-03T04:05:06Z
constexpr Ticks kTime = 981'173'106 * kSecond;

std::string Name(std::string_view text, Ticks time) {
  auto format = BucketFormat::Parse(text);
  return format.ok() ? format->NameOf(time) : std::string(format.status().message());
}

TEST(BucketFormat, NamesAFolderByTheTimeInUtc) {
  EXPECT_EQ(Name("%Y-%m-%d/%H", kTime), "2001-02-03/04");
  EXPECT_EQ(Name("year=%Y/at-%H:%M", kTime), "year=2001/at-04:05");
  EXPECT_EQ(Name("%%%d", kTime), "%03");
}

TEST(BucketFormat, TimesBeforeTheEpochHaveTheirOwnFolders) {
  EXPECT_EQ(Name("%Y-%m-%d/%H", -1), "1969-12-31/23");
  EXPECT_EQ(Name("%Y-%m-%d/%H", -kHour), "1969-12-31/23");
  EXPECT_EQ(Name("%Y-%m-%d/%H", -kHour - 1), "1969-12-31/22");
  EXPECT_EQ(Name("%Y-%m-%d/%H", 0), "1970-01-01/00");
}

TEST(BucketFormat, TheSameObjectNamesManyTimes) {
  auto format = BucketFormat::Parse("%d-%H-%M");
  ASSERT_TRUE(format.ok());
  for (Ticks time = -100 * kSecond; time < 400 * kSecond; time += 7 * kSecond) {
    EXPECT_EQ(format->NameOf(time), Name("%d-%H-%M", time)) << time;
  }
  for (const Ticks time : {kTime, Ticks{0}, kTime, kTime + kHour, Ticks{-1}}) {
    EXPECT_EQ(format->NameOf(time), Name("%d-%H-%M", time)) << time;
  }
}

TEST(BucketFormat, WhatIsNoRelativePathWithATimeIsRefused) {
  for (const auto& [text, why] : {std::pair{"", "it is empty"},
                                  {"days", "it has no directive"},
                                  {"%S", "it has another directive"},
                                  {"%Y%", "it has another directive"},
                                  {"/%Y", "begins or ends with '/'"},
                                  {"%Y/", "begins or ends with '/'"},
                                  {"%Y//%m", "a folder in it is empty"},
                                  {"%Y/../%m", "hidden by '.'"},
                                  {".%Y", "hidden by '.'"},
                                  {"_%Y", "hidden by '.' or '_'"},
                                  {"%Y\n", "a control character"}}) {
    const absl::Status status = BucketFormat::Parse(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(why)) << text;
  }
}

}  // namespace
}  // namespace weir
