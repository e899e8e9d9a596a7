#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

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

// Tumbling windows, and sliding ones whose aggregation must see the records of each window in their
// order of arrival: a table from key to accumulator for each open window. One timer a window end,
// not a key: what is due is found by comparing the watermark with the earliest window that has
// something to do (semantics rules 1-8).
template <class K, class T, class Out, class Plan>
class WindowOperator final : public Operator {
 public:
  using Accumulator = typename decltype(Plan::aggregator)::Accumulator;

  WindowOperator(std::shared_ptr<const Plan> plan, std::shared_ptr<const SidePorts> ports)
      : plan_(std::move(plan)),
        ports_(std::move(ports)),
        shape_(plan_->shape),
        by_start_(shape_.slide),
        snapshot_(*this) {}

  absl::Status Open(OperatorContext& context) override {
    context_ = &context;
    results_.Open(context, ports_);
    rejects_.Open(context, *plan_);
    fired_.Open(context);
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
      FindNextDue();
    }
    WEIR_SDK_RETURN_IF_ERROR(results_.Flush());
    return done;
  }

  std::vector<KeyedStateTable*> keyed_state() override { return {&snapshot_}; }
  bool ListWindows(WindowListing& listing) override {
    listing.there_are += panes_.size();
    for (const auto& [start, pane] : panes_) {
      if (listing.Full()) break;
      ++listing.looked;
      const std::uint64_t keys = pane.table->size();
      if (keys == 0) continue;
      listing.Add(
          {.start = start,
           .end = SaturatingAdd(pane.max_timestamp, 1),
           .fires = pane.fired ? ListedWindow::Fires::kFired : ListedWindow::Fires::kAtWatermark,
           .at = pane.max_timestamp,
           .gone_at = CleanupTime(pane.max_timestamp),
           .keys = keys,
           .entries = keys,
           .bytes = pane.table->memory_bytes()});
    }
    return true;
  }

 private:
  using Table = KeyedTable<K, Accumulator>;

  // One open window.
  struct Pane {
    Ticks start = 0;
    // Inclusive.
    Ticks max_timestamp = 0;
    std::unique_ptr<Table> table;
    // At the end of the window, which the watermark has passed.
    bool fired = false;
  };

  Ticks CleanupTime(Ticks max_timestamp) const {
    return SaturatingAdd(max_timestamp, shape_.lateness);
  }
  bool WindowIsLate(Ticks max_timestamp) const { return CleanupTime(max_timestamp) <= watermark_; }

  // ---- Records.

  absl::Status Process(Batch<T>& batch) {
    if (batch.timestamps.empty() && !batch.records.empty()) return rejects_.NoTimestamp();
    if (shape_.slide == shape_.size) {
      WEIR_SDK_RETURN_IF_ERROR(ProcessTumbling(batch));
    } else {
      WEIR_SDK_RETURN_IF_ERROR(ProcessSliding(batch));
    }
    return results_.Flush();
  }

  absl::Status ProcessTumbling(Batch<T>& batch) {
    const std::size_t n = batch.records.size();
    if (n == 0) return absl::OkStatus();
    if (last_ == nullptr || !AllWithin(last_->start, last_->max_timestamp, batch)) {
      if (batch.timestamps[0] == kMinTicks) return rejects_.NoTimestamp();
      last_ = FindPane(WindowStart(batch.timestamps[0], shape_.offset, shape_.size));
      if (last_ == nullptr || !AllWithin(last_->start, last_->max_timestamp, batch))
        return ProcessMixed(batch);
    }
    if (last_->fired || !fired_.empty()) return ProcessMixed(batch);
    AddBatch(*last_->table, batch, plan_->key, plan_->aggregator, at_);
    return absl::OkStatus();
  }

  // Records of several windows, of fired ones or late.
  absl::Status ProcessMixed(Batch<T>& batch) {
    const std::size_t n = batch.records.size();
    panes_of_.resize(n);
    if (batch.hashes.empty()) HashBatch(batch, plan_->key);
    for (std::size_t i = 0; i < n; ++i) {
      const Ticks ts = batch.timestamps[i];
      Pane* pane = last_;
      if (pane == nullptr || ts < pane->start || ts > pane->max_timestamp) {
        if (ts == kMinTicks) return rejects_.NoTimestamp();
        pane = FindPane(WindowStart(ts, shape_.offset, shape_.size));
        if (pane != nullptr) last_ = pane;
      }
      panes_of_[i] = pane;
    }
    constexpr std::size_t kAhead = 16;
    for (std::size_t i = 0; i < n; ++i) {
      at_ = i;
      if (i + kAhead < n && panes_of_[i + kAhead] != nullptr) {
        panes_of_[i + kAhead]->table->Prefetch(batch.hashes[i + kAhead]);
      }
      if (panes_of_[i] == nullptr) [[unlikely]] {
        rejects_.Late(batch.records[i], batch.timestamps[i], watermark_, results_);
        continue;
      }
      AddTo(*panes_of_[i], batch.records[i], batch.hashes[i]);
    }
    return absl::OkStatus();
  }

  absl::Status ProcessSliding(Batch<T>& batch) {
    const bool hashed = !batch.hashes.empty();
    for (std::size_t i = 0; i < batch.records.size(); ++i) {
      at_ = i;
      const T& record = batch.records[i];
      const Ticks ts = batch.timestamps[i];
      if (ts == kMinTicks) [[unlikely]] {
        return rejects_.NoTimestamp();
      }
      const std::uint64_t hash =
          hashed ? batch.hashes[i] : KeyHash(std::invoke(plan_->key, record));
      std::uint64_t skipped = 0;
      std::uint64_t added = 0;
      for (Ticks start = WindowStart(ts, shape_.offset, shape_.slide); start > ts - shape_.size;
           start -= shape_.slide) {
        if (Pane* pane = FindPane(start); pane != nullptr) {
          AddTo(*pane, record, hash);
          ++added;
        } else {
          ++skipped;
        }
      }
      // Rules 3 and 7.
      if (added == 0) {
        if (SaturatingAdd(ts, shape_.lateness) <= watermark_)
          rejects_.Late(batch.records[i], ts, watermark_, results_);
      } else {
        rejects_.SkippedWindows(skipped);
      }
    }
    return absl::OkStatus();
  }

  void AddTo(Pane& pane, const T& record, std::uint64_t hash) {
    const K& key = std::invoke(plan_->key, record);
    Accumulator& acc = *pane.table->FindOrInsert(key, hash).first;
    plan_->aggregator.Add(acc, record);
    // Rule 5: the window's end has passed, so each further record fires it.
    if (pane.fired || fired_.OfHash(hash) >= pane.max_timestamp) [[unlikely]] {
      EmitResult(pane, key, acc);
    }
  }

  // The window that starts at `start`, made if it is not open yet; null if it is late.
  Pane* FindPane(Ticks start) {
    const Ticks max_timestamp = start + (shape_.size - 1);
    if (Pane* const known = by_start_.Find(start); known != nullptr) return known;
    if (WindowIsLate(max_timestamp)) return nullptr;
    auto [it, inserted] = panes_.try_emplace(start);
    if (inserted) InitPane(it->second, start, max_timestamp, max_timestamp <= watermark_);
    by_start_.Remember(start, &it->second, panes_.size());
    return &it->second;
  }

  void InitPane(Pane& pane, Ticks start, Ticks max_timestamp, bool fired) {
    pane.start = start;
    pane.max_timestamp = max_timestamp;
    pane.fired = fired;
    if (!spare_tables_.empty()) {
      pane.table = std::move(spare_tables_.back());
      spare_tables_.pop_back();
    } else {
      pane.table = std::make_unique<Table>(context_->key_groups(), context_->max_parallelism());
    }
    next_due_ = std::min(next_due_, fired ? CleanupTime(max_timestamp) : max_timestamp);
  }

  // ---- Firing and cleaning.

  void EmitResult(const Pane& pane, const K& key, const Accumulator& acc) {
    const TimeWindow window{EventTime::FromTicks(pane.start),
                            EventTime::FromTicks(SaturatingAdd(pane.max_timestamp, 1))};
    try {
      results_.Emit(plan_->make_result(key, window, plan_->aggregator.Result(acc)),
                    pane.max_timestamp);
    } catch (...) {
      TellThrownFor(*context_, key);
      throw;
    }
  }

  // Fires the windows whose end the watermark has passed, in order of time. False: stopped because
  // an output is blocked.
  bool FireDue() {
    for (auto& [start, pane] : panes_) {
      if (pane.max_timestamp > watermark_) break;
      if (pane.fired) continue;
      if (results_.Blocked()) return false;
      std::uint32_t since_check = 0;
      const bool done = pane.table->ForEachFrom(
          cursor_, [&, &fired_pane = pane](const K& key, const Accumulator& acc) {
            if (!fired_.HasFired(cursor_.group, fired_pane.max_timestamp))
              EmitResult(fired_pane, key, acc);
            return ++since_check % kBatchRecords != 0 || !results_.Blocked();
          });
      if (!done) return false;
      cursor_ = {};
      pane.fired = true;
    }
    return true;
  }

  void CleanUp() {
    while (!panes_.empty() && WindowIsLate(panes_.begin()->second.max_timestamp)) {
      Pane& pane = panes_.begin()->second;
      if (spare_tables_.size() < kSpareTables) {
        pane.table->Clear();
        spare_tables_.push_back(std::move(pane.table));
      }
      by_start_.Forget(pane.start);
      panes_.erase(panes_.begin());
    }
    fired_.Advance(watermark_);
    last_ = nullptr;
  }

  void FindNextDue() {
    next_due_ = kMaxTicks;
    if (panes_.empty()) return;
    next_due_ = CleanupTime(panes_.begin()->second.max_timestamp);
    for (const auto& [start, pane] : panes_) {
      if (pane.fired) continue;
      next_due_ = std::min(next_due_, pane.max_timestamp);
      break;
    }
  }

  // ---- Snapshots.

  class Snapshot final : public KeyedStateTable {
   public:
    explicit Snapshot(WindowOperator& owner) : owner_(owner) {}
    const std::string& name() const override { return name_; }
    const std::string& type() const override { return type_; }
    std::string evolution() const override {
      return SlicesTypeText<K, Accumulator, EvolvingFields>();
    }
    std::unique_ptr<KeyedStateSnapshot> TakeSnapshot(SnapshotUse use) override {
      auto snapshot = std::make_unique<FrozenSlices<K, Accumulator>>();
      snapshot->watermark = owner_.watermark_;
      snapshot->fired = owner_.fired_;
      for (const auto& [start, pane] : owner_.panes_) {
        if (pane.table->size() == 0) continue;
        snapshot->slices.emplace_back(start, pane.table->Freeze(use, RecordLayout<Accumulator>()));
      }
      return snapshot;
    }
    absl::Status ReadKeyGroup(std::uint32_t key_group, std::string_view bytes) override {
      return owner_.ReadKeyGroup(key_group, bytes);
    }
    void DropKeyGroup(std::uint32_t key_group) override {
      for (auto& [start, pane] : owner_.panes_) pane.table->DropKeyGroup(key_group);
    }
    std::size_t entries() const override {
      std::size_t total = 0;
      for (const auto& [start, pane] : owner_.panes_) total += pane.table->size();
      return total;
    }
    std::size_t memory_bytes() const override {
      std::size_t total = 0;
      for (const auto& [start, pane] : owner_.panes_) total += pane.table->memory_bytes();
      for (const auto& table : owner_.spare_tables_) total += table->memory_bytes();
      return total;
    }

   private:
    WindowOperator& owner_;
    std::string name_ = kWindowsState;
    std::string type_ = SlicesTypeText<K, Accumulator>();
  };

  absl::Status ReadKeyGroup(std::uint32_t key_group, std::string_view bytes) {
    Pane* pane = nullptr;
    return ReadSlices<K, Accumulator>(
        bytes, key_group, context_->max_parallelism(),
        [&](Ticks through) { return fired_.Restore(key_group, through, watermark_); },
        [&](Ticks start, std::size_t entries) {
          if (WindowStart(start, shape_.offset, shape_.slide) != start)
            return absl::DataLossError("state 'windows': no window of this size and slide");
          // Null: it has been cleaned, here as where it comes from.
          pane = FindPane(start);
          if (pane != nullptr) pane->table->Reserve(key_group, entries);
          return absl::OkStatus();
        },
        [&](const K& key, Accumulator acc, std::uint64_t hash) {
          if (pane != nullptr) *pane->table->FindOrInsert(key, hash).first = std::move(acc);
        });
  }

  static constexpr std::size_t kSpareTables = 1;

  std::shared_ptr<const Plan> plan_;
  std::shared_ptr<const SidePorts> ports_;
  const WindowShape shape_;
  OperatorContext* context_ = nullptr;
  Results<Out> results_;
  WindowRejects<T, Plan> rejects_;

  Ticks watermark_ = kMinTicks;
  // The record of the batch that is worked on, or none.
  std::size_t at_ = 0;
  // Nothing is to be fired or cleaned before the watermark reaches this.
  Ticks next_due_ = kMaxTicks;
  // Open windows by start, which is also the order of their ends.
  std::map<Ticks, Pane> panes_;
  Pane* last_ = nullptr;
  OpenByStart<Pane> by_start_;
  std::vector<std::unique_ptr<Table>> spare_tables_;
  std::vector<Pane*> panes_of_;
  FiredTimes fired_;
  // Where a firing that met a blocked output goes on.
  typename Table::Cursor cursor_;
  Snapshot snapshot_;
};

}  // namespace weir::internal
