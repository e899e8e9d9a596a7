#pragma once

#include <cstdint>

namespace weir {

// A source of random numbers. Thread safe. Seeded in the simulator, from the system otherwise.
class Random {
 public:
  virtual ~Random() = default;

  virtual uint64_t Next() = 0;
  // Uniform in [0, bound); `bound` > 0.
  uint64_t Below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(Next()) * bound) >> 64);
  }
};

}  // namespace weir
