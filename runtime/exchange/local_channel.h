#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "runtime/exchange/channel.h"
#include "runtime/exchange/ready_set.h"
#include "runtime/exchange/ring_queue.h"
#include "weir/metrics.h"
#include "weir/record_type.h"

namespace weir {

// A channel between two subtasks of one process: typed batches change hands without being
// serialized, and consumed ones come back to be filled again, so that nothing is allocated once the
// channel has been full. The producer's end is called on its task's thread, the consumer's on the
// other's.
//
// Bound: Blocked once `capacity.batches` batches, or batches whose records take `capacity.bytes`,
// are sent and not yet recycled; what one step of the producer makes may come on top. The producer
// is woken when no more than half of both are left, so that the two take turns in stretches.
class LocalChannel final : public OutputChannel, public InputChannel {
 public:
  struct Capacity {
    size_t batches = 8;
    size_t bytes = 16 << 20;
  };

  // All outlive the channel. `bytes` counts, for both ends, what the records take in memory.
  LocalChannel(const RecordType& type, Capacity capacity, TaskSignals& producer,
               TaskSignals& consumer, ReadySet& ready, size_t ready_index, Counter& bytes_out,
               Counter& bytes_in);

  absl::Status SendBatch(std::unique_ptr<BatchBase>& batch) override;
  void SendEvent(const Event& event) override;
  bool Blocked() const override {
    return batches_in_flight_.load(std::memory_order_acquire) >= capacity_.batches ||
           bytes_in_flight_.load(std::memory_order_acquire) >= capacity_.bytes;
  }
  bool Overfull() const override {
    return bytes_in_flight_.load(std::memory_order_acquire) >= capacity_.bytes + kMaxExcessBytes;
  }
  void Flush() override {}
  // There is one queue, and what it holds is the consumer's to take.
  bool BarrierWaits() const override { return false; }
  void OvertakeWithBarrier(std::string&) override {}

  absl::Status Poll(Element& element) override;
  void Recycle(std::unique_ptr<BatchBase> batch) override;
  std::optional<Barrier> QueuedBarrier() override;
  Overtaken OvertakeQueue(uint64_t checkpoint, std::string& in_flight) override;
  void Record(std::string* in_flight) override { recorded_ = in_flight; }
  void AppendBegun(std::string&) override {}

 private:
  static constexpr size_t kMaxExcessBytes = 64 << 20;

  // Whether the producer, once blocked, waits on.
  bool AboveHalf(size_t batches, size_t bytes) const {
    return batches > capacity_.batches / 2 || bytes > capacity_.bytes / 2;
  }
  bool TakeNext(Element& element);
  void Encode(const Element& element, std::string& out) const;
  void Enqueue(Element element, std::unique_ptr<BatchBase>* replacement);

  const RecordType& type_;
  const Capacity capacity_;
  TaskSignals& producer_;
  TaskSignals& consumer_;
  ReadySet& ready_;
  const size_t ready_index_;
  Counter& bytes_out_;
  Counter& bytes_in_;
  std::atomic<size_t> batches_in_flight_{0};
  std::atomic<size_t> bytes_in_flight_{0};
  // Of the consumer: the sizes of the batches that it has taken and not yet given back.
  RingQueue<size_t> taken_bytes_;
  // Of the consumer: what a barrier has overtaken, before what is in queue_.
  std::deque<Element> overtaken_;
  std::string* recorded_ = nullptr;

  Mutex mutex_;
  RingQueue<Element> queue_ ABSL_GUARDED_BY(mutex_);
  // At most capacity_.batches + 1.
  std::vector<std::unique_ptr<BatchBase>> free_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace weir
