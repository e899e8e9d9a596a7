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

// All empty. Large arrays ask for huge pages: where a key is found at random, most of the time goes
// into looking up its page.
template <class Slot>
SlotArray<Slot> AllocateSlots(std::uint32_t count) {
  constexpr std::uintptr_t kHugePage = 2 << 20;
  const std::size_t bytes = count * sizeof(Slot);
  void* const memory = ::operator new(bytes, std::align_val_t(kSlotAlignment<Slot>));
  if (bytes >= 2 * kHugePage) {
    const std::uintptr_t first =
        (reinterpret_cast<std::uintptr_t>(memory) + kHugePage - 1) & ~(kHugePage - 1);
    const std::uintptr_t last =
        (reinterpret_cast<std::uintptr_t>(memory) + bytes) & ~(kHugePage - 1);
    // Only a hint.
    static_cast<void>(madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE));
  }
  Slot* const slots = static_cast<Slot*>(memory);
  for (std::uint32_t i = 0; i < count; ++i) slots[i].MarkEmpty();
  return {slots, count};
}

template <class Slot>
void FreeSlots(Slot* slots) {
  ::operator delete(static_cast<void*>(slots), std::align_val_t(kSlotAlignment<Slot>));
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
