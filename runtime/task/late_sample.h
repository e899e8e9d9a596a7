#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "runtime/time/watermark_moves.h"
#include "weir/operator.h"

namespace weir {

// The late records of one operator in one subtask: how many there were, and examples. Of records
// that come at one watermark only the first are kept, so that a flood of them costs no more than
// counting. Owned by the task's thread.
class LateSample {
 public:
  static constexpr size_t kMost = 32;
  static constexpr size_t kMostOfAWatermark = 8;
  static constexpr size_t kMostKeyBytes = 128;

  struct Example {
    LateRecord record;
    std::string key;
    // The wall clock when it came.
    Ticks at = 0;
    // That which made records of its time late; nothing: before the task was restored.
    std::optional<WatermarkMove> move;
  };

  // Whether the record is to be kept: Keep is called for it then.
  bool Count(const LateRecord& record) {
    ++counts_.at(static_cast<size_t>(record.fate));
    if (record.watermark != watermark_) of_watermark_ = 0;
    watermark_ = record.watermark;
    return ++of_watermark_ <= kMostOfAWatermark;
  }
  // In the place of the oldest, if there are kMost.
  Example& Keep() { return examples_[kept_++ % kMost]; }

  uint64_t count(LateRecord::Fate fate) const { return counts_[static_cast<size_t>(fate)]; }
  size_t size() const { return kept_ < kMost ? kept_ : kMost; }
  // The i-th of size(), the oldest first.
  const Example& example(size_t i) const { return examples_[(kept_ - size() + i) % kMost]; }

 private:
  std::array<Example, kMost> examples_;
  size_t kept_ = 0;
  std::array<uint64_t, 3> counts_{};
  Ticks watermark_ = kMinTicks;
  uint64_t of_watermark_ = 0;
};

}  // namespace weir
