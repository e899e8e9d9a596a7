#pragma once

#include <rocksdb/env.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "state/backend/state_backend.h"
#include "state/rocksdb/rocksdb_store_internal.h"
#include "weir/state_store.h"

namespace weir {

class RocksDbDatabases;

// What the columns of a store have logged (StateColumn::LogLater): of each the last log, as a file
// for each database that it is about (docs/FORMATS.md, "The log of a column"), in memory. Used by
// what a store defers, and by its thread once that is done.
class RocksDbLogs {
 public:
  // Of one database.
  struct File {
    // In the store; no other log of it has or had it.
    std::string name;
    std::shared_ptr<const std::string> content;
  };

  RocksDbLogs() = default;
  RocksDbLogs(const RocksDbLogs&) = delete;
  RocksDbLogs& operator=(const RocksDbLogs&) = delete;

  // In place of what the column had logged before. The databases are those of the store.
  void Make(const std::string& state, const StateChanges& changes,
            const RocksDbDatabases& databases);
  void End(const std::string& state) { logs_.erase(state); }
  // Of all columns.
  std::vector<File> All() const;

 private:
  uint64_t last_ = 0;
  std::map<std::string, std::vector<File>> logs_;
};

// Writes the entries of a log that a checkpoint has to their column of the database, which has what
// was stored then. kDataLoss: it is damaged, and how.
absl::Status StoreLog(rocksdb::Env& env, const StoredFile& log, RocksDbDatabase& database);

}  // namespace weir
