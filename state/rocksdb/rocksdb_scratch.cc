#include <rocksdb/iterator.h>
#include <rocksdb/options.h>
#include <rocksdb/slice.h>

#include <utility>

#include "common/base/status_macros.h"
#include "state/rocksdb/rocksdb_files_internal.h"
#include "state/rocksdb/rocksdb_scratch_internal.h"

namespace weir {
namespace {

class ScratchColumn final : public StateScratch {
 public:
  ScratchColumn(std::shared_ptr<RocksDbScratch> scratch, std::string name)
      : scratch_(std::move(scratch)), name_(std::move(name)), memory_(scratch_->shared()) {}

  absl::Status Write(std::span<const StateChange> changes) override {
    if (column_ == nullptr) {
      WEIR_RETURN_IF_ERROR(scratch_->Make());
      WEIR_ASSIGN_OR_RETURN(column_, scratch_->database()->AddScratch(name_));
    }
    // What comes at once is much, and in order.
    GivenChanges given(changes);
    return scratch_->database()->Write(column_, given, /*flushed_soon=*/true);
  }

  absl::Status Scan(std::string_view from, std::string_view to,
                    absl::FunctionRef<bool(std::string_view, std::string_view)> visit) override {
    if (column_ == nullptr) return absl::OkStatus();
    const rocksdb::Slice upper(to.data(), to.size());
    rocksdb::ReadOptions options;
    options.iterate_upper_bound = &upper;
    // It is read once, from many files.
    options.fill_cache = false;
    RocksDbDatabase& database = *scratch_->database();
    const std::unique_ptr<rocksdb::Iterator> it(database.db().NewIterator(options, column_));
    bool goes_on = true;
    for (it->Seek({from.data(), from.size()}); goes_on && it->Valid(); it->Next()) {
      goes_on =
          visit({it->key().data(), it->key().size()}, {it->value().data(), it->value().size()});
    }
    return StoreError(it->status(), database.path());
  }

  absl::Status EraseRange(std::string_view from, std::string_view to) override {
    if (column_ == nullptr) return absl::OkStatus();
    return scratch_->database()->DropRange(column_, from, to);
  }

  size_t cache_bytes() const override { return memory_.Share(); }

 private:
  const std::shared_ptr<RocksDbScratch> scratch_;
  const std::string name_;
  const DecodedMemory memory_;
  // Null: nothing was written.
  rocksdb::ColumnFamilyHandle* column_ = nullptr;
};

}  // namespace

std::unique_ptr<StateScratch> RocksDbScratch::OpenColumn(std::shared_ptr<RocksDbScratch> scratch,
                                                         std::string name) {
  return std::make_unique<ScratchColumn>(std::move(scratch), std::move(name));
}

absl::Status RocksDbScratch::Make() {
  if (database_ != nullptr) return absl::OkStatus();
  WEIR_ASSIGN_OR_RETURN(database_, RocksDbDatabase::Open(shared_, path_, nullptr));
  return absl::OkStatus();
}

}  // namespace weir
