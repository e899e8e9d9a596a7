#include "tests/flights/oracle.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace flights_oracle {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::int64_t kMinute = 60;

Flight At(std::int64_t minute, std::int64_t delay, const std::string& origin = "A") {
  return {
      .scheduled = minute * kMinute, .delay_minutes = delay, .origin = origin, .destination = "X"};
}
Row Of(std::int64_t hour, std::int64_t flights, double mean, std::int64_t max,
       const std::string& origin = "A") {
  return {.origin = origin,
          .hour = hour * 3600,
          .flights = flights,
          .mean_delay_minutes = mean,
          .max_delay_minutes = max};
}

TEST(FlightsOracleTest, AWindowFiresWhenTheWatermarkPassesItAndAgainForEachRecordAfterThat) {
  // The watermark is 30 minutes behind the newest: the hour 0 fires at 90 minutes, and closes at
  // 150.
  const Outcome outcome =
      Expect({At(10, 4), At(20, 8), At(89, 0), At(30, 0), At(90, 2), At(40, 20), At(50, -2)});
  EXPECT_THAT(outcome.rows,
              ElementsAre(Of(0, 3, 4, 8), Of(0, 4, 8, 20), Of(0, 5, 6, 20), Of(1, 2, 1, 2)));
  EXPECT_THAT(outcome.late, IsEmpty());
}

TEST(FlightsOracleTest, ARecordIsLateOnceItsWindowIsClosed) {
  const Outcome outcome = Expect({At(149, 1), At(10, 1), At(150, 1), At(20, 7), At(70, 3)});
  EXPECT_THAT(outcome.late, ElementsAre(At(20, 7)));
  EXPECT_THAT(outcome.rows, ElementsAre(Of(0, 1, 1, 1), Of(1, 1, 3, 3), Of(2, 2, 1, 1)));
}

TEST(FlightsOracleTest, OriginsAreApart) {
  const Outcome outcome = Expect({At(1, 1, "B"), At(2, 3, "A"), At(3, 5, "B")});
  EXPECT_THAT(outcome.rows, ElementsAre(Of(0, 1, 3, 3, "A"), Of(0, 2, 3, 5, "B")));
}

TEST(FlightsOracleTest, ComparisonFindsWhatIsMissingWrongOrTwice) {
  const Outcome expected = Expect({At(10, 4), At(300, 8), At(20, 1)});
  EXPECT_THAT(Compare(expected, expected), IsEmpty());
  Outcome actual = expected;
  actual.rows.push_back(actual.rows.front());
  EXPECT_THAT(Compare(expected, actual),
              ElementsAre(HasSubstr("not expected: row A 1970-01-01T00:00:00Z: 1 flights")));
  actual = expected;
  actual.rows[0].max_delay_minutes = 5;
  EXPECT_EQ(Compare(expected, actual).size(), 2u);
  actual = expected;
  actual.late.clear();
  EXPECT_THAT(Compare(expected, actual),
              ElementsAre(HasSubstr("missing: flight A to X of 1970-01-01T00:20:00Z")));
}

TEST(FlightsOracleTest, VerificationTakesEveryPossibleTiming) {
  const Reader reader = {At(10, 4), At(300, 8), At(20, 1), At(30, 3)};
  // The watermark came at once, after one more record, or never before the end.
  EXPECT_THAT(Verify({reader}, Expect(reader)), IsEmpty());
  EXPECT_THAT(Verify({reader}, {.rows = {Of(0, 2, 2.5, 4), Of(5, 1, 8, 8)}, .late = {At(30, 3)}}),
              IsEmpty());
  EXPECT_THAT(Verify({reader}, {.rows = {Of(0, 3, 8.0 / 3, 4), Of(5, 1, 8, 8)}, .late = {}}),
              IsEmpty());
  EXPECT_THAT(Verify({reader}, {.rows = {Of(0, 2, 2.5, 4), Of(0, 3, 8.0 / 3, 4), Of(5, 1, 8, 8)},
                                .late = {}}),
              IsEmpty());
}

TEST(FlightsOracleTest, VerificationFindsWhatNoTimingExplains) {
  const Reader reader = {At(10, 4), At(300, 8), At(20, 1)};
  const Outcome right = Expect(reader);
  Outcome wrong = right;
  wrong.late.clear();
  EXPECT_THAT(Verify({reader}, wrong), ElementsAre(HasSubstr("expected at last: row A")));
  wrong = right;
  wrong.rows.pop_back();
  EXPECT_THAT(Verify({reader}, wrong),
              ElementsAre(HasSubstr("no result for: row A 1970-01-01T05:00:00Z")));
  wrong = right;
  wrong.rows.push_back(wrong.rows.back());
  EXPECT_THAT(Verify({reader}, wrong), ElementsAre(HasSubstr("no result between")));
  wrong = right;
  wrong.late.push_back(At(300, 8));
  wrong.rows.pop_back();
  EXPECT_THAT(Verify({reader}, wrong), ElementsAre(HasSubstr("late within the bounds: flight A")));
  wrong = right;
  wrong.late.push_back(wrong.late.front());
  EXPECT_THAT(Verify({reader}, wrong), ElementsAre(HasSubstr("not in the input (so often)")));
  // Late by what another reader has seen, but not by its own.
  EXPECT_THAT(Verify({{At(10, 4), At(300, 8)}, {At(20, 1)}}, right),
              ElementsAre(HasSubstr("late within the bounds")));
}

}  // namespace
}  // namespace flights_oracle
