#include "weir/table_changes.h"

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "weir/state_codec.h"
#include "weir/state_table.h"

namespace weir::internal {
namespace {

constexpr std::uint32_t kGroups = 8;
constexpr KeyGroupRange kAll{0, kGroups - 1};

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

// A table beside what it should hold, of which a base and then changes are taken, each since one
// that was written before; those that are not followed by others are the ones that failed.
template <class T>
class TableChangesTest : public ::testing::Test {
 protected:
  using K = typename T::Key;
  using V = typename T::Value;
  using Table = NamedTable<K, V>;
  using Content = std::map<K, V>;

  struct Taken {
    std::unique_ptr<KeyedStateSnapshot> snapshot;
    Content expected;
    // Index of what it goes on from; none: it is the base.
    std::optional<std::size_t> since;
    std::vector<std::string> groups = {};
    std::size_t bytes = 0;
  };

  void TakeBase() {
    taken_.clear();
    written_ = 0;
    followed_ = 0;
    taken_.push_back({table_->TakeSnapshot(SnapshotUse::kBase), content_, std::nullopt});
  }
  void TakeChanges() {
    if (written_ == 0) return;
    // What has been written may have become complete, or not.
    if (random_() % 2 == 0) followed_ = followed_ + random_() % (written_ - followed_);
    taken_.push_back(
        {table_->TakeChanges(static_cast<std::uint32_t>(followed_)), content_, followed_});
  }
  void WriteOne() {
    if (written_ == taken_.size()) return;
    Taken& taken = taken_[written_];
    std::string& bytes = taken.groups.emplace_back();
    taken.snapshot->WriteKeyGroup(static_cast<std::uint32_t>(taken.groups.size() - 1), bytes);
    taken.bytes += bytes.size();
    if (taken.groups.size() < kGroups) return;
    taken.snapshot.reset();
    ++written_;
    Compare(written_ - 1);
  }
  void Compare(std::size_t at) {
    std::vector<std::size_t> chain;
    for (std::optional<std::size_t> i = at; i.has_value(); i = taken_[*i].since)
      chain.push_back(*i);
    Table restored("test", kAll, kGroups);
    for (auto i = chain.rbegin(); i != chain.rend(); ++i) {
      for (std::uint32_t group = 0; group < kGroups; ++group) {
        const std::string& bytes = taken_[*i].groups[group];
        const absl::Status status = i == chain.rbegin() ? restored.ReadKeyGroup(group, bytes)
                                                        : restored.ReadChanges(group, bytes);
        ASSERT_TRUE(status.ok()) << status;
      }
    }
    ASSERT_EQ(ContentOf(restored), taken_[at].expected)
        << "of " << at << " in a chain of " << chain.size();
    if (chain.size() > 2) ++compared_;
  }
  static Content ContentOf(Table& table) {
    Content content;
    table.table.ForEach([&](const K& key, const V& value) { content.emplace(key, value); });
    return content;
  }

  void Set(const K& key, const V& value) {
    const std::uint64_t hash = KeyHash(key);
    const auto [at, inserted] = table_->table.FindOrInsert(key, hash);
    if (!inserted) table_->table.MarkChanged(at, hash);
    *at = value;
    content_[key] = value;
  }
  void Change() {
    const K key = random_() % 50 == 0
                      ? Reserved()
                      : Make<K>(random_() % 4 == 0 ? random_() % 20'000 : random_() % 300);
    switch (random_() % 64) {
      case 0 ... 15:
        ASSERT_EQ(table_->table.Erase(key, KeyHash(key)), content_.erase(key) > 0);
        break;
      case 16:
        table_->table.Sweep(cursor_, 20, [&](V&) { return random_() % 8 == 0; });
        content_ = ContentOf(*table_);
        break;
      case 17:
        if (random_() % 200 != 0) break;
        table_->table.Clear();
        content_.clear();
        break;
      case 18: {
        if (random_() % 20 != 0) break;
        const auto group = static_cast<std::uint32_t>(random_() % kGroups);
        table_->DropKeyGroup(group);
        std::erase_if(content_, [&](const auto& entry) {
          return KeyGroupOf(KeyHash(entry.first), kGroups) == group;
        });
        break;
      }
      default:
        Set(key, Make<V>(random_() % 100'000));
    }
  }
  static K Reserved() {
    if constexpr (KeyedSlot<K, V>::kHasReservedKey) {
      return KeyedSlot<K, V>::kReservedKey;
    } else {
      return Make<K>(1);
    }
  }

  std::mt19937_64 random_{1};
  std::unique_ptr<Table> table_ = std::make_unique<Table>("test", kAll, kGroups);
  Content content_;
  TableCursor cursor_;
  // The base and what was taken after it.
  std::deque<Taken> taken_;
  std::size_t written_ = 0;
  std::size_t followed_ = 0;
  int compared_ = 0;
};

using AllTypes =
    ::testing::Types<Types<std::int64_t, std::int64_t>, Types<std::int32_t, std::string>,
                     Types<std::string, std::int32_t>, Types<std::string, std::string>>;
TYPED_TEST_SUITE(TableChangesTest, AllTypes);

TYPED_TEST(TableChangesTest, ABaseAndItsChangesAreWhatTheTableHeld) {
  for (int step = 0; step < 100'000; ++step) {
    this->Change();
    if (this->taken_.size() > 150 || this->taken_.empty()) this->TakeBase();
    if (this->random_() % 300 == 0 && this->taken_.size() - this->written_ < 4) this->TakeChanges();
    if (this->random_() % 20 == 0) this->WriteOne();
    if (this->HasFatalFailure()) return;
  }
  EXPECT_GT(this->compared_, 200);
}

TYPED_TEST(TableChangesTest, ChangesAreWrittenByAnotherThreadWhileTheTableGoesOn) {
  for (int step = 0; step < 500; ++step) this->Change();
  this->TakeBase();
  while (this->written_ == 0) this->WriteOne();
  for (int round = 0; round < 30; ++round) {
    for (int step = 0; step < 500; ++step) this->Change();
    this->TakeChanges();
    std::atomic<bool> done{false};
    auto& taken = this->taken_.back();
    taken.groups.resize(kGroups);
    std::thread writer([&] {
      for (std::uint32_t group = 0; group < kGroups; ++group)
        taken.snapshot->WriteKeyGroup(group, taken.groups[group]);
      done = true;
    });
    for (int step = 0; step < 2000 || !done; ++step) this->Change();
    writer.join();
    ++this->written_;
    this->Compare(this->written_ - 1);
    if (this->HasFatalFailure()) return;
  }
}

TYPED_TEST(TableChangesTest, OnlyWhatHasChangedIsWritten) {
  for (std::uint64_t i = 0; i < 10'000; ++i)
    this->Set(Make<typename TypeParam::Key>(i), Make<typename TypeParam::Value>(i));
  this->TakeBase();
  while (this->written_ == 0) this->WriteOne();
  for (std::uint64_t i = 0; i < 100; ++i)
    this->Set(Make<typename TypeParam::Key>(i * 100), Make<typename TypeParam::Value>(i + 1));
  const typename TypeParam::Key gone = Make<typename TypeParam::Key>(77);
  this->table_->table.Erase(gone, KeyHash(gone));
  this->content_.erase(gone);
  this->TakeChanges();
  while (this->written_ == 1) this->WriteOne();
  EXPECT_LT(this->taken_[1].bytes * 50, this->taken_[0].bytes);
  this->TakeChanges();
  while (this->written_ == 2) this->WriteOne();
  if (this->taken_[2].since == std::size_t{1}) {
    EXPECT_EQ(this->taken_[2].bytes, 0U);
  } else {
    EXPECT_EQ(this->taken_[2].bytes, this->taken_[1].bytes);
  }
}

// The list of erased keys does not outgrow the table.
TEST(TableChangesErased, KeysThatComeAndGoDoNotMakeChangesLargerThanTheTable) {
  NamedTable<std::int64_t, std::int64_t> table("test", {0, 0}, 1);
  table.TakeSnapshot(SnapshotUse::kBase);
  for (std::int64_t key = 0; key < 100'000; ++key) {
    table.table.FindOrInsert(key, KeyHash(key));
    if (key >= 10) table.table.Erase(key - 10, KeyHash(key - 10));
  }
  std::string bytes;
  table.TakeChanges(0)->WriteKeyGroup(0, bytes);
  EXPECT_EQ(bytes.size(), 1U + 1U + 1U + 10U * 16U);
  ASSERT_TRUE(table.ReadChanges(0, bytes).ok());
  EXPECT_EQ(table.entries(), 10U);
}

TEST(TableChangesDamaged, BytesThatAreNoChangesAreRefused) {
  NamedTable<std::int64_t, std::int64_t> table("test", kAll, kGroups);
  const std::int64_t key = 5;
  const std::uint32_t group = KeyGroupOf(KeyHash(key), kGroups);
  table.TakeSnapshot(SnapshotUse::kBase);
  table.table.FindOrInsert(key, KeyHash(key));
  table.table.Erase(key, KeyHash(key));
  table.table.FindOrInsert(key, KeyHash(key));
  std::string bytes;
  table.TakeChanges(0)->WriteKeyGroup(group, bytes);
  ASSERT_EQ(bytes.size(), 1U + 1U + 8U + 1U + 16U);
  for (std::size_t length = 1; length < bytes.size(); ++length) {
    EXPECT_EQ(table.ReadChanges(group, bytes.substr(0, length)).code(),
              absl::StatusCode::kDataLoss);
  }
  EXPECT_EQ(table.ReadChanges(group, bytes + "x").code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(table.ReadChanges((group + 1) % kGroups, bytes).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(table.ReadChanges(group, "\2" + bytes.substr(1)).code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(table.ReadChanges(group, bytes).ok());
}

}  // namespace
}  // namespace weir::internal
