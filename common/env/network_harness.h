#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "common/env/env.h"

namespace weir {

// What a Network is tried with: two processes and a way to let them run. One for each test.
class NetworkHarness {
 public:
  virtual ~NetworkHarness() = default;

  virtual Env& server() = 0;
  virtual Env& client() = 0;
  // Where the server may listen, with port 0.
  virtual std::string listen_address() = 0;
  // An address where nobody listens.
  virtual std::string unused_address() = 0;
  // Called after each change that a predicate may look at, on any thread.
  virtual void Notify() = 0;
  // Lets the processes run until `predicate` holds; false after 30 seconds without that.
  virtual bool RunUntil(const std::function<bool()>& predicate) = 0;
};

// The half of a harness for networks with threads: waits on a condition variable.
class ThreadedNetworkHarness : public NetworkHarness {
 public:
  void Notify() override {
    // Empty critical section: a waiter that has looked and not yet begun to wait must not miss it.
    {
      const std::lock_guard<std::mutex> lock(mutex_);
    }
    changed_.notify_all();
  }
  bool RunUntil(const std::function<bool()>& predicate) override {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), predicate);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

using NetworkHarnessFactory = std::function<std::unique_ptr<NetworkHarness>()>;

}  // namespace weir
