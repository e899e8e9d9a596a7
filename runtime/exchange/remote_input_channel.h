#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "runtime/exchange/channel.h"
#include "runtime/exchange/ready_set.h"
#include "runtime/exchange/ring_queue.h"
#include "transport/exchange/exchange.h"
#include "weir/graph.h"
#include "weir/metrics.h"
#include "weir/record_type.h"

namespace weir {

// The consumer's end of a channel from another worker. Frames are queued by a thread of the
// transport and decoded on the consuming task's thread; a frame's credit goes back once its records
// have been consumed, or at once when it is part of a larger message. The queue is bounded by the
// credits that the exchange gave, the message by kMaxRecordBytes.
class RemoteInputChannel final : public InputChannel, public ChannelReceiver {
 public:
  // `grant` returns credits to the sender. `from`: who sends, for errors. `hasher` may be null. All
  // references outlive it.
  RemoteInputChannel(const RecordType& type, const KeyHasher* hasher,
                     std::function<void(uint32_t)> grant, std::string from, TaskSignals& consumer,
                     ReadySet& ready, size_t ready_index, Counter& bytes_in);

  // Of the transport's threads.
  void OnFrame(Frame frame) override;
  void OnError(absl::Status status) override;

  absl::Status Poll(Element& element) override;
  void Recycle(std::unique_ptr<BatchBase> batch) override;
  std::optional<Barrier> QueuedBarrier() override;
  Overtaken OvertakeQueue(uint64_t checkpoint, std::string& in_flight) override;
  void Record(std::string* in_flight) override;
  void AppendBegun(std::string& in_flight) override;

 private:
  bool PopFrame(Frame& frame, bool& empty_now);
  absl::Status DecodeInto(const Frame& frame, Element& element);
  // Returns credits: in groups while there is more to read.
  void GiveBack();

  const RecordType& type_;
  const KeyHasher* const hasher_;
  const std::function<void(uint32_t)> grant_;
  const std::string from_;
  TaskSignals& consumer_;
  ReadySet& ready_;
  const size_t ready_index_;
  Counter& bytes_in_;

  // Of the task's thread.
  std::string assembled_;  // parts of a message that is continued
  std::vector<std::unique_ptr<BatchBase>> free_;
  uint32_t to_grant_ = 0;
  bool queue_empty_ = true;
  // What a barrier has overtaken, before what is in queue_.
  std::deque<Frame> overtaken_;
  std::string* recorded_ = nullptr;

  Mutex mutex_;
  RingQueue<Frame> queue_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace weir
