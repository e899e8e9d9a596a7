#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/exchange/input_gate.h"
#include "runtime/task/barrier_aligner.h"
#include "runtime/task_state.h"

namespace weir {

// Has barriers overtake what waits in a task's channels (semantics rule 43): says when, and gathers
// what is then on its way, up to the barrier of each channel. Owned by the task's thread.
//
// One checkpoint at a time: what is gathered for one is given up when a later one overtakes.
class InputOvertaking {
 public:
  // Both outlive it.
  InputOvertaking(InputGate& gate, BarrierAligner& aligner, BarrierOptions barriers);

  // Looks at what has been queued since the last call. `now`: the wall clock.
  void Look(Ticks now);
  // A barrier that is to overtake, once: then no element is polled before Begin or Abort.
  std::optional<Barrier> TakeDue();
  // When Look has something to do though nothing has been queued; kMaxTicks: never.
  Ticks due_at() const;

  // The task has taken its snapshot. `restored`: by channel, what of an earlier checkpoint is to be
  // read yet, before what is in the channel.
  void Begin(const Barrier& barrier, std::vector<std::string> restored);
  // A barrier was polled. False: it is to be told to the aligner after this. True: it is about to
  // overtake, and the channel is not read before.
  bool OnBarrier(size_t channel, const Barrier& barrier);
  void OnEnd(size_t channel);
  // It is not waited for any more.
  void Abort(uint64_t id);

  // The highest checkpoint for which Begin was called; 0: none.
  uint64_t begun() const { return begun_; }
  // Whether all that belongs to that is gathered; also when it was aborted.
  bool complete() const { return !gathering_.has_value() || open_channels_ == 0; }
  // Of what is gathered so far.
  size_t bytes() const;
  // By channel, once complete; none if it was aborted.
  std::optional<std::vector<std::string>> Take();

 private:
  struct Gathering {
    Barrier barrier;
    // By channel.
    std::vector<std::string> elements;
    // Those whose barrier has not come.
    std::vector<bool> open;
  };
  void Examine(size_t channel);
  void Note(const Barrier& barrier);
  void CloseChannel(size_t channel);
  // Has the channels read again whose barrier was polled.
  void ReleasePolled();

  InputGate& gate_;
  BarrierAligner& aligner_;
  const BarrierOptions barriers_;
  std::vector<bool> ended_;
  // The highest barrier that has come on some channel, read or not, without a snapshot yet.
  std::optional<Barrier> newest_;
  std::optional<Barrier> due_;
  // A barrier that is about to overtake, and the channels of which it was polled; 0: none.
  uint64_t polled_id_ = 0;
  std::vector<bool> polled_;
  std::optional<Gathering> gathering_;
  size_t open_channels_ = 0;
  uint64_t begun_ = 0;
};

}  // namespace weir
