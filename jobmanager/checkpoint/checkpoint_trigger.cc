#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/strings.h"
#include "jobmanager/checkpoint/checkpoint_coordinator.h"
#include "proto/checkpoint.pb.h"

namespace weir::jobmanager {

void CheckpointCoordinator::TriggerSavepoint(const std::string& directory, CheckpointKind kind,
                                             SavepointDone done) {
  WEIR_CHECK(IsSavepoint(kind));
  if (running_ && !job_.keeps_final_states && tasks_->AnyEnded()) {
    return Answer(std::move(done), absl::FailedPreconditionError(kFinalStateNotKept));
  }
  Ask({.kind = kind, .target = directory, .done = std::move(done)});
}

void CheckpointCoordinator::TriggerCheckpoint(SavepointDone done) {
  Ask({.kind = CheckpointKind::kCheckpoint, .target = {}, .done = std::move(done)});
}

void CheckpointCoordinator::TriggerRescale(SavepointDone done) {
  Ask({.kind = CheckpointKind::kRescale, .target = {}, .done = std::move(done)});
}

void CheckpointCoordinator::Ask(Request request) {
  if (!running_) {
    return Answer(std::move(request.done), absl::FailedPreconditionError("the job does not run"));
  }
  if (Stopping()) {
    return Answer(std::move(request.done),
                  absl::FailedPreconditionError("the job is being stopped or rescaled"));
  }
  if (requests_.size() >= kMaxWaitingSavepoints) {
    return Answer(std::move(request.done),
                  absl::ResourceExhaustedError(
                      StrCat(kMaxWaitingSavepoints, " savepoints of the job are waiting already")));
  }
  requests_.push_back(std::move(request));
  Schedule();
}

void CheckpointCoordinator::Answer(SavepointDone done, absl::StatusOr<SavepointResult> result) {
  if (done == nullptr) return;
  surroundings_.executor().Post(lifetime_.Guard(
      [done = std::move(done), result = std::move(result)]() mutable { done(std::move(result)); }));
}

bool CheckpointCoordinator::Stopping() const {
  return stopped_ || rescaled_ ||
         std::any_of(requests_.begin(), requests_.end(),
                     [](const Request& request) { return StopsTasks(request.kind); }) ||
         std::any_of(entries_.begin(), entries_.end(),
                     [](const auto& entry) { return StopsTasks(entry.second.checkpoint->kind()); });
}

bool CheckpointCoordinator::stop_undecided() const {
  return std::any_of(entries_.begin(), entries_.end(), [this](const auto& entry) {
    const PendingCheckpoint& checkpoint = *entry.second.checkpoint;
    return StopsJob(checkpoint.kind()) && checkpoint.state() == CheckpointState::kCompleting &&
           tasks_ != nullptr && checkpoint.statistics().attempt == tasks_->attempt();
  });
}

bool CheckpointCoordinator::AnyPending() const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [](const auto& entry) { return entry.second.checkpoint->pending(); });
}

void CheckpointCoordinator::Schedule() {
  if (timer_.has_value()) surroundings_.executor().Cancel(*timer_);
  timer_.reset();
  if (!running_ || suspended_) return;
  // What was asked for comes first, alone: a barrier with a higher id would abort it, and it the
  // ones with lower ids (semantics rule 42).
  if (!requests_.empty()) {
    if (AnyPending()) return;
    Request request = std::move(requests_.front());
    requests_.pop_front();
    Trigger(std::move(request));
    return Schedule();
  }
  if (Stopping()) return;
  for (const auto& [id, entry] : entries_) {
    if (!entry.checkpoint->pending()) continue;
    // One folder is prepared at a time: workers ignore a trigger that comes after a higher one.
    if (IsAskedFor(entry.checkpoint->kind()) || !entry.checkpoint->prepared()) return;
  }
  const std::optional<int64_t> next = policy_.NextNanos(entries_.size());
  if (!next.has_value()) return;
  if (tasks_->AllFinal()) {
    // Nothing changes any more: one last checkpoint, at once, by which sinks commit (semantics rule
    // 46).
    if (last_complete_) return;
    if (!last_triggered_) {
      last_triggered_ = true;
      Trigger({});
      return Schedule();
    }
  }
  if (*next > NowNanos()) return SetTimer(*next);
  Trigger({});
  Schedule();
}

void CheckpointCoordinator::SetTimer(int64_t at_nanos) {
  timer_ = surroundings_.executor().PostAfter(absl::Nanoseconds(at_nanos - NowNanos()),
                                              lifetime_.Guard([this] {
                                                timer_.reset();
                                                Schedule();
                                              }));
}

void CheckpointCoordinator::Trigger(Request request) {
  const uint64_t id = next_id_++;
  const int64_t now_nanos = NowNanos();
  if (request.kind == CheckpointKind::kCheckpoint) policy_.OnTriggered(now_nanos);
  ++counters_.triggered;
  auto checkpoint =
      std::make_unique<PendingCheckpoint>(PendingCheckpoint::Start{.id = id,
                                                                   .kind = request.kind,
                                                                   .attempt = tasks_->attempt(),
                                                                   .tasks = tasks_->size(),
                                                                   .now_nanos = now_nanos,
                                                                   .now_unix_micros = NowMicros()});
  for (size_t task = 0; task < tasks_->size(); ++task) {
    const auto& final_snapshot = tasks_->final_snapshot(task);
    if (final_snapshot != nullptr) Record(*checkpoint, task, final_snapshot, /*own=*/false);
  }
  checkpoint->timeout_timer = surroundings_.executor().PostAfter(
      settings_.timeout, lifetime_.Guard([this, id] { OnTimeout(id); }));
  entries_.emplace(id, Entry{std::move(checkpoint), std::move(request.done)});
  surroundings_.Prepare(id, request.kind, request.target,
                        lifetime_.Guard([this, id](absl::StatusOr<std::string> directory) {
                          OnPrepared(id, std::move(directory));
                        }));
}

void CheckpointCoordinator::OnPrepared(uint64_t id, absl::StatusOr<std::string> directory) {
  PendingCheckpoint* checkpoint = FindPending(id);
  if (checkpoint == nullptr) {
    // It was aborted meanwhile.
    if (directory.ok()) cleaner_.DeleteCheckpoint(id, *directory);
    return;
  }
  if (!directory.ok()) {
    Abort(id, AbortReason::kPrepareFailed, ToStd(directory.status().message()));
    return Schedule();
  }
  checkpoint->SetPrepared(*std::move(directory));
  TriggerOrder order{.checkpoint_id = id,
                     .kind = checkpoint->kind(),
                     .directory = checkpoint->directory(),
                     .triggered_unix_micros = checkpoint->triggered_unix_micros(),
                     .workers = NamesFolder(checkpoint->kind()) ? tasks_->AllWorkers()
                                                                : tasks_->WorkersToTrigger()};
  if (!order.workers.empty()) surroundings_.SendTrigger(order);
  CompleteIfAcknowledged(id);
  Schedule();
}

void CheckpointCoordinator::OnTimeout(uint64_t id) {
  const PendingCheckpoint* checkpoint = FindPending(id);
  if (checkpoint == nullptr) return;
  const CheckpointStatistics& statistics = checkpoint->statistics();
  Abort(id, AbortReason::kTimeout,
        StrCat("after ", absl::FormatDuration(settings_.timeout), " ", statistics.acknowledged,
               " of ", statistics.total, " subtasks had acknowledged"));
  Schedule();
}

}  // namespace weir::jobmanager
