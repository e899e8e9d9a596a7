#include "state/snapshot/storage_error.h"

#include "common/base/strings.h"

namespace weir {
namespace {

std::string_view WhatToDo(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kPermissionDenied:
      return "; the users that run the job manager and the task managers must be able to read and "
             "write there, and it must not be mounted read-only";
    case absl::StatusCode::kResourceExhausted:
      return "; make room there, or set execution.checkpointing.dir to where there is more";
    case absl::StatusCode::kNotFound:
      return "; if its folder is gone, see whether the file system is mounted on this host and "
             "execution.checkpointing.dir names it";
    case absl::StatusCode::kUnavailable:
      return "; see whether the disk or the mounted file system is healthy";
    default:
      return "";
  }
}

}  // namespace

absl::Status StorageError(const absl::Status& status, std::string_view doing) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      StrCat(doing, ": ", ToStd(status.message()), WhatToDo(status.code())));
}

}  // namespace weir
