#pragma once

#include <cstdint>
#include <deque>
#include <memory>

#include "runtime/task/task_clock.h"
#include "runtime/time/source_watermarks.h"
#include "runtime/time/watermarked_batch.h"
#include "weir/operator.h"

namespace weir {

// Gives the records of a stream timestamps and makes watermarks from there on (semantics rules 23
// and 28). The watermarks of its input are ignored, but for MAX.
//
// What it says about time goes downstream by the chain: records stop behind one that made a
// watermark, and the chain takes TakeEvent and Continue in turns while there is anything. Owned by
// the task's thread.
class TimestampOperator final : public Operator {
 public:
  // All outlive it. `interval_nanos`: of periodic emissions.
  TimestampOperator(const WatermarkSettings& settings, const RecordType& type,
                    const TaskClock& clock, int64_t interval_nanos);

  absl::Status Open(OperatorContext& context) override;
  absl::Status ProcessBatch(size_t input, BatchBase& batch) override;
  absl::StatusOr<bool> OnWatermark(Ticks watermark) override;
  // A periodic emission.
  absl::StatusOr<bool> OnProcessingTime(Ticks now) override;

  bool has_work() const { return !events_.empty() || !batch_.done() || !waiting_.empty(); }
  bool has_event() const { return !events_.empty(); }
  TimeEvent TakeEvent();
  // Puts out more records; only without an event. False: an output is blocked.
  absl::StatusOr<bool> Continue();
  // The task is held back until the next call of another kind.
  void OnBlocked(int64_t now_nanos);

 private:
  absl::Status Push();
  void ArmTimer();
  Ticks Now() const;

  const WatermarkSettings& settings_;
  const RecordType& type_;
  const TaskClock& clock_;
  const Ticks interval_;
  WatermarkedBatch batch_;
  SourceWatermarks watermarks_;
  OperatorContext* context_ = nullptr;
  // Came while the one before was not done: what one call into an operator before it puts out.
  std::deque<std::unique_ptr<BatchBase>> waiting_;
  std::deque<TimeEvent> events_;
  // Reused.
  TimeEvents made_;
  // Records have come since the last periodic emission.
  bool active_ = false;
  bool idle_ = false;
};

}  // namespace weir
