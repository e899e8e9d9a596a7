#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "weir/binary_codec.h"

namespace weir::internal {

// Encoded keys whose entries were erased in one epoch.
struct ErasedKeys {
  std::uint8_t epoch = 0;
  std::uint64_t count = 0;
  std::string bytes;
};

// What has changed in a key group after an epoch, as a snapshot keeps it.
struct GroupChanges {
  // Of each slot the last epoch in which its entry was changed. The table goes on to write them,
  // but only those of blocks that it has preserved.
  std::shared_ptr<std::uint8_t[]> marks;
  std::uint8_t since = 0;
  // All entries that there were before are gone: what is there now is all.
  bool replaces = false;
  std::vector<std::shared_ptr<const ErasedKeys>> erased;

  // Null: all entries are written.
  const std::uint8_t* MarksToWrite() const { return replaces ? nullptr : marks.get(); }
};

// Large ones are cleared by the kernel, page by page as they are used: the task does not stop for
// all of them at a checkpoint.
inline std::shared_ptr<std::uint8_t[]> ZeroedBytes(std::size_t size) {
  constexpr std::size_t kLarge = 64 << 10;
  if (size >= kLarge) {
    void* const memory =
        mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    return {static_cast<std::uint8_t*>(memory), [size](std::uint8_t* p) { munmap(p, size); }};
  }
  return std::shared_ptr<std::uint8_t[]>(new std::uint8_t[size]());
}

// Which entries of a table have changed since when: a byte a slot, and the keys that were erased.
// Time is counted in epochs, which snapshots end. Owned by the table's thread. Groups are counted
// from the table's first.
template <class K>
class TableChanges {
 public:
  explicit TableChanges(std::size_t groups) : groups_(groups) {}

  // Nothing has changed, and what comes is epoch 1. `slots(group)`: how many it has.
  template <class Slots>
  void Begin(Slots&& slots) {
    epoch_ = 1;
    reserved_ = 0;
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      groups_[i] = {};
      if (const std::size_t count = slots(i); count > 0) groups_[i].marks = MakeMarks(count);
    }
  }

  // What has changed in epochs after `since`, in this one too.
  GroupChanges Since(std::size_t group, std::uint8_t since) {
    Group& of = groups_[group];
    // Nobody asks for older ones again.
    std::erase_if(of.erased, [since](const auto& keys) { return keys->epoch <= since; });
    of.erased_count = 0;
    for (const auto& keys : of.erased) of.erased_count += keys->count;
    return {of.marks, since, of.replaced > since, {of.erased.begin(), of.erased.end()}};
  }
  bool ReservedSince(std::size_t group, std::uint8_t since) const {
    return reserved_ > since || groups_[group].replaced > since;
  }
  void EndEpoch() {
    // Marks are bytes, and KeyedStateTable::kMaxChanges is less.
    if (epoch_ == 0xFF) __builtin_trap();
    ++epoch_;
  }

  void Mark(std::size_t group, std::size_t slot) { groups_[group].marks[slot] = epoch_; }
  // The entry that no slot holds.
  void MarkReserved() { reserved_ = epoch_; }
  // `entries` that the group has left; when more keys were erased than there are, all are to be
  // written instead.
  void NoteErased(std::size_t group, const K& key, std::size_t entries) {
    Group& of = groups_[group];
    if (of.replaced == epoch_) return;
    if (of.erased_count >= std::max<std::size_t>(kMinErased, entries)) return Replace(group);
    if (of.erased.empty() || of.erased.back()->epoch != epoch_) {
      of.erased.push_back(std::make_shared<ErasedKeys>());
      of.erased.back()->epoch = epoch_;
    }
    ++of.erased_count;
    ++of.erased.back()->count;
    EncodeValue(key, of.erased.back()->bytes);
  }
  // An entry has moved to an empty slot.
  void Move(std::size_t group, std::size_t from, std::size_t to) {
    groups_[group].marks[to] = groups_[group].marks[from];
  }
  // The slots are others now; returns the marks of the ones before, and sets those of the new ones
  // with Carry.
  std::shared_ptr<std::uint8_t[]> Resize(std::size_t group, std::size_t slots) {
    return std::exchange(groups_[group].marks, MakeMarks(slots));
  }
  void Carry(std::size_t group, std::size_t slot, std::uint8_t mark) {
    groups_[group].marks[slot] = mark;
  }
  // All entries are gone, with their slots or not.
  void Drop(std::size_t group, bool slots_too) {
    Replace(group);
    if (slots_too) groups_[group].marks.reset();
  }

  std::size_t memory_bytes(std::size_t slots) const {
    return groups_.size() * sizeof(Group) + slots;
  }

 private:
  static constexpr std::size_t kMinErased = 256;

  struct Group {
    std::shared_ptr<std::uint8_t[]> marks;
    // The last epoch in which all entries went, or too many to remember.
    std::uint8_t replaced = 0;
    std::size_t erased_count = 0;
    // By epoch; those of former epochs do not change.
    std::vector<std::shared_ptr<ErasedKeys>> erased;
  };

  static std::shared_ptr<std::uint8_t[]> MakeMarks(std::size_t slots) { return ZeroedBytes(slots); }
  void Replace(std::size_t group) {
    groups_[group].replaced = epoch_;
    groups_[group].erased.clear();
    groups_[group].erased_count = 0;
  }

  std::uint8_t epoch_ = 1;
  std::uint8_t reserved_ = 0;
  std::vector<Group> groups_;
};

}  // namespace weir::internal
