#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "weir/filled_slots.h"
#include "weir/frozen_table.h"
#include "weir/hash.h"
#include "weir/keyed_slot.h"
#include "weir/operator.h"
#include "weir/slot_array.h"
#include "weir/table_changes.h"

namespace weir::internal {

// A place in an iteration over a table that can stop and go on later, as long as the table is not
// changed in between.
struct TableCursor {
  std::uint32_t group = 0;
  std::uint32_t slot = 0;
};

// Entries of a table that are not in memory yet, since nobody has needed them. What of them is
// inserted meanwhile is newer.
class AbsentEntries {
 public:
  virtual ~AbsentEntries() = default;
  // Inserts those among which one of a key with this hash would be.
  virtual void Need(std::uint64_t hash) = 0;
  // A hint: those of keys with these hashes are about to be needed.
  virtual void WillNeed(std::span<const std::uint64_t> hashes) = 0;
  virtual void NeedAll() = 0;
  // Those of the key group are not wanted any more.
  virtual void Drop(std::uint32_t key_group) = 0;
};

// A flat hash table from keys to values, one open-addressing sub-table for each key group, so that
// a snapshot or a rescale is a scan of one range and growth happens a sub-table at a time.
//
// `hash` is always KeyHash(key), computed once by the caller: its upper half chooses the key group,
// its lower half the slot. Pointers to values stay valid until the next insert or erase, and while
// entries are absent until the next call. Not thread safe, but for what was frozen.
template <class K, class V>
class KeyedTable {
 public:
  using Slot = KeyedSlot<K, V>;

 private:
  // A sub-table without entries has an empty bucket, that of the table (`nothing_`).
  struct Group {
    Slot* slots = nullptr;
    std::uint32_t mask = 0;
    std::uint32_t size = 0;
  };

 public:
  using Cursor = TableCursor;

  KeyedTable(KeyGroupRange range, std::uint32_t max_parallelism)
      : first_(range.first), max_parallelism_(max_parallelism), groups_(range.size()) {
    for (std::uint32_t i = 0; i < kBucket; ++i) Nothing()[i].MarkEmpty();
    for (Group& group : groups_) group.slots = Nothing();
  }
  KeyedTable(const KeyedTable&) = delete;
  KeyedTable& operator=(const KeyedTable&) = delete;
  ~KeyedTable() {
    for (std::size_t i = 0; i < groups_.size(); ++i) Release(i);
  }

  std::size_t size() const { return size_; }

  // Brings the place where the key would be from memory.
  void Prefetch(std::uint64_t hash) const {
    PrefetchAt(HomeIn(groups_[GroupOf(hash)], SlotTag<Slot>(hash)));
  }
  // Likewise all lines of the slot, of which more than the key will be read.
  void PrefetchWhole(std::uint64_t hash) const {
    const auto* const home =
        reinterpret_cast<const char*>(HomeIn(groups_[GroupOf(hash)], SlotTag<Slot>(hash)));
    constexpr std::size_t kMost = 256;
    constexpr std::size_t kLast = std::min(sizeof(Slot), kMost) - 1;
    for (std::size_t at = 0; at < kLast; at += 64) __builtin_prefetch(home + at, 1);
    __builtin_prefetch(home + kLast, 1);
  }
  // Likewise from its home on (Locator). Of a slot that fills a cache line the next line comes too:
  // the rest of it, or the next slot, since where the table is nearly full every other key is not
  // in its first place.
  [[gnu::always_inline]] static void PrefetchAt(const Slot* home) {
    __builtin_prefetch(home, 1);
    if constexpr (kBucketSlots<Slot> == 1)
      __builtin_prefetch(
          reinterpret_cast<const char*>(home) + std::min<std::size_t>(sizeof(Slot), 64), 1);
  }

  // For a loop over many records that finds first where a key's entry is (Home), so that it can be
  // brought from memory, and looks there later (FindAt). Does not read the table's own members
  // again, which the compiler must otherwise take for changed after each store to a value. Valid as
  // long as the table; homes as long as moves() stays the same. kWhole: the table owns all key
  // groups and their number is a power of two (IsWhole), so that finding one is a mask.
  template <bool kWhole>
  class Locator {
   public:
    explicit Locator(const KeyedTable& table)
        : groups_(table.groups_.data()),
          count_(static_cast<std::uint32_t>(table.groups_.size())),
          first_(table.first_),
          max_parallelism_(table.max_parallelism_) {}
    [[gnu::always_inline]] Slot* Home(std::uint64_t hash) const {
      if constexpr (kWhole) {
        return HomeIn(groups_[static_cast<std::uint32_t>(hash >> 32) & (count_ - 1)],
                      SlotTag<Slot>(hash));
      } else {
        const std::uint32_t index = KeyGroupOf(hash, max_parallelism_) - first_;
        if (index >= count_) [[unlikely]] {
          __builtin_trap();
        }
        return HomeIn(groups_[index], SlotTag<Slot>(hash));
      }
    }
    // The value of the key if it is in the bucket of its home; null does not say that the table has
    // none.
    [[gnu::always_inline]] static V* FindAt(Slot* home, const K& key, std::uint64_t hash) {
      Slot* const slot = LookInBucket(home, key, SlotTag<Slot>(hash));
      return slot->Holds(SlotTag<Slot>(hash), key) && !slot->Empty() ? &slot->value : nullptr;
    }

   private:
    const Group* groups_;
    std::uint32_t count_;
    std::uint32_t first_;
    std::uint32_t max_parallelism_;
  };
  // How often slots have moved in memory.
  std::uint64_t moves() const { return moves_; }
  bool IsWhole() const {
    return groups_.size() == max_parallelism_ && (max_parallelism_ & (max_parallelism_ - 1)) == 0;
  }

  V* Find(const K& key, std::uint64_t hash) {
    if constexpr (Slot::kHasReservedKey) {
      if (key == Slot::kReservedKey) [[unlikely]] {
        if (reserved_ == nullptr && absent_ != nullptr) absent_->Need(hash);
        return reserved_.get();
      }
    }
    Group& group = groups_[GroupOf(hash)];
    Slot* slot = Probe(group, key, SlotTag<Slot>(hash));
    if (slot->Empty()) {
      if (absent_ == nullptr) [[likely]] {
        return nullptr;
      }
      absent_->Need(hash);
      slot = Probe(group, key, SlotTag<Slot>(hash));
      if (slot->Empty()) return nullptr;
    }
    if (shared_) [[unlikely]] {
      Preserve(group, slot);
    }
    return &slot->value;
  }

  // The value of the key and whether it was inserted now, as V{}.
  [[gnu::always_inline]] std::pair<V*, bool> FindOrInsert(const K& key, std::uint64_t hash) {
    Group& group = groups_[GroupOf(hash)];
    const std::uint32_t tag = SlotTag<Slot>(hash);
    Slot* const slot = Probe(group, key, tag);
    if (!slot->Empty()) [[likely]] {
      if (shared_) [[unlikely]] {
        Preserve(group, slot);
      }
      return {&slot->value, false};
    }
    if (absent_ != nullptr) [[unlikely]] {
      return FindOrInsertAbsent(key, hash);
    }
    const std::size_t before = size_;
    V* const value = Insert(group, tag, key, slot);
    return {value, size_ != before};
  }

  // Makes room for `entries` in a key group, as far as it has less: they are about to be inserted.
  void Reserve(std::uint32_t key_group, std::size_t entries) {
    Group& group = groups_[key_group - first_];
    if (entries == 0 || entries > (std::size_t{1} << 30)) return;
    const std::uint32_t count = SlotsFor<Slot>(entries);
    if (IsNothing(group) || count > group.mask + 1) GrowTo(group, count);
  }

  // Whether filling a key group with `entries` by itself, for TakeUp, is worth it: it has few yet,
  // and nobody looks on.
  bool IsToBeFilled(std::uint32_t key_group, std::size_t entries) const {
    const std::size_t newer = EntriesIn(key_group);
    return entries > 0 && entries + newer <= (std::size_t{1} << 30) && newer <= entries / 2 &&
           changes_ == nullptr && !shared_;
  }
  std::size_t EntriesIn(std::uint32_t key_group) const { return groups_[key_group - first_].size; }
  // Adds entries to those of their key group, of which what the table has is newer.
  void TakeUp(FilledSlots<K, V>&& filled) {
    Group& group = groups_[filled.key_group() - first_];
    struct Former {
      SlotArray<Slot> array;
      ~Former() {
        if (array.slots == nullptr) return;
        DestroySlots(array);
        FreeSlots(array);
      }
    } former;
    if (!IsNothing(group)) former.array = {group.slots, group.mask + 1};
    const auto [array, size] = filled.Release();
    slots_ = slots_ + array.count - former.array.count;
    size_ = size_ + size - group.size;
    ++moves_;
    group = Group{array.slots, array.count - 1, size};
    for (std::uint32_t i = 0; i < former.array.count; ++i) {
      Slot& from = former.array.slots[i];
      if (from.Empty()) continue;
      const std::uint32_t tag = from.Tag();
      Slot* const slot = Probe(group, from.key, tag);
      V& to = slot->Empty() ? *Insert(group, tag, from.key, slot) : slot->value;
      to = std::move(from.value);
    }
  }

  // Entries that the table also has from now on; null: there are none any more.
  void SetAbsent(AbsentEntries* absent) { absent_ = absent; }
  bool HasAbsent() const { return absent_ != nullptr; }
  // Ahead of a batch of records that look up keys with these hashes: what is absent may come from
  // where it is all at once, in place of one after the other.
  void WillFind(std::span<const std::uint64_t> hashes) {
    if (absent_ != nullptr) [[unlikely]] {
      absent_->WillNeed(hashes);
    }
  }
  // While it lives, the table is as if it had none.
  class WithoutAbsent {
   public:
    explicit WithoutAbsent(KeyedTable& table)
        : table_(table), absent_(std::exchange(table.absent_, nullptr)) {}
    WithoutAbsent(const WithoutAbsent&) = delete;
    WithoutAbsent& operator=(const WithoutAbsent&) = delete;
    ~WithoutAbsent() { table_.absent_ = absent_; }

   private:
    KeyedTable& table_;
    AbsentEntries* const absent_;
  };

  bool Erase(const K& key, std::uint64_t hash) {
    // One that is there may be newer than an absent one of its key.
    if (absent_ != nullptr) [[unlikely]] {
      absent_->Need(hash);
    }
    Group& group = groups_[GroupOf(hash)];
    if constexpr (Slot::kHasReservedKey) {
      if (key == Slot::kReservedKey) [[unlikely]] {
        if (reserved_ == nullptr) return false;
        EraseReserved();
        return true;
      }
    }
    Slot* const slot = Probe(group, key, SlotTag<Slot>(hash));
    if (slot->Empty()) return false;
    EraseAt(group, static_cast<std::uint32_t>(slot - group.slots));
    return true;
  }

  // Looks at `count` slots from the cursor on, from the start again after the end, and erases the
  // entries for which dead(V&) is true. The table may be changed before the next call goes on at
  // the cursor. Nothing while entries are absent.
  template <class F>
  void Sweep(Cursor& cursor, std::uint32_t count, F&& dead) {
    if (absent_ != nullptr) return;
    for (; count > 0 && size_ > 0; --count) {
      if (cursor.group >= groups_.size()) cursor = {};
      Group& group = groups_[cursor.group];
      if constexpr (Slot::kHasReservedKey) {
        if (cursor.slot == 0 && reserved_ != nullptr && reserved_group_ == cursor.group &&
            dead(*reserved_)) [[unlikely]] {
          EraseReserved();
        }
      }
      if (IsNothing(group) || cursor.slot > group.mask) {
        ++cursor.group;
        cursor.slot = 0;
      } else if (Slot& slot = group.slots[cursor.slot];
                 !slot.Empty() && (Preserve(group, &slot), dead(slot.value))) {
        EraseAt(group, cursor.slot);  // another entry may stand here now
      } else {
        ++cursor.slot;
      }
    }
  }

  // How many key groups SweepPart can be asked of.
  std::size_t groups() const { return groups_.size(); }
  // Likewise looks at one of `parts` equal parts of the slots of the index-th key group. What
  // erases as much of each of them keeps all from growing, which a sweep from end to end does not:
  // what it came to last is the fullest. Nothing while entries are absent.
  template <class F>
  void SweepPart(std::size_t index, std::uint32_t part, std::uint32_t parts, F&& dead) {
    if (absent_ != nullptr) return;
    Group& group = groups_[index];
    if constexpr (Slot::kHasReservedKey) {
      if (part == 0 && reserved_ != nullptr && reserved_group_ == index && dead(*reserved_))
          [[unlikely]] {
        EraseReserved();
      }
    }
    if (IsNothing(group)) return;
    const std::uint64_t slots = std::uint64_t{group.mask} + 1;
    const auto end = static_cast<std::uint32_t>(slots * (part + 1) / parts);
    for (auto i = static_cast<std::uint32_t>(slots * part / parts); i < end;) {
      Slot& slot = group.slots[i];
      if (!slot.Empty() && (Preserve(group, &slot), dead(slot.value))) {
        EraseAt(group, i);  // another entry may stand here now
      } else {
        ++i;
      }
    }
  }

  // Calls f(const K&, const V&) for each entry from the cursor on while it returns true; returns
  // whether it reached the end. The entry for which f returned false counts as visited. Order: by
  // key group, then by slot.
  template <class F>
  bool ForEachFrom(Cursor& cursor, F&& f) {
    if (absent_ != nullptr) absent_->NeedAll();
    for (; cursor.group < groups_.size(); ++cursor.group, cursor.slot = 0) {
      Group& group = groups_[cursor.group];
      if constexpr (Slot::kHasReservedKey) {
        if (cursor.slot == 0 && reserved_ != nullptr && reserved_group_ == cursor.group)
            [[unlikely]] {
          cursor.slot = 1;
          if (!f(Slot::kReservedKey, std::as_const(*reserved_))) return false;
        }
      }
      if (cursor.slot == 0) cursor.slot = 1;
      if (IsNothing(group)) continue;
      // Slot i is visited when the cursor says i + 1.
      while (cursor.slot <= group.mask + 1) {
        Slot& slot = group.slots[cursor.slot - 1];
        ++cursor.slot;
        if (!slot.Empty() && !f(std::as_const(slot.key), std::as_const(slot.value))) return false;
      }
    }
    return true;
  }
  // Calls f(const K&, const V&) for entries that are here while it returns true, and looks at
  // `slots` slots at most.
  template <class F>
  void Peek(std::size_t slots, F&& f) const {
    if (reserved_ != nullptr) {
      if constexpr (Slot::kHasReservedKey) {
        if (!f(Slot::kReservedKey, std::as_const(*reserved_))) return;
      }
    }
    for (const Group& group : groups_) {
      if (IsNothing(group)) continue;
      for (std::uint32_t i = 0; i <= group.mask; ++i, --slots) {
        if (slots == 0) return;
        const Slot& slot = group.slots[i];
        if (!slot.Empty() && !f(slot.key, slot.value)) return;
      }
    }
  }
  template <class F>
  void ForEach(F&& f) {
    Cursor cursor;
    ForEachFrom(cursor, [&](const K& key, const V& value) {
      f(key, value);
      return true;
    });
  }
  // Calls f(const K&, const V&, hash) for each entry, for what looks the keys up in another table.
  template <class F>
  void ForEachHashed(F&& f) {
    ForEach([&](const K& key, const V& value) { f(key, value, KeyHash(key)); });
  }

  // What the table holds now, to be written by another thread (TableSnapshot) while this one goes
  // on: copy on write. `layout` writes a value; see FrozenTableOf. Takes time by the KiB, not by
  // the entry.
  template <class Layout>
  TableSnapshot<K, V> Freeze(SnapshotUse use, const Layout& layout) {
    if (absent_ != nullptr) absent_->NeedAll();
    if (use == SnapshotUse::kBase) {
      if (changes_ == nullptr) changes_ = std::make_unique<TableChanges<K>>(groups_.size());
      changes_->Begin([this](std::size_t i) {
        return IsNothing(groups_[i]) ? std::size_t{0} : std::size_t{groups_[i].mask} + 1;
      });
    }
    return FreezeGroups(use, false, layout, [](std::size_t) { return GroupChanges(); });
  }
  // Likewise what has changed since the last one frozen for kBase (`since` 0), or since the
  // since-th call of this after that. See KeyedStateTable::TakeChanges.
  template <class Layout>
  TableSnapshot<K, V> FreezeChanges(std::uint8_t since, const Layout& layout) {
    TableSnapshot<K, V> snapshot = FreezeGroups(
        SnapshotUse::kLive, true, layout, [&](std::size_t i) { return changes_->Since(i, since); });
    if (!snapshot.reserved.empty() && !changes_->ReservedSince(reserved_group_, since))
      snapshot.reserved.clear();
    changes_->EndEpoch();
    return snapshot;
  }
  // A value that Find or FindOrInsert has returned was changed, or is about to be. Tables that
  // changes are asked of must be told.
  void MarkChanged(const V* value, std::uint64_t hash) {
    if (changes_ != nullptr) Mark(value, hash);
  }
  // Whether entries are looked up one by one, because somebody may be writing what they were, or
  // they may be absent. For loops that do not go through Find and FindOrInsert.
  bool IsShared() {
    if (shared_) [[unlikely]] {
      Forget();
    }
    return shared_ || absent_ != nullptr;
  }

  void DropKeyGroup(std::uint32_t key_group) {
    if (key_group < first_ || key_group - first_ >= groups_.size()) return;
    if (absent_ != nullptr) absent_->Drop(key_group);
    Group& group = groups_[key_group - first_];
    size_ -= group.size;
    if (!IsNothing(group)) slots_ -= std::size_t{group.mask} + 1;
    Release(key_group - first_);
    group = Group{Nothing(), 0, 0};
    if (reserved_ != nullptr && reserved_group_ == key_group - first_) {
      reserved_.reset();
      --size_;
    }
    if (changes_ != nullptr) changes_->Drop(key_group - first_, true);
  }

  // Removes all entries and keeps the memory, for a table that is about to be filled to about the
  // same size.
  void Clear() {
    for (std::uint32_t i = 0; absent_ != nullptr && i < groups_.size(); ++i)
      absent_->Drop(first_ + i);
    for (std::size_t index = 0; index < groups_.size(); ++index) {
      Group& group = groups_[index];
      if (changes_ != nullptr) changes_->Drop(index, false);
      if (group.size == 0) continue;
      if (shared_ && TakenOver(index)) {
        slots_ -= std::size_t{group.mask} + 1;
        group = Group{Nothing(), 0, 0};
        if (changes_ != nullptr) changes_->Drop(index, true);
        continue;
      }
      for (std::uint32_t i = 0; i <= group.mask; ++i) {
        if constexpr (kTrivial) {
          group.slots[i].MarkEmpty();
        } else {
          if (!group.slots[i].Empty()) Destroy(group.slots[i]);
        }
      }
      group.size = 0;
    }
    reserved_.reset();
    size_ = 0;
  }

  // Bytes of the slots and the directory, without what keys and values point to.
  std::size_t memory_bytes() const {
    return groups_.size() * sizeof(Group) + slots_ * sizeof(Slot) +
           (changes_ != nullptr ? changes_->memory_bytes(slots_) : 0);
  }

  bool Owns(std::uint64_t hash) const {
    const std::uint32_t key_group = KeyGroupOf(hash, max_parallelism_);
    return key_group >= first_ && key_group - first_ < groups_.size();
  }

 private:
  static constexpr std::uint32_t kBucket = kBucketSlots<Slot>;
  static constexpr bool kTrivial =
      std::is_trivially_destructible_v<K> && std::is_trivially_destructible_v<V>;
  // Slots are copied when the sub-table grows.
  static constexpr bool kCopies =
      std::is_trivially_copyable_v<K> && std::is_trivially_copyable_v<V>;

  std::size_t GroupOf(std::uint64_t hash) const {
    const std::uint32_t index = KeyGroupOf(hash, max_parallelism_) - first_;
    // A key outside the owner's range would be lost at the next rescale: never go on.
    if (index >= groups_.size()) [[unlikely]] {
      __builtin_trap();
    }
    return index;
  }

  [[gnu::noinline]] void Mark(const V* value, std::uint64_t hash) {
    const std::size_t index = GroupOf(hash);
    if (value == reserved_.get()) [[unlikely]] {
      return changes_->MarkReserved();
    }
    // Division by a constant.
    const auto offset = static_cast<std::size_t>(
        reinterpret_cast<const char*>(value) - reinterpret_cast<const char*>(groups_[index].slots));
    changes_->Mark(index, offset / sizeof(Slot));
  }

  static void Destroy(Slot& slot) {
    slot.key.~K();
    slot.value.~V();
    slot.MarkEmpty();
  }
  Slot* Nothing() { return reinterpret_cast<Slot*>(nothing_); }
  bool IsNothing(const Group& group) const {
    return static_cast<const void*>(group.slots) == static_cast<const void*>(nothing_);
  }
  void Release(std::size_t index) {
    const Group& group = groups_[index];
    if (IsNothing(group) || (shared_ && TakenOver(index))) return;
    const SlotArray<Slot> array{group.slots, group.mask + 1};
    DestroySlots(array);
    FreeSlots(array);
  }

  std::size_t IndexOf(const Group& group) const {
    return static_cast<std::size_t>(&group - groups_.data());
  }

  // --- What was frozen, and is still being written.

  template <class Layout, class ChangesOf>
  TableSnapshot<K, V> FreezeGroups(SnapshotUse use, bool changes, const Layout& layout,
                                   ChangesOf&& changes_of) {
    Forget();
    std::vector<FrozenGroup<Slot>> groups(groups_.size());
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      if (!IsNothing(groups_[i])) {
        groups[i].array = {groups_[i].slots, groups_[i].mask + 1};
        groups[i].entries = groups_[i].size;
      }
      groups[i].changes = changes_of(i);
    }
    auto frozen =
        std::make_shared<FrozenTableOf<K, V, Layout>>(std::move(groups), use, changes, layout);
    TableSnapshot<K, V> snapshot{frozen, first_, 0, {}};
    if constexpr (Slot::kHasReservedKey) {
      if (reserved_ != nullptr && layout.Writes(*reserved_)) {
        EncodeValue(Slot::kReservedKey, snapshot.reserved);
        layout.Encode(*reserved_, snapshot.reserved);
        snapshot.reserved_group = reserved_group_;
      }
    }
    frozen_.push_back(std::move(frozen));
    shared_ = true;
    return snapshot;
  }

  void Preserve(const Group& group, const Slot* slot) {
    if (!shared_) return;
    const std::size_t index = IndexOf(group);
    for (const auto& frozen : frozen_) {
      frozen->Preserve(index, group.slots, static_cast<std::uint32_t>(slot - group.slots));
    }
  }
  // Whether the slots are somebody else's from now on, unchanged.
  bool TakenOver(std::size_t index) {
    // One of them at most can own the slots.
    for (std::size_t i = 0; i + 1 < frozen_.size(); ++i)
      frozen_[i]->PreserveGroup(index, groups_[index].slots);
    return frozen_.back()->TakeOver(index, groups_[index].slots);
  }
  // Lets go of what nobody writes any more.
  void Forget() {
    std::erase_if(frozen_, [](const auto& frozen) { return frozen.use_count() == 1; });
    shared_ = !frozen_.empty();
  }

  [[gnu::always_inline]] static Slot* HomeIn(const Group& group, std::uint32_t tag) {
    return group.slots + HomeIndex<Slot>(tag, group.mask);
  }
  // The slot of the bucket that holds the key, if one does.
  [[gnu::always_inline]] static Slot* LookInBucket(Slot* bucket, const K& key, std::uint32_t tag) {
    std::size_t at = 0;
    for (std::size_t i = 1; i < kBucket; ++i)
      at |= static_cast<std::size_t>(bucket[i].Holds(tag, key)) * i;
    return bucket + at;
  }
  void EraseReserved() {
    reserved_.reset();
    --size_;
    if (changes_ != nullptr)
      changes_->NoteErased(reserved_group_, Slot::kReservedKey, groups_[reserved_group_].size);
  }

  // The slot that holds the key, or the empty one where it would go.
  [[gnu::always_inline]] static Slot* Probe(const Group& group, const K& key, std::uint32_t tag) {
    Slot* const likely = LookInBucket(HomeIn(group, tag), key, tag);
    if (likely->Holds(tag, key)) [[likely]] {
      return likely;
    }
    Slot* const slots = group.slots;
    const std::uint32_t mask = group.mask;
    std::uint32_t i = HomeIndex<Slot>(tag, mask);
    while (!slots[i].Holds(tag, key) && !slots[i].Empty()) i = (i + 1) & mask;
    return &slots[i];
  }

  [[gnu::noinline]] std::pair<V*, bool> FindOrInsertAbsent(const K& key, std::uint64_t hash) {
    absent_->Need(hash);
    const WithoutAbsent all_there(*this);
    V* const found = Find(key, hash);
    if (found != nullptr) return {found, false};
    Group& group = groups_[GroupOf(hash)];
    return {Insert(group, SlotTag<Slot>(hash), key, Probe(group, key, SlotTag<Slot>(hash))), true};
  }

  // Of a key that the sub-table does not hold, in the slot where Probe has ended if it need not
  // grow.
  [[gnu::noinline]] V* Insert(Group& group, std::uint32_t tag, const K& key, Slot* slot) {
    if constexpr (Slot::kHasReservedKey) {
      // Every empty slot looks as if it held this key.
      if (key == Slot::kReservedKey) {
        if (reserved_ == nullptr) {
          reserved_ = std::make_unique<V>();
          reserved_group_ = static_cast<std::uint32_t>(IndexOf(group));
          ++size_;
          if (changes_ != nullptr) changes_->MarkReserved();
        }
        return reserved_.get();
      }
    }
    if (IsNothing(group)) {
      GrowTo(group, kMinSlots);
      slot = &FirstEmpty(group.slots, group.mask, tag);
    } else if (group.size + 1 > MostEntries<Slot>(group.mask + 1)) {
      GrowTo(group, (group.mask + 1) * 2);
      slot = &FirstEmpty(group.slots, group.mask, tag);
    }
    Preserve(group, slot);
    ::new (static_cast<void*>(&slot->key)) K(key);
    ::new (static_cast<void*>(&slot->value)) V{};
    slot->MarkUsed(tag);
    ++group.size;
    ++size_;
    if (changes_ != nullptr)
      changes_->Mark(IndexOf(group), static_cast<std::size_t>(slot - group.slots));
    return &slot->value;
  }

  static Slot& FirstEmpty(Slot* slots, std::uint32_t mask, std::uint32_t tag) {
    std::uint32_t i = HomeIndex<Slot>(tag, mask);
    while (!slots[i].Empty()) i = (i + 1) & mask;
    return slots[i];
  }

  static void MoveTo(Slot& to, Slot& from) {
    const std::uint32_t tag = from.Tag();
    ::new (static_cast<void*>(&to.key)) K(std::move(from.key));
    ::new (static_cast<void*>(&to.value)) V(std::move(from.value));
    to.MarkUsed(tag);
    Destroy(from);
  }

  void GrowTo(Group& group, std::uint32_t count) {
    const bool first = IsNothing(group);
    Slot* const slots = AllocateSlots<Slot>(count).slots;
    std::shared_ptr<std::uint8_t[]> marks;
    if (changes_ != nullptr) marks = changes_->Resize(IndexOf(group), count);
    if (!first) {
      const bool keep = shared_ && LeavesSlots(group);
      for (std::uint32_t j = 0; j <= group.mask; ++j) {
        Slot& from = group.slots[j];
        if (from.Empty()) continue;
        Slot& to = FirstEmpty(slots, count - 1, from.Tag());
        if (marks != nullptr)
          changes_->Carry(IndexOf(group), static_cast<std::size_t>(&to - slots), marks[j]);
        if constexpr (kCopies) {
          ::new (static_cast<void*>(&to)) Slot(from);
        } else {
          MoveTo(to, from);
        }
      }
      if (!keep) FreeSlots(SlotArray<Slot>{group.slots, group.mask + 1});
    }
    ++moves_;
    slots_ += first ? count : count - (group.mask + 1);
    group.slots = slots;
    group.mask = count - 1;
  }

  // Whether the slots of a sub-table that grows must stay as they are.
  bool LeavesSlots(const Group& group) {
    const std::size_t index = IndexOf(group);
    if constexpr (kCopies) {
      return TakenOver(index);
    } else {
      for (const auto& frozen : frozen_) frozen->PreserveGroup(index, group.slots);
      return false;
    }
  }

  void EraseAt(Group& group, std::uint32_t hole) {
    Preserve(group, &group.slots[hole]);
    if (changes_ != nullptr)
      changes_->NoteErased(IndexOf(group), group.slots[hole].key, group.size);
    Destroy(group.slots[hole]);
    --group.size;
    --size_;
    // Moves later entries of the run back, so that no probe meets a gap.
    for (std::uint32_t i = (hole + 1) & group.mask; !group.slots[i].Empty();
         i = (i + 1) & group.mask) {
      const std::uint32_t home = HomeIndex<Slot>(group.slots[i].Tag(), group.mask);
      if (((i - home) & group.mask) < ((i - hole) & group.mask)) continue;
      Preserve(group, &group.slots[i]);
      if (changes_ != nullptr) changes_->Move(IndexOf(group), i, hole);
      MoveTo(group.slots[hole], group.slots[i]);
      hole = i;
    }
  }

  std::uint32_t first_;
  std::uint32_t max_parallelism_;
  std::size_t size_ = 0;
  // Of all sub-tables, used or not.
  std::size_t slots_ = 0;
  std::uint64_t moves_ = 0;
  // Whether `frozen_` has any.
  bool shared_ = false;
  alignas(Slot) unsigned char nothing_[sizeof(Slot) * kBucket];
  std::vector<Group> groups_;
  // The entry of the key that a slot cannot hold.
  std::unique_ptr<V> reserved_;
  std::uint32_t reserved_group_ = 0;
  std::vector<std::shared_ptr<FrozenTable<K, V>>> frozen_;
  // Null: nobody asks for changes.
  std::unique_ptr<TableChanges<K>> changes_;
  // Null: all entries are here.
  AbsentEntries* absent_ = nullptr;
};

}  // namespace weir::internal
