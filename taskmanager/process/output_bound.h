#pragma once

#include <cstdint>

#include "absl/status/status.h"

namespace weir {

// Gives back the disk space of all but about the last `max_bytes` of the file that `fd` is open for
// writing on: no byte at its end is touched, and whoever appends to it goes on undisturbed. What
// was before reads as zeros, and the file's size stays. kUnimplemented where the file system has no
// holes. A file a little above `max_bytes` is left as it is: the work is done for an eighth of it
// at least.
absl::Status KeepEndOfFile(int fd, uint64_t max_bytes);

}  // namespace weir
