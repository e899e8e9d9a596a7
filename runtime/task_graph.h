#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/exchange/local_channel.h"
#include "runtime/exchange/remote_input_channel.h"
#include "runtime/exchange/remote_output_channel.h"
#include "runtime/job_runtime.h"
#include "runtime/task/gate_input.h"
#include "runtime/task/task.h"

namespace weir {

// The tasks of one job in this process, wired up: what JobRuntime::Make makes of the definition,
// the graph and the plan. Built on the control executor and only read afterwards. Must outlive the
// executors' last closure and the exchange's last callback.
class TaskGraph {
 public:
  // Checks that the three belong together. All references outlive the graph; `executors` are those
  // that tasks are spread over, `control` is for timers of what is not a task.
  static absl::StatusOr<std::unique_ptr<TaskGraph>> Build(
      Env& env, Executor& control, const JobDefinition& definition, const proto::JobGraph& graph,
      const proto::DeploymentPlan& plan, const ConnectorRegistry& connectors, Exchange* exchange,
      const RuntimeOptions& options, const std::vector<Executor*>& executors,
      std::function<void()> on_change);

  const std::vector<std::unique_ptr<Task>>& tasks() const { return tasks_; }

 private:
  friend class TaskGraphBuilder;
  std::vector<std::unique_ptr<LocalChannel>> local_channels_;
  std::vector<std::unique_ptr<RemoteInputChannel>> remote_inputs_;
  std::vector<std::unique_ptr<RemoteOutputChannel>> remote_outputs_;
  std::vector<std::unique_ptr<Task>> tasks_;
};

}  // namespace weir
