#include "jobmanager/dispatch/checkpoint_report.h"

#include "common/base/strings.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"

namespace weir::jobmanager {
namespace {

proto::JobCheckpoint::State StateOf(const CheckpointStatistics& checkpoint) {
  if (checkpoint.state == CheckpointState::kCompleted) return proto::JobCheckpoint::COMPLETED;
  if (checkpoint.state != CheckpointState::kAborted) return proto::JobCheckpoint::IN_PROGRESS;
  return IsFailure(checkpoint.abort_reason) ? proto::JobCheckpoint::FAILED
                                            : proto::JobCheckpoint::ABORTED;
}

void FillSubtask(const TaskCheckpointStatistics& task, proto::JobCheckpoint::Subtask& subtask) {
  subtask.set_vertex(task.vertex);
  subtask.set_subtask(task.subtask);
  subtask.set_acknowledged_nanos(task.acknowledged_nanos);
  subtask.set_start_delay_nanos(task.start_delay_nanos);
  subtask.set_alignment_nanos(task.alignment_nanos);
  subtask.set_sync_nanos(task.sync_nanos);
  subtask.set_async_nanos(task.async_nanos);
  subtask.set_new_bytes(task.new_bytes);
  subtask.set_full_bytes(task.full_bytes);
  subtask.set_final(task.final);
  subtask.set_processed_bytes(task.processed_bytes);
  subtask.set_persisted_bytes(task.persisted_bytes);
  subtask.set_unaligned(task.unaligned);
}

void FillCheckpoint(const CheckpointStatistics& checkpoint, proto::JobCheckpoint& shown) {
  shown.set_id(checkpoint.id);
  shown.set_savepoint(IsSavepoint(checkpoint.kind));
  shown.set_stops_job(StopsJob(checkpoint.kind));
  shown.set_state(StateOf(checkpoint));
  shown.set_failure(checkpoint.failure);
  shown.set_directory(checkpoint.directory);
  shown.set_discarded(checkpoint.discarded);
  shown.set_attempt(checkpoint.attempt);
  shown.set_triggered_unix_micros(checkpoint.triggered_unix_micros);
  shown.set_duration_nanos(checkpoint.duration_nanos);
  shown.set_end_to_end_nanos(checkpoint.end_to_end_nanos);
  shown.set_new_bytes(checkpoint.new_bytes);
  shown.set_full_bytes(checkpoint.full_bytes);
  shown.set_processed_bytes(checkpoint.processed_bytes);
  shown.set_persisted_bytes(checkpoint.persisted_bytes);
  shown.set_unaligned(checkpoint.unaligned);
  shown.set_start_delay_nanos(checkpoint.start_delay_nanos);
  shown.set_alignment_nanos(checkpoint.alignment_nanos);
  shown.set_sync_nanos(checkpoint.sync_nanos);
  shown.set_async_nanos(checkpoint.async_nanos);
  shown.set_acknowledged(checkpoint.acknowledged);
  shown.set_total(checkpoint.total);
}

}  // namespace

absl::StatusOr<proto::JobCheckpointsResponse> ReportCheckpoints(const CheckpointsView& view,
                                                                const proto::JobGraph& graph,
                                                                uint64_t id) {
  proto::JobCheckpointsResponse response;
  if (id != 0) {
    const std::shared_ptr<const CheckpointStatistics> checkpoint = view.Find(id);
    if (checkpoint == nullptr) {
      return absl::NotFoundError(StrCat(
          "checkpoint ", id, " is not known, or not any more: the last ",
          CheckpointHistory::kMaxCheckpoints, " since the job manager was started are remembered"));
    }
    proto::JobCheckpoint& shown = *response.add_checkpoints();
    FillCheckpoint(*checkpoint, shown);
    for (const TaskCheckpointStatistics& task : checkpoint->tasks) {
      FillSubtask(task, *shown.add_subtasks());
    }
  } else {
    for (auto it = view.in_progress.rbegin(); it != view.in_progress.rend(); ++it) {
      FillCheckpoint(**it, *response.add_checkpoints());
    }
    for (auto it = view.over.rbegin(); it != view.over.rend(); ++it) {
      FillCheckpoint(**it, *response.add_checkpoints());
    }
  }
  response.set_completed(view.counters.completed);
  response.set_failed(view.counters.failed);
  response.set_aborted(view.counters.aborted);
  response.set_restored(view.counters.restored);
  if (view.restored.has_value()) {
    response.set_restored_id(view.restored->id);
    response.set_restored_directory(view.restored->directory);
    response.set_restored_unix_micros(view.restored->restored_unix_micros);
  }
  for (const proto::Vertex& vertex : graph.vertices()) response.add_vertices(vertex.name());
  response.set_interval_nanos(absl::ToInt64Nanoseconds(view.settings.interval));
  return response;
}

}  // namespace weir::jobmanager
