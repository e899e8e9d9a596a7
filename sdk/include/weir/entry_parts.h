#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "weir/binary_codec.h"
#include "weir/operator.h"

namespace weir::internal {

// Where an encoded entry belongs: the lower half of its key's hash, and its bytes.
struct EntryTag {
  std::uint32_t tag;
  std::uint32_t bytes;
};

// How large a part of a key group gets at most, about: small, so that the first access to a key
// reads little more than that key.
inline constexpr std::size_t kPartBytes = 4096;
inline constexpr int kMostPartBits = 20;

// Divides encoded entries, `tags` of which say in their order what they are, into parts by the
// upper ones of the `slot_bits` lowest bits of their tags: those that choose a slot, so that a part
// is of slots beside each other, and the parts are in the order of the slots. Appends the parts to
// `out`, each a varint count and its entries, and to `ends` where they end there. Nothing if there
// are no entries.
inline PartBits WriteEntryParts(std::string_view entries, const std::vector<EntryTag>& tags,
                                int slot_bits, std::string& out, std::vector<std::size_t>& ends) {
  if (tags.empty()) return {};
  const int bits = std::min<int>(
      kMostPartBits,
      static_cast<int>(std::bit_width((entries.size() + kPartBytes - 1) / kPartBytes - 1)));
  const PartBits choice{static_cast<std::uint8_t>(bits),
                        static_cast<std::uint8_t>(std::max(slot_bits - bits, 0))};
  struct Part {
    std::uint64_t count = 0;
    std::size_t at = 0;
  };
  std::vector<Part> parts(std::size_t{1} << bits);
  for (const EntryTag& entry : tags) {
    Part& part = parts[choice.PartOf(entry.tag)];
    ++part.count;
    part.at += entry.bytes;
  }
  out.reserve(out.size() + entries.size() + parts.size() * 3);
  for (Part& part : parts) {
    const std::size_t bytes = part.at;
    weir::Encoder(out).Varint(part.count);
    part.at = out.size();
    out.resize(out.size() + bytes);
    ends.push_back(out.size());
  }
  const char* from = entries.data();
  for (const EntryTag& entry : tags) {
    Part& part = parts[choice.PartOf(entry.tag)];
    std::copy_n(from, entry.bytes, out.data() + part.at);
    part.at += entry.bytes;
    from += entry.bytes;
  }
  return choice;
}

}  // namespace weir::internal
