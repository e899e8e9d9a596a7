#include "jobmanager/dispatch/job_records.h"

#include <algorithm>
#include <utility>

#include "common/base/strings.h"
#include "proto/job_record.pb.h"

namespace weir::jobmanager {

JobRecords::JobRecords(Executor& owner, Executor& writer, CoordinationStore& store, Log log,
                       Superseded superseded)
    : owner_(owner),
      writer_(writer),
      store_(store),
      log_(std::move(log)),
      superseded_(std::move(superseded)) {}

JobRecords::~JobRecords() { lifetime_.End(); }

void JobRecords::OnWriter(std::function<absl::Status(CoordinationStore&)> work,
                          absl::AnyInvocable<void(const absl::Status&)> done) {
  if (over_) return;
  writer_.Post(
      [this_owner = &owner_, &store = store_, work = std::move(work),
       done = lifetime_.Guard([this, done = std::move(done)](const absl::Status& status) mutable {
         if (over_) return;
         if (status.code() == absl::StatusCode::kAborted) return Supersede(status);
         if (!status.ok()) ++failed_writes_;
         done(status);
       })]() mutable {
        const absl::Status status = work(store);
        this_owner->Post([done = std::move(done), status]() mutable { done(status); });
      });
}

void JobRecords::Supersede(const absl::Status& why) {
  if (std::exchange(over_, true)) return;
  log_("error", StrCat("this job manager leads no more and does nothing from now on: ",
                       ToStd(why.message())));
  superseded_(why);
}

void JobRecords::Add(const JobId& id, std::shared_ptr<const proto::SubmittedJob> submitted,
                     std::shared_ptr<const proto::JobRecord> record,
                     absl::AnyInvocable<void(const absl::Status&)> done) {
  const auto add = [id, submitted, record](CoordinationStore& store) {
    const absl::Status added = store.AddJob(id, *submitted, *record);
    if (added.ok() || added.code() == absl::StatusCode::kAborted ||
        added.code() == absl::StatusCode::kInvalidArgument) {
      return added;
    }
    // It may be there: it must not come up after the client was told that it is not.
    const absl::Status removed = store.RemoveJob(id);
    const std::string what = StrCat("the job could not be recorded: ", ToStd(added.message()));
    if (removed.ok()) return absl::Status(added.code(), what);
    return absl::UnknownError(
        StrCat(what, "; whether job ", id.ToString(),
               " is there after the job manager is started again is not known: ",
               ToStd(removed.message())));
  };
  OnWriter(add, std::move(done));
}

void JobRecords::Write(const JobId& id, std::shared_ptr<const proto::JobRecord> record,
                       Closure durable) {
  Job& job = jobs_[id];
  job.record = std::move(record);
  if (durable != nullptr) job.waiting.push_back(std::move(durable));
  if (!job.busy) WriteNext(id);
}

void JobRecords::WriteNext(const JobId& id) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return;
  Job& job = found->second;
  job.busy = true;
  std::move(job.waiting.begin(), job.waiting.end(), std::back_inserter(job.writing));
  job.waiting.clear();
  OnWriter(
      [id, record = job.record](CoordinationStore& store) { return store.PutRecord(id, *record); },
      [this, id, record = job.record](const absl::Status& status) {
        OnWritten(id, record, status);
      });
}

void JobRecords::OnWritten(const JobId& id, const std::shared_ptr<const proto::JobRecord>& record,
                           const absl::Status& status) {
  const auto found = jobs_.find(id);
  // It was forgotten meanwhile.
  if (found == jobs_.end()) return;
  Job& job = found->second;
  if (!status.ok()) {
    log_("error", StrCat("the record of job ", id.ToString(),
                         " cannot be written; it is tried again, "
                         "and until then the job waits: ",
                         ToStd(status.message())));
    owner_.PostAfter(job.retry, lifetime_.Guard([this, id] { WriteNext(id); }));
    job.retry = std::min(2 * job.retry, kLastRetry);
    return;
  }
  std::vector<Closure> durable = std::exchange(job.writing, {});
  const bool newest = job.record == record;
  if (newest) {
    jobs_.erase(id);
  } else {
    job.retry = kFirstRetry;
    WriteNext(id);
  }
  for (Closure& closure : durable) closure();
}

void JobRecords::Insist(std::function<absl::Status(CoordinationStore&)> work, std::string what,
                        absl::Duration retry, Closure done) {
  OnWriter(
      work, [this, work, what, retry, done = std::move(done)](const absl::Status& status) mutable {
        if (status.ok()) {
          if (done != nullptr) done();
          return;
        }
        log_("warning", StrCat(what, ": ", ToStd(status.message()), "; is tried again"));
        owner_.PostAfter(
            retry, lifetime_.Guard([this, work, what, retry, done = std::move(done)]() mutable {
              Insist(work, what, std::min(2 * retry, kLastRetry), std::move(done));
            }));
      });
}

void JobRecords::Remove(const JobId& id) {
  jobs_.erase(id);
  Insist([id](CoordinationStore& store) { return store.RemoveJob(id); },
         StrCat("forgetting job ", id.ToString()), kFirstRetry, nullptr);
}

void JobRecords::ConfirmLeadership(Closure leads) {
  Insist([](CoordinationStore& store) { return store.CheckLeads(); },
         "asking whether this job manager leads", kFirstRetry, std::move(leads));
}

}  // namespace weir::jobmanager
