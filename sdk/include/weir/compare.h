#pragma once

#include <algorithm>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "weir/record_traits.h"

namespace weir {

template <class T>
std::strong_ordering RecordCompare(const T& a, const T& b);

namespace internal {

// The order of -NaN, -inf, ..., -0, +0, ..., inf, NaN as that of integers.
template <class F>
constexpr auto FloatRank(F value) {
  using I = std::conditional_t<sizeof(F) == 4, std::int32_t, std::int64_t>;
  const I bits = std::bit_cast<I>(value);
  return bits >= 0 ? bits : static_cast<I>(bits ^ std::numeric_limits<I>::max());
}

template <class Map>
auto SortedEntries(const Map& map) {
  std::vector<const typename Map::value_type*> entries;
  entries.reserve(map.size());
  for (const auto& entry : map) entries.push_back(&entry);
  std::sort(entries.begin(), entries.end(),
            [](const auto* a, const auto* b) { return RecordCompare(a->first, b->first) < 0; });
  return entries;
}

template <class It, class Compare>
std::strong_ordering CompareRanges(It a, It a_end, It b, It b_end, Compare compare) {
  for (; a != a_end && b != b_end; ++a, ++b) {
    if (const auto order = compare(*a, *b); order != 0) return order;
  }
  return a != a_end   ? std::strong_ordering::greater
         : b != b_end ? std::strong_ordering::less
                      : std::strong_ordering::equal;
}

}  // namespace internal

// A total order of records: field by field, numbers by value, strings by bytes, sequences
// lexically, maps as sequences of their sorted entries, nullopt first. Floating point numbers as
// IEEE 754 totalOrder says: -0 is less than 0, NaN equals itself. Two records are equal iff their
// encodings are.
template <class T>
std::strong_ordering RecordCompare(const T& a, const T& b) {
  using internal::Kind;
  constexpr Kind kind = internal::kKind<T>;
  if constexpr (kind == Kind::kBool || kind == Kind::kInteger || kind == Kind::kTime ||
                kind == Kind::kDuration) {
    return a <=> b;
  } else if constexpr (kind == Kind::kEnum) {
    using U = std::underlying_type_t<T>;
    return static_cast<U>(a) <=> static_cast<U>(b);
  } else if constexpr (kind == Kind::kFloat) {
    return internal::FloatRank(a) <=> internal::FloatRank(b);
  } else if constexpr (kind == Kind::kString) {
    return a.compare(b) <=> 0;
  } else if constexpr (kind == Kind::kOptional) {
    if (!a.has_value() || !b.has_value()) return a.has_value() <=> b.has_value();
    return RecordCompare(*a, *b);
  } else if constexpr (kind == Kind::kVector || kind == Kind::kArray) {
    using E = internal::Part<0, T>;
    return internal::CompareRanges(a.begin(), a.end(), b.begin(), b.end(),
                                   [](const E& x, const E& y) { return RecordCompare(x, y); });
  } else if constexpr (kind == Kind::kMap) {
    return internal::CompareRanges(a.begin(), a.end(), b.begin(), b.end(),
                                   [](const auto& x, const auto& y) {
                                     const auto order = RecordCompare(x.first, y.first);
                                     return order != 0 ? order : RecordCompare(x.second, y.second);
                                   });
  } else if constexpr (kind == Kind::kUnorderedMap) {
    const auto x = internal::SortedEntries(a);
    const auto y = internal::SortedEntries(b);
    return internal::CompareRanges(
        x.begin(), x.end(), y.begin(), y.end(), [](const auto* p, const auto* q) {
          const auto order = RecordCompare(p->first, q->first);
          return order != 0 ? order : RecordCompare(p->second, q->second);
        });
  } else if constexpr (kind == Kind::kTuple) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      std::strong_ordering order = std::strong_ordering::equal;
      static_cast<void>((((order = RecordCompare(std::get<I>(a), std::get<I>(b))) == 0) && ...));
      return order;
    }(std::make_index_sequence<std::tuple_size_v<T>>());
  } else if constexpr (kind == Kind::kAggregate) {
    return VisitFields(a, [&b](const auto&... x) {
      return VisitFields(b, [&x...](const auto&... y) {
        std::strong_ordering order = std::strong_ordering::equal;
        static_cast<void>((((order = RecordCompare(x, y)) == 0) && ...));
        return order;
      });
    });
  } else {
    static_assert(kind == Kind::kCustom);
    char room_a[128];
    char room_b[128];
    Encoder x(room_a, sizeof(room_a));
    Encoder y(room_b, sizeof(room_b));
    Codec<T>::Encode(a, x);
    Codec<T>::Encode(b, y);
    return x.view().compare(y.view()) <=> 0;
  }
}

// Whether two records have the same encoding.
template <class T>
bool RecordEquals(const T& a, const T& b) {
  using internal::Kind;
  constexpr Kind kind = internal::kKind<T>;
  if constexpr (internal::kIsFlat<T>) {
    return std::memcmp(&a, &b, sizeof(T)) == 0;
  } else if constexpr (kind == Kind::kString) {
    return a == b;
  } else if constexpr (kind == Kind::kAggregate) {
    return VisitFields(a, [&b](const auto&... x) {
      return VisitFields(b,
                         [&x...](const auto&... y) { return (RecordEquals(x, y) && ... && true); });
    });
  } else {
    return RecordCompare(a, b) == 0;
  }
}

}  // namespace weir
