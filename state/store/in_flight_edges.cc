#include "state/store/in_flight_edges.h"

#include <algorithm>

#include "common/base/strings.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_graph.pb.h"

namespace weir {
namespace {

std::string TypeText(const proto::RecordSchema& schema) {
  std::string text = StrCat(schema.type_name(), "{");
  for (int i = 0; i < schema.fields_size(); ++i) {
    text += StrCat(i == 0 ? "" : ",", schema.fields(i).name(), ":", schema.fields(i).type());
  }
  return text + "}";
}

bool SameEnds(const proto::Edge& a, const proto::Edge& b) {
  return a.from_node() == b.from_node() && a.from_port() == b.from_port() &&
         a.to_node() == b.to_node() && a.to_input() == b.to_input();
}

const proto::OperatorCheckpoint* Find(const proto::CheckpointMetadata& metadata,
                                      const std::string& uid) {
  const auto found = std::find_if(metadata.operators().begin(), metadata.operators().end(),
                                  [&](const auto& op) { return op.uid() == uid; });
  return found == metadata.operators().end() ? nullptr : &*found;
}

absl::Status CheckEdge(const proto::CheckpointMetadata& metadata, const proto::JobGraph& graph,
                       const proto::InFlightEdge& in_flight) {
  const std::string what = StrCat("the checkpoint holds records in flight from operator '",
                                  in_flight.from_uid(), "' to '", in_flight.to_uid(), "'");
  constexpr std::string_view kAdvice =
      ": start from a savepoint, which holds none, or from a checkpoint that was aligned";
  for (const proto::Edge& edge : graph.edges()) {
    const proto::InFlightEdge candidate = DescribeInFlight(graph, edge.id());
    if (InFlightStateName(candidate, true) != InFlightStateName(in_flight, true) ||
        candidate.from_uid() != in_flight.from_uid() || edge.chained()) {
      continue;
    }
    if (candidate.type() != in_flight.type()) {
      return absl::FailedPreconditionError(StrCat(what, " of the type ", in_flight.type(),
                                                  "; the job's are ", candidate.type(), kAdvice));
    }
    if (candidate.partitioning() != in_flight.partitioning()) {
      return absl::FailedPreconditionError(
          StrCat(what, ", which are dealt out in another way in the job", kAdvice));
    }
    for (const uint32_t node : {edge.from_node(), edge.to_node()}) {
      const proto::Node& end = graph.nodes(static_cast<int>(node));
      const proto::OperatorCheckpoint* old = Find(metadata, end.uid());
      if (old != nullptr && old->parallelism() == end.parallelism()) continue;
      return absl::FailedPreconditionError(StrCat(
          what, ", and cannot be restored with operator '", end.uid(), "' at parallelism ",
          end.parallelism(), " instead of ", old == nullptr ? 0 : old->parallelism(), kAdvice));
    }
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      StrCat(what, ", an edge that the job does not have", kAdvice));
}

}  // namespace

proto::InFlightEdge DescribeInFlight(const proto::JobGraph& graph, uint32_t edge) {
  const proto::Edge& described = graph.edges(static_cast<int>(edge));
  const proto::Node& from = graph.nodes(static_cast<int>(described.from_node()));
  proto::InFlightEdge result;
  result.set_from_uid(from.uid());
  result.set_from_port(described.from_port());
  result.set_to_uid(graph.nodes(static_cast<int>(described.to_node())).uid());
  result.set_to_input(described.to_input());
  result.set_ordinal(static_cast<uint32_t>(
      std::count_if(graph.edges().begin(), graph.edges().begin() + static_cast<int>(edge),
                    [&](const proto::Edge& other) { return SameEnds(other, described); })));
  result.set_type(TypeText(from.outputs(static_cast<int>(described.from_port())).schema()));
  result.set_partitioning(described.partitioning());
  return result;
}

std::string InFlightStateName(const proto::InFlightEdge& edge, bool sent) {
  return sent ? StrCat("sent ", edge.from_port(), " ", edge.to_input(), " ", edge.ordinal(), " ",
                       edge.to_uid())
              : StrCat("received ", edge.from_port(), " ", edge.to_input(), " ", edge.ordinal(),
                       " ", edge.from_uid());
}

bool HasInFlight(const proto::CheckpointMetadata& metadata) {
  return std::any_of(metadata.operators().begin(), metadata.operators().end(),
                     [](const auto& op) { return op.in_flight_size() > 0; });
}

absl::Status CheckInFlightFits(const proto::CheckpointMetadata& metadata,
                               const proto::JobGraph& graph) {
  for (const proto::OperatorCheckpoint& op : metadata.operators()) {
    for (const proto::InFlightEdge& edge : op.in_flight()) {
      if (absl::Status fits = CheckEdge(metadata, graph, edge); !fits.ok()) return fits;
    }
  }
  return absl::OkStatus();
}

}  // namespace weir
