#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/env/file_system.h"

namespace weir {

// Another file system, for who does some things otherwise. As thread safe as that is.
class ForwardingFileSystem : public FileSystem {
 public:
  // `files` outlives this.
  explicit ForwardingFileSystem(FileSystem& files) : files_(files) {}

  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenForRead(const std::string& path) override {
    return files_.OpenForRead(path);
  }
  absl::StatusOr<std::unique_ptr<WritableFile>> OpenForWrite(const std::string& path,
                                                             WriteMode mode) override {
    return files_.OpenForWrite(path, mode);
  }
  absl::StatusOr<FileInfo> Stat(const std::string& path) override { return files_.Stat(path); }
  absl::StatusOr<std::vector<FileInfo>> List(const std::string& directory) override {
    return files_.List(directory);
  }
  absl::Status CreateDirectories(const std::string& path) override {
    return files_.CreateDirectories(path);
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    return files_.Rename(from, to);
  }
  absl::Status SyncDirectory(const std::string& path) override {
    return files_.SyncDirectory(path);
  }
  absl::Status Delete(const std::string& path) override { return files_.Delete(path); }
  absl::Status DeleteRecursively(const std::string& path) override {
    return files_.DeleteRecursively(path);
  }

 protected:
  FileSystem& files_;
};

}  // namespace weir
