#include "common/config/values.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace weir {
namespace {

std::string_view Trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

struct Unit {
  // Separated by spaces, with a space at both ends.
  std::string_view names;
  int64_t size;
};

constexpr std::array<Unit, 7> kTimeUnits = {{
    {" ns nano nanos nanosecond nanoseconds ", 1},
    {" us µs micro micros microsecond microseconds ", 1'000},
    {" ms milli millis millisecond milliseconds ", 1'000'000},
    {" s sec secs second seconds ", 1'000'000'000},
    {" m min minute minutes ", 60'000'000'000},
    {" h hour hours ", 3'600'000'000'000},
    {" d day days ", 86'400'000'000'000},
}};

constexpr std::array<Unit, 5> kMemoryUnits = {{
    {" b byte bytes ", 1},
    {" k kb kib kibibytes ", int64_t{1} << 10},
    {" m mb mib mebibytes ", int64_t{1} << 20},
    {" g gb gib gibibytes ", int64_t{1} << 30},
    {" t tb tib tebibytes ", int64_t{1} << 40},
}};

// A number and a unit, as a multiple of the smallest one.
template <size_t kSize>
absl::StatusOr<int64_t> ParseQuantity(std::string_view text, const std::array<Unit, kSize>& units,
                                      int64_t default_unit, std::string_view expected) {
  const std::string_view trimmed = Trimmed(text);
  const auto wrong = [&] {
    return absl::InvalidArgumentError(StrCat("'", text, "' is not ", expected));
  };
  int64_t number = 0;
  const char* const end = trimmed.data() + trimmed.size();
  const auto parsed = std::from_chars(trimmed.data(), end, number);
  if (parsed.ec != std::errc() || number < 0) return wrong();
  const std::string unit =
      Lower(Trimmed(std::string_view(parsed.ptr, static_cast<size_t>(end - parsed.ptr))));
  int64_t size = unit.empty() ? default_unit : 0;
  for (const Unit& candidate : units) {
    if (!unit.empty() && unit.find(' ') == std::string::npos &&
        candidate.names.find(" " + unit + " ") != std::string_view::npos) {
      size = candidate.size;
    }
  }
  if (size == 0) return wrong();
  int64_t total = 0;
  if (__builtin_mul_overflow(number, size, &total)) {
    return absl::InvalidArgumentError(StrCat("'", text, "' is too large"));
  }
  return total;
}

}  // namespace

absl::StatusOr<absl::Duration> ParseDuration(std::string_view text) {
  WEIR_ASSIGN_OR_RETURN(
      const int64_t nanos,
      ParseQuantity(text, kTimeUnits, 1'000'000,
                    "a duration: write a whole number and ns, us, ms, s, min, h or d, such as "
                    "'500 ms'"));
  return absl::Nanoseconds(nanos);
}

absl::StatusOr<int64_t> ParseMemorySize(std::string_view text) {
  return ParseQuantity(text, kMemoryUnits, 1,
                       "a memory size: write a whole number and b, kb, mb, gb or tb, such as "
                       "'64 mb'");
}

absl::StatusOr<int64_t> ParseInt(std::string_view text) {
  const std::string_view trimmed = Trimmed(text);
  int64_t value = 0;
  const char* const end = trimmed.data() + trimmed.size();
  const auto parsed = std::from_chars(trimmed.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end || trimmed.empty()) {
    return absl::InvalidArgumentError(StrCat("'", text, "' is not a whole number"));
  }
  return value;
}

absl::StatusOr<double> ParseDouble(std::string_view text) {
  const std::string_view trimmed = Trimmed(text);
  double value = 0;
  const char* const end = trimmed.data() + trimmed.size();
  const auto parsed = std::from_chars(trimmed.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end || trimmed.empty() || !std::isfinite(value)) {
    return absl::InvalidArgumentError(StrCat("'", text, "' is not a number"));
  }
  return value;
}

absl::StatusOr<bool> ParseBool(std::string_view text) {
  const std::string lower = Lower(Trimmed(text));
  if (lower == "true") return true;
  if (lower == "false") return false;
  return absl::InvalidArgumentError(StrCat("'", text, "' is neither true nor false"));
}

std::string FormatSettingDuration(absl::Duration duration) {
  if (duration == absl::ZeroDuration()) return "0 ms";
  static constexpr std::array<std::string_view, 7> kNames = {"ns",  "us", "ms", "s",
                                                             "min", "h",  "d"};
  const int64_t nanos = absl::ToInt64Nanoseconds(duration);
  size_t unit = kTimeUnits.size() - 1;
  while (nanos % kTimeUnits[unit].size != 0) --unit;
  return StrCat(nanos / kTimeUnits[unit].size, " ", kNames[unit]);
}

std::string FormatMemorySize(int64_t bytes) {
  if (bytes == 0) return "0 b";
  static constexpr std::array<std::string_view, 5> kNames = {"b", "kb", "mb", "gb", "tb"};
  size_t unit = kMemoryUnits.size() - 1;
  while (bytes % kMemoryUnits[unit].size != 0) --unit;
  return StrCat(bytes / kMemoryUnits[unit].size, " ", kNames[unit]);
}

}  // namespace weir
