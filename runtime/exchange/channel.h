#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "runtime/task_state.h"
#include "weir/batch.h"
#include "weir/time.h"

namespace weir {

// What a channel carries, in order.
enum class ElementKind : uint8_t {
  kNone,
  kBatch,
  kWatermark,
  kIdle,
  kActive,
  kBarrier,
  kEndOfInput
};

// Anything but records.
struct Event {
  ElementKind kind = ElementKind::kNone;
  Ticks time = 0;        // kWatermark; kBarrier: the wall clock when the checkpoint was triggered
  uint64_t barrier = 0;  // kBarrier: the id of the checkpoint
  BarrierKind barrier_kind = BarrierKind::kCheckpoint;  // kBarrier
  bool unaligned = false;                               // kBarrier
};

inline Event EventOf(const Barrier& barrier) {
  return {ElementKind::kBarrier, barrier.time, barrier.id, barrier.kind, barrier.unaligned};
}
inline Barrier BarrierOf(const Event& event) {
  return {event.barrier, event.time, event.barrier_kind, event.unaligned};
}

struct Element : Event {
  std::unique_ptr<BatchBase> batch;  // kBatch
  // kBatch: what its records take, in memory or, from another worker, encoded.
  size_t bytes = 0;
};

// A task as others may touch it. Thread safe; outlives the channels.
class TaskSignals {
 public:
  virtual ~TaskSignals() = default;
  // Has the task step soon. Cheap when it runs already.
  virtual void Wake() = 0;
  // Fails the task: something it depends on is lost. The first one counts.
  virtual void Fail(absl::Status status) = 0;
};

// The producer's end of a channel. Owned by the producing task's thread.
class OutputChannel {
 public:
  virtual ~OutputChannel() = default;
  // Sends the batch, which is not empty, and leaves an empty one in its place. Takes it even when
  // Blocked.
  virtual absl::Status SendBatch(std::unique_ptr<BatchBase>& batch) = 0;
  // Anything but kBatch and kNone. Never blocked.
  virtual void SendEvent(const Event& event) = 0;
  // True while the consumer takes no more batches; the producing task is woken when that ends.
  virtual bool Blocked() const = 0;
  // True while so much is queued that an operator which may go on though Blocked is to stop as
  // well.
  virtual bool Overfull() const = 0;
  // Has what was sent leave now.
  virtual void Flush() = 0;

  // Whether the barrier that was sent last waits at this end behind records.
  virtual bool BarrierWaits() const = 0;
  // If it does, it overtakes them, and they are appended to `in_flight` (in_flight.h). At the other
  // end it is unaligned.
  virtual void OvertakeWithBarrier(std::string& in_flight) = 0;
};

// What is found of a barrier in a channel's queue.
enum class Overtaken : uint8_t { kNothing, kBarrier, kEndOfInput };

// The consumer's end of a channel. Owned by the consuming task's thread.
class InputChannel {
 public:
  virtual ~InputChannel() = default;
  // Takes the next element; kNone if there is none. kDataLoss for bytes that cannot be decoded.
  virtual absl::Status Poll(Element& element) = 0;
  // Gives back a batch from Poll that has been consumed: the producer may send another.
  virtual void Recycle(std::unique_ptr<BatchBase> batch) = 0;

  // What has barriers overtake records (semantics rule 43). The gate's ReadySet announces each
  // barrier and end that is queued.
  //
  // The last barrier in the queue.
  virtual std::optional<Barrier> QueuedBarrier() = 0;
  // Takes the barrier of this checkpoint out of the queue, wherever it is before one of a higher
  // checkpoint; without either the end of the input counts, which stays. All that is before it, and
  // is to be polled yet, is appended to `in_flight` (in_flight.h). Ends Record, unless nothing is
  // found.
  virtual Overtaken OvertakeQueue(uint64_t checkpoint, std::string& in_flight) = 0;
  // From now on, what Poll takes is appended to `in_flight` too, beginning with the parts that have
  // come of a record. Null: no more.
  virtual void Record(std::string* in_flight) = 0;
  // Appends the parts that have come of a record.
  virtual void AppendBegun(std::string& in_flight) = 0;
};

}  // namespace weir
