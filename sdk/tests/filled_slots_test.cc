#include "weir/filled_slots.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "weir/hash.h"
#include "weir/state_table.h"

namespace weir::internal {
namespace {

constexpr std::uint32_t kGroups = 4;
constexpr std::uint32_t kGroup = 2;

template <class K, class V>
struct Types {
  using Key = K;
  using Value = V;
};
using Wide = std::array<std::int64_t, 7>;

template <class K>
K KeyOf(std::uint64_t number) {
  if constexpr (std::is_same_v<K, std::string>) {
    return "a key that is not short: " + std::to_string(number);
  } else {
    return static_cast<K>(number);
  }
}
template <class V>
V ValueOf(std::uint64_t number) {
  if constexpr (std::is_same_v<V, std::string>) {
    return "a value that is not short: " + std::to_string(number);
  } else if constexpr (std::is_same_v<V, Wide>) {
    return {static_cast<std::int64_t>(number), 0, 0, 0, 0, 0, static_cast<std::int64_t>(number)};
  } else {
    return static_cast<V>(number);
  }
}

template <class T>
class FilledSlotsTest : public testing::Test {
 protected:
  using K = typename T::Key;
  using V = typename T::Value;
  using Table = KeyedTable<K, V>;
  using Entries = std::vector<std::pair<K, V>>;

  // Of keys of kGroup that are not used yet.
  Entries MakeEntries(std::size_t count) {
    Entries entries;
    while (entries.size() < count) {
      const std::uint64_t number = next_++;
      K key = KeyOf<K>(number);
      if (KeyGroupOf(KeyHash(key), kGroups) != kGroup) continue;
      entries.emplace_back(std::move(key), ValueOf<V>(number));
    }
    return entries;
  }
  // As a table of them has them, slot after slot.
  Entries InOrder(const Entries& entries) {
    Table table({0, kGroups - 1}, kGroups);
    for (const auto& [key, value] : entries) *table.FindOrInsert(key, KeyHash(key)).first = value;
    Entries ordered;
    table.ForEach([&](const K& key, const V& value) { ordered.emplace_back(key, value); });
    return ordered;
  }
  // Some of them elsewhere.
  void Disorder(Entries& entries, std::size_t times) {
    for (std::size_t i = 0; i < times; ++i)
      std::swap(entries[random_() % entries.size()], entries[random_() % entries.size()]);
  }

  // A table that has `newer` takes up `older` that come in this order.
  void TakeUp(const Entries& older, const Entries& newer) {
    Table table({0, kGroups - 1}, kGroups);
    std::map<K, V> model(newer.begin(), newer.end());
    for (const auto& [key, value] : newer) *table.FindOrInsert(key, KeyHash(key)).first = value;
    FilledSlots<K, V> filled(kGroup, older.size(), newer.size());
    for (const auto& [key, value] : older) {
      V copy = value;
      ASSERT_TRUE(filled.Add(key, std::move(copy), KeyHash(key)));
      model.emplace(key, value);
    }
    table.TakeUp(std::move(filled));
    ExpectHas(table, model);
    // It goes on as any table: probing meets no gap, and an erased key closes its own.
    std::size_t number = 0;
    for (auto at = model.begin(); at != model.end();) {
      if (++number % 3 != 0) {
        ++at;
        continue;
      }
      ASSERT_TRUE(table.Erase(at->first, KeyHash(at->first)));
      at = model.erase(at);
    }
    ExpectHas(table, model);
    for (const auto& [key, value] : MakeEntries(2 * model.size() + 10)) {
      *table.FindOrInsert(key, KeyHash(key)).first = value;
      model.emplace(key, value);
    }
    ExpectHas(table, model);
  }
  void ExpectHas(Table& table, const std::map<K, V>& model) {
    ASSERT_EQ(table.size(), model.size());
    for (const auto& [key, value] : model) {
      const V* const found = table.Find(key, KeyHash(key));
      ASSERT_NE(found, nullptr);
      ASSERT_EQ(*found, value);
    }
    std::size_t there = 0;
    table.ForEach([&](const K&, const V&) { ++there; });
    ASSERT_EQ(there, model.size());
  }

  std::mt19937_64 random_{7};
  std::uint64_t next_ = 0;
};

// Of one slot a bucket, four, and those with a tag.
using AllTypes = testing::Types<Types<std::int64_t, Wide>, Types<std::int64_t, std::int64_t>,
                                Types<std::string, std::int64_t>, Types<std::string, std::string>>;
TYPED_TEST_SUITE(FilledSlotsTest, AllTypes);

TYPED_TEST(FilledSlotsTest, ATableThatTakesThemUpHasEachEntryWhateverTheirOrder) {
  for (const std::size_t count : {1, 3, 4, 5, 95, 96, 97, 500, 767, 768, 769, 3000}) {
    for (const std::size_t disorder : {0, 1, 10, 10'000}) {
      auto older = this->InOrder(this->MakeEntries(count));
      this->Disorder(older, disorder);
      this->TakeUp(older, {});
      if (this->HasFatalFailure()) FAIL() << count << " entries, " << disorder << " elsewhere";
    }
  }
}

TYPED_TEST(FilledSlotsTest, WhatTheTableHasIsNewer) {
  for (const std::size_t count : {10, 96, 1000}) {
    auto older = this->InOrder(this->MakeEntries(count));
    auto newer = this->MakeEntries(count / 3);
    const auto others = this->MakeEntries(count / 3);
    for (std::size_t i = 0; i < newer.size(); i += 2) newer[i].first = older[i * 2].first;
    this->TakeUp(older, newer);
    if (this->HasFatalFailure()) FAIL() << count << " entries";
  }
}

// More came to the table than was foreseen.
TYPED_TEST(FilledSlotsTest, TheTableGrowsIfItMust) {
  KeyedTable<typename TypeParam::Key, typename TypeParam::Value> table({0, kGroups - 1}, kGroups);
  auto entries = this->MakeEntries(1000);
  FilledSlots<typename TypeParam::Key, typename TypeParam::Value> filled(kGroup, 10, 0);
  std::map<typename TypeParam::Key, typename TypeParam::Value> model(entries.begin(),
                                                                     entries.end());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    auto& [key, value] = entries[i];
    if (i < 10) {
      ASSERT_TRUE(filled.Add(key, std::move(value), KeyHash(key)));
    } else {
      *table.FindOrInsert(key, KeyHash(key)).first = value;
    }
  }
  auto more = this->MakeEntries(1)[0];
  EXPECT_FALSE(filled.Add(more.first, std::move(more.second), KeyHash(more.first)));
  table.TakeUp(std::move(filled));
  this->ExpectHas(table, model);
}

// Whoever leaves it behind half filled: what it has is freed, and nothing else (a sanitizer sees).
TYPED_TEST(FilledSlotsTest, ThoseThatNobodyTakesUpAreFreed) {
  auto entries = this->InOrder(this->MakeEntries(5000));
  FilledSlots<typename TypeParam::Key, typename TypeParam::Value> filled(kGroup, 5000, 0);
  for (std::size_t i = 0; i < 1000; ++i) {
    auto& [key, value] = entries[i];
    EXPECT_TRUE(filled.Add(key, std::move(value), KeyHash(key)));
  }
}

TEST(FilledSlotsKeyTest, TheKeyThatMarksAnEmptySlotHasNoPlace) {
  const std::int64_t reserved = KeyedSlot<std::int64_t, int>::kReservedKey;
  FilledSlots<std::int64_t, int> filled(0, 10, 0);
  EXPECT_FALSE(filled.Add(reserved, 1, KeyHash(reserved)));
}

TEST(SlotArrayTest, LargeOnesAreWholeHugePagesAndAreGivenBack) {
  using Slot = KeyedSlot<std::int64_t, Wide>;
  const std::uint32_t count = (4 << 20) / sizeof(Slot);
  const SlotArray<Slot> array = AllocateSlots<Slot>(count);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(array.slots) % kHugePage, 0u);
  EXPECT_TRUE(array.slots[0].Empty());
  EXPECT_TRUE(array.slots[count - 1].Empty());
  unsigned char in = 0;
  EXPECT_EQ(mincore(array.slots, 1, &in), 0);
  FreeSlots(array);
  EXPECT_EQ(mincore(array.slots, 1, &in), -1);
  EXPECT_EQ(errno, ENOMEM);
}

}  // namespace
}  // namespace weir::internal
