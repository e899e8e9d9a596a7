#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/id.h"
#include "common/env/env.h"
#include "runtime/task_inspection.h"
#include "runtime/task_state.h"
#include "state/backend/state_backend.h"
#include "transport/exchange/exchange.h"
#include "weir/graph.h"

namespace weir {

namespace proto {
class JobGraph;
class DeploymentPlan;
class TaskInspection;
class TaskReport;
}  // namespace proto

class SourceAlignment;

// Makes the readers and writers of the host's connectors from their specs (connectors/). Thread
// safe.
class ConnectorRegistry {
 public:
  virtual ~ConnectorRegistry() = default;
  // kInvalidArgument for an unknown connector (naming the known ones), an unknown setting or a bad
  // value.
  virtual absl::Status Validate(const ConnectorSpec& spec, bool is_source) const = 0;
  virtual absl::StatusOr<std::unique_ptr<SourceReader>> MakeSource(
      const ConnectorSpec& spec, const RecordType& type) const = 0;
  virtual absl::StatusOr<std::unique_ptr<SinkWriter>> MakeSink(const ConnectorSpec& spec,
                                                               const RecordType& type) const = 0;
};

struct RuntimeOptions {
  uint32_t worker_index = 0;
  // Threads that run tasks.
  uint32_t task_threads = 1;
  absl::Duration flush_interval = absl::Milliseconds(5);      // execution.buffer-timeout
  absl::Duration watermark_interval = absl::Milliseconds(5);  // pipeline.auto-watermark-interval
  uint32_t batch_records = 1024;
  // Batches that may wait in a channel between two subtasks of this worker.
  uint32_t batches_per_local_channel = 8;
  // What the records in such a channel may take in memory.
  size_t bytes_per_local_channel = 16 << 20;
  BarrierOptions barriers;
  // Checkpoints have of keyed state in memory what has changed since others that are complete.
  bool incremental = false;
  // What a task reads at a time of restored state that no record has needed yet; 0: nothing, until
  // a checkpoint needs it.
  size_t restore_chunk_bytes = 256 << 10;
  // Called on a task's thread with what that has at each barrier, and once more when it has
  // finished; must not block. Null: no checkpoints.
  std::function<void(TaskCheckpoint)> on_checkpoint;
  // By vertex and subtask: what tasks start from. Others start from the beginning.
  std::map<std::pair<uint32_t, uint32_t>, std::shared_ptr<const TaskState>> restore;
  // Which execution of which job this is.
  RunInfo run;
  // Where keyed state is kept that need not fit into memory; outlives the runtime. Null: in memory.
  StateBackend* state_backend = nullptr;
  // Tasks read nothing: their sinks commit what is restored, and they are FINISHED.
  bool commit_only = false;
  // Of all runtimes of this process; outlives them. Null: no source waits for others.
  SourceAlignment* alignment = nullptr;
  // For log lines: uid, level, text.
  std::function<void(std::string_view uid, std::string_view level, std::string_view text)> log;
};

// The subtasks of one job in one process. Made on and owned by the worker's control executor; its
// tasks run on task threads of its own (on the simulator's thread there).
//
// Lifecycle: Make (tasks and channels exist, nothing runs), Start, then on_change after each change
// of a task's state until all tasks are terminal; Cancel at any time; destruction at any time, on
// `control`: it shuts `exchange` down, waits for the running step of each task thread and closes
// what is open.
class JobRuntime {
 public:
  virtual ~JobRuntime() = default;

  // `definition`, `graph`, `connectors` and `env` outlive it. `exchange` may be null if all
  // subtasks are here. `on_change` runs on `control`.
  static absl::StatusOr<std::unique_ptr<JobRuntime>> Make(
      Env& env, Executor& control, const JobDefinition& definition, const proto::JobGraph& graph,
      const proto::DeploymentPlan& plan, const ConnectorRegistry& connectors, Exchange* exchange,
      RuntimeOptions options, std::function<void()> on_change);
  // Once.
  virtual void Start() = 0;
  // Tasks stop at the next step; those not terminal become CANCELED. Idempotent.
  virtual void Cancel() = 0;
  // The sources here put the barrier into their streams. Thread safe; an id that is not higher than
  // one before is ignored.
  virtual void TriggerCheckpoint(const Barrier& barrier) = 0;
  // The checkpoint is not waited for any more: tasks that it has stopped go on. Thread safe.
  virtual void AbortCheckpoint(uint64_t id) = 0;
  // The checkpoint and all before it are complete: sinks may commit what they hold, and tasks that
  // it has stopped are FINISHED when theirs have. A state that may be told again. Thread safe.
  virtual void CompleteCheckpoint(uint64_t id) = 0;
  // Has each task of these vertices (none: of all) say what is asked, between two of its steps:
  // `done` is called on its thread, once, unless the runtime is gone before. Returns how
  // many were asked. Thread safe.
  virtual size_t Inspect(const TaskInspection& inspection, const std::vector<uint32_t>& vertices,
                         std::function<void(proto::TaskInspection)> done) = 0;
  // State, failure and metrics of every subtask here. Thread safe.
  virtual std::vector<proto::TaskReport> Report() const = 0;
};

}  // namespace weir
