#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/env/env.h"
#include "common/hash/sha256.h"

namespace weir::jobmanager {

class BlobStore;

// One upload: a temporary file that becomes a blob by Commit, or leaves nothing behind. The
// executor's of its store, which outlives it.
class BlobWriter {
 public:
  ~BlobWriter();

  // kInvalidArgument if more comes than was announced; errors of the disk.
  absl::Status Append(std::string_view data);
  // Checks length and digest, syncs, and gives the file its name. kInvalidArgument if the bytes are
  // not what was announced.
  absl::Status Commit();

 private:
  friend class BlobStore;
  BlobWriter(BlobStore& store, std::string sha256, uint64_t bytes, std::string path,
             std::unique_ptr<WritableFile> file);

  BlobStore& store_;
  const std::string sha256_;
  const uint64_t bytes_;
  const std::string path_;
  std::unique_ptr<WritableFile> file_;
  Sha256 hash_;
  uint64_t written_ = 0;
  bool committed_ = false;
};

// Plugins by the sha256 of their bytes: <directory>/blobs/<64 hex digits>. A blob is whole and
// durable when it has its name, and is never changed. Blobs that nothing pins are deleted, the one
// unused for longest first, when together they are larger than `max_idle_bytes`.
//
// All calls block. Owned by one IO executor.
class BlobStore {
 public:
  BlobStore(Env& env, std::string directory, uint64_t max_idle_bytes = 2ull << 30);

  // Makes the folders, removes what unfinished uploads left, and finds the blobs.
  absl::Status Open();

  bool Contains(const std::string& sha256) const { return blobs_.contains(sha256); }
  // While a blob is pinned it is not deleted; one may be pinned before it is there. Pins count.
  void Pin(const std::string& sha256);
  void Unpin(const std::string& sha256);
  // `sha256` has passed IsSha256Hex.
  absl::StatusOr<std::unique_ptr<BlobWriter>> NewWriter(const std::string& sha256, uint64_t bytes);
  // kNotFound if it is not there.
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenForRead(const std::string& sha256);

 private:
  friend class BlobWriter;
  struct Blob {
    uint64_t bytes = 0;
    // Grows with each use.
    uint64_t last_use = 0;
  };

  std::string BlobPath(const std::string& sha256) const;
  absl::Status Install(BlobWriter& writer);
  void Trim();

  Env& env_;
  const std::string blobs_directory_;
  const std::string uploads_directory_;
  const uint64_t max_idle_bytes_;
  std::map<std::string, Blob> blobs_;
  std::map<std::string, uint32_t> pins_;
  uint64_t uses_ = 0;
};

}  // namespace weir::jobmanager
