#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/cached_table.h"
#include "weir/state_codec.h"
#include "weir/timer_queue.h"

namespace weir::internal {

// Timers of one member in a column of a store, by key: that is the truth, and what snapshots have.
// The queue has for each of them an entry with its time or an earlier one, and maybe others. V is
// what a key has; throws StateError.
template <class K, class V, class Layout>
class StoredTimerTable : public KeyedStateTable {
 public:
  // `queue` outlives it, as `name` and the context's store do.
  StoredTimerTable(const std::string& name, std::string type, OperatorContext& context,
                   TimerQueue<K>& queue, std::uint32_t member)
      : name_(name),
        type_(std::move(type)),
        max_parallelism_(context.max_parallelism()),
        queue_(queue),
        member_(member) {
    auto column = context.state_store()->OpenColumn(name_, ColumnLayout::kEntries);
    ThrowIfError(column.status(), name_);
    cells_ = std::make_unique<Cells>(name_, *std::move(column), context.key_groups(),
                                     max_parallelism_, Layout());
  }

  const std::string& name() const override { return name_; }
  const std::string& type() const override { return type_; }
  bool stored() const override { return true; }
  void Flush() override { cells_->Save(); }
  std::unique_ptr<KeyedStateSnapshot> TakeSnapshot(SnapshotUse) override {
    return cells_->TakeSnapshot();
  }
  // The queue gets them by Restored.
  absl::Status ReadKeyGroup(std::uint32_t key_group, std::string_view bytes) override {
    if (bytes.empty()) return absl::OkStatus();
    Decoder in(bytes);
    WEIR_SDK_RETURN_IF_ERROR((ReadEntries<K, V>(
        in, key_group, max_parallelism_, name_, [](std::size_t) {},
        [&](const K& key, V value, std::uint64_t hash) {
          cells_->Overwrite(key, hash) = std::move(value);
        },
        Layout(), [&](std::uint64_t hash) { cells_->Prefetch(hash); })));
    if (in.remaining() > 0)
      return absl::DataLossError("timers '" + name_ + "': bytes are left over");
    return absl::OkStatus();
  }
  void Restored() override { QueueAll(); }
  void DropKeyGroup(std::uint32_t key_group) override {
    cells_->DropKeyGroup(key_group);
    timers_ = 0;
    ForEach([this](const K&, const V& value) { timers_ += TimersIn(value); });
  }
  std::size_t entries() const override { return timers_; }
  std::size_t memory_bytes() const override { return cells_->memory_bytes(); }

  void Prefetch(std::uint64_t hash) const { cells_->Prefetch(hash); }
  void LoadBatch(const void* const* keys, const std::uint64_t* hashes, std::size_t records) {
    if (cells_->IsUsedBy(records))
      cells_->Load(reinterpret_cast<const K* const*>(keys), hashes, records);
  }
  // Counts all that are stored and gives the queue an entry for each. What was known of the queue's
  // entries is void if it was cleared before.
  void QueueAll() {
    timers_ = 0;
    ForEach([this](const K& key, const V& value) {
      timers_ += TimersIn(value);
      QueueEach(key, KeyHash(key), value);
    });
  }

 protected:
  using Cells = CachedTable<K, V, Layout>;
  using Cell = typename Cells::Cell;

  virtual std::size_t TimersIn(const V& value) const = 0;
  virtual void QueueEach(const K& key, std::uint64_t hash, const V& value) = 0;

  Cells& cells() { return *cells_; }
  TimerQueue<K>& queue() { return queue_; }
  void Push(const K& key, std::uint64_t hash, Ticks time) {
    queue_.Push({time, hash, key, member_});
  }
  void Forget(Cell& cell, const K& key, std::uint64_t hash) {
    cells_->Touch(cell, key, hash);
    cell.present = false;
    cell.value = V();
  }

  // Of all keys.
  std::size_t timers_ = 0;

 private:
  template <class F>
  void ForEach(F&& f) {
    cells_->Peek(std::numeric_limits<std::size_t>::max(), [&](const K& key, const V& value) {
      f(key, value);
      return true;
    });
  }

  const std::string& name_;
  const std::string type_;
  const std::uint32_t max_parallelism_;
  std::unique_ptr<Cells> cells_;
  TimerQueue<K>& queue_;
  const std::uint32_t member_;
};

// A timer's due time, and as far as it is known the earliest entry that the queue has for it.
struct StoredTimerCell {
  Ticks due = 0;
  Ticks queued = 0;
  // That filling of the queue has `queued`; 0: it is not known, and one has an entry up to `due`.
  std::uint64_t filling = 0;
};

struct StoredTimerLayout {
  static constexpr bool kWritesAll = true;
  bool Writes(const StoredTimerCell&) const { return true; }
  void Encode(const StoredTimerCell& cell, std::string& out) const { EncodeValue(cell.due, out); }
  StoredTimerLayout Frozen() const { return *this; }
  bool Decode(Decoder& in, StoredTimerCell& cell) const {
    cell = StoredTimerCell();
    return DecodeValue(in, cell.due);
  }
};

// One timer a key.
template <class K>
class StoredTimer final : public StoredTimerTable<K, StoredTimerCell, StoredTimerLayout> {
  using Base = StoredTimerTable<K, StoredTimerCell, StoredTimerLayout>;

 public:
  using Base::Base;

  void Set(const K& key, std::uint64_t hash, Ticks time) {
    auto& cell = this->cells().Look(key, hash);
    StoredTimerCell& timer = cell.value;
    if (cell.present && timer.due == time) return;
    this->cells().Touch(cell, key, hash);
    if (!cell.present) {
      cell.present = true;
      ++this->timers_;
      Queue(timer, key, hash, time);
    } else if (time < (Knows(timer) ? timer.queued : timer.due)) {
      Queue(timer, key, hash, time);
    }
    timer.due = time;
  }
  void Clear(const K& key, std::uint64_t hash) {
    auto& cell = this->cells().Look(key, hash);
    if (cell.present) Drop(cell, key, hash);
  }
  std::optional<Ticks> Get(const K& key, std::uint64_t hash) {
    const StoredTimerCell* const timer = this->cells().Find(key, hash);
    return timer != nullptr ? std::optional<Ticks>(timer->due) : std::nullopt;
  }
  // Whether the entry, which the queue does not have any more, is that of a timer that is due at
  // its time; it is not set any more then. That of one that was put off is queued again.
  bool Take(const TimerEntry<K>& entry) {
    auto& cell = this->cells().Look(entry.key, entry.hash);
    StoredTimerCell& timer = cell.value;
    // Also if it is known that another entry is the timer's.
    if (!cell.present || (Knows(timer) && timer.queued != entry.time)) return false;
    if (timer.due > entry.time) Queue(timer, entry.key, entry.hash, timer.due);
    if (timer.due != entry.time) return false;
    Drop(cell, entry.key, entry.hash);
    return true;
  }

 protected:
  std::size_t TimersIn(const StoredTimerCell&) const override { return 1; }
  void QueueEach(const K& key, std::uint64_t hash, const StoredTimerCell& timer) override {
    this->Push(key, hash, timer.due);
  }

 private:
  bool Knows(const StoredTimerCell& timer) { return timer.filling == this->queue().filling(); }
  void Queue(StoredTimerCell& timer, const K& key, std::uint64_t hash, Ticks time) {
    timer.queued = time;
    timer.filling = this->queue().filling();
    this->Push(key, hash, time);
  }
  void Drop(typename Base::Cell& cell, const K& key, std::uint64_t hash) {
    this->Forget(cell, key, hash);
    --this->timers_;
  }
};

struct TimersLayout {
  static constexpr bool kWritesAll = true;
  bool Writes(const std::set<Ticks>&) const { return true; }
  void Encode(const std::set<Ticks>& due, std::string& out) const {
    std::vector<EventTime> times;
    times.reserve(due.size());
    for (const Ticks time : due) times.push_back(EventTime::FromTicks(time));
    EncodeValue(times, out);
  }
  TimersLayout Frozen() const { return *this; }
  bool Decode(Decoder& in, std::set<Ticks>& due) const {
    std::vector<EventTime> times;
    if (!DecodeValue(in, times)) return false;
    due.clear();
    for (const EventTime time : times) due.insert(due.end(), time.ticks());
    return true;
  }
};

// Any number of timers a key, each known by its time.
template <class K>
class StoredTimers final : public StoredTimerTable<K, std::set<Ticks>, TimersLayout> {
  using Base = StoredTimerTable<K, std::set<Ticks>, TimersLayout>;

 public:
  using Base::Base;

  void Set(const K& key, std::uint64_t hash, Ticks time) {
    auto& cell = this->cells().Look(key, hash);
    if (!cell.value.insert(time).second) return;
    this->cells().Touch(cell, key, hash);
    cell.present = true;
    ++this->timers_;
    this->Push(key, hash, time);
  }
  bool IsSet(const K& key, std::uint64_t hash, Ticks time) {
    const std::set<Ticks>* const due = this->cells().Find(key, hash);
    return due != nullptr && due->contains(time);
  }
  // Whether it was set. What the queue has of it is dropped when it comes.
  bool Erase(const K& key, std::uint64_t hash, Ticks time) {
    auto& cell = this->cells().Look(key, hash);
    if (!cell.present || cell.value.erase(time) == 0) return false;
    --this->timers_;
    if (cell.value.empty()) {
      this->Forget(cell, key, hash);
    } else {
      this->cells().Touch(cell, key, hash);
    }
    return true;
  }
  void Clear(const K& key, std::uint64_t hash) {
    auto& cell = this->cells().Look(key, hash);
    if (!cell.present) return;
    this->timers_ -= cell.value.size();
    this->Forget(cell, key, hash);
  }

 protected:
  std::size_t TimersIn(const std::set<Ticks>& due) const override { return due.size(); }
  void QueueEach(const K& key, std::uint64_t hash, const std::set<Ticks>& due) override {
    for (const Ticks time : due) this->Push(key, hash, time);
  }
};

}  // namespace weir::internal
