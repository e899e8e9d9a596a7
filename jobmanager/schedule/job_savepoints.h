#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/lifetime.h"
#include "jobmanager/checkpoint/checkpoint_coordinator.h"

namespace weir::proto {
class SavepointProgress;
class TriggerSavepointRequest;
}  // namespace weir::proto

namespace weir::jobmanager {

// The savepoints that clients have asked of one job, by the ids that they chose, so that a request
// may be repeated and how it goes may be asked. The last kMaxKept that are over are remembered.
// Owned by the job's executor.
class JobSavepoints {
 public:
  static constexpr size_t kMaxKept = 100;

  // `coordinator` outlives this. `default_directory`: where savepoints go that name no other; may
  // be empty.
  JobSavepoints(CheckpointCoordinator& coordinator, std::string default_directory)
      : coordinator_(coordinator), default_directory_(std::move(default_directory)) {}

  // True if it was asked for already.
  bool Knows(const std::string& trigger_id) const { return Find(trigger_id) != nullptr; }
  // A new one. kInvalidArgument: bad ids, no directory, or a relative one. What comes later is in
  // Fill.
  absl::Status Begin(const proto::TriggerSavepointRequest& request, int64_t now_unix_micros);
  // kNotFound: there is none with this id.
  absl::Status Fill(const std::string& trigger_id, proto::SavepointProgress& progress) const;

 private:
  struct Operation {
    std::string trigger_id;
    CheckpointKind kind = CheckpointKind::kSavepoint;
    int64_t begun_unix_micros = 0;
    int64_t ended_unix_micros = 0;
    std::optional<absl::StatusOr<SavepointResult>> result;
  };

  const Operation* Find(const std::string& trigger_id) const;
  void OnDone(const std::string& trigger_id, absl::StatusOr<SavepointResult> result);

  CheckpointCoordinator& coordinator_;
  const std::string default_directory_;
  // Oldest first.
  std::deque<Operation> operations_;
  Lifetime lifetime_;
};

}  // namespace weir::jobmanager
