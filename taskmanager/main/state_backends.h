#pragma once

#include <memory>
#include <string>

#include "common/config/settings.h"
#include "state/backend/state_backend.h"

namespace weir {

// State in RocksDB, in files below `folder`, as the job's settings say. Does not block.
std::unique_ptr<StateBackend> MakeRocksDb(const Settings& settings, const std::string& folder);

}  // namespace weir
