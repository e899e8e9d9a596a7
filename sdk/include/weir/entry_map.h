#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "weir/compare.h"
#include "weir/hash.h"

namespace weir::internal {

// A small flat hash map, of the entries that belong to one key of state. Its entries stand in the
// order of their hashes (ordered linear probing, where the upper bits of the hash say where an
// entry belongs), so that an iteration has the same order whatever was added and removed before,
// and after a restore too. Sixteen bytes while it is empty.
//
// Pointers to values stay valid until the next insert or erase. Move only. Not thread safe.
template <class K, class V>
class EntryMap {
 public:
  EntryMap() = default;
  EntryMap(const EntryMap&) = delete;
  EntryMap& operator=(const EntryMap&) = delete;
  EntryMap(EntryMap&& other) noexcept { swap(other); }
  EntryMap& operator=(EntryMap&& other) noexcept {
    swap(other);
    return *this;
  }
  ~EntryMap() { Release(); }

  void swap(EntryMap& other) noexcept {
    std::swap(slots_, other.slots_);
    std::swap(size_, other.size_);
    std::swap(bits_, other.bits_);
    std::swap(spare_bits_, other.spare_bits_);
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  V* Find(const K& key) {
    Slot* const slot = FindSlot(key);
    return slot != nullptr ? &slot->value : nullptr;
  }

  // The value of the key and whether it was inserted now, as V{}.
  std::pair<V*, bool> FindOrInsert(const K& key) {
    if (V* value = Find(key); value != nullptr) return {value, false};
    if (size_ + 1 > Limit()) Rebuild(slots_ == nullptr ? kMinBits : More(bits_), kMinSpareBits);
    const std::uint32_t tag = TagOf(key);
    for (;;) {
      std::uint32_t at = HomeOf(tag);
      while (slots_[at].tag != 0 && Before(slots_[at], tag, key)) ++at;
      std::uint32_t free = at;
      while (slots_[free].tag != 0) ++free;
      // The last slot stays empty: it ends every search.
      if (free + 1 < Length()) {
        for (; free > at; --free) Move(slots_[free], slots_[free - 1]);
        Slot& slot = slots_[at];
        ::new (static_cast<void*>(&slot.key)) K(key);
        ::new (static_cast<void*>(&slot.value)) V{};
        slot.tag = tag;
        ++size_;
        return {&slot.value, true};
      }
      Rebuild(bits_, More(spare_bits_));
    }
  }

  bool Erase(const K& key) {
    Slot* const slot = FindSlot(key);
    if (slot == nullptr) return false;
    EraseAt(static_cast<std::uint32_t>(slot - slots_));
    Shrink();
    return true;
  }

  // Calls f(const K&, V&) for each entry while it returns true, in the order of the hashes of their
  // keys. f must not change the map. Returns whether it reached the end.
  template <class F>
  bool ForEach(F&& f) {
    return ForEachIn(*this, f);
  }
  template <class F>
  bool ForEach(F&& f) const {
    return ForEachIn(*this, f);
  }

  // Removes the entries for which dead(const K&, V&) is true; it is called once for each.
  template <class F>
  void EraseIf(F&& dead) {
    if (size_ == 0) return;
    std::uint32_t next = 0;
    const std::uint32_t length = Length();
    for (std::uint32_t i = 0; i < length; ++i) {
      Slot& slot = slots_[i];
      if (slot.tag == 0) continue;
      if (dead(std::as_const(slot.key), slot.value)) {
        Destroy(slot);
        --size_;
        continue;
      }
      const std::uint32_t to = std::max(next, HomeOf(slot.tag));
      if (to != i) Move(slots_[to], slot);
      next = to + 1;
    }
    Shrink();
  }

  // Looks at `count` slots from `cursor` on, from the start again after the end, and removes the
  // entries for which dead(const K&, const V&) is true. The next call goes on at the cursor.
  template <class F>
  void Sweep(std::uint32_t& cursor, std::uint32_t count, F&& dead) {
    for (; count > 0 && size_ > 0; --count) {
      if (cursor >= Length()) cursor = 0;
      Slot& slot = slots_[cursor];
      if (slot.tag != 0 && dead(std::as_const(slot.key), std::as_const(slot.value))) {
        EraseAt(cursor);  // another entry may stand here now
      } else {
        ++cursor;
      }
    }
    Shrink();
  }

 private:
  // As many bits of the tag as there are in bits_ say where an entry belongs. The length is a power
  // of two for that, and spare slots at the end.
  struct Slot {
    std::uint32_t tag;  // 0: empty, and key and value are not there
    union {
      K key;
    };
    union {
      V value;
    };
    Slot() : tag(0) {}
    ~Slot() {}
  };
  static constexpr std::uint8_t kMinBits = 2;
  static constexpr std::uint8_t kMinSpareBits = 2;
  static constexpr bool kTrivial =
      std::is_trivially_destructible_v<K> && std::is_trivially_destructible_v<V>;

  static std::uint32_t TagOf(const K& key) {
    const auto tag = static_cast<std::uint32_t>(KeyHash(key) >> 32);
    return tag != 0 ? tag : 1;
  }
  std::uint32_t HomeOf(std::uint32_t tag) const { return tag >> (32 - bits_); }
  std::uint32_t Length() const {
    return slots_ == nullptr ? 0 : (1U << bits_) + (1U << spare_bits_);
  }
  Slot* FindSlot(const K& key) {
    if (size_ == 0) return nullptr;
    const std::uint32_t tag = TagOf(key);
    Slot* slot = slots_ + HomeOf(tag);
    while (slot->tag != 0 && slot->tag < tag) ++slot;
    for (; slot->tag == tag; ++slot) {
      if (RecordEquals(slot->key, key)) return slot;
    }
    return nullptr;
  }
  // Three quarters full at most.
  std::uint32_t Limit() const { return slots_ == nullptr ? 0 : (1U << bits_) - (1U << bits_) / 4; }
  static std::uint8_t More(std::uint8_t bits) { return static_cast<std::uint8_t>(bits + 1); }
  static bool Before(const Slot& slot, std::uint32_t tag, const K& key) {
    return slot.tag != tag ? slot.tag < tag : RecordCompare(slot.key, key) < 0;
  }

  template <class Self, class F>
  static bool ForEachIn(Self& self, F& f) {
    if (self.size_ == 0) return true;
    Slot* const end = self.slots_ + self.Length();
    for (Slot* slot = self.slots_; slot != end; ++slot) {
      if (slot->tag == 0) continue;
      std::conditional_t<std::is_const_v<Self>, const V&, V&> value = slot->value;
      if (!f(std::as_const(slot->key), value)) return false;
    }
    return true;
  }

  static void Destroy(Slot& slot) {
    slot.key.~K();
    slot.value.~V();
    slot.tag = 0;
  }
  // To an empty slot.
  static void Move(Slot& to, Slot& from) {
    ::new (static_cast<void*>(&to.key)) K(std::move(from.key));
    ::new (static_cast<void*>(&to.value)) V(std::move(from.value));
    to.tag = from.tag;
    Destroy(from);
  }

  void EraseAt(std::uint32_t hole) {
    Destroy(slots_[hole]);
    --size_;
    // Moves the entries behind it back, those that are not where they belong.
    for (std::uint32_t i = hole + 1; slots_[i].tag != 0 && HomeOf(slots_[i].tag) < i; ++i)
      Move(slots_[i - 1], slots_[i]);
  }

  // Keeps an iteration from going over many more slots than there are entries.
  void Shrink() {
    std::uint8_t bits = bits_;
    while (bits > kMinBits && size_ < (1U << bits) / 8) --bits;
    if (bits != bits_) Rebuild(bits, kMinSpareBits);
  }

  void Rebuild(std::uint8_t bits, std::uint8_t spare_bits) {
    for (;; spare_bits = More(spare_bits)) {
      EntryMap rebuilt;
      rebuilt.bits_ = bits;
      rebuilt.spare_bits_ = spare_bits;
      rebuilt.slots_ = new Slot[(std::size_t{1} << bits) + (std::size_t{1} << spare_bits)];
      if (!rebuilt.HasRoomFor(*this)) continue;
      std::uint32_t next = 0;
      const std::uint32_t length = Length();
      for (std::uint32_t i = 0; i < length; ++i) {
        if (slots_[i].tag == 0) continue;
        const std::uint32_t to = std::max(next, rebuilt.HomeOf(slots_[i].tag));
        Move(rebuilt.slots_[to], slots_[i]);
        next = to + 1;
      }
      rebuilt.size_ = std::exchange(size_, 0);
      swap(rebuilt);
      return;
    }
  }
  // Whether all entries of `other` find a place before the last slot.
  bool HasRoomFor(const EntryMap& other) const {
    std::uint32_t next = 0;
    for (std::uint32_t i = 0; i < other.Length(); ++i) {
      if (other.slots_[i].tag != 0) next = std::max(next, HomeOf(other.slots_[i].tag)) + 1;
    }
    return next < Length();
  }

  void Release() {
    if constexpr (!kTrivial) {
      for (std::uint32_t i = 0; size_ > 0 && i < Length(); ++i) {
        if (slots_[i].tag == 0) continue;
        Destroy(slots_[i]);
        --size_;
      }
    }
    delete[] slots_;
  }

  Slot* slots_ = nullptr;
  std::uint32_t size_ = 0;
  std::uint8_t bits_ = 0;
  std::uint8_t spare_bits_ = 0;
};

}  // namespace weir::internal
