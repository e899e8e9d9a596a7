#include "weir/state_table.h"

#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weir/codec.h"
#include "weir/hash.h"
#include "weir/state_codec.h"

namespace weir::internal {
namespace {

TEST(KeyedTableTest, BehavesAsAMapUnderRandomInsertsAndErases) {
  KeyedTable<std::string, std::int64_t> table({0, 127}, 128);
  std::map<std::string, std::int64_t> model;
  std::mt19937_64 random(3);
  for (int i = 0; i < 200'000; ++i) {
    const std::string key = "key-" + std::to_string(random() % 3000);
    const std::uint64_t hash = KeyHash(key);
    if (random() % 3 == 0) {
      EXPECT_EQ(table.Erase(key, hash), model.erase(key) == 1);
    } else {
      const auto [value, inserted] = table.FindOrInsert(key, hash);
      EXPECT_EQ(inserted, !model.contains(key));
      *value += i;
      model[key] += i;
    }
  }
  EXPECT_EQ(table.size(), model.size());
  std::map<std::string, std::int64_t> got;
  table.ForEach([&](const std::string& key, const std::int64_t& value) { got[key] = value; });
  EXPECT_EQ(got, model);
}

template <class K>
void ExpectKeysOfOneRunStayApart(const std::vector<std::pair<K, std::uint64_t>>& keys) {
  KeyedTable<K, std::size_t> table({0, 127}, 128);
  for (std::size_t i = 0; i < keys.size(); ++i)
    *table.FindOrInsert(keys[i].first, keys[i].second).first = i;
  for (std::size_t i = 0; i < keys.size(); i += 2)
    EXPECT_TRUE(table.Erase(keys[i].first, keys[i].second));
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::size_t* value = table.Find(keys[i].first, keys[i].second);
    if (i % 2 == 0) {
      EXPECT_EQ(value, nullptr);
    } else {
      ASSERT_NE(value, nullptr);
      EXPECT_EQ(*value, i);
    }
  }
}

// All keys in one run of slots, which wraps around: erasing must close the gaps.
// Gluten 12805: a hash was taken for the key.
TEST(KeyedTableTest, KeysWithOneHashStayApart) {
  std::vector<std::pair<std::string, std::uint64_t>> strings;
  for (int i = 0; i < 20; ++i) strings.emplace_back(std::to_string(i), 0x0000'0005'ffff'ffffULL);
  ExpectKeysOfOneRunStayApart(strings);
  std::vector<std::pair<std::int64_t, std::uint64_t>> integers;
  for (std::int64_t i = 0; integers.size() < 20; ++i) {
    const std::uint64_t hash = KeyHash(i);
    if (KeyGroupOf(hash, 128) == 5 && (hash & 31) >= 30) integers.emplace_back(i, hash);
  }
  ExpectKeysOfOneRunStayApart(integers);
}

TEST(KeyedTableTest, TheKeyThatMarksAnEmptySlotIsAKeyLikeOthers) {
  const std::int64_t reserved = KeyedSlot<std::int64_t, int>::kReservedKey;
  const std::uint64_t hash = KeyHash(reserved);
  KeyedTable<std::int64_t, int> table({0, 127}, 128);
  EXPECT_EQ(table.Find(reserved, hash), nullptr);
  EXPECT_FALSE(table.Erase(reserved, hash));
  *table.FindOrInsert(reserved, hash).first = 7;
  *table.FindOrInsert(1, KeyHash(std::int64_t{1})).first = 1;
  EXPECT_EQ(table.size(), 2U);
  EXPECT_EQ(*table.Find(reserved, hash), 7);
  std::map<std::int64_t, int> got;
  KeyedTable<std::int64_t, int>::Cursor cursor;
  while (!table.ForEachFrom(cursor, [&](std::int64_t key, int value) {
    got[key] += value;
    return false;
  })) {
  }
  EXPECT_EQ(got, (std::map<std::int64_t, int>{{1, 1}, {reserved, 7}}));
  int in_group = 0;
  std::string group;
  table.Freeze(SnapshotUse::kFinal, RecordLayout<int>())
      .WriteKeyGroup(KeyGroupOf(hash, 128), group);
  in_group = group.empty() ? 0 : static_cast<int>(group[0]);
  EXPECT_GE(in_group, 1);
  EXPECT_TRUE(table.IsWhole());
  // A locator sees only slots.
  const KeyedTable<std::int64_t, int>::Locator<true> whole(table);
  EXPECT_EQ(whole.FindAt(whole.Home(hash), reserved, hash), nullptr);
  EXPECT_TRUE(table.Erase(reserved, hash));
  EXPECT_EQ(table.size(), 1U);
  *table.FindOrInsert(reserved, hash).first = 8;
  table.DropKeyGroup(KeyGroupOf(hash, 128));
  EXPECT_EQ(table.Find(reserved, hash), nullptr);
}

TEST(KeyedTableTest, AnIterationThatStopsGoesOnWhereItWas) {
  KeyedTable<std::int64_t, int> table({0, 127}, 128);
  for (std::int64_t key = 0; key < 1000; ++key) table.FindOrInsert(key, KeyHash(key));
  KeyedTable<std::int64_t, int>::Cursor cursor;
  std::map<std::int64_t, int> visits;
  int calls = 0;
  while (!table.ForEachFrom(cursor, [&](std::int64_t key, int) {
    ++visits[key];
    return visits.size() % 7 != 0;
  })) {
    ASSERT_LT(++calls, 1000);
  }
  EXPECT_EQ(visits.size(), 1000U);
  for (const auto& [key, count] : visits) EXPECT_EQ(count, 1) << key;
}

template <class V>
void ExpectMemoryBelow64BytesAKeyBesidesKeyAndValue() {
  KeyedTable<std::int64_t, V> table({0, 127}, 128);
  for (std::int64_t key = 0; key < 1'000'000; ++key) {
    table.FindOrInsert(key, KeyHash(key));
    if (key < 10'000) continue;  // the directory and the smallest sub-tables dominate before
    ASSERT_LE(table.memory_bytes(), static_cast<std::size_t>(key + 1) * (64 + 8 + sizeof(V)))
        << key;
  }
}

TEST(KeyedTableTest, MemoryStaysBelow64BytesAKeyBesidesKeyAndValue) {
  ExpectMemoryBelow64BytesAKeyBesidesKeyAndValue<std::int64_t>();
  ExpectMemoryBelow64BytesAKeyBesidesKeyAndValue<std::pair<double, std::int64_t>>();
}

TEST(KeyedTableTest, ALocatorFindsWhatTheTableHoldsUntilItsSlotsMove) {
  KeyedTable<std::int64_t, std::int64_t> table({0, 127}, 128);
  const KeyedTable<std::int64_t, std::int64_t>::Locator<true> whole(table);
  const KeyedTable<std::int64_t, std::int64_t>::Locator<false> general(table);
  int found = 0;
  for (std::int64_t key = 0; key < 50'000; ++key) {
    const std::uint64_t hash = KeyHash(key);
    const auto* const home = whole.Home(hash);
    EXPECT_EQ(whole.FindAt(whole.Home(hash), key, hash), nullptr);
    const std::uint64_t moves = table.moves();
    std::int64_t* const value = table.FindOrInsert(key, hash).first;
    EXPECT_TRUE(whole.Home(hash) == home || table.moves() != moves);
    ASSERT_EQ(whole.Home(hash), general.Home(hash));
    // Null for the few that are not in the bucket of their home.
    const std::int64_t* const at = whole.FindAt(whole.Home(hash), key, hash);
    EXPECT_TRUE(at == value || at == nullptr);
    found += at != nullptr ? 1 : 0;
  }
  EXPECT_GT(found, 45'000);
}

// Flink 23908: at every access.
TEST(KeyedTableDeathTest, AKeyOutsideTheOwnedKeyGroupsEndsTheProcess) {
  KeyedTable<std::int64_t, int> table({0, 63}, 128);
  std::int64_t key = 0;
  while (KeyGroupOf(KeyHash(key), 128) < 64) ++key;
  EXPECT_FALSE(table.Owns(KeyHash(key)));
  EXPECT_DEATH(table.FindOrInsert(key, KeyHash(key)), "");
}

TEST(KeyedTableTest, RoomThatWasReservedIsUsed) {
  KeyedTable<std::int64_t, std::int64_t> table({0, 0}, 1);
  table.Reserve(0, 10'000);
  const std::size_t memory = table.memory_bytes();
  const std::uint64_t moves = table.moves();
  for (std::int64_t key = 0; key < 10'000; ++key)
    *table.FindOrInsert(key, KeyHash(key)).first = key;
  EXPECT_EQ(table.moves(), moves);
  EXPECT_EQ(table.memory_bytes(), memory);
  for (std::int64_t key = 0; key < 10'000; ++key) ASSERT_EQ(*table.Find(key, KeyHash(key)), key);
  table.Reserve(0, 10'000);
  EXPECT_EQ(table.memory_bytes(), memory) << "there is room enough";
  table.Reserve(0, 100'000);
  EXPECT_GT(table.memory_bytes(), memory);
  for (std::int64_t key = 0; key < 10'000; ++key) ASSERT_EQ(*table.Find(key, KeyHash(key)), key);
}

TEST(NamedTableTest, AKeyGroupIsWrittenAndReadAlone) {
  NamedTable<std::string, std::int64_t> table("t", {0, 127}, 128);
  for (int i = 0; i < 500; ++i) {
    const std::string key = std::to_string(i);
    *table.table.FindOrInsert(key, KeyHash(key)).first = i;
  }
  NamedTable<std::string, std::int64_t> upper("t", {64, 127}, 128);
  for (std::uint32_t group = 64; group < 128; ++group) {
    std::string bytes;
    table.TakeSnapshot(SnapshotUse::kFinal)->WriteKeyGroup(group, bytes);
    ASSERT_TRUE(upper.ReadKeyGroup(group, bytes).ok());
    std::string again;
    upper.TakeSnapshot(SnapshotUse::kFinal)->WriteKeyGroup(group, again);
    EXPECT_EQ(again, bytes);
  }
  EXPECT_GT(upper.entries(), 200U);
  upper.table.ForEach([](const std::string& key, const std::int64_t& value) {
    EXPECT_EQ(key, std::to_string(value));
  });
}

TEST(NamedTableTest, DamagedBytesAreRefusedWithTheStatesName) {
  NamedTable<std::string, std::int64_t> table("clicks", {0, 127}, 128);
  const std::string key = "ann";
  *table.table.FindOrInsert(key, KeyHash(key)).first = 1;
  const std::uint32_t group = KeyGroupOf(KeyHash(key), 128);
  std::string bytes;
  table.TakeSnapshot(SnapshotUse::kLive)->WriteKeyGroup(group, bytes);
  for (std::size_t length = 1; length < bytes.size(); ++length) {
    NamedTable<std::string, std::int64_t> other("clicks", {0, 127}, 128);
    const absl::Status status =
        other.ReadKeyGroup(group, std::string_view(bytes).substr(0, length));
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << length;
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("clicks"));
  }
  NamedTable<std::string, std::int64_t> other("clicks", {0, 127}, 128);
  EXPECT_EQ(other.ReadKeyGroup((group + 1) % 128, bytes).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(other.ReadKeyGroup(group, bytes + "x").code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace weir::internal
