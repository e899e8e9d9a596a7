#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "weir/time.h"

// Durations as text: "1h30m".
namespace weir {

namespace internal {

// Writes `value` with at least `width` digits to `at`, where there is room for 20; returns their
// end.
inline char* WritePadded(std::uint64_t value, unsigned width, char* at) {
  unsigned digits = width;
  std::uint64_t bound = 1;
  for (unsigned i = 0; i < width; ++i) bound *= 10;
  while (digits < 20 && value >= bound) {
    ++digits;
    bound *= 10;
  }
  for (char* p = at + digits; p != at; value /= 10) *--p = static_cast<char>('0' + value % 10);
  return at + digits;
}

}  // namespace internal

// Appends `duration` as hours, minutes, seconds, milliseconds and microseconds, those that are not
// zero: "1h30m", "-250ms", "2s500us"; "0s".
inline void AppendDuration(Duration duration, std::string& out) {
  // In negative numbers, of which there is one more.
  std::int64_t rest = duration.count();
  if (rest == 0) {
    out += "0s";
    return;
  }
  if (rest < 0) {
    out += '-';
  } else {
    rest = -rest;
  }
  const auto part = [&](std::int64_t unit, const char* name) {
    if (const std::int64_t count = -(rest / unit); count > 0) {
      char digits[20];
      out.append(digits, internal::WritePadded(static_cast<std::uint64_t>(count), 1, digits));
      out += name;
      rest %= unit;
    }
  };
  part(3'600'000'000, "h");
  part(60'000'000, "m");
  part(1'000'000, "s");
  part(1'000, "ms");
  part(1, "us");
}
inline std::string FormatDuration(Duration duration) {
  std::string out;
  AppendDuration(duration, out);
  return out;
}

// Reads a sum of decimal numbers with units d, h, m (or min), s, ms, us, ns, with a sign before all
// of it: "1h30m", "1.5s",
// "-250ms"; "0" needs no unit. What is finer than a microsecond in the end is dropped.
// kInvalidArgument for anything else.
inline absl::Status ParseDuration(std::string_view text, Duration& duration) {
  const auto wrong = [text](const char* why) {
    return absl::InvalidArgumentError("expected a duration such as 1h30m, 90s or 250ms, found \"" +
                                      std::string(text.substr(0, 64)) + "\"" + why);
  };
  struct Unit {
    std::string_view name;
    std::int64_t nanos;
  };
  static constexpr Unit kUnits[] = {{"d", 86'400'000'000'000},
                                    {"h", 3'600'000'000'000},
                                    {"min", 60'000'000'000},
                                    {"ms", 1'000'000},
                                    {"m", 60'000'000'000},
                                    {"s", 1'000'000'000},
                                    {"us", 1'000},
                                    {"ns", 1}};
  __extension__ using Wide = __int128;
  std::string_view rest = text;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest == "0") {
    duration = Duration(0);
    return absl::OkStatus();
  }
  if (rest.empty()) return wrong("");
  Wide nanos = 0;
  constexpr Wide kLimit = static_cast<Wide>(kMaxTicks) * 1000 + 1000;
  while (!rest.empty()) {
    std::size_t i = 0;
    Wide whole = 0;
    const auto digit = [&] { return i < rest.size() && rest[i] >= '0' && rest[i] <= '9'; };
    for (; digit(); ++i) {
      whole = whole * 10 + (rest[i] - '0');
      if (whole > kLimit) return wrong(": it is more than 290,000 years");
    }
    Wide fraction = 0;
    Wide scale = 1;
    bool any = i > 0;
    if (i < rest.size() && rest[i] == '.') {
      ++i;
      any = any && digit();
      for (; digit(); ++i) {
        if (scale < 1'000'000'000'000'000'000) {
          fraction = fraction * 10 + (rest[i] - '0');
          scale *= 10;
        }
      }
    }
    if (!any) return wrong("");
    rest.remove_prefix(i);
    const Unit* unit = nullptr;
    for (const Unit& candidate : kUnits) {
      if (rest.starts_with(candidate.name)) {
        unit = &candidate;
        break;
      }
    }
    if (unit == nullptr) return wrong(rest.empty() ? ": the unit is missing" : "");
    rest.remove_prefix(unit->name.size());
    nanos += whole * unit->nanos + fraction * unit->nanos / scale;
    if (nanos > kLimit) return wrong(": it is more than 290,000 years");
  }
  const Wide micros = negative ? -(nanos / 1000) : nanos / 1000;
  if (micros > kMaxTicks || micros < kMinTicks) return wrong(": it is more than 290,000 years");
  duration = Duration(static_cast<std::int64_t>(micros));
  return absl::OkStatus();
}

}  // namespace weir
