#pragma once

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "weir/binary_codec.h"
#include "weir/entry_parts.h"
#include "weir/frozen_blocks.h"
#include "weir/keyed_slot.h"
#include "weir/operator.h"
#include "weir/slot_array.h"
#include "weir/table_changes.h"

namespace weir::internal {

// The sub-table of a key group as it is frozen.
template <class Slot>
struct FrozenGroup {
  SlotArray<Slot> array;
  std::uint32_t entries = 0;
  // Of a snapshot of changes.
  GroupChanges changes;
};

// Entries as they are written, and the keys of a snapshot of changes that have no entry any more.
struct EncodedEntries {
  explicit EncodedEntries(std::string& to) : entries(to) {}
  std::string& entries;
  std::uint64_t count = 0;
  // Of each entry, if not null.
  std::vector<EntryTag>* tags = nullptr;
  // If not null, empties `entries` when they have become large.
  const absl::FunctionRef<void(std::string&)>* take = nullptr;
  std::string erased;
  std::uint64_t erased_count = 0;

  // What fits into a core's cache with what it is copied from, to be read there again.
  static constexpr std::size_t kLarge = 256 << 10;
  void TakeIfLarge() {
    if (take != nullptr && entries.size() >= kLarge) (*take)(entries);
  }
};

// What a KeyedTable held at one moment, or what of it had changed by then, while the table goes on:
// copy on write by blocks of about a KiB. Two threads know it. The table's own calls Preserve
// before it changes a block; what nobody has written yet is kept then: as it is where that is a
// copy of memory, else encoded. The other one writes key group after key group. Each block is dealt
// with once, by the one that comes first; for that time the other waits.
template <class K, class V>
class FrozenTable {
 public:
  using Slot = KeyedSlot<K, V>;

  FrozenTable(const FrozenTable&) = delete;
  FrozenTable& operator=(const FrozenTable&) = delete;
  virtual ~FrozenTable() {
    for (Group& group : groups_) {
      if (group.owned) {
        DestroySlots(group.of.array);
        FreeSlots(group.of.array);
      }
      FreeList(group.preserved.load(std::memory_order_acquire));
    }
  }

  // --- The table's thread. Groups are counted from the table's first. ---

  // Before slot `slot` of `slots` is changed.
  void Preserve(std::size_t group, const Slot* slots, std::uint32_t slot) {
    Group& of = groups_[group];
    if (of.live && of.of.array.slots == slots && !of.written.load(std::memory_order_acquire))
      PreserveBlock(of, slot / kBlockSlots);
  }
  // Before all slots are moved elsewhere.
  void PreserveGroup(std::size_t group, const Slot* slots) {
    Group& of = groups_[group];
    if (!of.live || of.of.array.slots != slots) return;
    for (std::uint32_t block = 0; block < Blocks(of.of.array.count); ++block)
      PreserveBlock(of, block);
    of.live = false;
  }
  // Whether it takes the slots over, which the table does not use any more.
  bool TakeOver(std::size_t group, const Slot* slots) {
    Group& of = groups_[group];
    if (!of.live || of.of.array.slots != slots) return false;
    of.live = false;
    of.owned = true;
    return true;
  }

  // --- Any one thread. ---

  // Appends the group's entries as they were; each group once, unless it is the final snapshot.
  void Write(std::size_t group, EncodedEntries& out) {
    Group& of = groups_[group];
    if (final_) return WriteSorted(of, out);
    for (std::uint32_t block = 0; block < Blocks(of.of.array.count); ++block) {
      const State state = StateOf(of, block);
      if (!Lock(state)) continue;
      {
        const Unlock unlock{state, kGone};
        // Most slots are not looked at if few have changed.
        if (const Slots slots = SlotsOf(of, block); AnyWritten(slots)) EncodeSlots(slots, out);
      }
      out.TakeIfLarge();
    }
    Preserved* const list = of.preserved.exchange(nullptr, std::memory_order_acquire);
    for (Preserved* preserved = list; preserved != nullptr; preserved = preserved->next) {
      if constexpr (kCopies) {
        EncodeSlots({preserved->slots(), nullptr, preserved->count, 0}, out);
      } else {
        out.entries += preserved->encoded.entries;
        out.count += preserved->encoded.count;
        if (out.tags != nullptr)
          out.tags->insert(out.tags->end(), preserved->tags.begin(), preserved->tags.end());
        out.erased += preserved->encoded.erased;
        out.erased_count += preserved->encoded.erased_count;
      }
      out.TakeIfLarge();
    }
    FreeList(list);
    of.written.store(true, std::memory_order_release);
    // Each block is gone, so that nobody takes memory any more; it is not the table's thread that
    // is to spend its time on giving it back.
    if (--unwritten_ == 0) blocks_.Clear();
  }
  // How many slots the group has.
  std::uint32_t SlotCount(std::size_t group) const { return groups_[group].of.array.count; }
  // How many entries Write will append, if that is certain.
  std::optional<std::uint64_t> Count(std::size_t group) const {
    if (!writes_all_ || changes_) return std::nullopt;
    return groups_[group].of.entries;
  }
  bool of_changes() const { return changes_; }
  const GroupChanges& Changes(std::size_t group) const { return groups_[group].of.changes; }

 protected:
  struct Slots {
    const Slot* slots;
    // Marks as in GroupChanges, or null: all are written.
    const std::uint8_t* marks;
    std::uint32_t count;
    std::uint8_t since;
  };

  // `groups` has one of each. `changes`: what has changed. `writes_all`: the layout leaves nothing
  // out.
  FrozenTable(std::vector<FrozenGroup<Slot>> groups, SnapshotUse use, bool changes, bool writes_all)
      : final_(use == SnapshotUse::kFinal),
        in_parts_(use == SnapshotUse::kBase),
        changes_(changes),
        writes_all_(writes_all),
        groups_(groups.size()),
        unwritten_(groups.size()) {
    std::size_t blocks = 0;
    for (std::size_t i = 0; i < groups.size(); ++i) {
      groups_[i].of = std::move(groups[i]);
      groups_[i].live = groups_[i].of.array.slots != nullptr;
      groups_[i].first_block = blocks;
      blocks += Blocks(groups_[i].of.array.count);
    }
    states_ = std::make_unique_for_overwrite<std::uint8_t[]>(blocks);
  }

  // Appends the entries as they are written.
  virtual void EncodeSlots(const Slots& slots, EncodedEntries& out) = 0;

  static constexpr std::uint32_t kBlockSlots = std::bit_floor(
      std::clamp<std::uint32_t>(static_cast<std::uint32_t>(1024 / sizeof(Slot)), 1, 64));

 private:
  using State = std::atomic_ref<std::uint8_t>;
  // Of a group's states.
  enum class Clearing : std::uint8_t { kNotBegun, kBegun, kDone };
  static constexpr std::uint8_t kPending = 0;
  static constexpr std::uint8_t kBusy = 1;
  // Written or preserved.
  static constexpr std::uint8_t kGone = 2;
  // A block is preserved as a copy of its slots.
  static constexpr bool kCopies =
      std::is_trivially_copyable_v<K> && std::is_trivially_copyable_v<V> && sizeof(Slot) <= 1024;

  struct CopiedBlock {
    CopiedBlock* next;
    std::uint32_t count;
    alignas(Slot) unsigned char bytes[kBlockSlots * sizeof(Slot)];
    Slot* slots() { return reinterpret_cast<Slot*>(bytes); }
  };
  struct EncodedBlock {
    EncodedBlock* next = nullptr;
    std::string bytes;
    std::vector<EntryTag> tags;
    EncodedEntries encoded{bytes};
  };
  using Preserved = std::conditional_t<kCopies, CopiedBlock, EncodedBlock>;

  struct Group {
    FrozenGroup<Slot> of;
    std::size_t first_block = 0;
    // The table still uses the slots. Of the table's thread.
    bool live = false;
    bool owned = false;
    // Nothing is to be preserved any more.
    std::atomic<bool> written{false};
    std::atomic<Preserved*> preserved{nullptr};
    std::atomic<Clearing> clearing{Clearing::kNotBegun};
  };
  struct Unlock {
    const State& state;
    std::uint8_t to;
    ~Unlock() { state.store(to, std::memory_order_release); }
  };

  static std::uint32_t Blocks(std::uint32_t slots) {
    return (slots + kBlockSlots - 1) / kBlockSlots;
  }
  void FreeList(Preserved* list) {
    if (list == nullptr) return;
    if constexpr (kCopies) {
      Preserved* last = list;
      while (last->next != nullptr) last = last->next;
      blocks_.GiveBack(list, last);
    } else {
      while (list != nullptr) delete std::exchange(list, list->next);
    }
  }
  State StateOf(Group& group, std::uint32_t block) const {
    if (group.clearing.load(std::memory_order_acquire) != Clearing::kDone) [[unlikely]] {
      ClearStates(group);
    }
    return State(states_[group.first_block + block]);
  }
  // By the thread that comes first; the other one waits.
  [[gnu::noinline]] void ClearStates(Group& group) const {
    auto expected = Clearing::kNotBegun;
    if (group.clearing.compare_exchange_strong(expected, Clearing::kBegun)) {
      std::memset(&states_[group.first_block], kPending, Blocks(group.of.array.count));
      group.clearing.store(Clearing::kDone, std::memory_order_release);
    }
    while (group.clearing.load(std::memory_order_acquire) != Clearing::kDone) sched_yield();
  }

  // Whether the block is the caller's now; false: it is gone.
  static bool Lock(const State& state) {
    while (true) {
      std::uint8_t expected = kPending;
      if (state.compare_exchange_weak(expected, kBusy, std::memory_order_acquire)) return true;
      if (expected == kGone) return false;
      // Some microseconds, unless the other thread has lost its core.
      if (expected == kBusy) sched_yield();
    }
  }

  void WriteSorted(const Group& group, EncodedEntries& out) {
    std::vector<std::string> entries;
    for (std::uint32_t i = 0; i < group.of.array.count; ++i) {
      std::string bytes;
      EncodedEntries entry(bytes);
      EncodeSlots({group.of.array.slots + i, nullptr, 1, 0}, entry);
      if (entry.count > 0) entries.push_back(std::move(bytes));
    }
    std::sort(entries.begin(), entries.end());
    for (const std::string& entry : entries) out.entries += entry;
    out.count += entries.size();
  }

  // Those of one block, and which of them are written.
  Slots SlotsOf(const Group& group, std::uint32_t block) const {
    const std::uint32_t first = block * kBlockSlots;
    const std::uint8_t* const marks = changes_ ? group.of.changes.MarksToWrite() : nullptr;
    return {group.of.array.slots + first, marks != nullptr ? marks + first : nullptr,
            std::min(kBlockSlots, group.of.array.count - first), group.of.changes.since};
  }
  static bool AnyWritten(const Slots& slots) {
    if (slots.marks == nullptr) return true;
    bool any = false;
    for (std::uint32_t i = 0; i < slots.count; ++i) any |= slots.marks[i] > slots.since;
    return any;
  }

  void PreserveBlock(Group& group, std::uint32_t block) {
    const State state = StateOf(group, block);
    if (state.load(std::memory_order_acquire) == kGone || !Lock(state)) return;
    // What user code throws leaves the block as it was.
    Unlock unlock{state, kPending};
    const Slots slots = SlotsOf(group, block);
    Preserved* added = nullptr;
    if constexpr (kCopies) {
      if (AnyWritten(slots)) {
        added = blocks_.Take();
        if (slots.marks == nullptr) {
          added->count = slots.count;
          std::memcpy(added->bytes, slots.slots, slots.count * sizeof(Slot));
        } else {
          added->count = 0;
          for (std::uint32_t i = 0; i < slots.count; ++i) {
            if (slots.marks[i] <= slots.since) continue;
            std::memcpy(added->bytes + added->count++ * sizeof(Slot), slots.slots + i,
                        sizeof(Slot));
          }
        }
      }
    } else {
      auto encoded = std::make_unique<Preserved>();
      if (in_parts_) encoded->encoded.tags = &encoded->tags;
      EncodeSlots(slots, encoded->encoded);
      if (encoded->encoded.count + encoded->encoded.erased_count > 0) added = encoded.release();
    }
    if (added != nullptr) {
      // The other thread takes the whole list at once, after it has seen that this block is gone.
      Preserved* head = group.preserved.load(std::memory_order_relaxed);
      do {
        added->next = head;
      } while (!group.preserved.compare_exchange_weak(head, added, std::memory_order_release,
                                                      std::memory_order_relaxed));
    }
    unlock.to = kGone;
  }

  const bool final_;
  // It may be written in parts.
  const bool in_parts_;
  const bool changes_;
  const bool writes_all_;
  std::vector<Group> groups_;
  // Of each block. A group's are cleared when one of its blocks is first dealt with: of a gigabyte
  // of slots they are two megabytes, and nobody goes on until this is made.
  std::unique_ptr<std::uint8_t[]> states_;
  // Groups; of the thread that writes.
  std::size_t unwritten_;
  BlockPool<CopiedBlock> blocks_;
};

// Layout: bool Writes(const V&) and void Encode(const V&, std::string&), which must not depend on
// what changes later. One with kWritesAll writes every value; one with kFlat as its bytes.
template <class K, class V, class Layout>
class FrozenTableOf final : public FrozenTable<K, V> {
 public:
  using typename FrozenTable<K, V>::Slot;
  FrozenTableOf(std::vector<FrozenGroup<Slot>> groups, SnapshotUse use, bool changes,
                const Layout& layout)
      : FrozenTable<K, V>(std::move(groups), use, changes, kWritesAll), layout_(layout) {}

 private:
  using typename FrozenTable<K, V>::Slots;
  static constexpr bool kWritesAll = requires { requires Layout::kWritesAll; };
  static constexpr std::size_t kEntryBytes = sizeof(K) + sizeof(V);
  static constexpr bool kFlat =
      kIsFlat<K> && kEntryBytes <= 1024 && requires { requires Layout::kFlat; };

  void EncodeSlots(const Slots& from, EncodedEntries& out) override {
    if constexpr (kFlat) {
      // One entry more, which is overwritten or left out.
      char bytes[(FrozenTable<K, V>::kBlockSlots + 1) * kEntryBytes];
      char* to = bytes;
      for (std::uint32_t i = 0; i < from.count; ++i) {
        if (from.marks != nullptr && from.marks[i] <= from.since) continue;
        std::memcpy(to, &from.slots[i].key, sizeof(K));
        std::memcpy(to + sizeof(K), &from.slots[i].value, sizeof(V));
        // Whether a slot is used is not to be foretold, so that this is no branch.
        to += from.slots[i].Empty() ? 0 : kEntryBytes;
      }
      const auto size = static_cast<std::size_t>(to - bytes);
      out.entries.append(bytes, size);
      out.count += size / kEntryBytes;
      if (out.tags == nullptr) return;
      for (std::uint32_t i = 0; i < from.count; ++i) {
        if (!from.slots[i].Empty())
          out.tags->push_back({from.slots[i].Tag(), static_cast<std::uint32_t>(kEntryBytes)});
      }
    } else {
      for (std::uint32_t i = 0; i < from.count; ++i) {
        if (from.slots[i].Empty()) continue;
        if (from.marks != nullptr && from.marks[i] <= from.since) continue;
        if (layout_.Writes(from.slots[i].value)) {
          const std::size_t before = out.entries.size();
          EncodeValue(from.slots[i].key, out.entries);
          layout_.Encode(from.slots[i].value, out.entries);
          ++out.count;
          if (out.tags != nullptr) {
            out.tags->push_back(
                {from.slots[i].Tag(), static_cast<std::uint32_t>(out.entries.size() - before)});
          }
        } else {
          // An older snapshot may have it.
          EncodeValue(from.slots[i].key, out.erased);
          ++out.erased_count;
        }
      }
    }
  }
  const Layout layout_;
};

// What another thread writes of a table.
template <class K, class V>
struct TableSnapshot {
  std::shared_ptr<FrozenTable<K, V>> frozen;
  // Of the table.
  std::uint32_t first_group = 0;
  // The entry that no slot holds, encoded, and its group counted from the first; empty: none.
  std::uint32_t reserved_group = 0;
  std::string reserved;

  // Appends the entries of the key group: a varint count, then of each the encoded key and the
  // encoded value. Nothing if there are none. `before` is called ahead of the first byte. Of
  // changes: see WriteChanges. `take`: see KeyedStateSnapshot::WriteInPieces, or null.
  template <class Before>
  void WriteKeyGroup(std::uint32_t key_group, std::string& out, Before&& before,
                     const absl::FunctionRef<void(std::string&)>* take = nullptr) const {
    const std::uint32_t group = key_group - first_group;
    const bool has_reserved = group == reserved_group && !reserved.empty();
    if (frozen->of_changes()) return WriteChanges(group, has_reserved, out);
    if (const std::optional<std::uint64_t> count = frozen->Count(group); count.has_value()) {
      // Its place in front is known, so that the entries go where they belong at once.
      if (*count + has_reserved == 0) return;
      before();
      weir::Encoder(out).Varint(*count + has_reserved);
      EncodedEntries encoded(out);
      encoded.take = take;
      frozen->Write(group, encoded);
      if (has_reserved) out += reserved;
      return;
    }
    std::string entries;
    EncodedEntries encoded(entries);
    frozen->Write(group, encoded);
    if (has_reserved) {
      entries += reserved;
      ++encoded.count;
    }
    if (encoded.count == 0) return;
    before();
    weir::Encoder(out).Varint(encoded.count);
    out += entries;
  }
  void WriteKeyGroup(std::uint32_t key_group, std::string& out) const {
    WriteKeyGroup(key_group, out, [] {});
  }
  // Memory that is used for one key group after another.
  struct PartsMemory {
    std::string entries;
    std::vector<EntryTag> tags;
  };
  // See KeyedStateSnapshot::WriteParts.
  KeyedStateSnapshot::WrittenParts WriteParts(std::uint32_t key_group, std::string& out,
                                              std::vector<std::size_t>& ends,
                                              PartsMemory& memory) const {
    const std::uint32_t group = key_group - first_group;
    auto& [entries, tags] = memory;
    entries.clear();
    tags.clear();
    EncodedEntries encoded(entries);
    encoded.tags = &tags;
    frozen->Write(group, encoded);
    if constexpr (KeyedSlot<K, V>::kHasReservedKey) {
      if (group == reserved_group && !reserved.empty()) {
        entries += reserved;
        tags.push_back({static_cast<std::uint32_t>(KeyHash(KeyedSlot<K, V>::kReservedKey)),
                        static_cast<std::uint32_t>(reserved.size())});
      }
    }
    // A power of two.
    const int slot_bits = std::bit_width(frozen->SlotCount(group)) - 1;
    const PartBits parts = WriteEntryParts(entries, tags, std::max(slot_bits, 0), out, ends);
    return {tags.size(), parts};
  }

 private:
  // docs/FORMATS.md, "Changes of keyed state"; nothing if nothing has changed.
  void WriteChanges(std::uint32_t group, bool has_reserved, std::string& out) const {
    std::string entries;
    EncodedEntries encoded(entries);
    const GroupChanges& changes = frozen->Changes(group);
    for (const auto& keys : changes.erased) {
      encoded.erased += keys->bytes;
      encoded.erased_count += keys->count;
    }
    frozen->Write(group, encoded);
    if (has_reserved) {
      entries += reserved;
      ++encoded.count;
    }
    if (encoded.count + encoded.erased_count == 0 && !changes.replaces) return;
    out += changes.replaces ? '\1' : '\0';
    weir::Encoder(out).Varint(changes.replaces ? 0 : encoded.erased_count);
    if (!changes.replaces) out += encoded.erased;
    weir::Encoder(out).Varint(encoded.count);
    out += entries;
  }
};

}  // namespace weir::internal
