// Stores that are restored from several others, again and again, against sorted maps.
#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "state/rocksdb/rocksdb_subtasks_test.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

constexpr size_t kMostDatabases = 8;

using RocksDbRescaleTest = RocksDbSubtasks;

TEST_F(RocksDbRescaleTest, TwoBecomeOne) { Rescale({2, 1, 1}); }
TEST_F(RocksDbRescaleTest, ThreeBecomeOne) { Rescale({3, 1, 1}); }
TEST_F(RocksDbRescaleTest, ThreeBecomeTwo) { Rescale({3, 2, 2}); }
TEST_F(RocksDbRescaleTest, OneBecomesTwoAndTheyOneAgainAndAgain) {
  Rescale({1, 2, 1, 2, 2, 1, 1, 2, 1});
}
TEST_F(RocksDbRescaleTest, AnyNumberBecomesAnyOther) { Rescale({5, 3, 7, 2, 16, 1, 4, 1}); }
// Some of what is written anew is of a store that had other key groups, too.
TEST_F(RocksDbRescaleTest, TwentyFiveBecomeTwo) { Rescale({25, 2, 1}); }

TEST_F(RocksDbRescaleTest, WhatSeveralHadIsTakenUpAsItIs) {
  Start(2);
  Change(30'000);
  const Checkpoint of_two = Take();
  const auto estimated = [&] {
    uint64_t entries = 0;
    for (const Subtask& subtask : subtasks_) entries += subtask.columns[0]->EstimatedEntries();
    return entries;
  };
  Start(2, of_two);
  const uint64_t entries = estimated();
  Start(1, of_two);
  EXPECT_EQ(estimated(), entries);
  const Checkpoint of_one = Take();
  EXPECT_EQ(new_bytes_, 0u);
  EXPECT_EQ(DatabasesOf(of_one.at(0)), 2u);
  Change(30);
  const Checkpoint changed = Take();
  EXPECT_LT(new_bytes_, all_bytes_ / 10);
  ExpectModel();
  // And each goes to whom its key groups belong to, who has one database again.
  Start(2, changed);
  ExpectModel();
  const Checkpoint again = Take();
  EXPECT_EQ(new_bytes_, 0u);
  for (const Stored& stored : again) {
    EXPECT_EQ(DatabasesOf(stored), 1u);
    EXPECT_TRUE(std::any_of(stored.files.begin(), stored.files.end(),
                            [](const StoredFile& file) { return file.name == "CURRENT"; }));
  }
}

TEST_F(RocksDbRescaleTest, OfMoreThanAStoreMayHaveTheSmallestAreWrittenAnew) {
  // With as much memory each store has a file of each state, which RocksDB does not merge with the
  // one that is added.
  backend_ = std::make_unique<RocksDbBackend>(
      RocksDbBackend::Options{.directory = root_ + "/roomy", .memory_bytes = 1 << 30});
  Start(12);
  Change(600);
  Change(60'000, /*one_in=*/2);
  const Checkpoint of_twelve = Take();
  const uint64_t all = all_bytes_;
  Start(1, of_twelve);
  ExpectModel();
  Checkpoint last = Take();
  EXPECT_EQ(DatabasesOf(last.at(0)), kMostDatabases);
  EXPECT_GT(new_bytes_, 0u);
  EXPECT_LT(new_bytes_, all / 6);
  ExpectModelIn(last);
  // No more of them with more generations.
  for (const uint32_t parallelism : {2u, 5u, 1u}) {
    Start(parallelism, last);
    ExpectModel();
    Change(300);
    last = Take();
    for (const Stored& stored : last) EXPECT_LE(DatabasesOf(stored), kMostDatabases);
  }
  ExpectModel();
}

TEST_F(RocksDbRescaleTest, KeyGroupsThatNoStoreHadAreWrittenToANeighbour) {
  Start(3);
  Change(5'000);
  Checkpoint last = Take();
  // What the ended one had comes by another way: its key groups are empty.
  for (size_t ended = 0; ended < 3; ++ended) {
    SCOPED_TRACE(ended);
    const KeyGroupRange range = last.at(ended).range;
    for (Entries& model : model_)
      model.erase(model.lower_bound(GroupOf(range.first)),
                  model.lower_bound(GroupOf(range.last + 1)));
    Start(1, last, {ended});
    ExpectModel();
    Change(5'000);
    ExpectModel();
    last = Take();
    Start(3, last);
    ExpectModel();
    last = Take();
  }
}

TEST_F(RocksDbRescaleTest, CompactionDropsWhatHasExpiredFromAllOfThem) {
  Start(2);
  constexpr size_t kExpiring = 1;
  const auto write = [&](Ticks accessed, uint64_t from, uint64_t to) {
    for (Subtask& subtask : subtasks_) {
      Entries entries;
      for (uint32_t group = subtask.range.first; group <= subtask.range.last; ++group) {
        for (uint64_t n = from; n < to; ++n) {
          entries[KeyIn(group, n, ColumnLayout::kExpiring)] =
              ValueOf(0, ColumnLayout::kExpiring, accessed) + std::string(500, 'x');
        }
      }
      WriteTo(*subtask.columns[kExpiring], entries, /*later=*/false);
    }
  };
  write(1'000, 0, 20);
  Start(1, Take());
  subtasks_[0].columns[kExpiring]->ExpireThrough(2'999);
  for (int round = 0; round < 30; ++round) write(5'000, 5, 20);
  std::map<bool, size_t> expired;
  const auto view = *subtasks_[0].columns[kExpiring]->View();
  ASSERT_TRUE(view->Scan("", "\xff\xff",
                         [&](std::string_view key, std::string_view) {
                           const std::string_view rest = key.substr(2);
                           if (rest <
                               std::string_view(KeyIn(0, 5, ColumnLayout::kExpiring)).substr(2))
                             ++expired[key < GroupOf(64)];
                           return true;
                         })
                  .ok());
  // Of 64 * 5 each; some files may not have been compacted yet.
  EXPECT_LT(expired[true], 200u);
  EXPECT_LT(expired[false], 200u);
}

TEST_F(RocksDbRescaleTest, ANameThatIsNoneOfAStoresFilesIsRefused) {
  Start(1);
  Change(100);
  Checkpoint last = Take();
  for (const std::string name : {"from-", "from-CURRENT", "from-64", "from--CURRENT", "from-64-",
                                 "from-65536-CURRENT", "from-99999999999-CURRENT"}) {
    Checkpoint bad = last;
    bad[0].files.push_back({name, "x", "", "", 0, 0});
    const StoredParts parts = {{last[0].range, last[0].range, bad[0].files}};
    const auto opened = backend_->Open(1, 7, &parts);
    EXPECT_EQ(opened.status().code(), absl::StatusCode::kDataLoss) << name;
    EXPECT_THAT(std::string(opened.status().message()), HasSubstr("'" + name + "'"));
    EXPECT_EQ(backend_->Read(bad[0].files).status().code(), absl::StatusCode::kDataLoss);
  }
}

}  // namespace
}  // namespace weir
