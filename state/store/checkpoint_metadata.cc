#include "state/store/checkpoint_metadata.h"

#include <algorithm>
#include <limits>
#include <set>

#include "absl/strings/escaping.h"
#include "common/base/hash.h"
#include "common/base/id.h"
#include "common/base/little_endian.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/checkpoint.pb.h"
#include "proto/validate/job_graph.h"
#include "state/store/in_flight_edges.h"

namespace weir {
namespace {

constexpr size_t kMaxFileNameBytes = 255;
constexpr size_t kDigestBytes = 8;

std::string Quoted(std::string_view text) {
  return StrCat("'", absl::Utf8SafeCEscape(ToAbsl(text.substr(0, 128))), "'");
}

template <class... Args>
absl::Status Invalid(const Args&... args) {
  return absl::InvalidArgumentError(StrCat(args...));
}

absl::Status ValidateFiles(const proto::CheckpointMetadata& metadata) {
  constexpr uint64_t kMaxTotalBytes = std::numeric_limits<int64_t>::max();
  std::set<std::string_view> names;
  uint64_t total = 0;
  for (const proto::StateFile& file : metadata.files()) {
    if (!IsStateFileName(file.name())) {
      return Invalid("the name of a file ", Quoted(file.name()), " is not allowed");
    }
    if (!names.insert(file.name()).second) {
      return Invalid("the file ", Quoted(file.name()), " is there twice");
    }
    if (metadata.kind() == proto::SAVEPOINT && file.name().starts_with(kSharedPrefix)) {
      return Invalid("a savepoint refers to the file ", Quoted(file.name()), " outside of it");
    }
    if (file.bytes() > kMaxTotalBytes - total) {
      return Invalid("the file ", Quoted(file.name()), " has ", file.bytes(), " bytes");
    }
    total += file.bytes();
  }
  return absl::OkStatus();
}

absl::Status ValidateSubtasks(const proto::OperatorCheckpoint& op, uint32_t file_count) {
  for (uint32_t i = 0; i < op.parallelism(); ++i) {
    const proto::SubtaskState& subtask = op.subtasks(static_cast<int>(i));
    if (subtask.subtask() != i) {
      return Invalid("operator ", Quoted(op.uid()), " has subtask ", subtask.subtask(),
                     " in the place of ", i);
    }
    std::set<uint32_t> files;
    for (const uint32_t file : subtask.files()) {
      if (file >= file_count || !files.insert(file).second) {
        return Invalid("subtask ", i, " of operator ", Quoted(op.uid()), " refers to file ", file,
                       " of ", file_count, file < file_count ? " twice" : "");
      }
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateOperators(const proto::CheckpointMetadata& metadata) {
  std::set<std::string_view> uids;
  std::set<std::string_view> ids;
  for (const proto::OperatorCheckpoint& op : metadata.operators()) {
    const std::string name = Quoted(op.uid());
    if (op.uid().empty()) return Invalid("an operator has no uid");
    if (!uids.insert(op.uid()).second) return Invalid("operator ", name, " is there twice");
    if (op.operator_id().size() != OperatorId::kBytes) {
      return Invalid("the id of operator ", name, " has ", op.operator_id().size(), " bytes");
    }
    if (!ids.insert(op.operator_id()).second) {
      return Invalid("operator ", name, " has the id of another one");
    }
    if (op.parallelism() == 0 || op.parallelism() > metadata.max_parallelism()) {
      return Invalid("operator ", name, " has parallelism ", op.parallelism(), " of at most ",
                     metadata.max_parallelism());
    }
    if (static_cast<uint32_t>(op.subtasks_size()) != op.parallelism()) {
      return Invalid("operator ", name, " has ", op.subtasks_size(), " subtasks at parallelism ",
                     op.parallelism());
    }
    for (const proto::StateDescriptor& state : op.states()) {
      if (state.name().empty()) return Invalid("a state of operator ", name, " has no name");
    }
    for (const proto::InFlightEdge& edge : op.in_flight()) {
      if (edge.from_uid() != op.uid() && edge.to_uid() != op.uid()) {
        return Invalid("operator ", name, " has records in flight of an edge that is not its own");
      }
      if (metadata.kind() == proto::SAVEPOINT) {
        return Invalid("a savepoint has records in flight at operator ", name);
      }
    }
    WEIR_RETURN_IF_ERROR(ValidateSubtasks(op, static_cast<uint32_t>(metadata.files_size())));
  }
  return absl::OkStatus();
}

// The message within `bytes`, once all around it is right.
absl::StatusOr<std::string_view> Unframe(std::string_view bytes) {
  if (!bytes.starts_with(kCheckpointMetadataMagic.substr(0, bytes.size()))) {
    return absl::DataLossError("it is no checkpoint metadata");
  }
  if (bytes.size() < kCheckpointMetadataHeaderBytes + kDigestBytes) {
    return absl::DataLossError(StrCat("it is truncated: it has only ", bytes.size(), " bytes"));
  }
  const auto version = LoadLittleEndian<uint32_t>(bytes.data() + 8);
  if (version > kCheckpointMetadataVersion) {
    return absl::FailedPreconditionError(
        StrCat("it was written by a newer version of Weir (format ", version,
               ", this one reads up to ", kCheckpointMetadataVersion, "); use that version"));
  }
  if (version == 0) return absl::DataLossError("it has the format version 0");
  const size_t before_digest = bytes.size() - kDigestBytes;
  const auto length = LoadLittleEndian<uint64_t>(bytes.data() + 16);
  if (length != before_digest - kCheckpointMetadataHeaderBytes) {
    return absl::DataLossError(StrCat("it is truncated or too long: ", length,
                                      " bytes announced in a file of ", bytes.size()));
  }
  if (LoadLittleEndian<uint64_t>(bytes.data() + before_digest) !=
      Hash64(bytes.substr(0, before_digest))) {
    return absl::DataLossError("it has a wrong digest");
  }
  if (LoadLittleEndian<uint32_t>(bytes.data() + 12) != 0) {
    return absl::DataLossError("unknown flags");
  }
  return bytes.substr(kCheckpointMetadataHeaderBytes, length);
}

}  // namespace

uint32_t CheckpointMetadataVersionOf(const proto::CheckpointMetadata& metadata) {
  return HasInFlight(metadata) ? kCheckpointMetadataVersion : 1;
}

bool IsStateFileName(std::string_view name) {
  if (name.starts_with(kSharedPrefix)) {
    name.remove_prefix(kSharedPrefix.size());
  } else if (!name.ends_with(kStateFileSuffix)) {
    return false;
  }
  if (name.empty() || name.size() > kMaxFileNameBytes || name == "." || name == "..") return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return c != '/' && static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
  });
}

absl::Status ValidateCheckpointMetadata(const proto::CheckpointMetadata& metadata) {
  if (metadata.job_id().size() != JobId::kBytes) {
    return Invalid("the job's id has ", metadata.job_id().size(), " bytes");
  }
  if (metadata.checkpoint_id() == 0) return Invalid("the checkpoint has no id");
  if (metadata.kind() != proto::CHECKPOINT && metadata.kind() != proto::SAVEPOINT) {
    return Invalid("unknown kind of checkpoint ", static_cast<int>(metadata.kind()));
  }
  if (metadata.max_parallelism() == 0 || metadata.max_parallelism() > kMaxGraphMaxParallelism) {
    return Invalid("the maximum parallelism is ", metadata.max_parallelism());
  }
  WEIR_RETURN_IF_ERROR(ValidateFiles(metadata));
  return ValidateOperators(metadata);
}

absl::StatusOr<std::string> EncodeCheckpointMetadata(const proto::CheckpointMetadata& metadata) {
  std::string bytes(kCheckpointMetadataMagic);
  AppendLittleEndian(bytes, CheckpointMetadataVersionOf(metadata));
  AppendLittleEndian(bytes, uint32_t{0});
  const uint64_t length = metadata.ByteSizeLong();
  if (length > kMaxCheckpointMetadataBytes - kCheckpointMetadataHeaderBytes - kDigestBytes) {
    return Invalid("the metadata has ", length, " bytes; at most ", kMaxCheckpointMetadataBytes,
                   " are allowed");
  }
  AppendLittleEndian(bytes, length);
  if (!metadata.AppendToString(&bytes)) return Invalid("the metadata cannot be serialized");
  AppendLittleEndian(bytes, Hash64(bytes));
  // Also finds what Protobuf writes but does not read, such as a name that is not UTF-8.
  proto::CheckpointMetadata again;
  const absl::Status status = DecodeCheckpointMetadata(bytes, &again);
  if (!status.ok()) return absl::InvalidArgumentError(status.message());
  return bytes;
}

absl::Status DecodeCheckpointMetadata(std::string_view bytes, proto::CheckpointMetadata* metadata) {
  metadata->Clear();
  WEIR_ASSIGN_OR_RETURN(const std::string_view message, Unframe(bytes));
  proto::CheckpointMetadata parsed;
  if (!parsed.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    return absl::DataLossError("its message cannot be parsed");
  }
  if (LoadLittleEndian<uint32_t>(bytes.data() + 8) != CheckpointMetadataVersionOf(parsed)) {
    return absl::DataLossError("its version is not that of its content");
  }
  const absl::Status valid = ValidateCheckpointMetadata(parsed);
  if (!valid.ok()) return absl::DataLossError(valid.message());
  metadata->Swap(&parsed);
  return absl::OkStatus();
}

}  // namespace weir
