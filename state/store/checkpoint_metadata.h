#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace weir {

namespace proto {
class CheckpointMetadata;
}

// What `_metadata` holds: a header, a CheckpointMetadata and a digest; byte by byte in
// docs/FORMATS.md ("Checkpoints"). Nothing here blocks.

// Version 2 has records in flight, which version 1 has not.
inline constexpr uint32_t kCheckpointMetadataVersion = 2;
inline constexpr std::string_view kCheckpointMetadataMagic = "WEIRCHK\n";
inline constexpr size_t kCheckpointMetadataHeaderBytes = 24;
inline constexpr uint64_t kMaxCheckpointMetadataBytes = 256 << 20;

// What StateFile.name begins with if the file lies beside the checkpoint's folder, for several
// checkpoints.
inline constexpr std::string_view kSharedPrefix = "shared/";
// What the name of a file in the checkpoint's own folder ends with.
inline constexpr std::string_view kStateFileSuffix = ".state";

// "<name>.state", or "shared/<name>"; names have no "/" and no control characters, and are not "."
// or "..". So a name never leads out of the job's folder.
bool IsStateFileName(std::string_view name);

// Of the format in which the metadata is written.
uint32_t CheckpointMetadataVersionOf(const proto::CheckpointMetadata& metadata);

// kInvalidArgument says what is wrong: ids of another length, a name of a file that is not allowed
// or not unique, a shared file in a savepoint, an index out of range, a subtask missing, uids or
// operator ids that are not unique, parallelism out of range. What passes can be indexed without
// another check.
absl::Status ValidateCheckpointMetadata(const proto::CheckpointMetadata& metadata);

// kInvalidArgument if DecodeCheckpointMetadata would refuse the result.
absl::StatusOr<std::string> EncodeCheckpointMetadata(const proto::CheckpointMetadata& metadata);

// kDataLoss: what is wrong with the bytes, or with what they mean (ValidateCheckpointMetadata).
// kFailedPrecondition: a newer version of Weir wrote them. Then `metadata` is empty. Total: no
// input makes it crash, or allocate more than a small multiple of its size.
absl::Status DecodeCheckpointMetadata(std::string_view bytes, proto::CheckpointMetadata* metadata);

}  // namespace weir
