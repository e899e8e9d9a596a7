#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/id.h"
#include "common/base/lifetime.h"
#include "common/env/executor.h"
#include "jobmanager/ha/coordination_store.h"

namespace weir::jobmanager {

// Keeps the records of all jobs durable: writes them to the store on an executor of its own, one
// after the other, and repeats a write until it is done. Of several records of one job that wait,
// only the newest is written. Owned by the dispatcher's executor, on which callbacks run.
class JobRecords {
 public:
  // From a failed write to the next try: doubled up to the second.
  static constexpr absl::Duration kFirstRetry = absl::Milliseconds(100);
  static constexpr absl::Duration kLastRetry = absl::Seconds(5);

  using Log = std::function<void(std::string_view level, std::string_view text)>;
  // Another job manager has taken over: told once, and nothing is written or called back any more.
  using Superseded = std::function<void(const absl::Status& why)>;

  // `owner`, `writer` and `store` outlive it. Everything on `writer` that uses the store is shut
  // down before the store goes.
  JobRecords(Executor& owner, Executor& writer, CoordinationStore& store, Log log,
             Superseded superseded);
  ~JobRecords();

  // Makes a new job durable. With an error it is not there, unless that says so.
  void Add(const JobId& id, std::shared_ptr<const proto::SubmittedJob> submitted,
           std::shared_ptr<const proto::JobRecord> record,
           absl::AnyInvocable<void(const absl::Status&)> done);
  // `durable` may be null.
  void Write(const JobId& id, std::shared_ptr<const proto::JobRecord> record, Closure durable);
  // Forgets a job of which nothing is written any more. Repeated until it is done.
  void Remove(const JobId& id);
  // Calls `leads` when the store says that this process still leads; until it can be asked, again
  // and again.
  void ConfirmLeadership(Closure leads);

  void Supersede(const absl::Status& why);
  // Tries that failed, over all jobs.
  uint64_t failed_writes() const { return failed_writes_; }

 private:
  struct Job {
    std::shared_ptr<const proto::JobRecord> record;
    // Of what is being written, and of what came since.
    std::vector<Closure> writing;
    std::vector<Closure> waiting;
    bool busy = false;
    absl::Duration retry = kFirstRetry;
  };

  void WriteNext(const JobId& id);
  void OnWritten(const JobId& id, const std::shared_ptr<const proto::JobRecord>& record,
                 const absl::Status& status);
  // Runs `work` on the writer and `done` with its status here.
  void OnWriter(std::function<absl::Status(CoordinationStore&)> work,
                absl::AnyInvocable<void(const absl::Status&)> done);
  // Repeats `work` until it succeeds.
  void Insist(std::function<absl::Status(CoordinationStore&)> work, std::string what,
              absl::Duration retry, Closure done);

  Executor& owner_;
  Executor& writer_;
  CoordinationStore& store_;
  const Log log_;
  const Superseded superseded_;
  std::map<JobId, Job> jobs_;
  uint64_t failed_writes_ = 0;
  bool over_ = false;
  Lifetime lifetime_;
};

}  // namespace weir::jobmanager
