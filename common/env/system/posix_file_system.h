#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/env/file_system.h"

namespace weir {

// The files of the machine. Appends go straight to the kernel, unbuffered. Thread safe; a file
// opened for reading may be read by several threads, one opened for writing belongs to one.
class PosixFileSystem final : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenForRead(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<WritableFile>> OpenForWrite(const std::string& path,
                                                             WriteMode mode) override;
  absl::StatusOr<FileInfo> Stat(const std::string& path) override;
  absl::StatusOr<std::vector<FileInfo>> List(const std::string& directory) override;
  absl::Status CreateDirectories(const std::string& path) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status SyncDirectory(const std::string& path) override;
  absl::Status Delete(const std::string& path) override;
  absl::Status DeleteRecursively(const std::string& path) override;
};

}  // namespace weir
