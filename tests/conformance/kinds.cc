#include "tests/conformance/kinds.h"

#include <map>

namespace weir::conformance {

MakeSubject MakerOf(std::string_view kind) {
  static const std::map<std::string_view, MakeSubject> makers = {
      {"window", MakeWindow},
      {"window_all", MakeWindowOfAll},
      {"count_window", MakeCountWindow},
      {"window_join", MakeWindowJoin},
      {"co_group", MakeWindowJoin},
      {"interval_join", MakeIntervalJoin},
      {"temporal_join", MakeTemporalJoin},
      {"cep", MakePattern},
      {"state_ttl", MakeStateTtl},
      {"broadcast", MakeBroadcast},
      {"timers", MakeTimers},
      {"two_input", MakeTwoInput},
      {"valve", MakeValve},
      {"combined", MakeCombined},
      {"multiplexer", MakeMultiplexer},
      {"watermark_generator", MakeGenerator},
      {"source", MakeSource},
      {"assign_timestamps", MakeAssignTimestamps},
      {"window_start", MakeWindowStart},
      {"assign", MakeAssigner},
      {"merge_windows", MakeMergedWindows},
      {"key_groups", MakeKeyGroups},
  };
  const auto found = makers.find(kind);
  return found == makers.end() ? nullptr : found->second;
}

}  // namespace weir::conformance
