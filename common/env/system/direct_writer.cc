#include "common/env/system/direct_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <system_error>

namespace weir {
namespace {

bool SetDirect(int fd, bool direct) {
  const int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && fcntl(fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

}  // namespace

std::unique_ptr<DirectWriter> DirectWriter::Begin(int fd) {
  std::unique_ptr<DirectWriter> writer(new DirectWriter(fd));
  writer->memory_ = TakeDeviceMemory(kMostKept);
  if (writer->memory_ == nullptr) return nullptr;
  for (size_t i = 0; i < kBuffers; ++i)
    writer->pieces_[i].bytes = writer->memory_.get() + i * kPieceBytes;
  if (!SetDirect(fd, true)) return nullptr;
  try {
    writer->thread_ = std::thread([of = writer.get()] { of->ThreadMain(); });
  } catch (const std::system_error&) {
    // The system has no more of them.
    SetDirect(fd, false);
    return nullptr;
  }
  pthread_setname_np(writer->thread_.native_handle(), "file-writer");
  return writer;
}

DirectWriter::~DirectWriter() {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(mutex_);
    // What was handed is not wanted any more.
    error_ = error_ != 0 ? error_ : ECANCELED;
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

int DirectWriter::Append(std::string_view data) {
  while (!data.empty()) {
    if (const int error = AwaitFree(); error != 0) return error;
    Piece& piece = pieces_[filling_ % kBuffers];
    const size_t size = std::min(kPieceBytes - piece.size, data.size());
    std::memcpy(piece.bytes + piece.size, data.data(), size);
    piece.size += size;
    data.remove_prefix(size);
    if (piece.size == kPieceBytes) Hand();
  }
  return 0;
}

// The lock is given up and taken again inside the wait, which the analysis cannot follow.
int DirectWriter::AwaitFree() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  std::unique_lock<std::mutex> lock(mutex_.native());
  changed_.wait(lock, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return filling_ - written_ < kBuffers || error_ != 0;
  });
  return error_;
}

void DirectWriter::Hand() {
  {
    MutexLock lock(mutex_);
    ++filling_;
  }
  changed_.notify_all();
}

int DirectWriter::End() {
  if (AwaitFree() == 0 && pieces_[filling_ % kBuffers].size > 0) Hand();
  {
    MutexLock lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
  SetDirect(fd_, false);
  MutexLock lock(mutex_);
  return error_;
}

void DirectWriter::ThreadMain() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  std::unique_lock<std::mutex> lock(mutex_.native());
  while (true) {
    changed_.wait(
        lock, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return filling_ > written_ || ending_; });
    if (filling_ == written_ || error_ != 0) return;
    Piece& piece = pieces_[written_ % kBuffers];
    lock.unlock();
    const int error = Write({piece.bytes, piece.size});
    piece.size = 0;
    lock.lock();
    ++written_;
    error_ = error_ != 0 ? error_ : error;
    changed_.notify_all();
    if (error_ != 0) return;
  }
}

int DirectWriter::Write(std::string_view data) {
  while (!data.empty()) {
    // What is no whole block goes through the cache.
    if (direct_ && data.size() < kDeviceBlockBytes) direct_ = !SetDirect(fd_, false);
    const size_t size = direct_ ? data.size() / kDeviceBlockBytes * kDeviceBlockBytes : data.size();
    const ssize_t written = write(fd_, data.data(), size);
    if (written >= 0) {
      data.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EINVAL && direct_) {
      // It takes the flag and refuses the write, or one before was cut short.
      direct_ = !SetDirect(fd_, false);
      if (direct_) return EINVAL;
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

}  // namespace weir
