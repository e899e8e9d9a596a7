#include "weir/frozen_table.h"

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "weir/state_codec.h"
#include "weir/state_table.h"

namespace weir::internal {
namespace {

constexpr std::uint32_t kGroups = 8;

// Values that are copied, moved, and moved with memory of their own.
template <class T>
T Make(std::uint64_t number) {
  if constexpr (std::is_same_v<T, std::string>) {
    return std::to_string(number) + std::string(number % 40, 'x');
  } else {
    return static_cast<T>(number);
  }
}

template <class K, class V>
struct Types {
  using Key = K;
  using Value = V;
};

template <class T>
class FrozenTableTest : public ::testing::Test {
 protected:
  using K = typename T::Key;
  using V = typename T::Value;
  using Table = KeyedTable<K, V>;
  using Content = std::map<K, V>;

  // What is written of a group, added to `content`.
  static void Read(const std::string& bytes, std::uint32_t group, Content& content) {
    if (bytes.empty()) return;
    Decoder in(bytes);
    const absl::Status status = ReadEntries<K, V>(
        in, group, kGroups, "test", [](std::size_t) {},
        [&](const K& key, V value, std::uint64_t) {
          EXPECT_TRUE(content.emplace(key, std::move(value)).second) << "an entry is there twice";
        });
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(in.remaining(), 0U);
  }

  struct Taken {
    TableSnapshot<K, V> snapshot;
    Content expected;
    Content written;
    std::uint32_t next_group = 0;
  };

  void Take() {
    taken_.push_back({table_->Freeze(SnapshotUse::kLive, RecordLayout<V>()), content_, {}, 0});
  }
  // Writes one group of one snapshot, and compares once it was the last.
  void WriteOne() {
    if (taken_.empty()) return;
    const std::size_t at = random_() % taken_.size();
    Taken& taken = taken_[at];
    std::string bytes;
    taken.snapshot.WriteKeyGroup(taken.next_group, bytes);
    Read(bytes, taken.next_group, taken.written);
    if (++taken.next_group < kGroups) return;
    ASSERT_EQ(taken.written, taken.expected);
    ++compared_;
    taken_.erase(taken_.begin() + static_cast<std::ptrdiff_t>(at));
  }
  void Change() {
    const K key = Make<K>(random_() % 4 == 0 ? random_() % 40'000 : random_() % 300);
    const std::uint64_t hash = KeyHash(key);
    switch (random_() % 64) {
      case 0 ... 15:
        ASSERT_EQ(table_->Erase(key, hash), content_.erase(key) > 0);
        break;
      case 16:
        table_->Sweep(cursor_, 20, [&](V& value) {
          // Changes what it keeps as well.
          const bool dead = random_() % 2 == 0;
          swept_.emplace_back(value, dead);
          value = Make<V>(7);
          return dead;
        });
        swept_.clear();
        content_.clear();
        table_->ForEach([&](const K& k, const V& v) { content_.emplace(k, v); });
        break;
      case 17:
        if (random_() % 20 != 0) break;
        table_->Clear();
        content_.clear();
        break;
      case 18: {
        if (random_() % 10 != 0) break;
        const auto group = static_cast<std::uint32_t>(random_() % kGroups);
        table_->DropKeyGroup(group);
        std::erase_if(content_, [&](const auto& entry) {
          return KeyGroupOf(KeyHash(entry.first), kGroups) == group;
        });
        break;
      }
      case 19 ... 24:
        if (V* value = table_->Find(key, hash); value != nullptr) {
          *value = Make<V>(random_() % 1000);
          content_[key] = *value;
        } else {
          ASSERT_FALSE(content_.contains(key));
        }
        break;
      default: {
        const V value = Make<V>(random_() % 100'000);
        *table_->FindOrInsert(key, hash).first = value;
        content_[key] = value;
      }
    }
    ASSERT_EQ(table_->size(), content_.size());
  }

  std::mt19937_64 random_{1};
  std::unique_ptr<Table> table_ = std::make_unique<Table>(KeyGroupRange{0, kGroups - 1}, kGroups);
  Content content_;
  TableCursor cursor_;
  std::vector<std::pair<V, bool>> swept_;
  std::deque<Taken> taken_;
  int compared_ = 0;
};

using AllTypes =
    ::testing::Types<Types<std::int64_t, std::int64_t>, Types<std::int32_t, std::string>,
                     Types<std::string, std::int32_t>, Types<std::string, std::string>>;
TYPED_TEST_SUITE(FrozenTableTest, AllTypes);

TYPED_TEST(FrozenTableTest, SaysWhatTheTableHeldWhateverHappensToItThen) {
  for (int step = 0; step < 60'000; ++step) {
    this->Change();
    if (this->HasFatalFailure()) return;
    if (this->random_() % 300 == 0 && this->taken_.size() < 4) this->Take();
    if (this->random_() % 40 == 0) this->WriteOne();
    if (this->HasFatalFailure()) return;
  }
  EXPECT_GT(this->compared_, 50);
  // Also when the table is gone.
  this->Take();
  this->table_.reset();
  while (!this->taken_.empty()) {
    this->WriteOne();
    if (this->HasFatalFailure()) return;
  }
}

TYPED_TEST(FrozenTableTest, IsWrittenByAnotherThreadWhileTheTableGoesOn) {
  for (int round = 0; round < 30; ++round) {
    for (int step = 0; step < 500; ++step) this->Change();
    if (this->HasFatalFailure()) return;
    this->Take();
    auto taken = std::move(this->taken_.front());
    this->taken_.pop_front();
    std::atomic<bool> done{false};
    std::vector<std::string> groups(kGroups);
    std::thread writer([&, snapshot = std::move(taken.snapshot)] {
      for (std::uint32_t group = 0; group < kGroups; ++group)
        snapshot.WriteKeyGroup(group, groups[group]);
      done = true;
    });
    for (int step = 0; step < 2000 || !done; ++step) this->Change();
    writer.join();
    typename TestFixture::Content written;
    for (std::uint32_t group = 0; group < kGroups; ++group)
      this->Read(groups[group], group, written);
    ASSERT_EQ(written, taken.expected);
  }
}

// Both go over the groups in the same order, of whose blocks nothing is known before.
TEST(FrozenTableThreads, TwoThatComeToAGroupAtOnceDealWithEachBlockOnce) {
  constexpr int kRounds = 2000;
  constexpr std::uint32_t kMany = 512;
  KeyedTable<std::int64_t, std::int64_t> table({0, kMany - 1}, kMany);
  std::vector<std::int64_t> keys(kMany, -1);
  for (std::int64_t key = 0, left = kMany; left > 0; ++key) {
    std::int64_t& of_group = keys[KeyGroupOf(KeyHash(key), kMany)];
    if (of_group >= 0) continue;
    of_group = key;
    --left;
    *table.FindOrInsert(key, KeyHash(key)).first = 0;
  }
  TableSnapshot<std::int64_t, std::int64_t> snapshot;
  std::vector<std::string> written(kMany);
  std::atomic<int> begun{0};
  std::atomic<int> ended{0};
  std::thread writer([&] {
    for (int round = 1; round <= kRounds; ++round) {
      while (begun < round) std::this_thread::yield();
      for (std::uint32_t group = 0; group < kMany; ++group)
        snapshot.WriteKeyGroup(group, written[group]);
      ended = round;
    }
  });
  for (int round = 1; round <= kRounds; ++round) {
    for (std::string& bytes : written) bytes.clear();
    snapshot = table.Freeze(SnapshotUse::kLive, RecordLayout<std::int64_t>());
    begun = round;
    for (const std::int64_t key : keys) *table.FindOrInsert(key, KeyHash(key)).first = round;
    while (ended < round) std::this_thread::yield();
    for (std::uint32_t group = 0; group < kMany; ++group) {
      Decoder in(written[group]);
      std::vector<std::int64_t> values;
      EXPECT_TRUE(
          (ReadEntries<std::int64_t, std::int64_t>(
               in, group, kMany, "test", [](std::size_t) {},
               [&](std::int64_t, std::int64_t value, std::uint64_t) { values.push_back(value); }))
              .ok());
      EXPECT_EQ(values, std::vector<std::int64_t>{round - 1}) << "round " << round;
    }
    if (::testing::Test::HasFailure()) break;
  }
  // It counts on, whatever was found.
  begun = kRounds;
  writer.join();
}

TYPED_TEST(FrozenTableTest, TheTableIsItsOwnAgainOnceAllIsWritten) {
  for (int step = 0; step < 500; ++step) this->Change();
  EXPECT_FALSE(this->table_->IsShared());
  this->Take();
  EXPECT_TRUE(this->table_->IsShared());
  while (!this->taken_.empty()) {
    EXPECT_TRUE(this->table_->IsShared());
    this->WriteOne();
  }
  EXPECT_FALSE(this->table_->IsShared());
}

TYPED_TEST(FrozenTableTest, AFinalOneHasTheSameBytesForTheSameContent) {
  for (int step = 0; step < 3000; ++step) this->Change();
  typename TestFixture::Table other(KeyGroupRange{0, kGroups - 1}, kGroups);
  for (auto it = this->content_.rbegin(); it != this->content_.rend(); ++it)
    *other.FindOrInsert(it->first, KeyHash(it->first)).first = it->second;
  const RecordLayout<typename TypeParam::Value> layout;
  const auto one = this->table_->Freeze(SnapshotUse::kFinal, layout);
  const auto two = other.Freeze(SnapshotUse::kFinal, layout);
  for (std::uint32_t group = 0; group < kGroups; ++group) {
    std::string first;
    std::string second;
    std::string again;
    one.WriteKeyGroup(group, first);
    two.WriteKeyGroup(group, second);
    one.WriteKeyGroup(group, again);
    EXPECT_FALSE(first.empty());
    EXPECT_EQ(first, second);
    EXPECT_EQ(first, again);
  }
}

TYPED_TEST(FrozenTableTest, PartsAreOfKeysBesideEachOtherAndFollowTheSlots) {
  using Key = typename TypeParam::Key;
  using Value = typename TypeParam::Value;
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    const Key key = Make<Key>(i);
    *this->table_->FindOrInsert(key, KeyHash(key)).first = Make<Value>(i);
    this->content_[key] = Make<Value>(i);
  }
  auto snapshot = this->table_->Freeze(SnapshotUse::kBase, RecordLayout<Value>());
  std::map<std::uint32_t, std::vector<std::uint32_t>> hashes;  // in the order of the slots
  this->table_->ForEach([&](const Key& key, const Value&) {
    const std::uint64_t hash = KeyHash(key);
    hashes[KeyGroupOf(hash, kGroups)].push_back(static_cast<std::uint32_t>(hash));
  });
  // Blocks that are kept before they change come last.
  const auto expected = this->content_;
  for (std::uint64_t i = 0; i < 20'000; i += 100)
    *this->table_->Find(Make<Key>(i), KeyHash(Make<Key>(i))) = Make<Value>(5);
  typename TestFixture::Content written;
  typename TableSnapshot<Key, Value>::PartsMemory memory;
  std::string bytes;
  std::vector<std::size_t> ends;
  for (std::uint32_t group = 0; group < kGroups; ++group) {
    bytes.clear();
    ends.clear();
    const auto told = snapshot.WriteParts(group, bytes, ends, memory);
    EXPECT_EQ(told.entries, hashes[group].size());
    ASSERT_EQ(ends.size(), std::size_t{1} << told.parts.bits);
    EXPECT_GE(told.parts.bits, 3);
    std::size_t from = 0;
    for (std::uint32_t number = 0; number < ends.size(); ++number) {
      typename TestFixture::Content part;
      this->Read(bytes.substr(from, ends[number] - from), group, part);
      from = ends[number];
      for (const auto& [key, value] : part)
        EXPECT_EQ(told.parts.PartOf(static_cast<std::uint32_t>(KeyHash(key))), number);
      written.merge(part);
      EXPECT_TRUE(part.empty());
    }
    // Only an entry whose place was taken stands elsewhere.
    std::size_t back = 0;
    for (std::size_t i = 1; i < hashes[group].size(); ++i) {
      back += told.parts.PartOf(hashes[group][i]) < told.parts.PartOf(hashes[group][i - 1]);
    }
    EXPECT_LT(back, hashes[group].size() / 20);
  }
  EXPECT_EQ(written, expected);
}

TYPED_TEST(FrozenTableTest, ALargeGroupIsWrittenInPieces) {
  using Key = typename TypeParam::Key;
  using Value = typename TypeParam::Value;
  for (std::uint64_t i = 0; i < 300'000; ++i) {
    const Key key = Make<Key>(i);
    *this->table_->FindOrInsert(key, KeyHash(key)).first = Make<Value>(i);
    this->content_[key] = Make<Value>(i);
  }
  NamedSnapshot<Key, Value> snapshot(
      this->table_->Freeze(SnapshotUse::kLive, RecordLayout<Value>()));
  const auto expected = this->content_;
  for (std::uint64_t i = 0; i < 300'000; i += 1000)
    *this->table_->Find(Make<Key>(i), KeyHash(Make<Key>(i))) = Make<Value>(5);
  typename TestFixture::Content written;
  for (std::uint32_t group = 0; group < kGroups; ++group) {
    std::string all;
    std::string piece;
    int pieces = 0;
    snapshot.WriteInPieces(group, piece, [&](std::string& large) {
      EXPECT_GE(large.size(), EncodedEntries::kLarge);
      EXPECT_LT(large.size(), EncodedEntries::kLarge + 4096);
      all += large;
      large.clear();
      ++pieces;
    });
    EXPECT_GT(pieces, 0);
    this->Read(all + piece, group, written);
  }
  EXPECT_EQ(written, expected);
}

TEST(FrozenTableReserved, TheKeyThatMarksAnEmptySlotIsWrittenAsItWas) {
  const std::int64_t reserved = KeyedSlot<std::int64_t, int>::kReservedKey;
  const std::uint64_t hash = KeyHash(reserved);
  const std::uint32_t group = KeyGroupOf(hash, kGroups);
  KeyedTable<std::int64_t, int> table({0, kGroups - 1}, kGroups);
  *table.FindOrInsert(reserved, hash).first = 7;
  const auto snapshot = table.Freeze(SnapshotUse::kLive, RecordLayout<int>());
  *table.FindOrInsert(reserved, hash).first = 8;
  table.Erase(reserved, hash);
  std::string bytes;
  snapshot.WriteKeyGroup(group, bytes);
  Decoder in(bytes);
  std::map<std::int64_t, int> content;
  ASSERT_TRUE((ReadEntries<std::int64_t, int>(
                   in, group, kGroups, "test", [](std::size_t) {},
                   [&](std::int64_t key, int value, std::uint64_t) { content[key] = value; }))
                  .ok());
  EXPECT_EQ(content, (std::map<std::int64_t, int>{{reserved, 7}}));
}

// A value whose encoding throws once it is told to.
struct Throwing {
  int number = 0;
  // So that it is encoded to be preserved, not copied.
  std::string more;
};
struct ThrowingLayout {
  std::shared_ptr<bool> throws;
  bool Writes(const Throwing&) const { return true; }
  void Encode(const Throwing& value, std::string& out) const {
    if (*throws) throw std::runtime_error("no");
    EncodeValue(value.number, out);
  }
};

TEST(FrozenTableThrowing, WhatTheCodeOfAValueThrowsLeavesTheEntryToBeWritten) {
  KeyedTable<std::int64_t, Throwing> table({0, 0}, 1);
  const std::int64_t key = 3;
  table.FindOrInsert(key, KeyHash(key)).first->number = 5;
  const ThrowingLayout layout{std::make_shared<bool>(true)};
  const auto snapshot = table.Freeze(SnapshotUse::kLive, layout);
  EXPECT_THROW(table.Find(key, KeyHash(key)), std::runtime_error);
  *layout.throws = false;
  table.Find(key, KeyHash(key))->number = 6;
  std::string bytes;
  snapshot.WriteKeyGroup(0, bytes);
  Decoder in(bytes);
  std::uint64_t count = 0;
  std::int64_t read_key = 0;
  int number = 0;
  ASSERT_TRUE(in.Varint(count) && DecodeValue(in, read_key) && DecodeValue(in, number));
  EXPECT_EQ(count, 1U);
  EXPECT_EQ(number, 5);
}

}  // namespace
}  // namespace weir::internal
