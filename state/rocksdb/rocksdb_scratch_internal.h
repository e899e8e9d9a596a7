#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "state/rocksdb/rocksdb_store_internal.h"

namespace weir {

// The database of what one operator of one subtask puts aside, beside those of its state; made when
// something is, deleted with the last that holds it. Of the task's thread.
class RocksDbScratch {
 public:
  // `path`: of its folder.
  RocksDbScratch(std::shared_ptr<RocksDbBackend::Shared> shared, std::string path)
      : shared_(std::move(shared)), path_(std::move(path)) {}

  static std::unique_ptr<StateScratch> OpenColumn(std::shared_ptr<RocksDbScratch> scratch,
                                                  std::string name);

  const std::shared_ptr<RocksDbBackend::Shared>& shared() const { return shared_; }
  // Null: nothing was ever put aside.
  RocksDbDatabase* database() const { return database_.get(); }
  absl::Status Make();

 private:
  const std::shared_ptr<RocksDbBackend::Shared> shared_;
  const std::string path_;
  std::unique_ptr<RocksDbDatabase> database_;
};

}  // namespace weir
