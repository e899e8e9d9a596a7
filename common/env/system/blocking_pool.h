#pragma once

#include <condition_variable>
#include <deque>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "common/base/mutex.h"
#include "common/env/executor.h"

namespace weir {

// Threads for work that blocks. A thread is added when work comes and none is idle, up to a limit;
// beyond it work waits in a queue, whose length is bounded by what the callers have outstanding.
// The destructor waits for what is running and destroys the rest without running it. Thread safe.
class BlockingPool {
 public:
  explicit BlockingPool(size_t max_threads);
  ~BlockingPool();
  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;

  void Run(Closure work);

 private:
  void ThreadMain();

  const size_t max_threads_;
  Mutex mutex_;
  std::condition_variable work_available_;
  std::deque<Closure> queue_ ABSL_GUARDED_BY(mutex_);
  size_t idle_threads_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace weir
