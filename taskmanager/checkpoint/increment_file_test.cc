// Checkpoints of keyed state that build on each other, against a plain map: some fail, some are
// complete, and every complete one that is kept is restored at some parallelism.
#include "taskmanager/checkpoint/increment_file.h"

#include <algorithm>
#include <deque>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/strings.h"
#include "common/env/forwarding_file_system.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_graph.pb.h"
#include "runtime/task/checkpoint_chain.h"
#include "state/snapshot/part_index.h"
#include "state/snapshot/state_file_reader.h"
#include "taskmanager/checkpoint/task_snapshots.h"
#include "weir/state_codec.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kMaxParallelism = 16;
constexpr char kJob[] = "/checkpoints/job";
using Table = internal::NamedTable<std::string, int64_t>;
using Content = std::map<std::string, int64_t>;

proto::JobGraph GraphOf(uint32_t parallelism) {
  proto::JobGraph graph;
  graph.set_max_parallelism(kMaxParallelism);
  auto* node = graph.add_nodes();
  node->set_uid("count");
  auto* vertex = graph.add_vertices();
  vertex->set_parallelism(parallelism);
  vertex->add_nodes(0);
  return graph;
}

// Files that note what is told of them and what is read, in this order.
class NotedFiles final : public ForwardingFileSystem {
 public:
  struct Note {
    bool told = false;
    const RandomAccessFile* file = nullptr;
    uint64_t from = 0;
    uint64_t to = 0;
  };
  using ForwardingFileSystem::ForwardingFileSystem;
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenForRead(const std::string& path) override {
    auto file = files_.OpenForRead(path);
    if (!file.ok()) return file.status();
    return std::make_unique<File>(notes, *std::move(file));
  }

  std::vector<Note> notes;

 private:
  class File final : public RandomAccessFile {
   public:
    File(std::vector<Note>& notes, std::unique_ptr<RandomAccessFile> file)
        : notes_(notes), file_(std::move(file)) {}
    absl::StatusOr<size_t> ReadAt(uint64_t offset, size_t size, char* buffer) override {
      notes_.push_back({false, this, offset, offset + size});
      return file_->ReadAt(offset, size, buffer);
    }
    absl::StatusOr<uint64_t> Size() override { return file_->Size(); }
    void WillReadAt(uint64_t offset, uint64_t size) override {
      notes_.push_back({true, this, offset, offset + size});
    }

   private:
    std::vector<Note>& notes_;
    const std::unique_ptr<RandomAccessFile> file_;
  };
};

class IncrementFileTest : public ::testing::Test {
 protected:
  struct Subtask {
    std::unique_ptr<Table> table;
    std::unique_ptr<CheckpointChain> chain;
  };
  struct Kept {
    proto::JobRestore restore;
    Content expected;
  };

  IncrementFileTest() : env_(world_.StartProcess("worker")) { Begin(2, 1); }
  FileSystem& files() { return env_.files(); }

  // A new attempt with nothing in it.
  void Begin(uint32_t parallelism, uint32_t attempt) {
    attempt_ = attempt;
    subtasks_.clear();
    for (uint32_t i = 0; i < parallelism; ++i) {
      subtasks_.push_back(
          {std::make_unique<Table>("counts", KeyGroupRangeOf(i, kMaxParallelism, parallelism),
                                   kMaxParallelism),
           std::make_unique<CheckpointChain>()});
    }
    content_.clear();
  }
  uint32_t parallelism() const { return static_cast<uint32_t>(subtasks_.size()); }
  Table& TableOf(uint64_t hash) {
    for (const Subtask& subtask : subtasks_) {
      if (subtask.table->table.Owns(hash)) return *subtask.table;
    }
    ADD_FAILURE();
    return *subtasks_[0].table;
  }

  void Set(const std::string& key, int64_t value) {
    const uint64_t hash = KeyHash(key);
    auto& table = TableOf(hash).table;
    int64_t* const at = table.FindOrInsert(key, hash).first;
    table.MarkChanged(at, hash);
    *at = content_[key] = value;
  }
  void Erase(const std::string& key) {
    const uint64_t hash = KeyHash(key);
    TableOf(hash).table.Erase(key, hash);
    content_.erase(key);
  }
  void Change(int times) {
    for (int i = 0; i < times; ++i) {
      // So long that a key group has several parts.
      const std::string key = StrCat("k", random_() % 2000, std::string(100, '.'));
      if (random_() % 4 == 0) {
        Erase(key);
      } else {
        Set(key, static_cast<int64_t>(random_() % 1000));
      }
    }
  }

  // All subtasks take and write a checkpoint while the tables go on; with what it has.
  Kept Take(uint64_t id) {
    Kept kept{{}, content_};
    std::vector<TaskCheckpoint> tasks;
    for (uint32_t i = 0; i < parallelism(); ++i) {
      Subtask& subtask = subtasks_[i];
      TaskCheckpoint& task = tasks.emplace_back();
      task.subtask = i;
      task.barrier.id = id;
      task.increment = subtask.chain->Begin(id, {subtask.table.get()});
      task.increment->written = [&chain = *subtask.chain, id](auto file) {
        chain.Written(id, std::move(file));
      };
      OperatorState::Keyed& keyed = task.state.emplace_back().keyed.emplace_back();
      keyed.name = "counts";
      keyed.type = subtask.table->type();
      keyed.range = KeyGroupRangeOf(i, kMaxParallelism, parallelism());
      keyed.incremental = true;
      keyed.snapshot = task.increment->since.has_value()
                           ? subtask.table->TakeChanges(*task.increment->since)
                           : subtask.table->TakeSnapshot(SnapshotUse::kBase);
    }
    Change(50);
    const proto::JobGraph graph = GraphOf(parallelism());
    kept.restore.set_checkpoint_id(id);
    kept.restore.set_directory(StrCat(kJob, "/chk-", id));
    auto& checkpoint = *kept.restore.add_operators()->mutable_checkpoint();
    checkpoint.set_uid("count");
    checkpoint.set_parallelism(parallelism());
    new_bytes_ = full_bytes_ = 0;
    for (TaskCheckpoint& task : tasks) {
      const auto told = WriteTaskSnapshot(files(), {kJob, attempt_}, graph, task);
      EXPECT_TRUE(told.ok()) << told.status();
      new_bytes_ += told->new_bytes();
      full_bytes_ += told->full_bytes();
      *checkpoint.mutable_states() = told->operators(0).states();
      proto::SubtaskState& state = *checkpoint.add_subtasks();
      state.set_subtask(task.subtask);
      for (const uint32_t file : told->operators(0).files()) {
        state.add_files(static_cast<uint32_t>(kept.restore.files_size()) + file);
      }
      kept.restore.mutable_files()->MergeFrom(told->files());
    }
    return kept;
  }
  void Complete(uint64_t id) {
    for (const Subtask& subtask : subtasks_) subtask.chain->Complete(id);
  }

  // Likewise, but the tables go on at once, and read the entries when they are needed or there is
  // time.
  absl::Status TakeUpLater(const Kept& kept) { return TakeUpLater(kept, files()); }
  absl::Status TakeUpLater(const Kept& kept, FileSystem& files) {
    const auto tasks = ReadTaskStates(files, kept.restore, GraphOf(parallelism()),
                                      {{0, std::vector<uint32_t>(parallelism(), 0)}}, 0);
    if (!tasks.ok()) return tasks.status();
    for (const auto& [task, state] : *tasks) {
      for (const OperatorState::Keyed& keyed : state->at(0).keyed) {
        Table& table = *subtasks_[task.second].table;
        auto parts = keyed.stored->TakeParts();
        if (!parts.ok()) return parts.status();
        if (*parts != nullptr) {
          EXPECT_TRUE(table.LoadLater(*std::move(parts)));
        }
        const absl::Status read =
            keyed.ForEachKeyGroup([&](uint32_t group, std::string_view bytes, bool changes) {
              EXPECT_TRUE(changes);
              return table.ReadChanges(group, bytes);
            });
        if (!read.ok()) return read;
      }
    }
    content_ = kept.expected;
    return absl::OkStatus();
  }
  // Until all is there, or `rounds` are over.
  void GoOnWhileLoading(int rounds) {
    bool loaded = false;
    for (int i = 0; i < rounds && !loaded; ++i) {
      Change(static_cast<int>(random_() % 20));
      for (int look = 0; look < 20; ++look) {
        const std::string key = StrCat("k", random_() % 2000, std::string(100, '.'));
        const int64_t* const value = TableOf(KeyHash(key)).table.Find(key, KeyHash(key));
        const auto expected = content_.find(key);
        ASSERT_EQ(value != nullptr, expected != content_.end()) << key;
        if (value != nullptr) {
          ASSERT_EQ(*value, expected->second) << key;
        }
      }
      loaded = true;
      for (const Subtask& subtask : subtasks_)
        loaded &= subtask.table->LoadSome(random_() % 3 == 0 ? 20'000 : 1);
    }
    loaded_late_ += loaded ? 1 : 0;
  }
  Content InTables() {
    Content found;
    for (const Subtask& subtask : subtasks_) {
      subtask.table->table.ForEach([&](const std::string& key, int64_t value) {
        EXPECT_TRUE(found.emplace(key, value).second) << key;
      });
    }
    return found;
  }

  absl::Status TakeUp(const Kept& kept) {
    const auto tasks = ReadTaskStates(files(), kept.restore, GraphOf(parallelism()),
                                      {{0, std::vector<uint32_t>(parallelism(), 0)}}, 0);
    if (!tasks.ok()) return tasks.status();
    for (const auto& [task, state] : *tasks) {
      for (const OperatorState::Keyed& keyed : state->at(0).keyed) {
        Table& table = *subtasks_[task.second].table;
        const absl::Status read =
            keyed.ForEachKeyGroup([&](uint32_t group, std::string_view bytes, bool changes) {
              return changes ? table.ReadChanges(group, bytes) : table.ReadKeyGroup(group, bytes);
            });
        if (!read.ok()) return read;
      }
    }
    for (const Subtask& subtask : subtasks_) {
      subtask.table->table.ForEach([&](const std::string& key, int64_t value) {
        EXPECT_TRUE(content_.emplace(key, value).second);
      });
    }
    return absl::OkStatus();
  }
  // What no retained checkpoint has goes.
  void DeleteUnused(const std::deque<Kept>& retained) {
    std::set<std::string> used;
    for (const Kept& kept : retained) {
      for (const auto& file : kept.restore.files()) used.insert(StrCat(kJob, "/", file.name()));
    }
    const auto there = files().List(StrCat(kJob, "/shared"));
    ASSERT_TRUE(there.ok()) << there.status();
    for (const FileInfo& file : *there) {
      if (used.contains(file.path)) continue;
      ASSERT_TRUE(files().Delete(file.path).ok());
    }
    for (const std::string& path : used) {
      ASSERT_TRUE(files().Stat(path).ok()) << path << " was deleted before";
    }
  }

  SimWorld world_{SimOptions{}};
  SimEnv& env_;
  std::mt19937_64 random_{1};
  uint32_t attempt_ = 0;
  std::vector<Subtask> subtasks_;
  Content content_;
  uint64_t new_bytes_ = 0;
  uint64_t full_bytes_ = 0;
  int loaded_late_ = 0;
};

TEST_F(IncrementFileTest, WhatIsRestoredIsWhatTheTablesHeldWhateverBecameOfTheOthers) {
  std::deque<Kept> retained;
  uint64_t id = 0;
  size_t longest = 0;
  Change(3000);
  for (int attempt = 1; attempt < 40; ++attempt) {
    std::optional<uint64_t> late;
    for (int i = 0; i < 20; ++i) {
      Change(static_cast<int>(random_() % 100));
      Kept kept = Take(++id);
      if (late.has_value()) Complete(*std::exchange(late, std::nullopt));
      longest = std::max(longest, static_cast<size_t>(kept.restore.files_size()) / parallelism());
      if (random_() % 3 == 0) continue;  // aborted
      retained.push_back(std::move(kept));
      if (retained.size() > 1 + random_() % 3) retained.pop_front();
      // Tasks may hear of it after the next barrier, or never.
      const uint64_t when = random_() % 4;
      if (when == 1) late = id;
      if (when > 1) Complete(id);
      if (random_() % 2 == 0) DeleteUnused(retained);
      if (HasFatalFailure()) return;
    }
    ASSERT_FALSE(retained.empty());
    const Kept& from = retained[random_() % retained.size()];
    Begin(1 + static_cast<uint32_t>(random_() % 5), static_cast<uint32_t>(attempt + 1));
    if (random_() % 3 == 0) {
      const absl::Status taken = TakeUp(from);
      ASSERT_TRUE(taken.ok()) << taken;
      ASSERT_EQ(content_, from.expected) << "attempt " << attempt;
      continue;
    }
    const absl::Status taken = TakeUpLater(from);
    ASSERT_TRUE(taken.ok()) << taken;
    GoOnWhileLoading(static_cast<int>(random_() % 400));
    if (HasFatalFailure()) return;
    // The next snapshot, or what looks at all entries, reads what is left.
    if (random_() % 2 == 0) {
      ASSERT_EQ(InTables(), content_) << "attempt " << attempt;
    }
  }
  EXPECT_GE(longest, 5u);
  EXPECT_GE(loaded_late_, 5);
}

// The file may be deleted as soon as it is open.
TEST_F(IncrementFileTest, WhatIsReadLaterIsReadFromFilesThatWereDeletedMeanwhile) {
  Change(5000);
  const Kept kept = Take(1);
  Begin(3, 2);
  ASSERT_TRUE(TakeUpLater(kept).ok());
  DeleteUnused({});
  GoOnWhileLoading(1000);
  EXPECT_EQ(InTables(), content_);
}

TEST_F(IncrementFileTest, AKeyGroupThatIsDroppedWhileItIsReadDoesNotComeBack) {
  Change(5000);
  const Kept kept = Take(1);
  Begin(1, 2);
  ASSERT_TRUE(TakeUpLater(kept).ok());
  Table& table = *subtasks_[0].table;
  ASSERT_FALSE(table.LoadSome(1)) << "a part of several";
  table.DropKeyGroup(0);
  ASSERT_GT(std::erase_if(content_,
                          [](const auto& entry) {
                            return KeyGroupOf(KeyHash(entry.first), kMaxParallelism) == 0;
                          }),
            0u);
  EXPECT_EQ(InTables(), content_);
}

// Many places take a disk hardly longer than one, if it knows of all of them.
TEST_F(IncrementFileTest, WhatABatchWillLookUpIsToldToTheDiskAllAtOnce) {
  Change(5000);
  const Kept kept = Take(1);
  NotedFiles noted(files());
  Begin(1, 2);
  ASSERT_TRUE(TakeUpLater(kept, noted).ok());
  auto& table = subtasks_[0].table->table;
  std::vector<uint64_t> hashes;
  std::set<uint32_t> groups;
  for (const auto& [key, value] : kept.expected) {
    if (random_() % 20 != 0) continue;
    hashes.push_back(KeyHash(key));
    groups.insert(KeyGroupOf(hashes.back(), kMaxParallelism));
  }
  ASSERT_GT(hashes.size(), 30u);
  noted.notes.clear();
  table.WillFind(hashes);
  // First of the indexes, then they are read, then of the parts.
  const auto told = [](const NotedFiles::Note& note) { return note.told; };
  const auto read = [](const NotedFiles::Note& note) { return !note.told; };
  const auto indexes_told = std::find_if(noted.notes.begin(), noted.notes.end(), read);
  ASSERT_EQ(indexes_told - noted.notes.begin(), groups.size());
  EXPECT_EQ(std::count_if(noted.notes.begin(), noted.notes.end(), read), groups.size());
  EXPECT_GT(std::count_if(indexes_told, noted.notes.end(), told), 30);
  std::vector<NotedFiles::Note> all_told;
  std::copy_if(noted.notes.begin(), noted.notes.end(), std::back_inserter(all_told), told);
  const auto was_told = [&](const NotedFiles::Note& note) {
    return std::any_of(all_told.begin(), all_told.end(), [&](const NotedFiles::Note& before) {
      return before.file == note.file && before.from <= note.from && note.to <= before.to;
    });
  };
  for (const NotedFiles::Note& note : noted.notes) EXPECT_TRUE(note.told || was_told(note));
  noted.notes.clear();
  for (const auto& [key, value] : kept.expected) {
    const uint64_t hash = KeyHash(key);
    if (std::find(hashes.begin(), hashes.end(), hash) == hashes.end()) continue;
    const int64_t* const found = table.Find(key, hash);
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(*found, value);
  }
  EXPECT_GT(noted.notes.size(), 30u);
  for (const NotedFiles::Note& note : noted.notes) EXPECT_TRUE(was_told(note)) << note.from;
  // What is there already is not read again.
  noted.notes.clear();
  table.WillFind(hashes);
  EXPECT_TRUE(noted.notes.empty());
  // Where all is read in order, only the first index is waited for.
  Begin(1, 3);
  ASSERT_TRUE(TakeUpLater(kept, noted).ok());
  noted.notes.clear();
  ASSERT_FALSE(subtasks_[0].table->LoadSome(1));
  EXPECT_EQ(std::count_if(noted.notes.begin(), noted.notes.end(), told), kMaxParallelism - 1);
  EXPECT_EQ(InTables(), content_);
}

TEST_F(IncrementFileTest, APartThatIsDamagedIsMetByWhoNeedsItFirstAndByEveryoneAfter) {
  Change(5000);
  const Kept kept = Take(1);
  const std::string path = StrCat(kJob, "/shared/1-0-0-1.state");
  std::string content = *ReadFile(files(), path, 10 << 20);
  // In the last part of a key group of subtask 0.
  const auto reader = StateFileReader::Open(files(), path);
  ASSERT_TRUE(reader.ok());
  const StateFileReader::Entry entry = (*reader)->sections().at(0).entries.at(2);
  const std::string_view payload = std::string_view(content).substr(entry.offset, entry.bytes);
  constexpr StateKind kKind = StateKind::kKeyedSlotParts;
  const auto index =
      PartIndex::Parse(payload.substr(0, *PartIndex::SizeOf(payload, kKind)), kKind, entry.bytes);
  ASSERT_TRUE(index.ok()) << index.status();
  const PartBits parts{index->bits, index->shift};
  content[entry.offset + entry.bytes - 1] ^= 1;
  ASSERT_TRUE(WriteFileAtomically(files(), path, content).ok());
  Begin(2, 2);
  ASSERT_TRUE(TakeUpLater(kept).ok()) << "it was not needed";
  Table& table = *subtasks_[0].table;
  std::string needed;
  for (const auto& [key, value] : kept.expected) {
    const uint64_t hash = KeyHash(key);
    if (KeyGroupOf(hash, kMaxParallelism) == entry.key_group) {
      if (parts.PartOf(static_cast<uint32_t>(hash)) + 1 == index->parts.size()) needed = key;
      continue;
    }
    if (!table.table.Owns(hash)) continue;
    const int64_t* const found = table.table.Find(key, hash);
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(*found, value);
  }
  for (int i = 0; i < 2; ++i) {
    try {
      table.table.Find(needed, KeyHash(needed));
      FAIL() << "a damaged part was taken";
    } catch (const LateRestoreError& error) {
      EXPECT_EQ(error.status().code(), absl::StatusCode::kDataLoss);
      EXPECT_THAT(error.what(), HasSubstr(path));
      EXPECT_THAT(error.what(), HasSubstr("wrong digest"));
    }
  }
  EXPECT_THROW(table.LoadSome(1), LateRestoreError);
}

TEST_F(IncrementFileTest, WritesWhatHasChangedAndTellsBothSizes) {
  for (int i = 0; i < 2000; ++i) Set(StrCat("k", i, std::string(100, '.')), i);
  Take(1);
  EXPECT_EQ(new_bytes_, full_bytes_);
  const uint64_t whole = full_bytes_;
  Complete(1);
  Take(2);
  EXPECT_LT(new_bytes_, whole / 10) << "what changed while the first was written";
  EXPECT_GT(new_bytes_, 0u);
  EXPECT_EQ(full_bytes_, whole + new_bytes_);
}

TEST_F(IncrementFileTest, NothingIsWrittenIfNothingHasChanged) {
  Begin(1, 1);
  Set("a", 1);
  Table& table = *subtasks_[0].table;
  CheckpointChain& chain = *subtasks_[0].chain;
  for (uint64_t id = 1; id <= 2; ++id) {
    TaskCheckpoint of;
    of.barrier.id = id;
    of.increment = chain.Begin(id, {&table});
    of.increment->written = [&](auto file) { chain.Written(id, std::move(file)); };
    OperatorState::Keyed& keyed = of.state.emplace_back().keyed.emplace_back();
    keyed.name = "counts";
    keyed.type = table.type();
    keyed.range = {0, kMaxParallelism - 1};
    keyed.incremental = true;
    keyed.snapshot = id == 1 ? table.TakeSnapshot(SnapshotUse::kBase) : table.TakeChanges(0);
    const auto told = WriteTaskSnapshot(files(), {kJob, 1}, GraphOf(1), of);
    ASSERT_TRUE(told.ok()) << told.status();
    ASSERT_EQ(told->files_size(), 1);
    EXPECT_EQ(told->files(0).name(), "shared/1-0-0-1.state");
    EXPECT_EQ(told->new_bytes() > 0, id == 1);
    EXPECT_EQ(files().List(StrCat(kJob, "/shared"))->size(), 1u);
    chain.Complete(id);
  }
}

TEST_F(IncrementFileTest, ADamagedFileOfChangesIsRefusedByName) {
  for (int i = 0; i < 2000; ++i) Set(StrCat("k", i), i);
  Take(1);
  Complete(1);
  Set("k77", -1);
  const Kept kept = Take(2);
  const uint32_t subtask = subtasks_[0].table->table.Owns(KeyHash(std::string("k77"))) ? 0 : 1;
  const std::string path = StrCat(kJob, "/shared/1-0-", subtask, "-2.state");
  std::string content = *ReadFile(files(), path, 1 << 20);
  const std::string good = content;
  content[20] ^= 1;
  ASSERT_TRUE(WriteFileAtomically(files(), path, content).ok());
  Begin(1, 2);
  absl::Status status = TakeUp(kept);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(path));

  ASSERT_TRUE(files().Delete(path).ok());
  Begin(1, 3);
  status = TakeUp(kept);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr(path));

  ASSERT_TRUE(WriteFileAtomically(files(), path, good).ok());
  Begin(3, 4);
  status = TakeUp(kept);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(content_, kept.expected);
}

}  // namespace
}  // namespace weir
