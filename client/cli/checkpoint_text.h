#pragma once

#include <string>

namespace weir {

namespace proto {
class JobCheckpointsResponse;
}  // namespace proto

// The checkpoints of a job for people and for programs, from what the job manager tells of all of
// them. What does not make sense is shown as far as it does. All pure.

// How many there were, what the job started from, and a table, newest first.
std::string CheckpointsText(const proto::JobCheckpointsResponse& checkpoints);
// One of them, the only one in `checkpoints`, and a table of its subtasks.
std::string CheckpointText(const proto::JobCheckpointsResponse& checkpoints);
// Either; times in fractions of milliseconds.
std::string CheckpointsJson(const proto::JobCheckpointsResponse& checkpoints);

}  // namespace weir
