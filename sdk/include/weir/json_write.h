#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "weir/compare.h"
#include "weir/record_traits.h"
#include "weir/text.h"

// Records as JSON (docs/FORMATS.md, "JSON"): writing.
namespace weir {
namespace internal {

// Length of the well-formed UTF-8 sequence at the start of `text` (Unicode 15, table 3-7), or 0 and
// in `bad` the number of bytes that stand for one replacement character.
inline std::size_t Utf8Length(std::string_view text, std::size_t& bad) {
  const auto at = [text](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const unsigned lead = at(0);
  bad = 1;
  if (lead < 0x80) return 1;
  std::size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                       : lead >= 0xE0 && lead <= 0xEF ? 3
                       : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                      : 0;
  if (length == 0) return 0;
  unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (std::size_t i = 1; i < length; ++i) {
    if (at(i) < low || at(i) > high) {
      bad = i;
      return 0;
    }
    low = 0x80;
    high = 0xBF;
  }
  return length;
}

// Appends `text` as a JSON string. What is not UTF-8 in it becomes U+FFFD.
inline void AppendJsonString(std::string_view text, std::string& out) {
  out += '"';
  std::size_t plain = 0;  // from here to i nothing needs a change
  std::size_t i = 0;
  while (i < text.size()) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') [[likely]] {
      ++i;
      continue;
    }
    std::size_t bad = 1;
    if (c >= 0x80) {
      if (const std::size_t length = Utf8Length(text.substr(i), bad); length > 0) {
        i += length;
        continue;
      }
    }
    out.append(text, plain, i - plain);
    if (c >= 0x80) {
      out += "\xEF\xBF\xBD";
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (const auto at = std::string_view("\b\f\n\r\t").find(static_cast<char>(c));
               at != std::string_view::npos) {
      out += '\\';
      out += "bfnrt"[at];
    } else {
      constexpr char kHex[] = "0123456789abcdef";
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    }
    i += bad;
    plain = i;
  }
  out.append(text, plain, i - plain);
  out += '"';
}

}  // namespace internal

// Appends `value` as JSON.
template <class T>
void WriteJsonValue(const T& value, std::string& out);

namespace internal {

template <class Entry>
void WriteJsonEntry(const Entry& entry, bool first, std::string& out) {
  using K = std::remove_cv_t<typename Entry::first_type>;
  if (!first) out += ',';
  if constexpr (kKind<K> == Kind::kString) {
    AppendJsonString(entry.first, out);
    out += ':';
    WriteJsonValue(entry.second, out);
  } else if constexpr (kHasText<K>) {
    std::string key;
    AppendText(entry.first, key);
    AppendJsonString(key, out);
    out += ':';
    WriteJsonValue(entry.second, out);
  } else {
    out += '[';
    WriteJsonValue(entry.first, out);
    out += ',';
    WriteJsonValue(entry.second, out);
    out += ']';
  }
}

template <class T>
void WriteJsonMap(const T& map, std::string& out) {
  constexpr bool object = kHasText<typename T::key_type>;
  out += object ? '{' : '[';
  bool first = true;
  if constexpr (kKind<T> == Kind::kMap) {
    for (const auto& entry : map) WriteJsonEntry(entry, std::exchange(first, false), out);
  } else {
    for (const auto* entry : SortedEntries(map))
      WriteJsonEntry(*entry, std::exchange(first, false), out);
  }
  out += object ? '}' : ']';
}

// What stands before the value of each field: `{"a":`, `,"b":`.
template <class T>
const std::array<std::string, kFieldCount<T>>& JsonFieldPrefixes() {
  static const std::array<std::string, kFieldCount<T>> prefixes = [] {
    std::array<std::string, kFieldCount<T>> made;
    for (std::size_t i = 0; i < made.size(); ++i) {
      made[i] = i == 0 ? '{' : ',';
      AppendJsonString(FieldNames<T>()[i], made[i]);
      made[i] += ':';
    }
    return made;
  }();
  return prefixes;
}

template <class T>
void WriteJsonObject(const T& record, std::string& out) {
  if constexpr (kFieldCount<T> == 0) {
    out += "{}";
  } else {
    const auto& prefixes = JsonFieldPrefixes<T>();
    VisitFields(record, [&](const auto&... field) {
      std::size_t i = 0;
      ((out += prefixes[i++], WriteJsonValue(field, out)), ...);
    });
    out += '}';
  }
}

}  // namespace internal

template <class T>
void WriteJsonValue(const T& value, std::string& out) {
  using internal::Kind;
  constexpr Kind kind = internal::kKind<T>;
  if constexpr (kind == Kind::kCustom) {
    Codec<T>::WriteJson(value, out);
  } else if constexpr (kind == Kind::kBool || kind == Kind::kInteger) {
    AppendText(value, out);
  } else if constexpr (kind == Kind::kString) {
    internal::AppendJsonString(value, out);
  } else if constexpr (kind == Kind::kFloat) {
    const bool quoted = !std::isfinite(value);
    if (quoted) out += '"';
    AppendText(value, out);
    if (quoted) out += '"';
  } else if constexpr (kind == Kind::kEnum) {
    const bool quoted = !EnumName(value).empty();
    if (quoted) out += '"';
    AppendText(value, out);
    if (quoted) out += '"';
  } else if constexpr (kind == Kind::kTime || kind == Kind::kDuration) {
    out += '"';
    AppendText(value, out);
    out += '"';
  } else if constexpr (kind == Kind::kOptional) {
    if (value.has_value()) {
      WriteJsonValue(*value, out);
    } else {
      out += "null";
    }
  } else if constexpr (kind == Kind::kVector || kind == Kind::kArray) {
    using E = internal::Part<0, T>;
    out += '[';
    bool first = true;
    for (const E& element : value) {
      if (!std::exchange(first, false)) out += ',';
      WriteJsonValue(element, out);
    }
    out += ']';
  } else if constexpr (kind == Kind::kMap || kind == Kind::kUnorderedMap) {
    internal::WriteJsonMap(value, out);
  } else if constexpr (kind == Kind::kTuple) {
    out += '[';
    std::apply(
        [&out](const auto&... part) {
          [[maybe_unused]] std::size_t i = 0;
          ((out += i++ > 0 ? "," : "", WriteJsonValue(part, out)), ...);
        },
        value);
    out += ']';
  } else {
    static_assert(kind == Kind::kAggregate, "no record: see weir::CheckRecord");
    internal::WriteJsonObject(value, out);
  }
}

}  // namespace weir
