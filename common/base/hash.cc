#include "common/base/hash.h"

#include "common/base/check.h"

#if defined(__x86_64__)
#include <xxh_x86dispatch.h>  // The same values, with the vectors that this processor has.
#else
#include <xxhash.h>
#endif

namespace weir {

uint64_t Hash64(std::string_view data, uint64_t seed) {
  return XXH3_64bits_withSeed(data.data(), data.size(), seed);
}

struct StreamingHash64::State {
  State() { WEIR_CHECK(xxh != nullptr); }
  ~State() { XXH3_freeState(xxh); }
  XXH3_state_t* const xxh = XXH3_createState();
};

StreamingHash64::StreamingHash64() : state_(std::make_unique<State>()) { Reset(); }
StreamingHash64::~StreamingHash64() = default;
StreamingHash64::StreamingHash64(StreamingHash64&&) noexcept = default;
StreamingHash64& StreamingHash64::operator=(StreamingHash64&&) noexcept = default;

void StreamingHash64::Append(std::string_view piece) {
  WEIR_CHECK_EQ(XXH3_64bits_update(state_->xxh, piece.data(), piece.size()), XXH_OK);
}

uint64_t StreamingHash64::Digest() const { return XXH3_64bits_digest(state_->xxh); }

void StreamingHash64::Reset() { WEIR_CHECK_EQ(XXH3_64bits_reset(state_->xxh), XXH_OK); }

}  // namespace weir
