#include "jobmanager/checkpoint/pending_checkpoint.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/base/check.h"
#include "common/base/strings.h"
#include "jobmanager/checkpoint/state_files.h"
#include "proto/checkpoint.pb.h"

namespace weir::jobmanager {

PendingCheckpoint::PendingCheckpoint(const Start& start)
    : started_nanos_(start.now_nanos), snapshots_(start.tasks), own_(start.tasks, false) {
  statistics_.id = start.id;
  statistics_.kind = start.kind;
  statistics_.attempt = start.attempt;
  statistics_.triggered_unix_micros = start.now_unix_micros;
  statistics_.total = static_cast<uint32_t>(start.tasks);
}

std::string PendingCheckpoint::Describe() const { return StrCat(Name(kind()), " ", id()); }

void PendingCheckpoint::SetPrepared(std::string directory) {
  WEIR_CHECK(!directory.empty());
  statistics_.directory = std::move(directory);
}

std::shared_ptr<const proto::TaskSnapshot> PendingCheckpoint::Acknowledge(
    size_t task, std::shared_ptr<const proto::TaskSnapshot> snapshot, bool own, int64_t now_nanos) {
  WEIR_CHECK(pending());
  std::shared_ptr<const proto::TaskSnapshot>& known = snapshots_.at(task);
  if (known == nullptr) {
    ++statistics_.acknowledged;
  } else if (own_[task] || !own) {
    return snapshot;
  }
  std::shared_ptr<const proto::TaskSnapshot> replaced = std::exchange(known, std::move(snapshot));
  own_[task] = own;
  CountTask(*known, own, now_nanos);
  return replaced;
}

void PendingCheckpoint::CountTask(const proto::TaskSnapshot& snapshot, bool own,
                                  int64_t now_nanos) {
  TaskCheckpointStatistics told{.vertex = snapshot.vertex(), .subtask = snapshot.subtask()};
  told.full_bytes = snapshot.full_bytes();
  told.final = snapshot.final();
  told.acknowledged_nanos = now_nanos - started_nanos_;
  // A final snapshot that was told before is no work of this checkpoint.
  if (own) {
    told.start_delay_nanos = snapshot.start_delay_nanos();
    told.alignment_nanos = snapshot.alignment_nanos();
    told.sync_nanos = snapshot.sync_nanos();
    told.async_nanos = snapshot.async_nanos();
    told.new_bytes = snapshot.new_bytes();
    told.processed_bytes = snapshot.alignment_bytes();
    told.persisted_bytes = snapshot.in_flight_bytes();
    told.unaligned = snapshot.unaligned();
  }
  const auto same_task = [&told](const TaskCheckpointStatistics& other) {
    return other.vertex == told.vertex && other.subtask == told.subtask;
  };
  // Only a final snapshot is ever replaced, so this is rare.
  const bool replaces = statistics_.tasks.size() >= statistics_.acknowledged;
  if (replaces) {
    const auto old = std::find_if(statistics_.tasks.begin(), statistics_.tasks.end(), same_task);
    statistics_.full_bytes -= old->full_bytes;
    statistics_.tasks.erase(old);
  }
  statistics_.full_bytes += told.full_bytes;
  statistics_.new_bytes += told.new_bytes;
  statistics_.processed_bytes += told.processed_bytes;
  statistics_.persisted_bytes += told.persisted_bytes;
  statistics_.start_delay_nanos = std::max(statistics_.start_delay_nanos, told.start_delay_nanos);
  statistics_.alignment_nanos = std::max(statistics_.alignment_nanos, told.alignment_nanos);
  statistics_.sync_nanos = std::max(statistics_.sync_nanos, told.sync_nanos);
  statistics_.async_nanos = std::max(statistics_.async_nanos, told.async_nanos);
  statistics_.unaligned |= told.unaligned;
  statistics_.end_to_end_nanos = told.acknowledged_nanos;
  statistics_.tasks.push_back(told);
}

std::vector<std::string> PendingCheckpoint::SharedFiles() const {
  std::set<std::string> names;
  for (const auto& snapshot : snapshots_) {
    if (snapshot == nullptr) continue;
    for (const auto& operator_state : snapshot->operators()) {
      for (const uint32_t index : operator_state.files()) {
        const std::string& name = snapshot->files(static_cast<int>(index)).name();
        if (IsShared(name)) names.insert(name);
      }
    }
  }
  return {names.begin(), names.end()};
}

bool PendingCheckpoint::AllFinal() const {
  return std::all_of(snapshots_.begin(), snapshots_.end(),
                     [](const auto& snapshot) { return snapshot != nullptr && snapshot->final(); });
}

void PendingCheckpoint::MoveTo(CheckpointState next, int64_t now_nanos) {
  if (!MayFollow(state(), next)) WEIR_CHECK_EQ(Name(state()), Name(next));
  statistics_.state = next;
  if (IsTerminal(next)) statistics_.duration_nanos = now_nanos - started_nanos_;
}

void PendingCheckpoint::SetAborted(AbortReason reason, std::string failure, int64_t now_nanos) {
  MoveTo(CheckpointState::kAborted, now_nanos);
  statistics_.abort_reason = reason;
  statistics_.failure = std::move(failure);
}

}  // namespace weir::jobmanager
