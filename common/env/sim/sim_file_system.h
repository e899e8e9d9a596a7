#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/env/file_system.h"

namespace weir {

class SimDisk;
class SimEnv;

// A simulated process's view of its host's disk and of the folders that all hosts share. All calls of a process that is dead fail with
// kUnavailable and change nothing. Paths without a leading slash are taken from the root.
class SimFileSystem final : public FileSystem {
 public:
  SimFileSystem(SimEnv& env, SimDisk& disk) : env_(env), disk_(disk) {}

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

 private:
  // The one that holds a normalized path.
  SimDisk& DiskOf(const std::string& path) const;

  SimEnv& env_;
  SimDisk& disk_;
};

}  // namespace weir
