#include "state/rocksdb/rocksdb_backend.h"

#include <rocksdb/slice.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <map>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "state/rocksdb/rocksdb_store_internal.h"

namespace weir {
namespace {

rocksdb::Slice SliceOf(std::string_view bytes) { return {bytes.data(), bytes.size()}; }
std::string_view ViewOf(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

rocksdb::WriteOptions WithoutLog() {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  return options;
}

// A RocksDB snapshot, which keeps the database.
class DatabaseView final : public StateView {
 public:
  DatabaseView(std::shared_ptr<RocksDbDatabase> database, rocksdb::ColumnFamilyHandle* column)
      : database_(std::move(database)), column_(column), snapshot_(database_->db().GetSnapshot()) {}
  ~DatabaseView() override { database_->db().ReleaseSnapshot(snapshot_); }

  absl::Status Scan(std::string_view from, std::string_view to,
                    absl::FunctionRef<bool(std::string_view, std::string_view)> visit) override {
    const rocksdb::Slice end = SliceOf(to);
    rocksdb::ReadOptions options;
    options.snapshot = snapshot_;
    options.iterate_upper_bound = &end;
    // A scan of everything must not drive out what is used.
    options.fill_cache = false;
    options.readahead_size = 1 << 20;
    const std::unique_ptr<rocksdb::Iterator> it(database_->db().NewIterator(options, column_));
    for (it->Seek(SliceOf(from)); it->Valid(); it->Next()) {
      if (!visit(ViewOf(it->key()), ViewOf(it->value()))) break;
    }
    return StoreError(it->status(), database_->path());
  }

 private:
  const std::shared_ptr<RocksDbDatabase> database_;
  rocksdb::ColumnFamilyHandle* const column_;
  const rocksdb::Snapshot* const snapshot_;
};

class DatabaseColumn final : public StateColumn {
 public:
  DatabaseColumn(std::shared_ptr<RocksDbDatabase> database, rocksdb::ColumnFamilyHandle* column,
                 std::shared_ptr<RocksDbBackend::Shared> shared,
                 std::shared_ptr<std::atomic<int64_t>> last_access)
      : database_(std::move(database)),
        column_(column),
        shared_(std::move(shared)),
        last_access_(std::move(last_access)) {
    ++shared_->columns;
  }
  ~DatabaseColumn() override { --shared_->columns; }

  absl::StatusOr<bool> Get(std::string_view key, std::string& value) override {
    const rocksdb::Status status = database_->db().Get({}, column_, SliceOf(key), &value);
    if (status.IsNotFound()) return false;
    if (!status.ok()) return StoreError(status, database_->path());
    return true;
  }

  absl::Status MultiGet(std::span<const std::string_view> keys,
                        std::vector<std::optional<std::string>>& values) override {
    slices_.clear();
    for (const std::string_view key : keys) slices_.push_back(SliceOf(key));
    found_.resize(keys.size());
    statuses_.resize(keys.size());
    database_->db().MultiGet({}, column_, keys.size(), slices_.data(), found_.data(),
                             statuses_.data(), /*sorted_input=*/false);
    values.resize(keys.size());
    absl::Status result;
    for (size_t i = 0; i < keys.size(); ++i) {
      if (statuses_[i].ok()) {
        if (!values[i].has_value()) values[i].emplace();
        values[i]->assign(found_[i].data(), found_[i].size());
      } else {
        values[i].reset();
        if (!statuses_[i].IsNotFound() && result.ok())
          result = StoreError(statuses_[i], database_->path());
      }
      found_[i].Reset();
    }
    return result;
  }

  absl::Status Write(std::span<const StateChange> changes) override {
    // Batches of a size that RocksDB's memory can take one after the other.
    constexpr size_t kBatchBytes = 1 << 20;
    rocksdb::WriteBatch batch;
    for (const StateChange& change : changes) {
      const rocksdb::Status added =
          change.erases ? batch.Delete(column_, SliceOf(change.key))
                        : batch.Put(column_, SliceOf(change.key), SliceOf(change.value));
      if (!added.ok()) return StoreError(added, database_->path());
      if (batch.GetDataSize() >= kBatchBytes) WEIR_RETURN_IF_ERROR(WriteBatch(batch));
    }
    return WriteBatch(batch);
  }

  absl::Status EraseRange(std::string_view from, std::string_view to) override {
    return StoreError(
        database_->db().DeleteRange(WithoutLog(), column_, SliceOf(from), SliceOf(to)),
        database_->path());
  }

  absl::StatusOr<std::unique_ptr<StateView>> View() override {
    return std::unique_ptr<StateView>(std::make_unique<DatabaseView>(database_, column_));
  }

  void ExpireThrough(Ticks last_access) override {
    if (last_access_ != nullptr) last_access_->store(last_access, std::memory_order_relaxed);
  }
  size_t cache_bytes() const override {
    return shared_->options.decoded_bytes / std::max<size_t>(shared_->columns.load(), 1);
  }
  uint64_t EstimatedEntries() const override {
    uint64_t entries = 0;
    const bool known = database_->db().GetIntProperty(
        column_, rocksdb::DB::Properties::kEstimateNumKeys, &entries);
    return known ? entries : 0;
  }

 private:
  absl::Status WriteBatch(rocksdb::WriteBatch& batch) {
    if (batch.Count() == 0) return absl::OkStatus();
    const rocksdb::Status status = database_->db().Write(WithoutLog(), &batch);
    batch.Clear();
    return StoreError(status, database_->path());
  }

  const std::shared_ptr<RocksDbDatabase> database_;
  rocksdb::ColumnFamilyHandle* const column_;
  const std::shared_ptr<RocksDbBackend::Shared> shared_;
  // Null: nothing expires.
  const std::shared_ptr<std::atomic<int64_t>> last_access_;
  std::vector<rocksdb::Slice> slices_;
  std::vector<rocksdb::PinnableSlice> found_;
  std::vector<rocksdb::Status> statuses_;
};

// Opens its database with the first column: most operators have no state.
class DatabaseStore final : public StateStore {
 public:
  DatabaseStore(std::shared_ptr<RocksDbBackend::Shared> shared, std::string path)
      : shared_(std::move(shared)), path_(std::move(path)) {}

  absl::StatusOr<std::unique_ptr<StateColumn>> OpenColumn(const std::string& state,
                                                          bool expires) override {
    if (database_ == nullptr) {
      WEIR_ASSIGN_OR_RETURN(database_, RocksDbDatabase::Open(shared_, path_));
    }
    std::shared_ptr<std::atomic<int64_t>> last_access;
    if (expires) last_access = std::make_shared<std::atomic<int64_t>>(kMinTicks);
    WEIR_ASSIGN_OR_RETURN(rocksdb::ColumnFamilyHandle * column,
                          database_->AddColumn(state, last_access));
    return std::unique_ptr<StateColumn>(
        std::make_unique<DatabaseColumn>(database_, column, shared_, std::move(last_access)));
  }

 private:
  const std::shared_ptr<RocksDbBackend::Shared> shared_;
  const std::string path_;
  std::shared_ptr<RocksDbDatabase> database_;
};

}  // namespace

RocksDbBackend::RocksDbBackend(Options options) : shared_(std::make_shared<Shared>()) {
  shared_->options = std::move(options);
  shared_->env = shared_->options.env != nullptr ? shared_->options.env : rocksdb::Env::Default();
  shared_->block_cache = rocksdb::NewLRUCache(shared_->options.memory_bytes, /*num_shard_bits=*/-1,
                                              /*strict_capacity_limit=*/false,
                                              /*high_pri_pool_ratio=*/0.1);
  // What is buffered takes its room in the cache: one budget.
  shared_->write_buffers = std::make_shared<rocksdb::WriteBufferManager>(
      shared_->options.memory_bytes / 2, shared_->block_cache);
}
RocksDbBackend::~RocksDbBackend() = default;

absl::StatusOr<std::unique_ptr<StateStore>> RocksDbBackend::Open(uint32_t node, uint32_t subtask) {
  return std::unique_ptr<StateStore>(std::make_unique<DatabaseStore>(
      shared_, StrCat(shared_->options.directory, "/", node, "-", subtask)));
}

}  // namespace weir
