#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace weir {

namespace proto {
class CheckpointMetadata;
class InFlightEdge;
class JobGraph;
class OperatorCheckpoint;
}  // namespace proto

// How the edges of a graph are named in a checkpoint that has records in flight.

// `edge`: index into the graph's edges.
proto::InFlightEdge DescribeInFlight(const proto::JobGraph& graph, uint32_t edge);
// The name of the section of a state file with what one end of the edge has, the sender's or the
// reader's.
std::string InFlightStateName(const proto::InFlightEdge& edge, bool sent);
// What the operator says of an edge of the graph that it is an end of; null: nothing was in flight
// at this end.
const proto::InFlightEdge* FindInFlight(const proto::OperatorCheckpoint& of_operator,
                                        const proto::JobGraph& graph, uint32_t edge);
bool HasInFlight(const proto::CheckpointMetadata& metadata);
// kFailedPrecondition, with what to do about it, if records in flight have no place in the graph:
// their edge is gone, carries other records, or deals them out in another way. The parallelism may
// be another. The metadata is valid; kDataLoss if it lacks an end of such an edge.
absl::Status CheckInFlightFits(const proto::CheckpointMetadata& metadata,
                               const proto::JobGraph& graph);

}  // namespace weir
