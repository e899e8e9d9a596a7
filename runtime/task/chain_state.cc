#include <algorithm>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "runtime/task/chain.h"
#include "state/schema/state_converter.h"

namespace weir {
namespace {

// The table or list of that name, and what turns the checkpoint's bytes into its own.
template <class State>
struct FoundState {
  State* state;
  StateConverter converter;
};

// kFailedPrecondition if the operator has none of that name, or one of a type that the
// checkpoint's cannot become.
template <class State>
absl::StatusOr<FoundState<State>> FindState(const std::vector<State*>& states,
                                            const std::string& name, const std::string& type,
                                            const std::string& uid) {
  for (State* state : states) {
    if (state->name() != name) continue;
    auto converter = StateConverter::Make(type, state->evolution());
    if (converter.ok()) return FoundState<State>{state, *std::move(converter)};
    return absl::FailedPreconditionError(StrCat(
        "state '", name, "' of operator '", uid, "' has the type ", type, " in the checkpoint and ",
        state->type(), " in the job: ", ToStd(converter.status().message())));
  }
  return absl::FailedPreconditionError(StrCat(
      "the checkpoint has a state '", name, "' of operator '", uid, "', which has no such state"));
}

absl::Status Unfit(const absl::Status& status, const std::string& state, const std::string& uid) {
  return absl::Status(status.code(), StrCat("state '", state, "' of operator '", uid,
                                            "': ", ToStd(status.message())));
}

// `later` gets the tables whose entries are taken up when they are needed.
absl::Status RestoreOperator(const OperatorState& state, ChainNode& node,
                             std::vector<KeyedStateTable*>& later) {
  if (state.watermark != kMinTicks) {
    WEIR_ASSIGN_OR_RETURN(const bool done, node.op->OnWatermark(state.watermark));
    if (!done) {
      return absl::InternalError(
          StrCat("operator '", node.uid(), "' puts something out before it has its state"));
    }
  }
  const std::vector<KeyedStateTable*> tables = node.op->keyed_state();
  for (const OperatorState::Keyed& keyed : state.keyed) {
    WEIR_ASSIGN_OR_RETURN(const FoundState<KeyedStateTable> found,
                          FindState(tables, keyed.name, keyed.type, node.uid()));
    if (keyed.stored != nullptr && found.converter.same() && !found.state->stored()) {
      WEIR_ASSIGN_OR_RETURN(auto parts, keyed.stored->TakeParts());
      if (parts != nullptr) {
        if (!found.state->LoadLater(std::move(parts))) {
          return absl::InternalError(StrCat("state '", keyed.name, "' of operator '", node.uid(),
                                            "' takes nothing up in parts"));
        }
        later.push_back(found.state);
      }
    }
    WEIR_RETURN_IF_ERROR(keyed.ForEachKeyGroup(
        [&](uint32_t group, std::string_view bytes, bool changes) -> absl::Status {
          if (!node.key_groups().Contains(group)) {
            return absl::InternalError(StrCat("operator '", node.uid(), "' is given key group ",
                                              group, ", which is another subtask's"));
          }
          absl::StatusOr<std::string> converted;
          if (!found.converter.same()) {
            converted = changes ? found.converter.ConvertChanges(bytes)
                                : found.converter.ConvertKeyGroup(bytes);
            if (!converted.ok()) return Unfit(converted.status(), keyed.name, node.uid());
            bytes = *converted;
          }
          return changes ? found.state->ReadChanges(group, bytes)
                         : found.state->ReadKeyGroup(group, bytes);
        }));
  }
  for (KeyedStateTable* table : tables) table->Restored();
  const std::vector<OperatorListState*> lists = node.op->list_state();
  for (const OperatorState::List& list : state.lists) {
    WEIR_ASSIGN_OR_RETURN(const FoundState<OperatorListState> found,
                          FindState(lists, list.name, list.type, node.uid()));
    std::vector<std::string> converted;
    for (const std::string& item : list.items) {
      if (found.converter.same()) break;
      absl::StatusOr<std::string> bytes = found.converter.ConvertValue(item);
      if (!bytes.ok()) return Unfit(bytes.status(), list.name, node.uid());
      converted.push_back(*std::move(bytes));
    }
    const std::vector<std::string>& items = found.converter.same() ? list.items : converted;
    WEIR_RETURN_IF_ERROR(found.state->Read({items.begin(), items.end()}));
  }
  // What was to be done at a time that has passed is done now.
  node.wake_at = kMinTicks;
  return absl::OkStatus();
}

// Whether the watermarks that it passes on are those of the head's input.
bool OfHeadsTime(const ChainNode& node) {
  return node.time_from == ChainNode::kHeadTime && node.timestamps == nullptr;
}

}  // namespace

absl::StatusOr<TaskState> Chain::Snapshot(SnapshotUse use, bool as_files,
                                          const StateIncrement* increment) const {
  TaskState state;
  for (const auto& node : nodes) {
    OperatorState& of_node = state.emplace_back();
    of_node.node = node->index();
    // What waits in an operator comes again, behind what it is to answer.
    const bool told = OfHeadsTime(*node) && node->held.empty();
    of_node.watermark = told ? watermark_ : node->watermark;
    if (node->op == nullptr) continue;
    const CrashContext former = node->Enter();
    for (KeyedStateTable* table : node->op->keyed_state()) {
      OperatorState::Keyed& keyed = of_node.keyed.emplace_back();
      keyed.name = table->name();
      keyed.type = table->type();
      keyed.range = node->key_groups();
      if (as_files && table->stored()) {
        table->Flush();
      } else if (increment != nullptr && table->tracks_changes()) {
        keyed.incremental = true;
        keyed.snapshot = increment->since.has_value() ? table->TakeChanges(*increment->since)
                                                      : table->TakeSnapshot(SnapshotUse::kBase);
      } else {
        keyed.snapshot = table->TakeSnapshot(use);
      }
    }
    if (as_files && node->store != nullptr) {
      WEIR_ASSIGN_OR_RETURN(of_node.store, node->store->Checkpoint());
    }
    for (const OperatorListState* list : node->op->list_state()) {
      OperatorState::List& items = of_node.lists.emplace_back();
      items.name = list->name();
      items.type = list->type();
      items.redistribution = list->redistribution();
      list->Write(items.items);
    }
    ThisThreadCrashContext() = former;
  }
  return state;
}

std::vector<const KeyedStateTable*> Chain::TablesWithChanges() const {
  std::vector<const KeyedStateTable*> tables;
  for (const auto& node : nodes) {
    if (node->op == nullptr) continue;
    for (const KeyedStateTable* table : node->op->keyed_state()) {
      if (table->tracks_changes()) tables.push_back(table);
    }
  }
  return tables;
}

absl::Status Chain::Restore(const TaskState& state) {
  for (const OperatorState& of_node : state) {
    const auto found = std::find_if(nodes.begin(), nodes.end(), [&](const auto& node) {
      return node->index() == of_node.node;
    });
    if (found == nodes.end()) {
      return absl::InternalError(StrCat("state of node ", of_node.node, ", which is elsewhere"));
    }
    ChainNode& node = **found;
    if (OfHeadsTime(node)) watermark_ = std::max(watermark_, of_node.watermark);
    node.watermark = of_node.watermark;
    if (of_node.watermark != kMinTicks) node.node_metrics.watermark.Set(of_node.watermark);
    if (node.op == nullptr) continue;
    clock->BeginCall();
    const CrashContext former = node.Enter();
    std::vector<KeyedStateTable*> later;
    absl::Status status = RestoreOperator(of_node, node, later);
    for (KeyedStateTable* table : later) loading_.push_back({&node, table});
    ThisThreadCrashContext() = former;
    if (!status.ok()) {
      if (failed_in == nullptr) failed_in = &node;
      return status;
    }
  }
  WEIR_RETURN_IF_ERROR(RestoreRewired(state));
  if (!restoring()) QueueRestoredWatermark();
  return absl::OkStatus();
}

void Chain::LoadSome(size_t bytes) {
  if (loading_.empty()) return;
  const CrashContext former = loading_.front().node->Enter();
  if (loading_.front().table->LoadSome(bytes)) loading_.erase(loading_.begin());
  ThisThreadCrashContext() = former;
}

absl::Status Chain::RestoreRewired(const TaskState& state) {
  // From the tail: what is on its way to a node comes before what the nodes before it put out.
  for (size_t i = nodes.size(); i-- > 1;) {
    const auto of_node = std::find_if(state.begin(), state.end(), [&](const OperatorState& found) {
      return found.node == nodes[i]->index();
    });
    if (of_node == state.end()) continue;
    for (const OperatorState::Rewired& rewired : of_node->rewired) {
      const auto edge =
          std::find_if(chained_edges.begin(), chained_edges.end(),
                       [&](const ChainedEdge& chained) { return chained.edge == rewired.edge; });
      if (edge == chained_edges.end() || edge->to != nodes[i].get()) {
        return absl::InternalError(StrCat("records in flight on edge ", rewired.edge,
                                          ", which does not lead to '", nodes[i]->uid(), "'"));
      }
      WEIR_ASSIGN_OR_RETURN(std::string elements, OwnRecords(rewired, edge->owner));
      if (elements.empty()) continue;
      restored_.Add({static_cast<size_t>(edge - chained_edges.begin()), edge->owner},
                    std::move(elements));
    }
  }
  return absl::OkStatus();
}

absl::Status Chain::ProcessRestored() {
  Element element;
  size_t index = 0;
  WEIR_RETURN_IF_ERROR(restored_.Poll(element, index));
  if (element.kind == ElementKind::kBatch) {
    const ChainedEdge& edge = chained_edges[index];
    WEIR_RETURN_IF_ERROR(ProcessIn(*edge.to, edge.input, *element.batch));
  }
  if (!restoring()) QueueRestoredWatermark();
  return absl::OkStatus();
}

void Chain::QueueRestoredWatermark() {
  const bool behind = std::any_of(nodes.begin(), nodes.end(), [this](const auto& node) {
    return OfHeadsTime(*node) && node->watermark < watermark_;
  });
  if (behind) walks_.push_back({WalkKind::kTimeEvent, {TimeEventKind::kWatermark, watermark_}, 0});
}

}  // namespace weir
