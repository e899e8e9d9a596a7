#include "taskmanager/worker/deployed_region.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/base/status_macros.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"

namespace weir {
namespace {

bool IsTerminal(proto::TaskState state) {
  return state == proto::TASK_FINISHED || state == proto::TASK_CANCELED ||
         state == proto::TASK_FAILED;
}

// A plan in which all that is not of the region runs nowhere, and what of it runs in this worker.
struct RegionPlan {
  proto::DeploymentPlan plan;
  // One a thread: subtasks of one number share it.
  std::set<uint32_t> local_subtasks;
  bool spans_workers = false;
};

RegionPlan PlanOf(const proto::DeploymentPlan& whole, const PipelinedRegions& regions,
                  uint32_t region, uint32_t worker) {
  constexpr uint32_t kNowhere = UINT32_MAX;
  RegionPlan part{.plan = whole, .local_subtasks = {}, .spans_workers = false};
  for (auto& placement : *part.plan.mutable_vertices()) {
    for (int subtask = 0; subtask < placement.workers_size(); ++subtask) {
      const auto number = static_cast<uint32_t>(subtask);
      if (regions.Of(placement.vertex(), number) != region) {
        placement.set_workers(subtask, kNowhere);
      } else if (placement.workers(subtask) == worker) {
        part.local_subtasks.insert(number);
      } else {
        part.spans_workers = true;
      }
    }
  }
  return part;
}

}  // namespace

std::vector<uint32_t> DeployedRegion::On(const proto::DeploymentPlan& plan,
                                         const PipelinedRegions& regions, uint32_t worker) {
  std::set<uint32_t> here;
  for (const auto& placement : plan.vertices()) {
    for (int subtask = 0; subtask < placement.workers_size(); ++subtask) {
      if (placement.workers(subtask) != worker) continue;
      here.insert(regions.Of(placement.vertex(), static_cast<uint32_t>(subtask)));
    }
  }
  return {here.begin(), here.end()};
}

absl::StatusOr<std::unique_ptr<DeployedRegion>> DeployedRegion::Make(
    const Surroundings& surroundings, uint32_t region, uint32_t attempt,
    const proto::DeployRequest& request, RuntimeOptions options, ExchangeOptions exchange) {
  std::unique_ptr<DeployedRegion> made(new DeployedRegion(attempt, request.last_checkpoint_id()));
  const RegionPlan part =
      PlanOf(request.plan(), surroundings.regions, region, surroundings.worker.index);
  // Each region has threads of its own, as many as it has slots here.
  if (surroundings.regions.count() > 1) {
    options.task_threads =
        std::min(options.task_threads, static_cast<uint32_t>(part.local_subtasks.size()));
  }
  if (part.spans_workers) {
    exchange.region = region;
    exchange.attempt = attempt;
    WEIR_ASSIGN_OR_RETURN(made->exchange_, surroundings.exchanges.Open(std::move(exchange)));
  }
  std::erase_if(options.restore, [&](const auto& entry) {
    return surroundings.regions.Of(entry.first.first, entry.first.second) != region;
  });
  options.commit_only = request.commit_only();
  options.barriers = {.at_least_once = request.barriers().at_least_once(),
                      .unaligned = request.barriers().unaligned(),
                      .aligned_timeout = request.barriers().aligned_timeout_micros()};
  options.run = {.job = surroundings.worker.job.ToString(),
                 .attempt = attempt,
                 .restored_checkpoint = request.restore().checkpoint_id(),
                 .commits_with_checkpoints = request.commits_with_checkpoints(),
                 .takes_snapshots = true};
  made->reporter_ = std::make_unique<CheckpointReporter>(
      surroundings.env, surroundings.control, surroundings.worker,
      SnapshotPlace{request.checkpoint_directory(), attempt}, surroundings.graph,
      surroundings.copies, surroundings.acknowledge, surroundings.warn);
  options.on_checkpoint = made->reporter_->OnCheckpoint();
  WEIR_ASSIGN_OR_RETURN(
      made->runtime_,
      JobRuntime::Make(surroundings.env, surroundings.control, surroundings.definition,
                       *surroundings.graph, part.plan, surroundings.connectors,
                       made->exchange_.get(), std::move(options), surroundings.on_change));
  return made;
}

DeployedRegion::DeployedRegion(uint32_t attempt, uint64_t last_checkpoint_id)
    : attempt_(attempt), last_checkpoint_id_(last_checkpoint_id) {}

DeployedRegion::~DeployedRegion() {
  if (runtime_ != nullptr) runtime_->Cancel();
  if (exchange_ != nullptr) exchange_->Shutdown();
  runtime_.reset();
}

void DeployedRegion::Start() {
  if (discarded() || std::exchange(started_, true)) return;
  runtime_->Start();
}

void DeployedRegion::Cancel() {
  cancelled_ = true;
  if (!discarded()) runtime_->Cancel();
}

void DeployedRegion::DiscardIfEnded() {
  if (discarded() || !cancelled_ || !AllTerminal()) return;
  last_reports_ = runtime_->Report();
  runtime_.reset();
  reporter_.reset();
  exchange_.reset();
}

bool DeployedRegion::AllTerminal() const {
  const auto reports = Report();
  return std::all_of(reports.begin(), reports.end(),
                     [](const auto& task) { return IsTerminal(task.state()); });
}

std::vector<proto::TaskReport> DeployedRegion::Report() const {
  std::vector<proto::TaskReport> reports = discarded() ? last_reports_ : runtime_->Report();
  for (proto::TaskReport& report : reports) report.set_attempt(attempt_);
  return reports;
}

size_t DeployedRegion::Inspect(const TaskInspection& inspection,
                               const std::vector<uint32_t>& vertices,
                               std::function<void(proto::TaskInspection)> done) {
  return discarded() ? 0 : runtime_->Inspect(inspection, vertices, std::move(done));
}

void DeployedRegion::TriggerCheckpoint(const Barrier& barrier, const std::string& directory) {
  if (discarded() || !started_ || barrier.id <= last_checkpoint_id_) return;
  if (NamesFolder(barrier.kind)) reporter_->SetDirectory(barrier.id, directory);
  runtime_->TriggerCheckpoint(barrier);
}

void DeployedRegion::OnCompleted(uint64_t id) {
  if (discarded() || id == 0) return;
  reporter_->OnCompleted(id);
  runtime_->CompleteCheckpoint(id);
}

void DeployedRegion::OnAborted(uint64_t id) {
  if (discarded() || id == 0) return;
  reporter_->OnAborted(id);
  runtime_->AbortCheckpoint(id);
}

void DeployedRegion::TellAgain() {
  if (!discarded()) reporter_->TellAgain();
}

}  // namespace weir
