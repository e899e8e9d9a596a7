#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace weir {

namespace proto {
class CheckpointMetadata;
class InFlightEdge;
class JobGraph;
}  // namespace proto

// How the edges of a graph are named in a checkpoint that has records in flight.

// `edge`: index into the graph's edges.
proto::InFlightEdge DescribeInFlight(const proto::JobGraph& graph, uint32_t edge);
// The name of the section of a state file with what one end of the edge has, the sender's or the
// reader's.
std::string InFlightStateName(const proto::InFlightEdge& edge, bool sent);
bool HasInFlight(const proto::CheckpointMetadata& metadata);
// kFailedPrecondition, with what to do about it, if records in flight have no place in the graph:
// their edge is gone, carries other records, or has another parallelism. The metadata is valid.
absl::Status CheckInFlightFits(const proto::CheckpointMetadata& metadata,
                               const proto::JobGraph& graph);

}  // namespace weir
