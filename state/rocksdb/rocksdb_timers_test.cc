// Timers of keyed functions in RocksDB: against those in memory, through checkpoints as files,
// another parallelism, and checkpoints of before timers were stored.
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "common/base/hash.h"
#include "gtest/gtest.h"
#include "sdk/tests/timer_steps.h"
#include "state/rocksdb/rocksdb_backend.h"
#include "weir/state_codec.h"

namespace weir {
namespace {

using testing::HarnessOptions;
using testing::HarnessSnapshot;
using testing::OperatorHarness;
using testing::TimerSteps;

constexpr uint32_t kMaxParallelism = 128;

class RocksDbTimersTest : public ::testing::Test {
 protected:
  // A subtask, its store and the same in memory.
  struct Subtask {
    KeyGroupRange range;
    OperatorStore* store = nullptr;
    std::unique_ptr<OperatorHarness> stored;
    std::unique_ptr<OperatorHarness> heap;
  };
  struct Checkpoint {
    std::vector<KeyGroupRange> ranges;
    std::vector<StoredFiles> files;
    // In memory, and of each subtask what is not in files.
    std::vector<HarnessSnapshot> heap;
  };

  RocksDbTimersTest()
      : root_(::testing::TempDir() + "/weir_rocksdb_timers_" + std::to_string(getpid())),
        job_(testing::StepTimersJob()) {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
    backend_ = std::make_unique<RocksDbBackend>(RocksDbBackend::Options{
        .directory = root_ + "/local", .memory_bytes = 1 << 20, .decoded_bytes = 16 << 10});
  }
  ~RocksDbTimersTest() override {
    subtasks_.clear();
    backend_.reset();
    std::filesystem::remove_all(root_);
  }

  std::unique_ptr<OperatorHarness> Harness(HarnessOptions options) {
    auto harness = std::make_unique<OperatorHarness>(job_.nodes[1].make_operator, options);
    harness->AddOutput<std::string>();
    return harness;
  }
  // `in_files`: the state of those names is not in the stores' files.
  void Start(uint32_t parallelism, const Checkpoint* from = nullptr,
             const std::vector<std::string>& in_files = {}) {
    subtasks_.clear();
    subtasks_.resize(parallelism);
    for (uint32_t i = 0; i < parallelism; ++i) {
      Subtask& subtask = subtasks_[i];
      subtask.range = KeyGroupRangeOf(i, kMaxParallelism, parallelism);
      StoredParts parts;
      for (size_t old = 0; from != nullptr && old < from->files.size(); ++old) {
        const KeyGroupRange keeps = {std::max(from->ranges[old].first, subtask.range.first),
                                     std::min(from->ranges[old].last, subtask.range.last)};
        if (keeps.first <= keeps.last)
          parts.push_back({from->ranges[old], keeps, from->files[old]});
      }
      HarnessOptions options;
      options.subtask = i;
      options.parallelism = parallelism;
      options.processing_time = now_;
      subtask.heap = Harness(options);
      options.make_store = [&, i, parts] {
        auto store = backend_->Open(1, i, parts.empty() ? nullptr : &parts);
        EXPECT_TRUE(store.ok()) << store.status();
        subtask.store = store->get();
        return *std::move(store);
      };
      subtask.stored = Harness(options);
      if (from == nullptr) {
        ASSERT_TRUE(subtask.heap->Open().ok());
        ASSERT_TRUE(subtask.stored->Open().ok());
        continue;
      }
      const HarnessSnapshot all = Rescaled(from->heap, i, parallelism);
      ASSERT_TRUE(subtask.heap->Restore(all).ok());
      HarnessSnapshot rest;
      rest.watermark = all.watermark;
      for (const std::string& state : in_files) rest.tables[state] = all.tables.at(state);
      const absl::Status restored = subtask.stored->Restore(rest);
      ASSERT_TRUE(restored.ok()) << restored;
      ASSERT_NO_FATAL_FAILURE(ExpectTheSame(subtask));
    }
  }
  static void ExpectTheSame(Subtask& subtask) {
    ASSERT_EQ(subtask.stored->Take<std::string>(), subtask.heap->Take<std::string>());
    const auto in_memory = subtask.heap->op().keyed_state();
    const auto in_store = subtask.stored->op().keyed_state();
    for (size_t i = 2; i < in_memory.size(); ++i)
      ASSERT_EQ(in_memory[i]->entries(), in_store[i]->entries()) << in_store[i]->name();
  }
  template <class Call>
  void Each(const Call& call) {
    for (Subtask& subtask : subtasks_) {
      ASSERT_TRUE(call(*subtask.heap).ok());
      const absl::Status status = call(*subtask.stored);
      ASSERT_TRUE(status.ok()) << status;
      ASSERT_NO_FATAL_FAILURE(ExpectTheSame(subtask));
    }
  }
  void Records(size_t count) {
    std::vector<std::vector<testing::Timed<testing::TimerStep>>> batches(subtasks_.size());
    for (auto& step : steps_.Batch(count, 3'000, kSpread)) {
      const uint32_t group = KeyGroupOf(KeyHash(step.value.key), kMaxParallelism);
      for (size_t i = 0; i < subtasks_.size(); ++i) {
        if (subtasks_[i].range.Contains(group)) batches[i].push_back(step);
      }
    }
    size_t i = 0;
    Each([&](OperatorHarness& harness) {
      return harness.Process<testing::TimerStep>(batches[i++ / 2]);
    });
  }
  void Run(int rounds) {
    for (int round = 0; round < rounds; ++round) {
      SCOPED_TRACE(round);
      ASSERT_NO_FATAL_FAILURE(Records(1'000));
      if (steps_.Random(3) == 0) {
        const Ticks watermark = steps_.NextWatermark(kSpread);
        ASSERT_NO_FATAL_FAILURE(
            Each([&](OperatorHarness& harness) { return harness.Watermark(watermark); }));
      }
      if (steps_.Random(3) == 0) {
        now_ = steps_.NextTime(kSpread);
        ASSERT_NO_FATAL_FAILURE(
            Each([&](OperatorHarness& harness) { return harness.SetProcessingTime(now_); }));
      }
    }
  }
  StoredFiles FilesOf(OperatorStore& store) {
    StoredFiles files;
    const auto checkpoint = *store.Checkpoint();
    EXPECT_TRUE(checkpoint->Take().ok());
    for (const StoreCheckpoint::File& file : checkpoint->files()) {
      StoredFile& stored = files.emplace_back();
      stored.name = file.name;
      if (file.log == nullptr) {
        std::stringstream content;
        content << std::ifstream(file.path).rdbuf();
        stored.content = content.str();
        continue;
      }
      stored.log = true;
      stored.bytes = file.bytes;
      stored.digest = Hash64(*file.log);
      stored.path = root_ + "/log-" + std::to_string(++logs_);
      std::ofstream(stored.path, std::ios::binary) << *file.log;
    }
    return files;
  }
  Checkpoint Take() {
    Checkpoint taken;
    for (Subtask& subtask : subtasks_) {
      for (KeyedStateTable* table : subtask.stored->op().keyed_state()) table->Flush();
      taken.ranges.push_back(subtask.range);
      taken.files.push_back(FilesOf(*subtask.store));
      taken.heap.push_back(subtask.heap->Snapshot());
    }
    return taken;
  }
  std::vector<std::string> Scratches() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(root_ + "/local")) {
      if (entry.path().string().ends_with("-scratch")) found.push_back(entry.path());
    }
    return found;
  }

  static constexpr Ticks kSpread = 20'000;

  const std::string root_;
  const JobDefinition job_;
  std::unique_ptr<RocksDbBackend> backend_;
  TimerSteps steps_{3};
  Ticks now_ = 1'000;
  int logs_ = 0;
  std::vector<Subtask> subtasks_;
};

TEST_F(RocksDbTimersTest, FireAsThoseInMemoryThroughCheckpointsAndAnyParallelism) {
  Start(1);
  ASSERT_NO_FATAL_FAILURE(Run(20));
  EXPECT_EQ(Scratches().size(), 1U);
  for (const uint32_t parallelism : {1u, 3u, 2u, 1u}) {
    SCOPED_TRACE(parallelism);
    const Checkpoint taken = Take();
    ASSERT_NO_FATAL_FAILURE(Start(parallelism, &taken));
    ASSERT_NO_FATAL_FAILURE(Run(10));
  }
  ASSERT_NO_FATAL_FAILURE(Each([](OperatorHarness& harness) { return harness.Finish(); }));
}

TEST_F(RocksDbTimersTest, WhatIsPutAsideGoesWithTheStoreAndIsInNoCheckpoint) {
  Start(1);
  ASSERT_NO_FATAL_FAILURE(Run(20));
  ASSERT_EQ(Scratches().size(), 1U);
  // The files of one database, in which nothing is said of what is put aside.
  const Checkpoint taken = Take();
  size_t databases = 0;
  for (const StoredFile& file : taken.files[0]) {
    databases += file.name.ends_with("CURRENT") ? 1 : 0;
    EXPECT_EQ(file.content.find("timers.event"), std::string::npos) << file.name;
  }
  EXPECT_EQ(databases, 1U);
  subtasks_.clear();
  EXPECT_TRUE(Scratches().empty());
}

// Timers were in state files beside the store's files once.
TEST_F(RocksDbTimersTest, ACheckpointWithTimersInStateFilesIsTakenUp) {
  Start(2);
  ASSERT_NO_FATAL_FAILURE(Run(10));
  Checkpoint old = Take();
  const std::vector<std::string> timers = {"first", "second", "many", "clock", "clocks"};
  for (size_t i = 0; i < old.files.size(); ++i) {
    // Stores with the other states.
    auto store = *backend_->Open(2, static_cast<uint32_t>(i), nullptr);
    const auto read = [&](auto& table) {
      for (const auto& [group, bytes] : old.heap[i].tables.at(table.name()).key_groups)
        ASSERT_TRUE(table.ReadKeyGroup(group, bytes).ok());
      table.Flush();
    };
    internal::NamedTable<std::string, testing::TimerStep> last(
        "last", {0, 127}, kMaxParallelism, internal::RecordLayout<testing::TimerStep>(),
        store.get());
    internal::NamedTable<std::string, std::int64_t> left(
        "left", {0, 127}, kMaxParallelism, internal::RecordLayout<std::int64_t>(), store.get());
    read(last);
    read(left);
    old.files[i] = FilesOf(*store);
  }
  for (const uint32_t parallelism : {2u, 1u, 3u}) {
    SCOPED_TRACE(parallelism);
    ASSERT_NO_FATAL_FAILURE(Start(parallelism, &old, timers));
    ASSERT_NO_FATAL_FAILURE(Run(5));
    // And then they are stored.
    const Checkpoint taken = Take();
    ASSERT_NO_FATAL_FAILURE(Start(1, &taken));
    ASSERT_NO_FATAL_FAILURE(Each([](OperatorHarness& harness) { return harness.Finish(); }));
  }
}

}  // namespace
}  // namespace weir
