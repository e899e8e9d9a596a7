#include "runtime/task/timestamp_operator.h"

#include <algorithm>
#include <utility>

#include "common/base/status_macros.h"

namespace weir {
namespace {

constexpr int64_t kNanosPerTick = 1000;
// How often it is asked for watermarks and idleness while no record comes, at most and at least.
constexpr Ticks kIdlenessProbes = 20;
constexpr Ticks kIdlePeriod = 100'000;
// There is one input, whatever its channels are.
constexpr uint32_t kSplit = 0;

}  // namespace

TimestampOperator::TimestampOperator(const WatermarkSettings& settings, const RecordType& type,
                                     const TaskClock& clock, int64_t interval_nanos)
    : settings_(settings),
      type_(type),
      clock_(clock),
      interval_(std::max<Ticks>(interval_nanos / kNanosPerTick, 1)),
      batch_(settings, type),
      watermarks_(settings, SourceWatermarks::Of::kStream) {}

Ticks TimestampOperator::Now() const { return clock_.MonotonicNanos() / kNanosPerTick; }

absl::Status TimestampOperator::Open(OperatorContext& context) {
  context_ = &context;
  watermarks_.AddSplit(kSplit, Now());
  ArmTimer();
  return absl::OkStatus();
}

void TimestampOperator::ArmTimer() {
  if (active_) {
    context_->WakeAt(context_->ProcessingTime() + interval_);
    return;
  }
  // What the records so far say has been said; idleness is still to be found out.
  const bool judged = settings_.idle_after > 0 && !idle_;
  if (!judged && !settings_.periodic_generator) return;
  Ticks period = kIdlePeriod;
  if (judged) period = std::min(period, settings_.idle_after / kIdlenessProbes);
  context_->WakeAt(context_->ProcessingTime() + std::max(period, interval_));
}

absl::Status TimestampOperator::ProcessBatch(size_t input, BatchBase& batch) {
  (void)input;
  if (has_work()) {
    waiting_.push_back(type_.NewBatch());
    type_.MoveAll(batch, *waiting_.back());
    return absl::OkStatus();
  }
  batch_.batch().Clear();
  type_.MoveAll(batch, batch_.batch());
  batch_.Assign();
  return Push();
}

absl::Status TimestampOperator::Push() {
  watermarks_.SetBackpressured(false, Now());
  if (!std::exchange(active_, true)) ArmTimer();
  WEIR_RETURN_IF_ERROR(batch_.Push(kSplit, watermarks_, context_->output(0), made_));
  for (const TimeEvent& event : made_) events_.push_back(event);
  made_.clear();
  return absl::OkStatus();
}

absl::StatusOr<bool> TimestampOperator::Continue() {
  if (context_->output(0).Blocked()) return false;
  if (batch_.done()) {
    batch_.batch().Clear();
    type_.MoveAll(*waiting_.front(), batch_.batch());
    waiting_.pop_front();
    batch_.Assign();
  }
  WEIR_RETURN_IF_ERROR(Push());
  return true;
}

TimeEvent TimestampOperator::TakeEvent() {
  const TimeEvent event = events_.front();
  events_.pop_front();
  idle_ = event.kind == TimeEventKind::kIdle;
  return event;
}

absl::StatusOr<bool> TimestampOperator::OnWatermark(Ticks watermark) {
  if (watermark != kMaxTicks) return true;
  // All records have been put out by now: the chain does that first.
  if (idle_) events_.push_back({TimeEventKind::kActive});
  events_.push_back({TimeEventKind::kWatermark, kMaxTicks});
  return true;
}

absl::StatusOr<bool> TimestampOperator::OnProcessingTime(Ticks) {
  watermarks_.SetBackpressured(false, Now());
  watermarks_.OnPeriodic(Now(), made_);
  for (const TimeEvent& event : made_) events_.push_back(event);
  made_.clear();
  active_ = false;
  ArmTimer();
  return true;
}

void TimestampOperator::OnBlocked(int64_t now_nanos) {
  watermarks_.SetBackpressured(true, now_nanos / kNanosPerTick);
}

}  // namespace weir
