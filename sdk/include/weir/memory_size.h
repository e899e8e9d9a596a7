#pragma once

#include <cstddef>
#include <string>
#include <tuple>
#include <type_traits>

#include "weir/record_traits.h"

namespace weir::internal {

// About how many bytes of the heap a value points to, whatever allocator it uses; 0 for a type with
// a codec of its own, of which nothing is known.
template <class T>
std::size_t HeapBytes(const T& value) {
  constexpr Kind kind = kKind<T>;
  const auto sum = [](const auto& range) {
    std::size_t bytes = 0;
    for (const auto& element : range) bytes += HeapBytes(element);
    return bytes;
  };
  if constexpr (std::is_trivially_destructible_v<T> || kind == Kind::kCustom) {
    return 0;
  } else if constexpr (kind == Kind::kString) {
    return value.capacity() > std::string().capacity() ? value.capacity() + 1 : 0;
  } else if constexpr (kind == Kind::kOptional) {
    return value.has_value() ? HeapBytes(*value) : 0;
  } else if constexpr (std::is_same_v<T, std::vector<bool>>) {
    return value.capacity() / 8;
  } else if constexpr (kind == Kind::kVector) {
    return value.capacity() * sizeof(value[0]) + sum(value);
  } else if constexpr (kind == Kind::kMap || kind == Kind::kUnorderedMap) {
    // A node has some pointers beside the entry.
    std::size_t bytes = value.size() * (sizeof(*value.begin()) + 4 * sizeof(void*));
    for (const auto& [key, mapped] : value) bytes += HeapBytes(key) + HeapBytes(mapped);
    return bytes;
  } else if constexpr (kind == Kind::kArray) {
    return sum(value);
  } else if constexpr (kind == Kind::kTuple) {
    return std::apply([](const auto&... part) { return (HeapBytes(part) + ... + 0); }, value);
  } else {
    static_assert(kind == Kind::kAggregate);
    return VisitFields(value, [](const auto&... field) { return (HeapBytes(field) + ... + 0); });
  }
}

}  // namespace weir::internal
