#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace weir {

// A length of time in ticks; a tick is one microsecond. Any std::chrono literal converts.
using Duration = std::chrono::duration<std::int64_t, std::micro>;

// Ticks as the engine counts them: microseconds since 1970-01-01T00:00:00Z.
using Ticks = std::int64_t;

// No timestamp, and the watermark before any other (semantics: MIN).
inline constexpr Ticks kMinTicks = std::numeric_limits<Ticks>::min();
// The watermark after all data (semantics: MAX).
inline constexpr Ticks kMaxTicks = std::numeric_limits<Ticks>::max();

// A point in event time: microseconds since the epoch. A default one is the epoch itself.
class EventTime {
 public:
  constexpr EventTime() = default;
  static constexpr EventTime FromTicks(Ticks ticks) { return EventTime(ticks); }
  static constexpr EventTime FromMillis(std::int64_t millis) { return EventTime(millis * 1000); }
  static constexpr EventTime Min() { return EventTime(kMinTicks); }
  static constexpr EventTime Max() { return EventTime(kMaxTicks); }

  constexpr Ticks ticks() const { return ticks_; }

  // Saturate at Min and Max.
  friend constexpr EventTime operator+(EventTime time, Duration d) {
    Ticks sum = 0;
    if (__builtin_add_overflow(time.ticks_, d.count(), &sum)) sum = d.count() > 0 ? kMaxTicks : kMinTicks;
    return EventTime(sum);
  }
  friend constexpr EventTime operator-(EventTime time, Duration d) {
    Ticks difference = 0;
    if (__builtin_sub_overflow(time.ticks_, d.count(), &difference)) {
      difference = d.count() > 0 ? kMinTicks : kMaxTicks;
    }
    return EventTime(difference);
  }
  friend constexpr Duration operator-(EventTime a, EventTime b) { return Duration(a.ticks_ - b.ticks_); }
  friend constexpr auto operator<=>(EventTime, EventTime) = default;

 private:
  constexpr explicit EventTime(Ticks ticks) : ticks_(ticks) {}
  Ticks ticks_ = 0;
};

}  // namespace weir
