#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace weir {

// Which channels of a gate hold something, as bits: one atomic operation when a channel stops being
// empty, none per element. Thread safe; Next is the consumer's.
class ReadySet {
 public:
  explicit ReadySet(size_t channels)
      : words_((channels + 63) / 64),
        bits_(std::make_unique<std::atomic<uint64_t>[]>(words_)),
        skipped_(words_) {
    for (size_t i = 0; i < words_; ++i) bits_[i].store(0, std::memory_order_relaxed);
  }

  // Both under the lock of the channel, so that the bit says what the channel's queue says.
  void Mark(size_t channel) {
    bits_[channel / 64].fetch_or(uint64_t{1} << (channel % 64), std::memory_order_release);
  }
  void Clear(size_t channel) {
    bits_[channel / 64].fetch_and(~(uint64_t{1} << (channel % 64)), std::memory_order_release);
  }

  // A barrier or an end has been queued in some channel. Thread safe.
  void Announce() { announced_.store(true, std::memory_order_release); }
  // Whether there was one since the last call. The consumer's.
  bool TakeAnnounced() {
    return announced_.load(std::memory_order_relaxed) &&
           announced_.exchange(false, std::memory_order_acquire);
  }

  // Next passes over the channel until SkipNone. Both are the consumer's.
  void Skip(size_t channel) { skipped_[channel / 64] |= uint64_t{1} << (channel % 64); }
  void SkipNone() { std::fill(skipped_.begin(), skipped_.end(), 0); }

  // The first ready channel from `start` on, going round; false if there is none. Round-robin if
  // the caller goes on behind the last one.
  bool Next(size_t start, size_t& channel) const {
    const size_t first = start / 64;
    for (size_t step = 0; step <= words_; ++step) {
      const size_t word = (first + step) % words_;
      uint64_t bits = bits_[word].load(std::memory_order_acquire) & ~skipped_[word];
      const uint64_t from_start = ~uint64_t{0} << (start % 64);
      if (step == 0) bits &= from_start;
      if (step == words_) bits &= ~from_start;
      if (bits != 0) {
        channel = word * 64 + static_cast<size_t>(std::countr_zero(bits));
        return true;
      }
    }
    return false;
  }

 private:
  const size_t words_;
  const std::unique_ptr<std::atomic<uint64_t>[]> bits_;
  std::vector<uint64_t> skipped_;
  std::atomic<bool> announced_{false};
};

}  // namespace weir
