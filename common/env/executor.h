#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"

namespace weir {

using Closure = absl::AnyInvocable<void()>;

// A mailbox with one thread behind it: closures run one after the other, in the order posted. Every stateful object has
// one owning executor and is touched on it only. The simulator's executors all run on its single thread.
//
// Post, PostAfter and Cancel may be called from any thread and never block. After Shutdown, what is posted is destroyed
// without being run.
class Executor {
 public:
  using TimerId = uint64_t;

  virtual ~Executor() = default;

  virtual void Post(Closure closure) = 0;
  // Runs `closure` once `delay` has passed on the monotonic clock.
  virtual TimerId PostAfter(absl::Duration delay, Closure closure) = 0;
  // Returns true if the timer had not run and now never will.
  virtual bool Cancel(TimerId id) = 0;
  // True on the thread that runs this executor's closures.
  virtual bool IsCurrent() const = 0;
  // Stops taking closures, runs none that have not begun, and waits for the running one unless called from it.
  virtual void Shutdown() = 0;
};

}  // namespace weir
