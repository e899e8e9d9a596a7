#include <rocksdb/convenience.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_writer.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "state/rocksdb/rocksdb_store_internal.h"
#include "weir/cached_table.h"

namespace weir {
namespace {

rocksdb::WriteOptions WithoutLog() {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  return options;
}

// With what the keys of a key group begin; of all after the last key group, for it and one.
std::string PrefixOf(uint32_t key_group) {
  std::string prefix;
  internal::AppendKeyGroup(key_group, prefix);
  return prefix;
}

// Key groups [first, last) go: files that have no others at once, the rest is hidden by a range.
absl::Status Erase(RocksDbDatabase& database, const RocksDbDatabase::Column& column, uint32_t first,
                   uint32_t last) {
  if (first >= last) return absl::OkStatus();
  const std::string from = PrefixOf(first);
  const std::string to = PrefixOf(last);
  const rocksdb::Slice begin(from);
  const rocksdb::Slice end(to);
  const rocksdb::RangePtr range(&begin, &end);
  rocksdb::Status status = rocksdb::DeleteFilesInRanges(&database.db(), column.handle, &range, 1,
                                                        /*include_end=*/false);
  if (status.ok()) status = database.db().DeleteRange(WithoutLog(), column.handle, begin, end);
  return StoreError(status, database.path());
}

// Takes the key groups of one state out of a database and into another that has none of them.
class ColumnMove {
 public:
  // Bounds what is lost to a file that is begun and never full.
  static constexpr uint64_t kFileBytes = 64 << 20;

  ColumnMove(RocksDbDatabase& to, const RocksDbDatabase::Column& column)
      : to_(to), column_(column), options_(to.db().GetOptions(column.handle)) {
    // What is ingested has been filtered where it was.
    options_.compaction_filter_factory = nullptr;
  }

  absl::Status Move(RocksDbDatabase& from, const RocksDbDatabase::Column& column,
                    KeyGroupRange keeps) {
    const std::string begin = PrefixOf(keeps.first);
    const std::string end = PrefixOf(keeps.last + 1);
    const rocksdb::Slice upper(end);
    rocksdb::ReadOptions reading;
    reading.iterate_upper_bound = &upper;
    reading.fill_cache = false;
    reading.readahead_size = 2 << 20;
    const std::unique_ptr<rocksdb::Iterator> it(from.db().NewIterator(reading, column.handle));
    for (it->Seek(begin); it->Valid(); it->Next()) {
      WEIR_RETURN_IF_ERROR(Append(it->key(), it->value()));
    }
    WEIR_RETURN_IF_ERROR(StoreError(it->status(), from.path()));
    return Ingest();
  }

 private:
  absl::Status Append(const rocksdb::Slice& key, const rocksdb::Slice& value) {
    if (writer_ == nullptr) {
      writer_ = std::make_unique<rocksdb::SstFileWriter>(rocksdb::EnvOptions(), options_);
      const std::string path = StrCat(to_.path(), "/moved-", paths_.size(), ".sst");
      WEIR_RETURN_IF_ERROR(StoreError(writer_->Open(path), to_.path()));
      paths_.push_back(path);
    }
    WEIR_RETURN_IF_ERROR(StoreError(writer_->Put(key, value), to_.path()));
    return writer_->FileSize() < kFileBytes ? absl::OkStatus() : Finish();
  }
  absl::Status Finish() {
    const auto writer = std::move(writer_);
    return StoreError(writer->Finish(), to_.path());
  }
  absl::Status Ingest() {
    if (writer_ != nullptr) WEIR_RETURN_IF_ERROR(Finish());
    if (paths_.empty()) return absl::OkStatus();
    rocksdb::IngestExternalFileOptions options;
    options.move_files = true;
    options.write_global_seqno = false;
    const rocksdb::Status status = to_.db().IngestExternalFile(column_.handle, paths_, options);
    paths_.clear();
    return StoreError(status, to_.path());
  }

  RocksDbDatabase& to_;
  const RocksDbDatabase::Column& column_;
  rocksdb::Options options_;
  std::unique_ptr<rocksdb::SstFileWriter> writer_;
  std::vector<std::string> paths_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<RocksDbDatabase>> RocksDbDatabase::OpenParts(
    std::shared_ptr<RocksDbBackend::Shared> shared, std::string path, const StoredParts& parts) {
  WEIR_CHECK(!parts.empty());
  const auto largest = std::max_element(
      parts.begin(), parts.end(),
      [](const StoredPart& a, const StoredPart& b) { return a.keeps.size() < b.keeps.size(); });
  WEIR_ASSIGN_OR_RETURN(auto database, Open(shared, path, &largest->files));
  for (const auto& [state, column] : database->columns()) {
    WEIR_RETURN_IF_ERROR(Erase(*database, column, largest->had.first, largest->keeps.first));
    WEIR_RETURN_IF_ERROR(Erase(*database, column, largest->keeps.last + 1, largest->had.last + 1));
  }
  for (auto part = parts.begin(); part != parts.end(); ++part) {
    if (part == largest) continue;
    const auto number = part - parts.begin();
    WEIR_ASSIGN_OR_RETURN(const auto other,
                          Open(shared, StrCat(path, "-part-", number), &part->files));
    for (const auto& [state, column] : other->columns()) {
      WEIR_ASSIGN_OR_RETURN(const Column into, database->AddColumn(state, column.layout));
      WEIR_RETURN_IF_ERROR(ColumnMove(*database, into).Move(*other, column, part->keeps));
    }
  }
  return database;
}

}  // namespace weir
