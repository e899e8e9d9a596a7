#include "common/env/system/blocking_pool.h"

#include <pthread.h>

#include "common/base/check.h"

namespace weir {

BlockingPool::BlockingPool(size_t max_threads) : max_threads_(max_threads) {
  WEIR_CHECK_GT(max_threads, 0u);
}

BlockingPool::~BlockingPool() {
  std::deque<Closure> dropped;
  std::vector<std::thread> threads;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    dropped.swap(queue_);
    threads.swap(threads_);
  }
  work_available_.notify_all();
  for (std::thread& thread : threads) thread.join();
}

void BlockingPool::Run(Closure work) {
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    queue_.push_back(std::move(work));
    if (queue_.size() > idle_threads_ && threads_.size() < max_threads_) {
      threads_.emplace_back([this] { ThreadMain(); });
      pthread_setname_np(threads_.back().native_handle(), "blocking");
    }
  }
  work_available_.notify_one();
}

// The lock is given up and taken again inside the wait, which the analysis cannot follow.
void BlockingPool::ThreadMain() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  std::unique_lock<std::mutex> lock(mutex_.native());
  while (true) {
    ++idle_threads_;
    work_available_.wait(
        lock, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return stopping_ || !queue_.empty(); });
    --idle_threads_;
    if (stopping_) return;
    Closure work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    work = nullptr;
    lock.lock();
  }
}

}  // namespace weir
