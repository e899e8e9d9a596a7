#pragma once

#include <functional>
#include <string>
#include <utility>

#include "weir/late_records.h"
#include "weir/results.h"
#include "weir/window.h"

namespace weir::internal {

// What the event-time window operators do with records that they cannot put into a window: an error
// for one without a timestamp; RejectLate for a late one, the counter of skipped windows for one
// that is late for some of its windows (semantics rules 3 and 7). `Plan` has the windows' shape,
// the key and the tag of the late side output. Part of the operator, in its thread.
template <class T, class Plan>
class WindowRejects {
 public:
  // `plan` outlives it.
  void Open(OperatorContext& context, const Plan& plan) {
    context_ = &context;
    plan_ = &plan;
    skipped_windows_ = &context.metrics().counter("numLateWindowsSkipped");
  }

  absl::Status NoTimestamp() const {
    return absl::InvalidArgumentError(
        "operator '" + context_->uid() +
        "': a record without a timestamp cannot be put into an event-time window; give the "
        "source a timestamp ({.timestamp = &Record::field})");
  }
  template <class Out>
  void Late(T& record, Ticks timestamp, Ticks watermark, Results<Out>& results) {
    const auto key = std::invoke(plan_->key, std::as_const(record));
    RejectLate(*context_, results, plan_->late_tag, std::move(record), key,
               {.time = timestamp, .watermark = watermark, .late_from = LateFrom(timestamp)});
  }
  void SkippedWindows(std::uint64_t count) {
    if (count > 0) skipped_windows_->Add(count);
  }

 private:
  // When the last of its windows is gone.
  Ticks LateFrom(Ticks timestamp) const {
    const WindowShape& shape = plan_->shape;
    const Ticks start = WindowStart(timestamp, shape.offset, shape.slide);
    const bool in_gap = start <= timestamp - shape.size;
    return SaturatingAdd(in_gap ? timestamp : start + (shape.size - 1), shape.lateness);
  }

  OperatorContext* context_ = nullptr;
  const Plan* plan_ = nullptr;
  Counter* skipped_windows_ = nullptr;
};

}  // namespace weir::internal
