#include "weir/window_batch.h"

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "weir/aggregates.h"
#include "weir/codec.h"

namespace weir::internal {
namespace {

template <class K>
struct Item {
  K key;
  std::int64_t value;
};

template <class K>
K KeyFor(std::uint64_t number) {
  if constexpr (std::is_same_v<K, std::string>) {
    return "key-" + std::to_string(number);
  } else {
    return static_cast<K>(number);
  }
}

// Adds batches of random keys of the subtask's key groups, more and more of them, so that the table
// grows in the middle of batches, and compares with a map.
template <class K>
void ExpectSumsOfAMap(KeyGroupRange range, std::uint32_t max_parallelism, bool hashed) {
  KeyedTable<K, std::int64_t> table(range, max_parallelism);
  std::map<K, std::int64_t> model;
  std::mt19937_64 random(11);
  const Sum sum{&Item<K>::value};
  for (std::uint64_t round = 1; round <= 40; ++round) {
    Batch<Item<K>> batch;
    const std::size_t size = round % 7 == 0 ? random() % 40 : 1024;
    while (batch.records.size() < size) {
      const K key = random() % 64 == 0 && !std::is_same_v<K, std::string>
                        ? KeyFor<K>(0x9E37'79B9'7F4A'7C15ULL)
                        : KeyFor<K>(random() % (round * 500));
      if (!table.Owns(KeyHash(key))) continue;
      const auto value = static_cast<std::int64_t>(random() % 1000);
      batch.records.emplace_back(Item<K>{key, value});
      if (hashed) batch.hashes.emplace_back(KeyHash(key));
      model[key] += value;
    }
    std::size_t at = 0;
    AddBatch(table, batch, &Item<K>::key, sum, at);
  }
  std::map<K, std::int64_t> got;
  table.ForEach([&](const K& key, const std::int64_t& value) { got[key] = value; });
  EXPECT_EQ(got, model);
  EXPECT_EQ(table.size(), model.size());
}

template <class K>
void ExpectSumsOfAMapInEveryForm() {
  for (const bool hashed : {false, true}) {
    ExpectSumsOfAMap<K>({0, 127}, 128, hashed);
    ExpectSumsOfAMap<K>({0, 0}, 1, hashed);
    ExpectSumsOfAMap<K>({32, 95}, 128, hashed);
    ExpectSumsOfAMap<K>({0, 99}, 100, hashed);
    ExpectSumsOfAMap<K>({0, 4095}, 4096, hashed);
  }
}

TEST(AddBatchTest, SumsByIntegerKeysAreThoseOfAMap) {
  ExpectSumsOfAMapInEveryForm<std::int64_t>();
  ExpectSumsOfAMapInEveryForm<std::uint32_t>();
}

TEST(AddBatchTest, SumsByStringKeysAreThoseOfAMap) { ExpectSumsOfAMapInEveryForm<std::string>(); }

TEST(AllWithinTest, BothEndsOfTheRangeAreWithinAndWhatLiesBeyondIsNot) {
  Batch<int> batch;
  EXPECT_TRUE(AllWithin(10, 19, batch));
  for (const Ticks time : {10, 19, 15}) batch.timestamps.emplace_back(time);
  EXPECT_TRUE(AllWithin(10, 19, batch));
  EXPECT_FALSE(AllWithin(11, 19, batch));
  EXPECT_FALSE(AllWithin(10, 18, batch));
  for (const Ticks time : {kMinTicks, kMaxTicks}) {
    batch.timestamps[1] = time;
    EXPECT_FALSE(AllWithin(10, 19, batch));
  }
}

TEST(HashBatchTest, EveryRecordGetsTheHashOfItsKey) {
  Batch<Item<std::string>> batch;
  for (int i = 0; i < 5; ++i) batch.records.emplace_back(Item<std::string>{std::to_string(i), i});
  HashBatch(batch, &Item<std::string>::key);
  ASSERT_EQ(batch.hashes.size(), 5U);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(batch.hashes[i], KeyHash(std::to_string(i)));
}

}  // namespace
}  // namespace weir::internal
