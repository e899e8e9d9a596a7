#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

namespace weir {

// XXH3, 64 bits: the same on every machine and in every version, so it may be stored and sent. For
// checksums and tables, not against an adversary.
uint64_t Hash64(std::string_view data, uint64_t seed = 0);

// Hash64 with seed 0 of what comes in pieces, in a fixed amount of memory. Not thread safe.
class StreamingHash64 {
 public:
  StreamingHash64();
  ~StreamingHash64();
  StreamingHash64(StreamingHash64&&) noexcept;
  StreamingHash64& operator=(StreamingHash64&&) noexcept;

  void Append(std::string_view piece);
  // Of everything appended so far; more may follow.
  uint64_t Digest() const;
  // Begins anew.
  void Reset();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weir
