#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "weir/compare.h"
#include "weir/missing_fields.h"
#include "weir/record_traits.h"
#include "weir/record_type.h"
#include "weir/text.h"

// Records as JSON (docs/FORMATS.md, "JSON").
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

// Says, on the way out of a failure, in which field or element it happened: "field 'a.b': ...".
[[gnu::noinline]] inline absl::Status InField(const absl::Status& status, std::string_view name) {
  std::string message(status.message());
  constexpr std::string_view kField = "field '";
  if (message.starts_with(kField)) {
    message.insert(kField.size(), std::string(name) + ".");
  } else {
    message = std::string(kField) + std::string(name) + "': " + message;
  }
  return absl::Status(status.code(), message);
}

}  // namespace internal

// Appends `value` as JSON.
template <class T>
void WriteJsonValue(const T& value, std::string& out);

// Reads one value. kInvalidArgument, with the name of the field, if the JSON does not fit T;
// `value` is then unspecified. What the JSON says nothing of keeps its value.
template <class T>
absl::Status ReadJsonValue(JsonReader& in, T& value);

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

// Calls read(i) for element i until the array ends; `read` may refuse an element.
template <class Read>
absl::Status ReadJsonArray(JsonReader& in, Read read) {
  if (absl::Status status = in.BeginArray(); !status.ok()) return status;
  for (std::size_t i = 0;; ++i) {
    absl::StatusOr<bool> more = in.NextElement();
    if (!more.ok()) return more.status();
    if (!*more) return absl::OkStatus();
    if (absl::Status status = read(i); !status.ok()) return InField(status, std::to_string(i));
  }
}

// As many elements as T has parts: pairs, tuples, arrays.
template <class T, class ReadPart>
absl::Status ReadJsonParts(JsonReader& in, std::size_t size, ReadPart read_part) {
  std::size_t count = 0;
  absl::Status status = ReadJsonArray(in, [&](std::size_t i) {
    count = i + 1;
    if (i < size) return read_part(i);
    return absl::InvalidArgumentError("expected an array of " + std::to_string(size) +
                                      ", found more elements");
  });
  if (status.ok() && count < size) {
    return absl::InvalidArgumentError("expected an array of " + std::to_string(size) + ", found " +
                                      std::to_string(count));
  }
  return status;
}

template <class Map>
absl::Status ReadJsonMap(JsonReader& in, Map& map) {
  using K = typename Map::key_type;
  map.clear();
  if constexpr (kHasText<K>) {
    if (absl::Status status = in.BeginObject(); !status.ok()) return status;
    while (true) {
      std::string_view name;
      absl::StatusOr<bool> more = in.NextField(name);
      if (!more.ok()) return more.status();
      if (!*more) return absl::OkStatus();
      K key{};
      const std::string text(name);
      if (absl::Status status = ParseText(text, key); !status.ok()) return InField(status, text);
      typename Map::mapped_type value{};
      if (absl::Status status = ReadJsonValue(in, value); !status.ok())
        return InField(status, text);
      map.insert_or_assign(std::move(key), std::move(value));
    }
  } else {
    return ReadJsonArray(in, [&](std::size_t) {
      std::pair<K, typename Map::mapped_type> entry{};
      absl::Status status = ReadJsonValue(in, entry);
      if (status.ok()) map.insert_or_assign(std::move(entry.first), std::move(entry.second));
      return status;
    });
  }
}

// Calls visit(part) with the i-th of the parts; i is less than their number.
template <class Visit, class... Part>
absl::Status VisitPart(std::size_t i, [[maybe_unused]] Visit visit, Part&... part) {
  absl::Status status;
  std::size_t k = 0;
  static_cast<void>(((k++ == i && (status = visit(part), true)) || ...));
  return status;
}

template <class T>
absl::Status ReadJsonObject(JsonReader& in, T& record) {
  constexpr std::size_t kCount = kFieldCount<T>;
  const auto& names = FieldNames<T>();
  if (absl::Status status = in.BeginObject(); !status.ok()) return status;
  std::uint64_t seen = 0;
  std::size_t expected = 0;  // where the next field is if the JSON has the order of the record
  while (true) {
    std::string_view name;
    absl::StatusOr<bool> more = in.NextField(name);
    if (!more.ok()) return more.status();
    if (!*more) break;
    std::size_t i = expected;
    if (i >= kCount || names[i] != name) {
      for (i = 0; i < kCount && names[i] != name; ++i) {
      }
    }
    if (i == kCount) {
      if (absl::Status status = in.Skip(); !status.ok()) return status;
      continue;
    }
    absl::Status status = VisitFields(record, [&](auto&... field) {
      return VisitPart(i, [&in](auto& value) { return ReadJsonValue(in, value); }, field...);
    });
    if (!status.ok()) return InField(status, names[i]);
    seen |= std::uint64_t{1} << i;
    expected = i + 1;
  }
  constexpr std::uint64_t kAll =
      kCount == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << (kCount % 64)) - 1;
  if (seen != kAll) {
    for (std::size_t i = 0; i < kCount; ++i) {
      if ((seen >> i & 1) == 0 && !OptionalFields<T>()[i])
        return MissingField<T>("field", names[i]);
    }
  }
  return absl::OkStatus();
}

template <class I>
absl::Status ReadJsonInteger(JsonReader& in, I& value) {
  std::conditional_t<std::is_signed_v<I>, std::int64_t, std::uint64_t> number = 0;
  absl::Status status;
  if constexpr (std::is_signed_v<I>) {
    status = in.ReadInt(number);
  } else {
    status = in.ReadUint(number);
  }
  if (!status.ok()) return status;
  if (number < std::numeric_limits<I>::min() || number > std::numeric_limits<I>::max()) {
    return Expected("an integer " + RangeOf<CharsInteger<I>>(), std::to_string(number));
  }
  value = static_cast<I>(number);
  return absl::OkStatus();
}

template <class F>
absl::Status ReadJsonFloat(JsonReader& in, F& value) {
  if (in.NextKind() == JsonKind::kString) {
    std::string_view text;
    if (absl::Status status = in.ReadString(text); !status.ok()) return status;
    if (text != "NaN" && text != "Infinity" && text != "-Infinity")
      return Expected("a number", text);
    return ParseFloat(text, value);
  }
  double number = 0;
  if (absl::Status status = in.ReadDouble(number); !status.ok()) return status;
  value = static_cast<F>(number);
  if (std::isinf(value))
    return Expected("a number in the range of its type", std::to_string(number));
  return absl::OkStatus();
}

template <class E>
absl::Status ReadJsonEnum(JsonReader& in, E& value) {
  std::string_view text;
  if (in.NextKind() == JsonKind::kNumber) {
    using U = std::underlying_type_t<E>;
    std::conditional_t<std::is_same_v<U, bool>, std::uint8_t, U> number = 0;
    if (absl::Status status = ReadJsonInteger(in, number); !status.ok()) return status;
    value = static_cast<E>(number);
    return absl::OkStatus();
  }
  if (absl::Status status = in.ReadString(text); !status.ok()) return status;
  return ParseEnum(text, value);
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

template <class T>
absl::Status ReadJsonValue(JsonReader& in, T& value) {
  using internal::Kind;
  constexpr Kind kind = internal::kKind<T>;
  if constexpr (kind == Kind::kCustom) {
    return Codec<T>::ReadJson(in, value);
  } else if constexpr (kind == Kind::kBool) {
    return in.ReadBool(value);
  } else if constexpr (kind == Kind::kInteger) {
    return internal::ReadJsonInteger(in, value);
  } else if constexpr (kind == Kind::kFloat) {
    return internal::ReadJsonFloat(in, value);
  } else if constexpr (kind == Kind::kEnum) {
    return internal::ReadJsonEnum(in, value);
  } else if constexpr (kind == Kind::kString) {
    std::string_view text;
    absl::Status status = in.ReadString(text);
    if (status.ok()) value.assign(text);
    return status;
  } else if constexpr (kind == Kind::kTime) {
    return in.ReadTime(value);
  } else if constexpr (kind == Kind::kDuration) {
    return in.ReadDuration(value);
  } else if constexpr (kind == Kind::kOptional) {
    if (in.IsNull()) {
      value.reset();
      return absl::OkStatus();
    }
    return ReadJsonValue(in, value.emplace());
  } else if constexpr (kind == Kind::kVector) {
    value.clear();
    return internal::ReadJsonArray(in, [&](std::size_t) {
      internal::Part<0, T> element{};
      absl::Status status = ReadJsonValue(in, element);
      if (status.ok()) value.push_back(std::move(element));
      return status;
    });
  } else if constexpr (kind == Kind::kArray) {
    return internal::ReadJsonParts<T>(in, value.size(),
                                      [&](std::size_t i) { return ReadJsonValue(in, value[i]); });
  } else if constexpr (kind == Kind::kMap || kind == Kind::kUnorderedMap) {
    return internal::ReadJsonMap(in, value);
  } else if constexpr (kind == Kind::kTuple) {
    return internal::ReadJsonParts<T>(in, std::tuple_size_v<T>, [&](std::size_t i) {
      return std::apply(
          [&](auto&... part) {
            return internal::VisitPart(
                i, [&in](auto& one) { return ReadJsonValue(in, one); }, part...);
          },
          value);
    });
  } else {
    static_assert(kind == Kind::kAggregate, "no record: see weir::CheckRecord");
    return internal::ReadJsonObject(in, value);
  }
}

}  // namespace weir
