#include "connectors/output/background_work.h"

#include <utility>

namespace weir {

std::shared_ptr<BackgroundWork> BackgroundWork::Make(Env& env, size_t max_pending_bytes,
                                                     std::function<void()> wake) {
  return std::shared_ptr<BackgroundWork>(
      new BackgroundWork(env, max_pending_bytes, std::move(wake)));
}

void BackgroundWork::Begin() {
  if (std::exchange(running_, true)) return;
  env_.RunBlocking([self = shared_from_this()] { self->Run(); });
}

uint64_t BackgroundWork::Add(size_t bytes, Work work) {
  MutexLock lock(mutex_);
  ++added_;
  if (!error_.ok() || closed_) return added_;
  pending_bytes_ += bytes;
  pending_.push_back({bytes, std::move(work)});
  blocked_ = blocked_ || pending_bytes_ >= max_pending_bytes_;
  Begin();
  return added_;
}

absl::Status BackgroundWork::status() const {
  MutexLock lock(mutex_);
  return error_;
}

bool BackgroundWork::blocked() const {
  MutexLock lock(mutex_);
  return blocked_;
}

bool BackgroundWork::AwaitDone(uint64_t number) {
  MutexLock lock(mutex_);
  if (done_ >= number) return true;
  awaited_ = number;
  return false;
}

void BackgroundWork::Close(std::function<void()> last) {
  MutexLock lock(mutex_);
  if (std::exchange(closed_, true)) return;
  wake_ = nullptr;
  pending_.clear();
  pending_bytes_ = 0;
  last_ = std::move(last);
  Begin();
}

void BackgroundWork::Run() {
  while (true) {
    Piece piece;
    std::function<void()> last;
    {
      MutexLock lock(mutex_);
      if (pending_.empty() || !error_.ok()) {
        running_ = false;
        if (last_ == nullptr) return;
        last = std::exchange(last_, nullptr);
      } else {
        piece = std::move(pending_.front());
        pending_.pop_front();
      }
    }
    if (last != nullptr) return last();
    absl::Status status = piece.work();
    // Frees what it held before others are let in.
    piece.work = nullptr;
    MutexLock lock(mutex_);
    bool wake = false;
    if (!status.ok()) {
      error_ = std::move(status);
      pending_.clear();
      wake = true;
      blocked_ = false;
    } else {
      ++done_;
      if (!closed_) pending_bytes_ -= piece.bytes;
      if (blocked_ && pending_bytes_ <= max_pending_bytes_ / 2) {
        blocked_ = false;
        wake = true;
      }
      if (awaited_ != 0 && done_ >= awaited_) {
        awaited_ = 0;
        wake = true;
      }
    }
    if (wake && wake_ != nullptr) wake_();
  }
}

}  // namespace weir
