#pragma once

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <rocksdb/write_buffer_manager.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "state/rocksdb/rocksdb_backend.h"
#include "weir/state_store.h"

namespace weir {

// What the stores of a process have together. Immutable but for the count.
struct RocksDbBackend::Shared {
  Options options;
  rocksdb::Env* env = nullptr;
  std::shared_ptr<rocksdb::Cache> block_cache;
  std::shared_ptr<rocksdb::WriteBufferManager> write_buffers;
  // Columns that are open, between which the memory for decoded values is divided.
  std::atomic<size_t> columns{0};
};

// What went wrong with `path`, and what to do.
absl::Status StoreError(const rocksdb::Status& status, const std::string& path);

// One database, and its folder, which is deleted with it. Shared by the store, its columns and the
// views that are still read, on any thread.
class RocksDbDatabase {
 public:
  static absl::StatusOr<std::shared_ptr<RocksDbDatabase>> Open(
      std::shared_ptr<RocksDbBackend::Shared> shared, std::string path);
  RocksDbDatabase(const RocksDbDatabase&) = delete;
  RocksDbDatabase& operator=(const RocksDbDatabase&) = delete;
  ~RocksDbDatabase();

  rocksdb::DB& db() { return *db_; }
  const std::string& path() const { return path_; }
  const RocksDbBackend::Shared& shared() const { return *shared_; }
  // Of the store's thread. `last_access`: see StateColumn::ExpireThrough; null if nothing expires.
  // Lives as long as the database.
  absl::StatusOr<rocksdb::ColumnFamilyHandle*> AddColumn(
      const std::string& name, std::shared_ptr<const std::atomic<int64_t>> last_access);

 private:
  RocksDbDatabase(std::shared_ptr<RocksDbBackend::Shared> shared, std::string path)
      : shared_(std::move(shared)), path_(std::move(path)) {}

  const std::shared_ptr<RocksDbBackend::Shared> shared_;
  const std::string path_;
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> columns_;
};

}  // namespace weir
