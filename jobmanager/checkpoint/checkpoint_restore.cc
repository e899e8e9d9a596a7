#include "jobmanager/checkpoint/checkpoint_restore.h"

#include <map>
#include <set>
#include <string_view>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "jobmanager/checkpoint/state_files.h"
#include "proto/checkpoint.pb.h"

namespace weir::jobmanager {
namespace {

template <class... Args>
absl::Status Corrupt(const proto::CheckpointMetadata& metadata, const Args&... args) {
  return absl::DataLossError(
      StrCat("the metadata of checkpoint ", metadata.checkpoint_id(), ": ", args...));
}

bool HasState(const proto::OperatorCheckpoint& checkpoint) {
  for (const proto::SubtaskState& subtask : checkpoint.subtasks()) {
    if (subtask.files_size() > 0 || subtask.bytes() > 0) return true;
  }
  return false;
}

}  // namespace

absl::Status ValidateMetadata(const proto::CheckpointMetadata& metadata) {
  if (metadata.checkpoint_id() == 0) return Corrupt(metadata, "no checkpoint has id 0");
  std::set<std::string_view> names;
  for (const proto::StateFile& file : metadata.files()) {
    const absl::Status valid = CheckStateFileName(file.name());
    if (!valid.ok()) return Corrupt(metadata, ToStd(valid.message()));
    if (!names.insert(file.name()).second) {
      return Corrupt(metadata, "file '", file.name(), "' is there twice");
    }
  }
  std::set<std::string_view> ids;
  for (const proto::OperatorCheckpoint& operator_state : metadata.operators()) {
    const std::string name = StrCat("operator '", operator_state.uid(), "'");
    if (operator_state.operator_id().size() != 16) {
      return Corrupt(metadata, name, " has an id of ", operator_state.operator_id().size(),
                     " bytes, not 16");
    }
    if (!ids.insert(operator_state.operator_id()).second) {
      return Corrupt(metadata, name, " has the id of another operator");
    }
    if (operator_state.parallelism() != static_cast<uint32_t>(operator_state.subtasks_size())) {
      return Corrupt(metadata, name, " has parallelism ", operator_state.parallelism(), ", but ",
                     operator_state.subtasks_size(), " subtasks");
    }
    for (int i = 0; i < operator_state.subtasks_size(); ++i) {
      const proto::SubtaskState& subtask = operator_state.subtasks(i);
      if (subtask.subtask() != static_cast<uint32_t>(i)) {
        return Corrupt(metadata, name, " has subtask ", subtask.subtask(), " in place of ", i);
      }
      for (const uint32_t file : subtask.files()) {
        if (file >= static_cast<uint32_t>(metadata.files_size())) {
          return Corrupt(metadata, name, " subtask ", i, " refers to file ", file, " of ",
                         metadata.files_size());
        }
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<proto::JobRestore>> MakeRestore(
    const proto::CheckpointMetadata& metadata, const std::string& directory,
    const proto::JobGraph& graph, RestoreOptions options) {
  WEIR_RETURN_IF_ERROR(ValidateMetadata(metadata));
  const std::string what = StrCat("checkpoint ", metadata.checkpoint_id(), " in ", directory);
  if (metadata.max_parallelism() != graph.max_parallelism()) {
    return absl::FailedPreconditionError(StrCat(
        what, " has a maximum parallelism of ", metadata.max_parallelism(), ", the job one of ",
        graph.max_parallelism(), ": its key groups do not fit; set pipeline.max-parallelism to ",
        metadata.max_parallelism()));
  }

  std::map<std::string_view, const proto::OperatorCheckpoint*> by_id;
  for (const proto::OperatorCheckpoint& operator_state : metadata.operators()) {
    by_id.emplace(operator_state.operator_id(), &operator_state);
  }
  auto restore = std::make_unique<proto::JobRestore>();
  restore->set_checkpoint_id(metadata.checkpoint_id());
  restore->set_directory(directory);
  *restore->mutable_files() = metadata.files();
  for (const proto::Node& node : graph.nodes()) {
    if (node.parallelism() > metadata.max_parallelism()) {
      return absl::FailedPreconditionError(StrCat(
          "operator '", node.uid(), "' has parallelism ", node.parallelism(),
          ", which is above the maximum parallelism of ", what, ", ", metadata.max_parallelism()));
    }
    const auto found = by_id.find(node.operator_id());
    if (found == by_id.end()) continue;
    proto::OperatorRestore* operator_restore = restore->add_operators();
    operator_restore->set_node(node.id());
    *operator_restore->mutable_checkpoint() = *found->second;
    by_id.erase(found);
  }
  if (options.allow_dropped_state) return restore;
  // In the order of the metadata, so that the error is always the same.
  for (const proto::OperatorCheckpoint& operator_state : metadata.operators()) {
    if (!by_id.contains(operator_state.operator_id()) || !HasState(operator_state)) continue;
    return absl::FailedPreconditionError(StrCat(
        what, " has state of operator '", operator_state.uid(),
        "', which the job does not have; give the operator this uid, or allow that its state "
        "is dropped"));
  }
  return restore;
}

}  // namespace weir::jobmanager
