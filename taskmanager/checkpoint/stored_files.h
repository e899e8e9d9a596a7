#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/env/file_system.h"
#include "state/backend/state_backend.h"
#include "state/snapshot/state_file_writer.h"
#include "taskmanager/checkpoint/task_snapshots.h"

namespace weir {

namespace proto {
class TaskSnapshot;
class TaskSnapshot_OperatorSnapshot;
}  // namespace proto

// An entry of a section of one of the kinds IsOfStore (docs/FORMATS.md), without `path`.
std::string EncodeStoredFile(const StoredFile& file);
// kDataLoss: malformed, or a name that is none, or a log where the kind of the section has none.
absl::StatusOr<StoredFile> DecodeStoredFile(std::string_view bytes, StateKind kind);

// What the name of a shared file begins with, unique in the job: the writing attempt and task, and
// the checkpoint.
std::string SharedFilePrefix(const SnapshotPlace& place, const TaskCheckpoint& checkpoint,
                             uint32_t node);

// The kind of the section that names these files.
StateKind StoreKindOf(const StoreCheckpoint& store);

// Writes the files of a store, which is taken: those that no complete checkpoint has to the job's
// folder of shared files, durably; then a section of `writer` that names all. `told` gets the
// shared files, and `of_operator` their indices. Blocks. Errors are the file system's.
absl::Status WriteStore(FileSystem& files, const SnapshotPlace& place, const std::string& prefix,
                        const std::string& uid, StoreCheckpoint& store, uint64_t checkpoint_id,
                        StateFileWriter& writer, proto::TaskSnapshot& told,
                        proto::TaskSnapshot_OperatorSnapshot& of_operator);

}  // namespace weir
