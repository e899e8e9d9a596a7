#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "jobmanager/checkpoint/checkpoint_states.h"
#include "jobmanager/checkpoint/state_files.h"

namespace weir::proto {
class CheckpointMetadata;
}

namespace weir::jobmanager {

// One that exists. Immutable.
struct CompletedCheckpoint {
  uint64_t id = 0;
  CheckpointKind kind = CheckpointKind::kCheckpoint;
  // False: another job's, which this one began from. Never deleted.
  bool owned = true;
  // Of the metadata, absolute.
  std::string directory;
  std::shared_ptr<const proto::CheckpointMetadata> metadata;
};

// A checkpoint as the store has it when a job manager starts: what it says, or why it cannot be
// read.
struct FoundCheckpoint {
  std::string directory;
  absl::StatusOr<std::shared_ptr<const proto::CheckpointMetadata>> metadata;
  bool owned = true;
};

// By id. An unreadable one is never skipped: its status, with its folder. kDataLoss: two with one
// id, or metadata that contradicts itself.
absl::StatusOr<std::vector<CompletedCheckpoint>> ReadFound(std::vector<FoundCheckpoint> found);

// The complete checkpoints and savepoints of a job. Ids only grow. Holds references to the shared
// files of all that are kept. Pure; owned by one executor.
class CompletedCheckpoints {
 public:
  CompletedCheckpoints(uint32_t num_retained, SharedFiles& files)
      : num_retained_(num_retained), files_(files) {}

  // `checkpoint` is newer than all before. Returns the checkpoints that are not retained any more,
  // whose references are still held. Savepoints are kept and do not count.
  std::vector<CompletedCheckpoint> Add(CompletedCheckpoint checkpoint);
  // Takes out all checkpoints of the job's own; not savepoints. The newest is no more what a
  // restart restores if it is one of them. References are still held.
  std::vector<CompletedCheckpoint> TakeAll();
  // The newest is a savepoint that is no more: what a restart restores is the newest checkpoint
  // that is kept, or else what the job began from, or nothing.
  void ForgetLatestSavepoint();
  // Gives back the references of one that was taken out, and is deleted.
  void Release(const CompletedCheckpoint& checkpoint);

  // The newest, savepoint or not; what a restart restores.
  const std::optional<CompletedCheckpoint>& latest() const { return latest_; }
  // 0: there has been none.
  uint64_t newest_id() const { return newest_id_; }
  // Checkpoints that are kept, oldest first, without savepoints.
  const std::vector<CompletedCheckpoint>& retained() const { return retained_; }
  // Folders of all that are kept, savepoints too.
  std::vector<std::string> Directories() const;

 private:
  const uint32_t num_retained_;
  SharedFiles& files_;
  uint64_t newest_id_ = 0;
  std::optional<CompletedCheckpoint> latest_;
  // Another job's.
  std::optional<CompletedCheckpoint> began_from_;
  std::vector<CompletedCheckpoint> retained_;
  // Of savepoints and what is not owned.
  std::vector<std::string> other_directories_;
};

}  // namespace weir::jobmanager
