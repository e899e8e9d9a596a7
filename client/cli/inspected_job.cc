#include "client/cli/inspected_job.h"

#include <algorithm>

#include "client/cli/json_writer.h"
#include "client/cli/text_format.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"

namespace weir {

InspectedJob::InspectedJob(const proto::InspectJobResponse& job) : job_(job), graph_(job.graph()) {
  for (const proto::TaskInspection& task : job.tasks()) {
    tasks_[{task.vertex(), task.subtask()}] = &task;
  }
  for (const proto::Vertex& vertex : graph_.vertices()) {
    for (const uint32_t node : vertex.nodes()) vertex_of_[node] = vertex.id();
  }
}

int64_t InspectedJob::asked_at() const { return job_.at_unix_micros(); }

std::optional<uint32_t> InspectedJob::VertexOf(uint32_t node) const {
  const auto vertex = vertex_of_.find(node);
  return vertex == vertex_of_.end() ? std::nullopt : std::optional<uint32_t>(vertex->second);
}

const proto::TaskInspection* InspectedJob::TaskOf(uint32_t node, uint32_t subtask) const {
  const std::optional<uint32_t> vertex = VertexOf(node);
  if (!vertex.has_value()) return nullptr;
  const auto found = tasks_.find({*vertex, subtask});
  return found == tasks_.end() || !found->second->missing().empty() ? nullptr : found->second;
}

size_t InspectedJob::MissingOf(uint32_t node) const {
  const std::optional<uint32_t> vertex = VertexOf(node);
  return static_cast<size_t>(std::count_if(tasks_.begin(), tasks_.end(), [&](const auto& entry) {
    return entry.first.first == vertex && !entry.second->missing().empty();
  }));
}

std::optional<uint32_t> InspectedJob::ChainedBefore(uint32_t node) const {
  for (const proto::Edge& edge : graph_.edges()) {
    if (edge.chained() && edge.to_node() == node) return edge.from_node();
  }
  return std::nullopt;
}

std::string InspectedJob::UidOf(uint32_t node) const {
  return node < static_cast<uint32_t>(graph_.nodes_size())
             ? graph_.nodes(static_cast<int>(node)).uid()
             : StrCat("operator ", node);
}

std::optional<uint32_t> InspectedJob::FromNode(uint32_t edge) const {
  if (edge >= static_cast<uint32_t>(graph_.edges_size())) return std::nullopt;
  return graph_.edges(static_cast<int>(edge)).from_node();
}

std::optional<uint32_t> InspectedJob::NodeWithUid(const std::string& uid) const {
  for (const proto::Node& node : graph_.nodes()) {
    if (node.uid() == uid) return node.id();
  }
  return std::nullopt;
}

absl::Status InspectedJob::HasOperator(const std::string& uid) const {
  if (NodeWithUid(uid).has_value()) return absl::OkStatus();
  std::string known;
  for (const proto::Node& node : graph_.nodes())
    known += StrCat(known.empty() ? "" : ", ", node.uid());
  return absl::NotFoundError(StrCat("the job has no operator '", uid, "'; it has ", known));
}

std::string InspectedJob::MissingText() const {
  std::string text;
  for (const proto::TaskInspection& task : job_.tasks()) {
    if (task.missing().empty()) continue;
    const auto& vertices = graph_.vertices();
    const std::string name = task.vertex() < static_cast<uint32_t>(vertices.size())
                                 ? vertices.Get(static_cast<int>(task.vertex())).name()
                                 : StrCat("vertex ", task.vertex());
    text += StrCat("\n", Harmless(name), ", subtask ", task.subtask(),
                   task.task_manager().empty() ? "" : StrCat(" on ", Harmless(task.task_manager())),
                   ": ", Harmless(task.missing()));
  }
  return text.empty() ? text : text + "\n";
}

void InspectedJob::WriteMissing(JsonWriter& json) const {
  json.Key("not_answered").BeginArray();
  for (const proto::TaskInspection& task : job_.tasks()) {
    if (task.missing().empty()) continue;
    json.BeginObject().Key("vertex").Uint(task.vertex()).Key("subtask").Uint(task.subtask());
    json.Key("task_manager").StringOrNull(task.task_manager());
    json.Key("reason").String(task.missing()).EndObject();
  }
  json.EndArray();
}

}  // namespace weir
