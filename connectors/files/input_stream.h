#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/env/file_system.h"

namespace weir {

// The content of a file from front to end, decompressed if it is gzip or zstd (told by its first
// bytes; a name that ends in .gz or .zst without them is an error, unless the file is empty).
// Several compressed streams one after the other are one content. All calls block. Owned by one
// thread at a time.
class InputStream {
 public:
  virtual ~InputStream() = default;

  // Opens `path` at `offset` bytes of its (decompressed) content. kDataLoss if it has fewer.
  static absl::StatusOr<std::unique_ptr<InputStream>> Open(FileSystem& files,
                                                           const std::string& path,
                                                           uint64_t offset);

  // Reads up to `size` bytes, at least one unless the content has ended (then 0). kDataLoss, with
  // the path, for compressed data that is damaged or cut off.
  virtual absl::StatusOr<size_t> Read(char* buffer, size_t size) = 0;
  // Bytes of the file itself, as on disk, that were read so far.
  virtual uint64_t file_bytes_read() const = 0;
  virtual bool compressed() const = 0;
};

}  // namespace weir
