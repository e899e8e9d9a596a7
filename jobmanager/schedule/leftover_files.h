#pragma once

#include <string>

#include "absl/status/status.h"
#include "common/base/id.h"
#include "common/env/file_system.h"
#include "jobmanager/checkpoint/checkpoint_surroundings.h"
#include "state/store/checkpoint_store.h"

namespace weir::jobmanager {

// Deletes what `leftovers` says from the folder of a job, `job_directory`. Safe while tasks of the
// live attempt write: what they write, and a folder made for it, is not touched, at whatever time
// it appears. Blocks. Stops at the first error of the file system; what is left stays for another
// call.
absl::Status DeleteLeftoverFiles(FileSystem& files, CheckpointStore& store, const JobId& job,
                                 const std::string& job_directory, const Leftovers& leftovers);

}  // namespace weir::jobmanager
