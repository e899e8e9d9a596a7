#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/env/env.h"
#include "taskmanager/slots/plugin_cache.h"
#include "taskmanager/slots/worker_launcher.h"
#include "taskmanager/worker/worker_spec.h"

namespace weir {

namespace proto {
class Failure;
}

// The workers of one task manager and the slots they take: fetches a worker's plugin, launches it,
// stops it, and reads what it left behind when it has ended. Knows nothing of the job manager.
//
// An ended worker's slots are free at once; its key is remembered, so that it is never started
// again, and its folder is kept for its logs, both for the last kRetainedFolders workers.
//
// Owned by `control`: every call comes from it and every callback runs on it.
class WorkerTable {
 public:
  static constexpr size_t kRetainedFolders = 64;
  static constexpr uint32_t kMaxLogLines = 10'000;
  static constexpr size_t kMaxLogBytes = 1 << 20;

  struct Options {
    uint32_t slots = 1;
    // Folder of the workers' folders.
    std::string jobs_directory;
    // Between SIGTERM and SIGKILL.
    absl::Duration stop_grace = absl::Seconds(3);
  };
  using Started = absl::AnyInvocable<void(absl::StatusOr<int64_t> pid)>;
  using LogText = absl::AnyInvocable<void(absl::StatusOr<std::string> text)>;
  // A launched worker has ended: once for each that was Started with success.
  using OnEnded = std::function<void(const WorkerSpec& spec, const WorkerExit& exit,
                                     const proto::Failure& failure)>;

  // Everything passed by reference outlives it.
  static std::unique_ptr<WorkerTable> Make(Env& env, Executor& control, WorkerLauncher& launcher,
                                           PluginCache& plugins, Options options, OnEnded on_ended);
  virtual ~WorkerTable() = default;

  // `spec.directory` and `spec.plugin_path` are filled in here. A worker that is there already is
  // answered again, not started again. kResourceExhausted: no free slots; kFailedPrecondition: a
  // newer attempt of the job runs here; kAlreadyExists: it has ended already; kCancelled: it was
  // stopped before it began.
  virtual void Start(WorkerSpec spec, Started done) = 0;
  // Ends it, by force after the grace. Nothing happens if it is not here. Idempotent.
  virtual void Stop(const WorkerKey& key) = 0;
  virtual void StopAll() = 0;

  // Those whose process has not ended, also while they start.
  virtual std::vector<WorkerKey> Live() const = 0;
  virtual uint32_t free_slots() const = 0;

  // The last lines that the newest attempt of a job's worker wrote to its standard output and
  // error. kNotFound if none is known here.
  virtual void ReadLog(const JobId& job, uint32_t index, uint32_t max_lines, LogText done) = 0;
};

}  // namespace weir
