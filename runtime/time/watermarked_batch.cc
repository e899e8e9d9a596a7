#include "runtime/time/watermarked_batch.h"

#include <algorithm>
#include <exception>

#include "common/base/crash_context.h"
#include "common/base/strings.h"

namespace weir {
namespace {

// While the job's functions look at records of a batch: notes the record if one of them throws.
class RecordInWork {
 public:
  RecordInWork(const RecordType& type, const BatchBase& batch, const size_t& at)
      : type_(type), batch_(batch), at_(at), exceptions_(std::uncaught_exceptions()) {}
  ~RecordInWork() {
    if (std::uncaught_exceptions() == exceptions_ || at_ >= batch_.size()) return;
    std::string record;
    type_.WriteJson(batch_, at_, record);
    ThisThreadFailedInput() = {.key = "", .record = Shortened(record, FailedInput::kMaxBytes)};
  }
  RecordInWork(const RecordInWork&) = delete;
  RecordInWork& operator=(const RecordInWork&) = delete;

 private:
  const RecordType& type_;
  const BatchBase& batch_;
  const size_t& at_;
  const int exceptions_;
};

}  // namespace

WatermarkedBatch::WatermarkedBatch(const WatermarkSettings& settings, const RecordType& type)
    : settings_(settings), type_(type), batch_(type.NewBatch()) {}

void WatermarkedBatch::Assign() {
  next_ = 0;
  greatest_ = kMinTicks;
  if (settings_.timestamps != nullptr) {
    size_t failed_at = 0;
    const RecordInWork in_work(type_, *batch_, failed_at);
    greatest_ = settings_.timestamps->Assign(*batch_, failed_at);
  } else if (!settings_.none) {
    for (const Ticks timestamp : batch_->timestamps) greatest_ = std::max(greatest_, timestamp);
  }
}

absl::Status WatermarkedBatch::Push(uint32_t split, SourceWatermarks& watermarks, Output& output,
                                    TimeEvents& out) {
  const size_t first = next_;
  if (settings_.none) {
    next_ = batch_->size();
  } else if (settings_.every_record) {
    // The job has no generator then: of the records only the greatest timestamp counts.
    const Ticks timestamp = batch_->timestamps.empty() ? kMinTicks : batch_->timestamps[first];
    watermarks.OnRecords(split, *batch_, next_, timestamp, out);
    watermarks.EmitNow(out);
    next_ = first + 1;
  } else {
    const RecordInWork in_work(type_, *batch_, next_);
    watermarks.OnRecords(split, *batch_, next_, greatest_, out);
  }
  if (first == 0 && next_ == batch_->size()) return output.Push(*batch_);
  if (piece_ == nullptr) piece_ = type_.NewBatch();
  piece_->Clear();
  type_.CopyRange(*batch_, first, next_, *piece_);
  return output.Push(*piece_);
}

}  // namespace weir
