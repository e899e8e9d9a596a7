#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

#include "weir/binary_codec.h"
#include "weir/operator.h"
#include "weir/record.h"

// The hash of keys and what follows from it (semantics rule 48). All of it is fixed: state and
// running jobs depend on every bit. Constants and test vectors: docs/FORMATS.md, "Key hash".
namespace weir {
namespace internal {

// wyhash, final version 4, with its default secret and seed 0.
inline constexpr std::uint64_t kHashSecret[4] = {0x2d358dccaa6c78a5, 0x8bb84b93962eacc9,
                                                 0x4b33a62ed433d4a3, 0x4d5a2da51de1aa47};

// Both halves of the 128-bit product, one folded on the other.
constexpr std::uint64_t MultiplyFold(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

inline constexpr std::uint64_t kHashSeed = MultiplyFold(kHashSecret[0], kHashSecret[1]);

inline std::uint64_t Load32(const char* p) {
  std::uint32_t value = 0;
  std::memcpy(&value, p, 4);
  return value;
}
inline std::uint64_t Load64(const char* p) {
  std::uint64_t value = 0;
  std::memcpy(&value, p, 8);
  return value;
}

// The two multiplications that end every hash.
constexpr std::uint64_t FinishHash(std::uint64_t a, std::uint64_t b, std::uint64_t seed,
                                   std::uint64_t size) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a ^ kHashSecret[1]) * (b ^ seed);
  return MultiplyFold(static_cast<std::uint64_t>(product) ^ kHashSecret[0] ^ size,
                      static_cast<std::uint64_t>(product >> 64) ^ kHashSecret[1]);
}

[[gnu::noinline]] inline std::uint64_t HashLongBytes(const char* p, std::size_t size) {
  std::uint64_t seed = kHashSeed;
  std::size_t left = size;
  if (left >= 48) {
    std::uint64_t seed1 = seed;
    std::uint64_t seed2 = seed;
    do {
      seed = MultiplyFold(Load64(p) ^ kHashSecret[1], Load64(p + 8) ^ seed);
      seed1 = MultiplyFold(Load64(p + 16) ^ kHashSecret[2], Load64(p + 24) ^ seed1);
      seed2 = MultiplyFold(Load64(p + 32) ^ kHashSecret[3], Load64(p + 40) ^ seed2);
      p += 48;
      left -= 48;
    } while (left >= 48);
    seed ^= seed1 ^ seed2;
  }
  while (left > 16) {
    seed = MultiplyFold(Load64(p) ^ kHashSecret[1], Load64(p + 8) ^ seed);
    p += 16;
    left -= 16;
  }
  // The last 16 bytes, some of which may have been used before.
  return FinishHash(Load64(p + left - 16), Load64(p + left - 8), seed, size);
}

inline std::uint64_t HashBytes(const char* p, std::size_t size) {
  if (size > 16) return HashLongBytes(p, size);
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  if (size >= 4) {
    const std::size_t middle = (size >> 3) << 2;
    a = Load32(p) << 32 | Load32(p + middle);
    b = Load32(p + size - 4) << 32 | Load32(p + size - 4 - middle);
  } else if (size > 0) {
    const auto byte = [p](std::size_t i) {
      return static_cast<std::uint64_t>(static_cast<unsigned char>(p[i]));
    };
    a = byte(0) << 16 | byte(size >> 1) << 8 | byte(size - 1);
  }
  return FinishHash(a, b, kHashSeed, size);
}

}  // namespace internal

// The hash of a key's serialized bytes (SerializeKey). Its low bits index tables, its high half
// chooses the key group.
template <class K>
inline std::uint64_t KeyHash(const K& key) {
  if constexpr (std::is_integral_v<K> && sizeof(K) == 8) {
    // HashBytes of its eight bytes, without going through memory.
    const auto bits = static_cast<std::uint64_t>(key);
    return internal::FinishHash(std::rotl(bits, 32), bits, internal::kHashSeed, 8);
  } else if constexpr (std::is_same_v<K, std::string_view>) {
    return internal::HashBytes(key.data(), key.size());
  } else if constexpr (CheckRecord<K>()) {
    return WithSerializedKey(key, [](std::string_view bytes) {
      return internal::HashBytes(bytes.data(), bytes.size());
    });
  } else {
    return 0;  // does not compile
  }
}

// The key group of a key with this hash. `max_parallelism` is positive.
inline std::uint32_t KeyGroupOf(std::uint64_t hash, std::uint32_t max_parallelism) {
  const auto high = static_cast<std::uint32_t>(hash >> 32);
  if ((max_parallelism & (max_parallelism - 1)) == 0) [[likely]] {
    return high & (max_parallelism - 1);
  }
  return high % max_parallelism;
}

// The subtask that owns a key group; 0 < parallelism <= max_parallelism.
constexpr std::uint32_t SubtaskOf(std::uint32_t key_group, std::uint32_t max_parallelism,
                                  std::uint32_t parallelism) {
  return static_cast<std::uint32_t>(static_cast<std::uint64_t>(key_group) * parallelism /
                                    max_parallelism);
}

// The key groups of a subtask.
constexpr KeyGroupRange KeyGroupRangeOf(std::uint32_t subtask, std::uint32_t max_parallelism,
                                        std::uint32_t parallelism) {
  const std::uint64_t i = subtask;
  const std::uint64_t m = max_parallelism;
  const std::uint64_t p = parallelism;
  return KeyGroupRange{static_cast<std::uint32_t>((i * m + p - 1) / p),
                       static_cast<std::uint32_t>(((i + 1) * m - 1) / p)};
}

}  // namespace weir
