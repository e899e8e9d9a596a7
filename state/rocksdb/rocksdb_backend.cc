#include "state/rocksdb/rocksdb_backend.h"

#include <rocksdb/slice.h>
#include <rocksdb/utilities/checkpoint.h>

#include <algorithm>
#include <exception>
#include <map>
#include <optional>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "state/rocksdb/rocksdb_store_internal.h"
#include "weir/cached_table.h"
#include "weir/encoding.h"

namespace weir {
namespace {

rocksdb::Slice SliceOf(std::string_view bytes) { return {bytes.data(), bytes.size()}; }
std::string_view ViewOf(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

rocksdb::WriteOptions WithoutLog() {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  return options;
}

// An iterator, which keeps the database and what was in it. Not one of RocksDB's snapshots: once
// one is released, files are compacted only to forget when they were written, and are new to the
// next checkpoint.
class DatabaseView final : public StateView {
 public:
  DatabaseView(std::shared_ptr<RocksDbDatabase> database, rocksdb::ColumnFamilyHandle* column)
      : database_(std::move(database)), it_(database_->db().NewIterator(Options(), column)) {}

  absl::Status Scan(std::string_view from, std::string_view to,
                    absl::FunctionRef<bool(std::string_view, std::string_view)> visit) override {
    for (it_->Seek(SliceOf(from)); it_->Valid() && ViewOf(it_->key()) < to; it_->Next()) {
      if (!visit(ViewOf(it_->key()), ViewOf(it_->value()))) break;
    }
    return StoreError(it_->status(), database_->path());
  }

 private:
  static rocksdb::ReadOptions Options() {
    rocksdb::ReadOptions options;
    // A scan of everything must not drive out what is used.
    options.fill_cache = false;
    options.readahead_size = 1 << 20;
    return options;
  }

  const std::shared_ptr<RocksDbDatabase> database_;
  const std::unique_ptr<rocksdb::Iterator> it_;
};

// A plugin's code, which may throw.
absl::Status Make(absl::AnyInvocable<StateChanges()>& make, StateChanges& changes) {
  try {
    changes = make();
  } catch (const std::exception& error) {
    return absl::InternalError(StrCat("encoding keyed state failed: ", error.what()));
  } catch (...) {
    return absl::InternalError("encoding keyed state failed with an exception of unknown type");
  }
  return absl::OkStatus();
}

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
    WEIR_RETURN_IF_ERROR(database_->CatchUp());
    return database_->Write(column_, changes);
  }
  absl::Status WriteLater(absl::AnyInvocable<StateChanges()> make) override {
    // The database has the work, which so ends with it.
    database_->Defer(
        [database = database_.get(), column = column_, make = std::move(make)]() mutable {
          StateChanges changes;
          if (absl::Status made = Make(make, changes); !made.ok()) return made;
          return database->Write(column, changes.Sorted());
        });
    return absl::OkStatus();
  }
  bool IsBehind() const override { return database_->IsBehind(); }
  absl::Status CatchUp() override { return database_->CatchUp(); }

  absl::Status EraseRange(std::string_view from, std::string_view to) override {
    WEIR_RETURN_IF_ERROR(database_->CatchUp());
    return StoreError(
        database_->db().DeleteRange(WithoutLog(), column_, SliceOf(from), SliceOf(to)),
        database_->path());
  }

  absl::StatusOr<std::unique_ptr<StateView>> View() override {
    WEIR_RETURN_IF_ERROR(database_->CatchUp());
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
  const std::shared_ptr<RocksDbDatabase> database_;
  rocksdb::ColumnFamilyHandle* const column_;
  const std::shared_ptr<RocksDbBackend::Shared> shared_;
  // Null: nothing expires.
  const std::shared_ptr<std::atomic<int64_t>> last_access_;
  std::vector<rocksdb::Slice> slices_;
  std::vector<rocksdb::PinnableSlice> found_;
  std::vector<rocksdb::Status> statuses_;
};

// Hard links to the files of a database, in a folder beside it.
class DatabaseCheckpoint final : public StoreCheckpoint {
 public:
  DatabaseCheckpoint(std::shared_ptr<RocksDbDatabase> database, std::string folder)
      : database_(std::move(database)), folder_(std::move(folder)) {}
  ~DatabaseCheckpoint() override {
    // What stays goes with the worker's folder.
    DeleteFolder(*database_->shared().env, folder_).IgnoreError();
  }

  absl::Status Take() override {
    WEIR_RETURN_IF_ERROR(database_->CatchUp());
    return taken_;
  }
  // In the order of what is written.
  void TakeNow() { taken_ = MakeLinks(); }

  const std::vector<File>& files() const override { return files_; }
  UploadedFiles& uploaded() override { return database_->uploaded(); }

 private:
  absl::Status MakeLinks() {
    rocksdb::Checkpoint* made = nullptr;
    rocksdb::Status status = rocksdb::Checkpoint::Create(&database_->db(), &made);
    if (!status.ok()) return StoreError(status, folder_);
    const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
    status = checkpoint->CreateCheckpoint(folder_);
    if (!status.ok()) return StoreError(status, folder_);
    rocksdb::Env& env = *database_->shared().env;
    std::vector<std::string> names;
    status = env.GetChildren(folder_, &names);
    if (!status.ok()) return StoreError(status, folder_);
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
      // Options are ours whatever a file says.
      if (name == "." || name == ".." || name.starts_with("OPTIONS")) continue;
      File& file = files_.emplace_back();
      file.name = name;
      file.path = StrCat(folder_, "/", name);
      file.immutable = name.ends_with(".sst");
      status = env.GetFileSize(file.path, &file.bytes);
      if (!status.ok()) return StoreError(status, folder_);
    }
    return absl::OkStatus();
  }

  const std::shared_ptr<RocksDbDatabase> database_;
  const std::string folder_;
  // Written by TakeNow, read after CatchUp.
  absl::Status taken_;
  std::vector<File> files_;
};

// Opens its database with the first column: most operators have no state.
class DatabaseStore final : public OperatorStore {
 public:
  DatabaseStore(std::shared_ptr<RocksDbBackend::Shared> shared, std::string path)
      : shared_(std::move(shared)), path_(std::move(path)) {}

  absl::Status OpenParts(const StoredParts& parts) {
    WEIR_ASSIGN_OR_RETURN(database_, RocksDbDatabase::OpenParts(shared_, path_, parts));
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<StateColumn>> OpenColumn(const std::string& state,
                                                          ColumnLayout layout) override {
    if (database_ == nullptr) {
      WEIR_ASSIGN_OR_RETURN(database_, RocksDbDatabase::Open(shared_, path_, nullptr));
    }
    WEIR_ASSIGN_OR_RETURN(const RocksDbDatabase::Column column,
                          database_->AddColumn(state, layout));
    return std::unique_ptr<StateColumn>(
        std::make_unique<DatabaseColumn>(database_, column.handle, shared_, column.last_access));
  }

  absl::StatusOr<std::shared_ptr<StoreCheckpoint>> Checkpoint() override {
    if (database_ == nullptr) return std::shared_ptr<StoreCheckpoint>();
    auto checkpoint =
        std::make_shared<DatabaseCheckpoint>(database_, StrCat(path_, "-links-", ++checkpoints_));
    // Nobody may wait for it any more by then. Why it fails is told to whoever takes it.
    database_->Defer([weak = std::weak_ptr<DatabaseCheckpoint>(checkpoint)] {
      if (const auto taken = weak.lock(); taken != nullptr) taken->TakeNow();
      return absl::OkStatus();
    });
    return std::shared_ptr<StoreCheckpoint>(std::move(checkpoint));
  }

 private:
  const std::shared_ptr<RocksDbBackend::Shared> shared_;
  const std::string path_;
  std::shared_ptr<RocksDbDatabase> database_;
  uint64_t checkpoints_ = 0;
};

class DatabaseState final : public StoredState {
 public:
  explicit DatabaseState(std::shared_ptr<RocksDbDatabase> database)
      : database_(std::move(database)) {}

  absl::Status ReadKeyGroup(const std::string& state, uint32_t key_group,
                            std::string& out) override {
    const RocksDbDatabase::Column* const column = database_->FindColumn(state);
    if (column == nullptr) return absl::OkStatus();
    std::string from;
    std::string to;
    internal::AppendKeyGroup(key_group, from);
    internal::AppendKeyGroup(key_group + 1, to);
    DatabaseView view(database_, column->handle);
    internal::StoredKeyGroup entries(column->layout);
    bool damaged = false;
    WEIR_RETURN_IF_ERROR(view.Scan(from, to, [&](std::string_view key, std::string_view value) {
      damaged = !entries.Add(key.substr(from.size()), value);
      return !damaged;
    }));
    if (damaged) {
      return absl::DataLossError(StrCat("state '", state, "' has a malformed entry in RocksDB"));
    }
    entries.AppendTo(out);
    return absl::OkStatus();
  }

 private:
  const std::shared_ptr<RocksDbDatabase> database_;
};

}  // namespace

RocksDbBackend::RocksDbBackend(Options options) : shared_(std::make_shared<Shared>()) {
  shared_->options = std::move(options);
  shared_->env = NewUnsyncedEnv(shared_->options.env != nullptr ? *shared_->options.env
                                                                : *rocksdb::Env::Default());
  shared_->block_cache = rocksdb::NewLRUCache(shared_->options.memory_bytes, /*num_shard_bits=*/-1,
                                              /*strict_capacity_limit=*/false,
                                              /*high_pri_pool_ratio=*/0.5);
  // What is buffered takes its room in the cache: one budget.
  shared_->write_buffers = std::make_shared<rocksdb::WriteBufferManager>(
      shared_->options.memory_bytes / 2, shared_->block_cache);
}
RocksDbBackend::~RocksDbBackend() = default;

absl::StatusOr<std::unique_ptr<OperatorStore>> RocksDbBackend::Open(uint32_t node, uint32_t subtask,
                                                                    const StoredParts* parts) {
  auto store = std::make_unique<DatabaseStore>(
      shared_, StrCat(shared_->options.directory, "/", node, "-", subtask, "-", shared_->stores++));
  if (parts != nullptr) WEIR_RETURN_IF_ERROR(store->OpenParts(*parts));
  return std::unique_ptr<OperatorStore>(std::move(store));
}

absl::StatusOr<std::shared_ptr<StoredState>> RocksDbBackend::Read(const StoredFiles& files) {
  const std::string path = StrCat(shared_->options.directory, "/restored-", ++shared_->folders);
  WEIR_ASSIGN_OR_RETURN(auto database, RocksDbDatabase::Open(shared_, path, &files));
  return std::shared_ptr<StoredState>(std::make_shared<DatabaseState>(std::move(database)));
}

}  // namespace weir
