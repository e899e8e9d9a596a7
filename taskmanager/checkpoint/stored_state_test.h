#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/env/system/system_env.h"
#include "gtest/gtest.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_graph.pb.h"
#include "state/rocksdb/rocksdb_backend.h"
#include "taskmanager/checkpoint/task_snapshots.h"
#include "weir/hash.h"
#include "weir/state_codec.h"

namespace weir {

inline constexpr uint32_t kMaxParallelism = 128;

// A job of one operator on real files: its subtasks' tables, checkpoints of them, and restores.
class StoredStateTest : public ::testing::Test {
 protected:
  using Table = internal::NamedTable<std::int64_t, std::string>;

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
    return std::make_unique<RocksDbBackend>(RocksDbBackend::Options{
        .directory = root_ + "/" + name, .memory_bytes = 64 << 20, .decoded_bytes = 8 << 20});
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

}  // namespace weir
