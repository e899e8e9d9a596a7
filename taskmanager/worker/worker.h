#pragma once

#include <functional>
#include <memory>

#include "common/config/settings.h"
#include "common/env/env.h"
#include "runtime/job_runtime.h"
#include "sdk/host/plugin_host.h"
#include "state/backend/state_backend.h"
#include "taskmanager/worker/crash_report.h"
#include "taskmanager/worker/worker_spec.h"

namespace weir {

// How a worker ended: what its process exits with, and the report that it leaves for its agent.
struct WorkerEnd {
  WorkerExitCode code = WorkerExitCode::kStopped;
  CrashReport report;
};

// Runs one job's subtasks in one process: loads the plugin, makes the job's graph again and
// compares it with the submitted one, registers at the job manager, and does what that says
// (Deploy, StartTasks, CancelTasks). Tells it the state of all its tasks with each heartbeat, and
// at once when one changes. Ends when it is told to, when the job manager refuses it, or when the
// job manager is silent for the orphan timeout; that its tasks are done is no reason to end: the
// job manager decides. Its tasks run on while the job manager is away; it registers at the next
// one, and tells that one all it told the one before.
//
// It has no state that outlives it and never restarts: another attempt is another Worker. Works on
// any Env, so the simulator runs it as it is.
//
// Owned by `control`, on which everything but user code runs; the constructor, Start and Stop may
// be called from any thread. The destructor runs where no handler of it can be running: on the
// simulator's thread, or after control.Shutdown().
class Worker {
 public:
  // One line of the job's log: level ("info", "warning", "error") and text. Called from any thread.
  using Log = std::function<void(std::string_view level, std::string_view text)>;
  // Makes "0x..." of a stack of this process readable.
  using DescribeFrame = std::function<std::string(const std::string& frame)>;
  using OnEnd = std::function<void(WorkerEnd)>;
  // From the job's settings.
  using MakeStateBackend =
      std::function<std::unique_ptr<StateBackend>(const Settings&, const std::string& folder)>;

  // What it works with; outlives it.
  struct Surroundings {
    Env& env;
    Executor& control;
    PluginLoader& loader;
    const ConnectorRegistry& connectors;
    Log log;
    // Null: frames stay as they are.
    DescribeFrame describe_frame = nullptr;
    // Makes the backend of jobs that keep their state in files below a folder; null: there is none.
    MakeStateBackend make_state_backend = nullptr;
  };

  // `on_end` runs once, on the control executor; after it the worker does nothing more. It must not
  // destroy the worker.
  static std::unique_ptr<Worker> Make(Surroundings surroundings, WorkerSpec spec, OnEnd on_end);
  virtual ~Worker() = default;

  virtual void Start() = 0;
  // Cancels the tasks and ends with kStopped once they are done, or after `patience`.
  virtual void Stop(absl::Duration patience) = 0;
};

}  // namespace weir
