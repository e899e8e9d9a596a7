#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/task/barrier_aligner.h"
#include "runtime/task/chain.h"
#include "runtime/task_state.h"

namespace weir {

namespace proto {
class TaskWatermarks;
}  // namespace proto

// Why a step of a task ended.
enum class StepResult : uint8_t {
  kMoreWork,  // only because others shall have their turn
  kNoInput,   // nothing to read, and no timer due
  kNoCredit,  // an output is blocked, or an operator waits for something of its own
  kEnd,       // the input has ended, or the task has
};

inline constexpr int64_t kNoDeadline = std::numeric_limits<int64_t>::max();

// How the barriers of one checkpoint have come.
struct Alignment {
  // When the first came, on the monotonic clock; none if all came at once.
  std::optional<int64_t> since_nanos;
  // Of records processed from the first to the last.
  uint64_t bytes = 0;
};

// Where a task's records come from. Owned by the task's thread.
class TaskInput {
 public:
  virtual ~TaskInput() = default;

  virtual absl::Status Open() = 0;
  // Takes one batch or event and gives it to the chain; never blocks. Called while the chain is not
  // blocked and has nothing queued. `now` is on the monotonic clock, in nanoseconds.
  virtual absl::StatusOr<StepResult> Step(Chain& chain, int64_t now) = 0;
  // The task cannot step because an output is blocked, until the next Step.
  virtual void OnBlocked(int64_t now) { (void)now; }
  // When to step by itself though nothing has come, on the monotonic clock; kNoDeadline: never.
  virtual int64_t deadline() const { return kNoDeadline; }
  // A barrier that has been reached: all that is before it has been given to the chain, and nothing
  // of what is after it. Once.
  virtual std::optional<Barrier> TakeBarrier() { return std::nullopt; }
  // Of the barrier that TakeBarrier has returned last.
  virtual Alignment alignment() const { return {}; }
  // Only a source: the barrier is reached between the records read so far and those to come.
  virtual void InjectBarrier(const Barrier& barrier) { (void)barrier; }
  // The checkpoint is not waited for any more.
  virtual void AbortBarrier(uint64_t id) { (void)id; }
  // The highest checkpoint of which a barrier has come, or that was aborted; 0: none.
  virtual uint64_t last_barrier() const { return 0; }
  // Barriers that overtake what is queued (semantics rule 43); an input without channels has none.
  //
  // Looks whether there is one to overtake by `now`, on the wall clock; returns it once. Nothing is
  // to be read before BeginOvertaking, which follows the snapshot, or AbortBarrier.
  virtual void LookForBarriers(Ticks now) { (void)now; }
  virtual std::optional<Barrier> TakeOvertaking() { return std::nullopt; }
  // When to look though nothing has come; kMaxTicks: never.
  virtual Ticks overtaking_due_at() const { return kMaxTicks; }
  virtual void BeginOvertaking(const Barrier& barrier) { (void)barrier; }
  // Whether all is gathered that the last barrier has overtaken, or it was aborted; how much that
  // is so far; and, once, what it is, or none if it was aborted.
  virtual bool OvertakingComplete() const { return true; }
  virtual size_t overtaken_bytes() const { return 0; }
  virtual std::optional<std::vector<OperatorState::InFlight>> TakeOvertaken() {
    return std::nullopt;
  }

  // What of the input itself belongs to the head's state at the barrier.
  virtual void Snapshot(OperatorState& state) { (void)state; }
  // Before Open; takes what Snapshot has added.
  virtual absl::Status Restore(const OperatorState& state) {
    (void)state;
    return absl::OkStatus();
  }
  virtual void Close() {}
  // Channels or splits, and whether they are idle.
  virtual void FillWatermarks(proto::TaskWatermarks& watermarks) const { (void)watermarks; }
};

}  // namespace weir
