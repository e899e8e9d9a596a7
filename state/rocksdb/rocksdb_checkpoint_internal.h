#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "state/backend/state_backend.h"
#include "state/rocksdb/rocksdb_logs_internal.h"

namespace weir {

class RocksDbDatabases;

// Hard links to the files of the databases of a store at one moment, in folders beside theirs,
// which are deleted with it. Outlives no database's environment.
class RocksDbLinks {
 public:
  // `number`: not that of other links of the store.
  static absl::StatusOr<std::shared_ptr<const RocksDbLinks>> Make(RocksDbDatabases& databases,
                                                                  uint64_t number);
  RocksDbLinks(const RocksDbLinks&) = delete;
  RocksDbLinks& operator=(const RocksDbLinks&) = delete;
  ~RocksDbLinks();

  const std::vector<StoreCheckpoint::File>& files() const { return files_; }

 private:
  explicit RocksDbLinks(rocksdb::Env& env) : env_(env) {}
  absl::Status Add(RocksDbDatabases& databases, size_t index, std::string folder);

  rocksdb::Env& env_;
  std::vector<std::string> folders_;
  std::vector<StoreCheckpoint::File> files_;
};

// Links to the files of the databases, and beside them the logs of the columns.
class RocksDbCheckpoint final : public StoreCheckpoint {
 public:
  // Of what was written and deferred before.
  static std::shared_ptr<StoreCheckpoint> Defer(std::shared_ptr<RocksDbDatabases> databases);

  absl::Status Take() override;
  const std::vector<File>& files() const override { return files_; }
  UploadedFiles& uploaded() override;

 private:
  explicit RocksDbCheckpoint(std::shared_ptr<RocksDbDatabases> databases)
      : databases_(std::move(databases)) {}
  // In the order of what is written.
  void TakeNow();

  const std::shared_ptr<RocksDbDatabases> databases_;
  // Written by TakeNow, read after CatchUp.
  absl::Status taken_;
  std::shared_ptr<const RocksDbLinks> links_;
  std::vector<File> files_;
};

}  // namespace weir
