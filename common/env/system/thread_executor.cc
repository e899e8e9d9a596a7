#include "common/env/system/thread_executor.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"

namespace weir {
namespace {

using SteadyClock = std::chrono::steady_clock;
using TimePoint = SteadyClock::time_point;

constexpr auto kSpinTime = std::chrono::microseconds(5);
constexpr absl::Duration kLongestDelay = absl::Hours(24 * 365 * 10);

void RelaxCpu() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

SpinBudget::SpinBudget() : SpinBudget(static_cast<int>(std::thread::hardware_concurrency()) - 1) {}

// The mailbox and its loop. Lives until both the executor and its thread are done with it.
class ThreadExecutor::Core {
 public:
  explicit Core(std::shared_ptr<SpinBudget> spin_budget) : spin_budget_(std::move(spin_budget)) {}

  void Post(Closure closure) {
    bool wake = false;
    {
      MutexLock lock(mutex_);
      if (stopping_) return;
      inbox_.push_back(std::move(closure));
      pending_.store(true, std::memory_order_release);
      wake = std::exchange(parked_, false);
    }
    if (wake) wake_.notify_one();
  }

  TimerId PostAfter(absl::Duration delay, Closure closure) {
    const auto nanos =
        absl::ToChronoNanoseconds(std::clamp(delay, absl::ZeroDuration(), kLongestDelay));
    const TimePoint due = SteadyClock::now() + nanos;
    TimerId id = 0;
    bool wake = false;
    {
      MutexLock lock(mutex_);
      id = ++last_timer_id_;
      if (stopping_) return id;
      timer_due_.emplace(id, due);
      const auto added = timers_.emplace(std::make_pair(due, id), std::move(closure)).first;
      if (added == timers_.begin()) {
        pending_.store(true, std::memory_order_release);
        wake = std::exchange(parked_, false);
      }
    }
    if (wake) wake_.notify_one();
    return id;
  }

  bool Cancel(TimerId id) {
    Closure dropped;  // Destroyed without the lock: what it holds may post.
    MutexLock lock(mutex_);
    const auto due = timer_due_.find(id);
    if (due == timer_due_.end()) return false;
    const auto timer = timers_.find({due->second, id});
    dropped = std::move(timer->second);
    timers_.erase(timer);
    timer_due_.erase(due);
    return true;
  }

  bool IsCurrent() const {
    return thread_id_.load(std::memory_order_relaxed) == std::this_thread::get_id();
  }

  void Stop() {
    std::vector<Closure> closures;
    std::map<std::pair<TimePoint, TimerId>, Closure> timers;
    {
      MutexLock lock(mutex_);
      stopping_ = true;
      stop_requested_.store(true, std::memory_order_release);
      pending_.store(true, std::memory_order_release);
      closures.swap(inbox_);
      timers.swap(timers_);
      timer_due_.clear();
      parked_ = false;
    }
    wake_.notify_one();
  }

  void Run() {
    thread_id_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    std::vector<Closure> batch;
    while (WaitForWork(batch)) {
      for (Closure& closure : batch) {
        if (stop_requested_.load(std::memory_order_acquire)) break;
        closure();
        closure = nullptr;
      }
      batch.clear();
      RunDueTimers();
    }
  }

 private:
  // Fills `batch` with what is queued; may leave it empty when a timer is due. False: stop.
  bool WaitForWork(std::vector<Closure>& batch) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (!pending_.load(std::memory_order_acquire)) Spin();
    std::unique_lock<std::mutex> lock(mutex_.native());
    while (true) {
      if (stopping_) return false;
      pending_.store(false, std::memory_order_relaxed);
      if (!inbox_.empty()) {
        batch.swap(inbox_);
        return true;
      }
      if (timers_.empty()) {
        parked_ = true;
        wake_.wait(lock);
      } else {
        const TimePoint due = timers_.begin()->first.first;
        if (due <= SteadyClock::now()) return true;
        parked_ = true;
        wake_.wait_until(lock, due);
      }
      parked_ = false;
    }
  }

  void Spin() {
    if (!spin_budget_->TryAcquire()) return;
    const TimePoint end = SteadyClock::now() + kSpinTime;
    do {
      for (int i = 0; i < 16 && !pending_.load(std::memory_order_acquire); ++i) RelaxCpu();
    } while (!pending_.load(std::memory_order_acquire) && SteadyClock::now() < end);
    spin_budget_->Release();
  }

  // One at a time, so that a timer that an earlier one cancels does not run.
  void RunDueTimers() {
    TimePoint now;
    bool now_known = false;
    while (true) {
      Closure closure;
      {
        MutexLock lock(mutex_);
        if (stopping_ || timers_.empty()) return;
        if (!now_known) {
          now = SteadyClock::now();
          now_known = true;
        }
        const auto first = timers_.begin();
        if (first->first.first > now) return;
        closure = std::move(first->second);
        timer_due_.erase(first->first.second);
        timers_.erase(first);
      }
      closure();
    }
  }

  const std::shared_ptr<SpinBudget> spin_budget_;
  std::atomic<std::thread::id> thread_id_{};
  std::atomic<bool> pending_{false};
  std::atomic<bool> stop_requested_{false};

  Mutex mutex_;
  std::condition_variable wake_;
  std::vector<Closure> inbox_ ABSL_GUARDED_BY(mutex_);
  std::map<std::pair<TimePoint, TimerId>, Closure> timers_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<TimerId, TimePoint> timer_due_ ABSL_GUARDED_BY(mutex_);
  TimerId last_timer_id_ ABSL_GUARDED_BY(mutex_) = 0;
  bool parked_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

ThreadExecutor::ThreadExecutor(std::string_view name, std::shared_ptr<SpinBudget> spin_budget)
    : core_(std::make_shared<Core>(std::move(spin_budget))) {
  MutexLock lock(join_mutex_);
  thread_ = std::thread([core = core_] { core->Run(); });
  // The system allows 15 characters.
  pthread_setname_np(thread_.native_handle(), std::string(name.substr(0, 15)).c_str());
}

ThreadExecutor::~ThreadExecutor() {
  Shutdown();
  MutexLock lock(join_mutex_);
  if (thread_.joinable()) thread_.detach();  // On its own thread: it ends when its closure returns.
}

// What is posted may lead to the destruction of this executor before Post has returned: the core is
// kept.
void ThreadExecutor::Post(Closure closure) {
  const std::shared_ptr<Core> core = core_;
  core->Post(std::move(closure));
}

Executor::TimerId ThreadExecutor::PostAfter(absl::Duration delay, Closure closure) {
  const std::shared_ptr<Core> core = core_;
  return core->PostAfter(delay, std::move(closure));
}

bool ThreadExecutor::Cancel(TimerId id) { return core_->Cancel(id); }

bool ThreadExecutor::IsCurrent() const { return core_->IsCurrent(); }

void ThreadExecutor::Shutdown() {
  core_->Stop();
  if (IsCurrent()) return;
  MutexLock lock(join_mutex_);
  if (thread_.joinable()) thread_.join();
}

}  // namespace weir
