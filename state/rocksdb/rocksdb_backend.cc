#include "state/rocksdb/rocksdb_backend.h"

#include <rocksdb/slice.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <optional>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "state/rocksdb/rocksdb_checkpoint_internal.h"
#include "state/rocksdb/rocksdb_databases_internal.h"
#include "state/rocksdb/rocksdb_scratch_internal.h"
#include "weir/cached_table.h"
#include "weir/encoding.h"
#include "weir/stored_entries.h"

namespace weir {
namespace {

rocksdb::Slice SliceOf(std::string_view bytes) { return {bytes.data(), bytes.size()}; }
std::string_view ViewOf(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

// Not one of RocksDB's snapshots: once one is released, files are compacted only to forget when
// they were written, and are new to the next checkpoint.
std::unique_ptr<rocksdb::Iterator> NewIterator(RocksDbDatabase& database,
                                               rocksdb::ColumnFamilyHandle* column) {
  rocksdb::ReadOptions options;
  // A scan of everything must not drive out what is used.
  options.fill_cache = false;
  options.total_order_seek = true;
  options.readahead_size = 1 << 20;
  return std::unique_ptr<rocksdb::Iterator>(database.db().NewIterator(options, column));
}

// False: `visit` wants no more.
absl::StatusOr<bool> Scan(const RocksDbDatabase& database, rocksdb::Iterator& it,
                          std::string_view from, std::string_view to,
                          absl::FunctionRef<bool(std::string_view, std::string_view)> visit) {
  bool goes_on = true;
  for (it.Seek(SliceOf(from)); goes_on && it.Valid() && ViewOf(it.key()) < to; it.Next())
    goes_on = visit(ViewOf(it.key()), ViewOf(it.value()));
  WEIR_RETURN_IF_ERROR(StoreError(it.status(), database.path()));
  return goes_on;
}

// Whether all with from <= key < to begin with the same prefix that filters know.
bool HasOnePrefix(ColumnLayout layout, std::string_view from, std::string_view to) {
  const size_t bytes = FilteredPrefixBytes(layout);
  return bytes > 0 && from.size() >= bytes && to <= internal::EndOf(from.substr(0, bytes));
}

// Iterators, which keep the databases and what was in them.
class DatabaseView final : public StateView {
 public:
  DatabaseView(std::shared_ptr<RocksDbDatabases> databases, const RocksDbColumns& columns)
      : databases_(std::move(databases)) {
    for (size_t i = 0; i < columns.size(); ++i)
      iterators_.push_back(NewIterator((*databases_)[i], columns[i].handle));
  }

  absl::Status Scan(std::string_view from, std::string_view to,
                    absl::FunctionRef<bool(std::string_view, std::string_view)> visit) override {
    const auto [begin, end] = databases_->Between(from, to);
    bool goes_on = true;
    for (size_t i = begin; goes_on && i < end; ++i) {
      WEIR_ASSIGN_OR_RETURN(goes_on, weir::Scan((*databases_)[i], *iterators_[i], from, to, visit));
    }
    return absl::OkStatus();
  }

 private:
  const std::shared_ptr<RocksDbDatabases> databases_;
  std::vector<std::unique_ptr<rocksdb::Iterator>> iterators_;
};

// With a plugin's code in it, which may throw.
absl::Status Guard(absl::FunctionRef<absl::Status()> encode) {
  try {
    return encode();
  } catch (const std::exception& error) {
    return absl::InternalError(StrCat("encoding keyed state failed: ", error.what()));
  } catch (...) {
    return absl::InternalError("encoding keyed state failed with an exception of unknown type");
  }
}

class DatabaseColumn final : public StateColumn {
 public:
  DatabaseColumn(std::string state, std::shared_ptr<RocksDbDatabases> databases,
                 RocksDbColumns columns, std::shared_ptr<RocksDbBackend::Shared> shared)
      : state_(std::move(state)),
        databases_(std::move(databases)),
        columns_(std::make_shared<const RocksDbColumns>(std::move(columns))),
        memory_(std::move(shared)) {}

  absl::StatusOr<bool> Get(std::string_view key, std::string& value) override {
    const size_t index = databases_->IndexOf(key);
    RocksDbDatabase& database = (*databases_)[index];
    const rocksdb::Status status =
        database.db().Get({}, (*columns_)[index].handle, SliceOf(key), &value);
    if (status.IsNotFound()) return false;
    if (!status.ok()) return StoreError(status, database.path());
    return true;
  }

  absl::Status MultiGet(std::span<const std::string_view> keys,
                        std::vector<std::optional<std::string>>& values) override {
    values.resize(keys.size());
    absl::Status result;
    for (size_t index = 0; result.ok() && index < columns_->size(); ++index) {
      positions_.clear();
      for (size_t i = 0; i < keys.size(); ++i) {
        if (databases_->IndexOf(keys[i]) == index) positions_.push_back(i);
      }
      if (!positions_.empty()) result = MultiGetOf(index, keys, values);
    }
    return result;
  }

  using StateColumn::Write;
  absl::Status Write(SortedChanges& changes) override {
    WEIR_RETURN_IF_ERROR(databases_->CatchUp());
    return databases_->Write(state_, *columns_, changes, /*flushed_soon=*/false);
  }
  absl::Status WriteLater(std::unique_ptr<SortedChanges> changes) override {
    // The databases have the work, which so ends with them.
    databases_->Defer([databases = databases_.get(), state = state_, columns = columns_,
                       changes = std::move(changes)] {
      return Guard(
          [&] { return databases->Write(state, *columns, *changes, /*flushed_soon=*/true); });
    });
    return absl::OkStatus();
  }
  absl::Status LogLater(absl::AnyInvocable<StateChanges()> make) override {
    databases_->Defer(
        [databases = databases_.get(), state = state_, make = std::move(make)]() mutable {
          return Guard([&] {
            databases->logs().Make(state, make(), *databases);
            return absl::OkStatus();
          });
        });
    return absl::OkStatus();
  }
  // They are in memory, too, until others are.
  bool TakesLog(size_t bytes) const override { return bytes <= memory_.Share() / 8; }
  bool IsBehind() const override { return databases_->IsBehind(); }
  absl::Status CatchUp() override { return databases_->CatchUp(); }

  absl::Status EraseRange(std::string_view from, std::string_view to) override {
    WEIR_RETURN_IF_ERROR(databases_->CatchUp());
    return databases_->EraseRange(state_, *columns_, from, to);
  }

  absl::Status Scan(std::string_view from, std::string_view to,
                    absl::FunctionRef<bool(std::string_view, std::string_view)> visit) override {
    WEIR_RETURN_IF_ERROR(databases_->CatchUp());
    const rocksdb::Slice upper = SliceOf(to);
    rocksdb::ReadOptions options;
    options.iterate_upper_bound = &upper;
    const auto [begin, end] = databases_->Between(from, to);
    bool goes_on = true;
    for (size_t i = begin; goes_on && i < end; ++i) {
      RocksDbDatabase& database = (*databases_)[i];
      const RocksDbDatabase::Column& column = (*columns_)[i];
      options.total_order_seek = !HasOnePrefix(column.layout, from, to);
      const std::unique_ptr<rocksdb::Iterator> it(
          database.db().NewIterator(options, column.handle));
      WEIR_ASSIGN_OR_RETURN(goes_on, weir::Scan(database, *it, from, to, visit));
    }
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<StateView>> View() override {
    WEIR_RETURN_IF_ERROR(databases_->CatchUp());
    return std::unique_ptr<StateView>(std::make_unique<DatabaseView>(databases_, *columns_));
  }

  void ExpireThrough(Ticks last_access) override {
    for (const RocksDbDatabase::Column& column : *columns_) {
      if (column.last_access != nullptr)
        column.last_access->store(last_access, std::memory_order_relaxed);
    }
  }
  size_t cache_bytes() const override { return memory_.Share(); }
  uint64_t EstimatedEntries() const override {
    uint64_t all = 0;
    for (size_t i = 0; i < columns_->size(); ++i) {
      uint64_t entries = 0;
      const bool known = (*databases_)[i].db().GetIntProperty(
          (*columns_)[i].handle, rocksdb::DB::Properties::kEstimateNumKeys, &entries);
      if (known) all += entries;
    }
    return all;
  }

 private:
  // Those at positions_, which are of one database.
  absl::Status MultiGetOf(size_t index, std::span<const std::string_view> keys,
                          std::vector<std::optional<std::string>>& values) {
    RocksDbDatabase& database = (*databases_)[index];
    const size_t count = positions_.size();
    slices_.clear();
    for (const size_t position : positions_) slices_.push_back(SliceOf(keys[position]));
    found_.resize(std::max(found_.size(), count));
    statuses_.resize(count);
    database.db().MultiGet({}, (*columns_)[index].handle, count, slices_.data(), found_.data(),
                           statuses_.data(), /*sorted_input=*/false);
    absl::Status result;
    for (size_t i = 0; i < count; ++i) {
      std::optional<std::string>& value = values[positions_[i]];
      if (statuses_[i].ok()) {
        if (!value.has_value()) value.emplace();
        value->assign(found_[i].data(), found_[i].size());
      } else {
        value.reset();
        if (!statuses_[i].IsNotFound() && result.ok())
          result = StoreError(statuses_[i], database.path());
      }
      found_[i].Reset();
    }
    return result;
  }

  const std::string state_;
  const std::shared_ptr<RocksDbDatabases> databases_;
  // Also of writes that are deferred.
  const std::shared_ptr<const RocksDbColumns> columns_;
  const DecodedMemory memory_;
  std::vector<size_t> positions_;
  std::vector<rocksdb::Slice> slices_;
  std::vector<rocksdb::PinnableSlice> found_;
  std::vector<rocksdb::Status> statuses_;
};

// Opens its databases with the first column: most operators have no state.
class DatabaseStore final : public OperatorStore {
 public:
  DatabaseStore(std::shared_ptr<RocksDbBackend::Shared> shared, std::string path)
      : shared_(std::move(shared)),
        path_(std::move(path)),
        scratch_(std::make_shared<RocksDbScratch>(shared_, StrCat(path_, "-scratch"))) {}

  absl::Status OpenParts(const StoredParts& parts) {
    WEIR_ASSIGN_OR_RETURN(databases_, RocksDbDatabases::Open(shared_, path_, &parts));
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<StateColumn>> OpenColumn(const std::string& state,
                                                          ColumnLayout layout) override {
    if (databases_ == nullptr) {
      WEIR_ASSIGN_OR_RETURN(databases_, RocksDbDatabases::Open(shared_, path_, nullptr));
    }
    WEIR_ASSIGN_OR_RETURN(RocksDbColumns columns, databases_->AddColumn(state, layout));
    return std::unique_ptr<StateColumn>(
        std::make_unique<DatabaseColumn>(state, databases_, std::move(columns), shared_));
  }

  absl::StatusOr<std::unique_ptr<StateScratch>> OpenScratch(const std::string& name) override {
    return RocksDbScratch::OpenColumn(scratch_, name);
  }

  absl::StatusOr<std::shared_ptr<StoreCheckpoint>> Checkpoint() override {
    if (databases_ == nullptr) return std::shared_ptr<StoreCheckpoint>();
    return RocksDbCheckpoint::Defer(databases_);
  }

 private:
  const std::shared_ptr<RocksDbBackend::Shared> shared_;
  const std::string path_;
  std::shared_ptr<RocksDbDatabases> databases_;
  const std::shared_ptr<RocksDbScratch> scratch_;
};

class DatabaseState final : public StoredState {
 public:
  explicit DatabaseState(std::shared_ptr<RocksDbDatabases> databases)
      : databases_(std::move(databases)) {}

  absl::Status ReadKeyGroup(const std::string& state, uint32_t key_group,
                            std::string& out) override {
    std::string from;
    std::string to;
    internal::AppendKeyGroup(key_group, from);
    internal::AppendKeyGroup(key_group + 1, to);
    RocksDbDatabase& database = (*databases_)[databases_->IndexOf(from)];
    const RocksDbDatabase::Column* const column = database.FindColumn(state);
    if (column == nullptr) return absl::OkStatus();
    const auto iterator = NewIterator(database, column->handle);
    internal::StoredKeyGroup entries(column->layout);
    const auto add = [&](std::string_view key, std::string_view value) {
      return entries.Add(key.substr(from.size()), value);
    };
    WEIR_ASSIGN_OR_RETURN(const bool sound, Scan(database, *iterator, from, to, add));
    if (!sound) {
      return absl::DataLossError(StrCat("state '", state, "' has a malformed entry in RocksDB"));
    }
    entries.AppendTo(out);
    return absl::OkStatus();
  }

 private:
  const std::shared_ptr<RocksDbDatabases> databases_;
};

}  // namespace

RocksDbBackend::RocksDbBackend(Options options) : shared_(std::make_shared<Shared>()) {
  shared_->options = std::move(options);
  shared_->env = NewUnsyncedEnv(shared_->options.env != nullptr ? *shared_->options.env
                                                                : *rocksdb::Env::Default());
  // A shard has room for the filters of several files: with more of them, filters are read and
  // dropped by turns.
  constexpr int kShardBits = 2;
  shared_->block_cache = rocksdb::NewLRUCache(shared_->options.memory_bytes, kShardBits,
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
  constexpr KeyGroupRange kAll = {0, std::numeric_limits<uint16_t>::max()};
  const StoredParts parts = {{kAll, kAll, files}};
  WEIR_ASSIGN_OR_RETURN(auto databases, RocksDbDatabases::Open(shared_, path, &parts));
  return std::shared_ptr<StoredState>(std::make_shared<DatabaseState>(std::move(databases)));
}

}  // namespace weir
