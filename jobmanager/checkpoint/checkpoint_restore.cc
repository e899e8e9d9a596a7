#include "jobmanager/checkpoint/checkpoint_restore.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/checkpoint.pb.h"
#include "state/store/checkpoint_fit.h"
#include "state/store/checkpoint_metadata.h"
#include "state/store/in_flight_edges.h"

namespace weir::jobmanager {
namespace {

// The name of the list in which a sink keeps what it has prepared.
constexpr std::string_view kCommittables = "committables";

// One line for each state that does not fit, so that all is seen at once.
absl::Status CheckFit(const proto::CheckpointMetadata& metadata, const std::string& what,
                      const proto::JobGraph& graph, RestoreOptions options) {
  std::string refused;
  bool dropped = false;
  for (const StateFit& fit : FitState(metadata, graph)) {
    const bool drops = fit.kind == StateFit::Kind::kDropped;
    if (fit.kind != StateFit::Kind::kRefused && !(drops && !options.allow_dropped_state)) continue;
    dropped |= drops;
    refused += StrCat("\n  ", fit.Where(), ": ", fit.text);
  }
  if (refused.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat(what, " does not fit the job:", refused,
             dropped ? "\nState that the job does not have is left behind only if that is allowed "
                       "(--allow-dropped-state); or give the operator the uid that it had."
                     : ""));
}

// Takes out the states that the job does not have, which no task reads then.
void DropStates(const proto::Node& node, proto::OperatorCheckpoint& checkpoint) {
  if (node.kind() != proto::OPERATOR) return;
  auto* states = checkpoint.mutable_states();
  for (int i = states->size(); i-- > 0;) {
    const bool there =
        std::any_of(node.states().begin(), node.states().end(),
                    [&](const auto& state) { return state.name() == states->at(i).name(); });
    if (!there) states->DeleteSubrange(i, 1);
  }
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
  const std::string what =
      StrCat(metadata.kind() == proto::SAVEPOINT ? "savepoint " : "checkpoint ",
             metadata.checkpoint_id(), " in ", directory);
  WEIR_RETURN_IF_ERROR(CheckFit(metadata, what, graph, options));
  if (const absl::Status fits = CheckInFlightFits(metadata, graph); !fits.ok()) {
    return absl::Status(fits.code(),
                        StrCat(what, " does not fit the job: ", ToStd(fits.message())));
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
    const auto found = by_id.find(node.operator_id());
    if (found == by_id.end()) continue;
    proto::OperatorRestore* operator_restore = restore->add_operators();
    operator_restore->set_node(node.id());
    *operator_restore->mutable_checkpoint() = *found->second;
    DropStates(node, *operator_restore->mutable_checkpoint());
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
