#include "jobmanager/dispatch/leftover_looks.h"

#include <algorithm>
#include <utility>

#include "common/base/strings.h"
#include "jobmanager/checkpoint/checkpoint_surroundings.h"
#include "jobmanager/schedule/leftover_files.h"
#include "proto/job_record.pb.h"

namespace weir::jobmanager {

LeftoverLooks::LeftoverLooks(Env& env, Executor& executor, ConfirmLeadership confirm_leadership,
                             Log log)
    : env_(env),
      executor_(executor),
      confirm_leadership_(std::move(confirm_leadership)),
      log_(std::move(log)) {}

LeftoverLooks::~LeftoverLooks() { lifetime_.End(); }

void LeftoverLooks::Add(const JobId& id, const std::string& directory,
                        std::shared_ptr<const proto::JobRecord> record) {
  const absl::Duration ended_ago =
      env_.clock().Now() - absl::FromUnixMicros(record->ended_unix_micros());
  const auto job = std::make_shared<const EndedJob>(EndedJob{id, directory, std::move(record)});
  Enqueue(job);
  for (const absl::Duration later : kSweepsAfterEnd) {
    // Not later than that if the clock was set back.
    const absl::Duration left = std::min(later, later - ended_ago);
    if (left <= absl::ZeroDuration()) continue;
    executor_.PostAfter(left, lifetime_.Guard([this, job] { Enqueue(job); }));
  }
}

void LeftoverLooks::Enqueue(std::shared_ptr<const EndedJob> job) {
  waiting_.push_back(std::move(job));
  StartNext();
}

void LeftoverLooks::StartNext() {
  if (looking_ || waiting_.empty()) return;
  looking_ = true;
  auto job = std::move(waiting_.front());
  waiting_.pop_front();
  confirm_leadership_(lifetime_.Guard([this, job = std::move(job)] {
    auto done =
        lifetime_.Guard([this, job](const absl::Status& status) { OnLooked(*job, status); });
    env_.RunBlocking(
        [&files = env_.files(), &executor = executor_, job, done = std::move(done)]() mutable {
          const absl::Status status =
              DeleteLeftoversOfEnded(files, job->directory, job->id, *job->record);
          executor.Post([done = std::move(done), status]() mutable { done(status); });
        });
  }));
}

void LeftoverLooks::OnLooked(const EndedJob& job, const absl::Status& status) {
  if (!status.ok()) {
    log_("warning", StrCat("job ", job.id.ToString(), " '", job.record->name(),
                           "' has ended; what its tasks may have left in '", job.directory,
                           "' could not be deleted; it is tried again at the next look: ",
                           ToStd(status.message())));
  }
  looking_ = false;
  StartNext();
}

}  // namespace weir::jobmanager
