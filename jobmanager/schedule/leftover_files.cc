#include "jobmanager/schedule/leftover_files.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "jobmanager/checkpoint/completed_checkpoints.h"
#include "jobmanager/checkpoint/state_files.h"
#include "jobmanager/schedule/named_checkpoint.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_record.pb.h"
#include "state/store/checkpoint_folder.h"

namespace weir::jobmanager {
namespace {

// The attempt that wrote a file, by its name (StateFileName); the highest there is if it has
// another.
uint32_t AttemptOf(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  uint32_t attempt = 0;
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), attempt);
  const bool ours =
      parsed.ec == std::errc() && parsed.ptr != name.data() + name.size() && *parsed.ptr == '-';
  return ours ? attempt : ~uint32_t{0};
}

absl::Status DeleteIfThere(FileSystem& files, const std::string& path) {
  const absl::Status status = files.Delete(path);
  return status.code() == absl::StatusCode::kNotFound ? absl::OkStatus() : status;
}

std::string SharedFolder(const CheckpointStore& store, const JobId& job) {
  return StrCat(store.JobFolder(job), "/shared");
}

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Files of attempts before `live`; none if the folder is gone.
absl::StatusOr<std::vector<FileInfo>> OldFiles(FileSystem& files, const std::string& folder,
                                               uint32_t live, bool* all) {
  auto listed = files.List(folder);
  if (absl::IsNotFound(listed.status())) return std::vector<FileInfo>();
  WEIR_ASSIGN_OR_RETURN(std::vector<FileInfo> entries, std::move(listed));
  const size_t found = entries.size();
  std::erase_if(entries, [live](const FileInfo& file) { return AttemptOf(file.path) >= live; });
  *all = entries.size() == found;
  return entries;
}

absl::Status DeleteFolder(FileSystem& files, CheckpointFolder folder, uint64_t id,
                          const Leftovers& leftovers) {
  if (id < leftovers.newest_complete) return folder.Delete();
  bool all = false;
  WEIR_ASSIGN_OR_RETURN(const std::vector<FileInfo> old,
                        OldFiles(files, folder.path(), leftovers.live_attempt, &all));
  if (id < leftovers.next_id) return all ? folder.Delete() : absl::OkStatus();
  // The checkpoint may be triggered, or be under way, in this very folder.
  for (const FileInfo& file : old) WEIR_RETURN_IF_ERROR(DeleteIfThere(files, file.path));
  return absl::OkStatus();
}

}  // namespace

absl::Status DeleteLeftoverFiles(FileSystem& files, CheckpointStore& store, const JobId& job,
                                 const Leftovers& leftovers) {
  WEIR_ASSIGN_OR_RETURN(const CheckpointStore::Checkpoints found, store.ListCheckpoints(job));
  for (const uint64_t id : found.leftovers) {
    CheckpointFolder folder = store.Folder(job, id);
    if (Contains(leftovers.keep_directories, folder.path())) continue;
    WEIR_RETURN_IF_ERROR(DeleteFolder(files, folder, id, leftovers));
  }
  const auto shared = files.List(SharedFolder(store, job));
  if (shared.status().code() == absl::StatusCode::kNotFound) return absl::OkStatus();
  if (!shared.ok()) return shared.status();
  for (const FileInfo& file : *shared) {
    const std::string name = StrCat("shared/", file.path.substr(file.path.rfind('/') + 1));
    if (Contains(leftovers.keep_shared, name)) continue;
    if (AttemptOf(file.path) >= leftovers.live_attempt) continue;
    WEIR_RETURN_IF_ERROR(DeleteIfThere(files, file.path));
  }
  return absl::OkStatus();
}

absl::Status DeleteLeftoversOfEnded(FileSystem& files, const std::string& directory,
                                    const JobId& job, const proto::JobRecord& record) {
  CheckpointStore store(files, directory);
  const absl::Status there = files.Stat(store.JobFolder(job)).status();
  if (absl::IsNotFound(there)) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(there);
  std::vector<FoundCheckpoint> found;
  for (const proto::JobRecord::Checkpoint& named : record.checkpoints()) {
    // Nothing of what others refer to is in this folder.
    if (!named.owned() || named.kind() != proto::CHECKPOINT) continue;
    WEIR_ASSIGN_OR_RETURN(FoundCheckpoint read, ReadNamed(files, named));
    found.push_back(std::move(read));
  }
  WEIR_ASSIGN_OR_RETURN(std::vector<CompletedCheckpoint> complete, ReadFound(std::move(found)));
  SharedFiles shared;
  CompletedCheckpoints kept(std::numeric_limits<uint32_t>::max(), shared);
  for (CompletedCheckpoint& checkpoint : complete) kept.Add(std::move(checkpoint));
  WEIR_RETURN_IF_ERROR(DeleteLeftoverFiles(files, store, job,
                                           {.newest_complete = kept.newest_id(),
                                            .next_id = std::numeric_limits<uint64_t>::max(),
                                            .live_attempt = kNoLiveAttempt,
                                            .keep_directories = kept.Directories(),
                                            .keep_shared = shared.Referenced()}));
  DeleteEmptyFolders(files, store, job);
  return absl::OkStatus();
}

void DeleteEmptyFolders(FileSystem& files, CheckpointStore& store, const JobId& job) {
  files.Delete(SharedFolder(store, job)).IgnoreError();
  store.DeleteJobFolder(job).IgnoreError();
}

}  // namespace weir::jobmanager
