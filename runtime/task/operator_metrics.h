#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "weir/metrics.h"

namespace weir {

namespace proto {
class OperatorMetrics;
}  // namespace proto

// The metrics that user code names. At most kMaxNames of each kind; a name that is not allowed
// gives a metric that nobody sees and an error that ends the task. counter() and gauge() are called
// on the task's thread, Fill on any.
class UserMetrics final : public MetricGroup {
 public:
  static constexpr size_t kMaxNames = 1000;

  Counter& counter(std::string_view name) override;
  Gauge& gauge(std::string_view name) override;

  // The first wrong use, if there was one. Of the task's thread.
  const absl::Status& error() const { return error_; }
  void Fill(proto::OperatorMetrics& out) const;

 private:
  // Whether `name` may be used for a new metric; says in error_ why not.
  bool Accept(std::string_view name, size_t known, bool used_for_other_kind);

  mutable Mutex mutex_;
  std::map<std::string, std::unique_ptr<Counter>, std::less<>> counters_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::unique_ptr<Gauge>, std::less<>> gauges_ ABSL_GUARDED_BY(mutex_);
  Counter ignored_counter_;
  Gauge ignored_gauge_;
  absl::Status error_;
};

// What is counted for one operator in one subtask. The task's thread writes, any thread reads.
struct OperatorMetrics {
  OperatorMetrics();
  void Fill(proto::OperatorMetrics& out) const;

  Counter records_in;
  Counter records_out;
  Counter bytes_in;
  Counter bytes_out;
  Counter late_records_dropped;
  Gauge watermark;
  UserMetrics user;
};

}  // namespace weir
