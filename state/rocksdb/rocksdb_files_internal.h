#pragma once

#include <rocksdb/env.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "state/backend/state_backend.h"

namespace weir {

// What went wrong with `path`, and what to do.
absl::Status StoreError(const rocksdb::Status& status, const std::string& path);

// Makes the folder and its parents.
absl::Status MakeFolders(rocksdb::Env& env, const std::string& path);
// The folder and the files in it; succeeds if there is none.
absl::Status DeleteFolder(rocksdb::Env& env, const std::string& path);

// Puts these files, but for logs, into an empty folder, by hard links where that can be. kDataLoss:
// one is not what the checkpoint says.
absl::Status FillFolder(rocksdb::Env& env, const StoredFiles& files, const std::string& folder);

// Files as `base` makes them, but that are not forced to the disk: a store ends with its process.
std::unique_ptr<rocksdb::Env> NewUnsyncedEnv(rocksdb::Env& base);

}  // namespace weir
