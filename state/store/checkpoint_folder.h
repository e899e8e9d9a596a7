#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/env/file_system.h"
#include "state/snapshot/state_file_reader.h"
#include "state/snapshot/state_file_writer.h"

namespace weir {

namespace proto {
class CheckpointMetadata;
}

inline constexpr std::string_view kMetadataFileName = "_metadata";

// "<attempt>-<vertex>-<subtask>.state": an attempt is never used twice, and so neither is a name.
std::string StateFileName(uint32_t attempt, uint32_t vertex, uint32_t subtask);

// The folder of one checkpoint or savepoint: state files, and `_metadata`, which is written last:
// without it the checkpoint does not exist. What refers to a file does so by a relative name, so a
// savepoint may be moved or copied as a folder.
//
// Every call but path() blocks, so it is made on an IO thread. Errors name the path and say what to
// do: kNotFound, kPermissionDenied, kResourceExhausted (full), kUnavailable (I/O error) of the file
// system, after which any part of the work may have been done; and those named below. A value;
// several may be used for one folder at once, but by one caller of WriteMetadata and Delete.
class CheckpointFolder {
 public:
  // `path` is that of the folder or of the `_metadata` in it. `files` outlives this.
  CheckpointFolder(FileSystem& files, std::string path);
  const std::string& path() const { return path_; }

  // Makes the folder, and its parents, durably. kAlreadyExists if there is a checkpoint in it.
  absl::Status Prepare();

  // Makes a state file (StateFileName). What Finish of the writer returns belongs into the
  // metadata. kInvalidArgument: the name is not allowed. kAlreadyExists: nothing is overwritten.
  absl::StatusOr<std::unique_ptr<StateFileWriter>> CreateStateFile(const std::string& name);
  // Errors also those of StateFileReader. kInvalidArgument: the name is not allowed.
  absl::StatusOr<std::unique_ptr<StateFileReader>> OpenStateFile(const std::string& name);
  // Where the file with this name from the metadata lies, which may be beside the folder.
  absl::StatusOr<std::string> StateFilePath(std::string_view name) const;

  // Completes the checkpoint: once this is OK, it survives a crash of the host; after an error it
  // may be complete or not. May be repeated with the same metadata. Does not look at the files:
  // they are durable once their writers have finished. kInvalidArgument: the metadata is wrong.
  // kAlreadyExists: other metadata is there.
  absl::Status WriteMetadata(const proto::CheckpointMetadata& metadata);
  // kNotFound: no complete checkpoint is there. kDataLoss: it is damaged; kFailedPrecondition: a
  // newer version wrote it. What is returned is valid (ValidateCheckpointMetadata).
  absl::Status ReadMetadata(proto::CheckpointMetadata* metadata);

  // What CheckFiles looks at of each file: one call, or its whole content.
  enum class FileCheck { kSize, kDigest };
  // kDataLoss names the first file of the metadata that is missing or is not the one that was
  // written.
  absl::Status CheckFiles(const proto::CheckpointMetadata& metadata, FileCheck check);

  // Deletes metadata, then state files, then the folder: at no time is there a complete checkpoint
  // with a file missing. Succeeds if there is nothing, and may be repeated after any failure or
  // crash. Files that are not Weir's are left: kFailedPrecondition names one. Shared files, which
  // lie beside the folder, are left too.
  absl::Status Delete();

 private:
  std::string FilePath(std::string_view name) const;
  absl::Status ExplainMissingMetadata();
  absl::Status CheckDigest(const std::string& path, uint64_t digest);

  FileSystem& files_;
  std::string path_;
};

}  // namespace weir
