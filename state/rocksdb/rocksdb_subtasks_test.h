#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/hash.h"
#include "gtest/gtest.h"
#include "state/rocksdb/rocksdb_backend.h"
#include "weir/binary_codec.h"
#include "weir/hash.h"
#include "weir/stored_entries.h"

namespace weir {

inline constexpr uint32_t kMaxParallelism = 128;

struct State {
  std::string name;
  ColumnLayout layout;
};
// One is named as the files of one of several databases are.
inline const std::vector<State> kStates = {{"totals", ColumnLayout::kEntries},
                                           {"from-64-all:totals", ColumnLayout::kExpiring},
                                           {"windows", ColumnLayout::kSlices}};
using Entries = std::map<std::string, std::string>;

// With what the keys of a key group begin.
inline std::string GroupOf(uint32_t group) {
  std::string key;
  internal::AppendKeyGroup(group, key);
  return key;
}
// A key of `group`, and what a state has under it, as the layout wants them; it cannot be
// compressed.
inline std::string KeyIn(uint32_t group, uint64_t n, ColumnLayout layout) {
  std::string key = GroupOf(group);
  if (layout == ColumnLayout::kSlices) internal::AppendSlice(static_cast<Ticks>(n % 7), key);
  EncodeValue(static_cast<std::int64_t>(n), key);
  return key;
}
inline std::string ValueOf(uint64_t n, ColumnLayout layout, Ticks accessed = 5'000) {
  std::string value;
  if (layout == ColumnLayout::kExpiring)
    value.append(reinterpret_cast<const char*>(&accessed), sizeof(accessed));
  std::string text(20 + n % 50, 'x');
  for (char& c : text) c = static_cast<char>((n = n * 6364136223846793005u + 1) >> 56);
  EncodeValue(text, value);
  return value;
}

// Changes of which each call has others, now and then the last of one database.
class FewAtATime final : public SortedChanges {
 public:
  explicit FewAtATime(std::span<const StateChange> changes) : all_(changes), rest_(changes) {}
  size_t bytes() const override { return GivenChanges(all_).bytes(); }
  std::span<const StateChange> Next() override {
    size_ = size_ % 40 + 1;
    const auto given = rest_.subspan(0, std::min(size_, rest_.size()));
    rest_ = rest_.subspan(given.size());
    return given;
  }

 private:
  const std::span<const StateChange> all_;
  std::span<const StateChange> rest_;
  size_t size_ = 0;
};

// The subtasks of one operator, each with a store, and what they hold together.
class RocksDbSubtasks : public ::testing::Test {
 protected:
  struct Subtask {
    KeyGroupRange range;
    std::unique_ptr<OperatorStore> store;
    std::vector<std::unique_ptr<StateColumn>> columns;
  };
  struct Stored {
    KeyGroupRange range;
    StoredFiles files;
  };
  using Checkpoint = std::vector<Stored>;

  RocksDbSubtasks()
      : root_(::testing::TempDir() + "/weir_rocksdb_subtasks_" + std::to_string(getpid())) {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_ + "/job/shared");
    backend_ = std::make_unique<RocksDbBackend>(
        RocksDbBackend::Options{.directory = root_ + "/local", .memory_bytes = 1 << 20});
  }
  ~RocksDbSubtasks() override {
    subtasks_.clear();
    backend_.reset();
    std::filesystem::remove_all(root_);
  }

  uint64_t Random(uint64_t below) {
    random_ = random_ * 6364136223846793005u + 1442695040888963407u;
    return (random_ >> 33) % below;
  }

  // From what the old subtasks had, but for those that are in `ended`.
  void Start(uint32_t parallelism, const Checkpoint& from = {},
             const std::set<size_t>& ended = {}) {
    subtasks_.clear();
    for (uint32_t i = 0; i < parallelism; ++i) {
      Subtask& subtask = subtasks_.emplace_back();
      subtask.range = KeyGroupRangeOf(i, kMaxParallelism, parallelism);
      StoredParts parts;
      for (size_t old = 0; old < from.size(); ++old) {
        const KeyGroupRange keeps = {std::max(from[old].range.first, subtask.range.first),
                                     std::min(from[old].range.last, subtask.range.last)};
        if (keeps.first > keeps.last || ended.contains(old)) continue;
        parts.push_back({from[old].range, keeps, from[old].files});
      }
      auto store = backend_->Open(1, i, parts.empty() ? nullptr : &parts);
      ASSERT_TRUE(store.ok()) << store.status();
      subtask.store = *std::move(store);
      for (const State& state : kStates) {
        auto column = subtask.store->OpenColumn(state.name, state.layout);
        ASSERT_TRUE(column.ok()) << column.status();
        subtask.columns.push_back(*std::move(column));
      }
    }
  }
  Subtask& Of(uint32_t group) {
    return *std::find_if(subtasks_.begin(), subtasks_.end(),
                         [&](const Subtask& subtask) { return subtask.range.Contains(group); });
  }

  // Puts and erases `count` keys of each state, all over the key groups of all subtasks or of every
  // `one_in`th, and some ranges of keys.
  void Change(size_t count, size_t one_in = 1) {
    for (size_t state = 0; state < kStates.size(); ++state) {
      const ColumnLayout layout = kStates[state].layout;
      for (size_t i = 0; i < subtasks_.size(); i += one_in) {
        Subtask& subtask = subtasks_[i];
        Entries changes;
        for (size_t change = 0; change < count / subtasks_.size(); ++change) {
          const auto group =
              static_cast<uint32_t>(subtask.range.first + Random(subtask.range.size()));
          changes[KeyIn(group, Random(100), layout)] =
              Random(4) == 0 ? std::string() : ValueOf(Random(1'000), layout);
        }
        Apply(subtask, state, changes);
        // Also over the border of two databases.
        const auto first =
            static_cast<uint32_t>(subtask.range.first + Random(subtask.range.size()));
        const std::string from = KeyIn(first, Random(100), layout);
        const std::string to =
            KeyIn(std::min<uint32_t>(first + 2, subtask.range.last), Random(100), layout);
        if (from < to) EraseRange(subtask, state, from, to);
        if (layout != ColumnLayout::kSlices) continue;
        // Up to when the windows have fired is there for each key group that has any.
        Entries heads;
        for (uint32_t group = subtask.range.first; group <= subtask.range.last; ++group)
          model_[state][GroupOf(group)] = heads[GroupOf(group)] = std::string(8, '\1');
        WriteTo(*subtask.columns[state], heads, /*later=*/true);
      }
    }
  }
  // Of an empty value: the key goes.
  void Apply(Subtask& subtask, size_t state, const Entries& changes) {
    WriteTo(*subtask.columns[state], changes, /*later=*/Random(2) == 0);
    for (const auto& [key, value] : changes) {
      if (value.empty()) {
        model_[state].erase(key);
      } else {
        model_[state][key] = value;
      }
    }
  }
  void EraseRange(Subtask& subtask, size_t state, const std::string& from, const std::string& to) {
    ASSERT_TRUE(subtask.columns[state]->EraseRange(from, to).ok());
    model_[state].erase(model_[state].lower_bound(from), model_[state].lower_bound(to));
  }
  static void WriteTo(StateColumn& column, const Entries& entries, bool later) {
    StateChanges all;
    std::vector<StateChange> sorted;
    for (const auto& [key, value] : entries) {
      sorted.push_back({key, value, value.empty()});
      StateChanges::Change& change = all.changes.emplace_back();
      change.order = StateChanges::OrderOf(key);
      change.begin = all.bytes.size();
      all.bytes += key;
      change.key_end = all.bytes.size();
      all.bytes += value;
      change.end = all.bytes.size();
      change.erases = value.empty();
    }
    std::reverse(all.changes.begin(), all.changes.end());
    FewAtATime few(sorted);
    const absl::Status written =
        later ? column.WriteLater(std::make_unique<OwnedChanges>(std::move(all)))
              : column.Write(few);
    ASSERT_TRUE(written.ok()) << written;
  }

  // What is immutable is put beside those of others; new_bytes_: of what was not there before.
  Checkpoint Take() {
    ++checkpoints_;
    new_bytes_ = all_bytes_ = 0;
    Checkpoint taken;
    for (Subtask& subtask : subtasks_) {
      Stored& stored = taken.emplace_back();
      stored.range = subtask.range;
      const auto checkpoint = *subtask.store->Checkpoint();
      EXPECT_TRUE(checkpoint->Take().ok()) << checkpoint->Take();
      for (const StoreCheckpoint::File& file : checkpoint->files()) {
        StoredFile& made = stored.files.emplace_back();
        made.name = file.name;
        std::stringstream content;
        content << std::ifstream(file.path).rdbuf();
        if (!file.immutable) {
          made.content = content.str();
          continue;
        }
        StreamingHash64 digest;
        digest.Append(content.str());
        made.bytes = file.bytes;
        made.digest = digest.Digest();
        all_bytes_ += file.bytes;
        const auto known = checkpoint->uploaded().Find(file.name, checkpoints_ - 1, root_ + "/job");
        if (known.has_value()) {
          EXPECT_EQ(known->digest, made.digest) << file.name << " is not " << known->name;
          made.shared_name = known->name;
          made.path = known->path;
          continue;
        }
        made.shared_name = "shared/" + std::to_string(stored.range.first) + "-" +
                           std::to_string(checkpoints_) + "-" + file.name;
        made.path = root_ + "/job/" + made.shared_name;
        std::filesystem::copy_file(file.path, made.path);
        new_bytes_ += file.bytes;
        checkpoint->uploaded().Add(
            file.name, {made.shared_name, made.path, file.bytes, made.digest, checkpoints_});
      }
    }
    return taken;
  }
  // Databases in the files of a store.
  static size_t DatabasesOf(const Stored& stored) {
    return static_cast<size_t>(
        std::count_if(stored.files.begin(), stored.files.end(),
                      [](const StoredFile& file) { return file.name.ends_with("CURRENT"); }));
  }

  // All ways to read say what the maps do.
  void ExpectModel() {
    for (size_t state = 0; state < kStates.size(); ++state) {
      const Entries& model = model_[state];
      Entries scanned;
      for (const Subtask& subtask : subtasks_) {
        const auto view = *subtask.columns[state]->View();
        std::string last;
        ASSERT_TRUE(view->Scan("", "\xff\xff",
                               [&](std::string_view key, std::string_view value) {
                                 EXPECT_LT(last, key);
                                 last = key;
                                 scanned.emplace(key, value);
                                 return true;
                               })
                        .ok());
        ASSERT_TRUE(view->Scan("", "\xff\xff",
                               [&](std::string_view key, std::string_view) {
                                 EXPECT_EQ(
                                     key, scanned.lower_bound(GroupOf(subtask.range.first))->first);
                                 return false;
                               })
                        .ok());
      }
      ASSERT_EQ(scanned, model) << kStates[state].name;
      for (const Subtask& subtask : subtasks_) {
        std::vector<std::string> keys;
        for (uint64_t i = 0; i < 300; ++i) {
          const auto group =
              static_cast<uint32_t>(subtask.range.first + Random(subtask.range.size()));
          keys.push_back(KeyIn(group, Random(110), kStates[state].layout));
        }
        const std::vector<std::string_view> asked(keys.begin(), keys.end());
        std::vector<std::optional<std::string>> values;
        ASSERT_TRUE(subtask.columns[state]->MultiGet(asked, values).ok());
        for (size_t i = 0; i < keys.size(); ++i) {
          const auto expected = model.find(keys[i]);
          ASSERT_EQ(values[i].has_value(), expected != model.end());
          std::string value;
          ASSERT_EQ(*subtask.columns[state]->Get(keys[i], value), expected != model.end());
          if (expected == model.end()) continue;
          ASSERT_EQ(*values[i], expected->second);
          ASSERT_EQ(value, expected->second);
        }
      }
    }
  }
  // Key groups as savepoints have them, read from the files.
  void ExpectModelIn(const Checkpoint& checkpoint) {
    for (const Stored& stored : checkpoint) {
      const auto read = backend_->Read(stored.files);
      ASSERT_TRUE(read.ok()) << read.status();
      for (size_t state = 0; state < kStates.size(); ++state) {
        for (uint32_t group = stored.range.first; group <= stored.range.last; ++group) {
          internal::StoredKeyGroup entries(kStates[state].layout);
          const auto end = model_[state].lower_bound(GroupOf(group + 1));
          for (auto it = model_[state].lower_bound(GroupOf(group)); it != end; ++it)
            ASSERT_TRUE(entries.Add(std::string_view(it->first).substr(2), it->second));
          std::string expected;
          entries.AppendTo(expected);
          std::string found;
          ASSERT_TRUE((*read)->ReadKeyGroup(kStates[state].name, group, found).ok());
          ASSERT_EQ(found, expected) << kStates[state].name << " " << group;
        }
      }
    }
  }
  // Changes, a checkpoint, and another parallelism, one after the other.
  void Rescale(const std::vector<uint32_t>& parallelisms) {
    Checkpoint last;
    for (const uint32_t parallelism : parallelisms) {
      SCOPED_TRACE(parallelism);
      ASSERT_NO_FATAL_FAILURE(Start(parallelism, last));
      ASSERT_NO_FATAL_FAILURE(ExpectModel());
      ASSERT_NO_FATAL_FAILURE(Change(3'000));
      ASSERT_NO_FATAL_FAILURE(ExpectModel());
      last = Take();
      ASSERT_NO_FATAL_FAILURE(ExpectModelIn(last));
    }
  }

  const std::string root_;
  std::unique_ptr<RocksDbBackend> backend_;
  std::vector<Subtask> subtasks_;
  // By state.
  std::vector<Entries> model_{kStates.size()};
  uint64_t random_ = 1;
  uint64_t checkpoints_ = 0;
  uint64_t new_bytes_ = 0;
  uint64_t all_bytes_ = 0;
};

}  // namespace weir
