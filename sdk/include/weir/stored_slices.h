#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "weir/batch.h"
#include "weir/cached_table.h"
#include "weir/operator.h"
#include "weir/state_codec.h"
#include "weir/state_store.h"
#include "weir/stored_entries.h"
#include "weir/window_slices.h"

namespace weir::internal {

// The slices of time of an operator in one column of a store, a CachedTable each. The memory for
// decoded values goes to those that are in use: what was used last stays longest.
template <class K, class A>
class StoredSlices {
 public:
  using Table = CachedTable<K, A, RecordLayout<A>>;
  struct Slice {
    Ticks start = 0;
    // Inclusive.
    Ticks max_timestamp = 0;
    std::unique_ptr<Table> table;
    std::uint64_t used = 0;
  };

  // Throws StateError. `found(start)` is called for each slice that the store was restored with.
  template <class Found>
  absl::Status Open(OperatorContext& context, Found&& found) {
    context_ = &context;
    fired_.Open(context);
    auto column = context.state_store()->OpenColumn(kWindowsState, ColumnLayout::kSlices);
    ThrowIfError(column.status(), kWindowsState);
    column_ = *std::move(column);
    return FindStored(found);
  }

  std::map<Ticks, Slice>& slices() { return slices_; }
  FiredTimes& fired() { return fired_; }

  Slice* Find(Ticks start) {
    const auto it = slices_.find(start);
    return it != slices_.end() ? &it->second : nullptr;
  }
  Slice& Add(Ticks start, Ticks max_timestamp, bool empty) {
    Slice& slice = slices_[start];
    slice.start = start;
    slice.max_timestamp = max_timestamp;
    slice.table = NewTable(start, empty);
    records_ = 0;
    return slice;
  }
  void EraseFirst() {
    slices_.begin()->second.table->EraseAll();
    slices_.erase(slices_.begin());
    records_ = 0;
  }

  // Before `records` are added: has what there is of memory divided up, now and then.
  void MakeRoom(std::size_t records) {
    if (records_ > records) {
      records_ -= records;
      return;
    }
    records_ = kBatchRecords;
    const std::size_t budget = column_->cache_bytes();
    std::size_t used = 0;
    std::size_t tables = 0;
    for (auto& [start, slice] : slices_) {
      used += slice.table->Used();
      tables += slice.table->Used() > 0 ? 1 : 0;
    }
    // Each may grow by a part before it is looked at again.
    while (used > budget - budget / 8 && tables > 1) {
      Slice* oldest = nullptr;
      for (auto& [start, slice] : slices_) {
        if (slice.table->Used() > 0 && (oldest == nullptr || slice.used < oldest->used))
          oldest = &slice;
      }
      used -= oldest->table->Used();
      --tables;
      oldest->table->Flush();
      oldest->table = NewTable(oldest->start, /*empty=*/false);
    }
    const std::size_t left = budget > used ? budget - used : 0;
    for (auto& [start, slice] : slices_)
      slice.table->set_cache_bytes(std::max<std::size_t>(slice.table->Used() + left, 1));
    ++round_;
  }
  void Use(Slice& slice) { slice.used = round_; }

  // What a snapshot of the store has to have, but for the tables.
  void FlushAll(Ticks watermark) {
    if (slices_.empty()) return;
    StateChanges heads;
    for (std::uint32_t group = Groups().first; group <= Groups().last; ++group) {
      const Ticks through = std::max(fired_.Of(group), watermark);
      StateChanges::Change& change = heads.changes.emplace_back();
      change.begin = heads.bytes.size();
      AppendKeyGroup(group, heads.bytes);
      change.key_end = heads.bytes.size();
      change.order = StateChanges::OrderOf(std::string_view(heads.bytes).substr(change.begin));
      EncodeValue(through, heads.bytes);
      change.end = heads.bytes.size();
    }
    for (auto& [start, slice] : slices_) slice.table->Flush();
    ThrowIfError(column_->WriteLater(std::make_unique<OwnedChanges>(std::move(heads))),
                 kWindowsState);
  }

  // Of the column.
  template <class Visit>
  void Scan(std::string_view from, std::string_view to, Visit&& visit) {
    ThrowIfError(column_->Scan(from, to, visit), kWindowsState);
  }
  // What is in the column now.
  std::unique_ptr<StateView> View() {
    auto view = column_->View();
    ThrowIfError(view.status(), kWindowsState);
    return *std::move(view);
  }

  void DropKeyGroup(std::uint32_t key_group) {
    for (auto& [start, slice] : slices_) slice.table->DropKeyGroup(key_group);
  }
  std::size_t entries() const { return column_ != nullptr ? column_->EstimatedEntries() : 0; }
  std::size_t memory_bytes() const {
    std::size_t total = 0;
    for (const auto& [start, slice] : slices_) total += slice.table->memory_bytes();
    return total;
  }
  KeyGroupRange Groups() const { return context_->key_groups(); }

 private:
  std::unique_ptr<Table> NewTable(Ticks start, bool empty) const {
    ColumnPart part;
    AppendSlice(start, part.prefix);
    part.empty = empty;
    return std::make_unique<Table>(kWindowsState, column_, context_->key_groups(),
                                   context_->max_parallelism(), RecordLayout<A>(), std::move(part));
  }

  // Looks for the first key of each slice.
  template <class Found>
  absl::Status FindStored(Found&& found) {
    for (std::uint32_t group = Groups().first; group <= Groups().last; ++group) {
      auto [from, to] = RangeOf(group, "");
      for (bool more = true; more;) {
        more = false;
        std::optional<Ticks> start;
        absl::Status problem;
        Scan(from, to, [&](std::string_view key, std::string_view value) {
          key.remove_prefix(kKeyGroupBytes);
          if (key.empty()) {
            Decoder in(value);
            Ticks through = 0;
            problem = DecodeValue(in, through)
                          ? fired_.Restore(group, through, kMinTicks)
                          : absl::DataLossError("the store has a malformed time");
            return problem.ok();
          }
          if (key.size() < kSliceBytes) {
            problem = absl::DataLossError("the store has a malformed key");
          } else {
            start = SliceIn(key);
          }
          return false;
        });
        ThrowIfError(problem, kWindowsState);
        if (!start.has_value()) break;
        WEIR_SDK_RETURN_IF_ERROR(found(*start));
        std::string prefix;
        AppendSlice(*start, prefix);
        from = RangeOf(group, prefix).second;
        more = from < to;
      }
    }
    return absl::OkStatus();
  }

  OperatorContext* context_ = nullptr;
  std::shared_ptr<StateColumn> column_;
  std::map<Ticks, Slice> slices_;
  FiredTimes fired_;
  // How many more records may come before memory is divided up again.
  std::size_t records_ = 0;
  std::uint64_t round_ = 0;
};

// Reads the slices of one snapshot from a column.
class StoredSlicesSnapshot final : public KeyedStateSnapshot {
 public:
  explicit StoredSlicesSnapshot(std::unique_ptr<StateView> view) : view_(std::move(view)) {}
  void WriteKeyGroup(std::uint32_t key_group, std::string& out) override {
    const auto [from, to] = RangeOf(key_group, "");
    StoredKeyGroup entries(ColumnLayout::kSlices);
    bool damaged = false;
    ThrowIfError(view_->Scan(from, to,
                             [&](std::string_view key, std::string_view value) {
                               damaged = !entries.Add(key.substr(kKeyGroupBytes), value);
                               return !damaged;
                             }),
                 kWindowsState);
    if (damaged) throw StateError("state 'windows': the store has a malformed entry");
    entries.AppendTo(out);
  }

 private:
  const std::unique_ptr<StateView> view_;
};

}  // namespace weir::internal
