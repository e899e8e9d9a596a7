#pragma once

#include <cstdint>
#include <string_view>

namespace weir {

// XXH3, 64 bits: the same on every machine and in every version, so it may be stored and sent. For
// checksums and tables, not against an adversary.
uint64_t Hash64(std::string_view data, uint64_t seed = 0);

}  // namespace weir
