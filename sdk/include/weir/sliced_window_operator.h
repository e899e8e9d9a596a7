#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "weir/aggregates.h"
#include "weir/open_by_start.h"
#include "weir/results.h"
#include "weir/state_codec.h"
#include "weir/state_table.h"
#include "weir/thrown.h"
#include "weir/window.h"
#include "weir/window_batch.h"
#include "weir/window_listing.h"
#include "weir/window_rejects.h"
#include "weir/window_slices.h"

namespace weir::internal {

// Overlapping sliding windows of an aggregation that can be merged. Time is cut into slices at the
// starts and ends of windows; a record is added to one slice, however many windows cover it. What a
// window holds is kept up from one firing to the next: by adding the slices that enter and, if the
// aggregation can retract, taking out those that leave; otherwise by two stacks, where the older
// slices carry the aggregate of themselves and all after them up to the newest at the time of the
// last turn, and the slices since then are aggregated in one table. Either way a key costs a
// constant number of merges a slide.
//
// The results are those of the definition (semantics rules 1-8); see WindowOperator for the rest.
template <class K, class T, class Out, class Plan>
class SlicedWindowOperator final : public Operator {
 public:
  using Aggregator = decltype(Plan::aggregator);
  using Accumulator = typename Aggregator::Accumulator;

  SlicedWindowOperator(std::shared_ptr<const Plan> plan, std::shared_ptr<const SidePorts> ports)
      : plan_(std::move(plan)),
        ports_(std::move(ports)),
        times_(plan_->shape),
        by_start_(times_.LeastSlice()),
        snapshot_(*this) {}

  absl::Status Open(OperatorContext& context) override {
    context_ = &context;
    results_.Open(context, ports_);
    rejects_.Open(context, *plan_);
    fired_.Open(context);
    running_ = std::make_unique<RunningTable>(context.key_groups(), context.max_parallelism());
    return absl::OkStatus();
  }

  absl::Status ProcessBatch(std::size_t, BatchBase& base) override {
    auto& batch = static_cast<Batch<T>&>(base);
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
      for (auto& [start, slice] : slices_) slice.fresh = EarliestMax(slice) > watermark_;
      FindNextDue();
    }
    WEIR_SDK_RETURN_IF_ERROR(results_.Flush());
    return done;
  }

  std::vector<KeyedStateTable*> keyed_state() override { return {&snapshot_}; }
  // A window has what is in its slices, which it shares with others; how many keys that are is not
  // known.
  bool ListWindows(WindowListing& listing) override {
    times_.List(slices_, watermark_, listing, [&](ListedWindow window) {
      for (auto it = slices_.lower_bound(window.start);
           it != slices_.end() && it->first <= window.at; ++it) {
        ++listing.looked;
        window.entries += it->second.table->size();
        window.bytes += it->second.table->memory_bytes();
      }
      if (window.entries > 0) listing.Add(std::move(window));
    });
    return true;
  }

 private:
  using Table = KeyedTable<K, Accumulator>;
  struct Slice {
    Ticks start = 0;
    // Inclusive.
    Ticks max_timestamp = 0;
    std::unique_ptr<Table> table;
    // Two stacks: the aggregate of this slice and those after it up to `turned_`.
    std::unique_ptr<Table> suffix;
    // No window over this slice has fired.
    bool fresh = false;
  };
  // What is in the slices that the current window covers (retracting), or in those since the last
  // turn (two stacks).
  struct Running {
    Accumulator acc{};
    // Slices that hold the key.
    std::uint32_t slices = 0;
  };
  using RunningTable = KeyedTable<K, Running>;
  static constexpr bool kRetracts = Retractable<Aggregator>;

  // ---- Which slices and windows there are.

  Ticks EarliestMax(const Slice& slice) const {
    return times_.WindowMax(times_.FirstWindow(slice));
  }
  bool SliceIsLate(const Slice& slice) const { return times_.IsLate(slice, watermark_); }

  // ---- Records.

  absl::Status Process(Batch<T>& batch) {
    if (batch.records.empty()) return absl::OkStatus();
    if (batch.timestamps.empty()) return rejects_.NoTimestamp();
    if (last_ != nullptr && last_->fresh && AllWithin(last_->start, last_->max_timestamp, batch)) {
      AddBatch(*last_->table, batch, plan_->key, plan_->aggregator, at_);
      return absl::OkStatus();
    }
    WEIR_SDK_RETURN_IF_ERROR(ProcessMixed(batch));
    return results_.Flush();
  }

  absl::Status ProcessMixed(Batch<T>& batch) {
    constexpr std::size_t kAhead = 16;
    const std::size_t n = batch.records.size();
    if (batch.hashes.empty()) HashBatch(batch, plan_->key);
    slices_of_.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
      const Ticks ts = batch.timestamps[i];
      Slice* slice = last_;
      if (slice == nullptr || ts < slice->start || ts > slice->max_timestamp) {
        if (ts == kMinTicks) return rejects_.NoTimestamp();
        slice = FindSlice(times_.SliceStart(ts));
        if (slice != nullptr) last_ = slice;
      }
      slices_of_[i] = slice;
    }
    for (std::size_t i = 0; i < n; ++i) {
      at_ = i;
      if (i + kAhead < n && slices_of_[i + kAhead] != nullptr) {
        slices_of_[i + kAhead]->table->Prefetch(batch.hashes[i + kAhead]);
      }
      if (slices_of_[i] == nullptr) [[unlikely]] {
        rejects_.Late(batch.records[i], batch.timestamps[i], watermark_, results_);
      } else if (slices_of_[i]->fresh) [[likely]] {
        const T& record = batch.records[i];
        plan_->aggregator.Add(
            *slices_of_[i]
                 ->table->FindOrInsert(std::invoke(plan_->key, record), batch.hashes[i])
                 .first,
            record);
      } else {
        AddBehind(*slices_of_[i], batch.records[i], batch.hashes[i]);
      }
    }
    return absl::OkStatus();
  }

  // Adds a record to a slice of which some windows have fired: those still open fire again.
  void AddBehind(Slice& slice, const T& record, std::uint64_t hash) {
    const K& key = std::invoke(plan_->key, record);
    const auto [acc, inserted] = slice.table->FindOrInsert(key, hash);
    plan_->aggregator.Add(*acc, record);
    if (slice.start >= covered_from_ && slice.start < covered_to_) {
      if (kRetracts || slice.start >= turned_) {
        Running& running = *running_->FindOrInsert(key, hash).first;
        plan_->aggregator.Add(running.acc, record);
        running.slices += inserted ? 1 : 0;
      } else {
        if (slice.suffix == nullptr) BeginSuffix(slice);
        for (auto it = slices_.begin(); it != slices_.end() && it->first <= slice.start; ++it) {
          if (it->second.suffix == nullptr) continue;
          plan_->aggregator.Add(*it->second.suffix->FindOrInsert(key, hash).first, record);
        }
      }
    }
    std::uint64_t skipped = 0;
    const Ticks reached = std::max(watermark_, fired_.OfHash(hash));
    for (Ticks start = times_.LastWindow(slice); start >= times_.FirstWindow(slice);
         start -= times_.shape().slide) {
      const Ticks max = times_.WindowMax(start);
      if (times_.CleanupTime(max) <= watermark_) {
        ++skipped;
      } else if (max <= reached) {
        EmitResult(start, key, Combined(start, key, hash));
      }
    }
    rejects_.SkippedWindows(skipped);
  }

  // A slice that came into being among those that have suffixes begins with what the next of them
  // has.
  void BeginSuffix(Slice& slice) {
    slice.suffix = NewTable();
    for (auto it = slices_.upper_bound(slice.start); it != slices_.end() && it->first < turned_;
         ++it) {
      if (it->second.suffix == nullptr) continue;
      CopyInto(*slice.suffix, *it->second.suffix);
      return;
    }
  }
  static void CopyInto(Table& to, Table& from) {
    from.ForEachHashed([&](const K& key, const Accumulator& acc, std::uint64_t hash) {
      *to.FindOrInsert(key, hash).first = acc;
    });
  }

  // The aggregate of one key over the slices of one window.
  Accumulator Combined(Ticks window, const K& key, std::uint64_t hash) {
    Accumulator all{};
    bool first = true;
    const Ticks end = times_.WindowMax(window);
    for (auto it = slices_.lower_bound(window); it != slices_.end() && it->first <= end; ++it) {
      const Accumulator* part = it->second.table->Find(key, hash);
      if (part == nullptr) continue;
      if (first) {
        all = *part;
        first = false;
      } else {
        plan_->aggregator.Merge(all, *part);
      }
    }
    return all;
  }

  // The slice that starts at `start`, made if it is not there yet; null if all its windows are
  // late.
  Slice* FindSlice(Ticks start) {
    if (Slice* const known = by_start_.Find(start); known != nullptr) return known;
    const auto it = slices_.find(start);
    Slice* const slice = it != slices_.end() ? &it->second : OpenSlice(start);
    if (slice != nullptr) by_start_.Remember(start, slice, slices_.size());
    return slice;
  }
  Slice* OpenSlice(Ticks start) {
    Slice slice;
    slice.start = start;
    slice.max_timestamp = times_.SliceMax(start);
    if (SliceIsLate(slice)) return nullptr;
    slice.fresh = EarliestMax(slice) > watermark_ && fired_.empty();
    slice.table = NewTable();
    for (Ticks window = times_.LastWindow(slice); window >= times_.FirstWindow(slice);
         window -= times_.shape().slide) {
      if (times_.WindowMax(window) > watermark_) pending_.insert(window);
    }
    next_due_ = std::min(next_due_, times_.CleanupTime(times_.WindowMax(times_.LastWindow(slice))));
    if (!pending_.empty()) next_due_ = std::min(next_due_, times_.WindowMax(*pending_.begin()));
    return &slices_.emplace(start, std::move(slice)).first->second;
  }

  std::unique_ptr<Table> NewTable() {
    if (spare_tables_.empty())
      return std::make_unique<Table>(context_->key_groups(), context_->max_parallelism());
    std::unique_ptr<Table> table = std::move(spare_tables_.back());
    spare_tables_.pop_back();
    return table;
  }
  void Recycle(std::unique_ptr<Table> table) {
    if (table == nullptr || spare_tables_.size() >= kSpareTables) return;
    table->Clear();
    spare_tables_.push_back(std::move(table));
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

  // False: stopped because an output is blocked.
  bool FireDue() {
    while (!pending_.empty() && times_.WindowMax(*pending_.begin()) <= watermark_) {
      const Ticks window = *pending_.begin();
      if (results_.Blocked()) return false;
      if (!firing_) {
        Cover(window);
        firing_ = true;
        cursor_ = {};
        in_suffix_ = true;
      }
      if (!EmitWindow(window)) return false;
      firing_ = false;
      pending_.erase(pending_.begin());
    }
    return true;
  }

  // Makes the running aggregates those of the window.
  void Cover(Ticks window) {
    const Ticks end = SaturatingAdd(window, times_.shape().size);
    if (covered_to_ <= window || covered_from_ > window) {
      Uncover();
      covered_from_ = covered_to_ = turned_ = window;
    }
    if constexpr (kRetracts) {
      LeaveBefore(window);
    } else {
      covered_from_ = window;
      const auto first = slices_.lower_bound(window);
      if (first == slices_.end() || first->first >= turned_) {
        Turn(window, end);
        return;
      }
    }
    for (auto it = slices_.lower_bound(covered_to_); it != slices_.end() && it->first < end; ++it)
      Enter(it->second);
    covered_to_ = end;
  }
  void Uncover() {
    running_->Clear();
    for (auto& [start, slice] : slices_) Recycle(std::move(slice.suffix));
  }
  void Enter(Slice& slice) {
    slice.table->ForEachHashed([&](const K& key, const Accumulator& acc, std::uint64_t hash) {
      Running& running = *running_->FindOrInsert(key, hash).first;
      if (running.slices++ == 0) {
        running.acc = acc;
      } else {
        plan_->aggregator.Merge(running.acc, acc);
      }
    });
  }
  // Takes the slices that start before `time` out of the running aggregates.
  void LeaveBefore(Ticks time) {
    if constexpr (kRetracts) {
      for (auto it = slices_.lower_bound(covered_from_);
           it != slices_.end() && it->first < std::min(time, covered_to_); ++it) {
        it->second.table->ForEachHashed(
            [&](const K& key, const Accumulator& acc, std::uint64_t hash) {
              Running* running = running_->Find(key, hash);
              if (--running->slices == 0) {
                running_->Erase(key, hash);
              } else {
                plan_->aggregator.Retract(running->acc, acc);
              }
            });
      }
      covered_from_ = std::max(covered_from_, time);
    }
  }
  // Two stacks: every slice of the window gets the aggregate of itself and those after it.
  void Turn(Ticks window, Ticks end) {
    Uncover();
    Table* later = nullptr;
    for (auto it = slices_.lower_bound(end); it != slices_.begin();) {
      --it;
      if (it->first < window) break;
      Slice& slice = it->second;
      slice.suffix = NewTable();
      CopyInto(*slice.suffix, *slice.table);
      if (later != nullptr) {
        later->ForEachHashed([&](const K& key, const Accumulator& acc, std::uint64_t hash) {
          const auto [into, inserted] = slice.suffix->FindOrInsert(key, hash);
          if (inserted) {
            *into = acc;
          } else {
            plan_->aggregator.Merge(*into, acc);
          }
        });
      }
      later = slice.suffix.get();
    }
    turned_ = covered_to_ = end;
  }

  // Emits the results of the covered window from where the last call stopped; false if it stopped
  // again.
  bool EmitWindow(Ticks window) {
    const Ticks max = times_.WindowMax(window);
    std::uint32_t since_check = 0;
    const auto go_on = [&] { return ++since_check % kBatchRecords != 0 || !results_.Blocked(); };
    if constexpr (!kRetracts) {
      const auto first = slices_.lower_bound(window);
      Table* const suffix =
          first != slices_.end() && first->first < turned_ ? first->second.suffix.get() : nullptr;
      if (in_suffix_ && suffix != nullptr) {
        const bool done = suffix->ForEachFrom(cursor_, [&](const K& key, const Accumulator& acc) {
          if (fired_.HasFired(cursor_.group, max)) return go_on();
          const Running* since =
              running_->size() == 0 ? nullptr : running_->Find(key, KeyHash(key));
          if (since == nullptr) {
            EmitResult(window, key, acc);
          } else {
            Accumulator both = acc;
            plan_->aggregator.Merge(both, since->acc);
            EmitResult(window, key, both);
          }
          return go_on();
        });
        if (!done) return false;
      }
      if (in_suffix_) {
        in_suffix_ = false;
        cursor_ = {};
      }
      return running_->ForEachFrom(cursor_, [&](const K& key, const Running& running) {
        if (fired_.HasFired(cursor_.group, max)) return go_on();
        if (suffix == nullptr || suffix->Find(key, KeyHash(key)) == nullptr)
          EmitResult(window, key, running.acc);
        return go_on();
      });
    } else {
      return running_->ForEachFrom(cursor_, [&](const K& key, const Running& running) {
        if (!fired_.HasFired(cursor_.group, max)) EmitResult(window, key, running.acc);
        return go_on();
      });
    }
  }

  void CleanUp() {
    while (!slices_.empty() && SliceIsLate(slices_.begin()->second)) {
      Slice& slice = slices_.begin()->second;
      LeaveBefore(slice.max_timestamp + 1);
      Recycle(std::move(slice.table));
      Recycle(std::move(slice.suffix));
      by_start_.Forget(slice.start);
      slices_.erase(slices_.begin());
    }
    fired_.Advance(watermark_);
    last_ = nullptr;
  }

  void FindNextDue() {
    next_due_ = kMaxTicks;
    if (!pending_.empty()) next_due_ = times_.WindowMax(*pending_.begin());
    if (!slices_.empty())
      next_due_ = std::min(
          next_due_,
          times_.CleanupTime(times_.WindowMax(times_.LastWindow(slices_.begin()->second))));
    // Slices stop being fresh when the first window over them fires, which is always one of those
    // pending.
  }

  // ---- Snapshots.

  class Snapshot final : public KeyedStateTable {
   public:
    explicit Snapshot(SlicedWindowOperator& owner) : owner_(owner) {}
    const std::string& name() const override { return name_; }
    const std::string& type() const override { return type_; }
    std::string evolution() const override {
      return SlicesTypeText<K, Accumulator, EvolvingFields>();
    }
    std::unique_ptr<KeyedStateSnapshot> TakeSnapshot(SnapshotUse use) override {
      auto snapshot = std::make_unique<FrozenSlices<K, Accumulator>>();
      snapshot->watermark = owner_.watermark_;
      snapshot->fired = owner_.fired_;
      for (const auto& [start, slice] : owner_.slices_) {
        if (slice.table->size() == 0) continue;
        snapshot->slices.emplace_back(start, slice.table->Freeze(use, RecordLayout<Accumulator>()));
      }
      return snapshot;
    }
    absl::Status ReadKeyGroup(std::uint32_t key_group, std::string_view bytes) override {
      return owner_.ReadKeyGroup(key_group, bytes);
    }
    void DropKeyGroup(std::uint32_t key_group) override {
      for (auto& [start, slice] : owner_.slices_) {
        slice.table->DropKeyGroup(key_group);
        if (slice.suffix != nullptr) slice.suffix->DropKeyGroup(key_group);
      }
      owner_.running_->DropKeyGroup(key_group);
    }
    std::size_t entries() const override {
      std::size_t total = 0;
      for (const auto& [start, slice] : owner_.slices_) total += slice.table->size();
      return total;
    }
    std::size_t memory_bytes() const override {
      std::size_t total = owner_.running_->memory_bytes();
      for (const auto& [start, slice] : owner_.slices_) {
        total += slice.table->memory_bytes() +
                 (slice.suffix != nullptr ? slice.suffix->memory_bytes() : 0);
      }
      return total;
    }

   private:
    SlicedWindowOperator& owner_;
    std::string name_ = kWindowsState;
    std::string type_ = SlicesTypeText<K, Accumulator>();
  };

  absl::Status ReadKeyGroup(std::uint32_t key_group, std::string_view bytes) {
    Slice* slice = nullptr;
    WEIR_SDK_RETURN_IF_ERROR((ReadSlices<K, Accumulator>(
        bytes, key_group, context_->max_parallelism(),
        [&](Ticks through) {
          for (auto& [start, open] : slices_) open.fresh &= through <= watermark_;
          return fired_.Restore(key_group, through, watermark_);
        },
        [&](Ticks start, std::size_t entries) {
          if (times_.SliceStart(start) != start) {
            return absl::DataLossError(
                "state 'windows': no slice of windows of this size and slide");
          }
          // Null: all its windows have been cleaned, here as where it comes from.
          slice = FindSlice(start);
          if (slice != nullptr) slice->table->Reserve(key_group, entries);
          return absl::OkStatus();
        },
        [&](const K& key, Accumulator acc, std::uint64_t hash) {
          if (slice != nullptr) *slice->table->FindOrInsert(key, hash).first = std::move(acc);
        })));
    // What was covered is covered again at the next firing.
    Uncover();
    covered_from_ = covered_to_ = turned_ = kMinTicks;
    return absl::OkStatus();
  }

  static constexpr std::size_t kSpareTables = 2;

  std::shared_ptr<const Plan> plan_;
  std::shared_ptr<const SidePorts> ports_;
  const SliceTimes<true> times_;
  OperatorContext* context_ = nullptr;
  Results<Out> results_;
  WindowRejects<T, Plan> rejects_;

  Ticks watermark_ = kMinTicks;
  // The record of the batch that is worked on, or none.
  std::size_t at_ = 0;
  // Nothing is to be fired or cleaned before the watermark reaches this.
  Ticks next_due_ = kMaxTicks;
  std::map<Ticks, Slice> slices_;
  Slice* last_ = nullptr;
  OpenByStart<Slice> by_start_;
  // Starts of the windows over some slice that have not fired.
  std::set<Ticks> pending_;
  // Which time the running aggregates cover, and up to where suffixes reach.
  Ticks covered_from_ = kMinTicks;
  Ticks covered_to_ = kMinTicks;
  Ticks turned_ = kMinTicks;
  std::unique_ptr<RunningTable> running_;
  FiredTimes fired_;
  std::vector<std::unique_ptr<Table>> spare_tables_;
  std::vector<Slice*> slices_of_;
  // A firing that met a blocked output.
  bool firing_ = false;
  bool in_suffix_ = true;
  TableCursor cursor_;
  Snapshot snapshot_;
};

}  // namespace weir::internal
