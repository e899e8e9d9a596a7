#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/env/file_system.h"
#include "weir/committer.h"

namespace weir {

// A finished file that is durable under a hidden name: where it is and where it shall be.
struct FileCommittable {
  std::string hidden;
  std::string visible;
  uint64_t bytes = 0;
  // Takes the place of a file that has its name already.
  bool replaces = false;

  friend bool operator==(const FileCommittable&, const FileCommittable&) = default;
};
// docs/FORMATS.md, "Committables".
std::string EncodeCommittable(const FileCommittable& file);
// kDataLoss if it is anything else.
absl::StatusOr<FileCommittable> DecodeCommittable(std::string_view bytes);

// Gives finished files their visible names: by a rename within one file system, then a sync of the
// folders. A file that has its visible name already is done. Used by one thread at a time.
class FilesCommitter final : public Committer {
 public:
  // Counts files that were ready in a checkpoint and now have neither name: committed by an earlier
  // attempt and taken away by somebody since.
  using Vanished = std::shared_ptr<std::atomic<uint64_t>>;

  // `files` outlives it.
  FilesCommitter(FileSystem& files, Vanished vanished)
      : files_(files), vanished_(std::move(vanished)) {}

  std::string type() const override { return "files.1"; }
  // kAlreadyExists: another file has the visible name. kDataLoss: one is gone before it was ever
  // committed. Others are the file system's.
  absl::Status Commit(const std::vector<Committable>& committables) override;

 private:
  absl::Status CommitOne(const FileCommittable& file, bool again);

  FileSystem& files_;
  const Vanished vanished_;
};

}  // namespace weir
