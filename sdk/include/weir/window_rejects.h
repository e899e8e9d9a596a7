#pragma once

#include <string>
#include <utility>

#include "weir/results.h"
#include "weir/side_output.h"

namespace weir::internal {

// What the event-time window operators do with records that they cannot put into a window: an error
// for one without a timestamp; the side output or the counter of dropped ones for a late one, the
// counter of skipped windows for one that is late for some of its windows (semantics rules 3 and
// 7). Part of the operator, in its thread.
template <class T>
class WindowRejects {
 public:
  // `tag`: that of the late side output, or empty; it outlives this.
  template <class Out>
  void Open(OperatorContext& context, const Results<Out>& results, const std::string& tag) {
    context_ = &context;
    tag_ = !tag.empty() && results.HasSide(tag) ? tag.c_str() : nullptr;
    skipped_windows_ = &context.metrics().counter("numLateWindowsSkipped");
  }

  absl::Status NoTimestamp() const {
    return absl::InvalidArgumentError(
        "operator '" + context_->uid() +
        "': a record without a timestamp cannot be put into an event-time window; give the "
        "source a timestamp ({.timestamp = &Record::field})");
  }
  template <class Out>
  void Late(T& record, Ticks timestamp, Results<Out>& results) {
    if (tag_ != nullptr) {
      results.EmitSide(SideOutput<T>{tag_}, std::move(record), timestamp);
    } else {
      context_->late_records_dropped().Add();
    }
  }
  void SkippedWindows(std::uint64_t count) {
    if (count > 0) skipped_windows_->Add(count);
  }

 private:
  OperatorContext* context_ = nullptr;
  const char* tag_ = nullptr;
  Counter* skipped_windows_ = nullptr;
};

}  // namespace weir::internal
