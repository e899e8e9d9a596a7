#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/env/env.h"

namespace weir::jobmanager {

// The id of the cluster whose job manager keeps its files in `directory`: 32 hex digits, drawn when
// it is asked for the first time and the same ever after. Blocks. kDataLoss: the file that holds it
// is damaged.
absl::StatusOr<std::string> TakeClusterId(Env& env, const std::string& directory);

}  // namespace weir::jobmanager
