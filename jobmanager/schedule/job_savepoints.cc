#include "jobmanager/schedule/job_savepoints.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/base/strings.h"
#include "jobmanager/checkpoint/checkpoint_statistics.h"
#include "proto/control.pb.h"

namespace weir::jobmanager {
namespace {

constexpr size_t kTriggerIdBytes = 16;

CheckpointKind KindOf(proto::SavepointThen then) {
  switch (then) {
    case proto::STOP:
      return CheckpointKind::kStopWithSavepoint;
    case proto::DRAIN_AND_STOP:
      return CheckpointKind::kDrainWithSavepoint;
    default:
      return CheckpointKind::kSavepoint;
  }
}

proto::SavepointThen ThenOf(CheckpointKind kind) {
  if (kind == CheckpointKind::kStopWithSavepoint) return proto::STOP;
  return kind == CheckpointKind::kDrainWithSavepoint ? proto::DRAIN_AND_STOP : proto::GO_ON;
}

void FillNumbers(const CheckpointStatistics& statistics, proto::SavepointProgress& progress) {
  progress.set_checkpoint_id(statistics.id);
  progress.set_acknowledged(statistics.acknowledged);
  progress.set_total(statistics.total);
  progress.set_bytes(statistics.full_bytes);
}

}  // namespace

const JobSavepoints::Operation* JobSavepoints::Find(const std::string& trigger_id) const {
  const auto found =
      std::find_if(operations_.begin(), operations_.end(),
                   [&](const Operation& operation) { return operation.trigger_id == trigger_id; });
  return found == operations_.end() ? nullptr : &*found;
}

absl::Status JobSavepoints::Begin(const proto::TriggerSavepointRequest& request,
                                  int64_t now_unix_micros) {
  if (request.trigger_id().size() != kTriggerIdBytes) {
    return absl::InvalidArgumentError(StrCat("a trigger id has ", kTriggerIdBytes,
                                             " bytes; this one has ", request.trigger_id().size()));
  }
  if (!proto::SavepointThen_IsValid(request.then())) {
    return absl::InvalidArgumentError("what is to become of the job is none of what is known");
  }
  const std::string& directory =
      request.directory().empty() ? default_directory_ : request.directory();
  if (directory.empty()) {
    return absl::InvalidArgumentError(
        "the job has no folder for savepoints: say where with --dir, or submit it with "
        "execution.checkpointing.savepoint-dir or execution.checkpointing.dir");
  }
  if (directory.front() != '/') {
    return absl::InvalidArgumentError(
        StrCat("'", directory,
               "' is no absolute path: job manager and task managers write there, so give the "
               "whole path, which all hosts see"));
  }
  operations_.push_back({.trigger_id = request.trigger_id(),
                         .kind = KindOf(request.then()),
                         .begun_unix_micros = now_unix_micros,
                         .ended_unix_micros = 0,
                         .result = {}});
  for (auto it = operations_.begin(); operations_.size() > kMaxKept && it != operations_.end();) {
    it = it->result.has_value() ? operations_.erase(it) : it + 1;
  }
  coordinator_.TriggerSavepoint(
      directory, KindOf(request.then()),
      lifetime_.Guard([this, id = request.trigger_id()](absl::StatusOr<SavepointResult> result) {
        OnDone(id, std::move(result));
      }));
  return absl::OkStatus();
}

void JobSavepoints::OnDone(const std::string& trigger_id, absl::StatusOr<SavepointResult> result) {
  for (Operation& operation : operations_) {
    if (operation.trigger_id != trigger_id) continue;
    operation.result = std::move(result);
    operation.ended_unix_micros = coordinator_.NowUnixMicros();
  }
}

absl::Status JobSavepoints::Fill(const std::string& trigger_id,
                                 proto::SavepointProgress& progress) const {
  const Operation* operation = Find(trigger_id);
  if (operation == nullptr) {
    return absl::NotFoundError(
        "the job manager does not know of this savepoint: it was started anew, or a hundred others "
        "came after it; if the savepoint was completed, its folder is there");
  }
  progress.set_then(ThenOf(operation->kind));
  progress.set_begun_unix_micros(operation->begun_unix_micros);
  progress.set_ended_unix_micros(operation->ended_unix_micros);
  if (operation->result.has_value()) {
    const absl::StatusOr<SavepointResult>& result = *operation->result;
    if (!result.ok()) {
      progress.set_state(proto::SavepointProgress::FAILED);
      progress.mutable_failure()->set_code(static_cast<int>(result.status().code()));
      progress.mutable_failure()->set_message(std::string(result.status().message()));
      return absl::OkStatus();
    }
    progress.set_state(proto::SavepointProgress::COMPLETED);
    progress.set_directory(result->directory);
    progress.set_checkpoint_id(result->id);
    for (const auto& statistics : coordinator_.history().checkpoints()) {
      if (statistics->id == result->id) FillNumbers(*statistics, progress);
    }
    return absl::OkStatus();
  }
  // They are taken in the order in which they were asked for.
  std::vector<CheckpointStatistics> under_way = coordinator_.InProgress();
  std::erase_if(under_way, [](const CheckpointStatistics& statistics) {
    return !IsSavepoint(statistics.kind);
  });
  size_t before = 0;
  for (const Operation& other : operations_) {
    if (&other == operation) break;
    if (!other.result.has_value()) ++before;
  }
  if (before >= under_way.size()) {
    progress.set_state(proto::SavepointProgress::WAITING);
  } else {
    progress.set_state(proto::SavepointProgress::IN_PROGRESS);
    FillNumbers(under_way[before], progress);
  }
  return absl::OkStatus();
}

}  // namespace weir::jobmanager
