#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "weir/due_queue.h"
#include "weir/memory_size.h"
#include "weir/spilled_timers.h"
#include "weir/state_store.h"
#include "weir/time.h"

namespace weir::internal {

// How far ahead timers usually are set, where it is not known: a minute.
inline constexpr Ticks kUsualTimerAhead = 60'000'000;

// The times at which timers of one domain (event or processing time) may be due: a DueQueue. With a
// store it takes no more memory than its share there: the latest entries are in a scratch, and are
// taken back when there are no others. All that is in memory comes before all that is spilled.
//
// Throws StateError. Owned by an operator.
template <class K>
class TimerQueue {
 public:
  using Entry = TimerEntry<K>;

  // Entries are usually up to `ahead` ticks after those that are due.
  explicit TimerQueue(Ticks ahead) : ahead_(ahead), near_(ahead) {}

  // Once, before the first entry. `store` outlives the queue, which is its scratch `name`.
  void SpillTo(StateStore& store, std::string name) {
    spilled_ = std::make_unique<SpilledTimers<K>>(store, std::move(name));
  }

  void Push(Entry entry) {
    if (spilled_ != nullptr) [[unlikely]] {
      return PushBounded(std::move(entry));
    }
    near_.Push(std::move(entry));
  }
  std::size_t size() const { return near_.size() + (spilled_ != nullptr ? spilled_->size() : 0); }

  // As those of a DueQueue.
  const Entry* First(Ticks time) {
    if (spilled_ != nullptr) [[unlikely]] {
      return FirstBounded(time);
    }
    return near_.First(time);
  }
  const Entry* Ahead(std::size_t ahead) const { return near_.Ahead(ahead); }
  Entry PopFirst() {
    Entry first = near_.PopFirst();
    if (spilled_ != nullptr) [[unlikely]] {
      near_bytes_ -= std::min(near_bytes_, HeapBytes(first.key));
    }
    return first;
  }
  template <class Drop>
  void DropIf(const Drop& drop) {
    near_.DropIf(drop);
  }

  // ---- With a store.

  // Calls f(const Entry&) for the first `most` entries, or fewer, while it returns true. After
  // First.
  template <class F>
  void ForEachAhead(std::size_t most, F&& f) const {
    for (std::size_t i = 0; i < most; ++i) {
      const Entry* const entry = near_.Ahead(i);
      if (entry == nullptr || !f(*entry)) return;
    }
  }
  // Which filling of the queue it is: those before Clear are gone.
  std::uint64_t filling() const { return filling_; }
  void Clear() {
    ++filling_;
    Empty();
    spilled_->Clear();
  }
  // Entries that it may have in memory.
  std::size_t MostNear() const { return std::max(kLeastNear, NearBytes() / kEntryBytes); }
  std::size_t memory_bytes() const {
    return near_.memory_bytes() + near_bytes_ +
           (spilled_ != nullptr ? spilled_->memory_bytes() : 0);
  }

 private:
  // A vector that grows has up to twice as much as it needs.
  static constexpr std::size_t kEntryBytes = 2 * sizeof(Entry);
  static constexpr std::size_t kLeastNear = 4;

  // Of the share; the rest is for what is on its way to the scratch.
  std::size_t NearBytes() const { return spilled_->Share() / 2; }
  std::size_t Used() const { return near_.size() * kEntryBytes + near_bytes_; }

  [[gnu::noinline]] void PushBounded(Entry entry) {
    if (spilled_->Covers(entry)) return spilled_->Add(std::move(entry));
    near_bytes_ += HeapBytes(entry.key);
    near_.Push(std::move(entry));
    if (near_.size() > kLeastNear && Used() > NearBytes()) {
      SpillLatest();
    } else if (++pushed_ > MostNear() / 4) {
      Trim();
    }
  }
  // Gives back what emptied buckets have left.
  void Trim() {
    pushed_ = 0;
    if (near_.memory_bytes() <= NearBytes() / 2 * 3) return;
    std::vector<Entry> entries = TakeNear(near_.size());
    Empty();
    PushNear(std::move(entries));
  }
  [[gnu::noinline]] const Entry* FirstBounded(Ticks time) {
    if (near_.size() == 0 && spilled_->StartsBy(time)) {
      // Without the memory of what was there before.
      Empty();
      spilled_->Load(std::max(kLeastNear, MostNear() / 2), NearBytes() / 2, [&](Entry entry) {
        near_bytes_ += HeapBytes(entry.key);
        near_.Push(std::move(entry));
      });
    }
    if (near_.First(time) == nullptr) return nullptr;
    near_.SortReady();
    return near_.First(time);
  }

  // The latest half.
  void SpillLatest() {
    std::vector<Entry> stay = TakeNear(near_.size() / 2);
    std::vector<Entry> go = TakeNear(near_.size());
    Empty();
    spilled_->Spill(std::move(go));
    PushNear(std::move(stay));
  }
  // The first `count`, in their order.
  std::vector<Entry> TakeNear(std::size_t count) {
    std::vector<Entry> taken;
    taken.reserve(count);
    while (taken.size() < count) {
      near_.First(kMaxTicks);
      near_.SortReady();
      taken.push_back(near_.PopFirst());
    }
    return taken;
  }
  void PushNear(std::vector<Entry> entries) {
    for (Entry& entry : entries) {
      near_bytes_ += HeapBytes(entry.key);
      near_.Push(std::move(entry));
    }
  }
  void Empty() {
    near_ = DueQueue<K, Entry>(ahead_);
    near_bytes_ = 0;
    pushed_ = 0;
  }

  Ticks ahead_;
  DueQueue<K, Entry> near_;
  // Null: all is in `near_`.
  std::unique_ptr<SpilledTimers<K>> spilled_;
  // Of the keys of those in `near_`, beside the entries.
  std::size_t near_bytes_ = 0;
  // Since emptied buckets were last looked at.
  std::size_t pushed_ = 0;
  std::uint64_t filling_ = 1;
};

}  // namespace weir::internal
