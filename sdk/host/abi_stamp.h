#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace weir {

// What the ELF section ".weir_abi" of a plugin says (docs/FORMATS.md).
struct AbiStampInfo {
  uint32_t abi = 0;
  std::string fingerprint;
};

// Reads exactly `size` bytes at `offset`; an error otherwise. Called only with ranges inside the
// file.
using ReadBytes = std::function<absl::Status(uint64_t offset, size_t size, char* out)>;

// Finds the stamp in a file of `file_size` bytes that comes from outside: every offset and size is
// checked before it is used, and no more than a few MiB are read. kInvalidArgument says what the
// file is instead ("it is a text file"); the caller adds its name.
absl::StatusOr<AbiStampInfo> ParseAbiStamp(uint64_t file_size, const ReadBytes& read);

// As above, of a file. kNotFound and the like name the path. Blocks.
absl::StatusOr<AbiStampInfo> ReadAbiStamp(const std::string& path);

// OK if a plugin with this stamp may be loaded by this build, otherwise kInvalidArgument with both
// sides.
absl::Status CheckAbiStamp(const AbiStampInfo& stamp);

}  // namespace weir
