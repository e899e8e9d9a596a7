#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace nexmark {

// The plain loops' table: values by 64-bit key, open addressing, linear probing, key and value in
// the slot, at most half full, a multiplicative hash. INT64_MIN is no key.
template <class V>
class FlatMap {
 public:
  explicit FlatMap(int bits = 10) { Resize(bits); }

  V& operator[](std::int64_t key) {
    std::size_t i = Home(key);
    while (slots_[i].first != key) {
      if (slots_[i].first == kNone) {
        if (2 * ++size_ > slots_.size()) {
          Grow();
          return InsertNew(key);
        }
        slots_[i].first = key;
        break;
      }
      i = (i + 1) & (slots_.size() - 1);
    }
    return slots_[i].second;
  }
  V* Find(std::int64_t key) {
    for (std::size_t i = Home(key); slots_[i].first != kNone; i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i].first == key) return &slots_[i].second;
    }
    return nullptr;
  }
  std::size_t size() const { return size_; }
  template <class F>
  void ForEach(F&& f) {
    for (auto& [key, value] : slots_) {
      if (key != kNone) f(key, value);
    }
  }
  void Clear() {
    slots_.assign(slots_.size(), {kNone, V()});
    size_ = 0;
  }
  // Keeps the entries for which keep(value).
  template <class Keep>
  void KeepIf(Keep&& keep) {
    std::vector<std::pair<std::int64_t, V>> former(slots_.size(), {kNone, V()});
    former.swap(slots_);
    size_ = 0;
    for (auto& [key, value] : former) {
      if (key == kNone || !keep(value)) continue;
      ++size_;
      InsertNew(key) = std::move(value);
    }
  }

 private:
  static constexpr std::int64_t kNone = INT64_MIN;

  std::size_t Home(std::int64_t key) const {
    return (static_cast<std::uint64_t>(key) * 0x9E3779B97F4A7C15) >> shift_;
  }
  void Resize(int bits) {
    bits_ = bits;
    shift_ = 64 - bits;
    slots_.assign(std::size_t{1} << bits, {kNone, V()});
  }
  V& InsertNew(std::int64_t key) {
    std::size_t i = Home(key);
    while (slots_[i].first != kNone) i = (i + 1) & (slots_.size() - 1);
    slots_[i].first = key;
    return slots_[i].second;
  }
  void Grow() {
    std::vector<std::pair<std::int64_t, V>> former;
    former.swap(slots_);
    Resize(bits_ + 1);
    for (auto& [key, value] : former) {
      if (key != kNone) InsertNew(key) = std::move(value);
    }
  }

  std::vector<std::pair<std::int64_t, V>> slots_;
  std::size_t size_ = 0;
  int bits_ = 0;
  int shift_ = 0;
};

}  // namespace nexmark
