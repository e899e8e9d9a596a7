#include "common/env/system/posix_file_system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/env/system/device_memory.h"
#include "common/env/system/direct_reader.h"
#include "common/env/system/direct_writer.h"

namespace weir {
namespace {

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::StatusCode::kResourceExhausted;
    case ENOTEMPTY:
    case EISDIR:
    case EXDEV:
    case EBUSY:
    case ETXTBSY:
      return absl::StatusCode::kFailedPrecondition;
    case EINVAL:
    case ENAMETOOLONG:
    case ELOOP:
      return absl::StatusCode::kInvalidArgument;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

absl::Status ErrorOf(int error, std::string_view doing, const std::string& path) {
  return absl::Status(CodeOf(error),
                      StrCat(doing, " '", path, "': ", std::generic_category().message(error)));
}

// Calls `f` again while a signal interrupts it.
template <class F>
auto Uninterrupted(F f) {
  decltype(f()) result;
  do {
    result = f();
  } while (result < 0 && errno == EINTR);
  return result;
}

absl::Time ModifiedAt(const struct stat& info) { return absl::TimeFromTimespec(info.st_mtim); }

FileInfo InfoOf(const std::string& path, const struct stat& info) {
  return FileInfo{.path = path,
                  .size_bytes = static_cast<uint64_t>(info.st_size),
                  .is_directory = S_ISDIR(info.st_mode),
                  .modified = ModifiedAt(info)};
}

class PosixRandomAccessFile final : public RandomAccessFile {
 public:
  PosixRandomAccessFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixRandomAccessFile() override {
    if (map_ != nullptr) munmap(map_, map_bytes_);
    close(fd_);
  }

  absl::StatusOr<size_t> ReadAt(uint64_t offset, size_t size, char* buffer) override {
    size_t done = 0;
    while (done < size) {
      const ssize_t got = Uninterrupted([&] {
        return pread(fd_, buffer + done, size - done, static_cast<off_t>(offset + done));
      });
      if (got < 0) return ErrorOf(errno, "reading", path_);
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

  absl::StatusOr<uint64_t> Size() override {
    struct stat info;
    if (fstat(fd_, &info) != 0) return ErrorOf(errno, "reading the size of", path_);
    return static_cast<uint64_t>(info.st_size);
  }

  void WillReadAt(uint64_t offset, uint64_t size) override {
    posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(size), POSIX_FADV_WILLNEED);
  }

  absl::StatusOr<std::string_view> ReadInOrder(uint64_t offset, size_t size,
                                               std::string& buffer) override {
    std::string_view bytes;
    if (direct_ == nullptr) return RandomAccessFile::ReadInOrder(offset, size, buffer);
    if (size <= DirectReader::kMostAtOnce) {
      if (direct_->Read(offset, size, buffer, bytes)) return bytes;
      return RandomAccessFile::ReadInOrder(offset, size, buffer);
    }
    buffer.resize(size);
    std::string part;
    for (size_t done = 0; done < size; done += bytes.size()) {
      WEIR_ASSIGN_OR_RETURN(
          bytes,
          ReadInOrder(offset + done, std::min(size - done, DirectReader::kMostAtOnce), part));
      if (bytes.empty()) {
        buffer.resize(done);
        break;
      }
      bytes.copy(buffer.data() + done, bytes.size());
    }
    return buffer;
  }

  void WillRead(uint64_t offset, uint64_t size) override {
    // What the system has in memory is copied from there.
    if (may_be_direct_ && !InMemory(offset, size)) {
      told_ += size;
      if (direct_ == nullptr && told_ >= DirectReader::kPieceBytes) {
        direct_ = DirectReader::Begin(fd_);
        may_be_direct_ = direct_ != nullptr;
      }
      if (direct_ != nullptr && direct_->failed()) {
        direct_.reset();
        may_be_direct_ = false;
      }
      if (direct_ != nullptr) return direct_->Expect(offset, size);
    }
    WillReadAt(offset, size);
  }

 private:
  // Whether all of these bytes are, by some of their pages: asking for each takes a twentieth of
  // the time of using them. Also if the system does not tell.
  bool InMemory(uint64_t offset, uint64_t size) {
    if (map_ == nullptr) {
      const auto bytes = Size();
      if (!bytes.ok() || *bytes == 0) return true;
      // Nothing is read through it.
      void* map = mmap(nullptr, *bytes, PROT_NONE, MAP_SHARED, fd_, 0);
      if (map == MAP_FAILED) return true;
      map_ = static_cast<char*>(map);
      map_bytes_ = *bytes;
    }
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const uint64_t from = std::min<uint64_t>(offset, map_bytes_) / page * page;
    const uint64_t to = std::min<uint64_t>(offset + size, map_bytes_);
    if (from >= to) return true;
    constexpr uint64_t kPagesAsked = 8;
    for (uint64_t i = 0; i < kPagesAsked; ++i) {
      // The first and the last one among them.
      const uint64_t at = from + (to - 1 - from) * i / (kPagesAsked - 1) / page * page;
      unsigned char in = 0;
      if (mincore(map_ + at, 1, &in) != 0) return true;
      if ((in & 1) == 0) return false;
    }
    return true;
  }

  const int fd_;
  const std::string path_;
  // Where the system can be asked what it has in memory, once it was.
  char* map_ = nullptr;
  size_t map_bytes_ = 0;
  // What will be read that is not in memory.
  uint64_t told_ = 0;
  bool may_be_direct_ = true;
  std::unique_ptr<DirectReader> direct_;
};

class PosixWritableFile final : public WritableFile {
 public:
  // `empty`: nothing is in it yet.
  PosixWritableFile(int fd, std::string path, bool empty)
      : fd_(fd), may_be_direct_(empty), path_(std::move(path)) {}
  ~PosixWritableFile() override {
    direct_.reset();
    if (fd_ >= 0) close(fd_);
  }

  absl::Status Append(std::string_view data) override {
    WEIR_RETURN_IF_ERROR(CheckOpen());
    while (!data.empty()) {
      if (direct_ != nullptr) return OfWrite(direct_->Append(data));
      const std::string_view part = data.substr(0, direct_after_ - written_);
      const ssize_t written = Uninterrupted([&] { return write(fd_, part.data(), part.size()); });
      if (written < 0) return OfWrite(errno);
      data.remove_prefix(static_cast<size_t>(written));
      written_ += static_cast<uint64_t>(written);
      BeginWriteback(static_cast<uint64_t>(written));
      if (written_ == direct_after_) {
        direct_ = DirectWriter::Begin(fd_);
        direct_after_ = kNever;
      }
    }
    return absl::OkStatus();
  }

  void NotReadSoon() override {
    if (may_be_direct_ && written_ < kDirectAfter) direct_after_ = kDirectAfter;
  }

  // After a failed fsync the kernel may have dropped the data, so a later one proves nothing: the
  // file stays failed.
  absl::Status Sync() override {
    WEIR_RETURN_IF_ERROR(CheckOpen());
    WEIR_RETURN_IF_ERROR(sync_status_);
    WEIR_RETURN_IF_ERROR(EndDirect());
    if (Uninterrupted([&] { return fsync(fd_); }) != 0) {
      sync_status_ = ErrorOf(errno, "syncing", path_);
    }
    return sync_status_;
  }

  absl::Status Close() override {
    WEIR_RETURN_IF_ERROR(CheckOpen());
    WEIR_RETURN_IF_ERROR(EndDirect());
    // Linux frees the descriptor whatever close returns; it must not be tried again.
    const int result = close(fd_);
    const int error = errno;
    fd_ = -1;
    if (result != 0 && error != EINTR) return ErrorOf(error, "closing", path_);
    return absl::OkStatus();
  }

 private:
  // What is smaller stays in the cache, where a restart on the same host finds it.
  static constexpr uint64_t kDirectAfter = 16 << 20;
  static_assert(kDirectAfter % kDeviceBlockBytes == 0);
  static constexpr uint64_t kNever = UINT64_MAX;

  absl::Status OfWrite(int error) const {
    return error == 0 ? absl::OkStatus() : ErrorOf(error, "writing", path_);
  }
  // What comes after goes through the cache.
  absl::Status EndDirect() {
    if (direct_ == nullptr) return absl::OkStatus();
    sync_status_ = OfWrite(direct_->End());
    direct_ = nullptr;
    return sync_status_;
  }
  absl::Status CheckOpen() const {
    if (fd_ >= 0) return absl::OkStatus();
    return absl::FailedPreconditionError(StrCat("writing '", path_, "': it has been closed"));
  }
  // The disk is not idle while a large file is made, and the sync at its end is short. Only a hint:
  // what goes wrong is reported by the sync.
  void BeginWriteback(uint64_t written) {
    constexpr uint64_t kWriteback = 8 << 20;
    unsynced_ += written;
    if (unsynced_ < kWriteback) return;
    unsynced_ = 0;
    sync_file_range(fd_, 0, 0, SYNC_FILE_RANGE_WRITE);
  }

  int fd_;
  const bool may_be_direct_;
  uint64_t written_ = 0;
  // Once so many bytes are written.
  uint64_t direct_after_ = kNever;
  std::unique_ptr<DirectWriter> direct_;
  // Since the last writeback was begun.
  uint64_t unsynced_ = 0;
  const std::string path_;
  absl::Status sync_status_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RandomAccessFile>> PosixFileSystem::OpenForRead(
    const std::string& path) {
  const int fd = Uninterrupted([&] { return open(path.c_str(), O_RDONLY | O_CLOEXEC); });
  if (fd < 0) return ErrorOf(errno, "opening", path);
  auto file = std::make_unique<PosixRandomAccessFile>(fd, path);
  struct stat info;
  if (fstat(fd, &info) != 0) return ErrorOf(errno, "opening", path);
  if (S_ISDIR(info.st_mode)) return ErrorOf(EISDIR, "opening", path);
  return file;
}

absl::StatusOr<std::unique_ptr<WritableFile>> PosixFileSystem::OpenForWrite(const std::string& path,
                                                                            WriteMode mode) {
  int flags = O_WRONLY | O_CLOEXEC | O_CREAT | O_APPEND;
  switch (mode) {
    case WriteMode::kCreateNew:
      flags |= O_EXCL;
      break;
    case WriteMode::kTruncate:
      flags |= O_TRUNC;
      break;
    case WriteMode::kAppend:
      break;
  }
  const int fd = Uninterrupted([&] { return open(path.c_str(), flags, 0644); });
  if (fd < 0) return ErrorOf(errno, "opening for writing", path);
  return std::make_unique<PosixWritableFile>(fd, path, mode != WriteMode::kAppend);
}

absl::StatusOr<FileInfo> PosixFileSystem::Stat(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return ErrorOf(errno, "looking at", path);
  return InfoOf(path, info);
}

absl::StatusOr<std::vector<FileInfo>> PosixFileSystem::List(const std::string& directory) {
  DIR* dir = opendir(directory.c_str());
  if (dir == nullptr) return ErrorOf(errno, "listing", directory);
  const std::unique_ptr<DIR, int (*)(DIR*)> closer(dir, &closedir);
  std::vector<FileInfo> entries;
  const std::string prefix = directory.back() == '/' ? directory : directory + "/";
  while (true) {
    errno = 0;
    const dirent* entry = readdir(dir);
    if (entry == nullptr) {
      if (errno != 0) return ErrorOf(errno, "listing", directory);
      break;
    }
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string path = StrCat(prefix, name);
    struct stat info;
    // A link that leads nowhere is listed as it is; what has vanished since is left out.
    if (stat(path.c_str(), &info) != 0 && lstat(path.c_str(), &info) != 0) {
      if (errno == ENOENT) continue;
      return ErrorOf(errno, "listing", path);
    }
    entries.push_back(InfoOf(path, info));
  }
  std::sort(entries.begin(), entries.end(),
            [](const FileInfo& a, const FileInfo& b) { return a.path < b.path; });
  return entries;
}

absl::Status PosixFileSystem::CreateDirectories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error == std::errc::not_a_directory) {
    return ErrorOf(EEXIST, "making the folder (a file has its name, or a parent's)", path);
  }
  if (error) return ErrorOf(error.value(), "making the folder", path);
  return absl::OkStatus();
}

absl::Status PosixFileSystem::Rename(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0) {
    return ErrorOf(errno, StrCat("renaming '", from, "' to"), to);
  }
  return absl::OkStatus();
}

absl::Status PosixFileSystem::SyncDirectory(const std::string& path) {
  const int fd =
      Uninterrupted([&] { return open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (fd < 0) return ErrorOf(errno, "syncing the folder", path);
  const int result = Uninterrupted([&] { return fsync(fd); });
  const int error = errno;
  close(fd);
  if (result != 0) return ErrorOf(error, "syncing the folder", path);
  return absl::OkStatus();
}

absl::Status PosixFileSystem::Delete(const std::string& path) {
  if (remove(path.c_str()) != 0) return ErrorOf(errno, "deleting", path);
  return absl::OkStatus();
}

absl::Status PosixFileSystem::DeleteRecursively(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return ErrorOf(error.value(), "deleting", path);
  return absl::OkStatus();
}

}  // namespace weir
