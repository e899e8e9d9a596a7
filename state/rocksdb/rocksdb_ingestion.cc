#include <cstdint>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "state/rocksdb/rocksdb_ingestion_internal.h"

namespace weir {
namespace {

// Bounds what is lost to a file that is begun and never full.
constexpr uint64_t kFileBytes = 64 << 20;

}  // namespace

RocksDbIngestion::RocksDbIngestion(RocksDbDatabase& database, rocksdb::ColumnFamilyHandle* column,
                                   bool lasting)
    : database_(database), column_(column), options_(database.db().GetOptions(column)) {
  // A filter is for what is merged.
  options_.compaction_filter_factory = nullptr;
  if (!lasting) {
    options_.compression_per_level.clear();
    options_.compression = rocksdb::kNoCompression;
  }
}

absl::Status RocksDbIngestion::Append(const rocksdb::Slice& key, const rocksdb::Slice& value,
                                      bool erases) {
  if (writer_ == nullptr) {
    // What was written is read again soon: by a checkpoint, and by a merge.
    writer_ = std::make_unique<rocksdb::SstFileWriter>(rocksdb::EnvOptions(), options_, nullptr,
                                                       /*invalidate_page_cache=*/false);
    const std::string path = StrCat(database_.path(), "/ingested-", paths_.size(), ".sst");
    WEIR_RETURN_IF_ERROR(StoreError(writer_->Open(path), database_.path()));
    paths_.push_back(path);
  }
  WEIR_RETURN_IF_ERROR(
      StoreError(erases ? writer_->Delete(key) : writer_->Put(key, value), database_.path()));
  return writer_->FileSize() < kFileBytes ? absl::OkStatus() : Finish();
}

absl::Status RocksDbIngestion::Finish() {
  const auto writer = std::move(writer_);
  return StoreError(writer->Finish(), database_.path());
}

absl::Status RocksDbIngestion::Ingest() {
  if (writer_ != nullptr) WEIR_RETURN_IF_ERROR(Finish());
  if (paths_.empty()) return absl::OkStatus();
  // RocksDB 7.8 itself does this only for keys between those of the files. What stayed buffered
  // would become a file later than these and with older entries: if these are merged with what is
  // older still before, that is taken for corruption.
  rocksdb::FlushOptions flushing;
  flushing.allow_write_stall = true;
  WEIR_RETURN_IF_ERROR(StoreError(database_.db().Flush(flushing, column_), database_.path()));
  rocksdb::IngestExternalFileOptions options;
  options.move_files = true;
  options.write_global_seqno = false;
  const rocksdb::Status status = database_.db().IngestExternalFile(column_, paths_, options);
  paths_.clear();
  return StoreError(status, database_.path());
}

}  // namespace weir
