#include "jobmanager/checkpoint/attempt_tasks.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "jobmanager/checkpoint/state_files.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_graph.pb.h"

namespace weir::jobmanager {

AttemptTasks::AttemptTasks(std::shared_ptr<const proto::JobGraph> graph, uint32_t attempt,
                           TaskPlacement placement)
    : graph_(std::move(graph)),
      attempt_(attempt),
      vertex_of_node_(static_cast<size_t>(graph_->nodes_size())) {
  WEIR_CHECK_EQ(placement.size(), static_cast<size_t>(graph_->vertices_size()));
  for (size_t i = 0; i < placement.size(); ++i) {
    const proto::Vertex& vertex = graph_->vertices(static_cast<int>(i));
    WEIR_CHECK_EQ(placement[i].size(), static_cast<size_t>(vertex.parallelism()));
    for (const uint32_t node : vertex.nodes()) {
      vertex_of_node_[node] = static_cast<uint32_t>(i);
    }
    first_task_.push_back(tasks_.size());
    const bool source = graph_->nodes(static_cast<int>(vertex.nodes(0))).kind() == proto::SOURCE;
    for (const uint32_t worker : placement[i]) {
      Task& task = tasks_.emplace_back();
      task.worker = worker;
      task.source = source;
    }
  }
}

AttemptTasks::~AttemptTasks() = default;

absl::StatusOr<size_t> AttemptTasks::Find(uint32_t vertex, uint32_t subtask) const {
  if (vertex >= first_task_.size() ||
      subtask >= graph_->vertices(static_cast<int>(vertex)).parallelism()) {
    return absl::InvalidArgumentError(
        StrCat("the job has no subtask ", subtask, " of vertex ", vertex));
  }
  return first_task_[vertex] + subtask;
}

absl::Status AttemptTasks::CheckWorker(size_t task, uint32_t worker) const {
  if (tasks_.at(task).worker == worker) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("worker ", worker, " tells of a task that runs on worker ", tasks_[task].worker));
}

absl::Status AttemptTasks::CheckSnapshot(const proto::TaskSnapshot& snapshot) const {
  const auto error = [&snapshot](const auto&... args) {
    return absl::InvalidArgumentError(StrCat("snapshot of subtask ", snapshot.subtask(),
                                             " of vertex ", snapshot.vertex(), ": ", args...));
  };
  std::set<std::string_view> names;
  for (const proto::StateFile& file : snapshot.files()) {
    const absl::Status valid = CheckStateFileName(file.name());
    if (!valid.ok()) return error(ToStd(valid.message()));
    if (!names.insert(file.name()).second) return error("file '", file.name(), "' twice");
    if (snapshot.final() && !IsShared(file.name())) {
      return error("it is final, so that later checkpoints refer to its file '", file.name(),
                   "', which is not shared");
    }
  }
  std::set<uint32_t> nodes;
  for (const auto& operator_state : snapshot.operators()) {
    if (operator_state.node() >= vertex_of_node_.size() ||
        vertex_of_node_[operator_state.node()] != snapshot.vertex()) {
      return error("node ", operator_state.node(), " is not of this vertex");
    }
    if (!nodes.insert(operator_state.node()).second) {
      return error("node ", operator_state.node(), " twice");
    }
    for (const uint32_t file : operator_state.files()) {
      if (file >= static_cast<uint32_t>(snapshot.files_size())) {
        return error("file ", file, " of ", snapshot.files_size());
      }
    }
  }
  return absl::OkStatus();
}

void AttemptTasks::SetEnded(size_t task) { tasks_.at(task).ended = true; }

bool AttemptTasks::SetFinal(size_t task, std::shared_ptr<const proto::TaskSnapshot> snapshot) {
  Task& entry = tasks_.at(task);
  if (entry.final_snapshot != nullptr) return false;
  entry.final_snapshot = std::move(snapshot);
  entry.ended = true;
  ++finals_;
  return true;
}

const std::shared_ptr<const proto::TaskSnapshot>& AttemptTasks::final_snapshot(size_t task) const {
  return tasks_.at(task).final_snapshot;
}

std::shared_ptr<const proto::TaskSnapshot> AttemptTasks::Withdraw(size_t task) {
  Task& entry = tasks_.at(task);
  entry.withdrawn = true;
  entry.ended = false;
  if (entry.final_snapshot != nullptr) --finals_;
  return std::exchange(entry.final_snapshot, nullptr);
}

void AttemptTasks::Replace(size_t task, uint32_t worker, uint32_t region_attempt) {
  Task& entry = tasks_.at(task);
  entry.withdrawn = false;
  entry.ended = false;
  entry.worker = worker;
  entry.region_attempt = region_attempt;
}

bool AttemptTasks::IsCurrent(size_t task, uint32_t region_attempt) const {
  const Task& entry = tasks_.at(task);
  const auto number = [this](uint32_t attempt) { return attempt == 0 ? attempt_ : attempt; };
  return !entry.withdrawn && number(region_attempt) == number(entry.region_attempt);
}

bool AttemptTasks::AnyEnded() const {
  return std::any_of(tasks_.begin(), tasks_.end(), [](const Task& task) { return task.ended; });
}

std::vector<uint32_t> AttemptTasks::AllWorkers() const {
  std::set<uint32_t> workers;
  for (const Task& task : tasks_) workers.insert(task.worker);
  return {workers.begin(), workers.end()};
}

std::vector<uint32_t> AttemptTasks::WorkersToTrigger() const {
  std::set<uint32_t> workers;
  for (const Task& task : tasks_) {
    if (task.source && !task.ended) workers.insert(task.worker);
  }
  return {workers.begin(), workers.end()};
}

}  // namespace weir::jobmanager
