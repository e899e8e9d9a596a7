#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "runtime/time/source_watermarks.h"
#include "runtime/time/time_event.h"
#include "weir/operator.h"
#include "weir/record_type.h"
#include "weir/source.h"

namespace weir {

// One batch on its way downstream, in as many pieces as watermarks come of its records, so that
// each of those follows the record that made it. Owned by the task's thread.
class WatermarkedBatch {
 public:
  // Both outlive it.
  WatermarkedBatch(const WatermarkSettings& settings, const RecordType& type);

  // Gives the records of batch() their timestamps; nothing is left of the one before. If a function
  // of the job throws here or in Push, ThisThreadFailedInput() has the record.
  void Assign();
  // What is filled before Assign.
  BatchBase& batch() { return *batch_; }
  // All has been pushed.
  bool done() const { return next_ >= batch_->size(); }
  // Pushes records of `split` to `output` up to the first watermark; `out` gets what follows them.
  absl::Status Push(uint32_t split, SourceWatermarks& watermarks, Output& output, TimeEvents& out);

 private:
  const WatermarkSettings& settings_;
  const RecordType& type_;
  const std::unique_ptr<BatchBase> batch_;
  // Reused, for a part of the batch.
  std::unique_ptr<BatchBase> piece_;
  size_t next_ = 0;
  Ticks greatest_ = kMinTicks;
};

}  // namespace weir
