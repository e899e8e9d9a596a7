#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>

namespace weir::internal {

// The slots of one key group in memory of their own; none has no slots.
template <class Slot>
struct SlotArray {
  Slot* slots = nullptr;
  std::uint32_t count = 0;
};

// A cache line, so that slots of 16 or 32 bytes never cross one.
template <class Slot>
inline constexpr std::size_t kSlotAlignment = alignof(Slot) > 64 ? alignof(Slot) : 64;

inline constexpr std::size_t kHugePage = std::size_t{2} << 20;

// Memory of its own from the kernel, all of it in huge pages if it has them and `bytes` is a
// multiple of theirs. Throws std::bad_alloc.
inline void* MapHugePages(std::size_t bytes) {
  const std::size_t mapped = bytes + kHugePage;
  void* const memory =
      mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  // Gives back what is before the first huge page, and after `bytes` from there.
  const auto begin = reinterpret_cast<std::uintptr_t>(memory);
  const std::uintptr_t first = (begin + kHugePage - 1) & ~(kHugePage - 1);
  constexpr std::uintptr_t kMostPage = 64 << 10;
  const std::uintptr_t last = (first + bytes + kMostPage - 1) & ~(kMostPage - 1);
  if (first > begin) munmap(memory, first - begin);
  if (begin + mapped > last) munmap(reinterpret_cast<void*>(last), begin + mapped - last);
  // Only a hint.
  static_cast<void>(madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE));
  return reinterpret_cast<void*>(first);
}

// Memory, in which nothing says yet whether a slot is used. Large arrays are in huge pages: where a
// key is found at random, most of the time goes into looking up its page, and getting them page by
// page takes as long as clearing them.
template <class Slot>
SlotArray<Slot> TakeSlots(std::uint32_t count) {
  const std::size_t bytes = count * sizeof(Slot);
  void* const memory = bytes >= kHugePage
                           ? MapHugePages(bytes)
                           : ::operator new(bytes, std::align_val_t(kSlotAlignment<Slot>));
  return {static_cast<Slot*>(memory), count};
}

// All empty.
template <class Slot>
SlotArray<Slot> AllocateSlots(std::uint32_t count) {
  const SlotArray<Slot> array = TakeSlots<Slot>(count);
  for (std::uint32_t i = 0; i < count; ++i) array.slots[i].MarkEmpty();
  return array;
}

// What they gave.
template <class Slot>
void FreeSlots(const SlotArray<Slot>& array) {
  const std::size_t bytes = array.count * sizeof(Slot);
  if (bytes >= kHugePage) {
    munmap(static_cast<void*>(array.slots), bytes);
  } else {
    ::operator delete(static_cast<void*>(array.slots), std::align_val_t(kSlotAlignment<Slot>));
  }
}

template <class Slot>
void DestroySlots(const SlotArray<Slot>& array) {
  if constexpr (!std::is_trivially_destructible_v<decltype(Slot::key)> ||
                !std::is_trivially_destructible_v<decltype(Slot::value)>) {
    for (std::uint32_t i = 0; i < array.count; ++i) {
      if (array.slots[i].Empty()) continue;
      std::destroy_at(&array.slots[i].key);
      std::destroy_at(&array.slots[i].value);
    }
  }
}

}  // namespace weir::internal
