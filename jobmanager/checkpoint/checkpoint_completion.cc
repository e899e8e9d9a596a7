#include <algorithm>
#include <limits>
#include <utility>

#include "common/base/check.h"
#include "common/base/strings.h"
#include "jobmanager/checkpoint/checkpoint_coordinator.h"
#include "proto/checkpoint.pb.h"

namespace weir::jobmanager {
namespace {

constexpr size_t kMaxAbortedFolders = 1'000;

}  // namespace

void CheckpointCoordinator::CompleteIfAcknowledged(uint64_t id) {
  PendingCheckpoint* checkpoint = FindPending(id);
  if (checkpoint == nullptr || !checkpoint->prepared() || !checkpoint->AllAcknowledged()) return;
  const auto& job_id = job_.id.bytes();
  auto metadata = BuildMetadata(*job_.graph,
                                {.job_id = std::string(job_id.begin(), job_id.end()),
                                 .job_name = job_.name,
                                 .checkpoint_id = id,
                                 .kind = checkpoint->kind(),
                                 .triggered_unix_micros = checkpoint->triggered_unix_micros(),
                                 .completed_unix_micros = NowMicros()},
                                checkpoint->snapshots());
  if (!metadata.ok()) {
    Abort(id, AbortReason::kBadState, ToStd(metadata.status().message()));
    return Schedule();
  }
  surroundings_.executor().Cancel(checkpoint->timeout_timer);
  checkpoint->MoveTo(CheckpointState::kCompleting, NowNanos());
  checkpoint->metadata = *std::move(metadata);
  Write(id);
  // A savepoint may have waited for it.
  Schedule();
}

void CheckpointCoordinator::Write(uint64_t id) {
  const PendingCheckpoint& checkpoint = *entries_.at(id).checkpoint;
  std::vector<std::string> copies;
  if (IsSavepoint(checkpoint.kind())) copies = checkpoint.SharedFiles();
  surroundings_.WriteMetadata(
      checkpoint.directory(), checkpoint.metadata, std::move(copies),
      lifetime_.Guard([this, id](WriteOutcome outcome, const absl::Status& status) {
        OnWritten(id, outcome, status);
      }));
}

void CheckpointCoordinator::OnWritten(uint64_t id, WriteOutcome outcome,
                                      const absl::Status& status) {
  PendingCheckpoint& checkpoint = *entries_.at(id).checkpoint;
  switch (outcome) {
    case WriteOutcome::kUnknown: {
      ++counters_.unknown_writes;
      const absl::Duration delay =
          std::min(kLastWriteRetry,
                   kFirstWriteRetry * (int64_t{1} << std::min(checkpoint.unknown_writes, 10u)));
      ++checkpoint.unknown_writes;
      surroundings_.Log("warning",
                        StrCat("whether the metadata of ", checkpoint.Describe(),
                               " is written is not known; it is tried again: ", status.ToString()));
      surroundings_.executor().PostAfter(delay, lifetime_.Guard([this, id] { Write(id); }));
      return;
    }
    case WriteOutcome::kFailed:
      Abort(id, AbortReason::kMetadataFailed, ToStd(status.message()));
      break;
    case WriteOutcome::kDone:
      if (id < completed_.newest_id()) {
        Abort(id, AbortReason::kSubsumed,
              StrCat("checkpoint ", completed_.newest_id(), " was complete before it"));
      } else {
        Complete(id);
      }
      break;
  }
  if (settled()) OnSettled();
  Schedule();
}

void CheckpointCoordinator::Complete(uint64_t id) {
  Entry entry = Remove(id);
  PendingCheckpoint& checkpoint = *entry.checkpoint;
  checkpoint.MoveTo(CheckpointState::kCompleted, NowNanos());
  history_.Add(checkpoint.statistics());
  ++counters_.completed;
  counters_.consecutive_failures = 0;
  const std::vector<CompletedCheckpoint> dropped =
      completed_.Add({.id = id,
                      .kind = checkpoint.kind(),
                      .owned = true,
                      .directory = checkpoint.directory(),
                      .metadata = checkpoint.metadata});
  ReleaseSnapshots(checkpoint.snapshots());

  const bool of_this_attempt =
      attempt_live_ && checkpoint.statistics().attempt == tasks_->attempt();
  // Also when the attempt has failed meanwhile: the savepoint is all that there was to come of it.
  if (StopsJob(checkpoint.kind()) && tasks_ != nullptr &&
      checkpoint.statistics().attempt == tasks_->attempt()) {
    stopped_ = true;
  }
  if (of_this_attempt && checkpoint.kind() == CheckpointKind::kRescale) rescaled_ = true;
  if (CommitsOutside(checkpoint.kind())) {
    told_ = id;
    if (running_) surroundings_.SendNotice({.completed = told_, .aborted = 0});
    if (of_this_attempt && checkpoint.AllFinal()) last_complete_ = true;
  }
  Answer(std::move(entry.done), SavepointResult{id, checkpoint.directory()});

  std::vector<uint64_t> older;
  for (const auto& [other, other_entry] : entries_) {
    if (other < id && other_entry.checkpoint->pending()) older.push_back(other);
  }
  for (const uint64_t other : older) {
    Abort(other, AbortReason::kSubsumed, StrCat(checkpoint.Describe(), " is complete"));
  }
  Drop(dropped);
  DeleteUnusedFiles();
  for (const auto& [aborted, folder] : std::exchange(aborted_folders_, {})) {
    cleaner_.DeleteCheckpoint(aborted, folder);
  }
}

void CheckpointCoordinator::Abort(uint64_t id, AbortReason reason, std::string_view why) {
  Entry entry = Remove(id);
  PendingCheckpoint& checkpoint = *entry.checkpoint;
  checkpoint.SetAborted(reason, StrCat(Name(reason), ": ", why), NowNanos());
  history_.Add(checkpoint.statistics());
  const std::string failure =
      StrCat(checkpoint.Describe(), " was aborted: ", checkpoint.statistics().failure);
  surroundings_.Log(IsFailure(reason) ? "warning" : "info", failure);
  if (checkpoint.prepared()) {
    // Its metadata may have been written.
    cleaner_.DeleteCheckpoint(id, checkpoint.directory(),
                              [this, snapshots = checkpoint.snapshots()] {
                                ReleaseSnapshots(snapshots);
                                DeleteUnusedFiles();
                              });
    aborted_folders_.emplace_back(id, checkpoint.directory());
    // The oldest is left for the sweep of the next attempt.
    if (aborted_folders_.size() > kMaxAbortedFolders) aborted_folders_.pop_front();
    if (running_) surroundings_.SendNotice({.completed = told_, .aborted = id});
  } else {
    ReleaseSnapshots(checkpoint.snapshots());
  }
  if (checkpoint.kind() == CheckpointKind::kDrainWithSavepoint && checkpoint.prepared()) {
    // Its tasks may have ended all windows already, which nobody can take back.
    FailJob(absl::AbortedError(
        StrCat(failure, "; as the job was being drained it goes on from its latest checkpoint")));
  }
  Answer(std::move(entry.done), absl::AbortedError(failure));
  if (IsFailure(reason)) {
    ++counters_.failed;
    CountFailure(checkpoint);
  } else {
    ++counters_.aborted;
  }
}

CheckpointCoordinator::Entry CheckpointCoordinator::Remove(uint64_t id) {
  const auto found = entries_.find(id);
  WEIR_CHECK(found != entries_.end());
  Entry entry = std::move(found->second);
  entries_.erase(found);
  surroundings_.executor().Cancel(entry.checkpoint->timeout_timer);
  policy_.OnEnded(NowNanos());
  return entry;
}

void CheckpointCoordinator::CountFailure(const PendingCheckpoint& checkpoint) {
  // Whoever asked for it is told, and may try again.
  if (IsAskedFor(checkpoint.kind())) return;
  ++counters_.consecutive_failures;
  if (counters_.consecutive_failures <= settings_.tolerable_failed || !running_) return;
  FailJob(absl::AbortedError(
      StrCat(checkpoint.Describe(), " failed (", checkpoint.statistics().failure, "), the ",
             counters_.consecutive_failures,
             ". in a row; execution.checkpointing.tolerable-failed-checkpoints is ",
             settings_.tolerable_failed)));
}

void CheckpointCoordinator::FailJob(absl::Status why) {
  if (!attempt_live_ || failing_) return;
  failing_ = true;
  surroundings_.executor().Post(
      lifetime_.Guard([this, attempt = tasks_->attempt(), why = std::move(why)] {
        if (attempt_live_ && tasks_->attempt() == attempt) surroundings_.FailJob(why);
      }));
}

void CheckpointCoordinator::Drop(const std::vector<CompletedCheckpoint>& dropped) {
  for (const CompletedCheckpoint& checkpoint : dropped) {
    history_.SetDiscarded(checkpoint.id);
    cleaner_.DeleteCheckpoint(checkpoint.id, checkpoint.directory, [this, checkpoint] {
      completed_.Release(checkpoint);
      DeleteUnusedFiles();
    });
  }
}

void CheckpointCoordinator::DeleteUnusedFiles() {
  // The next attempt starts from what is complete and refers to nothing else.
  cleaner_.DeleteShared(files_.TakeUnused(attempt_live_ ? completed_.newest_id()
                                                        : std::numeric_limits<uint64_t>::max()));
}

bool CheckpointCoordinator::settled() const {
  return std::none_of(entries_.begin(), entries_.end(), [](const auto& entry) {
    return entry.second.checkpoint->state() == CheckpointState::kCompleting;
  });
}

void CheckpointCoordinator::WhenSettled(Closure f) {
  when_settled_.push_back(std::move(f));
  if (settled()) OnSettled();
}

void CheckpointCoordinator::OnSettled() {
  if (end_.has_value() && !retention_applied_) ApplyRetention();
  for (Closure& f : std::exchange(when_settled_, {})) {
    surroundings_.executor().Post(lifetime_.Guard(std::move(f)));
  }
}

void CheckpointCoordinator::ApplyRetention() {
  retention_applied_ = true;
  const bool keep = *end_ == JobEnd::kFailed ||
                    (*end_ == JobEnd::kCanceled &&
                     settings_.retention == CheckpointRetention::kRetainOnCancellation);
  if (!keep) Drop(completed_.TakeAll());
  DeleteUnusedFiles();
  Sweep(kNoLiveAttempt);
  for (const absl::Duration later : kSweepsAfterEnd)
    surroundings_.executor().PostAfter(later, lifetime_.Guard([this] { Sweep(kNoLiveAttempt); }));
}

void CheckpointCoordinator::Sweep(uint32_t live_attempt) {
  const bool over = live_attempt == kNoLiveAttempt;
  cleaner_.DeleteLeftovers({.newest_complete = completed_.newest_id(),
                            .next_id = over ? std::numeric_limits<uint64_t>::max() : next_id_,
                            .live_attempt = live_attempt,
                            .keep_directories = completed_.Directories(),
                            .keep_shared = files_.Referenced()});
}

}  // namespace weir::jobmanager
