#include "state/rocksdb/rocksdb_backend.h"

#include <rocksdb/env.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sdk/tests/state_commands.h"
#include "weir/connectors.h"
#include "weir/job.h"
#include "weir/state_codec.h"
#include "weir/testing.h"

namespace weir {
namespace {

using internal::NamedTable;
using testing::HarnessOptions;
using testing::HarnessSnapshot;
using ::testing::HasSubstr;
using testing::OperatorHarness;

using Table = NamedTable<std::int64_t, std::string>;

// Steps of SplitMix64.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t Below(std::uint64_t n) {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % n;
  }

 private:
  std::uint64_t state_;
};

class RocksDbBackendTest : public ::testing::Test {
 protected:
  // In memory, with as little of it for caches as is allowed.
  std::unique_ptr<RocksDbBackend> InMemory(size_t memory = 1 << 20, size_t decoded = 64 << 10) {
    return std::make_unique<RocksDbBackend>(RocksDbBackend::Options{.directory = "/state",
                                                                    .memory_bytes = memory,
                                                                    .decoded_bytes = decoded,
                                                                    .env = env_.get()});
  }
  std::unique_ptr<StateStore> OpenStore(RocksDbBackend& backend, uint32_t subtask = 0) {
    auto store = backend.Open(3, subtask, nullptr);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  static std::unique_ptr<Table> Open(StateStore* store) {
    return std::make_unique<Table>("t", KeyGroupRange{0, 127}, 128,
                                   internal::RecordLayout<std::string>(), store);
  }
  static std::string& At(Table& table, std::int64_t key) {
    return *table.in_store()->FindOrInsert(key, KeyHash(key)).first;
  }
  static std::string Written(KeyedStateTable& table) {
    const auto snapshot = table.TakeSnapshot(SnapshotUse::kFinal);
    std::string all;
    for (uint32_t group = 0; group < 128; ++group) snapshot->WriteKeyGroup(group, all);
    return all;
  }

  const std::unique_ptr<rocksdb::Env> env_{rocksdb::NewMemEnv(rocksdb::Env::Default())};
};

TEST_F(RocksDbBackendTest, HoldsWhatAPlainMapHoldsThoughItsCachesAreSmall) {
  const auto backend = InMemory();
  auto store = OpenStore(*backend);
  auto table = Open(store.get());
  Random random(7);
  std::map<std::int64_t, std::string> model;
  for (int step = 0; step < 60'000; ++step) {
    const auto key = static_cast<std::int64_t>(random.Below(5'000));
    switch (random.Below(4)) {
      case 0: {
        const std::string* found = table->in_store()->Find(key, KeyHash(key));
        const auto expected = model.find(key);
        ASSERT_EQ(found != nullptr, expected != model.end());
        if (found != nullptr) {
          ASSERT_EQ(*found, expected->second);
        }
        break;
      }
      case 1:
        ASSERT_EQ(table->in_store()->Erase(key, KeyHash(key)), model.erase(key) == 1);
        break;
      default:
        At(*table, key) = model[key] = std::string(random.Below(300), 'x');
    }
    if (random.Below(20'000) == 0) table->Flush();
  }
  Table heap("t", KeyGroupRange{0, 127}, 128);
  for (const auto& [key, value] : model) *heap.table.FindOrInsert(key, KeyHash(key)).first = value;
  EXPECT_EQ(Written(heap), Written(*table));

  // And what was written becomes state in another store.
  const auto snapshot = table->TakeSnapshot(SnapshotUse::kLive);
  auto other_store = OpenStore(*backend, 1);
  const auto other = Open(other_store.get());
  for (uint32_t group = 0; group < 128; ++group) {
    std::string bytes;
    snapshot->WriteKeyGroup(group, bytes);
    ASSERT_TRUE(other->ReadKeyGroup(group, bytes).ok());
  }
  EXPECT_EQ(Written(heap), Written(*other));
}

TEST_F(RocksDbBackendTest, ASnapshotStaysAsItWasAndOutlivesTheStore) {
  const auto backend = InMemory();
  auto store = OpenStore(*backend);
  auto table = Open(store.get());
  for (std::int64_t key = 0; key < 100; ++key) At(*table, key) = "before";
  const std::string before = Written(*table);
  const auto snapshot = table->TakeSnapshot(SnapshotUse::kLive);
  for (std::int64_t key = 0; key < 200; ++key) At(*table, key) = "after";
  table->Flush();
  table.reset();
  store.reset();
  std::string all;
  for (uint32_t group = 0; group < 128; ++group) snapshot->WriteKeyGroup(group, all);
  EXPECT_EQ(all, before);
}

TEST_F(RocksDbBackendTest, FilesGoWithTheStore) {
  const auto backend = InMemory();
  auto store = OpenStore(*backend);
  auto table = Open(store.get());
  At(*table, 1) = "x";
  table->Flush();
  EXPECT_TRUE(env_->FileExists("/state/3-0-0/CURRENT").ok());
  table.reset();
  store.reset();
  EXPECT_FALSE(env_->FileExists("/state/3-0-0/CURRENT").ok());
}

TEST_F(RocksDbBackendTest, WhatIsPutOffIsNotWaitedForByOneThatReadsSomethingElse) {
  const auto backend = InMemory();
  const auto store = backend->Open(3, 0, nullptr).value();
  const auto column = store->OpenColumn("s", ColumnLayout::kEntries).value();
  const auto changes = [](std::string_view key) {
    StateChanges made;
    made.bytes = std::string(key) + "value";
    made.changes.push_back(
        {StateChanges::OrderOf(key), 0, key.size(), made.bytes.size(), /*erases=*/false});
    return made;
  };
  ASSERT_TRUE(column->Write(changes("0a").Sorted()).ok());
  bool asked = false;
  class Asked final : public SortedChanges {
   public:
    Asked(StateChanges changes, bool& asked) : changes_(std::move(changes)), asked_(asked) {}
    std::size_t bytes() const override { return changes_.bytes(); }
    std::span<const StateChange> Next() override {
      asked_ = true;
      return changes_.Next();
    }

   private:
    OwnedChanges changes_;
    bool& asked_;
  };
  ASSERT_TRUE(column->WriteLater(std::make_unique<Asked>(changes("0b"), asked)).ok());
  std::string value;
  EXPECT_TRUE(column->Get("0a", value).value());
  EXPECT_FALSE(column->Get("0b", value).value());
  EXPECT_TRUE(column->IsBehind());
  EXPECT_FALSE(asked);
  ASSERT_TRUE(column->CatchUp().ok());
  EXPECT_FALSE(column->IsBehind());
  EXPECT_TRUE(column->Get("0b", value).value());
  EXPECT_EQ(value, "value");
}

TEST_F(RocksDbBackendTest, MuchThatIsWrittenAtOnceIsAFileAtOnceAndInItsTurn) {
  const auto backend = InMemory(64 << 20);
  const auto store = backend->Open(3, 0, nullptr).value();
  const auto column = store->OpenColumn("s", ColumnLayout::kEntries).value();
  const auto files = [&] {
    std::vector<std::string> names;
    EXPECT_TRUE(env_->GetChildren("/state/3-0-0", &names).ok());
    return std::count_if(names.begin(), names.end(),
                         [](const std::string& name) { return name.ends_with(".sst"); });
  };
  std::map<std::string, std::string> model;
  Random random(1);
  // Every few keys, some of which go.
  const auto change = [&](uint64_t one_in) {
    StateChanges made;
    for (int i = 0; i < 4'000; ++i) {
      if (random.Below(one_in) != 0) continue;
      const std::string key = std::to_string(10'000 + i);
      const std::string value(100 + random.Below(100), static_cast<char>('a' + random.Below(26)));
      StateChanges::Change& one = made.changes.emplace_back();
      one.order = StateChanges::OrderOf(key);
      one.begin = made.bytes.size();
      made.bytes += key;
      one.key_end = made.bytes.size();
      one.erases = random.Below(4) == 0;
      if (one.erases) {
        model.erase(key);
      } else {
        made.bytes += value;
        model[key] = value;
      }
      one.end = made.bytes.size();
    }
    return made;
  };
  const auto expect_model = [&] {
    std::map<std::string, std::string> seen;
    const auto view = column->View().value();
    ASSERT_TRUE(view->Scan("", "\xff",
                           [&](std::string_view key, std::string_view value) {
                             return seen.emplace(key, value).second;
                           })
                    .ok());
    EXPECT_EQ(seen, model);
  };
  ASSERT_TRUE(column->WriteLater(std::make_unique<OwnedChanges>(change(100))).ok());
  ASSERT_TRUE(column->CatchUp().ok());
  EXPECT_EQ(files(), 0);
  ASSERT_TRUE(column->WriteLater(std::make_unique<OwnedChanges>(change(1))).ok());
  ASSERT_TRUE(column->CatchUp().ok());
  EXPECT_GT(files(), 0);
  expect_model();
  for (int round = 0; round < 20; ++round) {
    const std::string from = std::to_string(10'000 + random.Below(4'000));
    const std::string to = std::to_string(10'100 + random.Below(4'000));
    if (from < to) {
      ASSERT_TRUE(column->EraseRange(from, to).ok());
      model.erase(model.lower_bound(from), model.lower_bound(to));
    }
    ASSERT_TRUE(column->Write(change(20).Sorted()).ok());
    if (round % 2 == 0) {
      ASSERT_TRUE(column->WriteLater(std::make_unique<OwnedChanges>(change(1))).ok());
    }
    if (round % 3 == 0) {
      ASSERT_TRUE(store->Checkpoint().value()->Take().ok());
    }
    expect_model();
  }
}

// Gives one change, and then there is no room.
class OneChangeThenNone final : public SortedChanges {
 public:
  // `bytes`: as much as it says there is.
  explicit OneChangeThenNone(std::size_t bytes) : bytes_(bytes) {}
  std::size_t bytes() const override { return bytes_; }
  std::span<const StateChange> Next() override {
    if (given_) throw std::runtime_error("no room for a pony");
    given_ = true;
    return {&change_, 1};
  }

 private:
  const std::size_t bytes_;
  const StateChange change_ = {"0a", "value"};
  bool given_ = false;
};

TEST_F(RocksDbBackendTest, WhatAStateThrowsWhenItIsEncodedPassesThrough) {
  const auto backend = InMemory();
  const auto store = backend->Open(3, 0, nullptr).value();
  const auto column = store->OpenColumn("s", ColumnLayout::kEntries).value();
  // As a file, and buffered.
  for (const std::size_t bytes : {std::size_t{1} << 30, std::size_t{10}}) {
    OneChangeThenNone changes(bytes);
    EXPECT_THROW(column->Write(changes).IgnoreError(), std::runtime_error);
  }
  const std::vector<StateChange> more = {{"0a", "b"}, {"0b", "c"}};
  ASSERT_TRUE(column->Write(more).ok());
  std::string value;
  EXPECT_TRUE(column->Get("0a", value).value());
  EXPECT_EQ(value, "b");
}

TEST_F(RocksDbBackendTest, AStateThatCannotBeEncodedFailsTheCheckpointAndWhatIsWrittenLater) {
  const auto backend = InMemory();
  const auto store = backend->Open(3, 0, nullptr).value();
  const auto column = store->OpenColumn("s", ColumnLayout::kEntries).value();
  ASSERT_TRUE(column->WriteLater(std::make_unique<OneChangeThenNone>(10)).ok());
  const auto checkpoint = store->Checkpoint().value();
  for (const absl::Status& status :
       {checkpoint->Take(), column->Write(std::span<const StateChange>())}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("encoding keyed state failed: no room for a pony"));
  }
}

TEST_F(RocksDbBackendTest, MemoryForDecodedValuesIsDividedBetweenTheColumnsThatAreInUse) {
  const auto backend = InMemory(1 << 20, 1 << 20);
  const auto first = OpenStore(*backend, 0);
  const auto second = OpenStore(*backend, 1);
  const auto a = first->OpenColumn("a", ColumnLayout::kEntries);
  EXPECT_EQ((*a)->cache_bytes(), 1u << 20);
  {
    const auto b = first->OpenColumn("b", ColumnLayout::kEntries);
    const auto c = second->OpenColumn("a", ColumnLayout::kEntries);
    const auto d = second->OpenScratch("d");
    EXPECT_EQ((*a)->cache_bytes(), 1u << 20);
    EXPECT_EQ((*b)->cache_bytes(), 512u << 10);
    (*c)->cache_bytes();
    EXPECT_EQ((*d)->cache_bytes(), 256u << 10);
    EXPECT_EQ((*a)->cache_bytes(), 256u << 10);
  }
  EXPECT_EQ((*a)->cache_bytes(), 1u << 20);
}

TEST_F(RocksDbBackendTest, WhatIsPutAsideIsReadInOrderFromWhereItWasNotErased) {
  const auto backend = InMemory();
  const auto store = OpenStore(*backend);
  const auto scratch = *store->OpenScratch("aside");
  const auto other = *store->OpenScratch("other");
  const auto found = [&](StateScratch& in, std::string_view from, std::string_view to) {
    std::vector<std::string> keys;
    EXPECT_TRUE(in.Scan(from, to, [&](std::string_view key, std::string_view value) {
                    EXPECT_EQ(value, key.substr(1));
                    keys.emplace_back(key);
                    return true;
                  }).ok());
    return keys;
  };
  const auto write = [&](StateScratch& to, const std::vector<std::string>& keys) {
    std::vector<StateChange> changes;
    for (const std::string& key : keys) changes.push_back({key, std::string_view(key).substr(1)});
    ASSERT_TRUE(to.Write(changes).ok());
  };
  const auto folder_is_there = [&] {
    std::vector<std::string> names;
    env_->GetChildren("/state", &names).PermitUncheckedError();
    return std::any_of(names.begin(), names.end(),
                       [](const std::string& name) { return name.ends_with("-scratch"); });
  };
  EXPECT_TRUE(found(*scratch, "a", "z").empty());
  EXPECT_TRUE(scratch->EraseRange("a", "z").ok());
  EXPECT_FALSE(folder_is_there());
  write(*scratch, {"b", "d", "f"});
  write(*scratch, {"a", "c", "e" + std::string(1 << 20, 'e')});
  write(*other, {"c"});
  EXPECT_TRUE(folder_is_there());
  EXPECT_EQ(found(*scratch, "a", "z").size(), 6u);
  EXPECT_EQ(found(*scratch, "b", "e"), (std::vector<std::string>{"b", "c", "d"}));
  ASSERT_TRUE(scratch->EraseRange("a", "d").ok());
  write(*scratch, {"c"});
  EXPECT_EQ(found(*scratch, "a", "e"), (std::vector<std::string>{"c", "d"}));
  EXPECT_EQ(found(*other, "a", "z"), (std::vector<std::string>{"c"}));
  // It is in no checkpoint: the store has no column.
  EXPECT_EQ(*static_cast<OperatorStore&>(*store).Checkpoint(), nullptr);
}

TEST_F(RocksDbBackendTest, CompactionDropsWhatHasExpired) {
  const auto backend = InMemory();
  const auto store = OpenStore(*backend);
  const auto column = *store->OpenColumn("ttl", ColumnLayout::kExpiring);
  const auto entry = [](Ticks accessed) {
    std::string bytes;
    EncodeValue(accessed, bytes);
    return bytes + std::string(1'000, 'x');
  };
  // Every other one; 4 is of before the first watermark.
  std::vector<std::string> keys;
  std::vector<std::string> values;
  for (int i = 0; i < 6'000; ++i) {
    std::string key = std::to_string(100'000 + i);
    keys.push_back(std::move(key));
    values.push_back(entry(i == 4 ? kMinTicks : i % 2 == 0 ? 1'000 : 5'000));
  }
  std::vector<StateChange> changes;
  for (size_t i = 0; i < keys.size(); ++i) changes.push_back({keys[i], values[i]});
  column->ExpireThrough(2'999);
  // More than the memory takes, again and again, so that RocksDB writes files and compacts them.
  ASSERT_TRUE(column->Write(changes).ok());
  std::erase_if(changes, [&](const StateChange& change) { return change.key.back() % 2 == 0; });
  for (int round = 0; round < 30; ++round) ASSERT_TRUE(column->Write(changes).ok());
  ASSERT_TRUE(column->EraseRange("0", "1").ok());
  std::map<std::string, int> seen;
  const auto view = *column->View();
  ASSERT_TRUE(view->Scan("0", "9",
                         [&](std::string_view key, std::string_view) {
                           ++seen[std::string(key)];
                           return true;
                         })
                  .ok());
  EXPECT_TRUE(seen.contains("100004"));
  for (int i = 1; i < 6'000; i += 2) ASSERT_TRUE(seen.contains(std::to_string(100'000 + i))) << i;
  // Some files may not have been compacted yet.
  EXPECT_LT(seen.size(), 4'000u);
}

TEST_F(RocksDbBackendTest, AFolderThatCannotBeWrittenToIsNamedWithWhatToDo) {
  const std::string file = ::testing::TempDir() + "/weir_rocksdb_test_file";
  std::ofstream(file) << "no folder";
  RocksDbBackend backend({.directory = file + "/state"});
  const auto store = *backend.Open(0, 0, nullptr);
  const auto column = store->OpenColumn("t", ColumnLayout::kEntries);
  EXPECT_THAT(std::string(column.status().message()), HasSubstr(file));
  EXPECT_THAT(std::string(column.status().message()), HasSubstr("state.backend.rocksdb.localdir"));
  std::filesystem::remove(file);
}

TEST_F(RocksDbBackendTest, AFullDiskIsSaid) {
  class FullEnv final : public rocksdb::EnvWrapper {
   public:
    using EnvWrapper::EnvWrapper;
    bool full = false;
    rocksdb::Status NewWritableFile(const std::string& name,
                                    std::unique_ptr<rocksdb::WritableFile>* file,
                                    const rocksdb::EnvOptions& options) override {
      if (full && name.ends_with(".sst")) return rocksdb::Status::NoSpace("no space left");
      return EnvWrapper::NewWritableFile(name, file, options);
    }
  } full(env_.get());
  RocksDbBackend backend(
      {.directory = "/state", .memory_bytes = 1 << 20, .decoded_bytes = 64 << 10, .env = &full});
  const auto store = *backend.Open(0, 0, nullptr);
  const auto table = Open(store.get());
  full.full = true;
  try {
    for (std::int64_t key = 0; key < 100'000; ++key) At(*table, key) = std::string(100, 'x');
    ADD_FAILURE() << "nothing was thrown";
  } catch (const StateError& error) {
    EXPECT_THAT(error.what(), HasSubstr("state 't'"));
    EXPECT_THAT(error.what(), HasSubstr("make room"));
  }
}

// A savepoint of one backend is state of the other, for every kind of state.
class StateOnBothBackends : public RocksDbBackendTest, public ::testing::WithParamInterface<bool> {
 protected:
  StateOnBothBackends() {
    JobDefinition job;
    const DefineInput input;
    internal::GraphBuilder graph(input, job);
    Job(graph)
        .From<StateCommand>("in", Files{.path = "x"})
        .KeyBy(&StateCommand::key)
        .Process<StateCommands>(
            "state", GetParam() ? std::optional<Ttl>(Ttl{.after = Duration(1'000)}) : std::nullopt)
        .To("out", Print{});
    make_ = job.nodes[1].make_operator;
  }
  std::unique_ptr<OperatorHarness> Make(bool in_rocksdb) {
    HarnessOptions options;
    if (in_rocksdb) {
      options.make_store = [this, subtask = 0u]() mutable {
        return OpenStore(*backend_, subtask++);
      };
    }
    auto harness = std::make_unique<OperatorHarness>(make_, options);
    harness->AddOutput<std::string>();
    return harness;
  }
  static std::vector<std::string> Run(OperatorHarness& harness, std::uint64_t seed) {
    static const std::vector<std::string> kWords = {
        "put",       "add",          "clear",       "get",       "sum_add",
        "sum_get",   "max_add",      "max_get",     "list_add",  "list_get",
        "list_set",  "list_clear",   "map_put a",   "map_put b", "map_add c",
        "map_get a", "map_remove b", "map_entries", "map_keys",  "map_remove_odd"};
    Random random(seed);
    for (int i = 0; i < 2'000; ++i) {
      const StateCommand command{"key " + std::to_string(random.Below(200)),
                                 kWords[random.Below(kWords.size())],
                                 static_cast<std::int64_t>(random.Below(1'000))};
      EXPECT_TRUE(harness.Process<StateCommand>({{command}}).ok());
      if (i % 10 == 0) {
        EXPECT_TRUE(harness.SetProcessingTime(i).ok());
      }
    }
    std::vector<std::string> results;
    for (const auto& result : harness.Take<std::string>()) results.push_back(result.value);
    return results;
  }

  const std::unique_ptr<RocksDbBackend> backend_ = InMemory();
  OperatorHarness::Factory make_;
};

TEST_P(StateOnBothBackends, GoesFromOneToTheOtherAndBack) {
  const auto heap = Make(false);
  const auto rocksdb = Make(true);
  ASSERT_TRUE(heap->Open().ok());
  ASSERT_TRUE(rocksdb->Open().ok());
  EXPECT_EQ(Run(*heap, 1), Run(*rocksdb, 1));
  const HarnessSnapshot of_heap = heap->Snapshot();
  const HarnessSnapshot of_rocksdb = rocksdb->Snapshot();
  for (const auto& [name, table] : of_heap.tables)
    EXPECT_EQ(table.key_groups, of_rocksdb.tables.at(name).key_groups) << name;
  ASSERT_TRUE(heap->Restore(of_rocksdb).ok());
  ASSERT_TRUE(rocksdb->Restore(of_heap).ok());
  EXPECT_EQ(Run(*heap, 2), Run(*rocksdb, 2));
}

INSTANTIATE_TEST_SUITE_P(Ttl, StateOnBothBackends, ::testing::Bool());

}  // namespace
}  // namespace weir
