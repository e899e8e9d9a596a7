#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "weir/cached_table.h"
#include "weir/results.h"
#include "weir/state_codec.h"
#include "weir/state_table.h"
#include "weir/stored_entries.h"
#include "weir/stored_slices.h"
#include "weir/thrown.h"
#include "weir/window.h"
#include "weir/window_batch.h"
#include "weir/window_listing.h"
#include "weir/window_rejects.h"
#include "weir/window_slices.h"

namespace weir::internal {

// WindowOperator and SlicedWindowOperator for state that need not fit into memory: the entries are
// in a StateStore. kShared: overlapping windows share slices, and what a window holds is merged
// when it fires, one key group after the other; else each window has a slice of its own. Windows
// that fit into the memory for decoded values are never read from the store, nor written to it but
// for checkpoints.
template <class K, class T, class Out, class Plan, bool kShared>
class StoredWindowOperator final : public Operator {
 public:
  using Aggregator = decltype(Plan::aggregator);
  using Accumulator = typename Aggregator::Accumulator;

  StoredWindowOperator(std::shared_ptr<const Plan> plan, std::shared_ptr<const SidePorts> ports)
      : plan_(std::move(plan)), ports_(std::move(ports)), times_(plan_->shape), snapshot_(*this) {}

  absl::Status Open(OperatorContext& context) override {
    context_ = &context;
    results_.Open(context, ports_);
    rejects_.Open(context, *plan_);
    merged_ = std::make_unique<KeyedTable<K, Accumulator>>(context.key_groups(),
                                                           context.max_parallelism());
    return state_.Open(context, [this](Ticks start) -> absl::Status {
      if (state_.Find(start) != nullptr) return absl::OkStatus();
      if (times_.SliceStart(start) != start) return NoSlice();
      AddSlice(start, /*empty=*/false);
      return absl::OkStatus();
    });
  }

  absl::Status ProcessBatch(std::size_t, BatchBase& base) override {
    auto& batch = static_cast<Batch<T>&>(base);
    if (batch.records.empty()) return absl::OkStatus();
    if (batch.timestamps.empty()) return rejects_.NoTimestamp();
    at_ = batch.records.size();
    try {
      return Process(batch);
    } catch (...) {
      if (at_ < batch.records.size()) TellThrownOn(*context_, plan_->key, batch.records[at_]);
      throw;
    }
  }

  absl::StatusOr<bool> OnWatermark(Ticks watermark) override {
    watermark_ = watermark;
    if (watermark < next_due_) return true;
    const bool done = FireDue();
    if (done) {
      CleanUp();
      FindNextDue();
    }
    WEIR_SDK_RETURN_IF_ERROR(results_.Flush());
    return done;
  }

  std::vector<KeyedStateTable*> keyed_state() override { return {&snapshot_}; }
  // How much is in a window is known of what is in memory alone.
  bool ListWindows(WindowListing& listing) override {
    times_.List(state_.slices(), watermark_, listing, [&](ListedWindow window) {
      bool all_known = true;
      ForEachSlice(window.start, [&](Slice& slice) {
        ++listing.looked;
        all_known = all_known && slice.table->whole();
        window.entries += slice.table->cached();
        window.bytes += slice.table->memory_bytes();
      });
      if (!all_known) window.entries = 0;
      listing.Add(std::move(window));
    });
    return true;
  }

 private:
  using State = StoredSlices<K, Accumulator>;
  using Slice = typename State::Slice;

  absl::Status Process(Batch<T>& batch) {
    if (batch.hashes.empty()) HashBatch(batch, plan_->key);
    state_.MakeRoom(batch.records.size());
    if constexpr (!kShared) {
      if (times_.shape().slide != times_.shape().size) {
        WEIR_SDK_RETURN_IF_ERROR(ProcessOverlapping(batch));
        return results_.Flush();
      }
    }
    WEIR_SDK_RETURN_IF_ERROR(FindSlices(batch));
    for (std::size_t i = 0; i < batch.records.size(); ++i) {
      at_ = i;
      if (slices_of_[i] == nullptr) [[unlikely]] {
        rejects_.Late(batch.records[i], batch.timestamps[i], watermark_, results_);
      } else {
        AddTo(*slices_of_[i], batch.records[i], batch.hashes[i]);
      }
    }
    return results_.Flush();
  }

  static absl::Status NoSlice() {
    return absl::DataLossError("state 'windows': no slice of windows of this size and slide");
  }

  // ---- Records.

  // Fills slices_of_, and has what is not in memory of a slice read at once.
  absl::Status FindSlices(Batch<T>& batch) {
    const std::size_t n = batch.records.size();
    slices_of_.resize(n);
    Slice* last = nullptr;
    bool all_whole = true;
    for (std::size_t i = 0; i < n; ++i) {
      const Ticks ts = batch.timestamps[i];
      if (last == nullptr || ts < last->start || ts > last->max_timestamp) {
        if (ts == kMinTicks) return rejects_.NoTimestamp();
        last = FindSlice(times_.SliceStart(ts));
        if (last != nullptr) {
          state_.Use(*last);
          all_whole = all_whole && last->table->whole();
        }
      }
      slices_of_[i] = last;
    }
    if (!all_whole) LoadBatch(batch);
    return absl::OkStatus();
  }
  void LoadBatch(const Batch<T>& batch) {
    keys_.Of(batch.records, plan_->key);
    const std::size_t n = batch.records.size();
    std::set<Slice*> done;
    for (std::size_t i = 0; i < n; ++i) {
      Slice* const slice = slices_of_[i];
      if (slice == nullptr || slice->table->whole() || !done.insert(slice).second) continue;
      load_keys_.clear();
      load_hashes_.clear();
      for (std::size_t j = i; j < n; ++j) {
        if (slices_of_[j] != slice) continue;
        load_keys_.push_back(keys_.data()[j]);
        load_hashes_.push_back(batch.hashes[j]);
      }
      slice->table->Load(load_keys_.data(), load_hashes_.data(), load_keys_.size());
    }
  }

  // Each window has the record.
  absl::Status ProcessOverlapping(Batch<T>& batch) {
    for (std::size_t i = 0; i < batch.records.size(); ++i) {
      at_ = i;
      const Ticks ts = batch.timestamps[i];
      if (ts == kMinTicks) [[unlikely]] {
        return rejects_.NoTimestamp();
      }
      std::uint64_t skipped = 0;
      std::uint64_t added = 0;
      for (Ticks start = WindowStart(ts, times_.shape().offset, times_.shape().slide);
           start > ts - times_.shape().size; start -= times_.shape().slide) {
        if (Slice* const slice = FindSlice(start); slice != nullptr) {
          state_.Use(*slice);
          AddTo(*slice, batch.records[i], batch.hashes[i]);
          ++added;
        } else {
          ++skipped;
        }
      }
      // Rules 3 and 7.
      if (added == 0) {
        if (SaturatingAdd(ts, times_.shape().lateness) <= watermark_)
          rejects_.Late(batch.records[i], ts, watermark_, results_);
      } else {
        rejects_.SkippedWindows(skipped);
      }
    }
    return absl::OkStatus();
  }

  void AddTo(Slice& slice, const T& record, std::uint64_t hash) {
    const K& key = std::invoke(plan_->key, record);
    Accumulator& acc = *slice.table->FindOrInsert(key, hash).first;
    plan_->aggregator.Add(acc, record);
    const Ticks reached = std::max(watermark_, state_.fired().OfHash(hash));
    if (times_.WindowMax(times_.FirstWindow(slice)) > reached) [[likely]] {
      return;
    }
    // Windows that have fired and are still open fire again.
    std::uint64_t skipped = 0;
    const Ticks last = times_.LastWindow(slice);
    for (Ticks start = times_.FirstWindow(slice); start <= last; start += times_.shape().slide) {
      const Ticks max = times_.WindowMax(start);
      if (times_.CleanupTime(max) <= watermark_) {
        ++skipped;
      } else if (max <= reached) {
        late_.push_back(start);
      }
    }
    rejects_.SkippedWindows(skipped);
    for (; !late_.empty(); late_.pop_back()) {
      if constexpr (kShared) {
        EmitResult(late_.back(), key, Combined(late_.back(), key, hash));
      } else {
        EmitResult(late_.back(), key, acc);
      }
    }
  }

  // The aggregate of one key over the slices of one window.
  Accumulator Combined(Ticks window, const K& key, std::uint64_t hash) {
    Accumulator all{};
    bool first = true;
    ForEachSlice(window, [&](Slice& slice) {
      const Accumulator* part = slice.table->Find(key, hash);
      if (part == nullptr) return;
      if (std::exchange(first, false)) {
        all = *part;
      } else {
        plan_->aggregator.Merge(all, *part);
      }
    });
    return all;
  }
  template <class F>
  void ForEachSlice(Ticks window, F&& f) {
    auto& slices = state_.slices();
    const Ticks end = times_.WindowMax(window);
    for (auto it = slices.lower_bound(window); it != slices.end() && it->first <= end; ++it)
      f(it->second);
  }

  // The slice that starts at `start`, made if it is not there yet; null if all its windows are
  // late.
  Slice* FindSlice(Ticks start) {
    if (Slice* const slice = state_.Find(start); slice != nullptr) return slice;
    Slice slice;
    slice.start = start;
    slice.max_timestamp = times_.SliceMax(start);
    if (times_.IsLate(slice, watermark_)) return nullptr;
    return &AddSlice(start, /*empty=*/true);
  }
  Slice& AddSlice(Ticks start, bool empty) {
    Slice& slice = state_.Add(start, times_.SliceMax(start), empty);
    const Ticks first = times_.FirstWindow(slice);
    for (Ticks window = times_.LastWindow(slice); window >= first; window -= times_.shape().slide) {
      if (times_.WindowMax(window) > watermark_) pending_.insert(window);
    }
    next_due_ = std::min(next_due_, times_.CleanupTime(times_.WindowMax(times_.LastWindow(slice))));
    if (!pending_.empty()) next_due_ = std::min(next_due_, times_.WindowMax(*pending_.begin()));
    return slice;
  }

  // ---- Firing.

  void EmitResult(Ticks start, const K& key, const Accumulator& acc) {
    const TimeWindow window{EventTime::FromTicks(start),
                            EventTime::FromTicks(SaturatingAdd(start, times_.shape().size))};
    try {
      results_.Emit(plan_->make_result(key, window, plan_->aggregator.Result(acc)),
                    times_.WindowMax(start));
    } catch (...) {
      TellThrownFor(*context_, key);
      throw;
    }
  }

  // False: stopped because an output is blocked; goes on where it stopped.
  bool FireDue() {
    while (!pending_.empty() && times_.WindowMax(*pending_.begin()) <= watermark_) {
      const Ticks window = *pending_.begin();
      if (results_.Blocked()) return false;
      if (!firing_.has_value()) {
        firing_.emplace();
        firing_->group = state_.Groups().first;
      }
      if (!EmitWindow(window)) return false;
      firing_.reset();
      pending_.erase(pending_.begin());
    }
    return true;
  }
  bool EmitWindow(Ticks window) {
    for (; firing_->group <= state_.Groups().last; ++firing_->group) {
      if (state_.fired().HasFired(firing_->group - state_.Groups().first, times_.WindowMax(window)))
        continue;
      if (!EmitKeyGroup(window)) return false;
      firing_->at.clear();
      firing_->cursor = {};
    }
    return true;
  }
  // Goes on only while nobody is in the way.
  auto Emitting(Ticks window) {
    return [this, window](const K& key, const Accumulator& acc) {
      EmitResult(window, key, acc);
      return ++emitted_ % kBatchRecords != 0 || !results_.Blocked();
    };
  }
  bool EmitKeyGroup(Ticks window) {
    if constexpr (kShared) {
      if (!firing_->merged) {
        ForEachSlice(window, [&](Slice& slice) { MergeKeyGroup(slice); });
        firing_->merged = true;
      }
      if (!merged_->ForEachFrom(firing_->cursor, Emitting(window))) return false;
      firing_->merged = false;
      merged_->Clear();
      return true;
    } else {
      Slice* const slice = state_.Find(window);
      return slice == nullptr ||
             ForEachOfGroup(*slice, firing_->cursor, firing_->at, Emitting(window));
    }
  }
  void MergeKeyGroup(Slice& slice) {
    TableCursor cursor;
    std::string at;
    ForEachOfGroup(slice, cursor, at, [&](const K& key, const Accumulator& acc) {
      const auto [into, inserted] = merged_->FindOrInsert(key, KeyHash(key));
      if (inserted) {
        *into = acc;
      } else {
        plan_->aggregator.Merge(*into, acc);
      }
      return true;
    });
  }

  // Calls f(key, acc) for each entry of the key group that is firing while it returns true; what
  // the cursor or `at` says of those of former calls is left out.
  template <class F>
  bool ForEachOfGroup(Slice& slice, TableCursor& cursor, std::string& at, F&& f) {
    const std::uint32_t index = firing_->group - state_.Groups().first;
    if (slice.table->whole()) {
      if (cursor.group < index) cursor = {index, 0};
      bool stopped = false;
      slice.table->ForEachFrom(cursor, [&](const K& key, const Accumulator& acc) {
        if (cursor.group != index) return false;
        stopped = !f(key, acc);
        return !stopped;
      });
      return !stopped;
    }
    if (at.empty()) slice.table->Flush();
    std::string prefix;
    AppendSlice(slice.start, prefix);
    auto [from, to] = RangeOf(firing_->group, prefix);
    // What comes next after `at`.
    if (!at.empty()) from = at + '\0';
    const std::size_t head = kKeyGroupBytes + prefix.size();
    bool stopped = false;
    bool damaged = false;
    state_.Scan(from, to, [&](std::string_view stored, std::string_view value) {
      Decoder key_in(stored.substr(head));
      Decoder in(value);
      K key{};
      Accumulator acc{};
      damaged = !DecodeValue(key_in, key) || !DecodeValue(in, acc) || in.remaining() > 0;
      if (damaged) return false;
      stopped = !f(key, acc);
      if (stopped) at = stored;
      return !stopped;
    });
    if (damaged) throw StateError("state 'windows': the store has a malformed entry");
    return !stopped;
  }

  void CleanUp() {
    while (!state_.slices().empty() && times_.IsLate(state_.slices().begin()->second, watermark_))
      state_.EraseFirst();
    state_.fired().Advance(watermark_);
  }
  void FindNextDue() {
    next_due_ = kMaxTicks;
    if (!pending_.empty()) next_due_ = times_.WindowMax(*pending_.begin());
    if (!state_.slices().empty()) {
      const Slice& first = state_.slices().begin()->second;
      next_due_ =
          std::min(next_due_, times_.CleanupTime(times_.WindowMax(times_.LastWindow(first))));
    }
  }

  // ---- Snapshots.

  class Snapshot final : public KeyedStateTable {
   public:
    explicit Snapshot(StoredWindowOperator& owner) : owner_(owner) {}
    const std::string& name() const override { return name_; }
    const std::string& type() const override { return type_; }
    std::string evolution() const override {
      return SlicesTypeText<K, Accumulator, EvolvingFields>();
    }
    bool stored() const override { return true; }
    void Flush() override { owner_.state_.FlushAll(owner_.watermark_); }
    std::unique_ptr<KeyedStateSnapshot> TakeSnapshot(SnapshotUse) override {
      Flush();
      return std::make_unique<StoredSlicesSnapshot>(owner_.state_.View());
    }
    absl::Status ReadKeyGroup(std::uint32_t key_group, std::string_view bytes) override {
      return owner_.ReadKeyGroup(key_group, bytes);
    }
    void DropKeyGroup(std::uint32_t key_group) override { owner_.state_.DropKeyGroup(key_group); }
    std::size_t entries() const override { return owner_.state_.entries(); }
    std::size_t memory_bytes() const override { return owner_.state_.memory_bytes(); }

   private:
    StoredWindowOperator& owner_;
    std::string name_ = kWindowsState;
    std::string type_ = SlicesTypeText<K, Accumulator>();
  };

  absl::Status ReadKeyGroup(std::uint32_t key_group, std::string_view bytes) {
    Slice* slice = nullptr;
    return ReadSlices<K, Accumulator>(
        bytes, key_group, context_->max_parallelism(),
        [&](Ticks through) { return state_.fired().Restore(key_group, through, watermark_); },
        [&](Ticks start, std::size_t entries) {
          if (times_.SliceStart(start) != start) return NoSlice();
          // Null: all its windows have been cleaned, here as where it comes from.
          slice = FindSlice(start);
          state_.MakeRoom(entries);
          if (slice != nullptr) state_.Use(*slice);
          return absl::OkStatus();
        },
        [&](const K& key, Accumulator acc, std::uint64_t hash) {
          if (slice != nullptr) slice->table->Overwrite(key, hash) = std::move(acc);
        });
  }

  struct Firing {
    std::uint32_t group = 0;
    // In the table of the slice, or in `merged_`.
    TableCursor cursor;
    // The key in the store that was put out last; empty: none.
    std::string at;
    // `merged_` has what the key group's window holds.
    bool merged = false;
  };

  std::shared_ptr<const Plan> plan_;
  std::shared_ptr<const SidePorts> ports_;
  const SliceTimes<kShared> times_;
  OperatorContext* context_ = nullptr;
  Results<Out> results_;
  WindowRejects<T, Plan> rejects_;

  Ticks watermark_ = kMinTicks;
  // The record of the batch that is worked on, or none.
  std::size_t at_ = 0;
  // Nothing is to be fired or cleaned before the watermark reaches this.
  Ticks next_due_ = kMaxTicks;
  State state_;
  // Starts of the windows over some slice that have not fired.
  std::set<Ticks> pending_;
  // A firing that met a blocked output.
  std::optional<Firing> firing_;
  std::uint32_t emitted_ = 0;
  std::unique_ptr<KeyedTable<K, Accumulator>> merged_;
  Snapshot snapshot_;

  // Kept for their memory.
  std::vector<Slice*> slices_of_;
  std::vector<Ticks> late_;
  BatchKeys<K> keys_;
  std::vector<const K*> load_keys_;
  std::vector<std::uint64_t> load_hashes_;
};

}  // namespace weir::internal
