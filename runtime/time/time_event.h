#pragma once

#include <cstdint>
#include <vector>

#include "weir/time.h"

namespace weir {

enum class TimeEventKind : uint8_t { kWatermark, kIdle, kActive };

// What goes downstream about event time, in band with the records.
struct TimeEvent {
  TimeEventKind kind = TimeEventKind::kWatermark;
  // kWatermark only.
  Ticks time = 0;

  friend bool operator==(const TimeEvent&, const TimeEvent&) = default;
};

using TimeEvents = std::vector<TimeEvent>;

}  // namespace weir
