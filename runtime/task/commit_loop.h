#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"
#include "common/env/env.h"
#include "weir/committer.h"

namespace weir {

// Runs a sink's committer on Env's blocking pool: one batch at a time, again and again while what
// went wrong may pass or is not known, up to kPatience. Fed and closed on the task's thread; work
// on the pool shares the object and may outlive Close, without waking.
class CommitLoop : public std::enable_shared_from_this<CommitLoop> {
 public:
  static constexpr absl::Duration kFirstRetry = absl::Milliseconds(100);
  static constexpr absl::Duration kLastRetry = absl::Seconds(10);
  // From the beginning of a batch; then its last error is its result.
  static constexpr absl::Duration kPatience = absl::Minutes(5);

  struct Item {
    std::string bytes;
    // It was in a checkpoint that an earlier attempt may have committed.
    bool restored = false;
  };

  // `timers` only waits between tries. `uid` names the sink in errors. `wake` is called from any
  // thread when TakeResult or TakeFailedTry has something to say, never after Close.
  static std::shared_ptr<CommitLoop> Make(Env& env, Executor& timers, std::string uid,
                                          std::unique_ptr<Committer> committer,
                                          std::function<void()> wake);

  // Only when no batch is under way.
  void Begin(std::vector<Item> batch);
  // How the batch has ended, once; then no batch is under way. Errors name the operator.
  std::optional<absl::Status> TakeResult();
  // A try that did not go well and is followed by another, once.
  std::optional<absl::Status> TakeFailedTry();
  // What is under way is not tried again.
  void Close();

 private:
  CommitLoop(Env& env, Executor& timers, std::string uid, std::unique_ptr<Committer> committer,
             std::function<void()> wake);

  // On the pool.
  void Try();
  void OnTried(const absl::Status& status);

  Env& env_;
  Executor& timers_;
  const std::string uid_;
  // Touched by the try under way only, of which there is one at a time.
  const std::unique_ptr<Committer> committer_;
  std::vector<Item> batch_;
  uint64_t tries_ = 0;
  int64_t began_nanos_ = 0;

  Mutex mutex_;
  std::function<void()> wake_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> result_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> failed_try_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace weir
