#include "state/store/checkpoint_store.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "state/snapshot/storage_error.h"

namespace weir {
namespace {

constexpr std::string_view kMarkerPrefix = "_cluster-";
constexpr std::string_view kCheckpointPrefix = "chk-";
constexpr size_t kMaxClusterIdBytes = 100;

std::string WithoutSlashes(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

bool IsClusterId(std::string_view id) {
  constexpr std::string_view kAllowed =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
  return !id.empty() && id.size() <= kMaxClusterIdBytes &&
         id.find_first_not_of(kAllowed) == std::string_view::npos;
}

// Of "chk-<id>" as Folder writes it.
std::optional<uint64_t> CheckpointIdOf(std::string_view name) {
  if (!name.starts_with(kCheckpointPrefix)) return std::nullopt;
  name.remove_prefix(kCheckpointPrefix.size());
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
  if (error != std::errc() || StrCat(id) != name) return std::nullopt;
  return id;
}

std::string_view BaseName(std::string_view path) { return path.substr(path.find_last_of('/') + 1); }

}  // namespace

CheckpointStore::CheckpointStore(FileSystem& files, std::string directory)
    : files_(files), directory_(WithoutSlashes(std::move(directory))) {}

std::string CheckpointStore::JobFolder(const JobId& job) const {
  return StrCat(directory_, "/", job.ToString());
}

CheckpointFolder CheckpointStore::Folder(const JobId& job, uint64_t checkpoint_id) const {
  return CheckpointFolder(files_, StrCat(JobFolder(job), "/", kCheckpointPrefix, checkpoint_id));
}

absl::Status CheckpointStore::ClaimDirectory(std::string_view cluster_id) {
  if (!IsClusterId(cluster_id)) {
    return absl::InvalidArgumentError(StrCat("the cluster's id '", cluster_id, "' must be 1 to ",
                                             kMaxClusterIdBytes,
                                             " letters, digits, '-', '_' or '.'"));
  }
  const std::string doing = StrCat("claiming the directory '", directory_, "' for checkpoints");
  WEIR_RETURN_IF_ERROR(CheckpointFolder(files_, directory_).Prepare());
  WEIR_ASSIGN_OR_RETURN(std::vector<std::string> claims, Claims());
  for (const std::string& claim : claims) {
    if (claim != cluster_id) return Taken(claim, cluster_id);
  }
  const std::string marker = StrCat(directory_, "/", kMarkerPrefix, cluster_id);
  if (claims.empty()) {
    // The name says it all, so that there is no half a marker.
    auto file = files_.OpenForWrite(marker, FileSystem::WriteMode::kCreateNew);
    const bool made = file.ok();
    if (!made && !absl::IsAlreadyExists(file.status())) return StorageError(file.status(), doing);
    if (made) WEIR_RETURN_IF_ERROR(StorageError((*file)->Close(), doing));
    // Of two clusters that claim at the same time, the one that looks last sees both markers.
    WEIR_ASSIGN_OR_RETURN(claims, Claims());
    for (const std::string& claim : claims) {
      if (claim == cluster_id) continue;
      if (made) WEIR_RETURN_IF_ERROR(StorageError(files_.Delete(marker), doing));
      return Taken(claim, cluster_id);
    }
  }
  WEIR_RETURN_IF_ERROR(StorageError(files_.SyncDirectory(directory_), doing));
  marker_ = marker;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> CheckpointStore::Claims() {
  const auto entries = files_.List(directory_);
  if (!entries.ok()) return StorageError(entries.status(), "looking whose directory it is");
  std::vector<std::string> claims;
  for (const FileInfo& entry : *entries) {
    const std::string_view name = BaseName(entry.path);
    if (name.starts_with(kMarkerPrefix)) claims.emplace_back(name.substr(kMarkerPrefix.size()));
  }
  return claims;
}

absl::Status CheckpointStore::Taken(std::string_view by, std::string_view cluster_id) const {
  return absl::FailedPreconditionError(
      StrCat("the checkpoint directory '", directory_, "' belongs to the cluster '", by,
             "', and this one is '", cluster_id,
             "': set execution.checkpointing.dir to a directory of its own, or, if that cluster is "
             "gone for good, delete '",
             directory_, "/", kMarkerPrefix, by, "'"));
}

absl::Status CheckpointStore::CheckDirectory() {
  const absl::Status status = files_.Stat(marker_.empty() ? directory_ : marker_).status();
  if (marker_.empty() || !absl::IsNotFound(status)) {
    return StorageError(status, "looking at the checkpoint directory");
  }
  return absl::FailedPreconditionError(
      StrCat("the checkpoint directory '", directory_,
             "' is gone or is not the one it was at the start: '", marker_,
             "' is missing; see whether the file system is still mounted on this host"));
}

absl::Status CheckpointStore::PrepareCheckpoint(const JobId& job, uint64_t checkpoint_id) {
  WEIR_CHECK(!marker_.empty());
  // Else the folder would be made on whatever lies under the file system that is gone.
  WEIR_RETURN_IF_ERROR(CheckDirectory());
  WEIR_RETURN_IF_ERROR(Folder(job, checkpoint_id).Prepare());
  // The job's folder may be there since a run that ended before its name was durable.
  return StorageError(files_.SyncDirectory(directory_), "making the folder of a checkpoint");
}

absl::StatusOr<CheckpointStore::Checkpoints> CheckpointStore::ListCheckpoints(const JobId& job) {
  WEIR_RETURN_IF_ERROR(CheckDirectory());
  Checkpoints checkpoints;
  const auto entries = files_.List(JobFolder(job));
  if (absl::IsNotFound(entries.status())) return checkpoints;
  if (!entries.ok()) return StorageError(entries.status(), "listing checkpoints");
  for (const FileInfo& entry : *entries) {
    const auto id = CheckpointIdOf(BaseName(entry.path));
    if (!entry.is_directory || !id.has_value()) continue;
    const absl::Status metadata = files_.Stat(StrCat(entry.path, "/", kMetadataFileName)).status();
    if (metadata.ok()) {
      checkpoints.complete.push_back(*id);
    } else if (absl::IsNotFound(metadata)) {
      checkpoints.leftovers.push_back(*id);
    } else {
      return StorageError(metadata, "listing checkpoints");
    }
  }
  std::sort(checkpoints.complete.begin(), checkpoints.complete.end());
  std::sort(checkpoints.leftovers.begin(), checkpoints.leftovers.end());
  return checkpoints;
}

absl::Status CheckpointStore::DeleteCheckpoint(const JobId& job, uint64_t checkpoint_id) {
  WEIR_RETURN_IF_ERROR(CheckDirectory());
  return Folder(job, checkpoint_id).Delete();
}

absl::Status CheckpointStore::DeleteJobFolder(const JobId& job) {
  WEIR_RETURN_IF_ERROR(CheckDirectory());
  const absl::Status status = files_.Delete(JobFolder(job));
  return absl::IsNotFound(status) ? absl::OkStatus()
                                  : StorageError(status, "deleting the folder of a job");
}

}  // namespace weir
