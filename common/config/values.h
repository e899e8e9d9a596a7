#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace weir {

// Values as people write them. All fail with kInvalidArgument, saying what is allowed.

// "10 s", "500ms", "1 min", "2 h", "1 d", "250 us"; a number alone is milliseconds. Not negative.
absl::StatusOr<absl::Duration> ParseDuration(std::string_view text);
// "64 kb", "1gb", "512 mebibytes"; a number alone is bytes; k, m, g and t are powers of 1024.
absl::StatusOr<int64_t> ParseMemorySize(std::string_view text);
absl::StatusOr<int64_t> ParseInt(std::string_view text);
absl::StatusOr<double> ParseDouble(std::string_view text);
// "true" or "false", in any case.
absl::StatusOr<bool> ParseBool(std::string_view text);

// In the largest unit that leaves no fraction; the parsers read them back.
std::string FormatSettingDuration(absl::Duration duration);
std::string FormatMemorySize(int64_t bytes);

}  // namespace weir
