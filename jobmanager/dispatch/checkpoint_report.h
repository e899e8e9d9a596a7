#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "jobmanager/checkpoint/checkpoint_statistics.h"

namespace weir::proto {
class JobCheckpointsResponse;
class JobGraph;
}  // namespace weir::proto

namespace weir::jobmanager {

// What clients are told of a job's checkpoints: all of them without their subtasks, or with `id`
// not 0 that one with them. kNotFound: it is not known, or not any more. Pure.
absl::StatusOr<proto::JobCheckpointsResponse> ReportCheckpoints(const CheckpointsView& view,
                                                                const proto::JobGraph& graph,
                                                                uint64_t id);

}  // namespace weir::jobmanager
