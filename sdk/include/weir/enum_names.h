#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "weir/reflect.h"

// The names of enumerators with values from -128 to 127, from the compiler's own spelling of the
// values. Of several with one value the first counts.
namespace weir {
namespace internal {

inline constexpr int kMinNamedEnum = -128;
inline constexpr std::size_t kNamedEnums = 256;

// Casts that the enum is too small for: g++ and clang up to 19 warn, later ones do not substitute.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#if defined(__clang__) && __clang_major__ >= 16 && __clang_major__ < 20
#pragma clang diagnostic ignored "-Wenum-constexpr-conversion"
#endif
template <class E, int value, class = void>
inline constexpr bool kCanCast = false;
template <class E, int value>
inline constexpr bool
    kCanCast<E, value, std::void_t<std::integral_constant<E, static_cast<E>(value)>>> = true;

template <class E, int value>
consteval bool IsEnumValue() {
  using U = std::underlying_type_t<E>;
  if constexpr (std::is_same_v<U, bool>) {
    return value == 0 || value == 1;
  } else if constexpr (!std::in_range<U>(value)) {
    return false;
  } else {
    return kCanCast<E, value>;
  }
}

template <class E, int value>
consteval E EnumValueOrZero() {
  if constexpr (IsEnumValue<E, value>()) {
    return static_cast<E>(value);
  } else {
    return static_cast<E>(0);
  }
}

template <auto... values>
constexpr const char* SpellValues() {
  return __PRETTY_FUNCTION__;
}

// From "... values = {Color::kRed, (Color)1, ...}" (g++) or "... <Color::kRed, ...>" (clang): the
// last identifier of each value, empty where it is a number.
template <class E>
std::array<std::string_view, kNamedEnums> FindEnumNames() {
  std::array<std::string_view, kNamedEnums> names;
  const auto [text, is_value] = []<std::size_t... I>(std::index_sequence<I...>) {
    return std::pair(
        std::string_view(
            SpellValues<EnumValueOrZero<E, static_cast<int>(I) + kMinNamedEnum>()...>()),
        std::array<bool, kNamedEnums>{IsEnumValue<E, static_cast<int>(I) + kMinNamedEnum>()...});
  }(std::make_index_sequence<kNamedEnums>());
  std::string_view rest = text.substr(text.find("values = ") + 10);
  for (std::size_t i = 0; i < kNamedEnums; ++i) {
    std::size_t depth = 0;
    std::size_t end = 0;
    for (; end < rest.size(); ++end) {
      const char c = rest[end];
      if (c == '(' || c == '{' || c == '<') ++depth;
      if (depth == 0 && (c == ',' || c == '}' || c == '>')) break;
      if (c == ')' || c == '}' || c == '>') --depth;
    }
    const std::string_view name = LastIdentifier(rest.substr(0, end));
    if (is_value[i] && !name.empty() && (name[0] < '0' || name[0] > '9')) names[i] = name;
    rest.remove_prefix(end < rest.size() ? end + 1 : end);
  }
  return names;
}

#pragma GCC diagnostic pop

template <class E>
const std::array<std::string_view, kNamedEnums>& EnumNames() {
  static const std::array<std::string_view, kNamedEnums> names = FindEnumNames<E>();
  return names;
}

}  // namespace internal

// The unqualified name of the enumerator with this value; empty if it has none.
template <class E>
std::string_view EnumName(E value) {
  const auto number = static_cast<std::underlying_type_t<E>>(value);
  if (!std::in_range<std::int8_t>(
          static_cast<std::conditional_t<std::is_same_v<decltype(number), const bool>, int,
                                         std::remove_const_t<decltype(number)>>>(number))) {
    return {};
  }
  return internal::EnumNames<E>()[static_cast<std::size_t>(static_cast<int>(number) -
                                                           internal::kMinNamedEnum)];
}

// The value of the enumerator with this name.
template <class E>
std::optional<E> EnumFromName(std::string_view name) {
  if (name.empty()) return std::nullopt;
  const auto& names = internal::EnumNames<E>();
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<E>(static_cast<int>(i) + internal::kMinNamedEnum);
  }
  return std::nullopt;
}

}  // namespace weir
