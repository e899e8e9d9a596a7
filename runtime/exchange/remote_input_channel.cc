#include "runtime/exchange/remote_input_channel.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "runtime/exchange/data_message.h"

namespace weir {
namespace {

// Credits are given back in groups when there is more to read, one by one when there is not.
constexpr uint32_t kGrantGroup = 4;
constexpr size_t kMaxFreeBatches = 2;

}  // namespace

RemoteInputChannel::RemoteInputChannel(const RecordType& type, const KeyHasher* hasher,
                                       std::function<void(uint32_t)> grant, std::string from,
                                       TaskSignals& consumer, ReadySet& ready, size_t ready_index,
                                       Counter& bytes_in)
    : type_(type),
      hasher_(hasher),
      grant_(std::move(grant)),
      from_(std::move(from)),
      consumer_(consumer),
      ready_(ready),
      ready_index_(ready_index),
      bytes_in_(bytes_in) {}

void RemoteInputChannel::OnFrame(Frame frame) {
  bool was_empty = false;
  {
    MutexLock lock(mutex_);
    if (ended_) return;
    ended_ = frame.kind == FrameKind::kEndOfInput;
    was_empty = queue_.empty();
    queue_.push_back(std::move(frame));
    if (was_empty) ready_.Mark(ready_index_);
  }
  if (was_empty) consumer_.Wake();
}

void RemoteInputChannel::OnError(absl::Status status) {
  {
    // What comes after the end of the input is of no interest: the peer is done and may leave.
    MutexLock lock(mutex_);
    if (std::exchange(ended_, true)) return;
  }
  consumer_.Fail(absl::Status(status.code(), StrCat("input from ", from_, ": ", status.message())));
}

bool RemoteInputChannel::PopFrame(Frame& frame, bool& empty_now) {
  MutexLock lock(mutex_);
  if (queue_.empty()) return false;
  frame = queue_.pop_front();
  empty_now = queue_.empty();
  if (empty_now) ready_.Clear(ready_index_);
  return true;
}

absl::Status RemoteInputChannel::Poll(Element& element) {
  element = Element{};
  Frame frame;
  while (PopFrame(frame, queue_empty_)) {
    switch (frame.kind) {
      case FrameKind::kWatermark:
        element.kind = ElementKind::kWatermark;
        element.time = frame.time;
        break;
      case FrameKind::kIdle:
        element.kind = ElementKind::kIdle;
        break;
      case FrameKind::kActive:
        element.kind = ElementKind::kActive;
        break;
      case FrameKind::kEndOfInput:
        element.kind = ElementKind::kEndOfInput;
        break;
      case FrameKind::kData:
        if (frame.more) {
          if (assembled_.size() + frame.payload.size() > kMaxRecordBytes) {
            return absl::DataLossError(
                StrCat("a record of more than ", kMaxRecordBytes, " bytes from ", from_));
          }
          assembled_ += frame.payload;
          ++to_grant_;
          GiveBack();
          continue;
        }
        return DecodeInto(frame, element);
      case FrameKind::kBarrier: {
        element.kind = ElementKind::kBarrier;
        WEIR_ASSIGN_OR_RETURN(const Barrier barrier, DecodeBarrier(frame.payload, frame.time));
        element.time = barrier.time;
        element.barrier = barrier.id;
        element.barrier_kind = barrier.kind;
        break;
      }
      case FrameKind::kCredit:
        return absl::DataLossError(StrCat("a frame of kind ", static_cast<int>(frame.kind),
                                          ", which no channel carries, from ", from_));
    }
    if (!assembled_.empty()) {
      return absl::DataLossError(
          StrCat("a record from ", from_, " that is not continued to its end"));
    }
    GiveBack();
    return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status RemoteInputChannel::DecodeInto(const Frame& frame, Element& element) {
  if (free_.empty()) {
    element.batch = type_.NewBatch();
  } else {
    element.batch = std::move(free_.back());
    free_.pop_back();
  }
  std::string_view message = frame.payload;
  if (!assembled_.empty()) {
    assembled_ += frame.payload;
    message = assembled_;
  }
  bytes_in_.Add(message.size());
  element.bytes = message.size();
  absl::Status status = DecodeMessage(type_, message, frame.record_count, *element.batch);
  if (!status.ok())
    return absl::Status(status.code(), StrCat("data from ", from_, ": ", status.message()));
  if (!assembled_.empty()) std::string().swap(assembled_);
  if (hasher_ != nullptr) hasher_->Hash(*element.batch);
  element.kind = ElementKind::kBatch;
  return absl::OkStatus();
}

void RemoteInputChannel::Recycle(std::unique_ptr<BatchBase> batch) {
  batch->Clear();
  if (free_.size() < kMaxFreeBatches) free_.push_back(std::move(batch));
  ++to_grant_;
  GiveBack();
}

void RemoteInputChannel::GiveBack() {
  if (to_grant_ > 0 && (queue_empty_ || to_grant_ >= kGrantGroup))
    grant_(std::exchange(to_grant_, 0));
}

}  // namespace weir
