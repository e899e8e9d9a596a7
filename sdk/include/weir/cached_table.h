#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "weir/binary_codec.h"
#include "weir/changes_by_key_group.h"
#include "weir/column.h"
#include "weir/hash.h"
#include "weir/operator.h"
#include "weir/state_changes.h"
#include "weir/state_store.h"
#include "weir/state_table.h"
#include "weir/stored_entries.h"
#include "weir/stored_snapshot.h"

namespace weir::internal {

// Where the keys of a batch's records are.
template <class K>
class BatchKeys {
 public:
  // Takes them anew. They are in the records, or kept here if the function makes them.
  template <class Records, class KeyFunction>
  void Of(const Records& records, const KeyFunction& key) {
    using Made = std::invoke_result_t<const KeyFunction&, decltype(records[0])>;
    pointers_.clear();
    if constexpr (std::is_lvalue_reference_v<Made> && std::is_same_v<std::decay_t<Made>, K>) {
      for (std::size_t i = 0; i < records.size(); ++i)
        pointers_.push_back(&std::invoke(key, records[i]));
    } else {
      made_.clear();
      for (std::size_t i = 0; i < records.size(); ++i)
        made_.emplace_back(std::invoke(key, records[i]));
      for (const K& made : made_) pointers_.push_back(&made);
    }
  }
  const K* const* data() const { return pointers_.data(); }

 private:
  std::vector<const K*> pointers_;
  Column<K> made_;
};

// Which part of a column a CachedTable is.
struct ColumnPart {
  // What follows the key group in its keys.
  std::string prefix = {};
  // Nothing is stored.
  bool empty = false;
};

// A table whose entries are in a StateColumn, with a write-back cache of decoded values in front,
// which is a KeyedTable. What is changed is written when the cache is full and by Flush, in the
// order of the keys and at once. Which entries leave the cache: those that are stored and were not
// looked up since the search last came by (the clock algorithm). As long as everything that there
// is is in the cache (`whole`), nothing is asked of the column. What is flushed stays in the cache
// until it is written, so that the task need not wait for that when it reads other entries.
//
// What changes again and again need not be stored for each checkpoint: it has a log of all that
// differs from what is stored (Save), as long as most of that is new since the log before, and
// there is room.
//
// `hash` is always KeyHash(key). Pointers stay valid until another key is looked up. Errors of the
// store are thrown as StateError. Owned by the task's thread.
template <class K, class V, class Layout>
class CachedTable {
 public:
  // Where what a cell has is besides; all but what is stored is dirty.
  enum class Saved : std::uint8_t { kStored, kLogged, kNowhere };
  // What is known of a key; `present` says whether there is an entry. What each look at it needs
  // is beside the key.
  struct Cell {
    // Of the encoded value when it was read or written last.
    std::uint32_t bytes = 0;
    bool present = false;
    Saved saved = Saved::kStored;
    bool used = false;
    // What was flushed last may not be stored yet, if the column is behind.
    bool put_off = false;
    V value{};
  };

  CachedTable(std::string name, std::shared_ptr<StateColumn> column, KeyGroupRange range,
              std::uint32_t max_parallelism, const Layout& layout, ColumnPart part = {})
      : name_(std::move(name)),
        max_parallelism_(max_parallelism),
        layout_(layout),
        column_(std::move(column)),
        range_(range),
        prefix_(std::move(part.prefix)),
        whole_(part.empty),
        written_(!part.empty),
        cells_(range, max_parallelism) {}

  Cell& Look(const K& key, std::uint64_t hash) {
    ++lookups_;
    if (Cell* const cell = cells_.Find(key, hash); cell != nullptr) [[likely]] {
      cell->used = true;
      return *cell;
    }
    return Fetch(key, hash);
  }
  // The cell's value is about to be changed.
  void Touch(Cell& cell, const K& key, std::uint64_t hash) {
    if (cell.saved == Saved::kNowhere) return;
    if (cell.saved == Saved::kStored) dirty_.push_back({hash, key});
    cell.saved = Saved::kNowhere;
    ++unsaved_;
  }
  void Prefetch(std::uint64_t hash) const { cells_.Prefetch(hash); }

  // To be read; null if there is none.
  V* Find(const K& key, std::uint64_t hash) {
    Cell& cell = Look(key, hash);
    return cell.present ? &cell.value : nullptr;
  }
  // To be written: the value and whether it was inserted now, as V{}.
  std::pair<V*, bool> FindOrInsert(const K& key, std::uint64_t hash) {
    Cell& cell = Look(key, hash);
    Touch(cell, key, hash);
    return {&cell.value, !std::exchange(cell.present, true)};
  }
  // Likewise, of a key of which it is not asked what is stored.
  V& Overwrite(const K& key, std::uint64_t hash) {
    MakeRoom();
    Cell& cell = *cells_.FindOrInsert(key, hash).first;
    Touch(cell, key, hash);
    cell.present = true;
    return cell.value;
  }
  bool Erase(const K& key, std::uint64_t hash) {
    Cell& cell = Look(key, hash);
    if (!cell.present) return false;
    Touch(cell, key, hash);
    cell.present = false;
    cell.value = V{};
    return true;
  }

  // Reads those of the keys that are not in the cache at once. For a batch whose records are about
  // to be looked up.
  void Load(const K* const* keys, const std::uint64_t* hashes, std::size_t n) {
    MakeRoom();
    for (std::size_t i = 0; i < n; ++i) cells_.Prefetch(hashes[i]);
    if (whole_) return;
    missing_.clear();
    arena_.clear();
    ends_.clear();
    for (std::size_t i = 0; i < n; ++i) {
      if (cells_.Find(*keys[i], hashes[i]) != nullptr) continue;
      missing_.push_back(i);
      AppendKey(*keys[i], hashes[i], arena_);
      ends_.push_back(arena_.size());
    }
    if (missing_.size() < 2) return;
    CatchUpFirst();
    views_.clear();
    for (std::size_t i = 0, begin = 0; i < ends_.size(); begin = ends_[i++])
      views_.push_back(std::string_view(arena_).substr(begin, ends_[i] - begin));
    ThrowIfError(column_->MultiGet(views_, values_), name_);
    for (std::size_t i = 0; i < missing_.size(); ++i) {
      const K& key = *keys[missing_[i]];
      const std::uint64_t hash = hashes[missing_[i]];
      if (cells_.Find(key, hash) == nullptr) Insert(key, hash, values_[i]);
    }
  }
  // Whether at least half of the `records` since the last call were looked up, so that Load is
  // worth its while.
  bool IsUsedBy(std::size_t records) { return 2 * std::exchange(lookups_, 0) >= records; }

  // Has what has changed stored, perhaps later.
  void Flush() {
    Expire();
    if (dirty_.empty()) return;
    written_ = true;
    ThrowIfError(column_->WriteLater(TakeDirtyToStore()), name_);
  }
  // Has a checkpoint of the store that is asked for now have what has changed.
  void Save() {
    Expire();
    if (unsaved_ == 0) return;
    // So all logs together are at most twice what has changed.
    const bool mostly_new = dirty_.size() <= 2 * unsaved_;
    if (mostly_new && prefix_.empty() && column_->TakesLog(dirty_.size() * EntryBytes())) {
      ThrowIfError(column_->LogLater(TakeDirtyToLog()), name_);
    } else {
      Flush();
    }
  }

  std::unique_ptr<KeyedStateSnapshot> TakeSnapshot() {
    Flush();
    absl::StatusOr<std::unique_ptr<StateView>> view = column_->View();
    ThrowIfError(view.status(), name_);
    return std::make_unique<StoredSnapshot<K, V, Layout>>(name_, *std::move(view), layout_);
  }

  // Of all that is stored.
  std::vector<K> Keys() {
    Flush();
    absl::StatusOr<std::unique_ptr<StateView>> view = column_->View();
    ThrowIfError(view.status(), name_);
    std::string none;
    AppendKeyGroup(0, none);
    std::vector<K> keys;
    bool damaged = false;
    // No key group has such bytes.
    ThrowIfError((*view)->Scan("", "\xff\xff",
                               [&](std::string_view key, std::string_view) {
                                 Decoder in(key.substr(std::min(none.size(), key.size())));
                                 damaged = !DecodeValue(in, keys.emplace_back());
                                 return !damaged;
                               }),
                 name_);
    if (damaged) throw StateError("state '" + name_ + "': the store has a malformed key");
    return keys;
  }

  // Calls f(const K&, const V&) for the first `most` entries that are stored while it returns true.
  template <class F>
  void Peek(std::size_t most, F&& f) {
    Flush();
    absl::StatusOr<std::unique_ptr<StateView>> view = column_->View();
    ThrowIfError(view.status(), name_);
    std::string group;
    AppendKeyGroup(0, group);
    constexpr std::size_t kPrefix = ExpiringLayout<V, Layout> ? sizeof(Ticks) : 0;
    bool damaged = false;
    ThrowIfError(
        (*view)->Scan("", "\xff\xff",
                      [&](std::string_view key_bytes, std::string_view value_bytes) {
                        if (most-- == 0) return false;
                        K key{};
                        V value{};
                        Decoder key_in(key_bytes.substr(std::min(group.size(), key_bytes.size())));
                        Decoder value_in(value_bytes.substr(std::min(kPrefix, value_bytes.size())));
                        damaged = !DecodeValue(key_in, key) || !layout_.Decode(value_in, value);
                        return !damaged && f(std::as_const(key), std::as_const(value));
                      }),
        name_);
    if (damaged) throw StateError("state '" + name_ + "': the store has a malformed entry");
  }

  void DropKeyGroup(std::uint32_t key_group) {
    Flush();
    cells_.ForEachHashed([&](const K&, const Cell& cell, std::uint64_t hash) {
      if (KeyGroupOf(hash, max_parallelism_) == key_group) bytes_ -= cell.bytes;
    });
    cells_.DropKeyGroup(key_group);
    EraseStored(key_group);
  }
  // All of them; the table is not used any more.
  void EraseAll() {
    for (std::uint32_t group = range_.first; written_ && group <= range_.last; ++group)
      EraseStored(group);
  }

  bool whole() const { return whole_; }
  // Calls f(const K&, const V&) for each entry from the cursor on while it returns true, key group
  // by key group; returns whether it reached the end. Only if `whole`.
  template <class F>
  bool ForEachFrom(TableCursor& cursor, F&& f) {
    return cells_.ForEachFrom(cursor, [&](const K& key, const Cell& cell) {
      return !cell.present || f(key, cell.value);
    });
  }
  // Bytes of the cache.
  std::size_t Used() const {
    return cells_.size() * kCellBytes + bytes_ + dirty_.size() * sizeof(Dirty);
  }
  // In place of what the column says of its cache: tables that share a column divide it up.
  void set_cache_bytes(std::size_t bytes) { cache_bytes_ = bytes; }

  // What is dirty may be new, or not.
  std::uint64_t EstimatedEntries() const {
    return std::max<std::uint64_t>(column_->EstimatedEntries(), dirty_.size());
  }
  std::size_t memory_bytes() const {
    return cells_.memory_bytes() + dirty_.capacity() * sizeof(Dirty);
  }
  // Keys of which the cache knows whether there is an entry.
  std::size_t cached() const { return cells_.size(); }

 private:
  using Cells = KeyedTable<K, Cell>;
  struct Dirty {
    std::uint64_t hash;
    K key;
  };
  // Of a dirty cell, for another thread.
  struct Copied {
    Dirty of;
    V value;
    bool present;
  };
  // What is dirty, where it is, for ChangesByKeyGroup.
  struct InPlace {
    CachedTable* table;
    decltype(std::declval<const Layout&>().Frozen()) frozen;

    std::uint64_t HashOf(std::size_t i) const { return table->dirty_[i].hash; }
    void WillTake(std::size_t i) const { table->cells_.PrefetchWhole(HashOf(i)); }
    void Append(std::size_t i, StateChanges& to) const {
      Cell* const cell = table->TakeDirty(i, To::kStore);
      if (cell == nullptr) return;
      AppendChange(frozen, table->max_parallelism_, table->prefix_, table->dirty_[i], cell->value,
                   cell->present, to);
      const StateChanges::Change& change = to.changes.back();
      table->SetBytes(*cell, change.end - change.key_end);
      table->entry_bytes_ = to.bytes.size() / to.changes.size() + 1;
    }
  };
  // Copies of it, so that the task need not encode it.
  struct Copies {
    std::vector<Copied> copies;
    decltype(std::declval<const Layout&>().Frozen()) frozen;
    std::uint32_t max_parallelism;
    std::string prefix;

    std::uint64_t HashOf(std::size_t i) const { return copies[i].of.hash; }
    void WillTake(std::size_t i) const { __builtin_prefetch(&copies[i]); }
    void Append(std::size_t i, StateChanges& to) const {
      const Copied& copy = copies[i];
      AppendChange(frozen, max_parallelism, prefix, copy.of, copy.value, copy.present, to);
    }
  };
  // Memory that goes to another thread and comes back.
  class Spare {
   public:
    std::vector<Copied> Take() {
      const std::lock_guard lock(mutex_);
      return std::exchange(memory_, {});
    }
    void Give(std::vector<Copied> memory) {
      memory.clear();
      const std::lock_guard lock(mutex_);
      memory_ = std::move(memory);
    }

   private:
    std::mutex mutex_;
    std::vector<Copied> memory_;
  };
  // A sub-table that has doubled has as many slots as it will ever have here, which are between a
  // quarter and three quarters full.
  static constexpr std::size_t kCellBytes = sizeof(typename Cells::Slot) * 5 / 2;
  // Copying a cell costs less than encoding it.
  static constexpr bool kCopied =
      std::is_trivially_copyable_v<K> && std::is_trivially_copyable_v<V>;

  static void AppendKeyTo(const K& key, std::uint64_t hash, std::uint32_t max_parallelism,
                          const std::string& prefix, std::string& out) {
    AppendKeyGroup(KeyGroupOf(hash, max_parallelism), out);
    out += prefix;
    EncodeValue(key, out);
  }
  void AppendKey(const K& key, std::uint64_t hash, std::string& out) const {
    AppendKeyTo(key, hash, max_parallelism_, prefix_, out);
  }
  void SetBytes(Cell& cell, std::size_t bytes) {
    // What has no memory of its own is counted with its cell.
    if constexpr (!std::is_trivially_destructible_v<V>) {
      bytes_ += bytes - cell.bytes;
      cell.bytes = static_cast<std::uint32_t>(bytes);
    }
  }

  void EraseStored(std::uint32_t key_group) {
    const auto [from, to] = RangeOf(key_group, prefix_);
    ThrowIfError(column_->EraseRange(from, to), name_);
  }

  // What a table before this one has flushed may be read here.
  void CatchUpFirst() {
    if (caught_up_) return;
    ThrowIfError(column_->CatchUp(), name_);
    caught_up_ = true;
  }

  [[gnu::noinline]] Cell& Fetch(const K& key, std::uint64_t hash) {
    MakeRoom();
    if (whole_) return Insert(key, hash, std::nullopt);
    CatchUpFirst();
    arena_.clear();
    AppendKey(key, hash, arena_);
    std::optional<std::string> value(std::move(value_bytes_));
    const absl::StatusOr<bool> found = column_->Get(arena_, *value);
    ThrowIfError(found.status(), name_);
    Cell* cell = nullptr;
    if (*found) {
      cell = &Insert(key, hash, value);
      value_bytes_ = *std::move(value);
    } else {
      value_bytes_ = *std::move(value);
      cell = &Insert(key, hash, std::nullopt);
    }
    return *cell;
  }
  Cell& Insert(const K& key, std::uint64_t hash, const std::optional<std::string>& stored) {
    Cell read;
    if (stored.has_value()) {
      constexpr std::size_t kPrefix = ExpiringLayout<V, Layout> ? sizeof(Ticks) : 0;
      bool good = stored->size() >= kPrefix;
      if (good) {
        Decoder in(std::string_view(*stored).substr(kPrefix));
        good = layout_.Decode(in, read.value) && in.remaining() == 0;
      }
      if (!good) throw StateError("state '" + name_ + "': the store has a malformed entry");
      read.present = true;
      SetBytes(read, stored->size());
    }
    Cell& cell = *cells_.FindOrInsert(key, hash).first;
    cell = std::move(read);
    return cell;
  }

  void Expire() {
    if constexpr (ExpiringLayout<V, Layout>) {
      const auto frozen = layout_.Frozen();
      if (frozen.moment.now == kMinTicks || frozen.moment.now == kMaxTicks) return;
      column_->ExpireThrough(
          (EventTime::FromTicks(frozen.moment.now) - frozen.moment.ttl.after).ticks());
    }
  }

  // Where dirty cells go.
  enum class To { kStore, kStoreLater, kLog };
  // The cell of the i-th of them; null if its key group was dropped.
  Cell* TakeDirty(std::size_t i, To to) {
    Cell* const cell = cells_.Find(dirty_[i].key, dirty_[i].hash);
    if (cell == nullptr || cell->saved == Saved::kStored) return nullptr;
    cell->saved = to == To::kLog ? Saved::kLogged : Saved::kStored;
    cell->put_off = to == To::kStoreLater;
    return cell;
  }
  // All were taken.
  void EndDirty(To to) {
    if (to != To::kLog) dirty_.clear();
    unsaved_ = 0;
  }
  // Calls f(const Dirty&, Cell&) for each of them.
  template <class F>
  void TakeEachDirty(To to, F&& f) {
    constexpr std::size_t kAhead = 8;
    for (std::size_t i = 0; i < dirty_.size(); ++i) {
      if (i + kAhead < dirty_.size()) cells_.PrefetchWhole(dirty_[i + kAhead].hash);
      if (Cell* const cell = TakeDirty(i, to); cell != nullptr) f(dirty_[i], *cell);
    }
    EndDirty(to);
  }
  template <class Frozen>
  static void AppendChange(const Frozen& frozen, std::uint32_t max_parallelism,
                           const std::string& prefix, const Dirty& of, const V& value, bool present,
                           StateChanges& to) {
    StateChanges::Change& change = to.changes.emplace_back();
    change.begin = to.bytes.size();
    AppendKeyTo(of.key, of.hash, max_parallelism, prefix, to.bytes);
    change.key_end = to.bytes.size();
    change.order = StateChanges::OrderOf(std::string_view(to.bytes).substr(change.begin));
    change.erases = !present || !frozen.Writes(value);
    if (!change.erases) {
      if constexpr (ExpiringLayout<V, Layout>) EncodeValue(frozen.Newest(value), to.bytes);
      frozen.Encode(value, to.bytes);
    }
    change.end = to.bytes.size();
  }
  StateChanges EncodeDirty(To to) {
    StateChanges taken;
    taken.changes.reserve(dirty_.size());
    taken.bytes.reserve(dirty_.size() * entry_bytes_);
    const auto frozen = layout_.Frozen();
    TakeEachDirty(to, [&](const Dirty& of, Cell& cell) {
      AppendChange(frozen, max_parallelism_, prefix_, of, cell.value, cell.present, taken);
      const StateChanges::Change& change = taken.changes.back();
      SetBytes(cell, change.end - change.key_end);
    });
    if (!taken.changes.empty()) entry_bytes_ = taken.bytes.size() / taken.changes.size() + 1;
    return taken;
  }
  std::vector<Copied> CopyDirty(To to) {
    std::vector<Copied> copies = spare_->Take();
    copies.reserve(dirty_.size());
    TakeEachDirty(to, [&](const Dirty& of, const Cell& cell) {
      copies.push_back({of, cell.value, cell.present});
    });
    return copies;
  }
  // For another thread.
  std::unique_ptr<SortedChanges> TakeDirtyToStore() {
    if constexpr (kCopied) {
      const std::size_t bytes = EncodedBytes();
      std::vector<Copied> copies = CopyDirty(To::kStoreLater);
      const std::size_t entries = copies.size();
      return std::make_unique<ChangesByKeyGroup<Copies>>(
          entries, bytes, range_, max_parallelism_,
          Copies{std::move(copies), layout_.Frozen(), max_parallelism_, prefix_});
    } else {
      return std::make_unique<OwnedChanges>(EncodeDirty(To::kStoreLater));
    }
  }
  // What another thread calls.
  absl::AnyInvocable<StateChanges()> TakeDirtyToLog() {
    if constexpr (kCopied) {
      return [copies = CopyDirty(To::kLog), frozen = layout_.Frozen(), prefix = prefix_,
              max_parallelism = max_parallelism_, spare = spare_]() mutable {
        StateChanges changes;
        changes.changes.reserve(copies.size());
        changes.bytes.reserve(copies.size() * (sizeof(K) + sizeof(V)));
        for (const Copied& copy : copies)
          AppendChange(frozen, max_parallelism, prefix, copy.of, copy.value, copy.present, changes);
        // What is logged again soon needs as much memory again.
        spare->Give(std::move(copies));
        return changes;
      };
    } else {
      return [taken = EncodeDirty(To::kLog)]() mutable { return std::move(taken); };
    }
  }
  // Of a dirty entry that is kept for another thread, about.
  std::size_t EntryBytes() {
    if constexpr (kCopied) return sizeof(K) + sizeof(V);
    return EncodedBytes();
  }
  // Of a dirty entry that is written, about.
  std::size_t EncodedBytes() {
    if (entry_bytes_ == 0) {
      constexpr std::size_t kSample = 64;
      StateChanges sample;
      for (std::size_t i = 0; i < std::min(dirty_.size(), kSample); ++i) {
        const Dirty& of = dirty_[i];
        if (const Cell* const cell = cells_.Find(of.key, of.hash); cell != nullptr) {
          AppendChange(layout_.Frozen(), max_parallelism_, prefix_, of, cell->value, cell->present,
                       sample);
        }
      }
      entry_bytes_ = sample.bytes.size() / std::max<std::size_t>(sample.changes.size(), 1) + 1;
    }
    return entry_bytes_;
  }
  void WriteDirty() {
    Expire();
    if (dirty_.empty()) return;
    written_ = true;
    ChangesByKeyGroup<InPlace> changes(dirty_.size(), EncodedBytes(), range_, max_parallelism_,
                                       InPlace{this, layout_.Frozen()});
    ThrowIfError(column_->Write(changes), name_);
    EndDirty(To::kStore);
  }

  void MakeRoom() {
    const std::size_t limit = cache_bytes_ != 0 ? cache_bytes_ : column_->cache_bytes();
    if (Used() < limit) [[likely]] {
      return;
    }
    // Room for many, as looking for it may mean to look at all.
    const std::size_t target = limit - limit / 16;
    if (2 * dirty_.size() >= cells_.size()) WriteDirty();
    EvictTo(target);
    if (Used() < target) return;
    if (dirty_.empty()) {
      if (!column_->IsBehind()) return;
      ThrowIfError(column_->CatchUp(), name_);
    } else {
      WriteDirty();
    }
    EvictTo(target);
  }
  // A part of each key group, then the next part of each.
  void EvictTo(std::size_t target) {
    constexpr std::uint32_t kParts = 32;
    const bool behind = column_->IsBehind();
    // Once around to find what has not been used, and once more for what has.
    const std::size_t most = (2 * kParts + 1) * cells_.groups();
    for (std::size_t seen = 0; seen < most && cells_.size() > 0 && Used() >= target; ++seen) {
      if (hand_.group >= cells_.groups()) hand_ = {0, (hand_.part + 1) % kParts};
      cells_.SweepPart(hand_.group++, hand_.part, kParts, [&](Cell& cell) {
        if (cell.saved != Saved::kStored || (behind && cell.put_off) ||
            std::exchange(cell.used, false)) {
          return false;
        }
        if (cell.present) whole_ = false;
        bytes_ -= cell.bytes;
        return true;
      });
    }
  }

  const std::string name_;
  const std::uint32_t max_parallelism_;
  const Layout layout_;
  const std::shared_ptr<StateColumn> column_;
  const KeyGroupRange range_;
  const std::string prefix_;
  bool whole_;
  // Something may be stored.
  bool written_;
  // Nothing that is not in the cache is put off.
  bool caught_up_ = false;
  // 0: as the column says.
  std::size_t cache_bytes_ = 0;
  Cells cells_;
  // Where eviction goes on.
  struct {
    std::size_t group = 0;
    std::uint32_t part = 0;
  } hand_;
  // Keys of the dirty cells.
  std::vector<Dirty> dirty_;
  // How many of them are saved nowhere.
  std::size_t unsaved_ = 0;
  // Sum of the cells'.
  std::size_t bytes_ = 0;
  std::size_t lookups_ = 0;

  // Kept for their memory.
  const std::shared_ptr<Spare> spare_ = std::make_shared<Spare>();
  std::string arena_;
  std::string value_bytes_;
  // Of a change, on average, when some were last written.
  std::size_t entry_bytes_ = 0;
  std::vector<std::size_t> missing_;
  std::vector<std::size_t> ends_;
  std::vector<std::string_view> views_;
  std::vector<std::optional<std::string>> values_;
};

}  // namespace weir::internal
