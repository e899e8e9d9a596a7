#include "runtime/task/sink_operator.h"

#include "common/base/status_macros.h"

namespace weir {

absl::Status SinkOperator::Open(OperatorContext& context) {
  WEIR_RETURN_IF_ERROR(writer_->Open(context));
  if (std::unique_ptr<Committer> committer = writer_->MakeCommitter(); committer != nullptr) {
    commits_ = std::make_unique<SinkCommits>(env_, timers_, context, std::move(committer));
  }
  return absl::OkStatus();
}

void SinkOperator::Close() {
  commits_.reset();
  writer_->Close();
}

std::vector<OperatorListState*> SinkOperator::list_state() {
  std::vector<OperatorListState*> states = writer_->list_state();
  if (commits_ != nullptr) states.push_back(commits_.get());
  return states;
}

absl::StatusOr<bool> SinkOperator::PrepareCommit(uint64_t id,
                                                 std::vector<std::string>& committables) {
  if (prepared_ == id) return true;
  dirty_ = false;
  std::vector<std::string> prepared;
  WEIR_ASSIGN_OR_RETURN(const bool ready, writer_->PrepareCommit(id, prepared));
  if (!ready) return false;
  prepared_ = id;
  commits_->Add(id, prepared);
  for (std::string& bytes : prepared) committables.push_back(std::move(bytes));
  return true;
}

}  // namespace weir
