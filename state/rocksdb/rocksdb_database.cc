#include <rocksdb/compaction_filter.h>
#include <rocksdb/convenience.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "state/rocksdb/rocksdb_ingestion_internal.h"
#include "state/rocksdb/rocksdb_store_internal.h"
#include "weir/time.h"

namespace weir {
namespace {

// How the names of column families begin, before that of the state: as many bytes for each layout.
constexpr size_t kPrefixBytes = 4;
std::string_view PrefixOf(ColumnLayout layout) {
  switch (layout) {
    case ColumnLayout::kEntries:
      return "all:";
    case ColumnLayout::kExpiring:
      return "ttl:";
    case ColumnLayout::kSlices:
      return "win:";
  }
  WEIR_CHECK(false);
}
ColumnLayout LayoutOf(std::string_view name) {
  for (const ColumnLayout layout : {ColumnLayout::kExpiring, ColumnLayout::kSlices}) {
    if (name.starts_with(PrefixOf(layout))) return layout;
  }
  return ColumnLayout::kEntries;
}

std::string_view KindOf(ColumnLayout layout) {
  switch (layout) {
    case ColumnLayout::kEntries:
      return "as entries without a TTL";
    case ColumnLayout::kExpiring:
      return "with a TTL";
    case ColumnLayout::kSlices:
      return "as windows";
  }
  WEIR_CHECK(false);
}

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

rocksdb::Slice SliceOf(std::string_view bytes) { return {bytes.data(), bytes.size()}; }

rocksdb::WriteOptions WithoutLog() {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  return options;
}

rocksdb::DBOptions DatabaseOptions(const RocksDbBackend::Shared& shared) {
  rocksdb::DBOptions options;
  options.env = shared.env.get();
  options.create_if_missing = true;
  options.write_buffer_manager = shared.write_buffers;
  // One thread writes and reads, others only compact.
  options.allow_concurrent_memtable_write = false;
  // One thread merges, and another only when that cannot keep up: what is young need not wait for a
  // long merge of everything. More of them take more memory than they save time.
  options.max_background_jobs = 3;
  options.max_open_files = 1'000;
  // Others would be started for each column, for files that are few and have just been read.
  options.max_file_opening_threads = 1;
  options.keep_log_file_num = 1;
  options.info_log_level = rocksdb::WARN_LEVEL;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  // Files say nothing of the host.
  options.db_host_id = "";
  // Every checkpoint has a copy of it.
  options.max_manifest_file_size = 1 << 20;
  return options;
}

// Each file that is begun smaller is merged once more.
size_t BufferBytes(const RocksDbBackend::Shared& shared) {
  return std::clamp<size_t>(shared.options.memory_bytes / 4, 64 << 10, 64 << 20);
}

rocksdb::ColumnFamilyOptions ColumnOptions(
    const RocksDbBackend::Shared& shared, ColumnLayout layout,
    std::shared_ptr<const std::atomic<int64_t>> last_access) {
  rocksdb::ColumnFamilyOptions options;
  options.write_buffer_size = BufferBytes(shared);
  options.max_write_buffer_number = 3;
  // Most keys that are read are not in what is buffered, which this says without a search.
  options.memtable_whole_key_filtering = true;
  options.memtable_prefix_bloom_size_ratio = 0.02;
  if (const size_t bytes = FilteredPrefixBytes(layout); bytes > 0)
    options.prefix_extractor.reset(rocksdb::NewFixedPrefixTransform(bytes));
  options.target_file_size_base = std::clamp<size_t>(options.write_buffer_size, 2 << 20, 64 << 20);
  // Files are merged with those of about their size: a checkpoint's small ones not with a level of
  // many times as much, each few checkpoints, and an entry is written anew half as often. Older
  // entries and what has been erased may take as much room on the disk as what is there.
  options.compaction_style = rocksdb::kCompactionStyleUniversal;
  options.compaction_options_universal.max_size_amplification_percent = 100;
  // Merging eight files at a time costs two fifths less than four: what is merged into files of
  // all sizes is written less often. A look asks the filters of more of them.
  options.level0_file_num_compaction_trigger = 8;
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

rocksdb::ColumnFamilyOptions ScratchOptions(const RocksDbBackend::Shared& shared) {
  rocksdb::ColumnFamilyOptions options = ColumnOptions(shared, ColumnLayout::kEntries, nullptr);
  // What is read once, in its order, and then goes is hardly worth merging: many files are read
  // side by side.
  options.level0_file_num_compaction_trigger = 32;
  options.level0_slowdown_writes_trigger = 64;
  options.level0_stop_writes_trigger = 128;
  return options;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RocksDbDatabase>> RocksDbDatabase::Open(
    std::shared_ptr<RocksDbBackend::Shared> shared, std::string path, const StoredFiles* files) {
  rocksdb::Env& env = *shared->env;
  // What is there of the same name is of a process that has died.
  WEIR_RETURN_IF_ERROR(DeleteFolder(env, path));
  WEIR_RETURN_IF_ERROR(MakeFolders(env, path));
  std::unique_ptr<RocksDbDatabase> opened(new RocksDbDatabase(shared, std::move(path)));
  if (files != nullptr) WEIR_RETURN_IF_ERROR(FillFolder(env, *files, opened->path_));
  const rocksdb::DBOptions options = DatabaseOptions(*shared);
  std::vector<std::string> names = {rocksdb::kDefaultColumnFamilyName};
  if (files != nullptr) {
    const rocksdb::Status listed = rocksdb::DB::ListColumnFamilies(options, opened->path_, &names);
    if (!listed.ok()) return StoreError(listed, opened->path_);
  }
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  std::vector<Column> columns;
  for (const std::string& name : names) {
    Column& column = columns.emplace_back();
    column.layout = LayoutOf(name);
    if (column.layout == ColumnLayout::kExpiring)
      column.last_access = std::make_shared<std::atomic<int64_t>>(kMinTicks);
    descriptors.emplace_back(name, ColumnOptions(*shared, column.layout, column.last_access));
  }
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status =
      rocksdb::DB::Open(options, opened->path_, descriptors, &handles, &db);
  if (!status.ok()) return StoreError(status, opened->path_);
  opened->db_.reset(db);
  for (size_t i = 0; i < names.size(); ++i) {
    columns[i].handle = handles[i];
    if (names[i] == rocksdb::kDefaultColumnFamilyName) {
      opened->default_column_ = handles[i];
    } else {
      opened->columns_[names[i].substr(kPrefixBytes)] = std::move(columns[i]);
    }
  }
  return opened;
}

absl::StatusOr<rocksdb::ColumnFamilyHandle*> RocksDbDatabase::AddScratch(const std::string& name) {
  Column& column = columns_[name];
  const rocksdb::Status status =
      db_->CreateColumnFamily(ScratchOptions(*shared_), name, &column.handle);
  if (!status.ok()) {
    columns_.erase(name);
    return StoreError(status, path_);
  }
  return column.handle;
}

absl::StatusOr<RocksDbDatabase::Column> RocksDbDatabase::AddColumn(const std::string& state,
                                                                   ColumnLayout layout) {
  if (const Column* found = FindColumn(state); found != nullptr) {
    if (found->layout == layout) return *found;
    return absl::FailedPreconditionError(
        StrCat("state '", state, "' was stored ", KindOf(found->layout), ", not ", KindOf(layout)));
  }
  Column column;
  column.layout = layout;
  if (layout == ColumnLayout::kExpiring)
    column.last_access = std::make_shared<std::atomic<int64_t>>(kMinTicks);
  const rocksdb::Status status =
      db_->CreateColumnFamily(ColumnOptions(*shared_, layout, column.last_access),
                              StrCat(PrefixOf(layout), state), &column.handle);
  if (!status.ok()) return StoreError(status, path_);
  columns_[state] = column;
  return column;
}

bool RocksDbDatabase::MakesFile(size_t bytes, bool flushed_soon) const {
  // A checkpoint would make a file of what is buffered, however little that is.
  constexpr size_t kWorthAFile = 256 << 10;
  if (bytes < (flushed_soon ? kWorthAFile : BufferBytes(*shared_) / 2)) return false;
  // What is buffered waits for merges that are late, and a file would not.
  uint64_t delayed = 0;
  uint64_t stopped = 0;
  return db_->GetIntProperty(rocksdb::DB::Properties::kActualDelayedWriteRate, &delayed) &&
         db_->GetIntProperty(rocksdb::DB::Properties::kIsWriteStopped, &stopped) && delayed == 0 &&
         stopped == 0;
}

absl::Status RocksDbDatabase::Write(rocksdb::ColumnFamilyHandle* column, SortedChanges& changes,
                                    bool flushed_soon) {
  if (MakesFile(changes.bytes(), flushed_soon)) {
    RocksDbIngestion file(*this, column, /*lasting=*/false);
    for (auto some = changes.Next(); !some.empty(); some = changes.Next()) {
      for (const StateChange& change : some)
        WEIR_RETURN_IF_ERROR(
            file.Append(SliceOf(change.key), SliceOf(change.value), change.erases));
    }
    return file.Ingest();
  }
  // Batches of a size that RocksDB's memory can take one after the other.
  constexpr size_t kBatchBytes = 1 << 20;
  rocksdb::WriteBatch batch;
  rocksdb::Status status;
  for (auto some = changes.Next(); status.ok() && !some.empty(); some = changes.Next()) {
    for (size_t i = 0; status.ok() && i < some.size(); ++i) {
      const StateChange& change = some[i];
      status = change.erases ? batch.Delete(column, SliceOf(change.key))
                             : batch.Put(column, SliceOf(change.key), SliceOf(change.value));
      if (status.ok() && batch.GetDataSize() >= kBatchBytes) {
        status = db_->Write(WithoutLog(), &batch);
        batch.Clear();
      }
    }
  }
  if (status.ok() && batch.Count() > 0) status = db_->Write(WithoutLog(), &batch);
  return StoreError(status, path_);
}

absl::Status RocksDbDatabase::EraseRange(rocksdb::ColumnFamilyHandle* column, std::string_view from,
                                         std::string_view to) {
  return StoreError(
      db_->DeleteRange(WithoutLog(), column, {from.data(), from.size()}, {to.data(), to.size()}),
      path_);
}

absl::Status RocksDbDatabase::DropRange(rocksdb::ColumnFamilyHandle* column, std::string_view from,
                                        std::string_view to) {
  const rocksdb::Slice begin(from.data(), from.size());
  const rocksdb::Slice end(to.data(), to.size());
  const rocksdb::RangePtr range(&begin, &end);
  const rocksdb::Status status =
      rocksdb::DeleteFilesInRanges(db_.get(), column, &range, 1, /*include_end=*/false);
  WEIR_RETURN_IF_ERROR(StoreError(status, path_));
  // The rest is hidden.
  return EraseRange(column, from, to);
}

const RocksDbDatabase::Column* RocksDbDatabase::FindColumn(const std::string& state) const {
  const auto found = columns_.find(state);
  return found != columns_.end() ? &found->second : nullptr;
}

RocksDbDatabase::~RocksDbDatabase() {
  if (db_ != nullptr) {
    const auto release = [this](rocksdb::ColumnFamilyHandle* column) {
      // Fails only for a null handle.
      const rocksdb::Status destroyed = db_->DestroyColumnFamilyHandle(column);
      WEIR_CHECK(destroyed.ok());
    };
    for (const auto& [state, column] : columns_) release(column.handle);
    release(default_column_);
    // What it says of what was not written does not matter: it is deleted.
    rocksdb::CancelAllBackgroundWork(db_.get(), /*wait=*/true);
    db_->Close().PermitUncheckedError();
    db_.reset();
  }
  // A folder that stays is deleted with the worker's.
  DeleteFolder(*shared_->env, path_).IgnoreError();
}

}  // namespace weir
