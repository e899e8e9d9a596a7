#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
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
class InFlightEdge;
class JobGraph;
class OperatorCheckpoint;
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

// What tasks are to read before anything else: of each channel what had arrived, then what its
// sender had. Where both ends of an edge are as they were, each task has its own channels;
// otherwise a task is given those that hold records which may be its own now (semantics rule 43):
//
// - by key: those of the former readers of its key groups;
// - to all: those of the former reader whose copy of the state it has;
// - in turns: as many as others, and no two tasks the same;
// - one to one: those of the former readers whose first key group it has, so that fewer tasks than
//   before keep the order of what comes one to one.
class InFlightFiles {
 public:
  using Open = std::function<absl::StatusOr<StateFileReader*>(uint32_t file)>;

  // All references outlive it. `of_node`: the checkpoint's operators by node of the graph.
  InFlightFiles(Open open, const std::map<uint32_t, const proto::OperatorRestore*>& of_node,
                const proto::JobGraph& graph)
      : open_(std::move(open)), of_node_(of_node), graph_(graph) {}

  // Adds to `state` what one task reads. Blocks; what was read for another task is kept. `open`: of
  // the checkpoint's files, by index; null: it is no state file. kDataLoss: a file is damaged.
  absl::Status Read(const proto::Vertex& vertex, uint32_t subtask, TaskState& state);

 private:
  // By reading and sending subtask.
  using Channels = std::map<std::pair<uint32_t, uint32_t>, std::string>;
  // An edge whose channels are not those of the checkpoint, or of which nothing was in flight
  // (nothing is in `channels`).
  struct OldEdge {
    const proto::OperatorCheckpoint* from = nullptr;
    const proto::OperatorCheckpoint* to = nullptr;
    bool one_to_one = false;
    Channels channels;
  };

  absl::Status ReadEdge(const proto::Edge& edge, uint32_t subtask, OperatorState& to);
  absl::StatusOr<const OldEdge*> ReadOld(const proto::Edge& edge,
                                         const proto::InFlightEdge& in_flight);
  OperatorState::Rewired Divide(const proto::Edge& edge, const OldEdge& old,
                                uint32_t subtask) const;
  // `reader`: only what this subtask was to read.
  absl::Status ReadEnd(const proto::Edge& edge, bool sent, std::optional<uint32_t> reader,
                       Channels& channels);
  const proto::OperatorCheckpoint* Find(uint32_t node) const;

  const Open open_;
  const std::map<uint32_t, const proto::OperatorRestore*>& of_node_;
  const proto::JobGraph& graph_;
  // By edge.
  std::map<uint32_t, OldEdge> old_;
};

}  // namespace weir
