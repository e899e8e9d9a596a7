#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "weir/state_store.h"

namespace weir {

// Makes the state stores of one job in one process, where keyed state is not kept in memory alone.
// Thread safe; what it makes is not, and is used by one task's thread.
class StateBackend {
 public:
  virtual ~StateBackend() = default;
  // The store of one operator of one subtask, with nothing in it; once for each. `node`: index into
  // the graph's nodes. Outlives its columns; the backend outlives the store. May block.
  virtual absl::StatusOr<std::unique_ptr<StateStore>> Open(uint32_t node, uint32_t subtask) = 0;
};

}  // namespace weir
