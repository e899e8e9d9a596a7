#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

namespace weir {

// A number that only grows. One thread adds, any thread reads.
class Counter {
 public:
  void Add(std::uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// A number that goes up and down. One thread sets, any thread reads.
class Gauge {
 public:
  void Set(std::int64_t value) { value_.store(value, std::memory_order_relaxed); }
  std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// The metrics of one subtask of one operator. What it returns lives as long as the subtask; the same name gives the same
// object. Names: letters, digits and '_'; a name used for both kinds ends the task with an error.
class MetricGroup {
 public:
  virtual ~MetricGroup() = default;
  virtual Counter& counter(std::string_view name) = 0;
  virtual Gauge& gauge(std::string_view name) = 0;
};

}  // namespace weir
