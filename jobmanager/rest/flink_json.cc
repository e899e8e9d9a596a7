#include "jobmanager/rest/flink_json.h"

#include <array>
#include <utility>

#include "common/base/strings.h"
#include "common/base/version.h"
#include "common/obs/json_text.h"
#include "proto/control.pb.h"

namespace weir::jobmanager {
namespace {

int64_t Millis(int64_t micros) { return micros / 1000; }

// The names of counts of subtasks, and the states that they count; Flink's RECONCILING does not
// exist here.
constexpr std::array<std::pair<std::string_view, int>, 10> kTaskCounts = {{
    {"created", proto::TASK_CREATED},
    {"scheduled", proto::TASK_SCHEDULED},
    {"deploying", proto::TASK_DEPLOYING},
    {"initializing", proto::TASK_INITIALIZING},
    {"running", proto::TASK_RUNNING},
    {"finished", proto::TASK_FINISHED},
    {"canceling", proto::TASK_CANCELING},
    {"canceled", proto::TASK_CANCELED},
    {"failed", proto::TASK_FAILED},
    {"reconciling", -1},
}};

std::string JobJson(const JobSnapshot& job, int64_t now_unix_micros) {
  std::array<size_t, proto::TaskState_MAX + 1> counts{};
  for (const proto::TaskReport& task : job.tasks) ++counts.at(static_cast<size_t>(task.state()));
  const bool ended = job.ended_unix_micros != 0;
  const int64_t until = ended ? job.ended_unix_micros : now_unix_micros;
  std::string json =
      StrCat("{\"jid\":\"", job.id.ToString(), "\",\"name\":", JsonString(job.name),
             ",\"start-time\":", Millis(job.submitted_unix_micros),
             ",\"end-time\":", ended ? Millis(job.ended_unix_micros) : -1,
             ",\"duration\":", Millis(until) - Millis(job.submitted_unix_micros), ",\"state\":\"",
             FlinkJobState(job.state), "\",\"last-modification\":", Millis(job.changed_unix_micros),
             ",\"tasks\":{\"total\":", job.tasks.size());
  for (const auto& [name, state] : kTaskCounts) {
    json +=
        StrCat(",\"", name, "\":", state < 0 ? size_t{0} : counts.at(static_cast<size_t>(state)));
  }
  return json + "}}";
}

}  // namespace

std::string_view FlinkJobState(proto::JobState state) {
  return state == proto::DEPLOYING ? Name(proto::RUNNING) : Name(state);
}

std::string OverviewJson(const ClusterSnapshot& cluster) {
  uint64_t total = 0;
  uint64_t available = 0;
  for (const auto& task_manager : cluster.task_managers) {
    total += task_manager.slots_total;
    available += task_manager.slots_free;
  }
  size_t running = 0;
  size_t finished = 0;
  size_t canceled = 0;
  size_t failed = 0;
  for (const auto& job : cluster.jobs) {
    running += IsTerminal(job->state) ? 0 : 1;
    finished += job->state == proto::FINISHED ? 1 : 0;
    canceled += job->state == proto::CANCELED ? 1 : 0;
    failed += job->state == proto::FAILED ? 1 : 0;
  }
  return StrCat("{\"taskmanagers\":", cluster.task_managers.size(), ",\"slots-total\":", total,
                ",\"slots-available\":", available, ",\"jobs-running\":", running,
                ",\"jobs-finished\":", finished, ",\"jobs-cancelled\":", canceled,
                ",\"jobs-failed\":", failed, ",\"flink-version\":\"", kVersion,
                "\",\"flink-commit\":\"weir\"}");
}

std::string JobsOverviewJson(const ClusterSnapshot& cluster, int64_t now_unix_micros) {
  std::string json = "{\"jobs\":[";
  for (size_t i = 0; i < cluster.jobs.size(); ++i) {
    if (i > 0) json += ',';
    json += JobJson(*cluster.jobs[i], now_unix_micros);
  }
  return json + "]}";
}

std::string ErrorJson(std::string_view text) {
  return StrCat("{\"errors\":[", JsonString(text), "]}");
}

}  // namespace weir::jobmanager
