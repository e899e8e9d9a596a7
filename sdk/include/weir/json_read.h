#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "weir/missing_fields.h"
#include "weir/record_traits.h"
#include "weir/record_type.h"
#include "weir/text.h"

// Records as JSON (docs/FORMATS.md, "JSON"): reading.
namespace weir {

// Reads one value. kInvalidArgument, with the name of the field, if the JSON does not fit T;
// `value` is then unspecified. What the JSON says nothing of keeps its value.
template <class T>
absl::Status ReadJsonValue(JsonReader& in, T& value);

namespace internal {

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
