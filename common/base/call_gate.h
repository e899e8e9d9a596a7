#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "common/base/mutex.h"

namespace weir {

// Lets the owner of callbacks end them: once CloseAndWait has returned, none runs and none will.
// Thread safe.
//
// A callback brackets itself by Enter and Leave (or a CallGate::Pass). CloseAndWait blocks while
// one is inside, so it must not be called by a callback of the same gate.
class CallGate {
 public:
  // One stay inside the gate. False when the gate is closed: then nothing may be done.
  class Pass {
   public:
    explicit Pass(CallGate& gate) : gate_(gate), entered_(gate.Enter()) {}
    ~Pass() {
      if (entered_) gate_.Leave();
    }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    explicit operator bool() const { return entered_; }

   private:
    CallGate& gate_;
    const bool entered_;
  };

  bool Enter() {
    MutexLock lock(mutex_);
    if (closed_) return false;
    ++inside_;
    return true;
  }
  void Leave() {
    MutexLock lock(mutex_);
    if (--inside_ == 0 && closed_) empty_.notify_all();
  }
  // May be called more than once.
  void CloseAndWait() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock<std::mutex> lock(mutex_.native());
    closed_ = true;
    empty_.wait(lock, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return inside_ == 0; });
  }

 private:
  Mutex mutex_;
  std::condition_variable empty_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t inside_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace weir
