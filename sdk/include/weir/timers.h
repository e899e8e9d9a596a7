#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/codec.h"
#include "weir/hash.h"
#include "weir/state.h"
#include "weir/state_codec.h"
#include "weir/stored_timers.h"
#include "weir/time.h"
#include "weir/timer_queue.h"

namespace weir::internal {

// The due times of named timers of one domain (event or processing time), typed by key. Each timer
// member has a table from key to time, which is the truth and what is snapshotted; a queue orders
// what may be due. A moved timer leaves its old entry in the queue, which is pushed again with the
// new time when it comes up, so moving a timer later costs nothing there. With a StateStore both
// are there (weir/stored_timers.h, weir/timer_queue.h).

// What a timer member does. `queue` and `current` of the typed one belong to the function.
class TimerAccess : public StateMember {
 public:
  virtual void Set(Ticks time) = 0;
  virtual void Clear() = 0;
  virtual std::optional<Ticks> Get() = 0;
  // For any key.
  virtual bool AnySet() const = 0;
};

// A timer's due time and the earliest entry that the queue holds for it.
struct TimerCell {
  Ticks due = 0;
  Ticks queued = 0;
};

struct TimerLayout {
  static constexpr bool kWritesAll = true;
  bool Writes(const TimerCell&) const { return true; }
  void Encode(const TimerCell& cell, std::string& out) const { EncodeValue(cell.due, out); }
};

template <class K>
class KeyedTimer final : public TimerAccess {
 public:
  KeyedTimer(const CurrentKey<K>& current, TimerQueue<K>& queue, std::uint32_t member,
             std::string name, const bool* closed, std::uint64_t* dropped)
      : current_(current),
        queue_(queue),
        member_(member),
        name_(std::move(name)),
        closed_(closed),
        dropped_(dropped) {}

  StateDefinition Describe() const override { return {name_, TypeText(), TypeText()}; }
  void Open(OperatorContext& context) override {
    if (context.state_store() != nullptr) {
      stored_ = std::make_unique<StoredTimer<K>>(name_, TypeText(), context, queue_, member_);
    } else {
      table_ = std::make_unique<Table>(*this, context.key_groups(), context.max_parallelism());
    }
  }
  KeyedStateTable* table() override {
    if (stored_ != nullptr) return stored_.get();
    return table_.get();
  }

  void Set(Ticks time) override {
    // At the end of input a timer of processing time can no longer come due (semantics rule 22).
    if (*closed_) {
      ++*dropped_;
      return;
    }
    if (stored_ != nullptr) [[unlikely]] {
      return stored_->Set(*current_.key, current_.hash, time);
    }
    if (firing_ != nullptr) {
      TimerCell* const cell = std::exchange(firing_, nullptr);
      *cell = {time, time};
      queue_.Push({time, current_.hash, *current_.key, member_});
      return;
    }
    SetFor(*current_.key, current_.hash, time);
  }
  void Clear() override {
    if (stored_ != nullptr) [[unlikely]] {
      return stored_->Clear(*current_.key, current_.hash);
    }
    firing_ = nullptr;
    table_->cells.Erase(*current_.key, current_.hash);
  }
  std::optional<Ticks> Get() override {
    if (stored_ != nullptr) [[unlikely]] {
      return stored_->Get(*current_.key, current_.hash);
    }
    const TimerCell* cell = table_->cells.Find(*current_.key, current_.hash);
    return cell != nullptr && cell != firing_ ? std::optional<Ticks>(cell->due) : std::nullopt;
  }

  bool AnySet() const override { return size() > 0; }

  void LoadBatch(const void* const* keys, const std::uint64_t* hashes,
                 std::size_t records) override {
    if (stored_ != nullptr) stored_->LoadBatch(keys, hashes, records);
  }
  void Prefetch(std::uint64_t hash) const override {
    if (stored_ != nullptr) [[unlikely]] {
      return stored_->Prefetch(hash);
    }
    table_->cells.Prefetch(hash);
  }

  // Whether the queue's entry is a timer that is due at its time; if so it is no longer set, and
  // the caller sets its key as the current one and calls Fired afterwards. An entry of a timer that
  // has been moved later is queued again; one of a deleted timer is dropped.
  bool Take(const typename TimerQueue<K>::Entry& entry) {
    if (stored_ != nullptr) [[unlikely]] {
      return stored_->Take(entry);
    }
    TimerCell* cell = table_->cells.Find(entry.key, entry.hash);
    if (cell == nullptr || cell->queued != entry.time) return false;
    if (cell->due > entry.time) {
      cell->queued = cell->due;
      queue_.Push({cell->due, entry.hash, entry.key, member_});
      return false;
    }
    firing_ = cell;
    return true;
  }
  // Its cell goes, unless the timer was set again, as most are.
  void Fired() {
    if (firing_ != nullptr) Clear();
  }
  bool Stale(const typename TimerQueue<K>::Entry& entry) {
    const TimerCell* cell = table_->cells.Find(entry.key, entry.hash);
    return cell == nullptr || cell->queued != entry.time;
  }
  std::size_t size() const {
    if (stored_ != nullptr) [[unlikely]] {
      return stored_->entries();
    }
    return table_->cells.size() - (firing_ != nullptr ? 1 : 0);
  }
  // Gives the queue, which was cleared, an entry for each that is stored.
  void QueueStored() { stored_->QueueAll(); }

 private:
  static std::string TypeText() { return "timer<" + TypeNotation<K>() + ">"; }

  // The snapshot's view: key and due time.
  class Table final : public KeyedStateTable {
   public:
    Table(KeyedTimer& timer, KeyGroupRange range, std::uint32_t max_parallelism)
        : cells(range, max_parallelism),
          timer_(timer),
          max_parallelism_(max_parallelism),
          type_(TypeText()) {}
    const std::string& name() const override { return timer_.name_; }
    const std::string& type() const override { return type_; }
    std::unique_ptr<KeyedStateSnapshot> TakeSnapshot(SnapshotUse use) override {
      return std::make_unique<NamedSnapshot<K, TimerCell>>(cells.Freeze(use, TimerLayout()));
    }
    absl::Status ReadKeyGroup(std::uint32_t key_group, std::string_view bytes) override {
      if (bytes.empty()) return absl::OkStatus();
      Decoder in(bytes);
      WEIR_SDK_RETURN_IF_ERROR((ReadEntries<K, Ticks>(
          in, key_group, max_parallelism_, timer_.name_,
          [&](std::size_t entries) { cells.Reserve(key_group, entries); },
          [&](const K& key, Ticks due, std::uint64_t hash) { timer_.SetFor(key, hash, due); })));
      if (in.remaining() > 0)
        return absl::DataLossError("timer '" + timer_.name_ + "': bytes are left over");
      return absl::OkStatus();
    }
    void DropKeyGroup(std::uint32_t key_group) override { cells.DropKeyGroup(key_group); }
    std::size_t entries() const override { return cells.size(); }
    std::size_t memory_bytes() const override { return cells.memory_bytes(); }

    KeyedTable<K, TimerCell> cells;

   private:
    KeyedTimer& timer_;
    std::uint32_t max_parallelism_;
    std::string type_;
  };

  void SetFor(const K& key, std::uint64_t hash, Ticks time) {
    auto [cell, inserted] = table_->cells.FindOrInsert(key, hash);
    cell->due = time;
    if (inserted || time < cell->queued) {
      cell->queued = time;
      queue_.Push({time, hash, key, member_});
    }
  }

  const CurrentKey<K>& current_;
  TimerQueue<K>& queue_;
  std::uint32_t member_;
  std::string name_;
  const bool* closed_;
  std::uint64_t* dropped_;
  // One of them, once it is open.
  std::unique_ptr<Table> table_;
  std::unique_ptr<StoredTimer<K>> stored_;
  // In memory, the cell of the current key's timer while that fires and is not set again; else
  // null.
  TimerCell* firing_ = nullptr;
};

// What a member of many timers does.
class TimersAccess : public StateMember {
 public:
  virtual void Set(Ticks time) = 0;
  virtual bool Delete(Ticks time) = 0;
  virtual bool IsSet(Ticks time) = 0;
  virtual void Clear() = 0;
};

// The timers of one member: those of each key by their time. An entry of the queue whose time is
// not among them any more is dropped when it comes up.
template <class K>
class KeyedTimers final : public TimersAccess {
 public:
  KeyedTimers(const CurrentKey<K>& current, TimerQueue<K>& queue, std::uint32_t member,
              std::string name, const bool* closed, std::uint64_t* dropped)
      : current_(current),
        queue_(queue),
        member_(member),
        name_(std::move(name)),
        closed_(closed),
        dropped_(dropped) {}

  StateDefinition Describe() const override { return {name_, TypeText(), TypeText()}; }
  void Open(OperatorContext& context) override {
    if (context.state_store() != nullptr) {
      stored_ = std::make_unique<StoredTimers<K>>(name_, TypeText(), context, queue_, member_);
    } else {
      table_ = std::make_unique<Table>(*this, context.key_groups(), context.max_parallelism());
    }
  }
  KeyedStateTable* table() override {
    if (stored_ != nullptr) return stored_.get();
    return table_.get();
  }

  void Set(Ticks time) override {
    if (*closed_) {  // semantics rule 22
      ++*dropped_;
      return;
    }
    if (stored_ != nullptr) [[unlikely]] {
      return stored_->Set(*current_.key, current_.hash, time);
    }
    SetFor(*current_.key, current_.hash, time);
  }
  bool Delete(Ticks time) override { return Erase(*current_.key, current_.hash, time); }
  bool IsSet(Ticks time) override {
    if (stored_ != nullptr) [[unlikely]] {
      return stored_->IsSet(*current_.key, current_.hash, time);
    }
    const std::set<Ticks>* due = table_->cells.Find(*current_.key, current_.hash);
    return due != nullptr && due->contains(time);
  }
  void Clear() override {
    if (stored_ != nullptr) [[unlikely]] {
      return stored_->Clear(*current_.key, current_.hash);
    }
    if (const std::set<Ticks>* due = table_->cells.Find(*current_.key, current_.hash))
      table_->timers -= due->size();
    table_->cells.Erase(*current_.key, current_.hash);
  }

  bool Take(const typename TimerQueue<K>::Entry& entry) {
    return Erase(entry.key, entry.hash, entry.time);
  }
  bool Stale(const typename TimerQueue<K>::Entry& entry) {
    const std::set<Ticks>* due = table_->cells.Find(entry.key, entry.hash);
    return due == nullptr || !due->contains(entry.time);
  }
  std::size_t size() const { return stored_ != nullptr ? stored_->entries() : table_->timers; }
  void LoadBatch(const void* const* keys, const std::uint64_t* hashes,
                 std::size_t records) override {
    if (stored_ != nullptr) stored_->LoadBatch(keys, hashes, records);
  }
  // As that of a KeyedTimer.
  void QueueStored() { stored_->QueueAll(); }

 private:
  static std::string TypeText() {
    return "map<" + TypeNotation<K>() + "," + TypeNotation<std::vector<EventTime>>() + ">";
  }

  class Table final : public KeyedStateTable {
   public:
    Table(KeyedTimers& of, KeyGroupRange range, std::uint32_t max_parallelism)
        : cells(range, max_parallelism), of_(of), max_parallelism_(max_parallelism) {}
    const std::string& name() const override { return of_.name_; }
    const std::string& type() const override { return type_; }
    std::unique_ptr<KeyedStateSnapshot> TakeSnapshot(SnapshotUse use) override {
      return std::make_unique<NamedSnapshot<K, std::set<Ticks>>>(cells.Freeze(use, TimersLayout()));
    }
    absl::Status ReadKeyGroup(std::uint32_t key_group, std::string_view bytes) override {
      if (bytes.empty()) return absl::OkStatus();
      Decoder in(bytes);
      WEIR_SDK_RETURN_IF_ERROR((ReadEntries<K, std::vector<EventTime>>(
          in, key_group, max_parallelism_, of_.name_,
          [&](std::size_t entries) { cells.Reserve(key_group, entries); },
          [&](const K& key, const std::vector<EventTime>& times, std::uint64_t hash) {
            for (const EventTime time : times) of_.SetFor(key, hash, time.ticks());
          })));
      if (in.remaining() > 0)
        return absl::DataLossError("timers '" + of_.name_ + "': bytes are left over");
      return absl::OkStatus();
    }
    void DropKeyGroup(std::uint32_t key_group) override {
      cells.DropKeyGroup(key_group);
      timers = 0;
      cells.ForEach([&](const K&, const std::set<Ticks>& due) { timers += due.size(); });
    }
    std::size_t entries() const override { return timers; }
    std::size_t memory_bytes() const override { return cells.memory_bytes(); }

    KeyedTable<K, std::set<Ticks>> cells;
    // Of all keys.
    std::size_t timers = 0;

   private:
    KeyedTimers& of_;
    const std::uint32_t max_parallelism_;
    const std::string type_ = TypeText();
  };

  void SetFor(const K& key, std::uint64_t hash, Ticks time) {
    if (!table_->cells.FindOrInsert(key, hash).first->insert(time).second) return;
    ++table_->timers;
    queue_.Push({time, hash, key, member_});
  }
  // Whether it was set.
  bool Erase(const K& key, std::uint64_t hash, Ticks time) {
    if (stored_ != nullptr) [[unlikely]] {
      return stored_->Erase(key, hash, time);
    }
    std::set<Ticks>* due = table_->cells.Find(key, hash);
    if (due == nullptr || due->erase(time) == 0) return false;
    --table_->timers;
    if (due->empty()) table_->cells.Erase(key, hash);
    return true;
  }

  const CurrentKey<K>& current_;
  TimerQueue<K>& queue_;
  const std::uint32_t member_;
  const std::string name_;
  const bool* closed_;
  std::uint64_t* dropped_;
  // One of them, once it is open.
  std::unique_ptr<Table> table_;
  std::unique_ptr<StoredTimers<K>> stored_;
};

}  // namespace weir::internal

namespace weir {

namespace internal {
template <bool kEventTime>
class ManyTimers {
 public:
  template <class Function>
  ManyTimers(Function* function, std::string_view name) : access_(Add(*function, name)) {}
  ManyTimers(const ManyTimers&) = delete;
  ManyTimers& operator=(const ManyTimers&) = delete;

  // Sets one of the current key for `time`; two for the same time are one.
  void Set(EventTime time) { access_->Set(time.ticks()); }
  // Whether there was one for `time`.
  bool Delete(EventTime time) { return access_->Delete(time.ticks()); }
  bool IsSet(EventTime time) const { return access_->IsSet(time.ticks()); }
  // Deletes all of the current key.
  void Clear() { access_->Clear(); }

  friend bool operator==(const ManyTimers& a, const ManyTimers& b) { return &a == &b; }

 private:
  template <class Function>
  internal::TimersAccess* Add(Function& function, std::string_view name) {
    if constexpr (!KeyedFunction<Function>) {
      static_assert(KeyedFunction<Function>,
                    "timers belong in a weir::KeyedProcess; a weir::ProcessFunction has no key");
      return nullptr;
    } else {
      return function.template AddTimers<kEventTime>(this, std::string(name));
    }
  }

  internal::TimersAccess* access_;
};

template <bool kEventTime>
class NamedTimer {
 public:
  template <class Function>
  NamedTimer(Function* function, std::string_view name) : access_(Add(*function, name)) {}
  NamedTimer(const NamedTimer&) = delete;
  NamedTimer& operator=(const NamedTimer&) = delete;

  // Sets the timer of the current key, or moves it if it is set.
  void Set(EventTime time) { access_->Set(time.ticks()); }
  // Does nothing if it is not set.
  void Clear() { access_->Clear(); }
  bool IsSet() const { return access_->Get().has_value(); }
  // When it is due; nothing if it is not set.
  std::optional<EventTime> Time() const {
    const std::optional<Ticks> ticks = access_->Get();
    if (!ticks.has_value()) return std::nullopt;
    return EventTime::FromTicks(*ticks);
  }

  // Whether it is set for any key of this subtask.
  bool AnySet() const { return access_->AnySet(); }

  friend bool operator==(const NamedTimer& a, const NamedTimer& b) { return &a == &b; }

 private:
  template <class Function>
  internal::TimerAccess* Add(Function& function, std::string_view name) {
    if constexpr (!KeyedFunction<Function>) {
      static_assert(KeyedFunction<Function>,
                    "a timer belongs in a weir::KeyedProcess; a weir::ProcessFunction has no key");
      return nullptr;
    } else {
      return function.template AddTimer<kEventTime>(this, std::string(name));
    }
  }

  internal::TimerAccess* access_;
};
}  // namespace internal

// A timer of the current key in event time, a member of a KeyedProcess: it fires when the watermark
// reaches its time. One timer a name and key; setting it again moves it.
using EventTimer = internal::NamedTimer<true>;
// The same on the wall clock: fires once the clock is past its time.
using ProcessingTimer = internal::NamedTimer<false>;

// Any number of timers of the current key in event time, each known by its time, a member of a
// KeyedProcess. They cost memory each; where one is enough, an EventTimer that is moved costs less.
using EventTimers = internal::ManyTimers<true>;
// The same on the wall clock.
using ProcessingTimers = internal::ManyTimers<false>;

}  // namespace weir
