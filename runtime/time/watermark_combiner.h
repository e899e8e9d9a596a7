#pragma once

#include <cstddef>
#include <map>
#include <vector>

#include "runtime/time/time_event.h"

namespace weir {

// The least watermark over parts of which some are idle, as the splits of a source and the inputs
// of an operator are combined (semantics rule 26): a part that comes back from idle counts at once,
// a new one holds from MIN, and when all are idle nothing is flushed. A part at MAX is finished and
// holds nothing back. Owned by the task's thread.
class CombinedWatermark {
 public:
  // `key` is not there yet.
  void Add(uint32_t key) { parts_[key] = Part{}; }
  // Shows at the next Update.
  void Remove(uint32_t key) { parts_.erase(key); }

  // Returns whether the part's watermark has grown. Marks the part active.
  bool SetWatermark(uint32_t key, Ticks watermark);
  void SetIdle(uint32_t key, bool idle) { parts_[key].idle = idle; }

  // Takes what was set into account; returns true if the combined watermark has grown.
  bool Update();

  Ticks watermark() const { return watermark_; }
  // Who let it grow the last time: the part that was the least until then.
  uint32_t moved_by() const { return moved_by_; }
  bool has(uint32_t key) const { return parts_.contains(key); }
  // Of one part; kMinTicks if it is not there.
  Ticks watermark_of(uint32_t key) const {
    const auto found = parts_.find(key);
    return found == parts_.end() ? kMinTicks : found->second.watermark;
  }
  bool idle_of(uint32_t key) const {
    const auto found = parts_.find(key);
    return found != parts_.end() && found->second.idle;
  }
  // As of the last Update.
  bool idle() const { return idle_; }

 private:
  struct Part {
    Ticks watermark = kMinTicks;
    bool idle = false;
  };
  std::map<uint32_t, Part> parts_;
  Ticks watermark_ = kMinTicks;
  bool idle_ = false;
  // The least as of the last Update.
  uint32_t least_ = 0;
  uint32_t moved_by_ = 0;
};

// The watermark over the inputs of one operator. Owned by the task's thread.
class InputWatermarks {
 public:
  explicit InputWatermarks(size_t inputs);

  // Appends to `out` what the operator is to be told, in order.
  void OnEvent(size_t input, const TimeEvent& event, TimeEvents& out);

 private:
  CombinedWatermark combined_;
};

}  // namespace weir
