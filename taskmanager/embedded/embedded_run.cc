#include "taskmanager/embedded/embedded_run.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "common/base/lifetime.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"
#include "runtime/time/source_alignment.h"

namespace weir {
namespace {

constexpr absl::Duration kQuietTime = absl::Seconds(2);
constexpr absl::Duration kAlignmentInterval = absl::Milliseconds(10);
constexpr absl::Duration kProgressInterval = absl::Seconds(1);

struct LoadedJob {
  std::unique_ptr<Plugin> plugin;
  std::unique_ptr<JobDefinition> definition;
  proto::JobGraph graph;
};

absl::StatusOr<std::shared_ptr<LoadedJob>> LoadJob(PluginLoader& loader, const EmbeddedSpec& spec) {
  auto job = std::make_shared<LoadedJob>();
  WEIR_ASSIGN_OR_RETURN(job->plugin, loader.Load(spec.plugin_path));
  WEIR_ASSIGN_OR_RETURN(job->definition, job->plugin->Define({.arguments = spec.arguments}));
  if (job->definition->name.empty()) job->definition->name = JobNameOfFile(spec.plugin_path);
  WEIR_ASSIGN_OR_RETURN(job->graph,
                        BuildJobGraph(*job->definition, {.job_name = spec.job_name,
                                                         .parallelism = spec.parallelism,
                                                         .max_parallelism = spec.max_parallelism}));
  return job;
}

proto::DeploymentPlan PlanForOneProcess(const proto::JobGraph& graph) {
  proto::DeploymentPlan plan;
  plan.add_workers()->set_index(0);
  for (const proto::Vertex& vertex : graph.vertices()) {
    auto* placement = plan.add_vertices();
    placement->set_vertex(vertex.id());
    for (uint32_t i = 0; i < vertex.parallelism(); ++i) placement->add_workers(0);
  }
  return plan;
}

bool IsTerminal(proto::TaskState state) {
  return state == proto::TASK_FINISHED || state == proto::TASK_CANCELED ||
         state == proto::TASK_FAILED;
}

// 1234567 as "1,234,567".
std::string Grouped(uint64_t number) {
  std::string digits = StrCat(number);
  for (size_t end = digits.size(); end > 3; end -= 3) digits.insert(end - 3, ",");
  return digits;
}

class RuntimeRun final : public EmbeddedRun {
 public:
  RuntimeRun(Env& env, Executor& control, PluginLoader& loader, const ConnectorRegistry& connectors,
             EmbeddedSpec spec, OnProgress on_progress, OnEnd on_end)
      : env_(env),
        control_(control),
        loader_(loader),
        connectors_(connectors),
        spec_(std::move(spec)),
        on_progress_(std::move(on_progress)),
        on_end_(std::move(on_end)) {}

  ~RuntimeRun() override {
    lifetime_.End();
    if (runtime_ != nullptr) runtime_->Cancel();
  }

  void Start() override {
    control_.Post(lifetime_.Guard([this] {
      env_.RunBlocking(
          [&control = control_, &loader = loader_, spec = spec_,
           loaded = lifetime_.Guard([this](auto job) { OnLoaded(std::move(job)); })]() mutable {
            control.Post([loaded = std::move(loaded), job = LoadJob(loader, spec)]() mutable {
              loaded(std::move(job));
            });
          });
    }));
  }

  void Cancel() override {
    control_.Post(lifetime_.Guard([this] {
      cancelled_ = true;
      if (runtime_ != nullptr) runtime_->Cancel();
    }));
  }

 private:
  void OnLoaded(absl::StatusOr<std::shared_ptr<LoadedJob>> job) {
    if (!job.ok()) {
      return End({EmbeddedEnd::Kind::kWrongUsage, std::string(job.status().message())});
    }
    job_ = *std::move(job);
    if (cancelled_) return End({EmbeddedEnd::Kind::kCanceled, "cancelled before it began"});
    RuntimeOptions options = spec_.runtime;
    options.alignment = &alignment_;
    auto runtime = JobRuntime::Make(
        env_, control_, *job_->definition, job_->graph, PlanForOneProcess(job_->graph), connectors_,
        nullptr, std::move(options), lifetime_.GuardConst([this] { OnChange(); }));
    if (!runtime.ok()) {
      return End({EmbeddedEnd::Kind::kFailed, std::string(runtime.status().message())});
    }
    runtime_ = *std::move(runtime);
    started_nanos_ = env_.clock().MonotonicNanos();
    runtime_->Start();
    if (on_progress_ != nullptr) ScheduleProgress(kQuietTime);
    AlignSources();
  }

  // This process is all there is.
  void AlignSources() {
    const SourceAlignment::Progress progress = alignment_.Report();
    if (ended_ || progress.empty()) return;
    alignment_.Apply(progress);
    control_.PostAfter(kAlignmentInterval, lifetime_.Guard([this] { AlignSources(); }));
  }

  void OnChange() {
    if (ended_ || runtime_ == nullptr) return;
    const std::vector<proto::TaskReport> tasks = runtime_->Report();
    const bool failed = std::any_of(tasks.begin(), tasks.end(), [](const auto& task) {
      return task.state() == proto::TASK_FAILED;
    });
    if (failed && !failing_) {
      failing_ = true;
      runtime_->Cancel();
    }
    if (!std::all_of(tasks.begin(), tasks.end(),
                     [](const auto& task) { return IsTerminal(task.state()); })) {
      return;
    }
    if (failed) return End({EmbeddedEnd::Kind::kFailed, DescribeFailure(tasks)});
    const bool finished = std::all_of(tasks.begin(), tasks.end(), [](const auto& task) {
      return task.state() == proto::TASK_FINISHED;
    });
    // A job that finished before it could be cancelled has finished.
    if (finished) return End({EmbeddedEnd::Kind::kFinished, ""});
    End({EmbeddedEnd::Kind::kCanceled, "cancelled"});
  }

  // The first failure: the others follow from it.
  std::string DescribeFailure(const std::vector<proto::TaskReport>& tasks) const {
    const proto::Failure* first = nullptr;
    for (const proto::TaskReport& task : tasks) {
      if (task.state() != proto::TASK_FAILED) continue;
      if (first == nullptr || task.failure().time_unix_micros() < first->time_unix_micros()) {
        first = &task.failure();
      }
    }
    std::string text = first->message();
    if (!first->operator_uid().empty() &&
        text.find(StrCat("'", first->operator_uid(), "'")) == std::string::npos) {
      text =
          StrCat("operator '", first->operator_uid(), "' (subtask ", first->subtask(), "): ", text);
    }
    for (const std::string& frame : first->stack()) {
      text +=
          StrCat("\n  at ", spec_.describe_frame == nullptr ? frame : spec_.describe_frame(frame));
    }
    return text;
  }

  void ScheduleProgress(absl::Duration delay) {
    control_.PostAfter(delay, lifetime_.Guard([this] {
      if (ended_) return;
      on_progress_(DescribeProgress());
      ScheduleProgress(kProgressInterval);
    }));
  }

  std::string DescribeProgress() const {
    uint64_t read = 0;
    uint64_t written = 0;
    size_t running = 0;
    const std::vector<proto::TaskReport> tasks = runtime_->Report();
    for (const proto::TaskReport& task : tasks) {
      running += IsTerminal(task.state()) ? 0 : 1;
      for (const proto::OperatorMetrics& metrics : task.operators()) {
        const proto::NodeKind kind = job_->graph.nodes(static_cast<int>(metrics.node())).kind();
        if (kind == proto::SOURCE) read += metrics.records_out();
        if (kind == proto::SINK) written += metrics.records_in();
      }
    }
    const double seconds =
        static_cast<double>(env_.clock().MonotonicNanos() - started_nanos_) / 1e9;
    return StrCat(static_cast<uint64_t>(seconds), " s: ", Grouped(read), " records read (",
                  Grouped(static_cast<uint64_t>(static_cast<double>(read) / seconds)), "/s), ",
                  Grouped(written), " written, ", running, " of ", tasks.size(), " tasks running");
  }

  void End(EmbeddedEnd end) {
    if (ended_) return;
    ended_ = true;
    on_end_(std::move(end));
  }

  Env& env_;
  Executor& control_;
  PluginLoader& loader_;
  const ConnectorRegistry& connectors_;
  const EmbeddedSpec spec_;
  const OnProgress on_progress_;
  const OnEnd on_end_;
  std::shared_ptr<LoadedJob> job_;
  SourceAlignment alignment_;
  std::unique_ptr<JobRuntime> runtime_;
  int64_t started_nanos_ = 0;
  bool cancelled_ = false;
  bool failing_ = false;
  bool ended_ = false;
  Lifetime lifetime_;
};

}  // namespace

std::unique_ptr<EmbeddedRun> EmbeddedRun::Make(Env& env, Executor& control, PluginLoader& loader,
                                               const ConnectorRegistry& connectors,
                                               EmbeddedSpec spec, OnProgress on_progress,
                                               OnEnd on_end) {
  return std::make_unique<RuntimeRun>(env, control, loader, connectors, std::move(spec),
                                      std::move(on_progress), std::move(on_end));
}

}  // namespace weir
