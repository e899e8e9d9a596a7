#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "common/base/mutex.h"
#include "common/env/system/device_memory.h"

namespace weir {

// Appends to a file past the system's cache (O_DIRECT), on a thread of its own: who appends goes on
// while the disk writes, nobody copies into the cache, and what others have there stays. Goes on
// through the cache where the file system cannot do without. By one thread at a time.
class DirectWriter {
 public:
  // `fd` is open for appending at a multiple of kDeviceBlockBytes, and nobody else uses it until
  // End. Null if its file system has no such writes, or there is no memory or thread for them: then
  // it is as it was.
  static std::unique_ptr<DirectWriter> Begin(int fd);
  ~DirectWriter();
  DirectWriter(const DirectWriter&) = delete;
  DirectWriter& operator=(const DirectWriter&) = delete;

  // Copies the data and returns; waits while the disk is kMostKept behind. Returns 0 or the
  // errno of a write that has failed, now or before; it stays.
  int Append(std::string_view data);
  // Waits until all is written, the last piece too, though it is no whole block; not that it is
  // durable. Nothing may follow.
  int End();

  // What is appended and not written yet, at most.
  static constexpr size_t kMostKept = 8 << 20;

 private:
  // Disks take such pieces at full speed.
  static constexpr size_t kPieceBytes = 1 << 20;
  static constexpr size_t kBuffers = kMostKept / kPieceBytes;

  struct Piece {
    char* bytes = nullptr;
    size_t size = 0;
  };

  explicit DirectWriter(int fd) : fd_(fd) {}
  void ThreadMain();
  // Waits until there is a piece to be filled; returns the errno of a write that has failed.
  int AwaitFree();
  // Hands the piece that is being filled to the thread.
  void Hand();
  int Write(std::string_view data);

  const int fd_;
  bool direct_ = true;  // of the thread
  DeviceMemory memory_;
  std::array<Piece, kBuffers> pieces_;
  // How many are written, and which is being filled: pieces_[n % kBuffers], in turn. Those between
  // are the thread's.
  uint64_t written_ ABSL_GUARDED_BY(mutex_) = 0;
  // Changed by who appends, under the lock.
  uint64_t filling_ = 0;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  int error_ ABSL_GUARDED_BY(mutex_) = 0;
  Mutex mutex_;
  std::condition_variable changed_;
  std::thread thread_;
};

}  // namespace weir
