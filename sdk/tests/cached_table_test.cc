#include "weir/cached_table.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weir/state_codec.h"
#include "weir/testing_state_store.h"

namespace weir {
namespace {

using internal::KeyedTable;
using internal::NamedTable;
using ::testing::HasSubstr;
using testing::MapStateStore;

// Steps of SplitMix64.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t Below(std::uint64_t n) {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % n;
  }

 private:
  std::uint64_t state_;
};

template <class K>
K KeyOf(std::uint64_t n) {
  if constexpr (std::is_same_v<K, std::string>) {
    return "key " + std::to_string(n * n);
  } else {
    // The third is the key that no slot can hold.
    return n == 3 ? internal::KeyedSlot<std::int64_t, int>::kReservedKey
                  : static_cast<K>(n * 1'000'003);
  }
}

std::string Written(KeyedStateTable& table) {
  const auto snapshot = table.TakeSnapshot(SnapshotUse::kFinal);
  std::string all;
  for (std::uint32_t group = 0; group < 128; ++group) snapshot->WriteKeyGroup(group, all);
  return all;
}

// Against a plain map: everything, with a cache of any size, snapshots and restores in between; a
// table in memory with the same entries is written as the same bytes. What is flushed is written
// now and then.
template <class V>
V ValueOf(std::uint64_t n) {
  if constexpr (std::is_same_v<V, std::string>) {
    return std::string(n % 60, 'a');
  } else {
    return static_cast<V>(n);
  }
}

template <class K, class V>
void RunModel(std::uint64_t seed) {
  SCOPED_TRACE(seed);
  Random random(seed);
  const std::size_t cache = std::size_t{1} << random.Below(18);
  const std::size_t log = random.Below(3) == 0 ? 0 : std::size_t{1} << random.Below(16);
  auto store = std::make_unique<MapStateStore>(cache, log);
  using Table = NamedTable<K, V>;
  const auto open = [&] {
    return std::make_unique<Table>("t", KeyGroupRange{0, 127}, 128, internal::RecordLayout<V>(),
                                   store.get());
  };
  auto table = open();
  std::map<K, V> model;
  for (int step = 0; step < 3'000; ++step) {
    const K key = KeyOf<K>(random.Below(300));
    const std::uint64_t hash = KeyHash(key);
    auto& stored = *table->in_store();
    switch (random.Below(10)) {
      case 0:
      case 1: {
        const V* value = stored.Find(key, hash);
        const auto expected = model.find(key);
        ASSERT_EQ(value != nullptr, expected != model.end());
        if (value != nullptr) {
          ASSERT_EQ(*value, expected->second);
        }
        break;
      }
      case 2:
      case 3:
      case 4: {
        const auto [value, fresh] = stored.FindOrInsert(key, hash);
        ASSERT_EQ(fresh, !model.contains(key));
        ASSERT_EQ(*value, model[key]);
        *value = model[key] = ValueOf<V>(random.Below(1'000));
        break;
      }
      case 5:
        ASSERT_EQ(stored.Erase(key, hash), model.erase(key) == 1);
        break;
      case 6: {
        std::vector<K> keys;
        for (int i = 0; i < 20; ++i) keys.push_back(KeyOf<K>(random.Below(300)));
        std::vector<const K*> pointers;
        std::vector<std::uint64_t> hashes;
        for (const K& each : keys) {
          pointers.push_back(&each);
          hashes.push_back(KeyHash(each));
        }
        stored.Load(pointers.data(), hashes.data(), keys.size());
        break;
      }
      case 7:
        if (random.Below(10) == 0) table->Flush();
        break;
      case 8:
        if (random.Below(20) == 0) {
          ASSERT_TRUE(store->CatchUp().ok());
        }
        break;
      default:
        if (random.Below(20) != 0) break;
        if (random.Below(2) == 0) {
          // Opened again with what was saved.
          table->Flush();
          ASSERT_TRUE(store->StoreLogs().ok());
          table = open();
        } else {
          // Read into an empty store.
          const auto snapshot = table->TakeSnapshot(SnapshotUse::kLive);
          auto other = std::make_unique<MapStateStore>(cache, log);
          table.reset();
          store.swap(other);
          table = open();
          for (std::uint32_t group = 0; group < 128; ++group) {
            std::string bytes;
            snapshot->WriteKeyGroup(group, bytes);
            ASSERT_TRUE(table->ReadKeyGroup(group, bytes).ok());
          }
        }
    }
  }
  Table heap("t", KeyGroupRange{0, 127}, 128);
  for (const auto& [key, value] : model) *heap.table.FindOrInsert(key, KeyHash(key)).first = value;
  // The entry of the one key that no slot can hold is the last of its group there.
  if (!model.contains(KeyOf<K>(3))) {
    EXPECT_EQ(Written(heap), Written(*table));
  }
  table->Flush();
  ASSERT_TRUE(store->CatchUp().ok());
  EXPECT_EQ(store->Logged("t").size(), model.size());
}

TEST(CachedTableTest, BehavesLikeAMapWithACacheOfAnySize) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    RunModel<std::string, std::string>(seed);
    RunModel<std::int64_t, std::string>(seed + 1'000);
    RunModel<std::int64_t, std::int64_t>(seed + 2'000);
  }
}

class CachedTableOfIntegers : public ::testing::Test {
 protected:
  using Table = NamedTable<std::int64_t, std::int64_t>;
  std::unique_ptr<Table> Open(MapStateStore& store) {
    return std::make_unique<Table>("t", KeyGroupRange{0, 127}, 128,
                                   internal::RecordLayout<std::int64_t>(), &store);
  }
};

TEST_F(CachedTableOfIntegers, ReadsAKeyOnceAndWritesWhatChangedOnce) {
  MapStateStore store;
  const auto table = Open(store);
  for (int round = 0; round < 100; ++round) {
    for (std::int64_t key = 0; key < 50; ++key)
      ++*table->in_store()->FindOrInsert(key, KeyHash(key)).first;
  }
  EXPECT_EQ(store.gets, 50u);
  EXPECT_EQ(store.changes, 0u);
  table->Flush();
  ASSERT_TRUE(store.CatchUp().ok());
  EXPECT_EQ(store.changes, 50u);
  // Reading is no change.
  for (std::int64_t key = 0; key < 50; ++key)
    EXPECT_EQ(*table->in_store()->Find(key, KeyHash(key)), 100);
  ++*table->in_store()->FindOrInsert(7, KeyHash(std::int64_t{7})).first;
  table->Flush();
  table->Flush();
  ASSERT_TRUE(store.CatchUp().ok());
  EXPECT_EQ(store.changes, 51u);
  EXPECT_EQ(store.gets, 50u);
}

TEST_F(CachedTableOfIntegers, KeepsToItsMemory) {
  constexpr std::size_t kCache = 4 << 20;
  MapStateStore store(kCache);
  const auto table = Open(store);
  for (std::int64_t key = 0; key < 300'000; ++key) {
    *table->in_store()->FindOrInsert(key, KeyHash(key)).first = key;
    ASSERT_LT(table->memory_bytes(), kCache * 5 / 4);
  }
  table->Flush();
  ASSERT_TRUE(store.CatchUp().ok());
  EXPECT_EQ(store.columns.at("t")->size(), 300'000u);
  EXPECT_LT(table->in_store()->cached(), kCache / 32);
  // What is encoded takes little memory besides.
  EXPECT_GT(store.most_bytes_at_once, std::size_t{200} << 10);
  EXPECT_LT(store.most_bytes_at_once, std::size_t{300} << 10);
}

TEST_F(CachedTableOfIntegers, WhatIsUsedAgainAndAgainStays) {
  MapStateStore store(64 << 10);
  const auto table = Open(store);
  const auto touch = [&](std::int64_t key) { table->in_store()->Find(key, KeyHash(key)); };
  for (std::int64_t key = 0; key < 100'000; ++key) {
    touch(1'000'000 + key);
    for (std::int64_t hot = 0; hot < 10; ++hot) touch(hot);
  }
  EXPECT_LT(store.gets, 100'000u + 10 * 100);
}

// A task that reads other entries does not wait for a checkpoint's writes.
TEST_F(CachedTableOfIntegers, WhatIsFlushedStaysUntilItIsWrittenAndIsNotWaitedFor) {
  constexpr std::size_t kCache = 64 << 10;
  MapStateStore store(kCache);
  const auto table = Open(store);
  const auto find = [&](std::int64_t key) { return table->in_store()->Find(key, KeyHash(key)); };
  for (std::int64_t key = 0; key < 100; ++key)
    *table->in_store()->FindOrInsert(key, KeyHash(key)).first = key;
  table->Flush();
  // Ten times what the cache holds.
  for (std::int64_t key = 0; key < 10'000; ++key) EXPECT_EQ(find(1'000'000 + key), nullptr);
  EXPECT_EQ(store.put_off.size(), 1u);
  for (std::int64_t key = 0; key < 100; ++key) ASSERT_EQ(*find(key), key);
  EXPECT_EQ(store.gets, 10'100u);
  ASSERT_LT(table->memory_bytes(), 3 * kCache);

  // Now they may go.
  ASSERT_TRUE(store.CatchUp().ok());
  for (std::int64_t key = 0; key < 10'000; ++key) find(2'000'000 + key);
  for (std::int64_t key = 0; key < 100; ++key) ASSERT_EQ(*find(key), key);
  EXPECT_EQ(store.gets, 20'200u);
}

TEST_F(CachedTableOfIntegers, WaitsForWhatIsFlushedWhenThatFillsTheCache) {
  constexpr std::size_t kCache = 64 << 10;
  MapStateStore store(kCache);
  const auto table = Open(store);
  // As many as there is room for, of which a dirty one needs more.
  std::int64_t next = 0;
  for (int flush = 0; flush < 20; ++flush, table->Flush()) {
    for (; table->in_store()->Used() < kCache - 256; ++next)
      *table->in_store()->FindOrInsert(next, KeyHash(next)).first = next;
  }
  EXPECT_FALSE(store.put_off.empty());
  for (std::int64_t key = 0; key < 10'000; ++key) {
    table->in_store()->Find(1'000'000 + key, KeyHash(1'000'000 + key));
    ASSERT_LT(table->memory_bytes(), 4 * kCache);
  }
  EXPECT_TRUE(store.put_off.empty());

  for (int round = 0; round < 50; ++round) {
    for (std::int64_t key = 0; key < 200; ++key) {
      const std::int64_t at = round * 200 + key;
      *table->in_store()->FindOrInsert(at, KeyHash(at)).first = at;
      ASSERT_LT(table->memory_bytes(), 4 * kCache);
    }
    table->Flush();
  }
  for (std::int64_t key = 0; key < 10'000; ++key)
    ASSERT_EQ(*table->in_store()->Find(key, KeyHash(key)), key);
}

TEST_F(CachedTableOfIntegers, LogsWhatChangesAgainAndAgainUntilItIsStored) {
  MapStateStore store(1 << 20, /*log_bytes=*/100 * 2 * sizeof(std::int64_t));
  const auto table = Open(store);
  const auto set = [&](std::int64_t from, std::int64_t to, std::int64_t value) {
    for (std::int64_t key = from; key < to; ++key)
      *table->in_store()->FindOrInsert(key, KeyHash(key)).first = value;
    table->Flush();
    EXPECT_TRUE(store.CatchUp().ok());
  };
  const auto stored = [&] { return store.columns.at("t")->size(); };
  const auto logged = [&] { return store.logs.at("t").size(); };
  set(0, 50, 1);
  set(0, 50, 2);
  EXPECT_EQ(logged(), 50u);
  // Without a change it stays as it is.
  set(0, 0, 0);
  EXPECT_EQ(logged(), 50u);
  // Half of it is new.
  set(50, 100, 1);
  EXPECT_EQ(logged(), 100u);
  EXPECT_EQ(stored(), 0u);
  EXPECT_EQ(table->entries(), 100u);
  // Less than half.
  set(0, 49, 3);
  EXPECT_EQ(logged(), 0u);
  EXPECT_EQ(stored(), 100u);
  EXPECT_EQ(table->entries(), 100u);
  set(0, 100, 4);
  EXPECT_EQ(logged(), 100u);
  // More than it takes.
  set(0, 101, 5);
  EXPECT_EQ(logged(), 0u);
  EXPECT_EQ(stored(), 101u);
  // What is stored beside it, for whoever reads all of it.
  set(0, 10, 6);
  EXPECT_EQ(logged(), 10u);
  const auto snapshot = table->TakeSnapshot(SnapshotUse::kLive);
  EXPECT_EQ(logged(), 0u);
  EXPECT_EQ(store.gets, 101u);
}

TEST_F(CachedTableOfIntegers, ATableAfterAnotherReadsWhatThatHasFlushed) {
  MapStateStore store;
  auto table = Open(store);
  *table->in_store()->FindOrInsert(1, KeyHash(std::int64_t{1})).first = 5;
  table->Flush();
  table = Open(store);
  EXPECT_EQ(*table->in_store()->Find(1, KeyHash(std::int64_t{1})), 5);
}

TEST_F(CachedTableOfIntegers, ReadsABatchAtOnce) {
  MapStateStore store;
  const auto table = Open(store);
  const std::vector<std::int64_t> keys = {1, 2, 3, 2, 1};
  std::vector<const std::int64_t*> pointers;
  std::vector<std::uint64_t> hashes;
  for (const std::int64_t& key : keys) {
    pointers.push_back(&key);
    hashes.push_back(KeyHash(key));
  }
  table->in_store()->Load(pointers.data(), hashes.data(), keys.size());
  for (const std::int64_t key : keys) table->in_store()->Find(key, KeyHash(key));
  EXPECT_EQ(store.gets, 0u);
  EXPECT_EQ(store.keys_got_at_once, 5u);
}

TEST_F(CachedTableOfIntegers, AStoreThatFailsIsNamedWithTheState) {
  MapStateStore store;
  const auto table = Open(store);
  *table->in_store()->FindOrInsert(1, KeyHash(std::int64_t{1})).first = 5;
  store.failure = absl::ResourceExhaustedError("the disk is full");
  for (const bool flush : {false, true}) {
    try {
      flush ? table->Flush()
            : static_cast<void>(table->in_store()->Find(2, KeyHash(std::int64_t{2})));
      ADD_FAILURE() << "nothing was thrown";
    } catch (const StateError& error) {
      EXPECT_THAT(error.what(), HasSubstr("state 't': the disk is full"));
    }
  }
}

TEST_F(CachedTableOfIntegers, AMalformedEntryIsRefused) {
  MapStateStore store;
  auto table = Open(store);
  *table->in_store()->FindOrInsert(1, KeyHash(std::int64_t{1})).first = 5;
  table->Flush();
  ASSERT_TRUE(store.CatchUp().ok());
  store.columns.at("t")->begin()->second.resize(3);
  table = Open(store);
  EXPECT_THROW(table->in_store()->Find(1, KeyHash(std::int64_t{1})), StateError);
}

TEST_F(CachedTableOfIntegers, DropsAKeyGroup) {
  MapStateStore store;
  const auto table = Open(store);
  std::size_t others = 0;
  for (std::int64_t key = 0; key < 1'000; ++key) {
    *table->in_store()->FindOrInsert(key, KeyHash(key)).first = key;
    others += KeyGroupOf(KeyHash(key), 128) == 9 ? 0 : 1;
  }
  table->DropKeyGroup(9);
  EXPECT_EQ(table->entries(), others);
  for (std::int64_t key = 0; key < 1'000; ++key) {
    EXPECT_EQ(table->in_store()->Find(key, KeyHash(key)) == nullptr,
              KeyGroupOf(KeyHash(key), 128) == 9);
  }
}

}  // namespace
}  // namespace weir
