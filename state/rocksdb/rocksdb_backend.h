#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "state/backend/state_backend.h"

namespace rocksdb {
class Env;
}

namespace weir {

// Keyed state in RocksDB: one database for each operator of each subtask, in a folder of its own,
// one column family a state; after a restore from several subtasks, one for each of them. Durable
// is only what snapshots take from it: there is no write-ahead log, and the folders are deleted
// with the stores.
//
// Errors name the folder and what to do: kResourceExhausted (disk full), kPermissionDenied,
// kDataLoss (a file is damaged), kUnavailable (I/O error).
class RocksDbBackend final : public StateBackend {
 public:
  struct Options {
    // Absolute; made if it is not there. Nobody else uses it.
    std::string directory;
    // For blocks read from files and for what is not written to files yet, of all stores together.
    size_t memory_bytes = 256 << 20;
    // For decoded values, of all stores together.
    size_t decoded_bytes = 256 << 20;
    // Null: the system's files and threads. Outlives the backend.
    rocksdb::Env* env = nullptr;
  };

  explicit RocksDbBackend(Options options);
  ~RocksDbBackend() override;

  absl::StatusOr<std::unique_ptr<OperatorStore>> Open(uint32_t node, uint32_t subtask,
                                                      const StoredParts* parts) override;
  absl::StatusOr<std::shared_ptr<StoredState>> Read(const StoredFiles& files) override;

  // What all stores share; for the stores.
  struct Shared;

 private:
  const std::shared_ptr<Shared> shared_;
};

}  // namespace weir
