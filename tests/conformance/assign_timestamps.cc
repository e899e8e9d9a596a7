// Timestamps and watermarks given in the middle of a stream.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/env/clock.h"
#include "runtime/task/task_clock.h"
#include "runtime/task/timestamp_operator.h"
#include "tests/conformance/kinds.h"
#include "tests/conformance/watermark_strategy.h"
#include "weir/codec.h"
#include "weir/record_type.h"

namespace weir::conformance {
namespace {

class ManualClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::FromUnixMicros(ticks); }
  int64_t MonotonicNanos() const override { return ticks * 1000; }
  int64_t ThreadCpuNanos() const override { return 0; }
  Ticks ticks = 0;
};

// What the operator asks for, and where its records go.
class Downstream final : public OperatorContext, public Output {
 public:
  Downstream(const ManualClock& clock, bool refuses) : clock_(clock), refuses_(refuses) {}
  absl::Status Push(BatchBase& base) override {
    auto& batch = static_cast<Batch<CaseRecord>&>(base);
    for (size_t i = 0; i < batch.size(); ++i) {
      const CaseRecord& record = batch.records[i];
      out->Result(absl::StrCat(record.key, "|", record.value), batch.TimestampAt(i));
    }
    batch.Clear();
    return absl::OkStatus();
  }
  bool Blocked() const override {
    refused_last_ = refuses_ && !refused_last_;
    return refused_last_;
  }
  const std::string& uid() const override { return uid_; }
  uint32_t subtask() const override { return 0; }
  uint32_t parallelism() const override { return 1; }
  uint32_t max_parallelism() const override { return 128; }
  KeyGroupRange key_groups() const override { return {0, 127}; }
  const RunInfo& run() const override { return run_; }
  Output& output(size_t) override { return *this; }
  Ticks ProcessingTime() const override { return clock_.ticks; }
  void WakeAt(Ticks) override {}
  void WakeNow() override {}
  std::unique_ptr<OperatorThread> NewThread() override { return nullptr; }
  // The operator asks for none of these.
  MetricGroup& metrics() override { std::abort(); }
  void OnLateRecord(const LateRecord&, absl::FunctionRef<void(std::string&)>) override {
    std::abort();
  }
  void OnThrown(std::string_view, std::string_view) override { std::abort(); }
  void Log(std::string_view, std::string_view) override {}

  Outputs* out = nullptr;

 private:
  const ManualClock& clock_;
  const bool refuses_;
  mutable bool refused_last_ = false;
  const std::string uid_ = "assign";
  const RunInfo run_;
};

// Semantics rules 23, 27 and 28. The operator has no state to be restored.
class AssignTimestamps final : public Subject {
 public:
  AssignTimestamps(WatermarkSettings settings, Ticks interval, bool refuses)
      : downstream_(clock_, refuses),
        settings_(std::move(settings)),
        operator_(settings_, RecordTypeOf<CaseRecord>(), task_clock_, interval * 1000) {}
  absl::Status Open() { return operator_.Open(downstream_); }

  absl::Status Take(const CaseValue& step, Outputs& out) override {
    if (step.Has("record")) return TakeRecords(std::span(&step, 1), out);
    downstream_.out = &out;
    absl::StatusOr<bool> done = true;
    if (step.Has("proctime")) {
      clock_.ticks = step.Number("proctime");
      done = operator_.OnProcessingTime(clock_.ticks);
    } else if (step.Has("watermark")) {
      done = operator_.OnWatermark(step.Number("watermark"));
    } else if (step.Flag("end")) {
      done = operator_.OnWatermark(kMaxTicks);
    } else {
      step.Problem("a step is not known: " + step.Json());
    }
    return done.ok() ? Drain(out) : done.status();
  }

  absl::Status TakeRecords(std::span<const CaseValue> steps, Outputs& out) override {
    downstream_.out = &out;
    Batch<CaseRecord> batch;
    for (const CaseValue& step : steps) {
      batch.records.emplace_back(RecordOf(step.Object("record")));
      batch.timestamps.emplace_back(TimeOf(step.Object("record")));
    }
    absl::Status status = operator_.ProcessBatch(0, batch);
    return status.ok() ? Drain(out) : status;
  }

 private:
  // As the chain does.
  absl::Status Drain(Outputs& out) {
    while (operator_.has_work()) {
      if (operator_.has_event()) {
        const TimeEvent event = operator_.TakeEvent();
        if (event.kind == TimeEventKind::kWatermark) {
          out.Watermark(event.time);
        } else {
          out.Idle(event.kind == TimeEventKind::kIdle);
        }
      } else if (const absl::StatusOr<bool> done = operator_.Continue(); !done.ok()) {
        return done.status();
      }
    }
    return absl::OkStatus();
  }

  ManualClock clock_;
  Downstream downstream_;
  const WatermarkSettings settings_;
  const TaskClock task_clock_{clock_};
  TimestampOperator operator_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Subject>> MakeAssignTimestamps(
    const Case& test, const testing::HarnessOptions& options) {
  auto settings = WatermarkSettingsOf(test.op(), false);
  if (!settings.ok()) return settings.status();
  const Ticks interval = test.op().Number("interval");
  if (interval <= 0) return absl::InvalidArgumentError("the interval must be greater than 0");
  auto subject = std::make_unique<AssignTimestamps>(*std::move(settings), interval,
                                                    options.mode.refuse_outputs);
  absl::Status status = subject->Open();
  if (!status.ok()) return status;
  return subject;
}

}  // namespace weir::conformance
