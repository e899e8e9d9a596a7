#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace weir {

// A 128-bit identity, shown as 32 lower-case hex digits. `Tag` keeps ids of different things apart.
template <class Tag>
class Id128 {
 public:
  static constexpr size_t kBytes = 16;

  constexpr Id128() = default;
  constexpr explicit Id128(std::array<uint8_t, kBytes> bytes) : bytes_(bytes) {}
  // Both halves big-endian, so that the text reads high then low.
  constexpr Id128(uint64_t high, uint64_t low) {
    for (int i = 0; i < 8; ++i) {
      bytes_[7 - i] = static_cast<uint8_t>(high >> (8 * i));
      bytes_[15 - i] = static_cast<uint8_t>(low >> (8 * i));
    }
  }

  // Fails with kInvalidArgument unless `hex` is 32 hex digits.
  static absl::StatusOr<Id128> Parse(std::string_view hex);
  std::string ToString() const;

  constexpr bool IsZero() const { return *this == Id128(); }
  const std::array<uint8_t, kBytes>& bytes() const { return bytes_; }

  friend constexpr auto operator<=>(const Id128&, const Id128&) = default;
  template <class H>
  friend H AbslHashValue(H state, const Id128& id) {
    return H::combine(std::move(state), id.bytes_);
  }

 private:
  std::array<uint8_t, kBytes> bytes_{};
};

namespace internal {
absl::StatusOr<std::array<uint8_t, 16>> ParseHex128(std::string_view hex);
std::string FormatHex128(const std::array<uint8_t, 16>& bytes);
}  // namespace internal

template <class Tag>
absl::StatusOr<Id128<Tag>> Id128<Tag>::Parse(std::string_view hex) {
  auto bytes = internal::ParseHex128(hex);
  if (!bytes.ok()) return bytes.status();
  return Id128(*bytes);
}

template <class Tag>
std::string Id128<Tag>::ToString() const {
  return internal::FormatHex128(bytes_);
}

using JobId = Id128<struct JobIdTag>;
using OperatorId = Id128<struct OperatorIdTag>;
using VertexId = Id128<struct VertexIdTag>;
using TaskManagerId = Id128<struct TaskManagerIdTag>;
using WorkerId = Id128<struct WorkerIdTag>;
// One try at running one subtask; never used twice.
using ExecutionId = Id128<struct ExecutionIdTag>;

}  // namespace weir
