// Scans of parts of a column, against sorted maps.
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/perf_context.h>
#include <rocksdb/perf_level.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/hash.h"
#include "gtest/gtest.h"
#include "state/rocksdb/rocksdb_subtasks_test.h"
#include "weir/stored_entries.h"

namespace weir {
namespace {

constexpr size_t kWindows = 2;

std::string SliceOf(uint32_t group, Ticks start) {
  std::string key = GroupOf(group);
  internal::AppendSlice(start, key);
  return key;
}
std::string KeyOf(uint32_t group, Ticks start, int64_t key) {
  std::string all = SliceOf(group, start);
  EncodeValue(key, all);
  return all;
}

class RocksDbScanTest : public RocksDbSubtasks {
 protected:
  // What a window operator does while time goes by: entries of the slice that is filled, those of
  // the one before changed or gone, and with a new slice the oldest of ten goes.
  void FillSlice(Ticks start) {
    for (Subtask& subtask : subtasks_) {
      Entries changes;
      for (int i = 0; i < 400; ++i) {
        const auto group =
            static_cast<uint32_t>(subtask.range.first + Random(subtask.range.size()));
        const Ticks slice = start - (Random(5) == 0 ? 1 : 0);
        changes[KeyOf(group, slice, static_cast<int64_t>(Random(20)))] =
            Random(5) == 0 ? std::string() : ValueOf(Random(1'000), ColumnLayout::kSlices);
      }
      for (uint32_t group = subtask.range.first; group <= subtask.range.last; ++group)
        changes[GroupOf(group)] = std::string(8, static_cast<char>(1 + start));
      Apply(subtask, kWindows, changes);
      if (start < 10) continue;
      for (uint32_t group = subtask.range.first; group <= subtask.range.last; ++group) {
        const std::string oldest = SliceOf(group, start - 10);
        EraseRange(subtask, kWindows, oldest, internal::EndOf(oldest));
      }
    }
  }

  // `most`: the scan wants no more.
  void ExpectRange(Subtask& subtask, const std::string& from, const std::string& to, size_t most) {
    const Entries& model = model_[kWindows];
    const std::string first = std::max(from, GroupOf(subtask.range.first));
    const std::string last = std::min(to, GroupOf(subtask.range.last + 1));
    Entries expected;
    if (first < last) {
      for (auto it = model.lower_bound(first);
           it != model.lower_bound(last) && expected.size() < most; ++it)
        expected.insert(*it);
    }
    Entries scanned;
    std::string before;
    const absl::Status status = subtask.columns[kWindows]->Scan(
        from, to, [&](std::string_view key, std::string_view value) {
          EXPECT_LT(before, key);
          before = key;
          scanned.emplace(key, value);
          return scanned.size() < most;
        });
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_EQ(scanned, expected) << ::testing::PrintToString(std::pair(from, to));
  }
  // All kinds of parts.
  void ExpectParts(Ticks through) {
    for (Subtask& subtask : subtasks_) {
      for (int i = 0; i < 120; ++i) {
        const auto group =
            static_cast<uint32_t>(subtask.range.first + Random(subtask.range.size()));
        const auto start = static_cast<Ticks>(Random(static_cast<uint64_t>(through) + 3));
        const std::string slice = SliceOf(group, start);
        const std::string key = KeyOf(group, start, static_cast<int64_t>(Random(20)));
        const std::string after =
            KeyOf(group, start + static_cast<Ticks>(Random(3)), static_cast<int64_t>(Random(20)));
        const size_t most = Random(3) == 0 ? 1 + Random(5) : std::numeric_limits<size_t>::max();
        const std::string end_of_group = GroupOf(group + 1);
        ExpectRange(subtask, slice, internal::EndOf(slice), most);
        ExpectRange(subtask, key + '\0', internal::EndOf(slice), most);
        ExpectRange(subtask, slice, key, most);
        ExpectRange(subtask, key, after, most);
        ExpectRange(subtask, internal::EndOf(slice), end_of_group, most);
        ExpectRange(subtask, slice, GroupOf(group + 3), most);
        ExpectRange(subtask, GroupOf(group), end_of_group, most);
        ExpectRange(subtask, GroupOf(group), slice, most);
        if (HasFatalFailure()) return;
      }
      ExpectRange(subtask, "", "\xff\xff", std::numeric_limits<size_t>::max());
    }
  }
};

TEST_F(RocksDbScanTest, FindWhatIsThereOfEachPart) {
  Ticks now = 0;
  Checkpoint last;
  for (const uint32_t parallelism : {1, 3, 1, 2}) {
    SCOPED_TRACE(parallelism);
    ASSERT_NO_FATAL_FAILURE(Start(parallelism, last));
    ASSERT_NO_FATAL_FAILURE(ExpectParts(now));
    for (int i = 0; i < 12; ++i, ++now) {
      ASSERT_NO_FATAL_FAILURE(FillSlice(now));
      ASSERT_NO_FATAL_FAILURE(ExpectParts(now));
      last = Take();
    }
    ASSERT_NO_FATAL_FAILURE(ExpectParts(now));
  }
}

TEST_F(RocksDbScanTest, PassOverFilesThatHaveNothingOfASlice) {
  ASSERT_NO_FATAL_FAILURE(Start(1));
  StateColumn& column = *subtasks_[0].columns[kWindows];
  // A file of each, with keys around those that it does not have; too few to be merged.
  for (const Ticks start : {1, 3, 5}) {
    Entries entries;
    for (uint32_t group = 0; group < 128; ++group)
      entries[KeyOf(group, start, 1)] = ValueOf(group, ColumnLayout::kSlices);
    WriteTo(column, entries, /*later=*/false);
    Take();
  }
  const auto read = [&](const std::string& from, const std::string& to) {
    size_t found = 0;
    const auto count = [&](std::string_view, std::string_view) { return ++found > 0; };
    EXPECT_TRUE(column.Scan(from, to, count).ok());
    return found;
  };
  // What is read once for each file.
  read("", "\xff");
  rocksdb::SetPerfLevel(rocksdb::PerfLevel::kEnableCount);
  rocksdb::PerfContext& counts = *rocksdb::get_perf_context();
  const std::string slice = SliceOf(64, 3);
  counts.Reset();
  EXPECT_EQ(read(slice, internal::EndOf(slice)), 1u);
  EXPECT_EQ(counts.bloom_sst_hit_count, 1u);
  EXPECT_EQ(counts.bloom_sst_miss_count, 2u);
  // Of all slices of the key group.
  counts.Reset();
  EXPECT_EQ(read(GroupOf(64), GroupOf(65)), 3u);
  EXPECT_EQ(counts.bloom_sst_miss_count, 0u);
  rocksdb::SetPerfLevel(rocksdb::PerfLevel::kDisable);
}

// What was written before there were prefixes in filters is there still.
TEST_F(RocksDbScanTest, FindWhatIsInFilesWhoseFiltersKnowNoPrefixes) {
  const std::string folder = root_ + "/before";
  rocksdb::Options options;
  options.create_if_missing = true;
  rocksdb::BlockBasedTableOptions table;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10, false));
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  rocksdb::DB* db = nullptr;
  ASSERT_TRUE(rocksdb::DB::Open(options, folder, &db).ok());
  rocksdb::ColumnFamilyHandle* column = nullptr;
  ASSERT_TRUE(db->CreateColumnFamily(options, "win:" + kStates[kWindows].name, &column).ok());
  for (const Ticks start : {1, 3, 5}) {
    for (uint32_t group = 0; group < 128; ++group) {
      const std::string key = KeyOf(group, start, 1);
      const std::string value = ValueOf(group, ColumnLayout::kSlices);
      ASSERT_TRUE(db->Put({}, column, key, value).ok());
      model_[kWindows][key] = value;
    }
    ASSERT_TRUE(db->Flush({}, column).ok());
  }
  ASSERT_TRUE(db->DestroyColumnFamilyHandle(column).ok());
  ASSERT_TRUE(db->Close().ok());
  delete db;

  Stored stored = {{0, 127}, {}};
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    StoredFile file;
    file.name = entry.path().filename();
    if (file.name.starts_with("LO")) continue;
    std::stringstream content;
    content << std::ifstream(entry.path()).rdbuf();
    if (!file.name.ends_with(".sst")) {
      file.content = content.str();
    } else {
      StreamingHash64 digest;
      digest.Append(content.str());
      file.digest = digest.Digest();
      file.bytes = content.str().size();
      file.path = entry.path();
      file.shared_name = "shared/" + file.name;
    }
    stored.files.push_back(std::move(file));
  }
  ASSERT_NO_FATAL_FAILURE(Start(1, {stored}));
  ASSERT_NO_FATAL_FAILURE(ExpectParts(6));
  // And beside files that know them.
  ASSERT_NO_FATAL_FAILURE(FillSlice(6));
  Take();
  ASSERT_NO_FATAL_FAILURE(ExpectParts(6));
}

}  // namespace
}  // namespace weir
