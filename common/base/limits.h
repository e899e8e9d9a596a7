#pragma once

#include <cstdint>

namespace weir {

// Limits that processes of different kinds must agree on.

// The file that a job is submitted as.
inline constexpr uint64_t kMaxPluginBytes = 512ull << 20;
inline constexpr uint32_t kMaxSlotsPerTaskManager = 1'024;

}  // namespace weir
