#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "common/env/env.h"

namespace weir {

// Work that blocks, done on Env's blocking pool one piece after the other in the order in which it
// was added, for a task that must not block. What waits is bounded by the caller, who adds nothing
// while blocked(): it exceeds the bound by at most one piece. After an error nothing more is done
// but what Close is given.
//
// Made, fed and closed on the task's thread; the work on the pool shares the object and may outlive
// Close, without waking.
class BackgroundWork : public std::enable_shared_from_this<BackgroundWork> {
 public:
  using Work = absl::AnyInvocable<absl::Status()>;

  // `wake` is called from the pool when blocked() has become false, when what AwaitDone asked for
  // is done, and at the first error; never after Close.
  static std::shared_ptr<BackgroundWork> Make(Env& env, size_t max_pending_bytes,
                                              std::function<void()> wake);

  // `bytes`: what the work holds of memory until it is done. Returns its number: 1, 2, ...
  uint64_t Add(size_t bytes, Work work);
  // The first error.
  absl::Status status() const;
  // At the bound, and until half of it is done. Not after an error, which the next call should
  // meet.
  bool blocked() const;
  // All up to this number is done. If not, `wake` is called when it is.
  bool AwaitDone(uint64_t number);
  // What has not begun is dropped; `last` is done in its place.
  void Close(std::function<void()> last);

 private:
  BackgroundWork(Env& env, size_t max_pending_bytes, std::function<void()> wake)
      : env_(env), max_pending_bytes_(max_pending_bytes), wake_(std::move(wake)) {}

  struct Piece {
    size_t bytes = 0;
    Work work;
  };

  void Begin() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Run();

  Env& env_;
  const size_t max_pending_bytes_;

  mutable Mutex mutex_;
  std::function<void()> wake_ ABSL_GUARDED_BY(mutex_);
  std::deque<Piece> pending_ ABSL_GUARDED_BY(mutex_);
  size_t pending_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t added_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t done_ ABSL_GUARDED_BY(mutex_) = 0;
  // 0: nobody waits.
  uint64_t awaited_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  bool blocked_ ABSL_GUARDED_BY(mutex_) = false;
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::function<void()> last_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace weir
