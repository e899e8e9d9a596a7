#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/id.h"

namespace weir::proto {
class JobRecord;
class SubmittedJob;
}  // namespace weir::proto

namespace weir::jobmanager {

// A job as the store has it.
struct StoredJob {
  JobId id;
  // Not OK: one of its records is damaged or of a newer version (the status names it). Nothing of
  // such a job is ever changed.
  absl::Status status;
  // Null if it cannot be read.
  std::shared_ptr<const proto::SubmittedJob> submitted;
  std::shared_ptr<const proto::JobRecord> record;
};

// Where a cluster keeps who leads it and what its jobs are: what outlives a job manager. Every
// write is guarded by the leader epoch: one of an older leader has no effect on what a newer one
// reads. The only implementation is a folder (FolderStore); one on etcd or Kubernetes compares the
// epoch in the transaction that writes.
//
// Every call blocks and comes from one thread at a time. Outcomes of writes: OK, it is durable and
// every later leader sees it; kAborted, another leader has taken over, and this one must not act
// any more; any other error: the outcome is unknown, and the write may be repeated. (Campaign and
// AddJob say more.)
class CoordinationStore {
 public:
  virtual ~CoordinationStore() = default;

  // Takes the leadership: an epoch that is higher than every one before it. First call. kDataLoss:
  // what keeps it was damaged.
  virtual absl::StatusOr<uint64_t> Campaign() = 0;
  // All jobs, also ended ones, by id. An error: they cannot be listed at all; a job that cannot be
  // read has its own.
  virtual absl::StatusOr<std::vector<StoredJob>> ReadJobs() = 0;

  // A job that is new. The record's job_id and leader_epoch are filled in, here and below. After an
  // error the job may be there, and RemoveJob is to be called. kInvalidArgument: such a job cannot
  // be kept, and nothing is there.
  virtual absl::Status AddJob(const JobId& id, const proto::SubmittedJob& submitted,
                              const proto::JobRecord& record) = 0;
  virtual absl::Status PutRecord(const JobId& id, const proto::JobRecord& record) = 0;
  // OK: this store's leader has not been followed by another one so far. For what is not kept here
  // and cannot be guarded better.
  virtual absl::Status CheckLeads() = 0;
  // Forgets the job. Succeeds if it is not there.
  virtual absl::Status RemoveJob(const JobId& id) = 0;
};

}  // namespace weir::jobmanager
