#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "taskmanager/worker/crash_report.h"
#include "taskmanager/worker/worker_spec.h"

namespace weir {

// A worker that was launched. Thread safe; neither call blocks or waits. Nothing happens if it has
// ended. Destruction does not end it.
class WorkerProcess {
 public:
  virtual ~WorkerProcess() = default;
  virtual int64_t pid() const = 0;
  // Asks it to cancel its tasks and end (SIGTERM).
  virtual void Terminate() = 0;
  // Ends it at once (SIGKILL).
  virtual void Kill() = 0;
};

// Makes workers. The real one starts processes; the simulator's makes simulated ones.
class WorkerLauncher {
 public:
  virtual ~WorkerLauncher() = default;
  // Blocks, so it is called on the pool. `spec.directory` exists. `on_exit` runs once, on any
  // thread, when the worker and the processes that it started have ended, maybe before this
  // returns; not at all if this fails.
  virtual absl::StatusOr<std::unique_ptr<WorkerProcess>> Launch(
      const WorkerSpec& spec, std::function<void(WorkerExit)> on_exit) = 0;
};

}  // namespace weir
