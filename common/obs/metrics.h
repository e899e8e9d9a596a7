#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/mutex.h"

namespace weir {

enum class MetricKind : uint8_t { kCounter, kGauge };

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

struct MetricSample {
  MetricLabels labels;
  double value = 0;
};

// All samples of one name at one moment.
struct MetricFamily {
  std::string name;
  MetricKind kind = MetricKind::kGauge;
  std::string help;
  std::vector<MetricSample> samples;
};

// The text that Prometheus scrapes (exposition format 0.0.4), families by name. Families of one
// name are written as one; if they differ in kind, as untyped. Characters that a name or a label's
// name must not have become '_', and of two samples with the same labels the first is kept, so one
// bad metric does not spoil the rest.
std::string WritePrometheusText(const std::vector<MetricFamily>& families);

inline constexpr std::string_view kPrometheusContentType =
    "text/plain; version=0.0.4; charset=utf-8";

// A number of the process that any thread may change and read.
class ProcessMetric {
 public:
  void Add(int64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  void Set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// The metrics of a process: numbers of its own, and collectors that are asked when somebody looks.
// Thread safe.
class MetricRegistry {
 public:
  using Collector = std::function<void(std::vector<MetricFamily>& families)>;

  // Takes the collector out again when destroyed; waits for it if it is being asked. Does not
  // outlive the registry.
  class Registration {
   public:
    Registration(MetricRegistry& registry, uint64_t id) : registry_(registry), id_(id) {}
    ~Registration();
    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;

   private:
    MetricRegistry& registry_;
    const uint64_t id_;
  };

  // The same name and labels give the same object, which lives as long as the registry. The kind
  // and the help of the first call count.
  ProcessMetric& Counter(const std::string& name, const std::string& help,
                         const MetricLabels& labels = {});
  ProcessMetric& Gauge(const std::string& name, const std::string& help,
                       const MetricLabels& labels = {});
  // `collector` is called on the thread of whoever calls Collect, one at a time; it must not call
  // the registry.
  [[nodiscard]] std::unique_ptr<Registration> AddCollector(Collector collector);

  // All families by name.
  std::vector<MetricFamily> Collect() const;

 private:
  struct OwnFamily {
    MetricKind kind;
    std::string help;
    std::map<MetricLabels, std::unique_ptr<ProcessMetric>> metrics;
  };

  ProcessMetric& Find(const std::string& name, MetricKind kind, const std::string& help,
                      const MetricLabels& labels);

  mutable Mutex mutex_;
  std::map<std::string, OwnFamily> own_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, Collector> collectors_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_id_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace weir
