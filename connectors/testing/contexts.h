#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/source.h"

namespace weir {

// Metrics that a test reads.
class TestMetrics final : public MetricGroup {
 public:
  Counter& counter(std::string_view name) override { return counters_[std::string(name)]; }
  Gauge& gauge(std::string_view name) override { return gauges_[std::string(name)]; }

 private:
  std::map<std::string, Counter> counters_;
  std::map<std::string, Gauge> gauges_;
};

// Keeps what is pushed.
template <class T>
class CollectingOutput final : public Output {
 public:
  absl::Status Push(BatchBase& batch) override {
    for (T& record : static_cast<Batch<T>&>(batch).records) records.push_back(std::move(record));
    batch.Clear();
    return absl::OkStatus();
  }
  bool Blocked() const override { return false; }
  std::vector<T> records;
};

class TestSourceContext final : public SourceContext {
 public:
  TestSourceContext(std::uint32_t subtask, std::uint32_t parallelism)
      : subtask_(subtask), parallelism_(parallelism) {}

  std::uint32_t subtask() const override { return subtask_; }
  std::uint32_t parallelism() const override { return parallelism_; }
  Ticks ProcessingTime() const override { return now; }
  TestMetrics& metrics() override { return metrics_; }
  const std::string& uid() const override { return uid_; }
  void Wake() override { ++wakes; }
  Output* malformed_output() override { return malformed; }

  Ticks now = 0;
  int wakes = 0;
  Output* malformed = nullptr;

 private:
  std::uint32_t subtask_;
  std::uint32_t parallelism_;
  std::string uid_ = "in";
  TestMetrics metrics_;
};

class TestOperatorContext final : public OperatorContext {
 public:
  TestOperatorContext(std::uint32_t subtask, std::uint32_t parallelism)
      : subtask_(subtask), parallelism_(parallelism) {}

  const std::string& uid() const override { return uid_; }
  std::uint32_t subtask() const override { return subtask_; }
  std::uint32_t parallelism() const override { return parallelism_; }
  std::uint32_t max_parallelism() const override { return 128; }
  KeyGroupRange key_groups() const override { return {0, 127}; }
  const RunInfo& run() const override { return run_info; }
  Output& output(std::size_t) override { return output_; }
  Ticks ProcessingTime() const override { return 0; }
  void WakeAt(Ticks) override {}
  void WakeNow() override { ++wakes; }
  std::unique_ptr<OperatorThread> NewThread() override { return nullptr; }
  MetricGroup& metrics() override { return metrics_; }
  void OnLateRecord(const LateRecord&, absl::FunctionRef<void(std::string&)>) override {
    metrics_.counter("numLateRecordsDropped").Add();
  }
  void OnThrown(std::string_view, std::string_view) override {}
  void Log(std::string_view level, std::string_view text) override {
    log.push_back(std::string(level) + ": " + std::string(text));
  }

  int wakes = 0;
  RunInfo run_info;
  std::vector<std::string> log;

 private:
  std::uint32_t subtask_;
  std::uint32_t parallelism_;
  std::string uid_ = "out";
  CollectingOutput<int> output_;
  TestMetrics metrics_;
};

}  // namespace weir
