#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/task_state.h"
#include "state/snapshot/state_file_reader.h"
#include "state/snapshot/state_file_writer.h"

namespace weir {

namespace proto {
class Edge;
class JobGraph;
class OperatorRestore;
class TaskSnapshot_OperatorSnapshot;
class Vertex;
}  // namespace proto

// Records in flight in state files (docs/FORMATS.md, "Records in flight").

bool HasInFlight(const TaskState& state);

// Writes those of one operator, a section an edge and end, and says in `told` of which edges they
// are. Blocks.
absl::Status WriteInFlight(StateFileWriter& writer, const proto::JobGraph& graph,
                           const OperatorState& state, proto::TaskSnapshot_OperatorSnapshot& told);

// What a task is to read before anything else: of each channel what had arrived, then what its
// sender had. Blocks. `open`: of the checkpoint's files, by index;
// null: it is no state file. kDataLoss: a file is damaged.
class InFlightFiles {
 public:
  using Open = std::function<absl::StatusOr<StateFileReader*>(uint32_t file)>;

  // All references outlive it. `of_node`: the checkpoint's operators by node of the graph.
  InFlightFiles(Open open, const std::map<uint32_t, const proto::OperatorRestore*>& of_node,
                const proto::JobGraph& graph)
      : open_(std::move(open)), of_node_(of_node), graph_(graph) {}

  absl::Status Read(const proto::Vertex& vertex, uint32_t subtask, OperatorState& head);

 private:
  // By edge and sending subtask.
  using Channels = std::map<std::pair<uint32_t, uint32_t>, std::string>;
  absl::Status ReadEdge(const proto::Edge& edge, bool sent, uint32_t subtask, Channels& channels);

  const Open open_;
  const std::map<uint32_t, const proto::OperatorRestore*>& of_node_;
  const proto::JobGraph& graph_;
};

}  // namespace weir
