#pragma once

#include <rocksdb/options.h>
#include <rocksdb/sst_file_writer.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "state/rocksdb/rocksdb_store_internal.h"

namespace weir {

// Entries of one column that are written to files and put into the database as those, so that they
// are neither buffered nor sorted again. Owned by one thread; what is not ingested is left in the
// database's folder.
class RocksDbIngestion {
 public:
  // `lasting`: files are compressed as what the database keeps, not as what it soon merges.
  RocksDbIngestion(RocksDbDatabase& database, rocksdb::ColumnFamilyHandle* column, bool lasting);

  // The keys ascend from call to call. `erases`: what is there of the key goes.
  absl::Status Append(const rocksdb::Slice& key, const rocksdb::Slice& value, bool erases);
  // After what was written to the column before. It can be used again.
  absl::Status Ingest();

 private:
  absl::Status Finish();

  RocksDbDatabase& database_;
  rocksdb::ColumnFamilyHandle* const column_;
  rocksdb::Options options_;
  std::unique_ptr<rocksdb::SstFileWriter> writer_;
  std::vector<std::string> paths_;
};

}  // namespace weir
