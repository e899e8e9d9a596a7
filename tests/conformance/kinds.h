#pragma once

#include <string>
#include <string_view>

#include "tests/conformance/subject.h"

namespace weir::conformance {

// What makes the operator of a kind; null if the kind is not known.
MakeSubject MakerOf(std::string_view kind);

// Of the files of this folder, each makes what it is named after.
#define WEIR_CONFORMANCE_MAKER(Name)                              \
  absl::StatusOr<std::unique_ptr<Subject>> Name(const Case& test, \
                                                const testing::HarnessOptions& options)
WEIR_CONFORMANCE_MAKER(MakeWindow);
WEIR_CONFORMANCE_MAKER(MakeWindowOfAll);
WEIR_CONFORMANCE_MAKER(MakeCountWindow);
WEIR_CONFORMANCE_MAKER(MakeWindowJoin);
WEIR_CONFORMANCE_MAKER(MakeIntervalJoin);
WEIR_CONFORMANCE_MAKER(MakeTemporalJoin);
WEIR_CONFORMANCE_MAKER(MakePattern);
WEIR_CONFORMANCE_MAKER(MakeStateTtl);
WEIR_CONFORMANCE_MAKER(MakeBroadcast);
WEIR_CONFORMANCE_MAKER(MakeTimers);
WEIR_CONFORMANCE_MAKER(MakeTwoInput);
WEIR_CONFORMANCE_MAKER(MakeValve);
WEIR_CONFORMANCE_MAKER(MakeCombined);
WEIR_CONFORMANCE_MAKER(MakeMultiplexer);
WEIR_CONFORMANCE_MAKER(MakeGenerator);
WEIR_CONFORMANCE_MAKER(MakeSource);
WEIR_CONFORMANCE_MAKER(MakeAssignTimestamps);
WEIR_CONFORMANCE_MAKER(MakeWindowStart);
WEIR_CONFORMANCE_MAKER(MakeAssigner);
WEIR_CONFORMANCE_MAKER(MakeMergedWindows);
WEIR_CONFORMANCE_MAKER(MakeKeyGroups);
#undef WEIR_CONFORMANCE_MAKER

}  // namespace weir::conformance
