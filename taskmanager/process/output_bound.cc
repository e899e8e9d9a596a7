#include "taskmanager/process/output_bound.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

namespace weir {
namespace {

constexpr uint64_t kDiskBlockBytes = 512;  // of st_blocks, whatever the file system's are

}  // namespace

absl::Status KeepEndOfFile(int fd, uint64_t max_bytes) {
  struct stat info = {};
  if (fstat(fd, &info) != 0) return absl::ErrnoToStatus(errno, "fstat");
  const auto size = static_cast<uint64_t>(info.st_size);
  const uint64_t on_disk = static_cast<uint64_t>(info.st_blocks) * kDiskBlockBytes;
  if (size <= max_bytes || on_disk < max_bytes + max_bytes / 8) return absl::OkStatus();
  if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                static_cast<off_t>(size - max_bytes)) == 0) {
    return absl::OkStatus();
  }
  if (errno == EOPNOTSUPP) {
    return absl::UnimplementedError("the file system cannot give back a part of a file");
  }
  return absl::ErrnoToStatus(errno, "fallocate");
}

}  // namespace weir
