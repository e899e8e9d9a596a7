#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "common/env/file_system.h"
#include "jobmanager/ha/coordination_store.h"

namespace weir::jobmanager {

// A coordination store in a folder:
//   <directory>/leader_epoch                  the last epoch
//   <directory>/jobs/<job id>/job             what was submitted
//   <directory>/jobs/<job id>/record-<epoch>  how far it is, as the leader with that epoch says
//
// A leader writes files with its own epoch in their names only, and reads the one with the highest:
// so it never replaces what a newer leader wrote. A write is OK only if the epoch is still its own
// after it, so that a newer leader, which takes the epoch before it reads, has seen it. This holds
// where a file that was written is seen by every later open (a local disk, not every network file
// system). That only one process leads at a time is for the caller's lock to see to.
class FolderStore final : public CoordinationStore {
 public:
  // `files` outlives it.
  FolderStore(FileSystem& files, std::string directory);

  absl::StatusOr<uint64_t> Campaign() override;
  absl::StatusOr<std::vector<StoredJob>> ReadJobs() override;
  absl::Status AddJob(const JobId& id, const proto::SubmittedJob& submitted,
                      const proto::JobRecord& record) override;
  absl::Status PutRecord(const JobId& id, const proto::JobRecord& record) override;
  absl::Status CheckLeads() override;
  absl::Status RemoveJob(const JobId& id) override;

 private:
  struct Found;

  std::string JobFolder(const JobId& id) const;
  std::string RecordPath(const JobId& id, uint64_t epoch) const;
  absl::Status Write(const JobId& id, const proto::JobRecord& record);
  // Deletes records of earlier leaders; what cannot be deleted does no harm.
  void DeleteOlderRecords(const JobId& id);
  absl::StatusOr<Found> List(const JobId& id);
  // False: there is no such job, and what was left of it is deleted.
  absl::StatusOr<bool> Read(const JobId& id, StoredJob& job);
  absl::Status DeleteFiles(const JobId& id);

  FileSystem& files_;
  const std::string directory_;
  const std::string jobs_directory_;
  uint64_t epoch_ = 0;
  // Jobs of which this leader has written a record.
  std::set<JobId> written_;
};

}  // namespace weir::jobmanager
