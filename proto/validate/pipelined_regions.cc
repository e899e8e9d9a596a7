#include "proto/validate/pipelined_regions.h"

#include <cstddef>
#include <numeric>

#include "proto/job_graph.pb.h"

namespace weir {
namespace {

// Sets of tasks that are joined one by one.
class Sets {
 public:
  explicit Sets(size_t size) : parent_(size) { std::iota(parent_.begin(), parent_.end(), 0); }

  size_t Find(size_t task) {
    while (parent_[task] != task) task = parent_[task] = parent_[parent_[task]];
    return task;
  }
  void Join(size_t a, size_t b) { parent_[Find(b)] = Find(a); }

 private:
  std::vector<size_t> parent_;
};

}  // namespace

PipelinedRegions::PipelinedRegions(const proto::JobGraph& graph) {
  std::vector<size_t> first;
  std::vector<int> vertex_of(static_cast<size_t>(graph.nodes_size()));
  size_t tasks = 0;
  for (int i = 0; i < graph.vertices_size(); ++i) {
    const proto::Vertex& vertex = graph.vertices(i);
    for (const uint32_t node : vertex.nodes()) vertex_of[node] = i;
    first.push_back(tasks);
    tasks += vertex.parallelism();
  }
  Sets sets(tasks);
  for (const proto::Edge& edge : graph.edges()) {
    if (edge.chained()) continue;
    const int from = vertex_of[edge.from_node()];
    const int to = vertex_of[edge.to_node()];
    const uint32_t senders = graph.vertices(from).parallelism();
    const uint32_t receivers = graph.vertices(to).parallelism();
    const bool forward = edge.partitioning() == proto::FORWARD && senders == receivers;
    const size_t sender = first[static_cast<size_t>(from)];
    const size_t receiver = first[static_cast<size_t>(to)];
    for (uint32_t i = 0; i < senders; ++i) sets.Join(sender + i, receiver + (forward ? i : 0));
    for (uint32_t i = 0; i < receivers && !forward; ++i) sets.Join(sender, receiver + i);
  }
  constexpr uint32_t kNone = UINT32_MAX;
  std::vector<uint32_t> region_of_set(tasks, kNone);
  for (int i = 0; i < graph.vertices_size(); ++i) {
    std::vector<uint32_t>& regions = region_.emplace_back();
    for (uint32_t subtask = 0; subtask < graph.vertices(i).parallelism(); ++subtask) {
      uint32_t& region = region_of_set[sets.Find(first[static_cast<size_t>(i)] + subtask)];
      if (region == kNone) region = count_++;
      regions.push_back(region);
    }
  }
}

}  // namespace weir
