#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/env/file_system.h"

namespace weir::jobmanager {

// Takes the leadership of what is kept in `directory`: an epoch that is higher than every one
// before it, durable when this returns. Blocks. kDataLoss if the file that keeps it was damaged:
// starting over at 1 would let old messages pass as new. Not safe against another process in the
// same folder; the caller holds its lock.
absl::StatusOr<uint64_t> TakeLeaderEpoch(FileSystem& files, const std::string& directory);

}  // namespace weir::jobmanager
