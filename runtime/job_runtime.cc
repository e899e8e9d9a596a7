#include "runtime/job_runtime.h"

#include <atomic>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"
#include "runtime/task_graph.h"

namespace weir {
namespace {

// The one implementation: a task graph on executors of its own.
class TaskGraphRuntime final : public JobRuntime {
 public:
  TaskGraphRuntime(Env& env, Executor& control, Exchange* exchange, RuntimeOptions options,
                   std::function<void()> on_change)
      : options_(std::move(options)),
        exchange_(exchange),
        control_(control),
        changes_(std::make_shared<Changes>(control, std::move(on_change))) {
    for (uint32_t i = 0; i < std::max<uint32_t>(options_.task_threads, 1); ++i) {
      executors_.push_back(env.NewExecutor(StrCat("task-", i)));
    }
  }

  ~TaskGraphRuntime() override {
    changes_->ended = true;
    // In this order: no callback of the network, then no step of a task, then nothing runs and all
    // can be closed here.
    if (exchange_ != nullptr) exchange_->Shutdown();
    for (const auto& executor : executors_) executor->Shutdown();
    if (tasks_ == nullptr) return;
    for (const auto& task : tasks_->tasks()) task->CloseNow();
  }

  absl::Status Build(Env& env, const JobDefinition& definition, const proto::JobGraph& graph,
                     const proto::DeploymentPlan& plan, const ConnectorRegistry& connectors) {
    std::vector<Executor*> executors;
    for (const auto& executor : executors_) executors.push_back(executor.get());
    WEIR_ASSIGN_OR_RETURN(
        tasks_,
        TaskGraph::Build(env, control_, definition, graph, plan, connectors, exchange_, options_,
                         executors, [changes = changes_] { Changes::Announce(changes); }));
    return absl::OkStatus();
  }

  void Start() override {
    WEIR_CHECK(!std::exchange(started_, true));
    for (const auto& task : tasks_->tasks()) task->Start();
  }

  void Cancel() override {
    for (const auto& task : tasks_->tasks()) task->Cancel();
  }

  void TriggerCheckpoint(const Barrier& barrier) override {
    for (const auto& task : tasks_->tasks()) task->TriggerCheckpoint(barrier);
  }

  void AbortCheckpoint(uint64_t id) override {
    for (const auto& task : tasks_->tasks()) task->AbortCheckpoint(id);
  }

  void CompleteCheckpoint(uint64_t id) override {
    for (const auto& task : tasks_->tasks()) task->CompleteCheckpoint(id);
  }

  size_t Inspect(const TaskInspection& inspection, const std::vector<uint32_t>& vertices,
                 std::function<void(proto::TaskInspection)> done) override {
    size_t asked = 0;
    for (const auto& task : tasks_->tasks()) {
      if (!vertices.empty() &&
          std::find(vertices.begin(), vertices.end(), task->vertex()) == vertices.end()) {
        continue;
      }
      ++asked;
      task->Inspect(inspection, done);
    }
    return asked;
  }

  std::vector<proto::TaskReport> Report() const override {
    std::vector<proto::TaskReport> reports;
    for (const auto& task : tasks_->tasks()) task->FillReport(reports.emplace_back());
    return reports;
  }

 private:
  // Carries changes of tasks to the control executor; several that it has not heard of yet are one.
  struct Changes {
    Changes(Executor& control_in, std::function<void()> on_change_in)
        : control(control_in), on_change(std::move(on_change_in)) {}

    static void Announce(const std::shared_ptr<Changes>& changes) {
      if (changes->announced.exchange(true)) return;
      changes->control.Post([changes] {
        changes->announced.store(false);
        if (!changes->ended) changes->on_change();
      });
    }

    Executor& control;
    const std::function<void()> on_change;
    std::atomic<bool> announced{false};
    // Of the control executor: the runtime is gone.
    bool ended = false;
  };

  const RuntimeOptions options_;
  Exchange* const exchange_;
  Executor& control_;
  bool started_ = false;
  const std::shared_ptr<Changes> changes_;
  std::unique_ptr<TaskGraph> tasks_;
  // Gone before the tasks: what they still hold of closures refers to them.
  std::vector<std::unique_ptr<Executor>> executors_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<JobRuntime>> JobRuntime::Make(
    Env& env, Executor& control, const JobDefinition& definition, const proto::JobGraph& graph,
    const proto::DeploymentPlan& plan, const ConnectorRegistry& connectors, Exchange* exchange,
    RuntimeOptions options, std::function<void()> on_change) {
  auto runtime = std::make_unique<TaskGraphRuntime>(env, control, exchange, std::move(options),
                                                    std::move(on_change));
  WEIR_RETURN_IF_ERROR(runtime->Build(env, definition, graph, plan, connectors));
  return std::unique_ptr<JobRuntime>(std::move(runtime));
}

}  // namespace weir
