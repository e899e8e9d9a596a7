#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

#include "absl/status/status.h"
#include "weir/enum_names.h"
#include "weir/record_traits.h"
#include "weir/time_format.h"

// Single values as plain text: cells of CSV, keys of JSON objects, arguments.
namespace weir {
namespace internal {

template <class T>
concept CodecHasText =
    kKind<T> == Kind::kCustom && requires(const T& value, T& target, std::string& out) {
      Codec<T>::WriteText(value, out);
      Codec<T>::ReadText(std::string_view(), target);
    };

// Whether AppendText and ParseText take a T.
template <class T>
inline constexpr bool kHasText = kIsScalar<T> || CodecHasText<T>;

inline absl::Status Expected(const std::string& what, std::string_view found) {
  const bool cut = found.size() > 64;
  return absl::InvalidArgumentError("expected " + what + ", found \"" +
                                    std::string(found.substr(0, 64)) + (cut ? "...\"" : "\""));
}

template <class N>
std::string RangeOf() {
  return "from " + std::to_string(std::numeric_limits<N>::min()) + " to " +
         std::to_string(std::numeric_limits<N>::max());
}

template <class N>
void AppendNumber(N value, std::string& out) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
  out.append(digits, end);
}

// Integers that are distinct from characters and bools, for <charconv>.
template <class I>
using CharsInteger = std::conditional_t<
    std::is_signed_v<I>,
    std::conditional_t<
        sizeof(I) == 1, std::int8_t,
        std::conditional_t<sizeof(I) == 2, std::int16_t,
                           std::conditional_t<sizeof(I) == 4, std::int32_t, std::int64_t>>>,
    std::conditional_t<
        sizeof(I) == 1, std::uint8_t,
        std::conditional_t<sizeof(I) == 2, std::uint16_t,
                           std::conditional_t<sizeof(I) == 4, std::uint32_t, std::uint64_t>>>>;

template <class I>
absl::Status ParseInteger(std::string_view text, I& value) {
  CharsInteger<I> number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size()) [[likely]] {
    value = static_cast<I>(number);
    return absl::OkStatus();
  }
  return Expected("an integer " + RangeOf<CharsInteger<I>>(), text);
}

template <class F>
absl::Status ParseFloat(std::string_view text, F& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && std::isfinite(value)) [[likely]] {
    return absl::OkStatus();
  }
  if (text == "NaN") {
    value = std::numeric_limits<F>::quiet_NaN();
  } else if (text == "Infinity") {
    value = std::numeric_limits<F>::infinity();
  } else if (text == "-Infinity") {
    value = -std::numeric_limits<F>::infinity();
  } else {
    return Expected(
        error == std::errc::result_out_of_range ? "a number in the range of its type" : "a number",
        text);
  }
  return absl::OkStatus();
}

// "kRed, kGreen or kBlue".
template <class E>
std::string ListEnumNames() {
  std::string list;
  for (const std::string_view name : EnumNames<E>()) {
    if (name.empty()) continue;
    if (!list.empty()) list += ", ";
    list += name;
    if (list.size() > 200) return list + ", ...";
  }
  return list.empty() ? "a number" : list;
}

template <class E>
absl::Status ParseEnum(std::string_view text, E& value) {
  if (const auto found = EnumFromName<E>(text)) {
    value = *found;
    return absl::OkStatus();
  }
  std::underlying_type_t<E> number{};
  if constexpr (std::is_same_v<decltype(number), bool>) {
    if (text != "0" && text != "1") return Expected("one of " + ListEnumNames<E>(), text);
    number = text == "1";
  } else if (!ParseInteger(text, number).ok()) {
    return Expected("one of " + ListEnumNames<E>(), text);
  }
  value = static_cast<E>(number);
  return absl::OkStatus();
}

}  // namespace internal

// Appends `value` as text without quotes: numbers as short as they can be read back exactly, times
// and durations as AppendTime and AppendDuration do, an enum by its name if it has one and by its
// number if not.
template <class T>
void AppendText(const T& value, std::string& out) {
  using internal::Kind;
  constexpr Kind kind = internal::kKind<T>;
  static_assert(internal::kHasText<T>, "only a single value has a text form");
  if constexpr (kind == Kind::kCustom) {
    Codec<T>::WriteText(value, out);
  } else if constexpr (kind == Kind::kBool) {
    out += value ? "true" : "false";
  } else if constexpr (kind == Kind::kInteger) {
    internal::AppendNumber(static_cast<internal::CharsInteger<T>>(value), out);
  } else if constexpr (kind == Kind::kFloat) {
    if (std::isfinite(value)) [[likely]] {
      internal::AppendNumber(value, out);
    } else {
      out += std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
    }
  } else if constexpr (kind == Kind::kEnum) {
    if (const std::string_view name = EnumName(value); !name.empty()) {
      out += name;
    } else {
      using U = std::underlying_type_t<T>;
      internal::AppendNumber(static_cast<internal::CharsInteger<U>>(static_cast<U>(value)), out);
    }
  } else if constexpr (kind == Kind::kString) {
    out += value;
  } else if constexpr (kind == Kind::kTime) {
    AppendTime(value, out);
  } else {
    AppendDuration(value, out);
  }
}

// Reads what AppendText writes, and nothing besides: no blanks, no sign before a positive number.
// kInvalidArgument with what was expected and found.
template <class T>
absl::Status ParseText(std::string_view text, T& value) {
  using internal::Kind;
  constexpr Kind kind = internal::kKind<T>;
  static_assert(internal::kHasText<T>, "only a single value has a text form");
  if constexpr (kind == Kind::kCustom) {
    return Codec<T>::ReadText(text, value);
  } else if constexpr (kind == Kind::kBool) {
    if (text != "true" && text != "false") return internal::Expected("true or false", text);
    value = text == "true";
    return absl::OkStatus();
  } else if constexpr (kind == Kind::kInteger) {
    return internal::ParseInteger(text, value);
  } else if constexpr (kind == Kind::kFloat) {
    return internal::ParseFloat(text, value);
  } else if constexpr (kind == Kind::kEnum) {
    return internal::ParseEnum(text, value);
  } else if constexpr (kind == Kind::kString) {
    value.assign(text);
    return absl::OkStatus();
  } else if constexpr (kind == Kind::kTime) {
    return ParseTime(text, value);
  } else {
    return ParseDuration(text, value);
  }
}

}  // namespace weir
