#include "connectors/output/background_writer.h"

#include <algorithm>
#include <utility>

namespace weir {
namespace {

// Emptied buffers that are kept for Append.
constexpr size_t kMaxFreeBuffers = 4;

}  // namespace

std::shared_ptr<BackgroundWriter> BackgroundWriter::Make(Env& env,
                                                         std::unique_ptr<OutputTarget> target,
                                                         size_t max_pending_bytes,
                                                         std::function<void()> wake) {
  return std::shared_ptr<BackgroundWriter>(
      new BackgroundWriter(env, std::move(target), max_pending_bytes, std::move(wake)));
}

void BackgroundWriter::Start() { Schedule(); }

void BackgroundWriter::Schedule() {
  {
    MutexLock lock(mutex_);
    if (working_) return;
    working_ = true;
  }
  env_.RunBlocking([self = shared_from_this()] { self->Work(); });
}

absl::Status BackgroundWriter::Append(std::string& data) {
  {
    MutexLock lock(mutex_);
    if (!error_.ok()) return error_;
    if (data.empty()) return absl::OkStatus();
    pending_bytes_ += data.size();
    pending_.push_back(std::move(data));
    data.clear();
    if (!free_.empty()) {
      data = std::move(free_.back());
      free_.pop_back();
    }
    blocked_ = blocked_ || pending_bytes_ >= max_pending_bytes_;
  }
  Schedule();
  return absl::OkStatus();
}

absl::Status BackgroundWriter::status() const {
  MutexLock lock(mutex_);
  return error_;
}

bool BackgroundWriter::blocked() const {
  MutexLock lock(mutex_);
  return blocked_;
}

absl::StatusOr<bool> BackgroundWriter::Finish() {
  {
    MutexLock lock(mutex_);
    if (!error_.ok()) return error_;
    if (committed_) return true;
    finishing_ = true;
  }
  Schedule();
  return false;
}

void BackgroundWriter::Close() {
  {
    MutexLock lock(mutex_);
    if (closed_) return;
    closed_ = true;
    wake_ = nullptr;
    pending_.clear();
    pending_bytes_ = 0;
    free_.clear();
    if (committed_) return;
  }
  Schedule();
}

void BackgroundWriter::Work() {
  std::string data;
  for (;;) {
    bool commit = false;
    bool abandon = false;
    {
      MutexLock lock(mutex_);
      if (!data.empty()) {
        pending_bytes_ -= std::min(pending_bytes_, data.size());
        data.clear();
        if (free_.size() < kMaxFreeBuffers && !closed_) free_.push_back(std::move(data));
        data = std::string();
        if (blocked_ && pending_bytes_ <= max_pending_bytes_ / 2) {
          blocked_ = false;
          if (wake_) wake_();
        }
      }
      if (closed_) {
        // After a commit that Finish did not see nothing is left to take back.
        abandon = !committed_ && !abandoned_;
        abandoned_ = true;
        working_ = false;
        if (!abandon) return;
      } else if (!error_.ok()) {
        working_ = false;
        return;
      } else if (!pending_.empty()) {
        data = std::move(pending_.front());
        pending_.pop_front();
      } else if (finishing_ && !committed_) {
        commit = true;
      } else if (opened_) {
        working_ = false;
        return;
      }
    }
    if (abandon) {
      target_->Abandon();
      return;
    }
    absl::Status status;
    if (!opened_) status = target_->Open();
    opened_ = true;
    if (status.ok() && !data.empty()) status = target_->Write(data);
    if (status.ok() && commit) status = target_->Commit();
    if (status.ok() && !commit) continue;
    MutexLock lock(mutex_);
    error_ = status;
    committed_ = status.ok();
    blocked_ = false;
    if (wake_) wake_();
    if (!closed_) {
      working_ = false;
      return;
    }
  }
}

}  // namespace weir
