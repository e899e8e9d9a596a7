#include "common/env/sim/sim_file_system.h"

#include <algorithm>
#include <cstring>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/env/sim/sim_disk.h"
#include "common/env/sim/sim_env.h"

namespace weir {
namespace {

// "/a/b": one leading slash, none at the end, none doubled, no ".".
std::string Normalized(const std::string& path) {
  std::string normal;
  size_t begin = 0;
  while (begin < path.size()) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = std::string_view(path).substr(begin, end - begin);
    if (!part.empty() && part != ".") normal.append("/").append(part);
    begin = end + 1;
  }
  return normal.empty() ? "/" : normal;
}

absl::Status Check(const SimEnv& env, const SimDisk& disk, std::string_view operation,
                   const std::string& path) {
  if (!env.alive()) {
    return absl::UnavailableError(
        StrCat(operation, " of '", path, "': the process '", env.name(), "' is dead"));
  }
  return disk.CheckFault(operation, path);
}

class SimRandomAccessFile final : public RandomAccessFile {
 public:
  SimRandomAccessFile(SimEnv& env, SimDisk& disk, std::string path,
                      std::shared_ptr<SimDisk::Inode> inode)
      : env_(env), disk_(disk), path_(std::move(path)), inode_(std::move(inode)) {}

  absl::StatusOr<size_t> ReadAt(uint64_t offset, size_t size, char* buffer) override {
    WEIR_RETURN_IF_ERROR(Check(env_, disk_, "read", path_));
    const std::string& data = inode_->data;
    if (offset >= data.size()) return 0;
    const size_t got = std::min<size_t>(size, data.size() - offset);
    std::memcpy(buffer, data.data() + offset, got);
    return got;
  }
  absl::StatusOr<uint64_t> Size() override {
    WEIR_RETURN_IF_ERROR(Check(env_, disk_, "stat", path_));
    return inode_->data.size();
  }

 private:
  SimEnv& env_;
  SimDisk& disk_;
  const std::string path_;
  const std::shared_ptr<SimDisk::Inode> inode_;
};

class SimWritableFile final : public WritableFile {
 public:
  SimWritableFile(SimEnv& env, SimDisk& disk, std::string path,
                  std::shared_ptr<SimDisk::Inode> inode)
      : env_(env), disk_(disk), path_(std::move(path)), inode_(std::move(inode)) {}

  absl::Status Append(std::string_view data) override {
    WEIR_RETURN_IF_ERROR(CheckOpen("append"));
    return disk_.Append(*inode_, path_, data, env_.clock().Now());
  }
  absl::Status Sync() override {
    WEIR_RETURN_IF_ERROR(CheckOpen("sync"));
    inode_->synced = inode_->data;
    return absl::OkStatus();
  }
  absl::Status Close() override {
    WEIR_RETURN_IF_ERROR(CheckOpen("close"));
    closed_ = true;
    return absl::OkStatus();
  }

 private:
  absl::Status CheckOpen(std::string_view operation) const {
    if (closed_) {
      return absl::FailedPreconditionError(StrCat("writing '", path_, "': it has been closed"));
    }
    return Check(env_, disk_, operation, path_);
  }

  SimEnv& env_;
  SimDisk& disk_;
  const std::string path_;
  const std::shared_ptr<SimDisk::Inode> inode_;
  bool closed_ = false;
};

}  // namespace

SimDisk& SimFileSystem::DiskOf(const std::string& path) const {
  SimDisk* const shared = env_.world().SharedDiskOf(path);
  return shared != nullptr ? *shared : disk_;
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> SimFileSystem::OpenForRead(
    const std::string& path) {
  const std::string normal = Normalized(path);
  SimDisk& disk = DiskOf(normal);
  WEIR_RETURN_IF_ERROR(Check(env_, disk, "open", normal));
  WEIR_ASSIGN_OR_RETURN(auto inode, disk.Open(normal));
  return std::make_unique<SimRandomAccessFile>(env_, disk, normal, std::move(inode));
}

absl::StatusOr<std::unique_ptr<WritableFile>> SimFileSystem::OpenForWrite(const std::string& path,
                                                                          WriteMode mode) {
  const std::string normal = Normalized(path);
  SimDisk& disk = DiskOf(normal);
  WEIR_RETURN_IF_ERROR(Check(env_, disk, "create", normal));
  WEIR_ASSIGN_OR_RETURN(auto inode, disk.Create(normal, mode, env_.clock().Now()));
  return std::make_unique<SimWritableFile>(env_, disk, normal, std::move(inode));
}

absl::StatusOr<FileInfo> SimFileSystem::Stat(const std::string& path) {
  const std::string normal = Normalized(path);
  SimDisk& disk = DiskOf(normal);
  WEIR_RETURN_IF_ERROR(Check(env_, disk, "stat", normal));
  WEIR_ASSIGN_OR_RETURN(FileInfo info, disk.Stat(normal));
  info.path = path;
  return info;
}

absl::StatusOr<std::vector<FileInfo>> SimFileSystem::List(const std::string& directory) {
  const std::string normal = Normalized(directory);
  SimDisk& disk = DiskOf(normal);
  WEIR_RETURN_IF_ERROR(Check(env_, disk, "list", normal));
  return disk.List(normal);
}

absl::Status SimFileSystem::CreateDirectories(const std::string& path) {
  const std::string normal = Normalized(path);
  SimDisk& disk = DiskOf(normal);
  WEIR_RETURN_IF_ERROR(Check(env_, disk, "mkdir", normal));
  return disk.CreateDirectories(normal);
}

absl::Status SimFileSystem::Rename(const std::string& from, const std::string& to) {
  const std::string normal = Normalized(from);
  SimDisk& disk = DiskOf(normal);
  WEIR_RETURN_IF_ERROR(Check(env_, disk, "rename", normal));
  return disk.Rename(normal, Normalized(to));
}

absl::Status SimFileSystem::SyncDirectory(const std::string& path) {
  const std::string normal = Normalized(path);
  SimDisk& disk = DiskOf(normal);
  WEIR_RETURN_IF_ERROR(Check(env_, disk, "sync", normal));
  return disk.SyncDirectory(normal);
}

absl::Status SimFileSystem::Delete(const std::string& path) {
  const std::string normal = Normalized(path);
  SimDisk& disk = DiskOf(normal);
  WEIR_RETURN_IF_ERROR(Check(env_, disk, "delete", normal));
  return disk.Delete(normal);
}

absl::Status SimFileSystem::DeleteRecursively(const std::string& path) {
  const std::string normal = Normalized(path);
  SimDisk& disk = DiskOf(normal);
  WEIR_RETURN_IF_ERROR(Check(env_, disk, "delete", normal));
  return disk.DeleteRecursively(normal);
}

}  // namespace weir
