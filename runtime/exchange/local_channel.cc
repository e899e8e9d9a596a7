#include "runtime/exchange/local_channel.h"

#include <utility>

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

void LocalChannel::SendEvent(const Event& event) { Enqueue({event, nullptr, 0}, nullptr); }

absl::Status LocalChannel::Poll(Element& element) {
  {
    MutexLock lock(mutex_);
    if (queue_.empty()) {
      element = Element{};
      return absl::OkStatus();
    }
    element = queue_.pop_front();
    if (queue_.empty()) ready_.Clear(ready_index_);
  }
  if (element.kind == ElementKind::kBatch) {
    bytes_in_.Add(element.bytes);
    taken_bytes_.push_back(element.bytes);
  }
  return absl::OkStatus();
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
