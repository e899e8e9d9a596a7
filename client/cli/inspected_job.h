#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"

namespace weir {

class JsonWriter;

namespace proto {
class InspectJobResponse;
class JobGraph;
class TaskInspection;
}  // namespace proto

// What the tasks of a job have said of themselves, by operator. `job` outlives it.
class InspectedJob {
 public:
  explicit InspectedJob(const proto::InspectJobResponse& job);

  // By the job manager's clock, in microseconds.
  int64_t asked_at() const;
  const proto::JobGraph& graph() const { return graph_; }
  // By vertex and subtask.
  const std::map<std::pair<uint32_t, uint32_t>, const proto::TaskInspection*>& tasks() const {
    return tasks_;
  }
  std::optional<uint32_t> VertexOf(uint32_t node) const;
  // That runs the subtask of the node; null: it has not answered.
  const proto::TaskInspection* TaskOf(uint32_t node, uint32_t subtask) const;
  // Of the node's subtasks, those that have not answered.
  size_t MissingOf(uint32_t node) const;
  // The node whose calls reach this one in its task; nothing: it is the first.
  std::optional<uint32_t> ChainedBefore(uint32_t node) const;
  std::string UidOf(uint32_t node) const;
  // Of which node the edge comes; nothing: there is no such edge.
  std::optional<uint32_t> FromNode(uint32_t edge) const;
  std::optional<uint32_t> NodeWithUid(const std::string& uid) const;
  // OK, or kNotFound with the operators that there are.
  absl::Status HasOperator(const std::string& uid) const;
  // Who has not answered, and why: a line each; empty: nobody.
  std::string MissingText() const;
  // Likewise, as the member "not_answered".
  void WriteMissing(JsonWriter& json) const;

 private:
  const proto::InspectJobResponse& job_;
  const proto::JobGraph& graph_;
  std::map<std::pair<uint32_t, uint32_t>, const proto::TaskInspection*> tasks_;
  std::map<uint32_t, uint32_t> vertex_of_;
};

}  // namespace weir
