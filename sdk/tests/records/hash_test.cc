#include "weir/hash.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sdk/tests/records/record_zoo.h"

namespace weir {
namespace {

// The vectors of docs/FORMATS.md, made by an implementation in another language.
TEST(KeyHashTest, IsTheFixedFunctionOfTheFormat) {
  EXPECT_EQ(KeyHash(std::string("")), 0x93228a4de0eec5a2u);
  EXPECT_EQ(KeyHash(std::string("a")), 0xaced12527fe5bff8u);
  EXPECT_EQ(KeyHash(std::string("ab")), 0xe9c28c2968258c7du);
  EXPECT_EQ(KeyHash(std::string("abc")), 0x989b4a209c1011c9u);
  EXPECT_EQ(KeyHash(std::string("abcd")), 0x6d9a9834037410ebu);
  EXPECT_EQ(KeyHash(std::string("12345678")), 0xea51b9e77dfd55d1u);
  EXPECT_EQ(KeyHash(std::string("user-000000042x")), 0x6b4e2b6dba96b6e0u);
  EXPECT_EQ(KeyHash(std::string("sixteen-bytes-ok")), 0x6c65f7c52bddabf4u);
  EXPECT_EQ(KeyHash(std::string("seventeen bytes !")), 0x30fc1e836128c07du);
  EXPECT_EQ(KeyHash(std::string("The quick brown fox jumps over the lazy dog")),
            0x08e445df107bb587u);
  EXPECT_EQ(KeyHash(std::string("012345678901234567890123456789012345678901234567890123456789012345"
                                "6789012345678901234567890123456789")),
            0x7365f00652a63030u);
  EXPECT_EQ(KeyHash(std::int64_t{0}), 0x4adc8d1e72de28b1u);
  EXPECT_EQ(KeyHash(std::int64_t{1}), 0x32ae2b35890811d6u);
  EXPECT_EQ(KeyHash(std::int64_t{-1}), 0xaacea3a34e1799b5u);
  EXPECT_EQ(KeyHash(std::int64_t{42}), 0x78327acbe40ccac6u);
  EXPECT_EQ(KeyHash(std::numeric_limits<std::int64_t>::max()), 0x89104c8a580e9703u);
  EXPECT_EQ(KeyHash(std::numeric_limits<std::int64_t>::min()), 0x1cc5065769bdb5b9u);
  EXPECT_EQ(KeyHash(std::int32_t{7}), 0xd0384440bd0171bfu);
  EXPECT_EQ(KeyHash(std::int16_t{-2}), 0xe0e01f3ef2f800acu);
  EXPECT_EQ(KeyHash(true), 0x39a10bde68f15a1bu);
  EXPECT_EQ(KeyHash(1.5), 0x38d6d6a1fd744da8u);
  EXPECT_EQ(KeyHash((zoo::Flat{3, 0.25})), 0x4cf994c5f511ce9du);
  EXPECT_EQ(KeyHash((zoo::Strings{"ab", "c"})), 0xe358dbc8d49cc8adu);
  EXPECT_EQ(KeyHash(EventTime::FromTicks(1000)), 0xe69a04a5f9b84987u);
}

TEST(KeyHashTest, OfAnyKeyIsTheHashOfItsSerializedBytes) {
  zoo::Source source(1, true);
  const auto check = [](const auto& key) {
    const std::string bytes = SerializeKey(key);
    EXPECT_EQ(KeyHash(key), internal::HashBytes(bytes.data(), bytes.size()));
  };
  for (int i = 0; i < 200; ++i) {
    check(source.Draw<std::int64_t>());
    check(source.Draw<std::int32_t>());
    check(source.Draw<std::int8_t>());
    check(source.Draw<bool>());
    check(source.Draw<std::string>());
    check(source.Draw<zoo::Flat>());
    check(source.Draw<zoo::Strings>());
    check(source.Draw<zoo::Nested>());
    check(source.Draw<zoo::Containers>());
    check(source.Draw<zoo::Money>());
    check(source.Draw<std::pair<int, std::string>>());
    check(source.Draw<zoo::Color>());
  }
}

TEST(KeyHashTest, OfAStringIsThatOfItsCharactersHoweverTheyAreHeld) {
  const std::string text = "a string that is longer than sixteen bytes";
  EXPECT_EQ(KeyHash(text), KeyHash(std::string_view(text)));
  EXPECT_EQ(SerializeKey(text), text);
  EXPECT_NE(SerializeKey(zoo::Strings{text, ""}), text);
}

TEST(KeyHashTest, DoesNotDependOnTheOrderOfAnUnorderedMap) {
  std::unordered_map<std::int64_t, std::string> a;
  std::unordered_map<std::int64_t, std::string> b(1000);
  for (std::int64_t i = 0; i < 50; ++i) {
    a[i] = std::to_string(i);
    b[49 - i] = std::to_string(49 - i);
  }
  EXPECT_EQ(KeyHash(a), KeyHash(b));
}

// Flipping any bit of the input flips each bit of the hash about half the time.
TEST(KeyHashTest, SpreadsEveryBitOfTheKeyOverAllBitsOfTheHash) {
  std::mt19937_64 random(7);
  constexpr int kSamples = 4000;
  for (const std::size_t size : {1u, 3u, 4u, 8u, 12u, 16u, 17u, 40u, 100u}) {
    for (std::size_t bit = 0; bit < size * 8; bit += size > 16 ? 13 : 1) {
      std::array<int, 64> flips{};
      for (int sample = 0; sample < kSamples; ++sample) {
        std::string bytes(size, '\0');
        for (char& c : bytes) c = static_cast<char>(random());
        const std::uint64_t before = internal::HashBytes(bytes.data(), size);
        bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
        const std::uint64_t changed = before ^ internal::HashBytes(bytes.data(), size);
        for (std::size_t i = 0; i < 64; ++i) flips[i] += static_cast<int>(changed >> i & 1);
      }
      for (std::size_t i = 0; i < 64; ++i) {
        // One byte has 256 values, so its samples are not independent.
        const double tolerance = size == 1 ? 0.25 : 0.05;
        ASSERT_NEAR(static_cast<double>(flips[i]) / kSamples, 0.5, tolerance)
            << "size " << size << ", input bit " << bit << ", hash bit " << i;
      }
    }
  }
}

// Chi-squared of the counts against equal ones, in standard deviations from its mean.
double Deviation(const std::vector<std::uint32_t>& counts, double total) {
  const double expected = total / static_cast<double>(counts.size());
  double chi = 0;
  for (const std::uint32_t count : counts)
    chi += (count - expected) * (count - expected) / expected;
  const double freedom = static_cast<double>(counts.size() - 1);
  return (chi - freedom) / std::sqrt(2 * freedom);
}

template <class MakeKey>
void ExpectUniform(const char* what, MakeKey make_key) {
  constexpr std::uint32_t kKeys = 1 << 18;
  std::vector<std::uint32_t> low(4096), high(128), odd(127), low_of_one_group(1024);
  std::uint32_t in_group = 0;
  for (std::uint32_t i = 0; i < kKeys; ++i) {
    const std::uint64_t hash = KeyHash(make_key(i));
    ++low[hash & 4095];
    const std::uint32_t group = KeyGroupOf(hash, 128);
    ++high[group];
    ++odd[KeyGroupOf(hash, 127)];
    // Within the groups of one subtask of 16 the table must fill evenly too.
    if (group < 8) {
      ++low_of_one_group[hash & 1023];
      ++in_group;
    }
  }
  EXPECT_LT(std::abs(Deviation(low, kKeys)), 5) << what;
  EXPECT_LT(std::abs(Deviation(high, kKeys)), 5) << what;
  EXPECT_LT(std::abs(Deviation(odd, kKeys)), 5) << what;
  EXPECT_LT(std::abs(Deviation(low_of_one_group, in_group)), 5) << what;
}

TEST(KeyHashTest, SpreadsRegularKeysEvenlyOverTableSlotsAndKeyGroups) {
  ExpectUniform("sequence", [](std::uint32_t i) { return static_cast<std::int64_t>(i); });
  ExpectUniform("negative", [](std::uint32_t i) { return -static_cast<std::int64_t>(i); });
  ExpectUniform("multiples of 4096",
                [](std::uint32_t i) { return static_cast<std::int64_t>(i) << 12; });
  ExpectUniform("high half", [](std::uint32_t i) { return static_cast<std::int64_t>(i) << 32; });
  ExpectUniform("32 bits", [](std::uint32_t i) { return static_cast<std::int32_t>(i); });
  ExpectUniform("doubles", [](std::uint32_t i) { return static_cast<double>(i); });
  ExpectUniform("text", [](std::uint32_t i) { return "user-" + std::to_string(i); });
  ExpectUniform("long text", [](std::uint32_t i) {
    return "https://example.org/page/" + std::to_string(i) + ".html";
  });
  ExpectUniform("pairs",
                [](std::uint32_t i) { return zoo::Flat{i & 511, static_cast<double>(i >> 9)}; });
}

TEST(KeyHashTest, HasNoCollisionsAmongAMillionSmallIntegers) {
  std::vector<std::uint64_t> hashes;
  for (std::int64_t i = 0; i < 1'000'000; ++i) hashes.push_back(KeyHash(i));
  std::sort(hashes.begin(), hashes.end());
  EXPECT_EQ(std::adjacent_find(hashes.begin(), hashes.end()), hashes.end());
}

TEST(KeyGroupTest, IsTheUpperHalfOfTheHashModuloTheMaximum) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t hash = random();
    const auto m = static_cast<std::uint32_t>(1 + random() % 32768);
    EXPECT_EQ(KeyGroupOf(hash, m), (hash >> 32) % m);
    EXPECT_EQ(KeyGroupOf(hash, 1u << (i % 16)), (hash >> 32) % (1u << (i % 16)));
  }
  EXPECT_EQ(KeyGroupOf(~std::uint64_t{0}, 1), 0u);
}

using Ranges = std::vector<std::pair<std::uint32_t, std::uint32_t>>;

Ranges RangesOf(std::uint32_t max_parallelism, std::uint32_t parallelism) {
  Ranges ranges;
  for (std::uint32_t i = 0; i < parallelism; ++i) {
    const KeyGroupRange range = KeyGroupRangeOf(i, max_parallelism, parallelism);
    ranges.emplace_back(range.first, range.last);
  }
  return ranges;
}

// Rule 48.
TEST(KeyGroupTest, GivesEachSubtaskItsRange) {  // Flink 23908
  EXPECT_EQ(RangesOf(128, 3), (Ranges{{0, 42}, {43, 85}, {86, 127}}));
  EXPECT_EQ(RangesOf(128, 1), (Ranges{{0, 127}}));
  EXPECT_EQ(RangesOf(1, 1), (Ranges{{0, 0}}));
  EXPECT_EQ(RangesOf(32768, 7), (Ranges{{0, 4681},
                                        {4682, 9362},
                                        {9363, 14043},
                                        {14044, 18724},
                                        {18725, 23405},
                                        {23406, 28086},
                                        {28087, 32767}}));
  EXPECT_EQ(RangesOf(235, 11), (Ranges{{0, 21},
                                       {22, 42},
                                       {43, 64},
                                       {65, 85},
                                       {86, 106},
                                       {107, 128},
                                       {129, 149},
                                       {150, 170},
                                       {171, 192},
                                       {193, 213},
                                       {214, 234}}));
  EXPECT_EQ(RangesOf(284, 19), (Ranges{{0, 14},
                                       {15, 29},
                                       {30, 44},
                                       {45, 59},
                                       {60, 74},
                                       {75, 89},
                                       {90, 104},
                                       {105, 119},
                                       {120, 134},
                                       {135, 149},
                                       {150, 164},
                                       {165, 179},
                                       {180, 194},
                                       {195, 209},
                                       {210, 224},
                                       {225, 239},
                                       {240, 254},
                                       {255, 269},
                                       {270, 283}}));
  EXPECT_EQ(RangesOf(164, 4), (Ranges{{0, 40}, {41, 81}, {82, 122}, {123, 163}}));
  EXPECT_EQ(RangesOf(27254, 17), (Ranges{{0, 1603},
                                         {1604, 3206},
                                         {3207, 4809},
                                         {4810, 6412},
                                         {6413, 8015},
                                         {8016, 9619},
                                         {9620, 11222},
                                         {11223, 12825},
                                         {12826, 14428},
                                         {14429, 16031},
                                         {16032, 17634},
                                         {17635, 19238},
                                         {19239, 20841},
                                         {20842, 22444},
                                         {22445, 24047},
                                         {24048, 25650},
                                         {25651, 27253}}));
  EXPECT_EQ(RangesOf(191, 5), (Ranges{{0, 38}, {39, 76}, {77, 114}, {115, 152}, {153, 190}}));
}

// Rule 48.
TEST(KeyGroupTest, ASubtaskOwnsExactlyTheGroupsThatAreSentToIt) {
  for (const std::uint32_t m : {1u, 2u, 7u, 16u, 100u, 128u, 235u, 26539u, 32768u}) {
    for (const std::uint32_t p : {1u, 2u, 3u, 7u, 16u, 95u, 128u, 1000u, 32768u}) {
      if (p > m) continue;
      std::uint32_t next = 0;
      for (std::uint32_t i = 0; i < p; ++i) {
        const KeyGroupRange range = KeyGroupRangeOf(i, m, p);
        ASSERT_EQ(range.first, next);
        ASSERT_LE(range.first, range.last);
        ASSERT_EQ(SubtaskOf(range.first, m, p), i);
        ASSERT_EQ(SubtaskOf(range.last, m, p), i);
        next = range.last + 1;
      }
      ASSERT_EQ(next, m);
    }
  }
}

}  // namespace
}  // namespace weir
