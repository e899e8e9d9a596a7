#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "common/base/mutex.h"
#include "common/env/system/device_memory.h"

namespace weir {

// Reads a file ahead of who reads it in order, past the system's cache (O_DIRECT), on a thread of
// its own: the disk works while what it gave is used, nobody clears and fills pages of the cache,
// and what others have there stays. By one thread at a time.
class DirectReader {
 public:
  // `fd` is open for reading; the file may be deleted meanwhile. Null if its file system has no
  // such reads, there is no memory or thread for them, or there are kMostReaders.
  static std::unique_ptr<DirectReader> Begin(int fd);
  ~DirectReader();
  DirectReader(const DirectReader&) = delete;
  DirectReader& operator=(const DirectReader&) = delete;

  // These bytes will be read, each once and in order. What lies before the end of what was
  // expected already is left out.
  void Expect(uint64_t offset, uint64_t size);
  // Gives the bytes, until the next call, if all of them were expected; waits for them. They are in
  // `buffer` if they do not lie together. What lies more than kPieceBytes before them is given up.
  // False if they have to be read otherwise: as well if there are more than kMostAtOnce of them.
  bool Read(uint64_t offset, size_t size, std::string& buffer, std::string_view& bytes);
  // A read has failed: nothing more is read.
  bool failed() const;

  static constexpr uint64_t kPieceBytes = 2 << 20;
  // Read and not given up yet, at most.
  static constexpr size_t kMostKept = 16 << 20;
  static constexpr int kMostReaders = 16;
  static constexpr size_t kMostAtOnce = kMostKept - 3 * kPieceBytes;

 private:
  static constexpr uint64_t kMostPieces = kMostKept / kPieceBytes;

  struct Piece {
    // Of kPieceBytes each, from the beginning of the file.
    uint64_t place = 0;
    bool read = false;
    size_t size = 0;
  };

  explicit DirectReader(int fd) : fd_(fd) {}
  void ThreadMain();
  // Waits for the pieces of these bytes; false if one is not expected or could not be read.
  // `before` becomes how many came before the first of them.
  bool Await(uint64_t from, uint64_t to, uint64_t* before);
  // As many bytes as there are in the file; none if it cannot be read.
  size_t ReadPiece(uint64_t place, char* to);
  bool MayRead() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return next_ < pieces_.size() && next_ < kMostPieces;
  }

  // Where the piece is that follows `before` others.
  char* PlaceOf(uint64_t before) const {
    return memory_.get() + before % kMostPieces * kPieceBytes;
  }

  const int fd_;
  // kMostKept.
  DeviceMemory memory_;
  // Ascending. Who reads adds and removes them.
  std::deque<Piece> pieces_ ABSL_GUARDED_BY(mutex_);
  // Which of them the thread reads next, and how many were removed before them.
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t removed_ ABSL_GUARDED_BY(mutex_) = 0;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  bool failed_ ABSL_GUARDED_BY(mutex_) = false;
  mutable Mutex mutex_;
  std::condition_variable wanted_;
  std::condition_variable read_;
  std::thread thread_;
};

}  // namespace weir
