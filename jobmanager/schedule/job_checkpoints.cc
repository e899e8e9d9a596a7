#include "jobmanager/schedule/job_checkpoints.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "common/base/hash.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "jobmanager/checkpoint/checkpoint_restore.h"
#include "jobmanager/checkpoint/state_files.h"
#include "proto/checkpoint.pb.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"
#include "state/snapshot/storage_error.h"
#include "state/store/checkpoint_folder.h"

namespace weir::jobmanager {
namespace {

constexpr std::string_view kShared = "shared/";
constexpr size_t kCopyBytes = 1 << 20;

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

absl::Status OkIfMissing(const absl::Status& status) {
  return status.code() == absl::StatusCode::kNotFound ? absl::OkStatus() : status;
}

// Whether all that lies in the folder was written by attempts before `live`.
absl::StatusOr<bool> IsOver(FileSystem& files, const std::string& folder, uint32_t live) {
  WEIR_ASSIGN_OR_RETURN(const std::vector<FileInfo> entries, files.List(folder));
  return std::all_of(entries.begin(), entries.end(),
                     [live](const FileInfo& file) { return AttemptOf(file.path) < live; });
}

absl::Status DeleteLeftoversOf(FileSystem& files, CheckpointStore& store, const JobId& job,
                               const std::string& job_directory, const Leftovers& leftovers) {
  WEIR_ASSIGN_OR_RETURN(const CheckpointStore::Checkpoints found, store.ListCheckpoints(job));
  const auto kept = [&](const std::string& folder) {
    return std::find(leftovers.keep_directories.begin(), leftovers.keep_directories.end(),
                     folder) != leftovers.keep_directories.end();
  };
  for (const uint64_t id : found.leftovers) {
    CheckpointFolder folder = store.Folder(job, id);
    if (kept(folder.path())) continue;
    if (id >= leftovers.newest_complete) {
      WEIR_ASSIGN_OR_RETURN(const bool over, IsOver(files, folder.path(), leftovers.live_attempt));
      if (!over) continue;
    }
    WEIR_RETURN_IF_ERROR(folder.Delete());
  }
  const auto shared = files.List(StrCat(job_directory, "/shared"));
  if (!shared.ok()) return OkIfMissing(shared.status());
  for (const FileInfo& file : *shared) {
    const std::string name = StrCat(kShared, file.path.substr(file.path.rfind('/') + 1));
    const bool keep = std::find(leftovers.keep_shared.begin(), leftovers.keep_shared.end(), name) !=
                      leftovers.keep_shared.end();
    if (keep || AttemptOf(file.path) >= leftovers.live_attempt) continue;
    WEIR_RETURN_IF_ERROR(OkIfMissing(files.Delete(file.path)));
  }
  return absl::OkStatus();
}

std::string ParentOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

// What is known of a write once it was tried.
struct Written {
  WriteOutcome outcome = WriteOutcome::kDone;
  absl::Status status;
};

// Copies a file whose digest is known, durably but for its name. One that is there already is made
// anew.
absl::Status CopyFile(FileSystem& files, const std::string& from, const std::string& to,
                      const proto::StateFile& expected) {
  WEIR_ASSIGN_OR_RETURN(const auto source, files.OpenForRead(from));
  WEIR_ASSIGN_OR_RETURN(auto copy, files.OpenForWrite(to, FileSystem::WriteMode::kTruncate));
  StreamingHash64 digest;
  std::string buffer(kCopyBytes, '\0');
  uint64_t at = 0;
  for (size_t got = buffer.size(); got == buffer.size(); at += got) {
    WEIR_ASSIGN_OR_RETURN(got, source->ReadAt(at, buffer.size(), buffer.data()));
    const std::string_view piece = std::string_view(buffer).substr(0, got);
    digest.Append(piece);
    WEIR_RETURN_IF_ERROR(copy->Append(piece));
  }
  WEIR_RETURN_IF_ERROR(copy->Sync());
  WEIR_RETURN_IF_ERROR(copy->Close());
  if (at == expected.bytes() && digest.Digest() == expected.digest()) return absl::OkStatus();
  return absl::DataLossError(StrCat("'", from, "' is damaged: it is not what was written"));
}

// Copies shared files of a job into the folder of its savepoint.
absl::Status CopyShared(FileSystem& files, const std::string& job_directory,
                        const std::string& directory, const proto::CheckpointMetadata& metadata,
                        const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const std::string copy = SavepointFileName(name);
    const auto file = std::find_if(metadata.files().begin(), metadata.files().end(),
                                   [&](const auto& entry) { return entry.name() == copy; });
    if (file == metadata.files().end()) {
      return absl::InternalError(StrCat("the metadata does not have '", copy, "'"));
    }
    WEIR_RETURN_IF_ERROR(StorageError(
        CopyFile(files, StrCat(job_directory, "/", name), StrCat(directory, "/", copy), *file),
        StrCat("copying a file into the savepoint in '", directory, "'")));
  }
  return names.empty() ? absl::OkStatus() : files.SyncDirectory(directory);
}

Written WriteCheckpoint(FileSystem& files, const std::string& job_directory,
                        const std::string& directory, const proto::CheckpointMetadata& metadata,
                        const std::vector<std::string>& copies) {
  CheckpointFolder folder(files, directory);
  proto::CheckpointMetadata there;
  // Only before the first try: after it, the checkpoint may exist.
  if (absl::IsNotFound(folder.ReadMetadata(&there))) {
    absl::Status complete = CopyShared(files, job_directory, directory, metadata, copies);
    // A file that is not seen from here shows that the hosts do not share the folder.
    if (complete.ok()) complete = folder.CheckFiles(metadata, CheckpointFolder::FileCheck::kSize);
    if (!complete.ok()) return {WriteOutcome::kFailed, complete};
  }
  const absl::Status status = folder.WriteMetadata(metadata);
  // What is refused before anything is written never will be there; of all else it is not known
  // (failures rule 2).
  const bool refused = status.code() == absl::StatusCode::kInvalidArgument ||
                       status.code() == absl::StatusCode::kDataLoss ||
                       status.code() == absl::StatusCode::kAlreadyExists;
  return {status.ok() ? WriteOutcome::kDone
          : refused   ? WriteOutcome::kFailed
                      : WriteOutcome::kUnknown,
          status};
}

}  // namespace

JobCheckpoints::JobCheckpoints(Owner owner, CheckpointedJob job, const CheckpointSettings& settings,
                               const std::string& directory)
    : owner_(std::move(owner)),
      job_(job.id),
      store_(directory.empty() ? nullptr
                               : std::make_shared<CheckpointStore>(owner_.env.files(), directory)),
      job_directory_(store_ == nullptr ? "" : ParentOf(store_->Folder(job_, 1).path())),
      coordinator_(*this, settings, std::move(job), /*next_id=*/1) {}

JobCheckpoints::~JobCheckpoints() { lifetime_.End(); }

template <class Work, class Then>
void JobCheckpoints::OnIoThread(Work work, Then done) {
  owner_.env.RunBlocking([&executor = owner_.executor, work = std::move(work),
                          done = lifetime_.Guard(std::move(done))]() mutable {
    auto result = work();
    executor.Post([done = std::move(done), result = std::move(result)]() mutable {
      done(std::move(result));
    });
  });
}

absl::Status JobCheckpoints::FillDeployment(const proto::JobGraph& graph,
                                            proto::DeployRequest& request) const {
  request.set_checkpoint_directory(job_directory_);
  const auto& latest = coordinator_.latest();
  if (!latest.has_value()) return absl::OkStatus();
  WEIR_ASSIGN_OR_RETURN(const auto restore,
                        MakeRestore(*latest->metadata, latest->directory, graph));
  *request.mutable_restore() = *restore;
  return absl::OkStatus();
}

void JobCheckpoints::Prepare(uint64_t id, CheckpointKind kind, const std::string& target,
                             absl::AnyInvocable<void(absl::StatusOr<std::string>)> done) {
  if (IsSavepoint(kind)) {
    // Random, as no other job, cluster or try may ever have had the name.
    const std::string name = StrCat("savepoint-", job_.ToString().substr(0, 6), "-",
                                    JobId(owner_.env.random().Next(), 0).ToString().substr(0, 12));
    return OnIoThread(
        [&files = owner_.env.files(), path = StrCat(target, target.ends_with('/') ? "" : "/",
                                                    name)]() -> absl::StatusOr<std::string> {
          CheckpointFolder folder(files, path);
          WEIR_RETURN_IF_ERROR(folder.Prepare());
          return folder.path();
        },
        std::move(done));
  }
  OnIoThread(
      [store = store_, job = job_, id,
       cluster = owner_.cluster_id]() -> absl::StatusOr<std::string> {
        if (store == nullptr) {
          return absl::FailedPreconditionError(
              "the job has no directory for checkpoints: submit it with "
              "execution.checkpointing.dir");
        }
        WEIR_RETURN_IF_ERROR(store->ClaimDirectory(cluster));
        WEIR_RETURN_IF_ERROR(store->PrepareCheckpoint(job, id));
        return store->Folder(job, id).path();
      },
      std::move(done));
}

void JobCheckpoints::WriteMetadata(
    const std::string& directory, std::shared_ptr<const proto::CheckpointMetadata> metadata,
    std::vector<std::string> copies,
    absl::AnyInvocable<void(WriteOutcome, const absl::Status&)> done) {
  OnIoThread(
      [&files = owner_.env.files(), job_directory = job_directory_, directory, metadata,
       copies = std::move(copies)] {
        return WriteCheckpoint(files, job_directory, directory, *metadata, copies);
      },
      [done = std::move(done)](const Written& written) mutable {
        done(written.outcome, written.status);
      });
}

void JobCheckpoints::EndJob(JobEnd end) {
  ended_ = true;
  coordinator_.EndJob(end);
}

void JobCheckpoints::Delete(std::function<absl::Status(FileSystem&)> work, Done done) {
  OnIoThread(
      [&files = owner_.env.files(), work = std::move(work), ended = ended_, store = store_,
       job = job_, folder = job_directory_] {
        absl::Status status = work(files);
        // Empty folders are all that may be left; one that is not empty stays.
        if (status.ok() && ended && store != nullptr) {
          files.Delete(StrCat(folder, "/shared")).IgnoreError();
          store->DeleteJobFolder(job).IgnoreError();
        }
        return status;
      },
      [this, done = std::move(done)](const absl::Status& status) mutable {
        done(status);
        if (ended_ && coordinator_.idle()) owner_.settled();
      });
}

void JobCheckpoints::DeleteCheckpoint(uint64_t, const std::string& directory, Done done) {
  Delete(
      [directory](FileSystem& files) {
        return OkIfMissing(CheckpointFolder(files, directory).Delete());
      },
      std::move(done));
}

void JobCheckpoints::DeleteShared(const std::vector<std::string>& names, Done done) {
  Delete(
      [names, folder = job_directory_](FileSystem& files) {
        for (const std::string& name : names) {
          WEIR_RETURN_IF_ERROR(OkIfMissing(files.Delete(StrCat(folder, "/", name))));
        }
        return absl::OkStatus();
      },
      std::move(done));
}

void JobCheckpoints::DeleteLeftovers(const Leftovers& leftovers, Done done) {
  Delete(
      [store = store_, job = job_, folder = job_directory_, leftovers](FileSystem& files) {
        if (store == nullptr) return absl::OkStatus();
        // Nothing was ever written where there is no such folder.
        return OkIfMissing(DeleteLeftoversOf(files, *store, job, folder, leftovers));
      },
      std::move(done));
}

}  // namespace weir::jobmanager
