#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "weir/time.h"

namespace weir {

// Consecutive windows of one size, aligned to `offset` from the epoch: [offset + k * size, offset +
// (k + 1) * size).
struct Tumbling {
  Duration size{};
  Duration offset{};
};

// Windows of one size that start every `slide`. With slide < size they overlap, with slide > size
// there are gaps.
struct Sliding {
  Duration size{};
  Duration slide{};
  Duration offset{};
};

// The window that a result belongs to: [start, end).
struct TimeWindow {
  EventTime start;
  EventTime end;
};

namespace internal {

// A time window assigner in ticks; tumbling is slide == size.
struct WindowShape {
  Ticks size = 0;
  Ticks slide = 0;
  Ticks offset = 0;
  Ticks lateness = 0;
  std::string description;

  // Empty, or what is wrong with it (semantics rule 2).
  std::string Problem() const {
    const bool tumbling = slide == size;
    const auto text = [](Ticks ticks) { return std::to_string(ticks) + " us"; };
    if (size <= 0) return "window size is " + text(size) + ": it must be greater than 0";
    if (slide <= 0) return "window slide is " + text(slide) + ": it must be greater than 0";
    const Ticks magnitude = offset < 0 ? (offset == kMinTicks ? kMaxTicks : -offset) : offset;
    if (magnitude >= slide) {
      return "window offset is " + text(offset) + ": its magnitude must be less than the " +
             (tumbling ? "size (" : "slide (") + text(slide) + ")";
    }
    if (lateness < 0) return "allowed lateness is " + text(lateness) + ": it must not be negative";
    return "";
  }
};

inline Ticks SaturatingAdd(Ticks a, Ticks b) {
  Ticks sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return b > 0 ? kMaxTicks : kMinTicks;
  return sum;
}

// Semantics rule 1: the start of the last window of this spacing that begins at or before `ts`.
inline Ticks WindowStart(Ticks ts, Ticks offset, Ticks spacing) {
  const Ticks r = (ts - offset) % spacing;
  return r < 0 ? ts - (r + spacing) : ts - r;
}

}  // namespace internal
}  // namespace weir
