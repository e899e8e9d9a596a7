#include "jobmanager/checkpoint/completed_checkpoints.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/strings.h"
#include "proto/checkpoint.pb.h"
#include "state/store/checkpoint_metadata.h"

namespace weir::jobmanager {

absl::StatusOr<std::vector<CompletedCheckpoint>> ReadFound(std::vector<FoundCheckpoint> found) {
  std::vector<CompletedCheckpoint> result;
  for (FoundCheckpoint& checkpoint : found) {
    const auto error = [&checkpoint](const absl::Status& status) {
      return absl::Status(status.code(), StrCat("the checkpoint in ", checkpoint.directory,
                                                " cannot be read: ", ToStd(status.message())));
    };
    if (!checkpoint.metadata.ok()) return error(checkpoint.metadata.status());
    const absl::Status valid = ValidateCheckpointMetadata(**checkpoint.metadata);
    if (!valid.ok()) return error(absl::DataLossError(valid.message()));
    const proto::CheckpointMetadata& metadata = **checkpoint.metadata;
    result.push_back({.id = metadata.checkpoint_id(),
                      .kind = metadata.kind() == proto::SAVEPOINT ? CheckpointKind::kSavepoint
                                                                  : CheckpointKind::kCheckpoint,
                      .owned = checkpoint.owned,
                      .directory = std::move(checkpoint.directory),
                      .metadata = *std::move(checkpoint.metadata)});
  }
  std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  for (size_t i = 1; i < result.size(); ++i) {
    if (result[i - 1].id != result[i].id) continue;
    return absl::DataLossError(StrCat("two checkpoints have id ", result[i].id, ": ",
                                      result[i - 1].directory, " and ", result[i].directory));
  }
  return result;
}

std::vector<CompletedCheckpoint> CompletedCheckpoints::Add(CompletedCheckpoint checkpoint) {
  WEIR_CHECK_GT(checkpoint.id, newest_id());
  if (checkpoint.owned) {
    for (const proto::StateFile& file : checkpoint.metadata->files()) {
      if (IsShared(file.name())) files_.Refer(file.name(), checkpoint.id);
    }
  }
  newest_id_ = checkpoint.id;
  latest_ = checkpoint;
  if (!checkpoint.owned) began_from_ = checkpoint;
  std::vector<CompletedCheckpoint> dropped;
  if (!checkpoint.owned || IsSavepoint(checkpoint.kind)) {
    other_directories_.push_back(std::move(checkpoint.directory));
    return dropped;
  }
  retained_.push_back(std::move(checkpoint));
  while (retained_.size() > num_retained_) {
    dropped.push_back(std::move(retained_.front()));
    retained_.erase(retained_.begin());
  }
  return dropped;
}

std::vector<CompletedCheckpoint> CompletedCheckpoints::TakeAll() {
  if (!retained_.empty() && retained_.back().id == newest_id_) latest_.reset();
  return std::exchange(retained_, {});
}

void CompletedCheckpoints::ForgetLatestSavepoint() {
  WEIR_CHECK(latest_.has_value() && latest_->owned && IsSavepoint(latest_->kind));
  std::erase(other_directories_, latest_->directory);
  latest_ = began_from_;
  if (!retained_.empty()) latest_ = retained_.back();
}

std::vector<std::string> CompletedCheckpoints::Directories() const {
  std::vector<std::string> directories = other_directories_;
  for (const CompletedCheckpoint& checkpoint : retained_) {
    directories.push_back(checkpoint.directory);
  }
  return directories;
}

void CompletedCheckpoints::Release(const CompletedCheckpoint& checkpoint) {
  for (const proto::StateFile& file : checkpoint.metadata->files()) {
    if (IsShared(file.name())) files_.Release(file.name());
  }
}

}  // namespace weir::jobmanager
