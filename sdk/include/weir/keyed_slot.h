#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "weir/hash.h"

namespace weir::internal {

// A place for an entry. The general one keeps 32 bits of the hash beside key and value: it tells
// most other keys apart without looking at them, and where the entry belongs when the table grows.
template <class K, class V>
struct KeyedSlot {
  static constexpr bool kHasReservedKey = false;
  std::uint32_t tag;  // 0: empty
  K key;
  V value;

  bool Empty() const { return tag == 0; }
  bool Holds(std::uint32_t with_tag, const K& with_key) const {
    return tag == with_tag && key == with_key;
  }
  std::uint32_t Tag() const { return tag; }
  void MarkEmpty() { tag = 0; }
  void MarkUsed(std::uint32_t with_tag) { tag = with_tag; }
};

// For integers the key itself says whether the slot is used, so that four entries of two words fill
// a cache line and none crosses one. The entry of the one key that stands for "empty" is kept
// beside the sub-tables.
template <class K, class V>
  requires(std::is_integral_v<K> && sizeof(K) >= 4)
struct KeyedSlot<K, V> {
  static constexpr bool kHasReservedKey = true;
  static constexpr K kReservedKey = static_cast<K>(0x9E37'79B9'7F4A'7C15ULL);
  K key;
  V value;

  bool Empty() const { return key == kReservedKey; }
  bool Holds(std::uint32_t, const K& with_key) const { return key == with_key; }
  std::uint32_t Tag() const { return static_cast<std::uint32_t>(KeyHash(key)); }
  void MarkEmpty() { key = kReservedKey; }
  void MarkUsed(std::uint32_t) {}
};

// How many slots a table compares with a key without a branch between them, a power of two: the
// small entries of integer keys that fill a cache line. A comparison more costs less than a branch
// that is mispredicted whenever a key is not in its first place.
template <class Slot>
inline constexpr std::uint32_t kBucketSlots =
    Slot::kHasReservedKey ? std::clamp<std::uint32_t>(
                                std::bit_floor(static_cast<std::uint32_t>(64 / sizeof(Slot))), 1, 4)
                          : 1;

// How full an open-addressing table of such slots gets before it doubles, in sixteenths: as empty
// as 64 bytes a key besides the entry allow when it has just doubled, between a half and three
// quarters.
template <class Slot>
inline constexpr std::uint64_t kFullestSixteenths =
    std::clamp<std::uint64_t>((32 * sizeof(Slot) + sizeof(Slot) + 63) / (sizeof(Slot) + 64), 8, 12);

// How many entries a table of so many slots, a power of two, has at most. Small ones, where memory
// does not matter, stay half empty.
template <class Slot>
std::uint64_t MostEntries(std::uint64_t slots) {
  constexpr std::uint64_t kSmallSlots = 256;
  return slots <= kSmallSlots ? slots / 2 : slots / 16 * kFullestSixteenths<Slot>;
}

inline constexpr std::uint32_t kMinSlots = 8;
// The fewest slots for so many entries, at most 2^30.
template <class Slot>
std::uint32_t SlotsFor(std::size_t entries) {
  std::uint32_t count = kMinSlots;
  while (entries > MostEntries<Slot>(count)) count *= 2;
  return count;
}

// What a slot tells keys apart by, and is chosen by: the lower half of a key's hash.
template <class Slot>
std::uint32_t SlotTag(std::uint64_t hash) {
  const auto low = static_cast<std::uint32_t>(hash);
  if constexpr (Slot::kHasReservedKey) {
    return low;
  } else {
    return low != 0 ? low : 1;
  }
}

// Where probing starts: at a multiple of the bucket.
template <class Slot>
std::uint32_t HomeIndex(std::uint32_t tag, std::uint32_t mask) {
  static_assert(kMinSlots % kBucketSlots<Slot> == 0);
  return tag & mask & ~(kBucketSlots<Slot> - 1);
}

}  // namespace weir::internal
