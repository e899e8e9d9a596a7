#include "tests/conformance/watermark_strategy.h"

#include <source_location>
#include <string>

#include "tests/conformance/outputs.h"
#include "weir/watermarks.h"

namespace weir::conformance {

absl::StatusOr<WatermarkSettings> WatermarkSettingsOf(const CaseValue& op, bool is_source) {
  const CaseValue& strategy = op.Object("strategy");
  const std::string type = strategy.Text("type");
  Watermarks<CaseRecord> watermarks{
      .timestamp = [](const CaseRecord& record) { return EventTime::FromTicks(record.value); }};
  if (type == "bounded") {
    watermarks.max_delay = Duration(strategy.Number("bound"));
  } else if (type == "punctuated") {
    watermarks.generator =
        Punctuated{[](const CaseRecord& record) { return record.value % 2 == 0; }};
  } else if (type == "none") {
    watermarks.generator = NoWatermarks{};
  } else if (type != "monotonous") {
    op.Problem("the strategy '" + type + "' is not known");
  }
  watermarks.idle_after = Duration(op.NumberOr("idle_after", 0));
  const DefineInput input;
  JobDefinition job;
  internal::GraphBuilder graph(input, job);
  WatermarkSettings settings;
  internal::DefineWatermarks(graph, std::source_location::current(), "the case", watermarks,
                             is_source, settings);
  if (!job.errors.empty()) return absl::InvalidArgumentError(job.errors.front());
  return settings;
}

}  // namespace weir::conformance
