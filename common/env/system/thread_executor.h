#pragma once

#include <atomic>
#include <memory>
#include <string_view>
#include <thread>

#include "common/base/mutex.h"
#include "common/env/executor.h"

namespace weir {

// How many threads of the process may spin at once while they wait for work: one fewer than there
// are cores, so that whoever makes the work can run. Shared by the executors of one Env. Thread
// safe.
class SpinBudget {
 public:
  SpinBudget();
  explicit SpinBudget(int limit) : limit_(limit) {}

  bool TryAcquire() {
    if (spinning_.fetch_add(1, std::memory_order_relaxed) < limit_) return true;
    Release();
    return false;
  }
  void Release() { spinning_.fetch_sub(1, std::memory_order_relaxed); }

 private:
  const int limit_;
  std::atomic<int> spinning_{0};
};

// An executor with a thread of its own. Post takes one lock and wakes the thread only if it is
// parked; the thread takes all that is queued at once. Timers that are due run after what was
// queued when they became due, by time, then in the order they were set.
//
// The queue has no bound of its own: whoever posts bounds what it has outstanding (credits, calls
// in progress).
class ThreadExecutor final : public Executor {
 public:
  ThreadExecutor(std::string_view name, std::shared_ptr<SpinBudget> spin_budget);
  // Shuts down. May run on the executor's own thread.
  ~ThreadExecutor() override;

  void Post(Closure closure) override;
  TimerId PostAfter(absl::Duration delay, Closure closure) override;
  bool Cancel(TimerId id) override;
  bool IsCurrent() const override;
  void Shutdown() override;

 private:
  class Core;

  // Shared with the thread, which may be the last to use it.
  const std::shared_ptr<Core> core_;
  Mutex join_mutex_;
  std::thread thread_ ABSL_GUARDED_BY(join_mutex_);
};

}  // namespace weir
