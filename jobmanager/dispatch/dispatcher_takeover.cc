// Jobs that leaders before have left.
#include <utility>

#include "common/base/strings.h"
#include "jobmanager/dispatch/dispatcher.h"
#include "proto/control.pb.h"
#include "proto/job_record.pb.h"

namespace weir::jobmanager {

void Dispatcher::TakeUp(const StoredJob& stored) {
  changed_ = true;
  absl::Status status = stored.status;
  absl::StatusOr<JobSpec> spec;
  if (status.ok()) {
    spec = ToJobSpec(stored.id, *stored.submitted);
    status = spec.status();
    if (status.ok() && stored.record->has_scale()) ApplyScale(stored.record->scale(), *spec);
  }
  if (status.ok()) {
    uint32_t slots = 0;
    for (const auto& worker : stored.record->workers()) slots += worker.slots();
    if (slots != 0 && slots < ExecutionGraph(spec->graph).slots_needed()) {
      status = absl::DataLossError("its record has fewer slots than its graph needs");
    }
  }
  if (!status.ok()) {
    const std::string name = stored.submitted != nullptr ? stored.submitted->name()
                             : stored.record != nullptr  ? stored.record->name()
                                                         : "unreadable";
    Log("error", StrCat("job ", stored.id.ToString(), " '", name,
                        "' cannot be taken up and is left as it is: ", ToStd(status.message())));
    unreadable_[stored.id] = {name, status};
    return;
  }
  auto entry = std::make_unique<Entry>();
  Entry* const added = entry.get();
  by_id_[stored.id] = added;
  entries_.push_back(std::move(entry));
  added->plugin_released = stored.record->clean();
  added->job = std::make_unique<Job>(*this, *std::move(spec), *stored.record);
  if (IsTerminal(added->job->state())) TidyLater();
  // A job that is not clean looks for them itself, from now on.
  const std::string& checkpoints = added->job->spec().policies.checkpoint_directory;
  if (stored.record->clean() && !checkpoints.empty()) {
    leftover_looks_.Add(stored.id, checkpoints, stored.record);
  }
  Log("info", StrCat("job ", stored.id.ToString(), " '", added->job->spec().name,
                     "' is known from ", "leader epoch ", stored.record->leader_epoch(), ": ",
                     Name(added->job->state()), ", attempt ", added->job->attempt()));
}

void Dispatcher::FillUnreadable(const JobId& id, const Unreadable& job,
                                proto::JobSummary& summary) const {
  summary.set_job_id(std::string(id.bytes().begin(), id.bytes().end()));
  summary.set_name(job.name);
  summary.set_state(proto::FAILED);
}

}  // namespace weir::jobmanager
