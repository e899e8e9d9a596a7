#include <rocksdb/compaction_filter.h>
#include <rocksdb/convenience.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "state/rocksdb/rocksdb_store_internal.h"
#include "weir/time.h"

namespace weir {
namespace {

// Drops entries of a state with a TTL that have expired, when the files they are in are compacted.
class ExpiryFilter final : public rocksdb::CompactionFilter {
 public:
  explicit ExpiryFilter(Ticks last_access) : last_access_(last_access) {}
  const char* Name() const override { return "weir.expiry"; }
  // What has expired is never seen, so views may miss it as well.
  bool IgnoreSnapshots() const override { return true; }
  bool Filter(int, const rocksdb::Slice&, const rocksdb::Slice& value, std::string*,
              bool*) const override {
    Ticks accessed = 0;
    if (value.size() < sizeof(accessed)) return false;
    std::memcpy(&accessed, value.data(), sizeof(accessed));
    return accessed != kMinTicks && accessed <= last_access_;
  }

 private:
  const Ticks last_access_;
};

class ExpiryFilters final : public rocksdb::CompactionFilterFactory {
 public:
  explicit ExpiryFilters(std::shared_ptr<const std::atomic<int64_t>> last_access)
      : last_access_(std::move(last_access)) {}
  const char* Name() const override { return "weir.expiry"; }
  std::unique_ptr<rocksdb::CompactionFilter> CreateCompactionFilter(
      const rocksdb::CompactionFilter::Context&) override {
    return std::make_unique<ExpiryFilter>(last_access_->load(std::memory_order_relaxed));
  }

 private:
  const std::shared_ptr<const std::atomic<int64_t>> last_access_;
};

rocksdb::DBOptions DatabaseOptions(const RocksDbBackend::Shared& shared) {
  rocksdb::DBOptions options;
  options.env = shared.env;
  options.create_if_missing = true;
  options.write_buffer_manager = shared.write_buffers;
  // One thread writes and reads, others only compact.
  options.allow_concurrent_memtable_write = false;
  options.max_background_jobs = 2;
  options.max_open_files = 1'000;
  options.keep_log_file_num = 1;
  options.info_log_level = rocksdb::WARN_LEVEL;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  return options;
}

rocksdb::ColumnFamilyOptions ColumnOptions(
    const RocksDbBackend::Shared& shared, std::shared_ptr<const std::atomic<int64_t>> last_access) {
  rocksdb::ColumnFamilyOptions options;
  const size_t memory = shared.options.memory_bytes;
  options.write_buffer_size = std::clamp<size_t>(memory / 8, 64 << 10, 64 << 20);
  options.max_write_buffer_number = 3;
  options.target_file_size_base = std::clamp<size_t>(options.write_buffer_size, 2 << 20, 64 << 20);
  options.max_bytes_for_level_base = 4 * options.target_file_size_base;
  options.level_compaction_dynamic_level_bytes = true;
  // What is young is written and read most.
  options.compression_per_level = {rocksdb::kNoCompression, rocksdb::kNoCompression,
                                   rocksdb::kLZ4Compression};
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = shared.block_cache;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10, false));
  table.cache_index_and_filter_blocks = true;
  table.cache_index_and_filter_blocks_with_high_priority = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.data_block_index_type = rocksdb::BlockBasedTableOptions::kDataBlockBinaryAndHash;
  table.format_version = 5;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  if (last_access != nullptr)
    options.compaction_filter_factory = std::make_shared<ExpiryFilters>(std::move(last_access));
  return options;
}

absl::Status MakeFolders(rocksdb::Env& env, const std::string& path) {
  rocksdb::Status made;
  for (size_t slash = path.find('/', 1); made.ok(); slash = path.find('/', slash + 1)) {
    made = env.CreateDirIfMissing(path.substr(0, slash));
    if (slash == std::string::npos) break;
  }
  return StoreError(made, path);
}

}  // namespace

absl::Status StoreError(const rocksdb::Status& status, const std::string& path) {
  if (status.ok()) return absl::OkStatus();
  const std::string what = StrCat("the RocksDB state in ", path,
                                  " (state.backend.rocksdb.localdir): ", status.ToString());
  if (status.IsNoSpace()) {
    return absl::ResourceExhaustedError(
        StrCat(what, "; the disk is full: make room, or name a folder on a larger one"));
  }
  if (status.IsCorruption()) {
    return absl::DataLossError(
        StrCat(what, "; the disk may be failing: the job goes on from its last checkpoint"));
  }
  if (what.find("ermission denied") != std::string::npos ||
      what.find("ead-only") != std::string::npos) {
    return absl::PermissionDeniedError(
        StrCat(what, "; make the folder writable for the task manager, or name another"));
  }
  return absl::UnavailableError(what);
}

absl::StatusOr<std::shared_ptr<RocksDbDatabase>> RocksDbDatabase::Open(
    std::shared_ptr<RocksDbBackend::Shared> shared, std::string path) {
  WEIR_RETURN_IF_ERROR(MakeFolders(*shared->env, path));
  // What is there of the same name is of a process that has died.
  rocksdb::Options options(DatabaseOptions(*shared), ColumnOptions(*shared, nullptr));
  rocksdb::Status status = rocksdb::DestroyDB(path, options);
  if (!status.ok()) return StoreError(status, path);
  std::shared_ptr<RocksDbDatabase> opened(new RocksDbDatabase(std::move(shared), std::move(path)));
  rocksdb::DB* db = nullptr;
  status = rocksdb::DB::Open(options, opened->path_, &db);
  if (!status.ok()) return StoreError(status, opened->path_);
  opened->db_.reset(db);
  return opened;
}

absl::StatusOr<rocksdb::ColumnFamilyHandle*> RocksDbDatabase::AddColumn(
    const std::string& name, std::shared_ptr<const std::atomic<int64_t>> last_access) {
  rocksdb::ColumnFamilyHandle* handle = nullptr;
  const rocksdb::Status status =
      db_->CreateColumnFamily(ColumnOptions(*shared_, std::move(last_access)), name, &handle);
  if (!status.ok()) return StoreError(status, path_);
  columns_.push_back(handle);
  return handle;
}

RocksDbDatabase::~RocksDbDatabase() {
  if (db_ == nullptr) return;
  for (rocksdb::ColumnFamilyHandle* column : columns_) {
    // Fails only for a null handle.
    const rocksdb::Status destroyed = db_->DestroyColumnFamilyHandle(column);
    WEIR_CHECK(destroyed.ok());
  }
  // What it says of what was not written does not matter: it is deleted. A folder that stays is
  // deleted with the worker's.
  rocksdb::CancelAllBackgroundWork(db_.get(), /*wait=*/true);
  db_->Close().PermitUncheckedError();
  db_.reset();
  rocksdb::Options options;
  options.env = shared_->env;
  rocksdb::DestroyDB(path_, options).PermitUncheckedError();
}

}  // namespace weir
