#include "connectors/json/time_text.h"

#include <cstdint>
#include <limits>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/strings.h"

namespace weir {
namespace {

// Reads exactly `digits` decimal digits at the front of `text`; -1 if they are not there.
int TakeDigits(std::string_view& text, size_t digits) {
  if (text.size() < digits) return -1;
  int value = 0;
  for (size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return -1;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool TakeChar(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

bool IsLeapYear(int year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

int DaysInMonth(int year, int month) {
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && IsLeapYear(year) ? 29 : kDays[month - 1];
}

// Days from 1970-01-01 in the proleptic Gregorian calendar (H. Hinnant, "chrono-compatible
// low-level date algorithms").
int64_t DaysFromEpoch(int year, int month, int day) {
  const int64_t y = year - (month <= 2 ? 1 : 0);
  const int64_t era = (y >= 0 ? y : y - 399) / 400;
  const int64_t year_of_era = y - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

// Reads "Z", "+02:00", "+0200" or "+02" as seconds east of Greenwich; false for anything else.
bool TakeZone(std::string_view& text, int& offset_s) {
  offset_s = 0;
  if (TakeChar(text, 'Z') || TakeChar(text, 'z')) return true;
  const bool negative = !text.empty() && text.front() == '-';
  if (!negative && (text.empty() || text.front() != '+')) return false;
  text.remove_prefix(1);
  const int hours = TakeDigits(text, 2);
  int minutes = 0;
  if (TakeChar(text, ':') || !text.empty()) minutes = TakeDigits(text, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return false;
  offset_s = (hours * 60 + minutes) * 60 * (negative ? -1 : 1);
  return true;
}

// Reads ".250" as microseconds; false for a point without digits.
bool TakeFraction(std::string_view& text, int64_t& micros) {
  micros = 0;
  if (!TakeChar(text, '.') && !TakeChar(text, ',')) return true;
  int64_t scale = 100000;
  size_t digits = 0;
  for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
    micros += (text[digits] - '0') * scale;
    scale /= 10;
  }
  text.remove_prefix(digits);
  return digits > 0;
}

bool Parse(std::string_view text, Ticks& ticks) {
  const int year = TakeDigits(text, 4);
  if (year < 0 || !TakeChar(text, '-')) return false;
  const int month = TakeDigits(text, 2);
  if (month < 1 || month > 12 || !TakeChar(text, '-')) return false;
  const int day = TakeDigits(text, 2);
  if (day < 1 || day > DaysInMonth(year, month)) return false;
  if (!TakeChar(text, 'T') && !TakeChar(text, 't') && !TakeChar(text, ' ')) return false;
  const int hour = TakeDigits(text, 2);
  if (hour < 0 || hour > 23 || !TakeChar(text, ':')) return false;
  const int minute = TakeDigits(text, 2);
  if (minute < 0 || minute > 59) return false;
  int second = 0;
  int64_t micros = 0;
  if (TakeChar(text, ':')) {
    second = TakeDigits(text, 2);
    // A leap second is the second after it, as the epoch's count has none.
    if (second < 0 || second > 60 || !TakeFraction(text, micros)) return false;
  }
  int offset_s = 0;
  if (!TakeZone(text, offset_s) || !text.empty()) return false;
  const int64_t seconds =
      DaysFromEpoch(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset_s;
  ticks = seconds * 1000000 + micros;
  return true;
}

}  // namespace

absl::StatusOr<EventTime> ParseTimeText(std::string_view text) {
  Ticks ticks = 0;
  if (!Parse(text, ticks)) {
    return absl::InvalidArgumentError(
        StrCat("expected a time such as \"2001-01-31T23:59:59.5Z\" (with a zone), found \"",
               text.substr(0, 64), "\""));
  }
  return EventTime::FromTicks(ticks);
}

absl::StatusOr<Duration> ParseDurationText(std::string_view text) {
  absl::Duration parsed;
  if (!absl::ParseDuration(ToAbsl(text), &parsed) || parsed == absl::InfiniteDuration() ||
      parsed == -absl::InfiniteDuration()) {
    return absl::InvalidArgumentError(StrCat(
        "expected a duration such as \"1h30m\" or \"250ms\", found \"", text.substr(0, 64), "\""));
  }
  // Durations of absl reach further than ticks.
  constexpr int64_t kMaxSeconds = std::numeric_limits<int64_t>::max() / 1000000;
  if (parsed > absl::Seconds(kMaxSeconds) || parsed < -absl::Seconds(kMaxSeconds)) {
    return absl::InvalidArgumentError(StrCat("a duration must be below ", kMaxSeconds / 86400,
                                             " days, found \"", text.substr(0, 64), "\""));
  }
  return Duration(absl::ToInt64Microseconds(parsed));
}

}  // namespace weir
