#include "runtime/time/watermark_combiner.h"

#include <algorithm>

namespace weir {

bool CombinedWatermark::SetWatermark(uint32_t key, Ticks watermark) {
  Part& part = parts_[key];
  part.idle = false;
  if (watermark <= part.watermark) return false;
  part.watermark = watermark;
  return true;
}

bool CombinedWatermark::Update() {
  // Without any part there is no minimum, and what was said last stands.
  if (parts_.empty()) return false;
  Ticks least = kMaxTicks;
  bool any_active = false;
  bool any_idle = false;
  const uint32_t former = least_;
  for (const auto& [key, part] : parts_) {
    if (part.idle) {
      any_idle = true;
    } else if (part.watermark != kMaxTicks) {
      if (!any_active || part.watermark < least) least_ = key;
      any_active = true;
      least = std::min(least, part.watermark);
    }
  }
  idle_ = !any_active && any_idle;
  if (idle_ || least <= watermark_) return false;
  watermark_ = least;
  moved_by_ = former;
  return true;
}

InputWatermarks::InputWatermarks(size_t inputs) {
  for (size_t i = 0; i < inputs; ++i) combined_.Add(static_cast<uint32_t>(i));
}

void InputWatermarks::OnEvent(size_t input, const TimeEvent& event, TimeEvents& out) {
  const auto key = static_cast<uint32_t>(input);
  const bool was_idle = combined_.idle();
  if (event.kind == TimeEventKind::kWatermark) {
    combined_.SetWatermark(key, event.time);
  } else {
    combined_.SetIdle(key, event.kind == TimeEventKind::kIdle);
  }
  const bool grown = combined_.Update();
  if (grown) out.push_back({TimeEventKind::kWatermark, combined_.watermark()});
  if (was_idle != combined_.idle()) {
    out.push_back({was_idle ? TimeEventKind::kActive : TimeEventKind::kIdle});
  }
}

}  // namespace weir
