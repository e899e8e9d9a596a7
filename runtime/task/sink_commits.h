#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/env/env.h"
#include "runtime/task/commit_loop.h"
#include "weir/operator.h"

namespace weir {

// What one subtask of a sink has prepared and not committed yet: a list that is part of every
// snapshot. All of it up to the highest complete checkpoint is committed, in order; what was
// restored is so at once, for the checkpoint that it comes from is complete. Owned by the task's
// thread.
class SinkCommits final : public OperatorListState {
 public:
  // `env`, `timers` and `context` outlive it.
  SinkCommits(Env& env, Executor& timers, OperatorContext& context,
              std::unique_ptr<Committer> committer);
  ~SinkCommits() override;

  // Of checkpoint `id` and all later ones; ids never go back.
  void Add(uint64_t id, const std::vector<std::string>& committables);
  // The checkpoint and all before it are complete. A state, not an edge: it may be told again.
  void OnComplete(uint64_t id);
  // Takes what came of the last commits and begins the next. An error is final.
  absl::Status Poll();
  bool empty() const { return waiting_.empty(); }

  const std::string& name() const override { return name_; }
  const std::string& type() const override { return type_; }
  Redistribution redistribution() const override { return Redistribution::kSplit; }
  void Write(std::vector<std::string>& items) const override;
  absl::Status Read(const std::vector<std::string_view>& items) override;

 private:
  struct Entry {
    uint64_t checkpoint = 0;
    CommitLoop::Item item;
  };
  void ShowPending();

  OperatorContext& context_;
  const std::string name_ = "committables";
  const std::string type_;
  const std::shared_ptr<CommitLoop> loop_;
  std::deque<Entry> waiting_;
  // The first ones of `waiting_`, which are being committed.
  size_t under_way_ = 0;
  uint64_t complete_ = 0;
};

}  // namespace weir
