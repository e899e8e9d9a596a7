#include "benchmarks/lib/embedded.h"

#include <condition_variable>
#include <mutex>

#include "benchmarks/lib/no_connectors.h"
#include "common/base/status_macros.h"
#include "common/env/system/system_env.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"
#include "runtime/job_runtime.h"
#include "sdk/host/plugin_host.h"

namespace weir::bench {
absl::Status RunEmbedded(const JobDefinition& definition, std::uint32_t parallelism,
                         std::uint32_t threads, StateBackend* backend) {
  if (!definition.errors.empty()) return absl::InvalidArgumentError(definition.errors.front());
  WEIR_ASSIGN_OR_RETURN(
      const proto::JobGraph graph,
      BuildJobGraph(definition,
                    {.job_name = "bench", .parallelism = parallelism, .max_parallelism = 128}));
  proto::DeploymentPlan plan;
  plan.add_workers()->set_index(0);
  for (const proto::Vertex& vertex : graph.vertices()) {
    auto* placement = plan.add_vertices();
    placement->set_vertex(vertex.id());
    for (std::uint32_t i = 0; i < vertex.parallelism(); ++i) placement->add_workers(0);
  }
  const std::unique_ptr<Env> env = MakeSystemEnv();
  const std::unique_ptr<Executor> control = env->NewExecutor("control");
  const NoConnectors connectors;
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  absl::Status result;
  std::unique_ptr<JobRuntime> runtime;
  RuntimeOptions options;
  options.task_threads = threads;
  options.state_backend = backend;
  const auto on_change = [&] {
    if (runtime == nullptr) return;
    std::size_t running = 0;
    for (const proto::TaskReport& task : runtime->Report()) {
      if (task.state() == proto::TASK_FAILED && result.ok())
        result = absl::InternalError(task.failure().message());
      running += task.state() != proto::TASK_FINISHED ? 1 : 0;
    }
    if (running > 0 && result.ok()) return;
    const std::lock_guard<std::mutex> lock(mutex);
    done = true;
    changed.notify_one();
  };
  control->Post([&] {
    auto made = JobRuntime::Make(*env, *control, definition, graph, plan, connectors, nullptr,
                                 options, on_change);
    if (!made.ok()) {
      result = made.status();
      const std::lock_guard<std::mutex> lock(mutex);
      done = true;
      changed.notify_one();
      return;
    }
    runtime = std::move(*made);
    runtime->Start();
  });
  {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return done; });
  }
  // The runtime belongs to the control executor.
  done = false;
  control->Post([&] {
    runtime.reset();
    const std::lock_guard<std::mutex> lock(mutex);
    done = true;
    changed.notify_one();
  });
  {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return done; });
  }
  control->Shutdown();
  return result;
}

}  // namespace weir::bench
