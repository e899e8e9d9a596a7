#include "jobmanager/rest/watermarks_json.h"

#include <algorithm>
#include <limits>
#include <string>

#include "absl/strings/escaping.h"
#include "common/base/strings.h"
#include "jobmanager/rest/flink_json.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"

namespace weir::jobmanager {
namespace {

// Rounded down, so that nothing is promised too early; the ends of the range stay what they are.
int64_t Millis(int64_t ticks) {
  if (ticks == std::numeric_limits<int64_t>::min() || ticks == std::numeric_limits<int64_t>::max())
    return ticks;
  return ticks / 1000 - (ticks % 1000 < 0 ? 1 : 0);
}

const proto::Vertex* FindVertex(const proto::JobGraph& graph, std::string_view id) {
  for (const proto::Vertex& vertex : graph.vertices()) {
    if (absl::BytesToHexString(vertex.vertex_id()) == id) return &vertex;
  }
  return nullptr;
}

}  // namespace

RestAnswer WatermarksAnswer(const ClusterSnapshot& cluster, std::string_view job_id,
                            std::string_view vertex_id) {
  const auto found = std::find_if(cluster.jobs.begin(), cluster.jobs.end(),
                                  [&](const auto& job) { return job->id.ToString() == job_id; });
  if (found == cluster.jobs.end())
    return {404, ErrorJson(StrCat("Job ", job_id.substr(0, 64), " not found"))};
  const JobSnapshot* const job = found->get();
  const proto::Vertex* vertex = FindVertex(*job->graph, vertex_id);
  if (vertex == nullptr || vertex->nodes_size() == 0) {
    return {404, ErrorJson(StrCat("Vertex ", vertex_id.substr(0, 64), " not found"))};
  }
  std::string body = "[";
  for (const proto::TaskReport& task : job->tasks) {
    if (task.vertex() != vertex->id()) continue;
    for (const proto::OperatorMetrics& op : task.operators()) {
      if (op.node() != vertex->nodes(0)) continue;
      body += StrCat(body.size() > 1 ? "," : "", "{\"id\":\"", task.subtask(),
                     ".currentInputWatermark\",\"value\":\"", Millis(op.watermark()), "\"}");
    }
  }
  return {200, body + "]"};
}

}  // namespace weir::jobmanager
