#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "weir/hash.h"
#include "weir/operator.h"

namespace weir::internal {

// A flat hash table from keys to values, one open-addressing sub-table for each key group, so that
// a snapshot or a rescale is a scan of one range and growth happens a sub-table at a time. Key and
// value lie in the slot beside 32 bits of the hash.
//
// `hash` is always KeyHash(key), computed once by the caller: its upper half chooses the key group,
// its lower half the slot. Pointers to values stay valid until the next insert or erase. Not thread
// safe.
template <class K, class V>
class KeyedTable {
 public:
  struct Slot {
    std::uint32_t tag;  // 0: empty
    K key;
    V value;
  };
  // A place in an iteration that can stop and go on later, as long as the table is not changed in
  // between.
  struct Cursor {
    std::uint32_t group = 0;
    std::uint32_t slot = 0;
  };

  KeyedTable(KeyGroupRange range, std::uint32_t max_parallelism)
      : first_(range.first), max_parallelism_(max_parallelism), groups_(range.size()) {}
  KeyedTable(const KeyedTable&) = delete;
  KeyedTable& operator=(const KeyedTable&) = delete;
  ~KeyedTable() {
    for (Group& group : groups_) Release(group);
  }

  std::size_t size() const { return size_; }
  std::uint32_t group_count() const { return static_cast<std::uint32_t>(groups_.size()); }

  void Prefetch(std::uint64_t hash) const {
    const Group& group = groups_[GroupOf(hash)];
    if (group.slots != nullptr) __builtin_prefetch(&group.slots[TagOf(hash) & group.mask], 1);
  }

  V* Find(const K& key, std::uint64_t hash) {
    Group& group = groups_[GroupOf(hash)];
    if (group.slots == nullptr) return nullptr;
    const std::uint32_t tag = TagOf(hash);
    for (std::uint32_t i = tag & group.mask;; i = (i + 1) & group.mask) {
      Slot& slot = group.slots[i];
      if (slot.tag == tag && slot.key == key) return &slot.value;
      if (slot.tag == 0) return nullptr;
    }
  }

  // The value of the key and whether it was inserted now, as V{}.
  template <class KeyLike>
  std::pair<V*, bool> FindOrInsert(const KeyLike& key, std::uint64_t hash) {
    Group& group = groups_[GroupOf(hash)];
    const std::uint32_t tag = TagOf(hash);
    if (group.slots != nullptr) [[likely]] {
      for (std::uint32_t i = tag & group.mask;; i = (i + 1) & group.mask) {
        Slot& slot = group.slots[i];
        if (slot.tag == tag && slot.key == key) [[likely]] {
          return {&slot.value, false};
        }
        if (slot.tag == 0) break;
      }
    }
    return {Insert(group, tag, K(key)), true};
  }

  bool Erase(const K& key, std::uint64_t hash) {
    Group& group = groups_[GroupOf(hash)];
    if (group.slots == nullptr) return false;
    const std::uint32_t tag = TagOf(hash);
    for (std::uint32_t i = tag & group.mask;; i = (i + 1) & group.mask) {
      Slot& slot = group.slots[i];
      if (slot.tag == 0) return false;
      if (slot.tag == tag && slot.key == key) {
        EraseAt(group, i);
        return true;
      }
    }
  }

  // Calls f(const K&, V&) for each entry from the cursor on while it returns true; returns whether
  // it reached the end. The entry for which f returned false counts as visited. Order: by key
  // group, then by slot.
  template <class F>
  bool ForEachFrom(Cursor& cursor, F&& f) {
    for (; cursor.group < groups_.size(); ++cursor.group, cursor.slot = 0) {
      Group& group = groups_[cursor.group];
      if (group.slots == nullptr) continue;
      while (cursor.slot <= group.mask) {
        Slot& slot = group.slots[cursor.slot++];
        if (slot.tag != 0 && !f(std::as_const(slot.key), slot.value)) return false;
      }
    }
    return true;
  }
  template <class F>
  void ForEach(F&& f) {
    Cursor cursor;
    ForEachFrom(cursor, [&](const K& key, V& value) {
      f(key, value);
      return true;
    });
  }
  // Calls f(const K&, hash's tag as a hint, V&) ...: as ForEach, for one key group given by its
  // absolute number.
  template <class F>
  void ForEachInKeyGroup(std::uint32_t key_group, F&& f) const {
    if (key_group < first_ || key_group - first_ >= groups_.size()) return;
    const Group& group = groups_[key_group - first_];
    if (group.slots == nullptr) return;
    for (std::uint32_t i = 0; i <= group.mask; ++i) {
      if (group.slots[i].tag != 0)
        f(std::as_const(group.slots[i].key), std::as_const(group.slots[i].value));
    }
  }
  void DropKeyGroup(std::uint32_t key_group) {
    if (key_group < first_ || key_group - first_ >= groups_.size()) return;
    Group& group = groups_[key_group - first_];
    size_ -= group.size;
    Release(group);
    group = Group{};
  }

  // Removes all entries and keeps the memory, for a table that is about to be filled to about the
  // same size.
  void Clear() {
    for (Group& group : groups_) {
      if (group.size == 0) continue;
      if constexpr (std::is_trivially_destructible_v<Slot>) {
        for (std::uint32_t i = 0; i <= group.mask; ++i) group.slots[i].tag = 0;
      } else {
        for (std::uint32_t i = 0; i <= group.mask; ++i) {
          if (group.slots[i].tag != 0) Destroy(group.slots[i]);
        }
      }
      group.size = 0;
    }
    size_ = 0;
  }

  // Bytes of the slots and the directory, without what keys and values point to.
  std::size_t memory_bytes() const {
    std::size_t total = groups_.size() * sizeof(Group);
    for (const Group& group : groups_) {
      if (group.slots != nullptr) total += (std::size_t{group.mask} + 1) * sizeof(Slot);
    }
    return total;
  }

  bool Owns(std::uint64_t hash) const {
    const std::uint32_t key_group = KeyGroupOf(hash, max_parallelism_);
    return key_group >= first_ && key_group - first_ < groups_.size();
  }

 private:
  struct Group {
    Slot* slots = nullptr;
    std::uint32_t mask = 0;
    std::uint32_t size = 0;
  };
  static constexpr std::uint32_t kMinSlots = 8;

  static std::uint32_t TagOf(std::uint64_t hash) {
    const std::uint32_t low = static_cast<std::uint32_t>(hash);
    return low != 0 ? low : 1;
  }
  std::size_t GroupOf(std::uint64_t hash) const {
    const std::uint32_t index = KeyGroupOf(hash, max_parallelism_) - first_;
    // A key outside the owner's range would be lost at the next rescale: never go on.
    if (index >= groups_.size()) [[unlikely]] {
      OutOfRange();
    }
    return index;
  }
  [[noreturn]] static void OutOfRange() { __builtin_trap(); }

  static Slot* AllocateSlots(std::uint32_t count) {
    Slot* slots =
        static_cast<Slot*>(::operator new(count * sizeof(Slot), std::align_val_t(alignof(Slot))));
    for (std::uint32_t i = 0; i < count; ++i) slots[i].tag = 0;
    return slots;
  }
  static void FreeSlots(Slot* slots) {
    ::operator delete(static_cast<void*>(slots), std::align_val_t(alignof(Slot)));
  }
  static void Destroy(Slot& slot) {
    slot.key.~K();
    slot.value.~V();
    slot.tag = 0;
  }
  static void Release(Group& group) {
    if (group.slots == nullptr) return;
    if constexpr (!std::is_trivially_destructible_v<K> || !std::is_trivially_destructible_v<V>) {
      for (std::uint32_t i = 0; i <= group.mask; ++i) {
        if (group.slots[i].tag != 0) Destroy(group.slots[i]);
      }
    }
    FreeSlots(group.slots);
  }

  [[gnu::noinline]] V* Insert(Group& group, std::uint32_t tag, K key) {
    // At most 3/4 full.
    if (group.slots == nullptr || (group.size + 1) * 4ULL > (group.mask + 1ULL) * 3) Grow(group);
    std::uint32_t i = tag & group.mask;
    while (group.slots[i].tag != 0) i = (i + 1) & group.mask;
    Slot& slot = group.slots[i];
    ::new (static_cast<void*>(&slot.key)) K(std::move(key));
    ::new (static_cast<void*>(&slot.value)) V{};
    slot.tag = tag;
    ++group.size;
    ++size_;
    return &slot.value;
  }

  void Grow(Group& group) {
    const std::uint32_t count = group.slots == nullptr ? kMinSlots : (group.mask + 1) * 2;
    Slot* slots = AllocateSlots(count);
    const std::uint32_t mask = count - 1;
    if (group.slots != nullptr) {
      for (std::uint32_t j = 0; j <= group.mask; ++j) {
        Slot& from = group.slots[j];
        if (from.tag == 0) continue;
        std::uint32_t i = from.tag & mask;
        while (slots[i].tag != 0) i = (i + 1) & mask;
        ::new (static_cast<void*>(&slots[i].key)) K(std::move(from.key));
        ::new (static_cast<void*>(&slots[i].value)) V(std::move(from.value));
        slots[i].tag = from.tag;
        Destroy(from);
      }
      FreeSlots(group.slots);
    }
    group.slots = slots;
    group.mask = mask;
  }

  void EraseAt(Group& group, std::uint32_t hole) {
    Destroy(group.slots[hole]);
    --group.size;
    --size_;
    // Moves later entries of the run back, so that no probe meets a gap.
    for (std::uint32_t i = (hole + 1) & group.mask; group.slots[i].tag != 0;
         i = (i + 1) & group.mask) {
      const std::uint32_t home = group.slots[i].tag & group.mask;
      if (((i - home) & group.mask) < ((i - hole) & group.mask)) continue;
      Slot& from = group.slots[i];
      Slot& to = group.slots[hole];
      ::new (static_cast<void*>(&to.key)) K(std::move(from.key));
      ::new (static_cast<void*>(&to.value)) V(std::move(from.value));
      to.tag = from.tag;
      Destroy(from);
      hole = i;
    }
  }

  std::uint32_t first_;
  std::uint32_t max_parallelism_;
  std::size_t size_ = 0;
  std::vector<Group> groups_;
};

}  // namespace weir::internal
