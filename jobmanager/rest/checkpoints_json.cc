#include "jobmanager/rest/checkpoints_json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/obs/json_text.h"
#include "jobmanager/rest/flink_json.h"
#include "proto/job_graph.pb.h"

namespace weir::jobmanager {
namespace {

// Of `history`, as Flink's web.checkpoints.history.
constexpr size_t kShown = 10;

int64_t Millis(int64_t nanos) { return nanos / 1'000'000; }
int64_t MillisOf(absl::Duration duration) { return absl::ToInt64Milliseconds(duration); }

RestAnswer Refuse(const absl::Status& status) {
  return {status.code() == absl::StatusCode::kNotFound ? 404 : 400,
          ErrorJson(ToStd(status.message()))};
}

absl::StatusOr<const JobSnapshot*> FindJob(const ClusterSnapshot& cluster, std::string_view text) {
  WEIR_ASSIGN_OR_RETURN(const JobId id, JobId::Parse(text));
  for (const auto& job : cluster.jobs) {
    if (job->id == id) return job.get();
  }
  return absl::NotFoundError(StrCat("Job ", id.ToString(), " not found"));
}

absl::StatusOr<const JobSnapshot*> FindCheckpointedJob(const ClusterSnapshot& cluster,
                                                       std::string_view text) {
  WEIR_ASSIGN_OR_RETURN(const JobSnapshot* job, FindJob(cluster, text));
  const CheckpointsView& view = *job->checkpoints;
  if (!view.settings.periodic() && view.counters.triggered == 0 && !view.restored.has_value()) {
    return absl::NotFoundError("Checkpointing has not been enabled.");
  }
  return job;
}

absl::StatusOr<std::shared_ptr<const CheckpointStatistics>> FindCheckpoint(const JobSnapshot& job,
                                                                           std::string_view text) {
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id == 0) {
    return absl::InvalidArgumentError(
        StrCat("'", text.substr(0, 64), "' is no id of a checkpoint"));
  }
  auto checkpoint = job.checkpoints->Find(id);
  if (checkpoint == nullptr) {
    return absl::NotFoundError(
        StrCat("Could not find checkpointing statistics for checkpoint ", id, "."));
  }
  return checkpoint;
}

// Least, largest, mean and percentiles.
class Summary {
 public:
  void Add(uint64_t value) { values_.push_back(value); }
  std::string Json() {
    std::sort(values_.begin(), values_.end());
    if (values_.empty()) {
      return "{\"min\":0,\"max\":0,\"avg\":0,\"p50\":\"NaN\",\"p90\":\"NaN\",\"p95\":\"NaN\","
             "\"p99\":\"NaN\",\"p999\":\"NaN\"}";
    }
    double sum = 0;
    for (const uint64_t value : values_) sum += static_cast<double>(value);
    const auto mean = static_cast<uint64_t>(sum / static_cast<double>(values_.size()));
    return StrCat("{\"min\":", values_.front(), ",\"max\":", values_.back(), ",\"avg\":", mean,
                  ",\"p50\":", Percentile(0.5), ",\"p90\":", Percentile(0.9),
                  ",\"p95\":", Percentile(0.95), ",\"p99\":", Percentile(0.99),
                  ",\"p999\":", Percentile(0.999), "}");
  }

 private:
  std::string Percentile(double part) const {
    const double place = part * static_cast<double>(values_.size() - 1);
    const auto below = static_cast<size_t>(place);
    const size_t above = std::min(below + 1, values_.size() - 1);
    const double low = static_cast<double>(values_[below]);
    const double high = static_cast<double>(values_[above]);
    return absl::StrFormat("%.1f", low + (high - low) * (place - std::floor(place)));
  }
  std::vector<uint64_t> values_;
};

// The numbers that a checkpoint and one of its vertices have alike.
struct Numbers {
  uint64_t id = 0;
  std::string_view status;
  int64_t triggered_millis = 0;
  int64_t end_to_end_nanos = 0;
  uint64_t new_bytes = 0;
  uint64_t full_bytes = 0;
  uint64_t processed_bytes = 0;
  uint64_t persisted_bytes = 0;
  size_t total = 0;
  size_t acknowledged = 0;

  std::string Json() const {
    return StrCat("\"id\":", id, ",\"status\":\"", status, "\",\"latest_ack_timestamp\":",
                  acknowledged == 0 ? int64_t{-1} : triggered_millis + Millis(end_to_end_nanos),
                  ",\"checkpointed_size\":", new_bytes, ",\"state_size\":", full_bytes,
                  ",\"end_to_end_duration\":", Millis(end_to_end_nanos),
                  ",\"alignment_buffered\":0,\"processed_data\":", processed_bytes,
                  ",\"persisted_data\":", persisted_bytes, ",\"num_subtasks\":", total,
                  ",\"num_acknowledged_subtasks\":", acknowledged);
  }
};

std::string_view StatusOf(const CheckpointStatistics& checkpoint) {
  if (checkpoint.state == CheckpointState::kCompleted) return "COMPLETED";
  return checkpoint.state == CheckpointState::kAborted ? "FAILED" : "IN_PROGRESS";
}

std::string_view ClassOf(const CheckpointStatistics& checkpoint) {
  if (checkpoint.state == CheckpointState::kCompleted) return "completed";
  return checkpoint.state == CheckpointState::kAborted ? "failed" : "in_progress";
}

std::string_view TypeOf(const CheckpointStatistics& checkpoint) {
  if (StopsJob(checkpoint.kind)) return "SYNC_SAVEPOINT";
  if (IsSavepoint(checkpoint.kind)) return "SAVEPOINT";
  return checkpoint.unaligned ? "UNALIGNED_CHECKPOINT" : "CHECKPOINT";
}

Numbers NumbersOf(const CheckpointStatistics& checkpoint) {
  return {.id = checkpoint.id,
          .status = StatusOf(checkpoint),
          .triggered_millis = checkpoint.triggered_unix_micros / 1000,
          .end_to_end_nanos = checkpoint.end_to_end_nanos,
          .new_bytes = checkpoint.new_bytes,
          .full_bytes = checkpoint.full_bytes,
          .processed_bytes = checkpoint.processed_bytes,
          .persisted_bytes = checkpoint.persisted_bytes,
          .total = checkpoint.total,
          .acknowledged = checkpoint.acknowledged};
}

Numbers NumbersOf(const CheckpointStatistics& checkpoint, const proto::Vertex& vertex,
                  uint32_t index) {
  Numbers numbers{.id = checkpoint.id,
                  .status = StatusOf(checkpoint),
                  .triggered_millis = checkpoint.triggered_unix_micros / 1000,
                  .total = vertex.parallelism()};
  for (const TaskCheckpointStatistics& task : checkpoint.tasks) {
    if (task.vertex != index) continue;
    numbers.end_to_end_nanos = std::max(numbers.end_to_end_nanos, task.acknowledged_nanos);
    numbers.new_bytes += task.new_bytes;
    numbers.full_bytes += task.full_bytes;
    numbers.processed_bytes += task.processed_bytes;
    numbers.persisted_bytes += task.persisted_bytes;
    ++numbers.acknowledged;
  }
  return numbers;
}

// `tasks`: of its vertices, the members of an object.
std::string CheckpointJson(const CheckpointStatistics& checkpoint, std::string_view tasks) {
  std::string json =
      StrCat("{\"className\":\"", ClassOf(checkpoint), "\",", NumbersOf(checkpoint).Json(),
             ",\"is_savepoint\":", IsSavepoint(checkpoint.kind) ? "true" : "false",
             ",\"savepointFormat\":", IsSavepoint(checkpoint.kind) ? "\"CANONICAL\"" : "null",
             ",\"trigger_timestamp\":", checkpoint.triggered_unix_micros / 1000,
             ",\"checkpoint_type\":\"", TypeOf(checkpoint), "\",\"tasks\":{", tasks, "}");
  if (checkpoint.state == CheckpointState::kCompleted) {
    json += StrCat(",\"external_path\":", JsonString(checkpoint.directory),
                   ",\"discarded\":", checkpoint.discarded ? "true" : "false");
  } else if (checkpoint.state == CheckpointState::kAborted) {
    json += StrCat(",\"failure_timestamp\":",
                   checkpoint.triggered_unix_micros / 1000 + Millis(checkpoint.duration_nanos),
                   ",\"failure_message\":", JsonString(checkpoint.failure));
  }
  return json + "}";
}

std::string SummaryJson(const CheckpointsView& view) {
  Summary new_bytes;
  Summary full_bytes;
  Summary duration;
  Summary buffered;
  Summary processed;
  Summary persisted;
  for (const auto& checkpoint : view.over) {
    if (checkpoint->state != CheckpointState::kCompleted) continue;
    new_bytes.Add(checkpoint->new_bytes);
    full_bytes.Add(checkpoint->full_bytes);
    duration.Add(static_cast<uint64_t>(Millis(checkpoint->end_to_end_nanos)));
    buffered.Add(0);
    processed.Add(checkpoint->processed_bytes);
    persisted.Add(checkpoint->persisted_bytes);
  }
  return StrCat(
      "{\"checkpointed_size\":", new_bytes.Json(), ",\"state_size\":", full_bytes.Json(),
      ",\"end_to_end_duration\":", duration.Json(), ",\"alignment_buffered\":", buffered.Json(),
      ",\"processed_data\":", processed.Json(), ",\"persisted_data\":", persisted.Json(), "}");
}

std::string LatestJson(const CheckpointsView& view) {
  const CheckpointStatistics* completed = nullptr;
  const CheckpointStatistics* savepoint = nullptr;
  const CheckpointStatistics* failed = nullptr;
  for (const auto& checkpoint : view.over) {
    if (checkpoint->state == CheckpointState::kAborted) {
      failed = checkpoint.get();
    } else {
      (IsSavepoint(checkpoint->kind) ? savepoint : completed) = checkpoint.get();
    }
  }
  const auto json = [](const CheckpointStatistics* checkpoint) {
    return checkpoint == nullptr ? std::string("null") : CheckpointJson(*checkpoint, "");
  };
  std::string restored = "null";
  if (view.restored.has_value()) {
    restored = StrCat("{\"id\":", view.restored->id,
                      ",\"restore_timestamp\":", view.restored->restored_unix_micros / 1000,
                      ",\"is_savepoint\":", IsSavepoint(view.restored->kind) ? "true" : "false",
                      ",\"external_path\":", JsonString(view.restored->directory), "}");
  }
  return StrCat("{\"completed\":", json(completed), ",\"savepoint\":", json(savepoint),
                ",\"failed\":", json(failed), ",\"restored\":", restored, "}");
}

std::string PendingSubtaskJson(uint32_t subtask) {
  return StrCat("{\"className\":\"pending\",\"index\":", subtask,
                ",\"status\":\"pending_or_failed\"}");
}

std::string SubtaskJson(const CheckpointStatistics& checkpoint,
                        const TaskCheckpointStatistics& task) {
  return StrCat("{\"className\":\"completed\",\"index\":", task.subtask, ",\"ack_timestamp\":",
                checkpoint.triggered_unix_micros / 1000 + Millis(task.acknowledged_nanos),
                ",\"end_to_end_duration\":", Millis(task.acknowledged_nanos),
                ",\"checkpointed_size\":", task.new_bytes, ",\"state_size\":", task.full_bytes,
                ",\"checkpoint\":{\"sync\":", Millis(task.sync_nanos),
                ",\"async\":", Millis(task.async_nanos),
                "},\"alignment\":{\"buffered\":0,\"processed\":", task.processed_bytes,
                ",\"persisted\":", task.persisted_bytes,
                ",\"duration\":", Millis(task.alignment_nanos),
                "},\"start_delay\":", Millis(task.start_delay_nanos),
                ",\"unaligned_checkpoint\":", task.unaligned ? "true" : "false",
                ",\"aborted\":false,\"status\":\"completed\"}");
}

std::string HexOf(const std::string& bytes) { return absl::BytesToHexString(bytes); }

}  // namespace

RestAnswer CheckpointsAnswer(const ClusterSnapshot& cluster, std::string_view job) {
  const absl::StatusOr<const JobSnapshot*> found = FindCheckpointedJob(cluster, job);
  if (!found.ok()) return Refuse(found.status());
  const CheckpointsView& view = *(*found)->checkpoints;
  const CheckpointCounters& counters = view.counters;
  std::vector<std::string> history;
  for (const auto* checkpoints : {&view.in_progress, &view.over}) {
    for (auto it = checkpoints->rbegin(); it != checkpoints->rend(); ++it) {
      if (history.size() < kShown) history.push_back(CheckpointJson(**it, ""));
    }
  }
  return {200,
          StrCat("{\"counts\":{\"restored\":", counters.restored, ",\"total\":",
                 counters.completed + counters.failed + counters.aborted + view.in_progress.size(),
                 ",\"in_progress\":", view.in_progress.size(), ",\"completed\":",
                 counters.completed, ",\"failed\":", counters.failed + counters.aborted,
                 "},\"summary\":", SummaryJson(view), ",\"latest\":", LatestJson(view),
                 ",\"history\":[", absl::StrJoin(history, ","), "]}")};
}

RestAnswer CheckpointSettingsAnswer(const ClusterSnapshot& cluster, std::string_view job) {
  const absl::StatusOr<const JobSnapshot*> found = FindCheckpointedJob(cluster, job);
  if (!found.ok()) return Refuse(found.status());
  const CheckpointSettings& settings = (*found)->checkpoints->settings;
  return {
      200,
      StrCat("{\"mode\":\"",
             settings.mode == CheckpointMode::kExactlyOnce ? "exactly_once" : "at_least_once",
             "\",\"interval\":", MillisOf(settings.interval), ",\"timeout\":",
             MillisOf(settings.timeout), ",\"min_pause\":", MillisOf(settings.min_pause),
             ",\"max_concurrent\":", settings.max_concurrent,
             ",\"externalization\":{\"enabled\":true,\"delete_on_cancellation\":",
             settings.retention == CheckpointRetention::kDeleteOnCancellation ? "true" : "false",
             "},\"state_backend\":\"",
             (*found)->state_backend == "rocksdb" ? "EmbeddedRocksDBStateBackend"
                                                  : "HashMapStateBackend",
             "\",\"checkpoint_storage\":\"FileSystemCheckpointStorage\","
             "\"unaligned_checkpoints\":",
             settings.unaligned ? "true" : "false",
             ",\"tolerable_failed_checkpoints\":", settings.tolerable_failed,
             ",\"aligned_checkpoint_timeout\":", MillisOf(settings.aligned_timeout),
             ",\"checkpoints_after_tasks_finish\":true,"
             "\"state_changelog_enabled\":false,\"changelog_periodic_materialization_interval\":0,"
             "\"changelog_storage\":\"memory\"}")};
}

RestAnswer CheckpointAnswer(const ClusterSnapshot& cluster, std::string_view job,
                            std::string_view checkpoint) {
  const absl::StatusOr<const JobSnapshot*> found = FindCheckpointedJob(cluster, job);
  if (!found.ok()) return Refuse(found.status());
  const auto statistics = FindCheckpoint(**found, checkpoint);
  if (!statistics.ok()) return Refuse(statistics.status());
  const proto::JobGraph& graph = *(*found)->graph;
  std::vector<std::string> vertices;
  for (int i = 0; i < graph.vertices_size(); ++i) {
    const proto::Vertex& vertex = graph.vertices(i);
    vertices.push_back(StrCat("\"", HexOf(vertex.vertex_id()), "\":{",
                              NumbersOf(**statistics, vertex, static_cast<uint32_t>(i)).Json(),
                              "}"));
  }
  return {200, CheckpointJson(**statistics, absl::StrJoin(vertices, ","))};
}

RestAnswer CheckpointVertexAnswer(const ClusterSnapshot& cluster, std::string_view job,
                                  std::string_view checkpoint, std::string_view vertex) {
  const absl::StatusOr<const JobSnapshot*> found = FindCheckpointedJob(cluster, job);
  if (!found.ok()) return Refuse(found.status());
  const auto statistics = FindCheckpoint(**found, checkpoint);
  if (!statistics.ok()) return Refuse(statistics.status());
  const proto::JobGraph& graph = *(*found)->graph;
  int index = 0;
  while (index < graph.vertices_size() && HexOf(graph.vertices(index).vertex_id()) != vertex) {
    ++index;
  }
  if (index == graph.vertices_size()) {
    return Refuse(
        absl::NotFoundError(StrCat("There is no vertex ", vertex.substr(0, 64), " in the job.")));
  }
  Summary new_bytes;
  Summary full_bytes;
  Summary duration;
  Summary sync;
  Summary async;
  Summary buffered;
  Summary processed;
  Summary persisted;
  Summary alignment;
  Summary start_delay;
  std::map<uint32_t, std::string> subtasks;
  for (uint32_t i = 0; i < graph.vertices(index).parallelism(); ++i) {
    subtasks[i] = PendingSubtaskJson(i);
  }
  for (const TaskCheckpointStatistics& task : (*statistics)->tasks) {
    if (task.vertex != static_cast<uint32_t>(index)) continue;
    subtasks[task.subtask] = SubtaskJson(**statistics, task);
    new_bytes.Add(task.new_bytes);
    full_bytes.Add(task.full_bytes);
    duration.Add(static_cast<uint64_t>(Millis(task.acknowledged_nanos)));
    sync.Add(static_cast<uint64_t>(Millis(task.sync_nanos)));
    async.Add(static_cast<uint64_t>(Millis(task.async_nanos)));
    buffered.Add(0);
    processed.Add(task.processed_bytes);
    persisted.Add(task.persisted_bytes);
    alignment.Add(static_cast<uint64_t>(Millis(task.alignment_nanos)));
    start_delay.Add(static_cast<uint64_t>(Millis(task.start_delay_nanos)));
  }
  const std::string numbers =
      NumbersOf(**statistics, graph.vertices(index), static_cast<uint32_t>(index)).Json();
  return {
      200,
      StrCat(
          "{", numbers, ",\"summary\":{\"checkpointed_size\":", new_bytes.Json(),
          ",\"state_size\":", full_bytes.Json(), ",\"end_to_end_duration\":", duration.Json(),
          ",\"checkpoint_duration\":{\"sync\":", sync.Json(), ",\"async\":", async.Json(),
          "},\"alignment\":{\"buffered\":", buffered.Json(), ",\"processed\":", processed.Json(),
          ",\"persisted\":", persisted.Json(), ",\"duration\":", alignment.Json(),
          "},\"start_delay\":", start_delay.Json(), "},\"subtasks\":[",
          absl::StrJoin(subtasks, ",",
                        [](std::string* out, const auto& subtask) { out->append(subtask.second); }),
          "]}")};
}

}  // namespace weir::jobmanager
