#include "state/snapshot/part_index.h"

#include "absl/status/status.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/little_endian.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace weir {
namespace {

constexpr uint32_t kMostBits = 20;
constexpr uint32_t kHashBits = 32;
constexpr size_t kPartEntryBytes = sizeof(uint32_t) + sizeof(uint64_t);
constexpr size_t kDigestBytes = sizeof(uint64_t);

// Bits, with kKeyedSlotParts the shift, and the number of entries.
constexpr size_t FirstBytes(StateKind kind) {
  return (kind == StateKind::kKeyedSlotParts ? 2 : 1) + sizeof(uint64_t);
}

}  // namespace

void PartIndex::Write(uint64_t entries, uint8_t shift, std::string_view parts,
                      const std::vector<size_t>& ends, std::string& out) {
  uint32_t bits = 0;
  while (size_t{1} << bits < ends.size()) ++bits;
  WEIR_CHECK(size_t{1} << bits == ends.size() && bits <= kMostBits && bits + shift <= kHashBits);
  const size_t start = out.size();
  out.push_back(static_cast<char>(bits));
  out.push_back(static_cast<char>(shift));
  AppendLittleEndian<uint64_t>(out, entries);
  size_t from = 0;
  for (const size_t end : ends) {
    WEIR_CHECK(end - from <= UINT32_MAX);
    AppendLittleEndian<uint32_t>(out, static_cast<uint32_t>(end - from));
    AppendLittleEndian<uint64_t>(out, Hash64(parts.substr(from, end - from)));
    from = end;
  }
  AppendLittleEndian<uint64_t>(out, Hash64(std::string_view(out).substr(start)));
}

absl::StatusOr<size_t> PartIndex::SizeOf(std::string_view first, StateKind kind) {
  if (first.size() < FirstBytes(kind)) return absl::DataLossError("it has no index of parts");
  const auto bits = static_cast<uint8_t>(first[0]);
  if (bits > kMostBits) return absl::DataLossError(StrCat("2^", uint32_t{bits}, " parts"));
  return FirstBytes(kind) + (size_t{1} << bits) * kPartEntryBytes + kDigestBytes;
}

absl::StatusOr<PartIndex> PartIndex::Parse(std::string_view bytes, StateKind kind,
                                           uint64_t payload_bytes) {
  WEIR_ASSIGN_OR_RETURN(const size_t size, SizeOf(bytes, kind));
  if (bytes.size() != size) return absl::DataLossError("its index of parts is truncated");
  const size_t digest_at = size - kDigestBytes;
  if (Hash64(bytes.substr(0, digest_at)) != LoadLittleEndian<uint64_t>(bytes.data() + digest_at))
    return absl::DataLossError("its index of parts has a wrong digest");
  PartIndex index;
  index.bits = static_cast<uint8_t>(bytes[0]);
  index.shift = static_cast<uint8_t>(
      kind == StateKind::kKeyedSlotParts ? static_cast<uint8_t>(bytes[1]) : kHashBits - index.bits);
  if (uint32_t{index.bits} + index.shift > kHashBits) {
    return absl::DataLossError(
        StrCat("parts by ", uint32_t{index.bits}, " bits from ", uint32_t{index.shift}, " up"));
  }
  const char* from = bytes.data() + FirstBytes(kind);
  index.entries = LoadLittleEndian<uint64_t>(from - sizeof(uint64_t));
  index.parts.resize(size_t{1} << index.bits);
  uint64_t offset = size;
  for (Part& part : index.parts) {
    part = {offset, LoadLittleEndian<uint32_t>(from),
            LoadLittleEndian<uint64_t>(from + sizeof(uint32_t))};
    offset += part.bytes;
    from += kPartEntryBytes;
  }
  if (offset != payload_bytes) return absl::DataLossError("its parts are not as long as it is");
  return index;
}

}  // namespace weir
