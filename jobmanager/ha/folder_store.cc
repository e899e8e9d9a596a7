#include "jobmanager/ha/folder_store.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "jobmanager/ha/job_record_format.h"
#include "jobmanager/ha/leader_epoch.h"
#include "proto/job_record.pb.h"

namespace weir::jobmanager {
namespace {

constexpr std::string_view kSubmittedName = "job";
constexpr std::string_view kRecordPrefix = "record-";

std::string_view NameOf(const std::string& path) {
  return std::string_view(path).substr(path.rfind('/') + 1);
}

// The epoch in the name of a record; nothing for other names.
std::optional<uint64_t> EpochOf(std::string_view name) {
  if (!name.starts_with(kRecordPrefix)) return std::nullopt;
  name.remove_prefix(kRecordPrefix.size());
  uint64_t epoch = 0;
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), epoch);
  if (parsed.ec != std::errc() || parsed.ptr != name.data() + name.size() || epoch == 0) {
    return std::nullopt;
  }
  return epoch;
}

absl::Status WithPath(const absl::Status& status, const std::string& path) {
  return absl::Status(status.code(), StrCat(path, ": ", ToStd(status.message())));
}

// Reads and decodes one file; what it is not able to hold is damage.
template <class Message>
absl::Status ReadMessage(FileSystem& files, const std::string& path,
                         absl::Status (*decode)(std::string_view, Message*), Message* message) {
  absl::StatusOr<std::string> bytes = ReadFile(files, path, kMaxJobRecordBytes);
  if (bytes.status().code() == absl::StatusCode::kOutOfRange) {
    return absl::DataLossError(StrCat(path, " is too large for a record"));
  }
  WEIR_RETURN_IF_ERROR(bytes.status());
  const absl::Status status = decode(*bytes, message);
  return status.ok() ? status : WithPath(status, path);
}

}  // namespace

// What lies in a job's folder.
struct FolderStore::Found {
  bool submitted = false;
  // Ascending.
  std::set<uint64_t> records;
  std::vector<std::string> paths;
};

FolderStore::FolderStore(FileSystem& files, std::string directory)
    : files_(files),
      directory_(std::move(directory)),
      jobs_directory_(StrCat(directory_, "/jobs")) {}

std::string FolderStore::JobFolder(const JobId& id) const {
  return StrCat(jobs_directory_, "/", id.ToString());
}

std::string FolderStore::RecordPath(const JobId& id, uint64_t epoch) const {
  return StrCat(JobFolder(id), "/", kRecordPrefix, epoch);
}

absl::StatusOr<uint64_t> FolderStore::Campaign() {
  WEIR_ASSIGN_OR_RETURN(epoch_, TakeLeaderEpoch(files_, directory_));
  WEIR_RETURN_IF_ERROR(files_.CreateDirectories(jobs_directory_));
  WEIR_RETURN_IF_ERROR(files_.SyncDirectory(directory_));
  return epoch_;
}

absl::Status FolderStore::CheckLeads() {
  WEIR_CHECK(epoch_ != 0);
  const std::string path = StrCat(directory_, "/leader_epoch");
  WEIR_ASSIGN_OR_RETURN(const std::string text, ReadFile(files_, path, 64));
  uint64_t last = 0;
  if (!absl::SimpleAtoi(absl::StripSuffix(ToAbsl(text), "\n"), &last) || last < epoch_) {
    return absl::DataLossError(StrCat(path, " is damaged"));
  }
  if (last == epoch_) return absl::OkStatus();
  return absl::AbortedError(StrCat("leader epoch ", epoch_,
                                   " is over: another job manager has taken ", directory_,
                                   " over with epoch ", last));
}

absl::StatusOr<FolderStore::Found> FolderStore::List(const JobId& id) {
  Found found;
  const auto entries = files_.List(JobFolder(id));
  if (entries.status().code() == absl::StatusCode::kNotFound) return found;
  WEIR_RETURN_IF_ERROR(entries.status());
  for (const FileInfo& entry : *entries) {
    const std::string_view name = NameOf(entry.path);
    if (name == kSubmittedName) found.submitted = true;
    if (const auto epoch = EpochOf(name)) found.records.insert(*epoch);
    const bool ours = name == kSubmittedName || EpochOf(name).has_value() || name.ends_with(".tmp");
    if (ours && !entry.is_directory) found.paths.push_back(entry.path);
  }
  return found;
}

absl::StatusOr<std::vector<StoredJob>> FolderStore::ReadJobs() {
  WEIR_CHECK(epoch_ != 0);
  WEIR_ASSIGN_OR_RETURN(const std::vector<FileInfo> folders, files_.List(jobs_directory_));
  std::vector<StoredJob> jobs;
  for (const FileInfo& folder : folders) {
    const auto id = JobId::Parse(NameOf(folder.path));
    // What is no job's is not ours to touch.
    if (!folder.is_directory || !id.ok()) continue;
    StoredJob job;
    job.id = *id;
    const absl::StatusOr<bool> there = Read(*id, job);
    if (!there.ok()) job.status = there.status();
    if (!there.ok() || *there) jobs.push_back(std::move(job));
  }
  std::sort(jobs.begin(), jobs.end(),
            [](const StoredJob& a, const StoredJob& b) { return a.id < b.id; });
  return jobs;
}

absl::StatusOr<bool> FolderStore::Read(const JobId& id, StoredJob& job) {
  WEIR_ASSIGN_OR_RETURN(const Found found, List(id));
  if (found.records.empty()) {
    // A submission that was under way: nobody was told that it is there.
    WEIR_RETURN_IF_ERROR(DeleteFiles(id));
    return false;
  }
  absl::Status submitted_status;
  auto submitted = std::make_shared<proto::SubmittedJob>();
  if (found.submitted) {
    submitted_status = ReadMessage(files_, StrCat(JobFolder(id), "/", kSubmittedName),
                                   &DecodeSubmittedJob, submitted.get());
    if (submitted_status.ok()) job.submitted = submitted;
  }
  auto record = std::make_shared<proto::JobRecord>();
  const std::string path = RecordPath(id, *found.records.rbegin());
  WEIR_RETURN_IF_ERROR(ReadMessage(files_, path, &DecodeJobRecord, record.get()));
  const std::string bytes(id.bytes().begin(), id.bytes().end());
  if (record->job_id() != bytes || record->leader_epoch() != *found.records.rbegin()) {
    return absl::DataLossError(StrCat(path, " is damaged: it belongs to another job or epoch"));
  }
  job.record = record;
  // Removing a job begins with its record and ends with it.
  const bool never_acknowledged =
      !found.submitted && record->attempt() == 1 && record->workers_size() == 0;
  if (record->removed() || never_acknowledged) {
    WEIR_RETURN_IF_ERROR(DeleteFiles(id));
    return false;
  }
  WEIR_RETURN_IF_ERROR(submitted_status);
  if (!found.submitted) {
    return absl::DataLossError(
        StrCat(JobFolder(id), "/", kSubmittedName, " is missing: what was submitted is lost"));
  }
  if (submitted->job_id() != bytes) {
    return absl::DataLossError(
        StrCat(JobFolder(id), "/", kSubmittedName, " is damaged: it belongs to another job"));
  }
  return true;
}

absl::Status FolderStore::Write(const JobId& id, const proto::JobRecord& record) {
  proto::JobRecord ours = record;
  ours.set_job_id(std::string(id.bytes().begin(), id.bytes().end()));
  ours.set_leader_epoch(epoch_);
  WEIR_ASSIGN_OR_RETURN(const std::string bytes, EncodeJobRecord(ours));
  WEIR_RETURN_IF_ERROR(CheckLeads());
  WEIR_RETURN_IF_ERROR(WriteFileAtomically(files_, RecordPath(id, epoch_), bytes));
  WEIR_RETURN_IF_ERROR(CheckLeads());
  if (written_.insert(id).second) DeleteOlderRecords(id);
  return absl::OkStatus();
}

void FolderStore::DeleteOlderRecords(const JobId& id) {
  const absl::StatusOr<Found> found = List(id);
  if (!found.ok()) return;
  for (const uint64_t epoch : found->records) {
    if (epoch < epoch_) files_.Delete(RecordPath(id, epoch)).IgnoreError();
  }
}

absl::Status FolderStore::AddJob(const JobId& id, const proto::SubmittedJob& submitted,
                                 const proto::JobRecord& record) {
  WEIR_ASSIGN_OR_RETURN(const std::string bytes, EncodeSubmittedJob(submitted));
  WEIR_RETURN_IF_ERROR(CheckLeads());
  WEIR_RETURN_IF_ERROR(files_.CreateDirectories(JobFolder(id)));
  WEIR_RETURN_IF_ERROR(files_.SyncDirectory(jobs_directory_));
  WEIR_RETURN_IF_ERROR(
      WriteFileAtomically(files_, StrCat(JobFolder(id), "/", kSubmittedName), bytes));
  // Now the job exists.
  return Write(id, record);
}

absl::Status FolderStore::PutRecord(const JobId& id, const proto::JobRecord& record) {
  return Write(id, record);
}

absl::Status FolderStore::RemoveJob(const JobId& id) {
  WEIR_RETURN_IF_ERROR(CheckLeads());
  const auto folder = files_.Stat(JobFolder(id));
  if (folder.status().code() == absl::StatusCode::kNotFound) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(folder.status());
  proto::JobRecord tombstone;
  tombstone.set_attempt(1);
  tombstone.set_removed(true);
  WEIR_RETURN_IF_ERROR(Write(id, tombstone));
  WEIR_RETURN_IF_ERROR(DeleteFiles(id));
  written_.erase(id);
  return absl::OkStatus();
}

absl::Status FolderStore::DeleteFiles(const JobId& id) {
  WEIR_ASSIGN_OR_RETURN(Found found, List(id));
  // The record that says that the job is removed goes last.
  const std::string last = found.records.empty() ? "" : RecordPath(id, *found.records.rbegin());
  std::stable_partition(found.paths.begin(), found.paths.end(),
                        [&last](const std::string& path) { return path != last; });
  for (const std::string& path : found.paths) {
    const bool newer = EpochOf(NameOf(path)).value_or(0) > epoch_;
    if (newer) return absl::AbortedError(StrCat(path, " is of a newer leader"));
    if (path == last) WEIR_RETURN_IF_ERROR(files_.SyncDirectory(JobFolder(id)));
    WEIR_RETURN_IF_ERROR(files_.Delete(path));
  }
  const absl::Status deleted = files_.Delete(JobFolder(id));
  return deleted.code() == absl::StatusCode::kNotFound ? absl::OkStatus() : deleted;
}

}  // namespace weir::jobmanager
