#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/env/env.h"

namespace weir {

// Where the bytes of a sink end. All calls block; they come one at a time, from any thread. After
// an error only Abandon is called.
class OutputTarget {
 public:
  virtual ~OutputTarget() = default;
  virtual absl::Status Open() = 0;
  virtual absl::Status Write(std::string_view data) = 0;
  // All was written: makes it durable and visible.
  virtual absl::Status Commit() = 0;
  // Instead of Commit: takes back what is not visible yet.
  virtual void Abandon() = 0;
};

// Writes to a target on Env's blocking pool, in order, for a task that must not block. What waits
// to be written is bounded by the caller, who adds nothing while blocked(): it exceeds the bound by
// at most one Append.
//
// Made, fed and closed on the task's thread; the work on the pool shares the object and may outlive
// Close, without waking.
class BackgroundWriter : public std::enable_shared_from_this<BackgroundWriter> {
 public:
  // `wake` is called from the pool when blocked() has become false, and when Finish has something
  // to say; never after Close.
  static std::shared_ptr<BackgroundWriter> Make(Env& env, std::unique_ptr<OutputTarget> target,
                                                size_t max_pending_bytes,
                                                std::function<void()> wake);
  // Opens the target.
  void Start();
  // Takes `data`, whose memory may be exchanged for that of an earlier one, and leaves it empty. An
  // error of the target is returned by every call after it.
  absl::Status Append(std::string& data);
  absl::Status status() const;
  // At the bound, and until half of it is written. Not after an error, which the next call should
  // meet.
  bool blocked() const;
  // True once all is committed; false: ask again after `wake`.
  absl::StatusOr<bool> Finish();
  // If Finish has not returned true, the target is abandoned (on the pool).
  void Close();

 private:
  BackgroundWriter(Env& env, std::unique_ptr<OutputTarget> target, size_t max_pending_bytes,
                   std::function<void()> wake)
      : env_(env),
        target_(std::move(target)),
        max_pending_bytes_(max_pending_bytes),
        wake_(std::move(wake)) {}

  // Begins work on the pool unless it is going on.
  void Schedule();
  void Work();

  Env& env_;
  // Touched by the work on the pool only, of which there is one at a time.
  const std::unique_ptr<OutputTarget> target_;
  bool opened_ = false;
  const size_t max_pending_bytes_;

  mutable Mutex mutex_;
  std::function<void()> wake_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::string> pending_ ABSL_GUARDED_BY(mutex_);
  size_t pending_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::string> free_ ABSL_GUARDED_BY(mutex_);
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  bool blocked_ ABSL_GUARDED_BY(mutex_) = false;
  bool working_ ABSL_GUARDED_BY(mutex_) = false;
  bool finishing_ ABSL_GUARDED_BY(mutex_) = false;
  bool committed_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace weir
