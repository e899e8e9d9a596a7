#include "common/env/system/direct_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>

namespace weir {
namespace {

// Of the process: what they keep is bounded.
std::atomic<int> readers{0};

}  // namespace

std::unique_ptr<DirectReader> DirectReader::Begin(int fd) {
  // Opened anew: the flag would hold for reads of the same description, too. By its number, since
  // there may be no name any more.
  const int direct =
      open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
  if (direct < 0) return nullptr;
  std::unique_ptr<DirectReader> reader(new DirectReader(direct));
  if (readers.fetch_add(1) >= kMostReaders) return nullptr;  // the destructor takes it back
  reader->memory_ = TakeDeviceMemory(kMostKept);
  if (reader->memory_ == nullptr) return nullptr;
  try {
    reader->thread_ = std::thread([of = reader.get()] { of->ThreadMain(); });
  } catch (const std::system_error&) {
    // The system has no more of them.
    return nullptr;
  }
  pthread_setname_np(reader->thread_.native_handle(), "file-reader");
  return reader;
}

DirectReader::~DirectReader() {
  {
    MutexLock lock(mutex_);
    ending_ = true;
  }
  wanted_.notify_one();
  if (thread_.joinable()) thread_.join();
  close(fd_);
  readers.fetch_sub(1);
}

bool DirectReader::failed() const {
  MutexLock lock(mutex_);
  return failed_;
}

void DirectReader::Expect(uint64_t offset, uint64_t size) {
  if (size == 0) return;
  {
    MutexLock lock(mutex_);
    uint64_t place = offset / kPieceBytes;
    if (!pieces_.empty()) place = std::max(place, pieces_.back().place + 1);
    for (; place <= (offset + size - 1) / kPieceBytes; ++place)
      pieces_.emplace_back().place = place;
  }
  wanted_.notify_one();
}

bool DirectReader::Read(uint64_t offset, size_t size, std::string& buffer,
                        std::string_view& bytes) {
  uint64_t before = 0;
  if (size == 0 || !Await(offset, offset + size, &before)) return false;
  // Only this thread removes pieces, and what is read stays until then.
  const char* from = PlaceOf(before) + offset % kPieceBytes;
  const auto to_end = static_cast<size_t>(memory_.get() + kMostKept - from);
  bytes = {from, size};
  if (to_end < size) {
    buffer.assign(from, to_end);
    buffer.append(memory_.get(), size - to_end);
    bytes = buffer;
  }
  return true;
}

// The lock is given up and taken again inside the wait, which the analysis cannot follow.
bool DirectReader::Await(uint64_t from, uint64_t to,
                         uint64_t* before) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  std::unique_lock<std::mutex> lock(mutex_.native());
  const auto found = std::partition_point(pieces_.begin(), pieces_.end(), [&](const Piece& piece) {
    return piece.place < from / kPieceBytes;
  });
  size_t first = static_cast<size_t>(found - pieces_.begin());
  const uint64_t last_place = (to - 1) / kPieceBytes;
  const size_t last = first + (last_place - from / kPieceBytes);
  if (last >= pieces_.size() || pieces_[last].place != last_place ||
      last - first + 2 > kMostPieces) {
    return false;
  }
  // The one before is kept: who reads may step back a little.
  if (first > 1) {
    const size_t removed = first - 1;
    pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<ptrdiff_t>(removed));
    removed_ += removed;
    next_ -= std::min(next_, removed);
    first -= removed;
    wanted_.notify_one();
  }
  *before = removed_ + first;
  const size_t wanted = first + (last_place - from / kPieceBytes);
  read_.wait(lock,
             [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return pieces_[wanted].read || failed_; });
  return pieces_[wanted].read && pieces_[wanted].size >= to - pieces_[wanted].place * kPieceBytes;
}

void DirectReader::ThreadMain() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  std::unique_lock<std::mutex> lock(mutex_.native());
  while (true) {
    wanted_.wait(lock, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return ending_ || MayRead(); });
    if (ending_) return;
    const uint64_t number = removed_ + next_;
    const uint64_t place = pieces_[next_++].place;
    lock.unlock();
    const size_t size = ReadPiece(place, PlaceOf(number));
    lock.lock();
    if (size == 0) {
      failed_ = true;
    } else if (number >= removed_) {
      Piece& piece = pieces_[number - removed_];
      piece.size = size;
      piece.read = true;
    }
    read_.notify_one();
    if (failed_) return;
  }
}

size_t DirectReader::ReadPiece(uint64_t place, char* to) {
  size_t done = 0;
  while (done < kPieceBytes) {
    const ssize_t got =
        pread(fd_, to + done, kPieceBytes - done, static_cast<off_t>(place * kPieceBytes + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return 0;
    done += static_cast<size_t>(got);
    // The end of the file is where no block ends.
    if (got == 0 || done % kDeviceBlockBytes != 0) break;
  }
  return done;
}

}  // namespace weir
