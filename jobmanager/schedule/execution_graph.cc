#include "jobmanager/schedule/execution_graph.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"

namespace weir::jobmanager {
namespace {

constexpr uint32_t kNoWorker = UINT32_MAX;

uint64_t TimeOf(const proto::TaskReport& report) {
  return report.busy_micros() + report.idle_micros() + report.backpressured_micros();
}

uint64_t RecordsIn(const proto::TaskReport& report) {
  return report.operators_size() == 0 ? 0 : report.operators(0).records_in();
}

uint64_t RecordsOut(const proto::TaskReport& report) {
  return report.operators_size() == 0 ? 0
                                      : report.operators(report.operators_size() - 1).records_out();
}

double PerSecond(uint64_t before, uint64_t after, double seconds) {
  return after <= before || seconds <= 0 ? 0 : static_cast<double>(after - before) / seconds;
}

// `part` of the time that passed, in milliseconds a second. The three parts are measured by the
// worker, so that their sum is a better measure of what passed than the arrival of its messages.
double ShareOfSecond(uint64_t before, uint64_t after, uint64_t all) {
  return after <= before || all == 0
             ? 0
             : 1000.0 * static_cast<double>(after - before) / static_cast<double>(all);
}

TaskRates RatesBetween(const proto::TaskReport& before, const proto::TaskReport& after,
                       int64_t nanos) {
  TaskRates rates;
  const uint64_t all = TimeOf(after) > TimeOf(before) ? TimeOf(after) - TimeOf(before) : 0;
  rates.busy_ms = ShareOfSecond(before.busy_micros(), after.busy_micros(), all);
  rates.idle_ms = ShareOfSecond(before.idle_micros(), after.idle_micros(), all);
  rates.backpressured_ms =
      ShareOfSecond(before.backpressured_micros(), after.backpressured_micros(), all);
  const double seconds = static_cast<double>(nanos) / 1e9;
  rates.records_in = PerSecond(RecordsIn(before), RecordsIn(after), seconds);
  rates.records_out = PerSecond(RecordsOut(before), RecordsOut(after), seconds);
  return rates;
}

}  // namespace

struct ExecutionGraph::Task {
  uint32_t vertex = 0;
  uint32_t subtask = 0;
  uint32_t region = 0;
  uint32_t worker = kNoWorker;
  StateMachine<proto::TaskState> state{proto::TASK_CREATED};
  proto::TaskReport report;
  int64_t reported_nanos = 0;
  TaskRates rates;
};

ExecutionGraph::ExecutionGraph(std::shared_ptr<const proto::JobGraph> graph)
    : graph_(std::move(graph)), regions_(*graph_), attempts_(regions_.count(), 0) {
  static_assert(kFinished == proto::TASK_FINISHED);
  static_assert(proto::TaskState_MAX == 9);
  for (const proto::Vertex& vertex : graph_->vertices()) {
    first_task_.push_back(tasks_.size());
    slots_needed_ = std::max(slots_needed_, vertex.parallelism());
    for (uint32_t i = 0; i < vertex.parallelism(); ++i) {
      Task& task = tasks_.emplace_back();
      task.vertex = vertex.id();
      task.subtask = i;
      task.region = regions_.Of(vertex.id(), i);
    }
  }
  counts_[proto::TASK_CREATED] = tasks_.size();
}

ExecutionGraph::~ExecutionGraph() = default;
ExecutionGraph::ExecutionGraph(ExecutionGraph&&) noexcept = default;
ExecutionGraph& ExecutionGraph::operator=(ExecutionGraph&&) noexcept = default;

size_t ExecutionGraph::tasks() const { return tasks_.size(); }

void ExecutionGraph::Move(Task& task, proto::TaskState next) {
  --counts_[static_cast<size_t>(task.state.get())];
  task.state.MoveTo(next);
  ++counts_[static_cast<size_t>(next)];
  if (IsTerminal(next)) task.rates = TaskRates();
}

void ExecutionGraph::Schedule(const std::vector<uint32_t>& worker_of_slot) {
  WEIR_CHECK_GE(worker_of_slot.size(), size_t{slots_needed_});
  for (Task& task : tasks_) {
    task.worker = worker_of_slot[task.subtask];
    Move(task, proto::TASK_SCHEDULED);
  }
}

void ExecutionGraph::Deploy() {
  for (Task& task : tasks_) Move(task, proto::TASK_DEPLOYING);
}

void ExecutionGraph::FillPlacement(proto::DeploymentPlan& plan) const {
  for (const Task& task : tasks_) {
    if (task.subtask == 0) plan.add_vertices()->set_vertex(task.vertex);
    plan.mutable_vertices(plan.vertices_size() - 1)->add_workers(task.worker);
  }
}

absl::StatusOr<ExecutionGraph::Change> ExecutionGraph::Apply(uint32_t worker,
                                                             const proto::TaskReport& report,
                                                             int64_t now_nanos) {
  if (report.vertex() >= first_task_.size() ||
      report.subtask() >= graph_->vertices(static_cast<int>(report.vertex())).parallelism()) {
    return absl::InvalidArgumentError(StrCat("it reports subtask ", report.subtask(), " of vertex ",
                                             report.vertex(), ", which the job does not have"));
  }
  Task& task = tasks_[first_task_[report.vertex()] + report.subtask()];
  if (!IsCurrent(report)) return Change::kNone;
  if (task.worker != worker) {
    return absl::InvalidArgumentError(StrCat("it reports subtask ", report.subtask(), " of vertex ",
                                             report.vertex(), ", which runs on worker ",
                                             task.worker));
  }
  const proto::TaskState known = task.state.get();
  const proto::TaskState told = report.state();
  if (told < proto::TASK_CREATED || told > proto::TaskState_MAX ||
      (told >= proto::TASK_DEPLOYING && known < proto::TASK_DEPLOYING)) {
    return absl::InvalidArgumentError(StrCat("it reports state ", Name(told), " of subtask ",
                                             report.subtask(), " of vertex ", report.vertex(),
                                             ", which is ", Name(known)));
  }
  if (IsTerminal(known)) return Change::kNone;
  // Overtaken on the way: what is told was true before what is known.
  const bool overtaken = task.reported_nanos != 0 && TimeOf(report) < TimeOf(task.report);
  if (!overtaken) {
    if (task.reported_nanos != 0) {
      task.rates = RatesBetween(task.report, report, now_nanos - task.reported_nanos);
    }
    task.report = report;
    task.reported_nanos = now_nanos;
  } else if (report.has_failure()) {
    *task.report.mutable_failure() = report.failure();
  }
  if (!MayFollow(known, told)) return Change::kNone;
  Move(task, told);
  return told == proto::TASK_FAILED ? Change::kFailed : Change::kMoved;
}

void ExecutionGraph::Cancel() {
  for (Task& task : tasks_) CancelTask(task);
}

void ExecutionGraph::EndTasksOf(uint32_t worker, proto::TaskState end) {
  for (Task& task : tasks_) {
    if (task.worker == worker && !IsTerminal(task.state.get())) Move(task, end);
  }
}

void ExecutionGraph::EndTasksOf(uint32_t worker, proto::TaskState end,
                                const std::set<uint32_t>& regions) {
  for (Task& task : tasks_) {
    const bool meant = task.worker == worker && regions.contains(task.region);
    if (meant && !IsTerminal(task.state.get())) Move(task, end);
  }
}

void ExecutionGraph::EndAll() {
  for (Task& task : tasks_) {
    if (!IsTerminal(task.state.get())) Move(task, proto::TASK_CANCELED);
  }
}

void ExecutionGraph::FinishAll() {
  Schedule(std::vector<uint32_t>(slots_needed_, 0));
  Deploy();
  EndTasksOf(0, proto::TASK_FINISHED);
}

bool ExecutionGraph::AllTerminalOf(uint32_t worker) const {
  return std::all_of(tasks_.begin(), tasks_.end(), [worker](const Task& task) {
    return task.worker != worker || IsTerminal(task.state.get());
  });
}

bool ExecutionGraph::IsCurrent(const proto::TaskReport& report) const {
  return report.attempt() == 0 || attempts_[regions_.Of(report.vertex(), report.subtask())] == 0 ||
         report.attempt() == attempts_[regions_.Of(report.vertex(), report.subtask())];
}

std::set<uint32_t> ExecutionGraph::RegionsOn(uint32_t worker) const {
  std::set<uint32_t> regions;
  for (const Task& task : tasks_) {
    if (task.worker == worker) regions.insert(task.region);
  }
  return regions;
}

bool ExecutionGraph::AllFinishedIn(uint32_t region) const {
  return std::all_of(tasks_.begin(), tasks_.end(), [region](const Task& task) {
    return task.region != region || task.state.get() == proto::TASK_FINISHED;
  });
}

bool ExecutionGraph::AllTerminalIn(const std::set<uint32_t>& regions) const {
  return std::all_of(tasks_.begin(), tasks_.end(), [&](const Task& task) {
    return !regions.contains(task.region) || IsTerminal(task.state.get());
  });
}

bool ExecutionGraph::AllTerminalIn(const std::set<uint32_t>& regions, uint32_t worker) const {
  return std::all_of(tasks_.begin(), tasks_.end(), [&](const Task& task) {
    return task.worker != worker || !regions.contains(task.region) || IsTerminal(task.state.get());
  });
}

bool ExecutionGraph::NeedSlot(const std::set<uint32_t>& regions, uint32_t slot) const {
  return std::any_of(tasks_.begin(), tasks_.end(), [&](const Task& task) {
    return task.subtask == slot && regions.contains(task.region);
  });
}

void ExecutionGraph::CancelTask(Task& task) {
  const proto::TaskState state = task.state.get();
  if (state < proto::TASK_DEPLOYING) {
    Move(task, proto::TASK_CANCELED);
  } else if (MayFollow(state, proto::TASK_CANCELING)) {
    Move(task, proto::TASK_CANCELING);
  }
}

void ExecutionGraph::CancelRegions(const std::set<uint32_t>& regions) {
  for (Task& task : tasks_) {
    if (regions.contains(task.region)) CancelTask(task);
  }
}

void ExecutionGraph::ResetRegions(const std::set<uint32_t>& regions, uint32_t attempt) {
  for (const uint32_t region : regions) attempts_.at(region) = attempt;
  for (Task& task : tasks_) {
    if (!regions.contains(task.region)) continue;
    WEIR_CHECK(IsTerminal(task.state.get()));
    --counts_[static_cast<size_t>(task.state.get())];
    ++counts_[proto::TASK_CREATED];
    // Another execution, with states of its own; it has no place yet.
    task.worker = kNoWorker;
    task.state = StateMachine<proto::TaskState>(proto::TASK_CREATED);
    task.report.Clear();
    task.reported_nanos = 0;
    task.rates = TaskRates();
  }
}

void ExecutionGraph::ScheduleRegions(const std::set<uint32_t>& regions,
                                     const std::vector<uint32_t>& worker_of_slot) {
  for (Task& task : tasks_) {
    if (!regions.contains(task.region)) continue;
    task.worker = worker_of_slot.at(task.subtask);
    Move(task, proto::TASK_SCHEDULED);
  }
}

void ExecutionGraph::DeployRegions(const std::set<uint32_t>& regions) {
  for (Task& task : tasks_) {
    if (regions.contains(task.region)) Move(task, proto::TASK_DEPLOYING);
  }
}

std::vector<ExecutionGraph::Place> ExecutionGraph::TasksOf(
    const std::set<uint32_t>& regions) const {
  std::vector<Place> places;
  for (const Task& task : tasks_) {
    if (regions.contains(task.region)) places.push_back({task.vertex, task.subtask, task.worker});
  }
  return places;
}

void ExecutionGraph::FillReports(bool with_operators,
                                 std::vector<proto::TaskReport>& reports) const {
  reports.reserve(reports.size() + tasks_.size());
  for (const Task& task : tasks_) {
    proto::TaskReport& report = reports.emplace_back();
    if (with_operators) {
      report = task.report;
    } else if (task.report.has_failure()) {
      *report.mutable_failure() = task.report.failure();
    }
    report.set_vertex(task.vertex);
    report.set_subtask(task.subtask);
    report.set_state(task.state.get());
    report.set_worker(task.worker == kNoWorker ? 0 : task.worker);
    report.set_attempt(attempts_[task.region]);
  }
}

std::vector<TaskRates> ExecutionGraph::Rates() const {
  std::vector<TaskRates> rates;
  rates.reserve(tasks_.size());
  for (const Task& task : tasks_) rates.push_back(task.rates);
  return rates;
}

std::vector<uint32_t> ExecutionGraph::Workers() const {
  std::vector<uint32_t> workers;
  workers.reserve(tasks_.size());
  for (const Task& task : tasks_) workers.push_back(task.worker);
  return workers;
}

}  // namespace weir::jobmanager
