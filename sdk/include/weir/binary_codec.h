#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "weir/compare.h"
#include "weir/encoding.h"
#include "weir/record_traits.h"

// The binary encoding of records (docs/FORMATS.md, "Record encoding").
namespace weir {

// Appends the encoding of `value`.
template <class T>
void EncodeValue(const T& value, Encoder& out) {
  using internal::Kind;
  constexpr Kind kind = internal::kKind<T>;
  if constexpr (internal::kIsFlat<T>) {
    out.Bytes(&value, sizeof(T));
  } else if constexpr (kind == Kind::kString) {
    out.String(value);
  } else if constexpr (kind == Kind::kOptional) {
    out.Fixed(static_cast<std::uint8_t>(value.has_value() ? 1 : 0));
    if (value.has_value()) EncodeValue(*value, out);
  } else if constexpr (kind == Kind::kVector) {
    using E = internal::Part<0, T>;
    out.Varint(value.size());
    if constexpr (internal::kIsFlat<E> && !std::is_same_v<E, bool>) {
      out.Bytes(value.data(), value.size() * sizeof(E));
    } else {
      for (const E& element : value) EncodeValue(element, out);
    }
  } else if constexpr (kind == Kind::kMap) {
    out.Varint(value.size());
    for (const auto& [key, mapped] : value) {
      EncodeValue(key, out);
      EncodeValue(mapped, out);
    }
  } else if constexpr (kind == Kind::kUnorderedMap) {
    out.Varint(value.size());
    for (const auto* entry : internal::SortedEntries(value)) {
      EncodeValue(entry->first, out);
      EncodeValue(entry->second, out);
    }
  } else if constexpr (kind == Kind::kArray) {
    for (const auto& element : value) EncodeValue(element, out);
  } else if constexpr (kind == Kind::kTuple) {
    std::apply([&out](const auto&... part) { (EncodeValue(part, out), ...); }, value);
  } else if constexpr (kind == Kind::kAggregate) {
    if constexpr (kFieldCount<T> == 0) {
      out.Fixed(std::uint8_t{0});
    } else {
      VisitFields(value, [&out](const auto&... field) { (EncodeValue(field, out), ...); });
    }
  } else {
    static_assert(kind == Kind::kCustom, "no record: see weir::CheckRecord");
    Codec<T>::Encode(value, out);
  }
}

template <class T>
bool DecodeValue(Decoder& in, T& value);

namespace internal {

// After a flat value was copied from bytes that may be anything: whether its bools are 0 or 1.
// Reads them as bytes.
template <class T>
bool CheckBools(Decoder& in, const T& value) {
  if constexpr (!HasBool<T>()) {
    return true;
  } else if constexpr (kKind<T> == Kind::kBool) {
    unsigned char byte = 0;
    std::memcpy(&byte, &value, 1);
    return byte <= 1 || in.Fail("a bool that is neither 0 nor 1");
  } else if constexpr (kKind<T> == Kind::kArray) {
    for (const auto& element : value) {
      if (!CheckBools(in, element)) return false;
    }
    return true;
  } else {
    return VisitFields(value, [&in](const auto&... field) {
      [[maybe_unused]] std::size_t i = 0;
      return ((CheckBools(in, field) ? (++i, true) : in.FailedIn(FieldNames<T>()[i])) && ...);
    });
  }
}

template <class Map>
bool DecodeMap(Decoder& in, Map& map) {
  using K = typename Map::key_type;
  using V = typename Map::mapped_type;
  std::size_t count = 0;
  if (!in.Count(kMinSize<K> + kMinSize<V>, count) || !in.Enter()) return false;
  map.clear();
  [[maybe_unused]] const K* last = nullptr;  // stays where it is when the map grows
  for (std::size_t i = 0; i < count; ++i) {
    K key{};
    if (!DecodeValue(in, key)) return in.FailedIn("key " + std::to_string(i));
    const auto [at, added] = map.try_emplace(std::move(key));
    if (!added) return in.Fail("a key that is there twice");
    if constexpr (kKind<Map> == Kind::kMap) {
      if (std::next(at) != map.end()) return in.Fail("keys that are not in their order");
    } else {
      if (last != nullptr && RecordCompare(*last, at->first) > 0) {
        return in.Fail("keys that are not in their order");
      }
      last = &at->first;
    }
    if (!DecodeValue(in, at->second)) return in.FailedIn("value " + std::to_string(i));
  }
  in.Leave();
  return true;
}

template <class Vector>
bool DecodeVector(Decoder& in, Vector& vector) {
  using E = typename Vector::value_type;
  std::size_t count = 0;
  if (!in.Count(kMinSize<E>, count)) return false;
  vector.clear();
  if constexpr (std::is_same_v<E, bool>) {
    vector.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      bool element = false;
      if (!in.Bool(element)) return in.FailedIn(std::to_string(i));
      vector.push_back(element);
    }
  } else if constexpr (kIsFlat<E>) {
    vector.resize(count);
    if (!in.Bytes(vector.data(), count * sizeof(E))) return false;
    for (std::size_t i = 0; HasBool<E>() && i < count; ++i) {
      if (!CheckBools(in, vector[i])) return in.FailedIn(std::to_string(i));
    }
  } else {
    if (!in.Enter()) return false;
    vector.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      if (!DecodeValue(in, vector.emplace_back())) return in.FailedIn(std::to_string(i));
    }
    in.Leave();
  }
  return true;
}

template <class... V>
bool DecodeAll(Decoder& in, V&... value) {
  return (DecodeValue(in, value) && ...);
}

}  // namespace internal

// Reads the encoding of a value into `value`. False, with the reason in `in`, if the bytes are
// none; `value` is then valid but unspecified.
template <class T>
bool DecodeValue(Decoder& in, T& value) {
  using internal::Kind;
  constexpr Kind kind = internal::kKind<T>;
  if constexpr (kind == Kind::kBool) {
    return in.Bool(value);
  } else if constexpr (internal::kIsFlat<T> && internal::HasBool<T>()) {
    T copy;
    if (!in.Bytes(&copy, sizeof(T)) || !internal::CheckBools(in, copy)) return false;
    value = copy;
    return true;
  } else if constexpr (internal::kIsFlat<T>) {
    return in.Bytes(&value, sizeof(T));
  } else if constexpr (kind == Kind::kString) {
    return in.String(value);
  } else if constexpr (kind == Kind::kOptional) {
    bool present = false;
    if (!in.Bool(present)) return false;
    value.reset();
    if (!present) return true;
    if (!in.Enter() || !DecodeValue(in, value.emplace())) return false;
    in.Leave();
    return true;
  } else if constexpr (kind == Kind::kVector) {
    return internal::DecodeVector(in, value);
  } else if constexpr (kind == Kind::kMap || kind == Kind::kUnorderedMap) {
    return internal::DecodeMap(in, value);
  } else if constexpr (kind == Kind::kArray) {
    for (auto& element : value) {
      if (!DecodeValue(in, element)) return false;
    }
    return true;
  } else if constexpr (kind == Kind::kTuple) {
    return std::apply([&in](auto&... part) { return internal::DecodeAll(in, part...); }, value);
  } else if constexpr (kind == Kind::kAggregate) {
    if constexpr (kFieldCount<T> == 0) {
      std::uint8_t byte = 0;
      return in.Fixed(byte) && (byte == 0 || in.Fail("an empty record that is not 0"));
    } else {
      return VisitFields(value, [&in](auto&... field) {
        [[maybe_unused]] std::size_t i = 0;
        return ((DecodeValue(in, field) ? (++i, true) : in.FailedIn(FieldNames<T>()[i])) && ...);
      });
    }
  } else {
    static_assert(kind == Kind::kCustom, "no record: see weir::CheckRecord");
    return Codec<T>::Decode(in, value) ||
           in.Fail(std::string("no ") + std::string(Codec<T>::kTypeName));
  }
}

// Appends the encoding of `value`.
template <class T>
void EncodeValue(const T& value, std::string& out) {
  Encoder encoder(out);
  EncodeValue(value, encoder);
}

// Reads `value` from exactly `bytes`; kDataLoss if they are not an encoding of it.
template <class T>
absl::Status DecodeValue(std::string_view bytes, T& value) {
  Decoder in(bytes);
  if (!DecodeValue(in, value)) return in.status();
  if (in.remaining() > 0)
    return absl::DataLossError(std::to_string(in.remaining()) + " bytes too many");
  return absl::OkStatus();
}

// Appends the bytes that stand for a key: its encoding, but those of a std::string are its
// characters alone. They decide the key group (semantics rule 48) and the order of keys.
template <class K>
void SerializeKey(const K& key, std::string& out) {
  if constexpr (std::is_same_v<K, std::string> || std::is_same_v<K, std::string_view>) {
    out.append(key);
  } else {
    EncodeValue(key, out);
  }
}
template <class K>
std::string SerializeKey(const K& key) {
  std::string bytes;
  SerializeKey(key, bytes);
  return bytes;
}

// The key of which SerializeKey made exactly `bytes`; kDataLoss if there is none.
template <class K>
absl::Status DeserializeKey(std::string_view bytes, K& key) {
  if constexpr (std::is_same_v<K, std::string>) {
    key.assign(bytes);
    return absl::OkStatus();
  } else {
    return DecodeValue(bytes, key);
  }
}

// Calls use(bytes) with what SerializeKey makes of `key`, without a copy where it is in memory
// already.
template <class K, class Use>
decltype(auto) WithSerializedKey(const K& key, Use&& use) {
  if constexpr (std::is_same_v<K, std::string> || std::is_same_v<K, std::string_view>) {
    return use(std::string_view(key));
  } else if constexpr (internal::kIsFlat<K>) {
    return use(std::string_view(reinterpret_cast<const char*>(&key), sizeof(K)));
  } else {
    char scratch[256];
    Encoder encoder(scratch, sizeof(scratch));
    EncodeValue(key, encoder);
    return use(encoder.view());
  }
}

// The order of SerializeKey(a) and SerializeKey(b), byte by byte.
template <class K>
std::strong_ordering SerializedKeyCompare(const K& a, const K& b) {
  return WithSerializedKey(a, [&b](std::string_view x) {
    return WithSerializedKey(b, [x](std::string_view y) { return x.compare(y) <=> 0; });
  });
}

}  // namespace weir
