#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "weir/duration_format.h"
#include "weir/time.h"

// Times and durations as text. Neither depends on the zone or the language of the machine. Days are
// counted in the proleptic Gregorian calendar, without leap seconds.
namespace weir {

namespace internal {

struct CivilDay {
  std::int64_t year;
  unsigned month;
  unsigned day;
};

// Days since 1970-01-01 and back: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
constexpr std::int64_t DaysFromCivil(CivilDay civil) {
  const std::int64_t year = civil.month <= 2 ? civil.year - 1 : civil.year;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const auto year_of_era = static_cast<unsigned>(year - era * 400);
  const unsigned month = civil.month > 2 ? civil.month - 3 : civil.month + 9;
  const unsigned day_of_year = (153 * month + 2) / 5 + civil.day - 1;
  const unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + static_cast<std::int64_t>(day_of_era) - 719468;
}
constexpr CivilDay CivilFromDays(std::int64_t days) {
  days += 719468;
  const std::int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const auto day_of_era = static_cast<unsigned>(days - era * 146097);
  const unsigned year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const unsigned day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned month = (5 * day_of_year + 2) / 153;
  const unsigned day = day_of_year - (153 * month + 2) / 5 + 1;
  const std::int64_t year = static_cast<std::int64_t>(year_of_era) + era * 400;
  return CivilDay{month < 10 ? year : year + 1, month < 10 ? month + 3 : month - 9, day};
}

constexpr unsigned DaysInMonth(std::int64_t year, unsigned month) {
  if (month == 2) return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28;
  return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

// Reads text from the front; every call that finds something else leaves ok() false for good.
class TimeScanner {
 public:
  explicit TimeScanner(std::string_view text) : text_(text) {}
  bool ok() const { return ok_; }
  bool empty() const { return text_.empty(); }
  char front() const { return text_.empty() ? '\0' : text_.front(); }
  bool Take(char c) {
    if (front() != c || text_.empty()) return false;
    text_.remove_prefix(1);
    return true;
  }
  void Expect(char c) { ok_ = Take(c) && ok_; }
  bool AtDigit() const { return front() >= '0' && front() <= '9'; }
  unsigned TakeDigit() {
    const auto digit = static_cast<unsigned>(front() - '0');
    text_.remove_prefix(1);
    return digit;
  }
  // Exactly `count` digits.
  unsigned Digits(unsigned count) {
    unsigned value = 0;
    for (unsigned i = 0; i < count; ++i) {
      if (!AtDigit()) {
        ok_ = false;
        return 0;
      }
      value = value * 10 + TakeDigit();
    }
    return value;
  }
  // One or more digits as a fraction, in units of 10^-places; further ones are dropped.
  std::int64_t Fraction(unsigned places) {
    ok_ = ok_ && AtDigit();
    std::int64_t value = 0;
    unsigned seen = 0;
    for (; AtDigit(); ++seen) {
      const unsigned digit = TakeDigit();
      if (seen < places) value = value * 10 + digit;
    }
    for (; seen < places; ++seen) value *= 10;
    return value;
  }

 private:
  std::string_view text_;
  bool ok_ = true;
};

inline absl::Status NotATime(std::string_view text, const char* why) {
  return absl::InvalidArgumentError("expected a time such as 2001-02-03T04:05:06.789Z, found \"" +
                                    std::string(text.substr(0, 64)) + "\"" + why);
}

}  // namespace internal

// What a time without a zone means.
enum class MissingZone { kError, kUtc };

// Appends `time` in ISO-8601, in UTC, with as many digits of the fraction as are not zero:
// "2001-02-03T04:05:06.5Z". Years before 0 and after 9999 have a sign and six digits:
// "+010000-01-01T00:00:00Z". ParseTime reads every one back.
inline void AppendTime(EventTime time, std::string& out) {
  constexpr std::int64_t kDay = 86'400'000'000;
  std::int64_t days = time.ticks() / kDay;
  std::int64_t rest = time.ticks() % kDay;
  if (rest < 0) {
    --days;
    rest += kDay;
  }
  const internal::CivilDay civil = internal::CivilFromDays(days);
  char text[48];
  char* at = text;
  if (civil.year < 0 || civil.year > 9999) {
    *at++ = civil.year < 0 ? '-' : '+';
    at = internal::WritePadded(
        static_cast<std::uint64_t>(civil.year < 0 ? -civil.year : civil.year), 6, at);
  } else {
    at = internal::WritePadded(static_cast<std::uint64_t>(civil.year), 4, at);
  }
  const auto part = [&at](char before, std::int64_t value) {
    *at++ = before;
    *at++ = static_cast<char>('0' + value / 10);
    *at++ = static_cast<char>('0' + value % 10);
  };
  part('-', civil.month);
  part('-', civil.day);
  part('T', rest / 3'600'000'000);
  part(':', rest / 60'000'000 % 60);
  part(':', rest / 1'000'000 % 60);
  if (std::int64_t micros = rest % 1'000'000; micros > 0) {
    unsigned width = 6;
    for (; micros % 10 == 0; micros /= 10) --width;
    *at++ = '.';
    at = internal::WritePadded(static_cast<std::uint64_t>(micros), width, at);
  }
  *at++ = 'Z';
  out.append(text, at);
}
inline std::string FormatTime(EventTime time) {
  std::string out;
  AppendTime(time, out);
  return out;
}

// Reads a time in ISO-8601: date, 'T' or a space, hours and minutes, seconds if given, a fraction
// of them if given, and 'Z' or an offset (+02:00, +0200, +02). Digits below a microsecond are
// dropped. kInvalidArgument for anything else, a date that does not exist, second 60, a missing
// zone (unless allowed) and a time before EventTime::Min() or after Max(). Allocates only for an
// error.
inline absl::Status ParseTime(std::string_view text, EventTime& time,
                              MissingZone zone = MissingZone::kError) {
  internal::TimeScanner in(text);
  const bool negative = in.front() == '-';
  internal::CivilDay civil{};
  if (in.Take('+') || in.Take('-')) {
    civil.year = in.Digits(6);
    if (negative && civil.year == 0) return internal::NotATime(text, ": there is no year -000000");
    if (negative) civil.year = -civil.year;
  } else {
    civil.year = in.Digits(4);
  }
  in.Expect('-');
  civil.month = in.Digits(2);
  in.Expect('-');
  civil.day = in.Digits(2);
  if (!in.Take('T') && !in.Take('t')) in.Expect(' ');
  const unsigned hours = in.Digits(2);
  in.Expect(':');
  const unsigned minutes = in.Digits(2);
  unsigned seconds = 0;
  std::int64_t micros = 0;
  if (in.Take(':')) {
    seconds = in.Digits(2);
    if (in.Take('.') || in.Take(',')) micros = in.Fraction(6);
  }
  std::int64_t offset_minutes = 0;
  if (in.ok() && in.empty()) {
    if (zone == MissingZone::kError)
      return internal::NotATime(text, ": the zone is missing ('Z' for UTC)");
  } else if (!in.Take('Z') && !in.Take('z')) {
    const bool west = in.front() == '-';
    if (!in.Take('-')) in.Expect('+');
    const unsigned zone_hours = in.Digits(2);
    unsigned zone_minutes = 0;
    if (in.Take(':') || in.AtDigit()) zone_minutes = in.Digits(2);
    if (zone_hours > 23 || zone_minutes > 59)
      return internal::NotATime(text, ": there is no such zone");
    offset_minutes = static_cast<std::int64_t>(zone_hours) * 60 + zone_minutes;
    if (west) offset_minutes = -offset_minutes;
  }
  if (!in.ok() || !in.empty()) return internal::NotATime(text, "");
  if (civil.month < 1 || civil.month > 12 || civil.day < 1 ||
      civil.day > internal::DaysInMonth(civil.year, civil.month)) {
    return internal::NotATime(text, ": there is no such day");
  }
  if (hours > 23 || minutes > 59 || seconds > 60)
    return internal::NotATime(text, ": there is no such time of day");
  const std::int64_t whole =
      internal::DaysFromCivil(civil) * 86'400 + static_cast<std::int64_t>(hours) * 3600 +
      static_cast<std::int64_t>(minutes) * 60 + seconds - offset_minutes * 60;
  // As (whole + 1) s - (1 s - micros), so that the first second of all does not overflow on its
  // way.
  std::int64_t ticks = 0;
  if (whole < 0 ? __builtin_mul_overflow(whole + 1, 1'000'000, &ticks) ||
                      __builtin_add_overflow(ticks, micros - 1'000'000, &ticks)
                : __builtin_mul_overflow(whole, 1'000'000, &ticks) ||
                      __builtin_add_overflow(ticks, micros, &ticks)) {
    return internal::NotATime(text, ": it is more than 290,000 years away");
  }
  time = EventTime::FromTicks(ticks);
  return absl::OkStatus();
}

}  // namespace weir
