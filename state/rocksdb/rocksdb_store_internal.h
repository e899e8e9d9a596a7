#pragma once

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <rocksdb/write_buffer_manager.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "state/backend/state_backend.h"
#include "state/rocksdb/rocksdb_backend.h"
#include "state/rocksdb/rocksdb_files_internal.h"
#include "weir/state_store.h"
#include "weir/stored_entries.h"

namespace weir {

// What the stores of a process have together. Immutable but for the counts.
struct RocksDbBackend::Shared {
  Options options;
  // Above that of the options.
  std::unique_ptr<rocksdb::Env> env;
  std::shared_ptr<rocksdb::Cache> block_cache;
  std::shared_ptr<rocksdb::WriteBufferManager> write_buffers;
  // Columns that are in use, between which the memory for decoded values is divided.
  std::atomic<size_t> columns{0};
  // Stores that were opened: a subtask may have another one while the former is still written out.
  std::atomic<size_t> stores{0};
  // Folders that were made to read from.
  std::atomic<size_t> folders{0};
};

// A column's share of the memory for decoded values. It takes from the others' from when it is
// first asked for: what an operator declares and never has takes nothing.
class DecodedMemory {
 public:
  explicit DecodedMemory(std::shared_ptr<RocksDbBackend::Shared> shared)
      : shared_(std::move(shared)) {}
  DecodedMemory(const DecodedMemory&) = delete;
  DecodedMemory& operator=(const DecodedMemory&) = delete;
  ~DecodedMemory() {
    if (used_) --shared_->columns;
  }

  size_t Share() const {
    if (!used_) [[unlikely]] {
      used_ = true;
      ++shared_->columns;
    }
    return shared_->options.decoded_bytes / shared_->columns.load();
  }

 private:
  const std::shared_ptr<RocksDbBackend::Shared> shared_;
  mutable bool used_ = false;
};

// Prefixes of so many bytes are in the filters of a column's files beside whole keys, so that a
// scan of what has one prefix passes over files that have nothing of it; 0: none are. Of windows
// the key group and the slice: each file has few of the slices that are there when a window fires.
// Of what has no slices each file has nearly all key groups, and nothing is scanned but those.
constexpr size_t FilteredPrefixBytes(ColumnLayout layout) {
  return layout == ColumnLayout::kSlices ? internal::kKeyGroupBytes + internal::kSliceBytes : 0;
}

// One database of a store, and its folder, which is deleted with it.
class RocksDbDatabase {
 public:
  struct Column {
    rocksdb::ColumnFamilyHandle* handle = nullptr;
    ColumnLayout layout = ColumnLayout::kEntries;
    // See StateColumn::ExpireThrough; null: nothing expires.
    std::shared_ptr<std::atomic<int64_t>> last_access;
  };

  // With nothing in it, or with what the files have.
  static absl::StatusOr<std::unique_ptr<RocksDbDatabase>> Open(
      std::shared_ptr<RocksDbBackend::Shared> shared, std::string path, const StoredFiles* files);
  RocksDbDatabase(const RocksDbDatabase&) = delete;
  RocksDbDatabase& operator=(const RocksDbDatabase&) = delete;
  ~RocksDbDatabase();

  rocksdb::DB& db() { return *db_; }
  const std::string& path() const { return path_; }
  // Of the store's thread. What it returns lives as long as the database. kFailedPrecondition: it
  // is there, and has another layout.
  absl::StatusOr<Column> AddColumn(const std::string& state, ColumnLayout layout);
  // A column of a database that has nothing else, once for each name: what is written there is read
  // in its order, once, and then erased.
  absl::StatusOr<rocksdb::ColumnFamilyHandle*> AddScratch(const std::string& name);
  // `flushed_soon`: a checkpoint will be taken.
  absl::Status Write(rocksdb::ColumnFamilyHandle* column, SortedChanges& changes,
                     bool flushed_soon);
  // All with from <= key < to.
  absl::Status EraseRange(rocksdb::ColumnFamilyHandle* column, std::string_view from,
                          std::string_view to);
  // Likewise, of a range with many entries: files that have no others go at once.
  absl::Status DropRange(rocksdb::ColumnFamilyHandle* column, std::string_view from,
                         std::string_view to);
  // Null if there is none.
  const Column* FindColumn(const std::string& state) const;
  // By state.
  const std::map<std::string, Column, std::less<>>& columns() const { return columns_; }

 private:
  // Whether as many bytes make a file of their own, without waiting in what is buffered.
  bool MakesFile(size_t bytes, bool flushed_soon) const;

  RocksDbDatabase(std::shared_ptr<RocksDbBackend::Shared> shared, std::string path)
      : shared_(std::move(shared)), path_(std::move(path)) {}

  const std::shared_ptr<RocksDbBackend::Shared> shared_;
  const std::string path_;
  std::unique_ptr<rocksdb::DB> db_;
  std::map<std::string, Column, std::less<>> columns_;
  rocksdb::ColumnFamilyHandle* default_column_ = nullptr;
};

}  // namespace weir
