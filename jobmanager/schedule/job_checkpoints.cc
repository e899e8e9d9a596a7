#include "jobmanager/schedule/job_checkpoints.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "jobmanager/checkpoint/checkpoint_restore.h"
#include "jobmanager/checkpoint/state_files.h"
#include "jobmanager/schedule/leftover_files.h"
#include "jobmanager/schedule/named_checkpoint.h"
#include "proto/checkpoint.pb.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"
#include "proto/job_record.pb.h"
#include "state/snapshot/storage_error.h"
#include "state/store/checkpoint_folder.h"

namespace weir::jobmanager {
namespace {

constexpr size_t kCopyBytes = 1 << 20;

absl::Status OkIfMissing(const absl::Status& status) {
  return status.code() == absl::StatusCode::kNotFound ? absl::OkStatus() : status;
}

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
                               const std::string& directory,
                               const std::optional<RestorePoint>& restore, bool allow_dropped_state)
    : owner_(std::move(owner)),
      job_(job.id),
      num_retained_(settings.num_retained),
      store_(directory.empty() ? nullptr
                               : std::make_shared<CheckpointStore>(owner_.env.files(), directory)),
      job_directory_(store_ == nullptr ? "" : store_->JobFolder(job_)),
      allow_dropped_state_(allow_dropped_state),
      coordinator_(*this, settings, std::move(job), owner_.record.last_checkpoint_id() + 1) {
  if (!restore.has_value()) return;
  std::vector<FoundCheckpoint> found;
  found.push_back({.directory = restore->directory, .metadata = restore->metadata, .owned = false});
  const absl::Status resumed = coordinator_.Resume(std::move(found));
  // It was read and checked when the job was submitted.
  WEIR_CHECK(resumed.ok());
}

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

void JobCheckpoints::CheckLatest(Closure done) {
  if (!coordinator_.latest_may_be_forgotten()) return owner_.executor.Post(std::move(done));
  const std::string directory = coordinator_.latest()->directory;
  OnIoThread(
      [&files = owner_.env.files(), directory] {
        proto::CheckpointMetadata metadata;
        return CheckpointFolder(files, directory).ReadMetadata(&metadata);
      },
      [this, directory, done = std::move(done)](const absl::Status& status) mutable {
        if (absl::IsNotFound(status)) {
          const uint64_t id = coordinator_.latest()->id;
          coordinator_.ForgetLatestSavepoint();
          const auto& older = coordinator_.latest();
          owner_.log("warning",
                     StrCat("savepoint ", id, " in ", directory,
                            ", is gone, and was the newest; as nothing was committed with it, the "
                            "job ",
                            older.has_value() ? StrCat("goes on from checkpoint ", older->id)
                                              : "starts from the beginning"));
        }
        done();
      });
}

absl::Status JobCheckpoints::FillDeployment(const proto::JobGraph& graph,
                                            proto::DeployRequest& request) const {
  request.set_checkpoint_directory(job_directory_);
  const CheckpointSettings& settings = coordinator_.settings();
  request.set_commits_with_checkpoints(settings.periodic());
  request.mutable_barriers()->set_at_least_once(settings.mode == CheckpointMode::kAtLeastOnce);
  request.mutable_barriers()->set_unaligned(settings.unaligned);
  request.mutable_barriers()->set_aligned_timeout_micros(
      absl::ToInt64Microseconds(settings.aligned_timeout));
  const auto& latest = coordinator_.latest();
  if (!latest.has_value()) return absl::OkStatus();
  WEIR_ASSIGN_OR_RETURN(
      const auto restore,
      MakeRestore(*latest->metadata, latest->directory, graph,
                  {.allow_dropped_state = !latest->owned && allow_dropped_state_}));
  *request.mutable_restore() = *restore;
  return absl::OkStatus();
}

void JobCheckpoints::Prepare(uint64_t id, CheckpointKind kind, const std::string& target,
                             absl::AnyInvocable<void(absl::StatusOr<std::string>)> done) {
  // Savepoints: a random name, as no other job, cluster or try may ever have had it.
  const std::string savepoint =
      !IsSavepoint(kind) ? ""
                         : StrCat(target, target.ends_with('/') ? "" : "/", "savepoint-",
                                  job_.ToString().substr(0, 6), "-",
                                  JobId(owner_.env.random().Next(), 0).ToString().substr(0, 12));
  const auto prepare = [&files = owner_.env.files(), store = store_, job = job_, id, savepoint,
                        cluster = owner_.cluster_id]() -> absl::StatusOr<std::string> {
    if (!savepoint.empty()) {
      CheckpointFolder folder(files, savepoint);
      WEIR_RETURN_IF_ERROR(folder.Prepare());
      return folder.path();
    }
    if (store == nullptr) {
      return absl::FailedPreconditionError(
          "the job has no directory for checkpoints: submit it with execution.checkpointing.dir");
    }
    WEIR_RETURN_IF_ERROR(store->ClaimDirectory(cluster));
    WEIR_RETURN_IF_ERROR(store->PrepareCheckpoint(job, id));
    return store->Folder(job, id).path();
  };
  proto::JobRecord& record = owner_.record;
  record.set_last_checkpoint_id(std::max(record.last_checkpoint_id(), id));
  if (StopsJob(kind)) stop_ids_.insert(id);
  if (kind == CheckpointKind::kRescale) rescale_ids_.insert(id);
  if (kind == CheckpointKind::kDrainWithSavepoint) record.set_draining(true);
  owner_.persist(lifetime_.Guard(
      [this, prepare, done = std::move(done)]() mutable { OnIoThread(prepare, std::move(done)); }));
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
      [this, directory, metadata, done = std::move(done)](const Written& written) mutable {
        if (written.outcome != WriteOutcome::kDone) return done(written.outcome, written.status);
        AddToRecord(*metadata, directory);
        owner_.persist(lifetime_.Guard(
            [done = std::move(done)]() mutable { done(WriteOutcome::kDone, absl::OkStatus()); }));
      });
}

void JobCheckpoints::AddToRecord(const proto::CheckpointMetadata& metadata,
                                 const std::string& directory) {
  auto& listed = *owner_.record.mutable_checkpoints();
  proto::JobRecord::Checkpoint added;
  added.set_id(metadata.checkpoint_id());
  added.set_kind(metadata.kind());
  added.set_directory(directory);
  added.set_owned(true);
  if (stop_ids_.contains(added.id())) owner_.record.set_stopped(true);
  if (rescale_ids_.contains(added.id())) owner_.note_rescaled();
  std::vector<proto::JobRecord::Checkpoint> all(listed.begin(), listed.end());
  std::erase_if(all, [&](const auto& other) { return other.id() == added.id(); });
  all.push_back(std::move(added));
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.id() < b.id(); });
  // As the coordinator retains them. What is not one of the retained counts only as the newest.
  const auto retained = [](const auto& checkpoint) {
    return checkpoint.owned() && checkpoint.kind() == proto::CHECKPOINT;
  };
  std::vector<proto::JobRecord::Checkpoint> kept;
  uint32_t retained_later = 0;
  for (auto checkpoint = all.rbegin(); checkpoint != all.rend(); ++checkpoint) {
    const bool keep = retained(*checkpoint) ? retained_later < num_retained_ : kept.empty();
    retained_later += retained(*checkpoint) ? 1 : 0;
    if (keep) kept.push_back(std::move(*checkpoint));
  }
  listed.Clear();
  for (auto checkpoint = kept.rbegin(); checkpoint != kept.rend(); ++checkpoint) {
    *listed.Add() = std::move(*checkpoint);
  }
}

namespace {

struct Stored {
  std::vector<FoundCheckpoint> named;
  // Folders of complete checkpoints that the record does not name: they do not exist.
  std::vector<std::string> strays;
};

absl::StatusOr<Stored> ReadStored(FileSystem& files, CheckpointStore* store, const JobId& job,
                                  const proto::JobRecord& record) {
  Stored stored;
  std::set<std::string> directories;
  for (const proto::JobRecord::Checkpoint& checkpoint : record.checkpoints()) {
    directories.insert(checkpoint.directory());
    WEIR_ASSIGN_OR_RETURN(FoundCheckpoint found, ReadNamed(files, checkpoint));
    stored.named.push_back(std::move(found));
  }
  if (store == nullptr) return stored;
  const auto found = store->ListCheckpoints(job);
  // All that the record names was read, so it lies elsewhere: nothing of the job was ever here.
  if (absl::IsNotFound(found.status())) return stored;
  WEIR_RETURN_IF_ERROR(found.status());
  for (const uint64_t id : found->complete) {
    CheckpointFolder folder = store->Folder(job, id);
    if (directories.contains(folder.path()) || id > record.last_checkpoint_id()) continue;
    proto::CheckpointMetadata metadata;
    // One that cannot be read is not known to be no savepoint.
    if (folder.ReadMetadata(&metadata).ok() && metadata.kind() == proto::CHECKPOINT) {
      stored.strays.push_back(folder.path());
    }
  }
  return stored;
}

}  // namespace

void JobCheckpoints::Load(std::function<void(const absl::Status&)> done) {
  OnIoThread(
      [&files = owner_.env.files(), store = store_, job = job_, record = owner_.record] {
        return ReadStored(files, store.get(), job, record);
      },
      [this, done = std::move(done)](absl::StatusOr<Stored> stored) {
        absl::Status status = stored.status();
        if (status.ok()) status = coordinator_.Resume(std::move(stored->named));
        if (status.ok()) {
          for (const std::string& folder : stored->strays) {
            owner_.log("info", StrCat("deletes ", folder, ", which never came to be a checkpoint"));
            DeleteAsLeader(
                [folder](FileSystem& files) { return CheckpointFolder(files, folder).Delete(); },
                [this, folder](const absl::Status& deleted) {
                  if (deleted.ok()) return;
                  owner_.log("warning",
                             StrCat(folder, " could not be deleted: ", ToStd(deleted.message())));
                });
          }
        }
        done(status);
      });
}

void JobCheckpoints::EndJob(JobEnd end) {
  ended_ = true;
  coordinator_.EndJob(end);
}

void JobCheckpoints::Delete(std::function<absl::Status(FileSystem&)> work, Done done) {
  OnIoThread(
      [&files = owner_.env.files(), work = std::move(work), ended = ended_, store = store_,
       job = job_] {
        absl::Status status = work(files);
        if (status.ok() && ended && store != nullptr) {
          DeleteEmptyFolders(files, *store, job);
        }
        return status;
      },
      [this, done = std::move(done)](const absl::Status& status) mutable {
        done(status);
        if (ended_ && coordinator_.idle()) owner_.settled();
      });
}

void JobCheckpoints::DeleteAsLeader(std::function<absl::Status(FileSystem&)> work, Done done) {
  owner_.confirm_leadership(
      lifetime_.Guard([this, work = std::move(work), done = std::move(done)]() mutable {
        Delete(std::move(work), std::move(done));
      }));
}

void JobCheckpoints::DeleteCheckpoint(uint64_t id, const std::string& directory, Done done) {
  const auto work = [directory](FileSystem& files) {
    return OkIfMissing(CheckpointFolder(files, directory).Delete());
  };
  auto& listed = *owner_.record.mutable_checkpoints();
  const auto named = std::find_if(listed.begin(), listed.end(),
                                  [id](const auto& checkpoint) { return checkpoint.id() == id; });
  if (named == listed.end()) return DeleteAsLeader(work, std::move(done));
  // First it ceases to exist.
  listed.erase(named);
  owner_.persist(lifetime_.Guard(
      [this, work, done = std::move(done)]() mutable { Delete(work, std::move(done)); }));
}

void JobCheckpoints::DeleteShared(const std::vector<std::string>& names, Done done) {
  DeleteAsLeader(
      [names, folder = job_directory_](FileSystem& files) {
        for (const std::string& name : names) {
          WEIR_RETURN_IF_ERROR(OkIfMissing(files.Delete(StrCat(folder, "/", name))));
        }
        return absl::OkStatus();
      },
      std::move(done));
}

void JobCheckpoints::DeleteLeftovers(const Leftovers& leftovers, Done done) {
  DeleteAsLeader(
      [store = store_, job = job_, leftovers](FileSystem& files) {
        if (store == nullptr) return absl::OkStatus();
        // Nothing was ever written where there is no such folder.
        return OkIfMissing(DeleteLeftoverFiles(files, *store, job, leftovers));
      },
      std::move(done));
}

}  // namespace weir::jobmanager
