// Windows by themselves: their start, what an assigner gives, which sessions become one.
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/conformance/kinds.h"
#include "tests/conformance/operator_subject.h"
#include "weir/window_stream.h"

namespace weir::conformance {
namespace {

using Span = std::pair<Ticks, Ticks>;
using Assigner = std::shared_ptr<const internal::WindowAssigner<CaseRecord>>;

std::string SpanText(const Span& span) {
  return absl::StrCat("[", span.first, ",", span.second, "]");
}

// Semantics rule 1.
class StartOfWindow final : public Subject {
 public:
  StartOfWindow(Ticks size, Ticks offset) : size_(size), offset_(offset) {}
  absl::Status Take(const CaseValue& step, Outputs& out) override {
    out.Literal(
        absl::StrCat("{\"start\":", internal::WindowStart(step.Number("ts"), offset_, size_), "}"));
    return absl::OkStatus();
  }

 private:
  const Ticks size_;
  const Ticks offset_;
};

// Semantics rules 3, 4 and 10.
class AssignedWindows final : public Subject {
 public:
  explicit AssignedWindows(Assigner assigner) : assigner_(std::move(assigner)) {}
  absl::Status Take(const CaseValue& step, Outputs& out) override {
    const Ticks ts = step.Number("ts");
    const Ticks clock = step.NumberOr("clock", 0);
    CaseRecord record;
    record.value = step.NumberOr("value", 0);
    std::vector<internal::WindowSpan> windows;
    assigner_->Assign(record, assigner_->event_time() ? ts : clock, windows);
    for (const internal::WindowSpan& window : windows) {
      out.Literal(absl::StrCat("{\"window\":", SpanText({window.start, window.max_timestamp + 1}),
                               ",\"max_timestamp\":", window.max_timestamp, "}"));
    }
    return absl::OkStatus();
  }

 private:
  const Assigner assigner_;
};

// Nothing for what is not known.
Assigner AssignerOf(const CaseValue& op) {
  const CaseValue& assigner = op.Object("assigner");
  const std::string type = assigner.Text("type");
  const auto duration = [&](const char* field) { return Duration(assigner.Number(field)); };
  const auto offset = [&] { return Duration(assigner.NumberOr("offset", 0)); };
  const auto gap_of = [](const CaseRecord& record) { return Duration(1 + record.value % 7); };
  const auto of = [](const auto& windows) {
    return internal::PlanOf<CaseRecord>(windows).assigner;
  };
  if (type == "tumbling") return of(Tumbling{duration("size"), offset()});
  if (type == "sliding") return of(Sliding{duration("size"), duration("slide"), offset()});
  if (type == "session") return of(Session{duration("gap")});
  if (type == "session_dynamic") return of(SessionBy{gap_of});
  if (type == "tumbling_processing")
    return of(OnProcessingTime{Tumbling{duration("size"), offset()}});
  if (type == "sliding_processing")
    return of(OnProcessingTime{Sliding{duration("size"), duration("slide"), offset()}});
  if (type == "session_processing") return of(OnProcessingTime{Session{duration("gap")}});
  if (type == "session_processing_dynamic") return of(OnProcessingTime{SessionBy{gap_of}});
  op.Problem("the assigner '" + type + "' is not known alone");
  return nullptr;
}

// Puts out its span and those of its records.
struct Cover : WindowProcess<std::string, CaseRecord, std::string> {
  void OnWindow(const WindowElements<CaseRecord>& elements, Context& context) override {
    std::set<Span> from;
    for (const CaseRecord& record : elements)
      from.insert({record.at.ticks(), record.at.ticks() + record.value});
    if (from.size() < 2) return;
    std::string text =
        "{\"merged\":" + SpanText({context.window().start.ticks(), context.window().end.ticks()}) +
        ",\"from\":[";
    const char* comma = "";
    for (const Span& span : from) {
      text += comma + SpanText(span);
      comma = ",";
    }
    context.Emit(text + "]}");
  }
};

// Semantics rule 10, on the operator of sessions: each window is a record of which it is the gap.
class MergedWindows final : public Subject {
 public:
  explicit MergedWindows(testing::HarnessOptions options) : options_(std::move(options)) {}
  absl::Status Take(const CaseValue& step, Outputs& out) override {
    OperatorUnderTest made;
    DefineJob(made, [](Job& job) {
      job.From<CaseRecord>("in", Files{.path = "x"})
          .KeyBy(&CaseRecord::key)
          .Window(SessionBy{[](const CaseRecord& record) { return Duration(record.value); }})
          .Process<Cover>("cover")
          .To("out", Print{});
    });
    testing::OperatorHarness harness(made.job.nodes[made.node].make_operator, options_);
    harness.AddOutput<std::string>();
    absl::Status status = harness.Open();
    if (!status.ok()) return status;
    for (const CaseValue& window : step.List("windows")) {
      const std::vector<CaseValue>& ends = window.AsList();
      if (ends.size() != 2) {
        step.Problem("a window is not [start, end]");
        return absl::OkStatus();
      }
      const Ticks start = ends[0].AsNumber();
      const CaseRecord record{"k", ends[1].AsNumber() - start, "", EventTime::FromTicks(start)};
      status = harness.Process<CaseRecord>({{record, start}});
      if (!status.ok()) return status;
    }
    status = harness.Finish();
    for (const auto& cover : harness.Take<std::string>()) out.Literal(cover.value);
    return status;
  }

 private:
  const testing::HarnessOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Subject>> MakeWindowStart(const Case& test,
                                                         const testing::HarnessOptions&) {
  const Ticks size = test.op().Number("size");
  if (size <= 0) return absl::InvalidArgumentError("the size of a window must be greater than 0");
  return std::make_unique<StartOfWindow>(size, test.op().NumberOr("offset", 0));
}

absl::StatusOr<std::unique_ptr<Subject>> MakeAssigner(const Case& test,
                                                      const testing::HarnessOptions&) {
  Assigner assigner = AssignerOf(test.op());
  if (assigner == nullptr) return absl::InvalidArgumentError("the assigner is not known");
  if (const std::string problem = assigner->Problem(); !problem.empty())
    return absl::InvalidArgumentError(problem);
  return std::make_unique<AssignedWindows>(std::move(assigner));
}

absl::StatusOr<std::unique_ptr<Subject>> MakeMergedWindows(const Case&,
                                                           const testing::HarnessOptions& options) {
  return std::make_unique<MergedWindows>(options);
}

}  // namespace weir::conformance
