#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace weir {

// What stands before the parts of a key group in a section of kind kKeyedParts (docs/FORMATS.md,
// "Keyed state in parts"). Total, as StateFileReader is; kDataLoss says what is wrong.
struct PartIndex {
  struct Part {
    // From the first of the key group's bytes.
    uint64_t offset = 0;
    uint32_t bytes = 0;
    uint64_t digest = 0;
  };
  uint64_t entries = 0;
  // 2^bits of them.
  uint32_t bits = 0;
  std::vector<Part> parts;

  // Appends the index of parts that end at `ends` in `parts`.
  static void Write(uint64_t entries, std::string_view parts, const std::vector<size_t>& ends,
                    std::string& out);
  // How long the index is whose first bytes, at least kFirstBytes, these are; none: it is damaged.
  static constexpr size_t kFirstBytes = 9;
  static absl::StatusOr<size_t> SizeOf(std::string_view first);
  // `bytes` are as many as SizeOf says, `payload_bytes` all that the key group has.
  static absl::StatusOr<PartIndex> Parse(std::string_view bytes, uint64_t payload_bytes);
};

}  // namespace weir
