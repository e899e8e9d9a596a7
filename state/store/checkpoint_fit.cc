#include "state/store/checkpoint_fit.h"

#include <map>
#include <string_view>

#include "common/base/strings.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_graph.pb.h"
#include "state/schema/state_fit.h"

namespace weir {
namespace {

using Kind = StateFit::Kind;
using States = std::map<std::string_view, const proto::StateDescriptor*>;

bool HasState(const proto::OperatorCheckpoint& checkpoint) {
  for (const proto::SubtaskState& subtask : checkpoint.subtasks()) {
    if (subtask.files_size() > 0 || subtask.bytes() > 0) return true;
  }
  return false;
}

States ByName(const google::protobuf::RepeatedPtrField<proto::StateDescriptor>& states) {
  States by_name;
  for (const proto::StateDescriptor& state : states) by_name.emplace(state.name(), &state);
  return by_name;
}

void FitStates(const proto::OperatorCheckpoint& checkpoint, const proto::Node& node,
               std::vector<StateFit>& fits) {
  const States old_states = ByName(checkpoint.states());
  const States new_states = ByName(node.states());
  for (const auto& [name, old_state] : old_states) {
    StateFit& fit = fits.emplace_back();
    fit.uid = node.uid();
    fit.state = name;
    const absl::Status status = CheckStateFits(*old_state, node);
    if (absl::IsNotFound(status)) {
      fit.kind = Kind::kDropped;
      fit.text = "the job's operator has no state of this name";
    } else if (!status.ok()) {
      fit.kind = Kind::kRefused;
      fit.text = ToStd(status.message());
    } else {
      fit.text = old_state->type();
    }
  }
  for (const auto& [name, new_state] : new_states) {
    if (old_states.contains(name)) continue;
    fits.push_back({.uid = node.uid(),
                    .state = std::string(name),
                    .kind = Kind::kNew,
                    .text = new_state->type()});
  }
}

void FitNode(const proto::OperatorCheckpoint* checkpoint, const proto::Node& node,
             uint32_t max_parallelism, std::vector<StateFit>& fits) {
  if (node.parallelism() > max_parallelism) {
    fits.push_back({.uid = node.uid(),
                    .state = {},
                    .kind = Kind::kRefused,
                    .text = StrCat("it has parallelism ", node.parallelism(),
                                   " in the job, which is above the checkpoint's maximum of ",
                                   max_parallelism)});
  }
  // What sources and sinks keep they do not declare.
  if (node.kind() != proto::SOURCE && node.kind() != proto::SINK) {
    return FitStates(
        checkpoint == nullptr ? proto::OperatorCheckpoint::default_instance() : *checkpoint, node,
        fits);
  }
  if (checkpoint == nullptr || !HasState(*checkpoint)) return;
  StateFit& fit = fits.emplace_back();
  fit.uid = node.uid();
  if (node.kind() == proto::SOURCE) fit.state = "position";
}

}  // namespace

std::string StateFit::Where() const {
  if (uid.empty()) return "the job";
  return StrCat("operator '", uid, "'", state.empty() ? "" : StrCat(", state '", state, "'"));
}

std::vector<StateFit> FitState(const proto::CheckpointMetadata& metadata,
                               const proto::JobGraph& graph) {
  std::vector<StateFit> fits;
  if (metadata.max_parallelism() != graph.max_parallelism()) {
    fits.push_back({.uid = {},
                    .state = {},
                    .kind = Kind::kRefused,
                    .text = StrCat("the maximum parallelism is ", metadata.max_parallelism(),
                                   ", and that of the job ", graph.max_parallelism(),
                                   ": its key groups do not fit; set pipeline.max-parallelism to ",
                                   metadata.max_parallelism())});
  }
  std::map<std::string_view, const proto::OperatorCheckpoint*> by_id;
  for (const proto::OperatorCheckpoint& checkpoint : metadata.operators()) {
    by_id.emplace(checkpoint.operator_id(), &checkpoint);
  }
  // By uid, so that the answer is always the same.
  struct Pair {
    const proto::OperatorCheckpoint* checkpoint = nullptr;
    const proto::Node* node = nullptr;
  };
  std::map<std::string_view, Pair> by_uid;
  for (const proto::Node& node : graph.nodes()) {
    Pair& pair = by_uid[node.uid()];
    pair.node = &node;
    if (const auto found = by_id.find(node.operator_id()); found != by_id.end()) {
      pair.checkpoint = found->second;
      by_id.erase(found);
    }
  }
  for (const auto& [id, checkpoint] : by_id) by_uid[checkpoint->uid()].checkpoint = checkpoint;
  for (const auto& [uid, pair] : by_uid) {
    if (pair.node != nullptr) {
      FitNode(pair.checkpoint, *pair.node, metadata.max_parallelism(), fits);
    } else if (HasState(*pair.checkpoint)) {
      fits.push_back({.uid = std::string(uid),
                      .state = {},
                      .kind = Kind::kDropped,
                      .text = "the job has no operator with this uid"});
    }
  }
  return fits;
}

}  // namespace weir
