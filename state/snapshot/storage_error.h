#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace weir {

// An error of the file system on its way up: the same code, what was being done (`doing`, as in
// "writing the state file 'x'"), what happened, and what to do about it where that is known. OK
// stays OK.
absl::Status StorageError(const absl::Status& status, std::string_view doing);

}  // namespace weir
