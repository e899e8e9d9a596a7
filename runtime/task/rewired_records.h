#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/task_state.h"
#include "weir/graph.h"
#include "weir/operator.h"
#include "weir/record_type.h"

namespace weir {

// Which of the records of an edge a task reads.
struct RecordOwner {
  const RecordType* type = nullptr;
  // Null: all that it is given. Otherwise those of `key_groups`.
  const KeyHasher* hasher = nullptr;
  KeyGroupRange key_groups;
  uint32_t max_parallelism = 128;
};

// Of records that were in flight, those that are the owner's, in their order and without
// watermarks, as runtime/exchange/in_flight.h says. Has the job's code decode and hash keyed ones.
// kDataLoss: they are damaged; kFailedPrecondition: their key is another now.
absl::StatusOr<std::string> OwnRecords(const OperatorState::Rewired& rewired,
                                       const RecordOwner& owner);

}  // namespace weir
