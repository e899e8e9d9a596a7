#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "weir/time.h"

namespace weir::internal {

struct DurationUnit {
  std::string_view name;
  std::int64_t ticks;
};
inline constexpr DurationUnit kDurationUnits[] = {{"d", 86'400'000'000}, {"h", 3'600'000'000},
                                                  {"min", 60'000'000},   {"s", 1'000'000},
                                                  {"ms", 1'000},         {"us", 1}};

// "1h30min", "250ms", "0s".
inline std::string DurationToText(Duration duration) {
  std::int64_t left = duration.count();
  if (left == 0) return "0s";
  std::string text;
  if (left < 0) text = "-";
  for (const DurationUnit& unit : kDurationUnits) {
    const std::int64_t count = left / unit.ticks;
    left %= unit.ticks;
    if (count != 0) text += std::to_string(count < 0 ? -count : count) + std::string(unit.name);
  }
  return text;
}

// What DurationToText writes; "m" stands for minutes too. False if the text is anything else or too
// long a time.
inline bool DurationFromText(std::string_view text, Duration& duration) {
  const bool negative = !text.empty() && text.front() == '-';
  if (negative) text.remove_prefix(1);
  if (text.empty()) return false;
  std::int64_t total = 0;
  while (!text.empty()) {
    std::int64_t count = 0;
    std::size_t digits = 0;
    for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
      if (__builtin_mul_overflow(count, 10, &count) ||
          __builtin_add_overflow(count, text[digits] - '0', &count)) {
        return false;
      }
    }
    text.remove_prefix(digits);
    std::size_t letters = 0;
    while (letters < text.size() && text[letters] >= 'a' && text[letters] <= 'z') ++letters;
    std::string_view name = text.substr(0, letters);
    text.remove_prefix(letters);
    if (digits == 0) return false;
    if (name == "m") name = "min";
    std::int64_t ticks = 0;
    for (const DurationUnit& unit : kDurationUnits) {
      if (unit.name == name) ticks = unit.ticks;
    }
    if (ticks == 0 || __builtin_mul_overflow(count, ticks, &count) ||
        __builtin_add_overflow(total, count, &total)) {
      return false;
    }
  }
  duration = Duration(negative ? -total : total);
  return true;
}

}  // namespace weir::internal
