#pragma once

#include <cstdint>
#include <string_view>

namespace weir {

// What `--version` shows, and what processes tell one another.
inline constexpr std::string_view kVersion = "0.1.0";

// Version of the messages between job manager, task managers and workers (proto/control.proto). Grows with each change
// that an older process would misunderstand. Processes of different versions refuse one another.
inline constexpr uint32_t kControlProtocol = 1;

}  // namespace weir
