#pragma once

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "weir/binary_codec.h"
#include "weir/keyed_slot.h"
#include "weir/operator.h"
#include "weir/slot_array.h"

namespace weir::internal {

// What a KeyedTable held at one moment, while the table goes on: copy on write by blocks of about a
// KiB. Two threads know it. The table's own calls Preserve before it changes a block; what nobody
// has written yet is encoded then. The other one writes key group after key group. Each block is
// encoded once, by the one that comes first; for that time the other waits.
template <class K, class V>
class FrozenTable {
 public:
  using Slot = KeyedSlot<K, V>;

  FrozenTable(const FrozenTable&) = delete;
  FrozenTable& operator=(const FrozenTable&) = delete;
  virtual ~FrozenTable() {
    for (Group& group : groups_) {
      if (group.owned) {
        DestroySlots(group.array);
        FreeSlots(group.array.slots);
      }
      FreeList(group.preserved.load(std::memory_order_acquire));
    }
  }

  // --- The table's thread. Groups are counted from the table's first. ---

  // Before slot `slot` of `slots` is changed.
  void Preserve(std::size_t group, const Slot* slots, std::uint32_t slot) {
    Group& of = groups_[group];
    if (of.live && of.array.slots == slots && !of.written.load(std::memory_order_acquire))
      PreserveBlock(of, slot / kBlockSlots);
  }
  // Before all slots are moved elsewhere.
  void PreserveGroup(std::size_t group, const Slot* slots) {
    Group& of = groups_[group];
    if (!of.live || of.array.slots != slots) return;
    for (std::uint32_t block = 0; block < Blocks(of.array.count); ++block) PreserveBlock(of, block);
    of.live = false;
  }
  // Whether it takes the slots over, which the table does not use any more.
  bool TakeOver(std::size_t group, const Slot* slots) {
    Group& of = groups_[group];
    if (!of.live || of.array.slots != slots) return false;
    of.live = false;
    of.owned = true;
    return true;
  }

  // --- Any one thread. ---

  // Appends the group's entries as they were and returns how many; each group once, unless it is
  // the final snapshot.
  std::uint32_t Write(std::size_t group, std::string& out) {
    Group& of = groups_[group];
    if (final_) return WriteSorted(of, out);
    std::uint32_t entries = 0;
    for (std::uint32_t block = 0; block < Blocks(of.array.count); ++block) {
      std::atomic<std::uint8_t>& state = States(of)[block];
      if (!Lock(state)) continue;
      const Unlock unlock{state, kGone};
      entries += EncodeBlock(of, block, out);
    }
    Preserved* const list = of.preserved.exchange(nullptr, std::memory_order_acquire);
    for (const Preserved* preserved = list; preserved != nullptr;
         preserved = preserved->next.get()) {
      out += preserved->bytes;
      entries += preserved->entries;
    }
    FreeList(list);
    of.written.store(true, std::memory_order_release);
    return entries;
  }

 protected:
  // `arrays` has one of each group.
  FrozenTable(const std::vector<SlotArray<Slot>>& arrays, SnapshotUse use)
      : final_(use == SnapshotUse::kFinal), groups_(arrays.size()) {
    std::size_t blocks = 0;
    for (std::size_t i = 0; i < arrays.size(); ++i) {
      groups_[i].array = arrays[i];
      groups_[i].live = arrays[i].slots != nullptr;
      groups_[i].first_block = blocks;
      blocks += Blocks(arrays[i].count);
    }
    states_ = std::make_unique<std::atomic<std::uint8_t>[]>(blocks);
  }

  // Appends the entries as they are written and returns how many.
  virtual std::uint32_t EncodeSlots(const Slot* slots, std::uint32_t count, std::string& out) = 0;

 private:
  static constexpr std::uint32_t kBlockSlots = std::bit_floor(
      std::clamp<std::uint32_t>(static_cast<std::uint32_t>(1024 / sizeof(Slot)), 1, 64));
  static constexpr std::uint8_t kPending = 0;
  static constexpr std::uint8_t kBusy = 1;
  // Written or preserved.
  static constexpr std::uint8_t kGone = 2;

  struct Preserved {
    std::uint32_t entries = 0;
    std::string bytes;
    std::unique_ptr<Preserved> next;
  };
  struct Group {
    SlotArray<Slot> array;
    std::size_t first_block = 0;
    // The table still uses the slots. Of the table's thread.
    bool live = false;
    bool owned = false;
    // Nothing is to be preserved any more.
    std::atomic<bool> written{false};
    std::atomic<Preserved*> preserved{nullptr};
  };
  struct Unlock {
    std::atomic<std::uint8_t>& state;
    std::uint8_t to;
    ~Unlock() { state.store(to, std::memory_order_release); }
  };

  static std::uint32_t Blocks(std::uint32_t slots) {
    return (slots + kBlockSlots - 1) / kBlockSlots;
  }
  static void FreeList(Preserved* list) {
    for (std::unique_ptr<Preserved> head(list); head != nullptr;) head = std::move(head->next);
  }
  std::atomic<std::uint8_t>* States(const Group& group) { return &states_[group.first_block]; }

  // Whether the block is the caller's now; false: it is gone.
  static bool Lock(std::atomic<std::uint8_t>& state) {
    while (true) {
      std::uint8_t expected = kPending;
      if (state.compare_exchange_weak(expected, kBusy, std::memory_order_acquire)) return true;
      if (expected == kGone) return false;
      // Some microseconds, unless the other thread has lost its core.
      if (expected == kBusy) sched_yield();
    }
  }

  std::uint32_t WriteSorted(const Group& group, std::string& out) {
    std::vector<std::string> entries;
    for (std::uint32_t i = 0; i < group.array.count; ++i) {
      std::string entry;
      if (EncodeSlots(group.array.slots + i, 1, entry) > 0) entries.push_back(std::move(entry));
    }
    std::sort(entries.begin(), entries.end());
    for (const std::string& entry : entries) out += entry;
    return static_cast<std::uint32_t>(entries.size());
  }

  std::uint32_t EncodeBlock(const Group& group, std::uint32_t block, std::string& out) {
    const std::uint32_t first = block * kBlockSlots;
    return EncodeSlots(group.array.slots + first, std::min(kBlockSlots, group.array.count - first),
                       out);
  }

  void PreserveBlock(Group& group, std::uint32_t block) {
    std::atomic<std::uint8_t>& state = States(group)[block];
    if (state.load(std::memory_order_acquire) == kGone || !Lock(state)) return;
    // What user code throws leaves the block as it was.
    Unlock unlock{state, kPending};
    auto preserved = std::make_unique<Preserved>();
    preserved->entries = EncodeBlock(group, block, preserved->bytes);
    // The other thread takes the whole list at once, after it has seen that this block is gone.
    Preserved* head = group.preserved.load(std::memory_order_relaxed);
    Preserved* const added = preserved.release();
    do {
      added->next.release();
      added->next.reset(head);
    } while (!group.preserved.compare_exchange_weak(head, added, std::memory_order_release,
                                                    std::memory_order_relaxed));
    unlock.to = kGone;
  }

  const bool final_;
  std::vector<Group> groups_;
  std::unique_ptr<std::atomic<std::uint8_t>[]> states_;
};

// Layout: bool Writes(const V&) and void Encode(const V&, std::string&), which must not depend on
// what changes later.
template <class K, class V, class Layout>
class FrozenTableOf final : public FrozenTable<K, V> {
 public:
  using typename FrozenTable<K, V>::Slot;
  FrozenTableOf(const std::vector<SlotArray<Slot>>& arrays, SnapshotUse use, const Layout& layout)
      : FrozenTable<K, V>(arrays, use), layout_(layout) {}

 private:
  std::uint32_t EncodeSlots(const Slot* slots, std::uint32_t count, std::string& out) override {
    std::uint32_t entries = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
      if (slots[i].Empty() || !layout_.Writes(slots[i].value)) continue;
      EncodeValue(slots[i].key, out);
      layout_.Encode(slots[i].value, out);
      ++entries;
    }
    return entries;
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
  // encoded value. Nothing if there are none. `before` is called ahead of the first byte.
  template <class Before>
  void WriteKeyGroup(std::uint32_t key_group, std::string& out, Before&& before) const {
    const std::uint32_t group = key_group - first_group;
    std::string entries;
    std::uint64_t count = frozen->Write(group, entries);
    if (group == reserved_group && !reserved.empty()) {
      entries += reserved;
      ++count;
    }
    if (count == 0) return;
    before();
    weir::Encoder(out).Varint(count);
    out += entries;
  }
  void WriteKeyGroup(std::uint32_t key_group, std::string& out) const {
    WriteKeyGroup(key_group, out, [] {});
  }
};

}  // namespace weir::internal
