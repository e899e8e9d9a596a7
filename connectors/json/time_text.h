#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "weir/time.h"

namespace weir {

// Reads an ISO-8601 (RFC 3339) time with a zone: "2001-01-01T01:24:00Z", "2001-01-01
// 01:24:00.250+02:00", "2001-01-01T01:24Z". Digits below a microsecond are dropped towards the
// past. kInvalidArgument for anything else, a day that does not exist or a missing zone. Allocates
// only for an error.
absl::StatusOr<EventTime> ParseTimeText(std::string_view text);

// Reads a sum of decimal numbers with units h, m, s, ms, us, ns: "1h30m", "250ms", "-1.5s"; "0"
// needs no unit.
absl::StatusOr<Duration> ParseDurationText(std::string_view text);

}  // namespace weir
