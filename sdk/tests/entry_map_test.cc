#include "weir/entry_map.h"

#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir::internal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

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

template <class K, class V>
std::map<K, V> Contents(EntryMap<K, V>& map) {
  std::map<K, V> contents;
  map.ForEach([&](const K& key, const V& value) {
    EXPECT_TRUE(contents.emplace(key, value).second) << "an entry twice";
    return true;
  });
  EXPECT_EQ(contents.size(), map.size());
  return contents;
}

TEST(EntryMapTest, HoldsWhatAModelHoldsAfterRandomOperations) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    EntryMap<std::string, std::int64_t> map;
    std::map<std::string, std::int64_t> model;
    const std::uint64_t keys = 1 + random.Below(300);
    std::uint32_t cursor = 0;
    for (int step = 0; step < 3000; ++step) {
      const std::string key = "key " + std::to_string(random.Below(keys));
      const auto value = static_cast<std::int64_t>(random.Below(1000));
      // Phases of growth and of shrinking.
      const std::uint64_t kind = random.Below(step / 500 % 2 == 0 ? 12 : 30);
      if (kind < 8) {
        const auto [found, is_new] = map.FindOrInsert(key);
        EXPECT_EQ(is_new, !model.contains(key));
        *found = value;
        model[key] = value;
      } else if (kind < 11) {
        const std::int64_t* found = map.Find(key);
        ASSERT_EQ(found != nullptr, model.contains(key));
        if (found != nullptr) {
          EXPECT_EQ(*found, model[key]);
        }
      } else if (kind == 11 && random.Below(20) == 0) {
        const auto dead = [&](std::int64_t v) { return v % 7 == value % 7; };
        map.EraseIf([&](const std::string&, std::int64_t v) { return dead(v); });
        std::erase_if(model, [&](const auto& entry) { return dead(entry.second); });
      } else {
        EXPECT_EQ(map.Erase(key), model.erase(key) == 1);
      }
      // The sweep removes what the model says.
      map.Sweep(cursor, 4, [&](const std::string& k, std::int64_t v) {
        if (v != 999) return false;
        model.erase(k);
        return true;
      });
      ASSERT_EQ(map.size(), model.size());
    }
    EXPECT_EQ(Contents(map), model);
  }
}

TEST(EntryMapTest, IteratesInAnOrderThatDoesNotDependOnWhatWasThereBefore) {
  const auto order = [](EntryMap<std::int64_t, std::int64_t>& map) {
    std::vector<std::int64_t> keys;
    map.ForEach([&](const std::int64_t& key, std::int64_t) {
      keys.push_back(key);
      return true;
    });
    return keys;
  };
  EntryMap<std::int64_t, std::int64_t> forwards;
  for (std::int64_t i = 0; i < 1000; ++i) *forwards.FindOrInsert(i).first = i;
  EntryMap<std::int64_t, std::int64_t> backwards;
  for (std::int64_t i = 5000; i >= 0; --i) *backwards.FindOrInsert(i).first = i;
  for (std::int64_t i = 5000; i >= 1000; --i) EXPECT_TRUE(backwards.Erase(i));
  EXPECT_EQ(order(forwards), order(backwards));
}

TEST(EntryMapTest, ASweepLooksAtSoManySlotsAndComesToAll) {
  EntryMap<std::int64_t, std::int64_t> map;
  for (std::int64_t i = 0; i < 100; ++i) *map.FindOrInsert(i).first = i;
  std::uint32_t cursor = 0;
  int looked_at = 0;
  int steps = 0;
  for (; looked_at < 100; ++steps) {
    int once = 0;
    map.Sweep(cursor, 8, [&](const std::int64_t&, const std::int64_t&) {
      ++once;
      return false;
    });
    EXPECT_LE(once, 8);
    looked_at += once;
    ASSERT_LE(steps, 100);
  }
  for (int i = 0; i < 1000 && !map.empty(); ++i) {
    map.Sweep(cursor, 8, [](const std::int64_t&, const std::int64_t&) { return true; });
  }
  EXPECT_TRUE(map.empty());
}

// Among so many, some hashes begin with the same 32 bits. Gluten 12805: a hash taken for the key.
TEST(EntryMapTest, FindsEachOfManyKeys) {
  EntryMap<std::int64_t, std::int64_t> map;
  constexpr std::int64_t kKeys = 300'000;
  for (std::int64_t i = 0; i < kKeys; ++i) *map.FindOrInsert(i).first = -i;
  std::map<std::uint32_t, int> of_hash;
  std::int64_t wrong = 0;
  int collisions = 0;
  for (std::int64_t i = 0; i < kKeys; ++i) {
    const std::int64_t* value = map.Find(i);
    if (value == nullptr || *value != -i) ++wrong;
    if (++of_hash[static_cast<std::uint32_t>(KeyHash(i) >> 32)] > 1) ++collisions;
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(collisions, 0);
  EXPECT_EQ(map.size(), static_cast<std::size_t>(kKeys));
}

struct Odd {
  double number = 0;
};
TEST(EntryMapTest, KeysAreTheSameIfTheirEncodingsAre) {
  EntryMap<Odd, std::string> map;
  *map.FindOrInsert({0.0}).first = "plus";
  *map.FindOrInsert({-0.0}).first = "minus";
  *map.FindOrInsert({std::numeric_limits<double>::quiet_NaN()}).first = "nan";
  EXPECT_EQ(map.size(), 3U);
  EXPECT_EQ(*map.Find({-0.0}), "minus");
  EXPECT_EQ(*map.Find({std::numeric_limits<double>::quiet_NaN()}), "nan");
}

TEST(EntryMapTest, MovesLeaveAnEmptyMap) {
  EntryMap<std::string, std::string> map;
  *map.FindOrInsert("a").first = "1";
  EntryMap<std::string, std::string> taken(std::move(map));
  EXPECT_THAT(Contents(taken), ElementsAre(std::pair<const std::string, std::string>("a", "1")));
  EXPECT_THAT(Contents(map), IsEmpty());
}

}  // namespace
}  // namespace weir::internal
