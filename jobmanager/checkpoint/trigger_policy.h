#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

#include "jobmanager/checkpoint/checkpoint_settings.h"

namespace weir::jobmanager {

// When the next periodic checkpoint is due. The first is one interval after the start, each other
// one an interval after the trigger of the one before, but never sooner than the pause after the
// end of the last, and never while as many are under way as may be: then as soon as one ends.
// Times are monotonic nanoseconds. Pure.
class TriggerPolicy {
 public:
  explicit TriggerPolicy(const CheckpointSettings& settings) : settings_(settings) {}

  // The job runs.
  void Start(int64_t now_nanos) {
    last_trigger_nanos_ = now_nanos;
    last_end_nanos_ = kNever;
  }
  void OnTriggered(int64_t now_nanos) { last_trigger_nanos_ = now_nanos; }
  void OnEnded(int64_t now_nanos) { last_end_nanos_ = now_nanos; }

  // With `open` checkpoints under way. Nullopt: not before one of them ends, or never. A time in
  // the past: now.
  std::optional<int64_t> NextNanos(size_t open) const {
    if (!settings_.periodic() || open >= settings_.max_concurrent) return std::nullopt;
    const int64_t by_interval = last_trigger_nanos_ + absl::ToInt64Nanoseconds(settings_.interval);
    if (last_end_nanos_ == kNever) return by_interval;
    const int64_t by_pause = last_end_nanos_ + absl::ToInt64Nanoseconds(settings_.min_pause);
    return by_interval > by_pause ? by_interval : by_pause;
  }

 private:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::min();

  const CheckpointSettings settings_;
  int64_t last_trigger_nanos_ = 0;
  int64_t last_end_nanos_ = kNever;
};

}  // namespace weir::jobmanager
