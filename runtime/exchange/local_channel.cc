#include "runtime/exchange/local_channel.h"

#include <utility>

#include "runtime/exchange/in_flight.h"

namespace weir {
namespace {

// A batch that held more than this came out of an unusual step; its memory is given back.
constexpr size_t kMaxRecycledRecords = 4 * kBatchRecords;

}  // namespace

LocalChannel::LocalChannel(const RecordType& type, Capacity capacity, TaskSignals& producer,
                           TaskSignals& consumer, ReadySet& ready, size_t ready_index,
                           Counter& bytes_out, Counter& bytes_in)
    : type_(type),
      capacity_(capacity),
      producer_(producer),
      consumer_(consumer),
      ready_(ready),
      ready_index_(ready_index),
      bytes_out_(bytes_out),
      bytes_in_(bytes_in) {}

void LocalChannel::Enqueue(Element element, std::unique_ptr<BatchBase>* replacement) {
  bool was_empty = false;
  {
    MutexLock lock(mutex_);
    was_empty = queue_.empty();
    queue_.push_back(std::move(element));
    if (was_empty) ready_.Mark(ready_index_);
    if (replacement != nullptr && !free_.empty()) {
      *replacement = std::move(free_.back());
      free_.pop_back();
    }
  }
  if (was_empty) consumer_.Wake();
}

absl::Status LocalChannel::SendBatch(std::unique_ptr<BatchBase>& batch) {
  const size_t bytes = type_.MemoryBytes(*batch);
  bytes_out_.Add(bytes);
  batches_in_flight_.fetch_add(1, std::memory_order_acq_rel);
  bytes_in_flight_.fetch_add(bytes, std::memory_order_acq_rel);
  std::unique_ptr<BatchBase> replacement;
  Enqueue({{ElementKind::kBatch}, std::move(batch), bytes}, &replacement);
  batch = replacement != nullptr ? std::move(replacement) : type_.NewBatch();
  return absl::OkStatus();
}

void LocalChannel::SendEvent(const Event& event) {
  Enqueue({event, nullptr, 0}, nullptr);
  if (event.kind != ElementKind::kBarrier && event.kind != ElementKind::kEndOfInput) return;
  ready_.Announce();
  consumer_.Wake();
}

bool LocalChannel::TakeNext(Element& element) {
  MutexLock lock(mutex_);
  if (!overtaken_.empty()) {
    element = std::move(overtaken_.front());
    overtaken_.pop_front();
  } else if (queue_.empty()) {
    element = Element{};
    return false;
  } else {
    element = queue_.pop_front();
  }
  if (queue_.empty() && overtaken_.empty()) ready_.Clear(ready_index_);
  return true;
}

absl::Status LocalChannel::Poll(Element& element) {
  if (!TakeNext(element)) return absl::OkStatus();
  if (recorded_ != nullptr) Encode(element, *recorded_);
  if (element.kind == ElementKind::kBatch) {
    bytes_in_.Add(element.bytes);
    taken_bytes_.push_back(element.bytes);
  }
  return absl::OkStatus();
}

std::optional<Barrier> LocalChannel::QueuedBarrier() {
  MutexLock lock(mutex_);
  for (size_t i = queue_.size(); i-- > 0;) {
    if (queue_[i].kind == ElementKind::kBarrier) return BarrierOf(queue_[i]);
  }
  return std::nullopt;
}

Overtaken LocalChannel::OvertakeQueue(uint64_t checkpoint, std::string& in_flight) {
  Overtaken found = Overtaken::kNothing;
  {
    MutexLock lock(mutex_);
    size_t ahead = 0;
    for (; ahead < queue_.size() && found == Overtaken::kNothing; ++ahead) {
      const Element& element = queue_[ahead];
      if (element.kind == ElementKind::kEndOfInput) found = Overtaken::kEndOfInput;
      if (element.kind != ElementKind::kBarrier) continue;
      if (element.barrier > checkpoint) return found;
      if (element.barrier == checkpoint) found = Overtaken::kBarrier;
    }
    if (found == Overtaken::kNothing) return found;
    for (; ahead > 1; --ahead) overtaken_.push_back(queue_.pop_front());
    if (found == Overtaken::kBarrier) queue_.pop_front();
    if (queue_.empty() && overtaken_.empty()) ready_.Clear(ready_index_);
  }
  recorded_ = nullptr;
  for (const Element& element : overtaken_) Encode(element, in_flight);
  return found;
}

void LocalChannel::Encode(const Element& element, std::string& out) const {
  if (element.kind == ElementKind::kWatermark) AppendInFlightWatermark(out, element.time);
  if (element.kind == ElementKind::kBatch) AppendInFlightBatch(out, type_, *element.batch);
}

void LocalChannel::Recycle(std::unique_ptr<BatchBase> batch) {
  const bool keep = batch->size() <= kMaxRecycledRecords;
  batch->Clear();
  if (keep) {
    MutexLock lock(mutex_);
    if (free_.size() <= capacity_.batches) free_.push_back(std::move(batch));
  }
  const size_t bytes = taken_bytes_.pop_front();
  const size_t batches_before = batches_in_flight_.fetch_sub(1, std::memory_order_acq_rel);
  const size_t bytes_before = bytes_in_flight_.fetch_sub(bytes, std::memory_order_acq_rel);
  // What the producer adds between the two makes it above half, if it is then blocked: then a later
  // call wakes it.
  if (AboveHalf(batches_before, bytes_before) &&
      !AboveHalf(batches_before - 1, bytes_before - bytes)) {
    producer_.Wake();
  }
}

}  // namespace weir
