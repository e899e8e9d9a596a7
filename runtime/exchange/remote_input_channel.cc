#include "runtime/exchange/remote_input_channel.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "runtime/exchange/data_message.h"
#include "runtime/exchange/in_flight.h"

namespace weir {
namespace {

// Credits are given back in groups when there is more to read, one by one when there is not.
constexpr uint32_t kGrantGroup = 4;
constexpr size_t kMaxFreeBatches = 2;

void AppendInFlight(const Frame& frame, std::string& out) {
  if (frame.kind == FrameKind::kWatermark) AppendInFlightWatermark(out, frame.time);
  if (frame.kind != FrameKind::kData) return;
  AppendInFlightData(out, frame.more, frame.record_count, frame.payload);
}

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
  const bool announce = frame.kind == FrameKind::kBarrier || frame.kind == FrameKind::kEndOfInput;
  {
    MutexLock lock(mutex_);
    if (ended_) return;
    ended_ = frame.kind == FrameKind::kEndOfInput;
    was_empty = queue_.empty();
    queue_.push_back(std::move(frame));
    if (was_empty) ready_.Mark(ready_index_);
  }
  if (announce) ready_.Announce();
  if (was_empty || announce) consumer_.Wake();
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
  {
    MutexLock lock(mutex_);
    if (!overtaken_.empty()) {
      frame = std::move(overtaken_.front());
      overtaken_.pop_front();
    } else if (queue_.empty()) {
      return false;
    } else {
      frame = queue_.pop_front();
    }
    empty_now = queue_.empty() && overtaken_.empty();
    if (empty_now) ready_.Clear(ready_index_);
  }
  if (recorded_ != nullptr) AppendInFlight(frame, *recorded_);
  return true;
}

std::optional<Barrier> RemoteInputChannel::QueuedBarrier() {
  MutexLock lock(mutex_);
  for (size_t i = queue_.size(); i-- > 0;) {
    if (queue_[i].kind != FrameKind::kBarrier) continue;
    // One that is malformed is found by Poll.
    const auto barrier = DecodeBarrier(queue_[i].payload, queue_[i].time);
    if (barrier.ok()) return *barrier;
  }
  return std::nullopt;
}

Overtaken RemoteInputChannel::OvertakeQueue(uint64_t checkpoint, std::string& in_flight) {
  Overtaken found = Overtaken::kNothing;
  {
    MutexLock lock(mutex_);
    size_t ahead = 0;
    for (; ahead < queue_.size() && found == Overtaken::kNothing; ++ahead) {
      const Frame& frame = queue_[ahead];
      if (frame.kind == FrameKind::kEndOfInput) found = Overtaken::kEndOfInput;
      if (frame.kind != FrameKind::kBarrier) continue;
      const auto barrier = DecodeBarrier(frame.payload, frame.time);
      if (barrier.ok() && barrier->id > checkpoint) return found;
      if (barrier.ok() && barrier->id == checkpoint) found = Overtaken::kBarrier;
    }
    if (found == Overtaken::kNothing) return found;
    for (; ahead > 1; --ahead) overtaken_.push_back(queue_.pop_front());
    if (found == Overtaken::kBarrier) queue_.pop_front();
    queue_empty_ = queue_.empty() && overtaken_.empty();
    if (queue_empty_) ready_.Clear(ready_index_);
  }
  if (std::exchange(recorded_, nullptr) == nullptr) AppendBegun(in_flight);
  for (const Frame& frame : overtaken_) AppendInFlight(frame, in_flight);
  // Nothing that is polled may be left to give them back.
  GiveBack();
  return found;
}

void RemoteInputChannel::Record(std::string* in_flight) {
  recorded_ = in_flight;
  if (recorded_ != nullptr) AppendBegun(*recorded_);
}

void RemoteInputChannel::AppendBegun(std::string& in_flight) {
  if (!assembled_.empty()) AppendInFlightData(in_flight, true, 0, assembled_);
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
        element.unaligned = barrier.unaligned;
        if (!barrier.unaligned) break;
        // The rest of the record that is being put together comes behind it.
        GiveBack();
        return absl::OkStatus();
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
