#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/base/id.h"
#include "common/base/lifetime.h"
#include "common/env/env.h"

namespace weir::proto {
class JobRecord;
}

namespace weir::jobmanager {

// Looks for what is left in the checkpoint folders of jobs that had ended before this job manager
// was started: tasks that were cut off may have written after the job manager before had looked
// last. Looks at once, then at those of kSweepsAfterEnd that are still to come, at one job at a
// time, on an IO thread, and only while this job manager leads. What fails is logged and tried
// again at the job's next look. Owned by one executor.
class LeftoverLooks {
 public:
  // Calls `leads` if this job manager leads still, and not at all otherwise.
  using ConfirmLeadership = std::function<void(Closure leads)>;
  using Log = std::function<void(std::string_view level, std::string_view text)>;

  // `env` and `executor` outlive it.
  LeftoverLooks(Env& env, Executor& executor, ConfirmLeadership confirm_leadership, Log log);
  ~LeftoverLooks();

  // A job that has ended, and of which all that was to be deleted then is: its record is clean and
  // does not change any more. `directory`: execution.checkpointing.dir.
  void Add(const JobId& id, const std::string& directory,
           std::shared_ptr<const proto::JobRecord> record);

 private:
  struct EndedJob {
    JobId id;
    std::string directory;
    std::shared_ptr<const proto::JobRecord> record;
  };

  void Enqueue(std::shared_ptr<const EndedJob> job);
  void StartNext();
  void OnLooked(const EndedJob& job, const absl::Status& status);

  Env& env_;
  Executor& executor_;
  const ConfirmLeadership confirm_leadership_;
  const Log log_;
  // At most one entry a job and look.
  std::deque<std::shared_ptr<const EndedJob>> waiting_;
  bool looking_ = false;
  Lifetime lifetime_;
};

}  // namespace weir::jobmanager
