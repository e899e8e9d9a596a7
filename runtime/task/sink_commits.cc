#include "runtime/task/sink_commits.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/strings.h"

namespace weir {

SinkCommits::SinkCommits(Env& env, Executor& timers, OperatorContext& context,
                         std::unique_ptr<Committer> committer)
    : context_(context),
      type_(committer->type()),
      loop_(CommitLoop::Make(env, timers, context.uid(), std::move(committer),
                             [&context] { context.WakeNow(); })) {
  ShowPending();
}

SinkCommits::~SinkCommits() { loop_->Close(); }

void SinkCommits::ShowPending() {
  context_.metrics().gauge("pendingCommittables").Set(static_cast<int64_t>(waiting_.size()));
}

void SinkCommits::Add(uint64_t id, const std::vector<std::string>& committables) {
  WEIR_CHECK(waiting_.empty() || id >= waiting_.back().checkpoint);
  for (const std::string& bytes : committables) {
    waiting_.push_back({id, {.bytes = bytes, .restored = false}});
  }
  ShowPending();
}

void SinkCommits::OnComplete(uint64_t id) { complete_ = std::max(complete_, id); }

absl::Status SinkCommits::Poll() {
  if (const auto failed = loop_->TakeFailedTry(); failed.has_value()) {
    context_.metrics().counter("retriedCommits").Add();
    context_.Log("warning",
                 StrCat("committing output failed and is tried again: ", ToStd(failed->message())));
  }
  if (under_way_ > 0) {
    const std::optional<absl::Status> result = loop_->TakeResult();
    if (!result.has_value()) return absl::OkStatus();
    if (!result->ok()) return *result;
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(under_way_));
    context_.metrics().counter("successfulCommittables").Add(std::exchange(under_way_, 0));
    ShowPending();
  }
  std::vector<CommitLoop::Item> batch;
  for (const Entry& entry : waiting_) {
    if (entry.checkpoint > complete_) break;
    batch.push_back(entry.item);
  }
  under_way_ = batch.size();
  if (under_way_ > 0) loop_->Begin(std::move(batch));
  return absl::OkStatus();
}

void SinkCommits::Write(std::vector<std::string>& items) const {
  for (const Entry& entry : waiting_) items.push_back(entry.item.bytes);
}

absl::Status SinkCommits::Read(const std::vector<std::string_view>& items) {
  for (const std::string_view item : items) {
    waiting_.push_back({0, {.bytes = std::string(item), .restored = true}});
  }
  ShowPending();
  return absl::OkStatus();
}

}  // namespace weir
