#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/strings.h"
#include "jobmanager/schedule/job.h"
#include "jobmanager/schedule/phase_internal.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"
#include "transport/rpc/typed_call.h"

namespace weir::jobmanager {
namespace {

// How long a worker waits for its tasks: a step takes milliseconds, unless a function of the job
// takes its time.
constexpr absl::Duration kPatience = absl::Seconds(2);

// What workers answer, until the last one has.
struct Inspection {
  using TaskKey = std::pair<uint32_t, uint32_t>;  // vertex, subtask
  struct Asked {
    std::string task_manager;
    // Why it is missing, as far as that is known.
    std::string missing;
  };

  void Take(absl::StatusOr<proto::InspectTasksResponse> answer, const std::vector<TaskKey>& of) {
    if (!answer.ok()) {
      for (const TaskKey& key : of) {
        asked[key].missing =
            StrCat("its worker did not answer: ", ToStd(answer.status().message()));
      }
    } else {
      for (proto::TaskInspection& task : *answer->mutable_tasks()) {
        const TaskKey key{task.vertex(), task.subtask()};
        if (asked.contains(key)) answered[key] = std::move(task);
      }
    }
    if (--open == 0) Answer();
  }
  void Answer() {
    proto::InspectJobResponse response;
    *response.mutable_graph() = *graph;
    response.set_at_unix_micros(absl::ToUnixMicros(clock->Now()));
    for (auto& [key, of] : asked) {
      proto::TaskInspection& task = *response.add_tasks();
      if (const auto found = answered.find(key); found != answered.end()) {
        task = std::move(found->second);
      } else {
        task.set_missing(of.missing);
      }
      task.set_vertex(key.first);
      task.set_subtask(key.second);
      task.set_task_manager(of.task_manager);
    }
    respond(std::move(response));
  }

  const Clock* clock = nullptr;
  std::shared_ptr<const proto::JobGraph> graph;
  std::map<TaskKey, Asked> asked;
  std::map<TaskKey, proto::TaskInspection> answered;
  // One more than workers, until all have been asked.
  size_t open = 1;
  absl::AnyInvocable<void(absl::StatusOr<proto::InspectJobResponse>)> respond;
};

// The vertices to be asked: that of the operator, or all.
absl::StatusOr<std::set<uint32_t>> VerticesOf(const proto::JobGraph& graph,
                                              const std::string& uid) {
  std::set<uint32_t> vertices;
  std::string known;
  for (const proto::Vertex& vertex : graph.vertices()) {
    for (const uint32_t node : vertex.nodes()) {
      const std::string& of_node = graph.nodes(static_cast<int>(node)).uid();
      if (uid.empty() || of_node == uid) vertices.insert(vertex.id());
      known += StrCat(known.empty() ? "" : ", ", of_node);
    }
  }
  if (!vertices.empty()) return vertices;
  return absl::NotFoundError(StrCat("the job has no operator '", uid, "'; it has ", known));
}

}  // namespace

void Job::Inspect(const proto::InspectJobRequest& request,
                  absl::AnyInvocable<void(absl::StatusOr<proto::InspectJobResponse>)> respond) {
  if (state() != proto::RUNNING) {
    return respond(
        absl::FailedPreconditionError(StrCat("the job is ", proto::JobState_Name(state()),
                                             ": only a running job has tasks that "
                                             "can be asked")));
  }
  const absl::StatusOr<std::set<uint32_t>> vertices =
      VerticesOf(*core_->spec.graph, request.operator_uid());
  if (!vertices.ok()) return respond(vertices.status());
  auto inspection = std::make_shared<Inspection>();
  inspection->clock = &core_->surroundings.env().clock();
  inspection->graph = core_->spec.graph;
  inspection->respond = std::move(respond);
  std::map<uint32_t, std::vector<Inspection::TaskKey>> by_worker;
  for (const uint32_t id : *vertices) {
    const proto::Vertex& vertex = core_->spec.graph->vertices(static_cast<int>(id));
    for (uint32_t subtask = 0; subtask < vertex.parallelism(); ++subtask) {
      const uint32_t index = core_->worker_of_slot.at(subtask);
      const WorkerRecord* worker = core_->FindWorker(index);
      Inspection::Asked& asked = inspection->asked[{id, subtask}];
      if (worker == nullptr || worker->gone() || worker->peer == nullptr) {
        asked.missing = "its worker is gone";
        continue;
      }
      asked.task_manager = worker->task_manager_name;
      asked.missing = StrCat("it did not answer within ", absl::FormatDuration(kPatience),
                             ": a function of the job takes its time, or it is starting");
      by_worker[index].emplace_back(id, subtask);
    }
  }
  for (const auto& [index, tasks] : by_worker) {
    proto::InspectTasksRequest order;
    order.set_leader_epoch(core_->surroundings.leader_epoch());
    order.set_job_id(request.job_id());
    order.set_attempt(core_->attempt);
    order.set_kind(request.kind());
    order.set_operator_uid(request.operator_uid());
    order.set_limit(request.limit());
    for (const uint32_t id : *vertices) order.add_vertices(id);
    order.set_patience_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(kPatience)));
    ++inspection->open;
    TypedCall<proto::InspectTasksRequest, proto::InspectTasksResponse>(
        *core_->FindWorker(index)->peer, "/weir.Worker/InspectTasks", order,
        kPatience + core_->surroundings.options().call_timeout, &core_->surroundings.executor(),
        core_->lifetime.GuardConst(
            [inspection, tasks](absl::StatusOr<proto::InspectTasksResponse> answer) {
              inspection->Take(std::move(answer), tasks);
            }));
  }
  if (--inspection->open == 0) inspection->Answer();
}

}  // namespace weir::jobmanager
