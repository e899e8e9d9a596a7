#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "common/env/env.h"
#include "runtime/job_runtime.h"
#include "sdk/host/plugin_host.h"

namespace weir {

struct EmbeddedSpec {
  std::string plugin_path;
  std::map<std::string, std::string> arguments;
  // Empty: as the plugin says.
  std::string job_name;
  uint32_t parallelism = 1;
  uint32_t max_parallelism = 128;
  RuntimeOptions runtime;
  // Makes "0x..." of a stack of this process readable; null: frames stay as they are.
  std::function<std::string(const std::string& frame)> describe_frame = nullptr;
};

struct EmbeddedEnd {
  enum class Kind { kFinished, kCanceled, kFailed, kWrongUsage };
  Kind kind = Kind::kFinished;
  // Why, for all but kFinished: one error, the first that occurred.
  std::string message;
};

// Runs a whole job in this process, without a cluster: loads the plugin, makes the graph, and runs
// all subtasks on the threads of one JobRuntime.
//
// Owned by `control`; the constructor, Start and Cancel may be called from any thread. Destroyed
// where no callback of it can be running: on the simulator's thread, or after control.Shutdown().
class EmbeddedRun {
 public:
  using OnEnd = std::function<void(EmbeddedEnd)>;
  // One line that says how far the job is; each second from the third on. Null: not wanted.
  using OnProgress = std::function<void(std::string line)>;

  // Everything passed by reference outlives it. `on_end` runs once, on `control`; it must not
  // destroy the run.
  static std::unique_ptr<EmbeddedRun> Make(Env& env, Executor& control, PluginLoader& loader,
                                           const ConnectorRegistry& connectors, EmbeddedSpec spec,
                                           OnProgress on_progress, OnEnd on_end);
  virtual ~EmbeddedRun() = default;

  virtual void Start() = 0;
  // Ends with kCanceled once all tasks have stopped.
  virtual void Cancel() = 0;
};

}  // namespace weir
