#include "tests/conformance/operator_subject.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/time/time_event.h"

namespace weir::conformance {
namespace {

using testing::HarnessOptions;
using testing::OperatorHarness;
using testing::Timed;

HarnessOptions WithHashers(HarnessOptions options, const OperatorUnderTest& test) {
  for (const EdgeDefinition& edge : test.job.edges) {
    if (edge.to_node != test.node) continue;
    options.hashers.resize(std::max<std::size_t>(options.hashers.size(), edge.to_input + 1));
    options.hashers[edge.to_input] = edge.hasher;
  }
  return options;
}

// An operator that tells when it is done with a watermark, which is when the runtime passes it on:
// before whatever else has become due meanwhile (semantics rule 8).
class WatermarkReporting final : public Operator {
 public:
  using Done = std::function<void(Ticks)>;
  WatermarkReporting(std::unique_ptr<Operator> op, Done done)
      : op_(std::move(op)), done_(std::move(done)) {}

  absl::Status Open(OperatorContext& context) override { return op_->Open(context); }
  absl::Status ProcessBatch(std::size_t input, BatchBase& batch) override {
    return op_->ProcessBatch(input, batch);
  }
  absl::StatusOr<bool> OnWatermark(Ticks watermark) override {
    absl::StatusOr<bool> done = op_->OnWatermark(watermark);
    if (done.ok() && *done) done_(watermark);
    return done;
  }
  absl::StatusOr<bool> OnProcessingTime(Ticks now) override { return op_->OnProcessingTime(now); }
  absl::StatusOr<bool> OnWake() override { return op_->OnWake(); }
  absl::StatusOr<bool> Finish() override { return op_->Finish(); }
  void Close() override { op_->Close(); }
  std::vector<KeyedStateTable*> keyed_state() override { return op_->keyed_state(); }
  std::vector<OperatorListState*> list_state() override { return op_->list_state(); }

 private:
  const std::unique_ptr<Operator> op_;
  const Done done_;
};

class OperatorSubject final : public Subject {
 public:
  OperatorSubject(OperatorUnderTest test, const HarnessOptions& options)
      : test_(std::move(test)),
        inputs_(test_.job.nodes[test_.node].inputs),
        watermarks_(inputs_),
        harness_(
            [this] {
              return std::make_unique<WatermarkReporting>(
                  test_.job.nodes[test_.node].make_operator(),
                  [this](Ticks watermark) { PassOn(watermark); });
            },
            WithHashers(options, test_)) {}

  absl::Status Open() {
    test_.text_of ? harness_.AddOutput<CaseRecord>() : harness_.AddOutput<std::string>();
    for (const OperatorUnderTest::Side& side : test_.sides) {
      side.records ? harness_.AddOutput<CaseRecord>() : harness_.AddOutput<std::string>();
    }
    return harness_.Open();
  }

  absl::Status Take(const CaseValue& step, Outputs& out) override {
    if (step.Has("record")) return TakeRecords(std::span(&step, 1), out);
    if (step.Has("proctime")) {
      const absl::Status status = harness_.SetProcessingTime(step.Number("proctime"));
      Collect(out);
      return status;
    }
    // Without "input" it is for all of them, the first one first.
    ending_all_ = step.Has("end") && !step.Has("input");
    const std::size_t first = InputOf(step);
    const std::size_t last = step.Has("input") ? first : inputs_ - 1;
    for (std::size_t input = first; input <= last && input < inputs_; ++input) {
      absl::Status status = TellTime(step, input, out);
      if (!status.ok()) return status;
    }
    // The last watermark may have come before.
    return ended_ == inputs_ && !finished_ ? Finish(out) : absl::OkStatus();
  }

  absl::Status TakeRecords(std::span<const CaseValue> steps, Outputs& out) override {
    std::vector<Timed<CaseRecord>> records;
    for (const CaseValue& step : steps) {
      const CaseValue& record = step.Object("record");
      records.push_back({RecordOf(record), TimeOf(record)});
    }
    const std::size_t input = InputOf(steps.front());
    const absl::Status status = test_.feed ? test_.feed(harness_, std::move(records), input)
                                           : harness_.Process(std::move(records), input);
    Collect(out);
    return status;
  }

  bool results_have_times() const override { return test_.results_have_times; }
  std::string_view depends_on_order() const override { return test_.depends_on_order; }

 private:
  std::size_t InputOf(const CaseValue& step) const {
    const std::int64_t input = step.NumberOr("input", 0);
    if (input < 0 || input >= static_cast<std::int64_t>(inputs_)) {
      step.Problem(absl::StrCat("there is no input ", input));
      return 0;
    }
    return static_cast<std::size_t>(input);
  }

  absl::Status TellTime(const CaseValue& step, std::size_t input, Outputs& out) {
    TimeEvent event;
    if (step.Has("watermark")) {
      event.time = step.Number("watermark");
    } else if (step.Has("idle")) {
      event.kind = step.Flag("idle") ? TimeEventKind::kIdle : TimeEventKind::kActive;
    } else if (step.Flag("end")) {
      event.time = kMaxTicks;
      ++ended_;
    } else {
      step.Problem("a step is none that an operator takes: " + step.Json());
      return absl::OkStatus();
    }
    TimeEvents events;
    watermarks_.OnEvent(input, event, events);
    for (const TimeEvent& told : events) {
      absl::Status status = Tell(told, out);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status Tell(const TimeEvent& event, Outputs& out) {
    if (event.kind != TimeEventKind::kWatermark) {
      // While all inputs end, the first of them is finished here, and active at MAX in Flink (rule
      // 25): which status that is says nothing any more.
      if (!ending_all_) out.Idle(event.kind == TimeEventKind::kIdle);
      return absl::OkStatus();
    }
    // The end of all inputs is both: the last watermark, and that the operator finishes.
    told_ = event.time;
    out_ = &out;
    absl::Status status;
    if (event.time == kMaxTicks && ended_ == inputs_) {
      status = Finish(out);
    } else {
      status = harness_.Watermark(event.time);
      Collect(out);
    }
    PassOn(event.time);
    out_ = nullptr;
    return status;
  }

  // Once for each: a new instance is told again what the former one was.
  void PassOn(Ticks watermark) {
    if (watermark != told_) return;
    told_.reset();
    Collect(*out_);
    out_->Watermark(watermark);
  }

  absl::Status Finish(Outputs& out) {
    finished_ = true;
    const absl::Status status = harness_.Finish();
    Collect(out);
    return status;
  }

  void Collect(Outputs& out) {
    for (const auto& result : harness_.Take<std::string>())
      out.Result(result.value, result.timestamp);
    for (const auto& result : harness_.Take<CaseRecord>())
      out.Result(test_.text_of(result.value, result.timestamp), result.timestamp);
    std::size_t port = 1;
    for (const OperatorUnderTest::Side& side : test_.sides) {
      if (side.records) {
        for (const auto& record : harness_.Take<CaseRecord>(port))
          out.SideRecord(side.name, record.value, record.timestamp);
      } else {
        for (const auto& text : harness_.Take<std::string>(port))
          out.Side(side.name, text.value, text.timestamp);
      }
      ++port;
    }
    const std::uint64_t dropped = harness_.late_records_dropped();
    out.Dropped(dropped - std::exchange(dropped_, dropped));
  }

  const OperatorUnderTest test_;
  const std::size_t inputs_;
  InputWatermarks watermarks_;
  OperatorHarness harness_;
  // A watermark that the operator is being told, and where it is passed on to.
  std::optional<Ticks> told_;
  Outputs* out_ = nullptr;
  bool ending_all_ = false;
  std::size_t ended_ = 0;
  bool finished_ = false;
  std::uint64_t dropped_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Subject>> MakeOperatorSubject(OperatorUnderTest test,
                                                             const HarnessOptions& options) {
  if (!test.job.errors.empty()) return absl::InvalidArgumentError(test.job.errors.front());
  if (test.job.nodes.size() <= test.node)
    return absl::InvalidArgumentError("the case defined no operator");
  auto subject = std::make_unique<OperatorSubject>(std::move(test), options);
  absl::Status status = subject->Open();
  if (!status.ok()) return absl::InternalError(absl::StrCat("Open: ", status.message()));
  return subject;
}

}  // namespace weir::conformance
