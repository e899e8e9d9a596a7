#include "state/store/checkpoint_folder.h"

#include <algorithm>
#include <vector>

#include "common/base/hash.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/checkpoint.pb.h"
#include "state/snapshot/storage_error.h"
#include "state/store/checkpoint_metadata.h"

namespace weir {
namespace {

constexpr size_t kReadBytes = 1 << 20;

std::string ParentOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string_view BaseName(std::string_view path) { return path.substr(path.find_last_of('/') + 1); }

bool IsWeirs(std::string_view name) {
  // The second is what WriteFileAtomically may leave.
  return name == kMetadataFileName || name == StrCat(kMetadataFileName, ".tmp") ||
         name.ends_with(kStateFileSuffix);
}

}  // namespace

std::string StateFileName(uint32_t attempt, uint32_t vertex, uint32_t subtask) {
  return StrCat(attempt, "-", vertex, "-", subtask, kStateFileSuffix);
}

CheckpointFolder::CheckpointFolder(FileSystem& files, std::string path)
    : files_(files), path_(std::move(path)) {
  const auto drop_slashes = [this] {
    while (path_.size() > 1 && path_.ends_with('/')) path_.pop_back();
  };
  drop_slashes();
  if (BaseName(path_) == kMetadataFileName) path_ = ParentOf(path_);
  drop_slashes();
  if (path_.empty()) path_ = ".";
}

std::string CheckpointFolder::FilePath(std::string_view name) const {
  return StrCat(path_, path_ == "/" ? "" : "/", name);
}

absl::Status CheckpointFolder::Prepare() {
  const std::string doing = StrCat("making the folder '", path_, "' of a checkpoint");
  // Those whose names must become durable: the folder, and what of its parents is not there yet.
  std::vector<std::string> parents = {ParentOf(path_)};
  while (absl::IsNotFound(files_.Stat(parents.back()).status()) &&
         parents.back() != ParentOf(parents.back())) {
    parents.push_back(ParentOf(parents.back()));
  }
  WEIR_RETURN_IF_ERROR(StorageError(files_.CreateDirectories(path_), doing));
  for (const std::string& parent : parents) {
    WEIR_RETURN_IF_ERROR(StorageError(files_.SyncDirectory(parent), doing));
  }
  const absl::Status there = files_.Stat(FilePath(kMetadataFileName)).status();
  if (absl::IsNotFound(there)) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(StorageError(there, doing));
  return absl::AlreadyExistsError(StrCat("there is a checkpoint or savepoint in '", path_,
                                         "' already, and none is overwritten; choose another "
                                         "folder"));
}

absl::StatusOr<std::string> CheckpointFolder::StateFilePath(std::string_view name) const {
  if (!IsStateFileName(name)) {
    return absl::InvalidArgumentError(StrCat("'", name, "' cannot be the name of a state file"));
  }
  if (name.starts_with(kSharedPrefix)) return StrCat(ParentOf(path_), "/", name);
  return FilePath(name);
}

absl::StatusOr<std::unique_ptr<StateFileWriter>> CheckpointFolder::CreateStateFile(
    const std::string& name) {
  WEIR_RETURN_IF_ERROR(StateFilePath(name).status());
  return StateFileWriter::Create(files_, path_, name);
}

absl::StatusOr<std::unique_ptr<StateFileReader>> CheckpointFolder::OpenStateFile(
    const std::string& name) {
  WEIR_ASSIGN_OR_RETURN(const std::string path, StateFilePath(name));
  return StateFileReader::Open(files_, path);
}

absl::Status CheckpointFolder::WriteMetadata(const proto::CheckpointMetadata& metadata) {
  const std::string path = FilePath(kMetadataFileName);
  auto bytes = EncodeCheckpointMetadata(metadata);
  if (!bytes.ok()) {
    return absl::InvalidArgumentError(
        StrCat("wrong metadata for '", path, "': ", ToStd(bytes.status().message())));
  }
  const std::string doing = StrCat("completing the checkpoint in '", path_, "'");
  const auto there = ReadFile(files_, path, kMaxCheckpointMetadataBytes);
  if (absl::IsNotFound(there.status())) {
    return StorageError(WriteFileAtomically(files_, path, *bytes), doing);
  }
  if (there.ok() && *there == *bytes) {
    // By an earlier call, which may have failed before the name was durable.
    return StorageError(files_.SyncDirectory(path_), doing);
  }
  if (there.ok() || absl::IsOutOfRange(there.status())) {
    return absl::AlreadyExistsError(
        StrCat(doing, ": there is another one already, and none is overwritten"));
  }
  return StorageError(there.status(), doing);
}

absl::Status CheckpointFolder::ReadMetadata(proto::CheckpointMetadata* metadata) {
  const std::string path = FilePath(kMetadataFileName);
  metadata->Clear();
  const auto bytes = ReadFile(files_, path, kMaxCheckpointMetadataBytes);
  if (absl::IsNotFound(bytes.status())) return ExplainMissingMetadata();
  if (absl::IsOutOfRange(bytes.status())) return absl::DataLossError(bytes.status().message());
  if (!bytes.ok()) return StorageError(bytes.status(), "reading the metadata of a checkpoint");
  const absl::Status status = DecodeCheckpointMetadata(*bytes, metadata);
  if (status.ok()) return status;
  return absl::Status(status.code(), StrCat("the checkpoint's metadata '", path,
                                            "' cannot be used: ", ToStd(status.message())));
}

absl::Status CheckpointFolder::ExplainMissingMetadata() {
  constexpr std::string_view kHowToName =
      "a checkpoint or savepoint is named by its folder or by the _metadata file in it";
  const auto info = files_.Stat(path_);
  if (absl::IsNotFound(info.status())) {
    return absl::NotFoundError(StrCat("there is no folder '", path_, "' on this host; ", kHowToName,
                                      ", and the job manager must see the path"));
  }
  if (!info.ok()) return StorageError(info.status(), "reading the metadata of a checkpoint");
  if (!info->is_directory) {
    return absl::NotFoundError(StrCat("'", path_, "' is a file; ", kHowToName));
  }
  const auto entries = files_.List(path_);
  if (!entries.ok()) return StorageError(entries.status(), "looking for checkpoints");
  for (const FileInfo& entry : *entries) {
    if (entry.is_directory && files_.Stat(StrCat(entry.path, "/", kMetadataFileName)).ok()) {
      return absl::NotFoundError(StrCat("'", path_, "' is no checkpoint, but has some in it: name ",
                                        "one of them, such as '", entry.path, "'"));
    }
  }
  return absl::NotFoundError(StrCat("'", path_, "' is no complete checkpoint or savepoint: it has ",
                                    "no _metadata file, which is written last"));
}

absl::Status CheckpointFolder::CheckFiles(const proto::CheckpointMetadata& metadata,
                                          FileCheck check) {
  for (const proto::StateFile& file : metadata.files()) {
    WEIR_ASSIGN_OR_RETURN(const std::string path, StateFilePath(file.name()));
    const auto damaged = [&](std::string_view what) {
      return absl::DataLossError(StrCat("checkpoint ", metadata.checkpoint_id(), " in '", path_,
                                        "' is damaged: its file '", path, "' ", what));
    };
    const auto info = files_.Stat(path);
    if (absl::IsNotFound(info.status())) {
      return damaged(
          "is missing; if a task manager wrote it, see whether its "
          "execution.checkpointing.dir is the same folder as this host's");
    }
    if (!info.ok()) return StorageError(info.status(), "checking the files of a checkpoint");
    if (info->is_directory) return damaged("is a folder");
    if (info->size_bytes != file.bytes()) {
      return damaged(
          StrCat("has ", info->size_bytes, " bytes, but ", file.bytes(), " were written"));
    }
    if (check == FileCheck::kSize) continue;
    const absl::Status status = CheckDigest(path, file.digest());
    if (absl::IsDataLoss(status)) return damaged(ToStd(status.message()));
    WEIR_RETURN_IF_ERROR(StorageError(status, "checking the files of a checkpoint"));
  }
  return absl::OkStatus();
}

absl::Status CheckpointFolder::CheckDigest(const std::string& path, uint64_t digest) {
  WEIR_ASSIGN_OR_RETURN(const auto file, files_.OpenForRead(path));
  StreamingHash64 hash;
  std::string buffer(kReadBytes, '\0');
  for (uint64_t at = 0;;) {
    WEIR_ASSIGN_OR_RETURN(const size_t got, file->ReadAt(at, buffer.size(), buffer.data()));
    hash.Append(std::string_view(buffer).substr(0, got));
    at += got;
    if (got < buffer.size()) break;
  }
  return hash.Digest() == digest ? absl::OkStatus() : absl::DataLossError("has a wrong digest");
}

absl::Status CheckpointFolder::Delete() {
  const std::string doing = StrCat("deleting the checkpoint in '", path_, "'");
  const absl::Status metadata = files_.Delete(FilePath(kMetadataFileName));
  if (!metadata.ok() && !absl::IsNotFound(metadata)) return StorageError(metadata, doing);
  // Also if it was gone: an earlier call may have failed here. Else a crash could bring it back
  // without the files.
  const absl::Status synced = files_.SyncDirectory(path_);
  if (absl::IsNotFound(synced)) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(StorageError(synced, doing));
  const auto entries = files_.List(path_);
  // Somebody else deletes it too.
  if (absl::IsNotFound(entries.status())) return absl::OkStatus();
  if (!entries.ok()) return StorageError(entries.status(), doing);
  std::string foreign;
  for (const FileInfo& entry : *entries) {
    if (entry.is_directory || !IsWeirs(BaseName(entry.path))) {
      foreign = entry.path;
      continue;
    }
    const absl::Status status = files_.Delete(entry.path);
    if (!status.ok() && !absl::IsNotFound(status)) return StorageError(status, doing);
  }
  if (!foreign.empty()) {
    return absl::FailedPreconditionError(
        StrCat(doing, ": '", foreign, "' is not Weir's; move it away and delete the folder"));
  }
  const absl::Status status = files_.Delete(path_);
  return absl::IsNotFound(status) ? absl::OkStatus() : StorageError(status, doing);
}

}  // namespace weir
