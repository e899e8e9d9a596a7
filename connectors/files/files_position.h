#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "connectors/files/input_listing.h"

namespace weir {

// Where a source subtask is: what SnapshotPosition writes (docs/FORMATS.md). At most kMaxInputFiles
// paths and one header line.
struct FilesPosition {
  // What is still to be read; the first file from `offset` on.
  std::vector<InputFile> files;
  // Bytes of the first file's (decompressed) content that were read, and the number of the line
  // there, from 1.
  uint64_t offset = 0;
  uint64_t line = 1;
  // The header line of the first file, once it was read.
  bool has_header = false;
  std::string header;

  std::string Encode() const;
  // kDataLoss unless `text` is exactly what Encode wrote.
  static absl::StatusOr<FilesPosition> Decode(std::string_view text);
};

}  // namespace weir
