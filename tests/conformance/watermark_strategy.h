#pragma once

#include "absl/status/statusor.h"
#include "tests/conformance/case_value.h"
#include "weir/source.h"

namespace weir::conformance {

// What a job says whose source, or whose AssignTimestamps, has the `strategy` and the `idle_after`
// of a case: the time of a record is its value. kInvalidArgument: it is refused.
absl::StatusOr<WatermarkSettings> WatermarkSettingsOf(const CaseValue& op, bool is_source);

}  // namespace weir::conformance
