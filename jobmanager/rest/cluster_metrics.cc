#include "jobmanager/rest/cluster_metrics.h"

#include <limits>
#include <map>
#include <utility>

#include "common/base/strings.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"

namespace weir::jobmanager {
namespace {

// As Flink's reporter writes names and values of labels.
std::string Cleaned(std::string_view text) {
  std::string cleaned(text);
  for (char& c : cleaned) {
    const bool kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == ':' || c == '_';
    if (!kept) c = '_';
  }
  return cleaned;
}

std::string HostOf(std::string_view address) {
  return std::string(address.substr(0, address.rfind(':')));
}

std::string Hex(const std::string& bytes) {
  std::string hex;
  for (char c : bytes) {
    static constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[static_cast<unsigned char>(c) >> 4];
    hex += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return hex;
}

// As Flink counts: the first is 0.
uint32_t AttemptNumber(const JobSnapshot& job, const proto::TaskReport& task) {
  const uint32_t attempt = task.attempt() == 0 ? job.attempt : task.attempt();
  return attempt == 0 ? 0 : attempt - 1;
}

// Flink's form: what is executed, vertex, subtask and attempt.
std::string AttemptId(const JobSnapshot& job, const proto::Vertex& vertex,
                      const proto::TaskReport& task) {
  return StrCat(job.id.ToString(), "_", Hex(vertex.vertex_id()), "_", task.subtask(), "_",
                AttemptNumber(job, task));
}

// Ticks are microseconds; the least and the largest mean "none yet" and "after all" in both units.
double WatermarkMillis(int64_t ticks) {
  if (ticks == std::numeric_limits<int64_t>::min() ||
      ticks == std::numeric_limits<int64_t>::max()) {
    return static_cast<double>(ticks);
  }
  return static_cast<double>(ticks / 1000);
}

// Families by name, in which samples are gathered.
class Families {
 public:
  // `scope`: "jobmanager", "taskmanager_job_task", ...
  void Add(std::string_view scope, std::string_view name, const MetricLabels& labels,
           double value) {
    const std::string full = StrCat("flink_", scope, "_", name);
    MetricFamily& family = families_[full];
    if (family.name.empty()) {
      family.name = full;
      family.kind = MetricKind::kGauge;
      family.help = StrCat(name, " (scope: ", scope, ")");
    }
    family.samples.push_back({labels, value});
  }
  std::vector<MetricFamily> Take() {
    std::vector<MetricFamily> all;
    for (auto& [name, family] : families_) all.push_back(std::move(family));
    return all;
  }

 private:
  std::map<std::string, MetricFamily> families_;
};

constexpr std::string_view kJobManager = "jobmanager";
constexpr std::string_view kJob = "jobmanager_job";
constexpr std::string_view kTask = "taskmanager_job_task";
constexpr std::string_view kOperator = "taskmanager_job_task_operator";

class Collector {
 public:
  Collector(const ClusterSnapshot& cluster, int64_t now_unix_micros, std::string_view host)
      : cluster_(cluster), now_(now_unix_micros), host_(Cleaned(host)) {
    for (const auto& task_manager : cluster.task_managers) {
      hosts_[task_manager.name] = Cleaned(HostOf(task_manager.address));
    }
  }

  std::vector<MetricFamily> Collect() {
    AddCluster();
    for (const auto& job : cluster_.jobs) {
      if (IsTerminal(job->state)) continue;
      AddJob(*job);
      for (size_t i = 0; i < job->tasks.size(); ++i) {
        const proto::TaskState state = job->tasks[i].state();
        if (state >= proto::TASK_DEPLOYING && !IsTerminal(state)) AddTask(*job, i);
      }
    }
    return families_.Take();
  }

 private:
  void AddCluster() {
    uint64_t total = 0;
    uint64_t available = 0;
    size_t running = 0;
    for (const auto& task_manager : cluster_.task_managers) {
      total += task_manager.slots_total;
      available += task_manager.slots_free;
    }
    for (const auto& job : cluster_.jobs) running += IsTerminal(job->state) ? 0 : 1;
    const MetricLabels labels = {{"host", host_}};
    families_.Add(kJobManager, "numRegisteredTaskManagers", labels,
                  static_cast<double>(cluster_.task_managers.size()));
    families_.Add(kJobManager, "taskSlotsTotal", labels, static_cast<double>(total));
    families_.Add(kJobManager, "taskSlotsAvailable", labels, static_cast<double>(available));
    families_.Add(kJobManager, "numRunningJobs", labels, static_cast<double>(running));
  }

  void AddJob(const JobSnapshot& job) {
    const MetricLabels labels = {
        {"job_id", job.id.ToString()}, {"job_name", Cleaned(job.name)}, {"host", host_}};
    const auto time_in = [&](proto::JobState state) {
      const int64_t since = job.state_times_unix_micros.at(static_cast<size_t>(state));
      return job.state == state && since != 0 ? static_cast<double>((now_ - since) / 1000) : 0.0;
    };
    families_.Add(kJob, "createdTime", labels, time_in(proto::CREATED));
    families_.Add(kJob, "deployingTime", labels, time_in(proto::DEPLOYING));
    families_.Add(kJob, "runningTime", labels, time_in(proto::RUNNING));
    families_.Add(kJob, "uptime", labels, time_in(proto::RUNNING));
    families_.Add(kJob, "failingTime", labels, time_in(proto::FAILING));
    families_.Add(kJob, "cancellingTime", labels, time_in(proto::CANCELLING));
    families_.Add(kJob, "restartingTime", labels, 0);
    families_.Add(kJob, "downtime", labels, 0);
    families_.Add(kJob, "numRestarts", labels, job.full_restarts + job.region_restarts);
    families_.Add(kJob, "fullRestarts", labels, job.full_restarts);
    families_.Add(kJob, "regionRestarts", labels, job.region_restarts);
    AddCheckpoints(*job.checkpoints, labels);
  }

  void AddCheckpoints(const CheckpointsView& view, const MetricLabels& labels) {
    const CheckpointStatistics* last = nullptr;
    for (const auto& checkpoint : view.over) {
      if (checkpoint->state == CheckpointState::kCompleted) last = checkpoint.get();
    }
    const auto add = [&](std::string_view name, double value) {
      families_.Add(kJob, name, labels, value);
    };
    const CheckpointCounters& counters = view.counters;
    add("numberOfInProgressCheckpoints", static_cast<double>(view.in_progress.size()));
    add("numberOfCompletedCheckpoints", static_cast<double>(counters.completed));
    add("numberOfFailedCheckpoints", static_cast<double>(counters.failed + counters.aborted));
    add("totalNumberOfCheckpoints",
        static_cast<double>(counters.completed + counters.failed + counters.aborted +
                            view.in_progress.size()));
    // -1 before the first, as Flink has it.
    add("lastCompletedCheckpointId", last == nullptr ? -1 : static_cast<double>(last->id));
    add("lastCheckpointDuration",
        last == nullptr ? -1 : static_cast<double>(last->end_to_end_nanos / 1'000'000));
    add("lastCheckpointSize", last == nullptr ? -1 : static_cast<double>(last->new_bytes));
    add("lastCheckpointFullSize", last == nullptr ? -1 : static_cast<double>(last->full_bytes));
    add("lastCheckpointProcessedData",
        last == nullptr ? -1 : static_cast<double>(last->processed_bytes));
    add("lastCheckpointPersistedData",
        last == nullptr ? -1 : static_cast<double>(last->persisted_bytes));
    add("lastCheckpointRestoreTimestamp",
        view.restored.has_value() ? static_cast<double>(view.restored->restored_unix_micros / 1000)
                                  : -1);
  }

  void AddTask(const JobSnapshot& job, size_t index) {
    const proto::TaskReport& task = job.tasks[index];
    const TaskRates& rates = job.rates.at(index);
    const std::string& task_manager = job.task_managers.at(index);
    const proto::Vertex& vertex = job.graph->vertices(static_cast<int>(task.vertex()));
    const MetricLabels labels = {
        {"job_id", job.id.ToString()},
        {"job_name", Cleaned(job.name)},
        {"task_id", Hex(vertex.vertex_id())},
        {"task_name", Cleaned(vertex.name())},
        {"task_attempt_id", AttemptId(job, vertex, task)},
        {"task_attempt_num", StrCat(AttemptNumber(job, task))},
        {"subtask_index", StrCat(task.subtask())},
        {"tm_id", Cleaned(task_manager)},
        {"host", hosts_.contains(task_manager) ? hosts_.at(task_manager) : std::string()}};
    const auto add = [&](std::string_view name, double value) {
      families_.Add(kTask, name, labels, value);
    };
    add("busyTimeMsPerSecond", rates.busy_ms);
    add("idleTimeMsPerSecond", rates.idle_ms);
    add("backPressuredTimeMsPerSecond", rates.backpressured_ms);
    add("isBackPressured", rates.backpressured_ms > 500 ? 1 : 0);
    add("accumulateBusyTimeMs", static_cast<double>(task.busy_micros() / 1000));
    add("accumulateIdleTimeMs", static_cast<double>(task.idle_micros() / 1000));
    add("accumulateBackPressuredTimeMs", static_cast<double>(task.backpressured_micros() / 1000));
    if (task.operators_size() == 0) return;
    const proto::OperatorMetrics& head = task.operators(0);
    const proto::OperatorMetrics& tail = task.operators(task.operators_size() - 1);
    add("numRecordsIn", static_cast<double>(head.records_in()));
    add("numBytesIn", static_cast<double>(head.bytes_in()));
    add("numRecordsInPerSecond", rates.records_in);
    add("numRecordsOut", static_cast<double>(tail.records_out()));
    add("numBytesOut", static_cast<double>(tail.bytes_out()));
    add("numRecordsOutPerSecond", rates.records_out);
    add("currentInputWatermark", WatermarkMillis(head.watermark()));
    for (const proto::OperatorMetrics& op : task.operators()) AddOperator(job, op, labels);
  }

  void AddOperator(const JobSnapshot& job, const proto::OperatorMetrics& op, MetricLabels labels) {
    if (op.node() >= static_cast<uint32_t>(job.graph->nodes_size())) return;
    const proto::Node& node = job.graph->nodes(static_cast<int>(op.node()));
    labels.emplace_back("operator_id", Hex(node.operator_id()));
    labels.emplace_back("operator_name", Cleaned(node.uid()));
    const auto add = [&](std::string_view name, double value) {
      families_.Add(kOperator, name, labels, value);
    };
    add("numRecordsIn", static_cast<double>(op.records_in()));
    add("numRecordsOut", static_cast<double>(op.records_out()));
    add("numBytesIn", static_cast<double>(op.bytes_in()));
    add("numBytesOut", static_cast<double>(op.bytes_out()));
    add("numLateRecordsDropped", static_cast<double>(op.late_records_dropped()));
    add("currentOutputWatermark", WatermarkMillis(op.watermark()));
    if (node.kind() != proto::SOURCE) add("currentInputWatermark", WatermarkMillis(op.watermark()));
    for (const auto& [name, value] : std::map(op.counters().begin(), op.counters().end())) {
      add(Cleaned(name), static_cast<double>(value));
    }
    for (const auto& [name, value] : std::map(op.gauges().begin(), op.gauges().end())) {
      add(Cleaned(name), static_cast<double>(value));
    }
  }

  const ClusterSnapshot& cluster_;
  const int64_t now_;
  const std::string host_;
  std::map<std::string, std::string> hosts_;
  Families families_;
};

}  // namespace

std::vector<MetricFamily> ClusterMetrics(const ClusterSnapshot& cluster, int64_t now_unix_micros,
                                         std::string_view host) {
  return Collector(cluster, now_unix_micros, host).Collect();
}

}  // namespace weir::jobmanager
