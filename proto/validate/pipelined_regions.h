#pragma once

#include <cstdint>
#include <vector>

namespace weir {

namespace proto {
class JobGraph;
}

// The pipelined regions of a graph: subtasks that records flow between, directly or by way of
// others. What is of two regions never meets, so that one can fail and start again without the
// other. Numbered from 0 by their first subtask, in the order of the vertices; the same wherever it
// is computed. Immutable.
class PipelinedRegions {
 public:
  // `graph` has passed ValidateJobGraph. Takes time linear in subtasks and edges.
  explicit PipelinedRegions(const proto::JobGraph& graph);

  uint32_t count() const { return count_; }
  uint32_t Of(uint32_t vertex, uint32_t subtask) const { return region_[vertex][subtask]; }

 private:
  // By vertex and subtask.
  std::vector<std::vector<uint32_t>> region_;
  uint32_t count_ = 0;
};

}  // namespace weir
