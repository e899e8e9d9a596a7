#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/env/file_system.h"
#include "runtime/task_state.h"
#include "taskmanager/checkpoint/task_snapshots.h"

namespace weir {

class StateFileWriter;

// Writes the key groups that are not empty. begin(key_group) says where to, and has begun it there.
// What encodes the records is the job's code: kInternal with the state's name if that throws.
absl::Status WriteKeyGroups(const std::string& uid, uint32_t subtask,
                            const OperatorState::Keyed& keyed,
                            absl::FunctionRef<absl::StatusOr<StateFileWriter*>(uint32_t)> begin);

// Writes the keyed states of checkpoint.increment, which must have a value, to a file of their own
// in the job's folder of shared files, durably; none if nothing has changed. `told` gets that file
// and those it builds on, oldest first, and their bytes. Blocks. Errors are those of
// WriteTaskSnapshot; then the file is deleted if that can be done.
absl::Status WriteIncrement(FileSystem& files, const SnapshotPlace& place,
                            const proto::JobGraph& graph, TaskCheckpoint& checkpoint,
                            proto::TaskSnapshot& told);

}  // namespace weir
