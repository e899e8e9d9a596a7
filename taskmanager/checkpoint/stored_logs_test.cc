#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "taskmanager/checkpoint/stored_state_test.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> LogsIn(const std::vector<std::string>& names) {
  std::vector<std::string> logs;
  for (const std::string& name : names) {
    if (name.find("log-") != std::string::npos) logs.push_back(name);
  }
  return logs;
}

TEST_F(StoredStateTest, WhatChangesAgainAndAgainIsLoggedAndNotStored) {
  logs_ = true;
  Start(2);
  for (std::int64_t key = 0; key < 40'000; ++key) Set(key, std::string(100, 'a'));
  Checkpoint(1, 0);
  const uint64_t all = full_bytes_;
  proto::JobRestore last;
  for (uint64_t id = 2; id < 8; ++id) {
    SCOPED_TRACE(id);
    for (std::int64_t key = 0; key < 500; ++key) Set(key * 7, std::to_string(id) + "b");
    for (std::int64_t key = 0; key < 50; ++key) {
      Set(key * 3 + 1, "gone");
      Erase(key * 3 + 1);
      Set(-key - 1, "new");
    }
    last = Checkpoint(id, id - 1);
    EXPECT_LT(new_bytes_, 15'000u);
    EXPECT_LT(full_bytes_, all + 15'000u);
    // A log of each subtask, at each checkpoint.
    EXPECT_EQ(LogsIn(SharedNames()).size(), 2 * (id - 1));
  }
  // Not what comes after it.
  const auto at_checkpoint = model_;
  for (std::int64_t key = 0; key < 500; ++key) Set(key * 7, "later");
  model_ = at_checkpoint;
  for (const uint32_t parallelism : {2u, 1u, 3u}) {
    SCOPED_TRACE(parallelism);
    const auto restored = Read(last, parallelism);
    ASSERT_TRUE(restored.ok()) << restored.status();
    Start(parallelism, *restored);
    ExpectModel();
    for (std::int64_t key = 0; key < 500; ++key) Set(key * 7, "c" + std::to_string(parallelism));
    // Several databases have a log each.
    last = Checkpoint(10 + parallelism, 9, 2 + parallelism);
    const auto again = Read(last, 2);
    ASSERT_TRUE(again.ok()) << again.status();
    Start(2, *again);
    ExpectModel();
  }
}

TEST_F(StoredStateTest, ALogThatGrowsIsStoredInTheEnd) {
  logs_ = true;
  Start(1);
  for (std::int64_t key = 0; key < 40'000; ++key) Set(key, std::string(100, 'a'));
  Checkpoint(1, 0);
  EXPECT_THAT(LogsIn(SharedNames()), IsEmpty()) << "more than there is room for in a log";
  std::vector<uint64_t> written;
  for (uint64_t id = 2; id < 8; ++id) {
    for (std::int64_t key = 0; key < 100; ++key)
      Set(static_cast<std::int64_t>(id) * 100 + key, "b");
    Checkpoint(id, id - 1);
    written.push_back(LogsIn(SharedNames()).size());
  }
  // Twice as much is logged again, three times as much is stored.
  EXPECT_THAT(written, ElementsAre(1, 2, 2, 3, 4, 4));
  // What is written beside it ends a log, too.
  Set(1, "c");
  Checkpoint(8, 7);
  EXPECT_EQ(LogsIn(SharedNames()).size(), 5u);
  tables_[0]->DropKeyGroup(3);
  const auto restored = Read(Checkpoint(9, 8), 1);
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(LogsIn(SharedNames()).size(), 5u);
  const auto drop = [&](uint32_t group) {
    std::erase_if(model_, [&](const auto& entry) {
      return KeyGroupOf(KeyHash(entry.first), kMaxParallelism) == group;
    });
  };
  drop(3);
  Start(1, *restored);
  ExpectModel();
  // Also if there is nothing to be written.
  Checkpoint(10, 9, 2);
  tables_[0]->DropKeyGroup(4);
  drop(4);
  const auto without = Read(Checkpoint(11, 10, 2), 1);
  ASSERT_TRUE(without.ok()) << without.status();
  Start(1, *without);
  ExpectModel();
}

TEST_F(StoredStateTest, ALogOfACheckpointThatIsNotKnownToBeCompleteIsWrittenAgain) {
  logs_ = true;
  Start(1);
  Set(1, "a");
  Checkpoint(1, 0);
  // Nothing has changed.
  const proto::JobRestore second = Checkpoint(2, 0);
  EXPECT_EQ(LogsIn(SharedNames()).size(), 2u);
  Checkpoint(3, 2);
  EXPECT_EQ(LogsIn(SharedNames()).size(), 2u);
  std::filesystem::remove(root_ + "/job/shared/" + LogsIn(SharedNames()).front());
  const auto restored = Read(second, 1);
  ASSERT_TRUE(restored.ok()) << restored.status();
  Start(1, *restored);
  ExpectModel();
}

TEST_F(StoredStateTest, ADamagedOrMissingLogIsNamed) {
  logs_ = true;
  Start(1);
  for (std::int64_t key = 0; key < 100; ++key) Set(key, "a");
  const proto::JobRestore restore = Checkpoint(1, 0);
  ASSERT_EQ(LogsIn(SharedNames()).size(), 1u);
  const std::string log = root_ + "/job/shared/" + LogsIn(SharedNames())[0];
  const std::string good = *ReadFile(env_->files(), log, 1 << 20);
  const auto expect_refused = [&](const std::string& why) {
    SCOPED_TRACE(why);
    const auto restored = Read(restore, 1);
    ASSERT_TRUE(restored.ok()) << restored.status();
    const auto store = backend_->Open(5, 0, restored->at({0, 0})->front().stored.get());
    EXPECT_EQ(store.status().code(), absl::StatusCode::kDataLoss) << store.status();
    EXPECT_THAT(ToStd(store.status().message()), AllOf(HasSubstr(log), HasSubstr(why)));
  };
  const auto write = [&](const std::string& content) {
    std::ofstream(log, std::ios::trunc | std::ios::binary) << content;
  };
  std::string flipped = good;
  flipped[good.size() / 2] ^= 1;
  write(flipped);
  expect_refused("a wrong digest");
  write(good.substr(0, good.size() - 1));
  expect_refused("fewer bytes");
  write(good + "x");
  expect_refused("more bytes");
  std::filesystem::remove(log);
  expect_refused("it is missing");
}

}  // namespace
}  // namespace weir
