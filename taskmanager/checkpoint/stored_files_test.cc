#include "taskmanager/checkpoint/stored_files.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "common/base/hash.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "taskmanager/checkpoint/stored_state_test.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(StoredFileTest, IsReadAsItWasWritten) {
  StoredFile inside;
  inside.name = "MANIFEST-000004";
  inside.content = std::string("a\0b", 3);
  const auto read = DecodeStoredFile(EncodeStoredFile(inside), StateKind::kStore);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->name, inside.name);
  EXPECT_EQ(read->content, inside.content);
  StoredFile shared{"000012.sst", "", "", "shared/1-0-0-1-7-000012.sst", 345, 0xfedcba9876543210};
  const auto again = DecodeStoredFile(EncodeStoredFile(shared), StateKind::kStore);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->shared_name, shared.shared_name);
  EXPECT_EQ(again->bytes, shared.bytes);
  EXPECT_EQ(again->digest, shared.digest);
  EXPECT_FALSE(again->log);
  shared.log = true;
  const auto log = DecodeStoredFile(EncodeStoredFile(shared), StateKind::kStoreWithLogs);
  ASSERT_TRUE(log.ok());
  EXPECT_TRUE(log->log);
  EXPECT_EQ(log->shared_name, shared.shared_name);
  // Who knows of no logs would lose it.
  EXPECT_FALSE(DecodeStoredFile(EncodeStoredFile(shared), StateKind::kStore).ok());
}

TEST(StoredFileTest, WhatIsMalformedOrLeavesTheFolderIsRefused) {
  const std::string good =
      EncodeStoredFile({"000012.sst", "", "", "shared/1-0-0-1-7-000012.sst", 345, 1});
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_FALSE(DecodeStoredFile(good.substr(0, size), StateKind::kStore).ok()) << size;
  EXPECT_FALSE(DecodeStoredFile(good + "x", StateKind::kStore).ok());
  for (const std::string name : {"", ".", "..", "../x", "a/b"}) {
    EXPECT_FALSE(
        DecodeStoredFile(EncodeStoredFile({name, "x", "", "", 1, 1}), StateKind::kStore).ok())
        << name;
    EXPECT_FALSE(
        DecodeStoredFile(EncodeStoredFile({"a", "", "", "shared/" + name, 1, 1}), StateKind::kStore)
            .ok())
        << name;
  }
  EXPECT_FALSE(
      DecodeStoredFile(EncodeStoredFile({"a", "", "", "/etc/passwd", 1, 1}), StateKind::kStore)
          .ok());
}

TEST_F(StoredStateTest, ACheckpointWritesWhatIsNewSinceTheLastCompleteOne) {
  Start(1);
  for (std::int64_t key = 0; key < 20'000; ++key) Set(key, std::string(50, 'a'));
  Checkpoint(1, 0);
  const uint64_t first = new_bytes_;
  EXPECT_EQ(full_bytes_, first);
  for (std::int64_t key = 0; key < 200; ++key) Set(key, std::string(50, 'b'));
  const proto::JobRestore second = Checkpoint(2, 1);
  EXPECT_LT(new_bytes_, first / 10);
  EXPECT_GE(full_bytes_, first);
  // And so is one after a restore of it.
  const auto restored = Read(second, 1);
  ASSERT_TRUE(restored.ok()) << restored.status();
  ASSERT_NE(restored->at({0, 0})->front().stored, nullptr);
  Start(1, *restored);
  ExpectModel();
  Set(7, "c");
  const proto::JobRestore third = Checkpoint(3, 0, 2);
  EXPECT_LT(new_bytes_, first / 10);
  Start(1, *Read(third, 1));
  ExpectModel();
}

TEST_F(StoredStateTest,
       AFileOfACheckpointThatIsNotKnownToBeCompleteIsWrittenAgainUnderAnotherName) {
  Start(1);
  for (std::int64_t key = 0; key < 1'000; ++key) Set(key, "a");
  Checkpoint(1, 0);
  const auto of_first = SharedNames();
  ASSERT_EQ(of_first.size(), 1u);
  // It was aborted.
  const proto::JobRestore second = Checkpoint(2, 0);
  ASSERT_EQ(SharedNames().size(), 2u);
  for (const proto::StateFile& file : second.files())
    EXPECT_NE(file.name(), "shared/" + of_first[0]);
  // Once it is complete it is relied on, whatever becomes of the first.
  std::filesystem::remove(root_ + "/job/shared/" + of_first[0]);
  const proto::JobRestore third = Checkpoint(3, 2);
  EXPECT_EQ(SharedNames().size(), 1u);
  Start(1, *Read(third, 1));
  ExpectModel();
}

TEST_F(StoredStateTest, IsRestoredAtAnotherParallelismAndOnTheHeap) {
  Start(3);
  for (std::int64_t key = 0; key < 5'000; ++key) Set(key, std::to_string(key));
  proto::JobRestore restore = Checkpoint(1, 0);
  for (const uint32_t parallelism : {2u, 5u, 1u}) {
    const auto restored = Read(restore, parallelism);
    ASSERT_TRUE(restored.ok()) << restored.status();
    Start(parallelism, *restored);
    ExpectModel();
  }
  const auto on_heap = Read(restore, 3, /*in_store=*/false);
  ASSERT_TRUE(on_heap.ok()) << on_heap.status();
  size_t entries = 0;
  for (uint32_t subtask = 0; subtask < 3; ++subtask) {
    Table heap("t", KeyGroupRangeOf(subtask, kMaxParallelism, 3), kMaxParallelism);
    ReadInto(heap, on_heap->at({0, subtask})->front());
    entries += heap.entries();
  }
  EXPECT_EQ(entries, model_.size());
  // A type that has changed is converted, so its files are not taken up.
  const auto changed = Read(restore, 3, true, "map<i64,{text:string}>");
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_EQ(changed->at({0, 0})->front().stored, nullptr);
}

// With logs RocksDB 7.8 took it for corruption, once, that a file was taken in beside what was
// buffered, and merged before that.
class TakenUpTest : public StoredStateTest, public ::testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(Logs, TakenUpTest, ::testing::Bool());

TEST_P(TakenUpTest, AtAnotherParallelismKeyGroupsThatLeftDoNotComeBack) {
  logs_ = GetParam();
  Start(1);
  for (std::int64_t key = 0; key < 5'000; ++key) Set(key, std::string(40, 'a'));
  proto::JobRestore restore = Checkpoint(1, 0);
  const uint64_t all = full_bytes_;
  uint64_t id = 1;
  for (const uint32_t parallelism : {4u, 3u, 1u, 2u, 5u, 1u}) {
    const auto restored = Read(restore, parallelism);
    ASSERT_TRUE(restored.ok()) << restored.status();
    for (uint32_t subtask = 0; subtask < parallelism; ++subtask) {
      const OperatorState& state = restored->at({0, subtask})->front();
      EXPECT_NE(state.stored, nullptr);
      EXPECT_EQ(state.keyed.at(0).snapshot, nullptr) << "it is read entry by entry";
    }
    Start(parallelism, *restored);
    ExpectModel();
    // A key that another subtask has now is erased there, and is not to come back from files that
    // a subtask had when the key was its own.
    for (std::int64_t key = 100 * parallelism; key < 100 * parallelism + 50; ++key) {
      Set(key, "changed");
      Erase(key + 50);
    }
    ++id;
    restore = Checkpoint(id, id - 1, parallelism);
    if (!logs_) {
      EXPECT_LT(new_bytes_, parallelism >= 3 ? all : 2 * all);
    }
  }
  Start(1, *Read(restore, 1));
  ExpectModel();
}

TEST_F(StoredStateTest, AFileIsLinkedAndSoNeverWrittenTwice) {
  Start(1);
  for (std::int64_t key = 0; key < 1'000; ++key) Set(key, "a");
  const proto::JobRestore restore = Checkpoint(1, 0);
  const std::string shared = root_ + "/job/shared/" + SharedNames().front();
  tables_.clear();
  stores_.clear();
  const auto links = std::filesystem::hard_link_count(shared);
  Start(1, *Read(restore, 1));
  EXPECT_EQ(std::filesystem::hard_link_count(shared), links + 1);
  // What becomes of the store's is nothing to the checkpoint's.
  for (std::int64_t key = 0; key < 1'000; ++key) Set(key, "b");
  Checkpoint(2, 1, 2);
  model_.clear();
  for (std::int64_t key = 0; key < 1'000; ++key) model_[key] = "a";
  Start(1, *Read(restore, 1));
  ExpectModel();
}

TEST_F(StoredStateTest, ACheckpointIsOfItsMomentThoughItIsTakenLater) {
  Start(1);
  for (std::int64_t key = 0; key < 1'000; ++key) Set(key, "before");
  tables_[0]->Flush();
  auto first = *stores_[0]->Checkpoint();
  auto second = *stores_[0]->Checkpoint();
  const auto expected = model_;
  // More than the cache holds: some of it is written.
  for (std::int64_t key = 0; key < 100'000; ++key) Set(key, std::string(200, 'x'));
  tables_[0]->Flush();
  for (const auto& checkpoint : {first, second}) {
    ASSERT_TRUE(checkpoint->Take().ok());
    StoredPart part{{0, kMaxParallelism - 1}, {0, kMaxParallelism - 1}, {}};
    for (const StoreCheckpoint::File& file : checkpoint->files()) {
      StoredFile& stored = part.files.emplace_back();
      stored.name = file.name;
      if (file.log == nullptr) {
        stored.content = *ReadFile(env_->files(), file.path, 64 << 20);
        continue;
      }
      stored.log = true;
      stored.bytes = file.bytes;
      stored.digest = Hash64(*file.log);
      stored.path = root_ + "/log";
      std::ofstream(stored.path, std::ios::binary | std::ios::trunc) << *file.log;
    }
    ASSERT_TRUE(part.files.back().log);
    const StoredParts parts = {part};
    auto store = backend_->Open(7, checkpoint == first ? 0 : 1, &parts);
    ASSERT_TRUE(store.ok()) << store.status();
    const auto table = NewTable(0, 1, store->get());
    size_t entries = 0;
    for (std::int64_t key = 0; key < 2'000; ++key) {
      const std::string* const found = table->in_store()->Find(key, KeyHash(key));
      if (found == nullptr) continue;
      EXPECT_EQ(*found, "before");
      ++entries;
    }
    EXPECT_EQ(entries, expected.size());
  }
}

TEST_F(StoredStateTest, SomeSubtasksHaveFilesAndSomeHadEnded) {
  Start(3);
  for (std::int64_t key = 0; key < 5'000; ++key) Set(key, std::to_string(key));
  const proto::JobRestore restore = Checkpoint(1, 0, 1, /*ended=*/1);
  for (const uint32_t parallelism : {2u, 3u, 1u}) {
    const auto restored = Read(restore, parallelism);
    ASSERT_TRUE(restored.ok()) << restored.status();
    Start(parallelism, *restored);
    ExpectModel();
  }
}

TEST_F(StoredStateTest, ADamagedOrMissingFileIsNamed) {
  Start(1);
  for (std::int64_t key = 0; key < 1'000; ++key) Set(key, "value");
  const proto::JobRestore restore = Checkpoint(1, 0);
  const std::string path = root_ + "/job/shared/" + SharedNames().front();
  const auto open = [&] {
    const auto restored = Read(restore, 1);
    return restored.ok() ? backend_->Open(0, 9, restored->at({0, 0})->front().stored.get()).status()
                         : restored.status();
  };
  EXPECT_TRUE(open().ok());
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(100);
    file.put('\x7f');
  }
  EXPECT_EQ(open().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(open().message()), HasSubstr(path));
  std::filesystem::resize_file(path, 50);
  EXPECT_THAT(std::string(open().message()), HasSubstr("50 bytes"));
  std::filesystem::remove(path);
  EXPECT_EQ(open().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(open().message()), HasSubstr("missing"));
}

// Flink 11743: a restore deleted the files that it restored from.
TEST_F(StoredStateTest, TheFilesThatARestartTookUpAreThereForTheNextOne) {
  Start(2);
  for (std::int64_t key = 0; key < 5'000; ++key) Set(key, "at the checkpoint");
  const proto::JobRestore restore = Checkpoint(1, 0);
  const auto at_checkpoint = model_;
  for (uint32_t attempt = 2; attempt < 5; ++attempt) {
    const auto restored = Read(restore, 2);
    ASSERT_TRUE(restored.ok()) << restored.status();
    ASSERT_NE(restored->at({0, 0})->front().stored, nullptr) << "the files are not taken up";
    Start(2, *restored);
    model_ = at_checkpoint;
    ExpectModel();
    // It goes on, and has files of its own, but no checkpoint of them becomes complete.
    for (std::int64_t key = 0; key < 5'000; key += 2) Set(key, "later");
    for (std::int64_t key = 1; key < 5'000; key += 2) Erase(key);
    Checkpoint(attempt, 0, attempt);
  }
}

TEST_F(StoredStateTest, LinksGoOnceThereAreOthers) {
  const auto folders = [&] {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(root_ + "/local")) {
      const std::string name = entry.path().filename();
      if (name.find("links") != std::string::npos) names.push_back(name);
    }
    return names;
  };
  Start(1);
  for (uint64_t id = 1; id <= 3; ++id) {
    Set(1, std::to_string(id));
    Checkpoint(id, id - 1);
    EXPECT_THAT(folders(), ElementsAre("0-0-0-links-" + std::to_string(id)));
  }
  // Nothing was written.
  Checkpoint(4, 3);
  EXPECT_THAT(folders(), ElementsAre("0-0-0-links-3"));
  tables_.clear();
  stores_.clear();
  EXPECT_THAT(folders(), IsEmpty());
}

}  // namespace
}  // namespace weir
