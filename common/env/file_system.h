#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace weir {

struct FileInfo {
  std::string path;
  uint64_t size_bytes = 0;
  bool is_directory = false;
  absl::Time modified;
};

// Reads from any offset. Not thread safe unless said.
class RandomAccessFile {
 public:
  virtual ~RandomAccessFile() = default;
  // Reads up to `size` bytes at `offset` into `buffer`; returns how many: fewer only at the end of the file. Blocks.
  virtual absl::StatusOr<size_t> ReadAt(uint64_t offset, size_t size, char* buffer) = 0;
  virtual absl::StatusOr<uint64_t> Size() = 0;
  // A hint: this will be read soon with ReadAt, and the disk may begin with it. Does not wait for it.
  virtual void WillReadAt(uint64_t offset, uint64_t size) { (void)offset, (void)size; }
  // A hint: this will be read soon, once, with ReadInOrder, and the disk may begin with it. Does not wait for it. Each
  // comes after the one before; the caller tells only as much as is to be under way.
  virtual void WillRead(uint64_t offset, uint64_t size) { (void)offset, (void)size; }
  // ReadAt by who goes from the beginning of what WillRead was told to its end: faster there, right anywhere. The bytes
  // are in `buffer`, or stay where they are until WillRead or ReadInOrder is called; fewer only at the end of the file.
  virtual absl::StatusOr<std::string_view> ReadInOrder(uint64_t offset, size_t size, std::string& buffer);
};

// Appends. What was appended is durable after Sync, and only then. Close must be called and its status looked at; the
// destructor closes without a report.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual absl::Status Append(std::string_view data) = 0;
  // A hint: if much is appended, nobody will read it soon, and it need not stay in memory.
  virtual void NotReadSoon() {}
  virtual absl::Status Sync() = 0;
  virtual absl::Status Close() = 0;
};

// Files and folders. All calls may block, so a task thread calls none of them: they are made on the IO executor.
// Errors: kNotFound, kAlreadyExists, kPermissionDenied, kResourceExhausted (disk full), kUnavailable (an I/O error); each
// names the path. Thread safe.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenForRead(const std::string& path) = 0;
  enum class WriteMode { kCreateNew, kTruncate, kAppend };
  virtual absl::StatusOr<std::unique_ptr<WritableFile>> OpenForWrite(const std::string& path, WriteMode mode) = 0;
  virtual absl::StatusOr<FileInfo> Stat(const std::string& path) = 0;
  // Entries of a folder, by full path, sorted; not recursive.
  virtual absl::StatusOr<std::vector<FileInfo>> List(const std::string& directory) = 0;
  // Makes the folder and its parents; succeeds if it is there.
  virtual absl::Status CreateDirectories(const std::string& path) = 0;
  // Atomic replacement within one file system; SyncDirectory makes it durable.
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  virtual absl::Status SyncDirectory(const std::string& path) = 0;
  // A file or an empty folder; kFailedPrecondition if the folder is not empty.
  virtual absl::Status Delete(const std::string& path) = 0;
  // Follows no symbolic links; succeeds if there is nothing.
  virtual absl::Status DeleteRecursively(const std::string& path) = 0;
};

// Whole-file conveniences, on any FileSystem.
// kOutOfRange if it is larger than `max_bytes`.
absl::StatusOr<std::string> ReadFile(FileSystem& fs, const std::string& path, uint64_t max_bytes);
// Writes to a temporary name, syncs, renames, syncs the folder: a reader sees the old or the whole new content. The temporary
// name is `path` and ".tmp", so one writer at a time for one path.
absl::Status WriteFileAtomically(FileSystem& fs, const std::string& path, std::string_view data);

}  // namespace weir
