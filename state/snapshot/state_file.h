#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir {

// A state file: what one task has written at one checkpoint. Byte by byte in docs/FORMATS.md
// ("Checkpoints"): a header, the payloads, a directory of them, a footer.

// The newest version that is read. A file is written as the oldest that has all its kinds of
// sections (StateFileVersionOf).
inline constexpr uint32_t kStateFileVersion = 7;
inline constexpr std::string_view kStateFileMagic = "WEIRSTF\n";
inline constexpr std::string_view kStateFileEndMagic = "WEIREND\n";
inline constexpr size_t kStateFileHeaderBytes = 16;
inline constexpr size_t kStateFileFooterBytes = 32;
// What reader and writer keep in memory: about ten million entries.
inline constexpr uint64_t kMaxStateFileDirectoryBytes = 256 << 20;

// What the entries of a section are: key groups, items that are dealt out when they are restored
// (semantics rule 49), or the files of the store that has the operator's keyed state. The values
// are those of the format.
enum class StateKind : uint8_t {
  kKeyed = 1,
  kSplitList = 2,
  kUnionList = 3,
  kBroadcastList = 4,
  // No state: what was on its way at an unaligned barrier, an item a channel.
  kInFlight = 5,
  // The files of the operator's store, an item each.
  kStore = 6,
  // Like kKeyed, but what has changed since another state file.
  kKeyedChanges = 7,
  // Like kKeyed, but the key groups are in parts that can be read by themselves, by the upper bits
  // of hashes. Not written any more.
  kKeyedParts = 8,
  // Likewise by any bits.
  kKeyedSlotParts = 9,
  // Like kStore, and some of the files are logs.
  kStoreWithLogs = 10,
};

constexpr bool IsInParts(StateKind kind) {
  return kind == StateKind::kKeyedParts || kind == StateKind::kKeyedSlotParts;
}

// Entries are the files of a store.
constexpr bool IsOfStore(StateKind kind) {
  return kind == StateKind::kStore || kind == StateKind::kStoreWithLogs;
}

// Entries are key groups.
constexpr bool IsKeyed(StateKind kind) {
  return kind == StateKind::kKeyed || kind == StateKind::kKeyedChanges || IsInParts(kind);
}

// The first version of state files that may have such sections.
constexpr uint32_t StateFileVersionOf(StateKind kind) {
  if (kind == StateKind::kStoreWithLogs) return 7;
  if (kind == StateKind::kKeyedSlotParts) return 6;
  if (kind == StateKind::kKeyedParts) return 5;
  if (kind == StateKind::kKeyedChanges) return 4;
  if (kind == StateKind::kStore) return 3;
  return kind == StateKind::kInFlight ? 2 : 1;
}

// Sections of one name space have different names.
constexpr int NameSpaceOf(StateKind kind) {
  switch (kind) {
    case StateKind::kKeyed:
    case StateKind::kKeyedChanges:
    case StateKind::kKeyedParts:
    case StateKind::kKeyedSlotParts:
      return 0;
    case StateKind::kInFlight:
      return 2;
    case StateKind::kStore:
    case StateKind::kStoreWithLogs:
      return 3;
    default:
      return 1;
  }
}

// Names one state of one operator. A file has at most one section of a uid, a state and whether it
// is keyed, a list, in flight or files.
struct StateSection {
  std::string uid;
  std::string state;
  // In the notation of docs/FORMATS.md.
  std::string type;
  StateKind kind = StateKind::kKeyed;

  bool operator==(const StateSection&) const = default;
};

}  // namespace weir
