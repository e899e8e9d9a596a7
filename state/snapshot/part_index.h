#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "state/snapshot/state_file.h"

namespace weir {

// What stands before the parts of a key group in a section of a kind that IsInParts
// (docs/FORMATS.md, "Keyed state in parts"). Total, as StateFileReader is; kDataLoss says what is
// wrong.
struct PartIndex {
  struct Part {
    // From the first of the key group's bytes.
    uint64_t offset = 0;
    uint32_t bytes = 0;
    uint64_t digest = 0;
  };
  uint64_t entries = 0;
  // 2^bits of them, by those bits from `shift` up of the lower 32 of hashes.
  uint8_t bits = 0;
  uint8_t shift = 0;
  std::vector<Part> parts;

  // Appends the index, of kind kKeyedSlotParts, of 2^bits parts that end at `ends` in `parts`.
  static void Write(uint64_t entries, uint8_t shift, std::string_view parts,
                    const std::vector<size_t>& ends, std::string& out);
  // How long the index is whose first bytes these are, kMostFirstBytes or all there are; none: it
  // is damaged.
  static constexpr size_t kMostFirstBytes = 10;
  static absl::StatusOr<size_t> SizeOf(std::string_view first, StateKind kind);
  // `bytes` are as many as SizeOf says, `payload_bytes` all that the key group has.
  static absl::StatusOr<PartIndex> Parse(std::string_view bytes, StateKind kind,
                                         uint64_t payload_bytes);
};

}  // namespace weir
