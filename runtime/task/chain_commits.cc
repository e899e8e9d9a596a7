#include <algorithm>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "runtime/task/chain.h"

namespace weir {
namespace {

SinkOperator& SinkOf(const ChainNode& node) { return static_cast<SinkOperator&>(*node.op); }

// The list in a snapshot of the task that holds what the sink has prepared.
std::vector<std::string>& CommittablesIn(TaskState& state, const ChainNode& node) {
  const std::string& name = SinkOf(node).commits()->name();
  std::vector<std::string>* items = nullptr;
  for (OperatorState& of_node : state) {
    if (of_node.node != node.index()) continue;
    for (OperatorState::List& list : of_node.lists) {
      if (list.name == name) items = &list.items;
    }
  }
  WEIR_CHECK(items != nullptr);
  return *items;
}

}  // namespace

absl::StatusOr<bool> Chain::PrepareCommit(uint64_t id, TaskState* state) {
  bool all = true;
  std::vector<std::string> untold;
  for (ChainNode* node : committing_) {
    std::vector<std::string>& list = state == nullptr ? untold : CommittablesIn(*state, *node);
    clock->BeginCall();
    const CrashContext former = node->Enter();
    const absl::StatusOr<bool> ready = SinkOf(*node).PrepareCommit(id, list);
    ThisThreadCrashContext() = former;
    if (!ready.ok()) {
      if (failed_in == nullptr) failed_in = node;
      return ready.status();
    }
    all &= *ready;
  }
  return all;
}

void Chain::CommitUpTo(uint64_t id) {
  for (ChainNode* node : committing_) SinkOf(*node).commits()->OnComplete(id);
}

absl::Status Chain::PollCommits() {
  for (ChainNode* node : committing_) {
    absl::Status status = SinkOf(*node).commits()->Poll();
    if (status.ok()) continue;
    if (failed_in == nullptr) failed_in = node;
    return status;
  }
  return absl::OkStatus();
}

bool Chain::AllCommitted() const {
  return std::all_of(committing_.begin(), committing_.end(),
                     [](const ChainNode* node) { return SinkOf(*node).commits()->empty(); });
}

}  // namespace weir
