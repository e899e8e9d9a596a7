#pragma once

#include <string>

#include "absl/status/status.h"
#include "common/base/id.h"
#include "common/env/file_system.h"
#include "jobmanager/checkpoint/checkpoint_surroundings.h"
#include "state/store/checkpoint_store.h"

namespace weir::proto {
class JobRecord;
}

namespace weir::jobmanager {

// Deletes what `leftovers` says from the folder of a job. Safe while tasks of the live attempt
// write: what they write, and a folder made for it, is not touched, at whatever time it appears.
// Blocks. Stops at the first error of the file system; what is left stays for another call.
absl::Status DeleteLeftoverFiles(FileSystem& files, CheckpointStore& store, const JobId& job,
                                 const Leftovers& leftovers);

// Deletes all that lies in the folder of a job that has ended, and whose checkpoints were deleted
// or kept then, but for the checkpoints that its record names; then the folder if nothing is left.
// `directory` is that of its checkpoints. Nothing is there: OK. Blocks. An error if a checkpoint
// that is kept cannot be read: nothing is deleted then, as what it refers to is not known.
absl::Status DeleteLeftoversOfEnded(FileSystem& files, const std::string& directory,
                                    const JobId& job, const proto::JobRecord& record);

// Those of a job that has ended, which are all that may be left of it; what is not empty stays.
void DeleteEmptyFolders(FileSystem& files, CheckpointStore& store, const JobId& job);

}  // namespace weir::jobmanager
