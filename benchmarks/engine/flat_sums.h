#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace weir::bench {

// The hand-written loops' table: sums by 64-bit key, open addressing, linear probing, key and value
// in the slot.
class FlatSums {
 public:
  explicit FlatSums(std::size_t expected_keys) {
    int bits = 4;
    while ((std::size_t{1} << bits) < expected_keys * 2) ++bits;
    shift_ = 64 - bits;
    slots_.assign(std::size_t{1} << bits, {kEmpty, 0});
  }
  std::int64_t& operator[](std::int64_t key) {
    std::size_t i = (static_cast<std::uint64_t>(key) * 0x9E3779B97F4A7C15ULL) >> shift_;
    while (slots_[i].key != key) {
      if (slots_[i].key == kEmpty) {
        slots_[i].key = key;
        break;
      }
      i = (i + 1) & (slots_.size() - 1);
    }
    return slots_[i].sum;
  }
  template <class F>
  void ForEach(F&& f) const {
    for (const Slot& slot : slots_) {
      if (slot.key != kEmpty) f(slot.key, slot.sum);
    }
  }
  void Clear() {
    for (Slot& slot : slots_) slot = {kEmpty, 0};
  }

 private:
  static constexpr std::int64_t kEmpty = INT64_MIN;
  struct Slot {
    std::int64_t key;
    std::int64_t sum;
  };
  int shift_ = 0;
  std::vector<Slot> slots_;
};

}  // namespace weir::bench
