#include "jobmanager/checkpoint/checkpoint_restore.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/checkpoint.pb.h"
#include "state/store/checkpoint_metadata.h"

namespace weir::jobmanager {
namespace {

// The name of the list in which a sink keeps what it has prepared.
constexpr std::string_view kCommittables = "committables";

bool HasState(const proto::OperatorCheckpoint& checkpoint) {
  for (const proto::SubtaskState& subtask : checkpoint.subtasks()) {
    if (subtask.files_size() > 0 || subtask.bytes() > 0) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<std::unique_ptr<proto::JobRestore>> MakeRestore(
    const proto::CheckpointMetadata& metadata, const std::string& directory,
    const proto::JobGraph& graph, RestoreOptions options) {
  const absl::Status valid = ValidateCheckpointMetadata(metadata);
  if (!valid.ok()) {
    return absl::DataLossError(StrCat("the metadata of checkpoint ", metadata.checkpoint_id(),
                                      " in ", directory,
                                      " contradicts itself: ", ToStd(valid.message())));
  }
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

bool HoldsCommittables(const proto::CheckpointMetadata& metadata) {
  for (const proto::OperatorCheckpoint& of_operator : metadata.operators()) {
    const bool commits =
        std::any_of(of_operator.states().begin(), of_operator.states().end(),
                    [](const auto& state) { return state.name() == kCommittables; });
    const bool holds_any =
        std::any_of(of_operator.subtasks().begin(), of_operator.subtasks().end(),
                    [](const proto::SubtaskState& subtask) { return subtask.bytes() > 0; });
    if (commits && holds_any) return true;
  }
  return false;
}

}  // namespace weir::jobmanager
