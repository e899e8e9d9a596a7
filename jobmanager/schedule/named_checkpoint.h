#pragma once

#include "absl/status/statusor.h"
#include "common/env/file_system.h"
#include "jobmanager/checkpoint/completed_checkpoints.h"

namespace weir::proto {
class JobRecord_Checkpoint;
}

namespace weir::jobmanager {

// Reads the metadata of a checkpoint that a job's record names. Blocks. kDataLoss: it is damaged,
// or another one lies in its folder. Else as CheckpointFolder::ReadMetadata.
absl::StatusOr<FoundCheckpoint> ReadNamed(FileSystem& files,
                                          const proto::JobRecord_Checkpoint& named);

}  // namespace weir::jobmanager
