#include "jobmanager/checkpoint/checkpoint_coordinator.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"

namespace weir::jobmanager {

CheckpointCoordinator::CheckpointCoordinator(CheckpointSurroundings& surroundings,
                                             const CheckpointSettings& settings,
                                             CheckpointedJob job, uint64_t next_id)
    : surroundings_(surroundings),
      settings_(settings),
      job_(std::move(job)),
      next_id_(next_id),
      completed_(settings.num_retained, files_),
      cleaner_(surroundings, files_, counters_),
      policy_(settings) {
  WEIR_CHECK_GE(next_id, 1u);
}

CheckpointCoordinator::~CheckpointCoordinator() {
  if (timer_.has_value()) surroundings_.executor().Cancel(*timer_);
  for (const auto& [id, entry] : entries_) {
    surroundings_.executor().Cancel(entry.checkpoint->timeout_timer);
  }
}

absl::Status CheckpointCoordinator::Resume(std::vector<FoundCheckpoint> found) {
  WEIR_CHECK(tasks_ == nullptr);
  WEIR_CHECK_EQ(completed_.newest_id(), 0u);
  WEIR_ASSIGN_OR_RETURN(std::vector<CompletedCheckpoint> complete, ReadFound(std::move(found)));
  for (CompletedCheckpoint& checkpoint : complete) {
    if (checkpoint.owned && CommitsOutside(checkpoint.kind)) told_ = checkpoint.id;
    Drop(completed_.Add(std::move(checkpoint)));
  }
  next_id_ = std::max(next_id_, completed_.newest_id() + 1);
  return absl::OkStatus();
}

void CheckpointCoordinator::BeginAttempt(uint32_t attempt, TaskPlacement placement,
                                         uint64_t restored) {
  WEIR_CHECK(settled());
  WEIR_CHECK(!attempt_live_);
  WEIR_CHECK(!end_.has_value());
  WEIR_CHECK_GT(attempt, tasks_ == nullptr ? 0 : tasks_->attempt());
  tasks_ = std::make_unique<AttemptTasks>(job_.graph, attempt, std::move(placement));
  attempt_live_ = true;
  failing_ = false;
  rescaled_ = false;
  last_triggered_ = false;
  last_complete_ = false;
  counters_.consecutive_failures = 0;
  suspended_ = false;
  NoteRestored(restored);
  aborted_folders_.clear();
  Sweep(attempt);
}

void CheckpointCoordinator::NoteRestored(uint64_t restored) {
  // A restore commits what the checkpoint holds, so its completion is known to the tasks.
  told_ = std::max(told_, restored);
  if (restored == 0) return;
  ++counters_.restored;
  const std::optional<CompletedCheckpoint>& latest = completed_.latest();
  restored_.emplace();
  restored_->id = restored;
  restored_->restored_unix_micros = NowMicros();
  if (latest.has_value() && latest->id == restored) {
    restored_->kind = latest->kind;
    restored_->directory = latest->directory;
  }
}

void CheckpointCoordinator::SuspendTasks(
    const std::vector<std::pair<uint32_t, uint32_t>>& vertex_and_subtask, std::string_view why) {
  WEIR_CHECK(attempt_live_);
  suspended_ = true;
  last_triggered_ = last_complete_ = false;
  AbortPending(why);
  for (const auto& [vertex, subtask] : vertex_and_subtask) {
    const absl::StatusOr<size_t> task = tasks_->Find(vertex, subtask);
    WEIR_CHECK(task.ok());
    if (const auto held = tasks_->Withdraw(*task); held != nullptr) ReleaseFiles(*held);
  }
  DeleteUnusedFiles();
  Schedule();
}

void CheckpointCoordinator::ReplaceTasks(const std::vector<ReplacedTask>& tasks,
                                         uint32_t region_attempt, uint64_t restored) {
  WEIR_CHECK(attempt_live_);
  for (const ReplacedTask& replaced : tasks) {
    const absl::StatusOr<size_t> task = tasks_->Find(replaced.vertex, replaced.subtask);
    WEIR_CHECK(task.ok());
    tasks_->Replace(*task, replaced.worker, region_attempt);
  }
  NoteRestored(restored);
}

void CheckpointCoordinator::ResumeTasks() {
  WEIR_CHECK(attempt_live_);
  suspended_ = false;
  counters_.consecutive_failures = 0;
  if (running_) policy_.Start(NowNanos());
  Schedule();
}

bool CheckpointCoordinator::HoldsEndOf(
    const std::vector<std::pair<uint32_t, uint32_t>>& vertex_and_subtask) const {
  if (!job_.keeps_final_states) return true;
  return attempt_live_ &&
         std::all_of(vertex_and_subtask.begin(), vertex_and_subtask.end(), [this](const auto& id) {
           const auto task = tasks_->Find(id.first, id.second);
           return task.ok() && tasks_->final_snapshot(*task) != nullptr;
         });
}

void CheckpointCoordinator::AbortPending(std::string_view why) {
  std::vector<uint64_t> pending;
  for (const auto& [id, entry] : entries_) {
    if (entry.checkpoint->pending()) pending.push_back(id);
  }
  for (const uint64_t id : pending) Abort(id, AbortReason::kJobNotRunning, why);
}

void CheckpointCoordinator::SetGraph(std::shared_ptr<const proto::JobGraph> graph) {
  WEIR_CHECK(settled());
  WEIR_CHECK(!attempt_live_);
  job_.graph = std::move(graph);
}

void CheckpointCoordinator::SetStopped() {
  WEIR_CHECK(attempt_live_);
  stopped_ = true;
  told_ = completed_.newest_id();
}

void CheckpointCoordinator::OnRunning() {
  WEIR_CHECK(attempt_live_);
  running_ = true;
  policy_.Start(NowNanos());
  Schedule();
}

void CheckpointCoordinator::EndAttempt(std::string_view why) {
  if (!attempt_live_) return;
  attempt_live_ = false;
  running_ = false;
  if (timer_.has_value()) surroundings_.executor().Cancel(*timer_);
  timer_.reset();
  AbortPending(why);
  for (Request& request : std::exchange(requests_, {})) {
    Answer(std::move(request.done), absl::FailedPreconditionError(ToAbsl(why)));
  }
  for (size_t task = 0; task < tasks_->size(); ++task) {
    if (tasks_->final_snapshot(task) != nullptr) ReleaseFiles(*tasks_->final_snapshot(task));
  }
  DeleteUnusedFiles();
}

void CheckpointCoordinator::EndJob(JobEnd end) {
  WEIR_CHECK(!end_.has_value());
  EndAttempt("the job has ended");
  end_ = end;
  if (settled()) ApplyRetention();
}

void CheckpointCoordinator::OnTaskEnded(uint32_t vertex, uint32_t subtask) {
  if (!attempt_live_) return;
  const absl::StatusOr<size_t> task = tasks_->Find(vertex, subtask);
  WEIR_CHECK(task.ok());
  tasks_->SetEnded(*task);
  if (job_.keeps_final_states) return;
  std::vector<uint64_t> without_it;
  for (const auto& [id, entry] : entries_) {
    if (entry.checkpoint->pending() && entry.checkpoint->snapshots().at(*task) == nullptr) {
      without_it.push_back(id);
    }
  }
  for (const uint64_t id : without_it) Abort(id, AbortReason::kDeclined, kFinalStateNotKept);
  if (!without_it.empty()) Schedule();
}

absl::Status CheckpointCoordinator::OnAcknowledge(
    const proto::AcknowledgeCheckpointRequest& request) {
  if (tasks_ == nullptr || request.attempt() != tasks_->attempt()) {
    return absl::FailedPreconditionError(
        StrCat("an acknowledgement of attempt ", request.attempt(), ", but attempt ",
               tasks_ == nullptr ? 0 : tasks_->attempt(), " runs"));
  }
  const auto refuse = [this](absl::Status status) {
    ++counters_.refused_acknowledgements;
    surroundings_.Log("warning", StrCat("refused: ", ToStd(status.message())));
    return status;
  };
  const absl::StatusOr<size_t> task =
      tasks_->Find(request.snapshot().vertex(), request.snapshot().subtask());
  if (!task.ok()) return refuse(task.status());
  if (!tasks_->IsCurrent(*task, request.region_attempt())) {
    // Of a task that was started again since. What it has written goes with the next attempt.
    ++counters_.late_acknowledgements;
    return absl::OkStatus();
  }
  const absl::Status placed = tasks_->CheckWorker(*task, request.worker_index());
  if (!placed.ok()) return refuse(placed);
  if (request.has_declined()) {
    Decline(request);
    return absl::OkStatus();
  }
  const bool final = request.snapshot().final();
  const uint64_t id = request.checkpoint_id();
  if (id == 0 && !final) {
    return refuse(absl::InvalidArgumentError("a snapshot of no checkpoint that is not final"));
  }
  const absl::Status valid = tasks_->CheckSnapshot(request.snapshot());
  if (!valid.ok()) return refuse(valid);

  if (!attempt_live_) {
    // What it has written goes when the next attempt begins.
    ++counters_.late_acknowledgements;
    return absl::OkStatus();
  }
  PendingCheckpoint* checkpoint = FindPending(id);
  for (const proto::StateFile& file : request.snapshot().files()) {
    if (!cleaner_.MayBeGone(file.name())) continue;
    const std::string why = StrCat("a task refers to '", file.name(), "', which is being deleted");
    if (checkpoint == nullptr && final) return refuse(absl::InvalidArgumentError(why));
    if (checkpoint != nullptr) Abort(id, AbortReason::kBadState, why);
    Schedule();
    return absl::OkStatus();
  }

  auto snapshot = std::make_shared<const proto::TaskSnapshot>(request.snapshot());
  if (checkpoint != nullptr) {
    Record(*checkpoint, *task, snapshot, /*own=*/true);
    CompleteIfAcknowledged(id);
  } else if (id != 0) {
    ++counters_.late_acknowledgements;
    // The files are there all the same, and go with the next one that is complete.
    ReferFiles(*snapshot, std::min(id, next_id_ - 1));
    ReleaseFiles(*snapshot);
  }
  if (final) OnFinal(*task, snapshot, id);
  return absl::OkStatus();
}

void CheckpointCoordinator::OnFinal(size_t task,
                                    const std::shared_ptr<const proto::TaskSnapshot>& snapshot,
                                    uint64_t acknowledged) {
  if (!tasks_->SetFinal(task, snapshot)) {
    if (acknowledged == 0) ++counters_.repeated_acknowledgements;
    return;
  }
  ReferFiles(*snapshot, next_id_ - 1);
  const uint64_t last_barrier = std::max(snapshot->last_barrier(), acknowledged);
  std::vector<uint64_t> later;
  for (const auto& [id, entry] : entries_) {
    if (id > last_barrier && entry.checkpoint->pending()) later.push_back(id);
  }
  for (const uint64_t id : later) {
    Record(*entries_.at(id).checkpoint, task, snapshot, /*own=*/false);
    CompleteIfAcknowledged(id);
  }
  if (tasks_->AllFinal()) Schedule();
}

void CheckpointCoordinator::Decline(const proto::AcknowledgeCheckpointRequest& request) {
  const uint64_t id = request.checkpoint_id();
  const proto::TaskSnapshot& task = request.snapshot();
  const std::string why = StrCat("subtask ", task.subtask(), " of ",
                                 job_.graph->vertices(static_cast<int>(task.vertex())).name(), ": ",
                                 request.declined().message());
  if (id == 0) {
    return FailJob(absl::AbortedError(
        StrCat("what a task held at its end is lost, and with it all later checkpoints: ", why)));
  }
  if (FindPending(id) == nullptr) {
    ++counters_.late_acknowledgements;
    return;
  }
  const auto code = static_cast<absl::StatusCode>(request.declined().code());
  const bool overtaken = code == absl::StatusCode::kAborted || code == absl::StatusCode::kCancelled;
  Abort(id, overtaken ? AbortReason::kSubsumed : AbortReason::kDeclined, why);
  Schedule();
}

void CheckpointCoordinator::Record(PendingCheckpoint& checkpoint, size_t task,
                                   const std::shared_ptr<const proto::TaskSnapshot>& snapshot,
                                   bool own) {
  ReferFiles(*snapshot, checkpoint.id());
  const auto given_back = checkpoint.Acknowledge(task, snapshot, own, NowNanos());
  if (given_back == nullptr) return;
  ReleaseFiles(*given_back);
  if (own && given_back == snapshot) ++counters_.repeated_acknowledgements;
}

PendingCheckpoint* CheckpointCoordinator::FindPending(uint64_t id) {
  const auto found = entries_.find(id);
  if (found == entries_.end() || !found->second.checkpoint->pending()) return nullptr;
  return found->second.checkpoint.get();
}

void CheckpointCoordinator::ReferFiles(const proto::TaskSnapshot& snapshot, uint64_t id) {
  for (const proto::StateFile& file : snapshot.files()) {
    if (IsShared(file.name())) files_.Refer(file.name(), id);
  }
}

void CheckpointCoordinator::ReleaseFiles(const proto::TaskSnapshot& snapshot) {
  for (const proto::StateFile& file : snapshot.files()) {
    if (IsShared(file.name())) files_.Release(file.name());
  }
}

void CheckpointCoordinator::ReleaseSnapshots(
    const std::vector<std::shared_ptr<const proto::TaskSnapshot>>& snapshots) {
  for (const auto& snapshot : snapshots) {
    if (snapshot != nullptr) ReleaseFiles(*snapshot);
  }
}

std::vector<CheckpointStatistics> CheckpointCoordinator::InProgress() const {
  std::vector<CheckpointStatistics> result;
  for (const auto& [id, entry] : entries_) result.push_back(entry.checkpoint->statistics());
  return result;
}

std::shared_ptr<const CheckpointsView> CheckpointCoordinator::View() const {
  auto view = std::make_shared<CheckpointsView>();
  view->settings = settings_;
  view->counters = counters_;
  view->over.assign(history_.checkpoints().begin(), history_.checkpoints().end());
  for (CheckpointStatistics& statistics : InProgress()) {
    view->in_progress.push_back(
        std::make_shared<const CheckpointStatistics>(std::move(statistics)));
  }
  view->restored = restored_;
  return view;
}

}  // namespace weir::jobmanager
