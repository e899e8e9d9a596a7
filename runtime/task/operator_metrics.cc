#include "runtime/task/operator_metrics.h"

#include "common/base/strings.h"
#include "proto/control.pb.h"
#include "weir/time.h"

namespace weir {
namespace {

bool IsMetricName(std::string_view name) {
  if (name.empty()) return false;
  for (const char c : name) {
    const bool allowed =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (!allowed) return false;
  }
  return true;
}

}  // namespace

bool UserMetrics::Accept(std::string_view name, size_t known, bool used_for_other_kind) {
  std::string why;
  if (!IsMetricName(name)) {
    why = "has other characters than letters, digits and '_'";
  } else if (used_for_other_kind) {
    why = "is used for a counter and for a gauge";
  } else if (known >= kMaxNames) {
    why = StrCat("is one more than the ", kMaxNames, " that an operator may have");
  } else {
    return true;
  }
  if (error_.ok()) {
    error_ = absl::InvalidArgumentError(StrCat("the name '", name, "' of a metric ", why));
  }
  return false;
}

Counter& UserMetrics::counter(std::string_view name) {
  MutexLock lock(mutex_);
  if (const auto it = counters_.find(name); it != counters_.end()) return *it->second;
  if (!Accept(name, counters_.size(), gauges_.contains(name))) return ignored_counter_;
  return *counters_.emplace(name, std::make_unique<Counter>()).first->second;
}

Gauge& UserMetrics::gauge(std::string_view name) {
  MutexLock lock(mutex_);
  if (const auto it = gauges_.find(name); it != gauges_.end()) return *it->second;
  if (!Accept(name, gauges_.size(), counters_.contains(name))) return ignored_gauge_;
  return *gauges_.emplace(name, std::make_unique<Gauge>()).first->second;
}

void UserMetrics::Fill(proto::OperatorMetrics& out) const {
  MutexLock lock(mutex_);
  for (const auto& [name, counter] : counters_) (*out.mutable_counters())[name] = counter->value();
  for (const auto& [name, gauge] : gauges_) (*out.mutable_gauges())[name] = gauge->value();
}

OperatorMetrics::OperatorMetrics() { watermark.Set(kMinTicks); }

void OperatorMetrics::Fill(proto::OperatorMetrics& out) const {
  out.set_records_in(records_in.value());
  out.set_records_out(records_out.value());
  out.set_bytes_in(bytes_in.value());
  out.set_bytes_out(bytes_out.value());
  out.set_late_records_dropped(late_records_dropped.value());
  out.set_watermark(watermark.value());
  user.Fill(out);
}

}  // namespace weir
