#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include "weir/keyed_slot.h"
#include "weir/slot_array.h"

namespace weir::internal {

// The slots of a key group that are filled from the first to the last, with entries that come about
// in the order in which such slots had them: those of a snapshot. Each slot is written once, when
// the cache has it, and what comes in order is not compared with what is there.
template <class K, class V>
class FilledSlots {
 public:
  using Slot = KeyedSlot<K, V>;

  // Has room for `entries` and `more`. Throws std::bad_alloc.
  FilledSlots(std::uint32_t key_group, std::size_t entries, std::size_t more)
      : array_(TakeSlots<Slot>(SlotsFor<Slot>(entries + more))),
        key_group_(key_group),
        most_(static_cast<std::uint32_t>(entries)) {}
  FilledSlots(const FilledSlots&) = delete;
  FilledSlots& operator=(const FilledSlots&) = delete;
  ~FilledSlots() {
    if (array_.slots == nullptr) return;
    // Of the others nobody has said that they are empty.
    DestroySlots(SlotArray<Slot>{array_.slots, marked_});
    FreeSlots(array_);
  }

  std::uint32_t key_group() const { return key_group_; }

  // False if it has no place for the entry: it is one more, or its key is that of no slot. Of two
  // with one key the first stays, unless they come in the order of their slots: a snapshot has each
  // once.
  [[gnu::always_inline]] bool Add(const K& key, V&& value, std::uint64_t hash) {
    if constexpr (Slot::kHasReservedKey) {
      if (key == Slot::kReservedKey) [[unlikely]] {
        return false;
      }
    }
    if (size_ == most_) [[unlikely]] {
      return false;
    }
    const std::uint32_t tag = SlotTag<Slot>(hash);
    const std::uint32_t home = HomeIndex<Slot>(tag, array_.count - 1);
    // Which is larger is not to be foretold, so that this is no branch.
    const std::uint32_t at = std::max(home, next_);
    run_ += (home - run_) & -static_cast<std::uint32_t>(home >= next_);
    if (home < run_ || at + 1 >= array_.count) [[unlikely]] {
      AddAnywhere(tag, home, key, std::move(value));
      return true;
    }
    if (at + 1 >= marked_) [[unlikely]] {
      MarkEmptyUpTo(at + 2);
    }
    Put(at, tag, key, std::move(value));
    next_ = at + 1;
    return true;
  }

  // All of it, which is the caller's, and how many entries it has.
  std::pair<SlotArray<Slot>, std::uint32_t> Release() {
    MarkEmptyUpTo(array_.count);
    return {std::exchange(array_, {}), size_};
  }

 private:
  void Put(std::uint32_t at, std::uint32_t tag, const K& key, V&& value) {
    Slot& slot = array_.slots[at];
    // What throws leaves the slot as it was.
    K copy(key);
    ::new (static_cast<void*>(&slot.value)) V(std::move(value));
    ::new (static_cast<void*>(&slot.key)) K(std::move(copy));
    slot.MarkUsed(tag);
    ++size_;
  }

  [[gnu::noinline]] void AddAnywhere(std::uint32_t tag, std::uint32_t home, const K& key,
                                     V&& value) {
    // From the home to the slot behind the last one that is used, or around the end.
    MarkEmptyUpTo(home < run_ ? next_ + 1 : array_.count);
    std::uint32_t at = home;
    for (; !array_.slots[at].Empty(); at = (at + 1) & (array_.count - 1)) {
      if (array_.slots[at].Holds(tag, key)) return;
    }
    Put(at, tag, key, std::move(value));
    if (at >= next_) {
      run_ = at > next_ ? at : run_;
      next_ = at + 1;
    }
  }

  [[gnu::noinline]] void MarkEmptyUpTo(std::uint32_t end) {
    // By pages, about, so that marking and filling one find it in the cache.
    constexpr std::uint32_t kStep =
        static_cast<std::uint32_t>(std::max<std::size_t>(4096 / sizeof(Slot), 1));
    if (end <= marked_) return;
    end = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(array_.count, std::uint64_t{end} + kStep));
    for (; marked_ < end; ++marked_) array_.slots[marked_].MarkEmpty();
  }

  SlotArray<Slot> array_;
  std::uint32_t key_group_;
  // Entries.
  std::uint32_t most_;
  std::uint32_t size_ = 0;
  // Slots that are empty or used; of the others nothing is said.
  std::uint32_t marked_ = 0;
  // From here on none is used, and from run_ to here each is.
  std::uint32_t next_ = 0;
  std::uint32_t run_ = 0;
};

}  // namespace weir::internal
