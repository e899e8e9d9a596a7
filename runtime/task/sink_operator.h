#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/env/env.h"
#include "runtime/task/sink_commits.h"
#include "weir/operator.h"
#include "weir/source.h"

namespace weir {

// A sink's writer, and its committer if it has one, as the last operator of a chain: both are parts
// of one task, so that the end of data cannot overtake what is still to be committed. Owned by the
// task's thread.
class SinkOperator final : public Operator {
 public:
  // `env` and `timers`, which only waits, outlive it.
  SinkOperator(Env& env, Executor& timers, std::unique_ptr<SinkWriter> writer)
      : env_(env), timers_(timers), writer_(std::move(writer)) {}

  absl::Status Open(OperatorContext& context) override;
  absl::Status ProcessBatch(size_t, BatchBase& batch) override {
    dirty_ = true;
    return writer_->Write(batch);
  }
  // A sink that commits ends with PrepareCommit.
  absl::StatusOr<bool> Finish() override {
    dirty_ = false;
    if (commits_ != nullptr) return true;
    return writer_->Finish();
  }
  void Close() override;
  std::vector<OperatorListState*> list_state() override;

  bool Blocked() const { return writer_->Blocked(); }
  absl::Status Flush() {
    if (!std::exchange(dirty_, false)) return absl::OkStatus();
    return writer_->Flush();
  }

  // Null: it shows what it writes at once.
  SinkCommits* commits() { return commits_.get(); }
  // Only if it commits. True: all before the first call with this id is ready, and what is to be
  // committed of it was given to commits() and, once, appended to `committables`. False: call
  // again.
  absl::StatusOr<bool> PrepareCommit(uint64_t id, std::vector<std::string>& committables);

 private:
  Env& env_;
  Executor& timers_;
  const std::unique_ptr<SinkWriter> writer_;
  std::unique_ptr<SinkCommits> commits_;
  // The last id that was ready.
  uint64_t prepared_ = 0;
  bool dirty_ = false;
};

}  // namespace weir
