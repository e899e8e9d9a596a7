#include "common/base/hash.h"

#if defined(__x86_64__)
#include <xxh_x86dispatch.h>  // The same values, with the vectors that this processor has.
#else
#include <xxhash.h>
#endif

namespace weir {

uint64_t Hash64(std::string_view data, uint64_t seed) {
  return XXH3_64bits_withSeed(data.data(), data.size(), seed);
}

}  // namespace weir
