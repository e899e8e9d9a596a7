#include "taskmanager/checkpoint/stored_files.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/hash.h"
#include "common/base/strings.h"
#include "common/env/system/system_env.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_graph.pb.h"
#include "state/rocksdb/rocksdb_backend.h"
#include "weir/hash.h"
#include "weir/state_codec.h"

namespace weir {
namespace {

using internal::NamedTable;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint32_t kMaxParallelism = 128;
using Table = NamedTable<std::int64_t, std::string>;

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

// A job of one operator on real files: its subtasks' tables, checkpoints of them, and restores.
class StoredStateTest : public ::testing::Test {
 protected:
  StoredStateTest()
      : root_(::testing::TempDir() + "/weir_stored_" + std::to_string(getpid())),
        env_(MakeSystemEnv()) {
    std::filesystem::remove_all(root_);
    backend_ = NewBackend("local");
  }
  ~StoredStateTest() override {
    tables_.clear();
    stores_.clear();
    backend_.reset();
    std::filesystem::remove_all(root_);
  }

  std::unique_ptr<RocksDbBackend> NewBackend(const std::string& name) {
    return std::make_unique<RocksDbBackend>(
        RocksDbBackend::Options{.directory = root_ + "/" + name,
                                .memory_bytes = 64 << 20,
                                .decoded_bytes = decoded_bytes_});
  }
  static proto::JobGraph GraphOf(uint32_t parallelism,
                                 const std::string& type = Table::TypeText()) {
    proto::JobGraph graph;
    graph.set_max_parallelism(kMaxParallelism);
    proto::Node& node = *graph.add_nodes();
    node.set_uid("count");
    proto::StateDescriptor& state = *node.add_states();
    state.set_name("t");
    state.set_type(type);
    proto::Vertex& vertex = *graph.add_vertices();
    vertex.add_nodes(0);
    vertex.set_parallelism(parallelism);
    return graph;
  }
  static std::unique_ptr<Table> NewTable(uint32_t subtask, uint32_t parallelism,
                                         StateStore* store) {
    return std::make_unique<Table>("t", KeyGroupRangeOf(subtask, kMaxParallelism, parallelism),
                                   kMaxParallelism, internal::RecordLayout<std::string>(), store);
  }
  // The subtasks with empty state, or with that which they start from.
  void Start(uint32_t parallelism, const RestoredTasks& restored = {}) {
    tables_.clear();
    stores_.clear();
    for (uint32_t subtask = 0; subtask < parallelism; ++subtask) {
      const auto found = restored.find({0, subtask});
      const OperatorState* const state =
          found != restored.end() ? &found->second->front() : nullptr;
      auto store = backend_->Open(0, subtask, state != nullptr ? state->stored.get() : nullptr);
      ASSERT_TRUE(store.ok()) << store.status();
      stores_.push_back(*std::move(store));
      tables_.push_back(NewTable(subtask, parallelism, stores_.back().get()));
      if (state != nullptr) ReadInto(*tables_.back(), *state);
    }
  }
  static void ReadInto(Table& table, const OperatorState& state) {
    for (const OperatorState::Keyed& keyed : state.keyed) {
      const absl::Status read =
          keyed.ForEachKeyGroup([&](uint32_t group, std::string_view bytes, bool changes) {
            return changes ? table.ReadChanges(group, bytes) : table.ReadKeyGroup(group, bytes);
          });
      EXPECT_TRUE(read.ok()) << read;
    }
  }
  void Set(std::int64_t key, const std::string& value) {
    const std::uint64_t hash = KeyHash(key);
    const uint32_t subtask = SubtaskOf(KeyGroupOf(hash, kMaxParallelism), kMaxParallelism,
                                       static_cast<uint32_t>(tables_.size()));
    *tables_[subtask]->in_store()->FindOrInsert(key, hash).first = value;
    model_[key] = value;
  }

  void Erase(std::int64_t key) {
    const std::uint64_t hash = KeyHash(key);
    const uint32_t subtask = SubtaskOf(KeyGroupOf(hash, kMaxParallelism), kMaxParallelism,
                                       static_cast<uint32_t>(tables_.size()));
    tables_[subtask]->in_store()->Erase(key, hash);
    model_.erase(key);
  }

  // Checkpoint `id`, when `complete` was known to be; subtask `ended` had come to its end. Bytes
  // that it wrote anew are in new_bytes_.
  proto::JobRestore Checkpoint(uint64_t id, uint64_t complete, uint32_t attempt = 1,
                               uint32_t ended = ~uint32_t{0}) {
    proto::JobRestore restore;
    restore.set_checkpoint_id(id);
    restore.set_directory(root_ + "/job/chk-" + std::to_string(id));
    std::filesystem::create_directories(restore.directory());
    const auto parallelism = static_cast<uint32_t>(tables_.size());
    proto::OperatorCheckpoint& of = *restore.add_operators()->mutable_checkpoint();
    of.set_uid("count");
    of.set_parallelism(parallelism);
    new_bytes_ = full_bytes_ = 0;
    for (uint32_t subtask = 0; subtask < parallelism; ++subtask) {
      TaskCheckpoint task;
      task.subtask = subtask;
      task.barrier.id = id;
      OperatorState& state = task.state.emplace_back();
      OperatorState::Keyed& keyed = state.keyed.emplace_back();
      keyed.name = "t";
      keyed.type = tables_[subtask]->type();
      keyed.range = KeyGroupRangeOf(subtask, kMaxParallelism, parallelism);
      if (subtask == ended) {
        task.final = true;
        state.keyed[0].snapshot = tables_[subtask]->TakeSnapshot(SnapshotUse::kFinal);
      } else {
        if (!logs_) tables_[subtask]->in_store()->Flush();
        tables_[subtask]->Flush();
        auto links = stores_[subtask]->Checkpoint();
        EXPECT_TRUE(links.ok()) << links.status();
        state.store = *links;
      }
      auto told = WriteTaskSnapshot(env_->files(), {root_ + "/job", attempt, "", complete},
                                    GraphOf(parallelism), task);
      EXPECT_TRUE(told.ok()) << told.status();
      if (!told.ok()) continue;
      new_bytes_ += told->new_bytes();
      full_bytes_ += told->full_bytes();
      const int base = restore.files_size();
      std::set<std::string> names;
      for (const proto::StateFile& file : told->files()) {
        EXPECT_TRUE(names.insert(file.name()).second) << file.name() << " is told of twice";
        *restore.add_files() = file;
      }
      *of.mutable_states() = told->operators(0).states();
      proto::SubtaskState& to = *of.add_subtasks();
      to.set_subtask(subtask);
      to.set_watermark(5);
      for (const uint32_t file : told->operators(0).files())
        to.add_files(file + static_cast<uint32_t>(base));
    }
    return restore;
  }
  absl::StatusOr<RestoredTasks> Read(const proto::JobRestore& restore, uint32_t parallelism,
                                     bool in_store = true,
                                     const std::string& type = Table::TypeText()) {
    return ReadTaskStates(env_->files(), restore, GraphOf(parallelism, type),
                          {{0, std::vector<uint32_t>(parallelism, 0)}}, 0, backend_.get(),
                          in_store);
  }
  void ExpectModel() {
    std::map<std::int64_t, std::string> found;
    for (const auto& table : tables_) {
      const auto snapshot = table->TakeSnapshot(SnapshotUse::kLive);
      Table heap("t", KeyGroupRange{0, kMaxParallelism - 1}, kMaxParallelism);
      for (uint32_t group = 0; group < kMaxParallelism; ++group) {
        std::string bytes;
        snapshot->WriteKeyGroup(group, bytes);
        ASSERT_TRUE(heap.ReadKeyGroup(group, bytes).ok());
      }
      heap.table.ForEach([&](std::int64_t key, const std::string& value) { found[key] = value; });
    }
    EXPECT_EQ(found, model_);
  }
  std::vector<std::string> SharedNames() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(root_ + "/job/shared"))
      names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  size_t decoded_bytes_ = 8 << 20;
  // Whether tables may log what has changed; else it is stored at each checkpoint.
  bool logs_ = false;
  const std::string root_;
  const std::unique_ptr<Env> env_;
  std::unique_ptr<RocksDbBackend> backend_;
  std::vector<std::unique_ptr<OperatorStore>> stores_;
  std::vector<std::unique_ptr<Table>> tables_;
  std::map<std::int64_t, std::string> model_;
  uint64_t new_bytes_ = 0;
  uint64_t full_bytes_ = 0;
};

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
