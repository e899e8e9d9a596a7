#include "runtime/task/commit_loop.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/strings.h"
#include "sdk/host/plugin_host.h"

namespace weir {
namespace {

bool MayGoWellLater(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kResourceExhausted:
      return true;
    default:
      return false;
  }
}

}  // namespace

CommitLoop::CommitLoop(Env& env, Executor& timers, std::string uid,
                       std::unique_ptr<Committer> committer, std::function<void()> wake)
    : env_(env),
      timers_(timers),
      uid_(std::move(uid)),
      committer_(std::move(committer)),
      wake_(std::move(wake)) {}

std::shared_ptr<CommitLoop> CommitLoop::Make(Env& env, Executor& timers, std::string uid,
                                             std::unique_ptr<Committer> committer,
                                             std::function<void()> wake) {
  return std::shared_ptr<CommitLoop>(
      new CommitLoop(env, timers, std::move(uid), std::move(committer), std::move(wake)));
}

void CommitLoop::Begin(std::vector<Item> batch) {
  WEIR_CHECK(!batch.empty());
  batch_ = std::move(batch);
  tries_ = 0;
  began_nanos_ = env_.clock().MonotonicNanos();
  env_.RunBlocking([self = shared_from_this()] { self->Try(); });
}

void CommitLoop::Try() {
  {
    MutexLock lock(mutex_);
    if (closed_) return;
  }
  std::vector<Committable> committables;
  for (const Item& item : batch_) committables.push_back({item.bytes, item.restored || tries_ > 0});
  ++tries_;
  OnTried(GuardUserCode(uid_, [&] { return committer_->Commit(committables); }));
}

void CommitLoop::OnTried(const absl::Status& status) {
  const absl::Duration passed = absl::Nanoseconds(env_.clock().MonotonicNanos() - began_nanos_);
  const bool again = MayGoWellLater(status) && passed < kPatience;
  const absl::Duration delay =
      std::min(kLastRetry, kFirstRetry * (int64_t{1} << std::min<uint64_t>(tries_ - 1, 20)));
  MutexLock lock(mutex_);
  if (closed_) return;
  if (again) {
    failed_try_ = status;
    timers_.PostAfter(
        delay, [self = shared_from_this()] { self->env_.RunBlocking([self] { self->Try(); }); });
  } else if (status.ok()) {
    result_ = status;
  } else {
    result_ = absl::Status(status.code(),
                           StrCat("committing the output of sink '", uid_, "'",
                                  MayGoWellLater(status) ? StrCat(" (tried ", tries_, " times in ",
                                                                  absl::FormatDuration(passed), ")")
                                                         : std::string(),
                                  ": ", ToStd(status.message())));
  }
  wake_();
}

std::optional<absl::Status> CommitLoop::TakeResult() {
  MutexLock lock(mutex_);
  return std::exchange(result_, std::nullopt);
}

std::optional<absl::Status> CommitLoop::TakeFailedTry() {
  MutexLock lock(mutex_);
  return std::exchange(failed_try_, std::nullopt);
}

void CommitLoop::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  wake_ = nullptr;
}

}  // namespace weir
