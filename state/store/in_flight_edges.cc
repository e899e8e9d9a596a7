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

bool SameEdge(const proto::InFlightEdge& a, const proto::InFlightEdge& b) {
  return a.from_uid() == b.from_uid() && InFlightStateName(a, true) == InFlightStateName(b, true);
}

const proto::OperatorCheckpoint* Find(const proto::CheckpointMetadata& metadata,
                                      const std::string& uid) {
  const auto found = std::find_if(metadata.operators().begin(), metadata.operators().end(),
                                  [&](const auto& op) { return op.uid() == uid; });
  return found == metadata.operators().end() ? nullptr : &*found;
}

// Without a key, it depends on the parallelism of the ends which of the two it is.
bool SameDivision(proto::Partitioning a, proto::Partitioning b) {
  const auto plain = [](proto::Partitioning partitioning) {
    return partitioning == proto::FORWARD || partitioning == proto::REBALANCE;
  };
  return a == b || (plain(a) && plain(b));
}

absl::Status CheckEdge(const proto::CheckpointMetadata& metadata, const proto::JobGraph& graph,
                       const proto::InFlightEdge& in_flight) {
  const std::string what = StrCat("the checkpoint holds records in flight from operator '",
                                  in_flight.from_uid(), "' to '", in_flight.to_uid(), "'");
  constexpr std::string_view kAdvice =
      ": start from a savepoint, which holds none, or from a checkpoint that was aligned";
  for (const proto::Edge& edge : graph.edges()) {
    const proto::InFlightEdge candidate = DescribeInFlight(graph, edge.id());
    if (!SameEdge(candidate, in_flight)) continue;
    if (candidate.type() != in_flight.type()) {
      return absl::FailedPreconditionError(StrCat(what, " of the type ", in_flight.type(),
                                                  "; the job's are ", candidate.type(), kAdvice));
    }
    if (!SameDivision(candidate.partitioning(), in_flight.partitioning())) {
      return absl::FailedPreconditionError(
          StrCat(what, ", which are dealt out in another way in the job", kAdvice));
    }
    for (const uint32_t node : {edge.from_node(), edge.to_node()}) {
      const std::string& uid = graph.nodes(static_cast<int>(node)).uid();
      if (Find(metadata, uid) != nullptr) continue;
      return absl::DataLossError(StrCat(what, ", and nothing of operator '", uid, "' itself"));
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

const proto::InFlightEdge* FindInFlight(const proto::OperatorCheckpoint& of_operator,
                                        const proto::JobGraph& graph, uint32_t edge) {
  const proto::InFlightEdge wanted = DescribeInFlight(graph, edge);
  const auto found =
      std::find_if(of_operator.in_flight().begin(), of_operator.in_flight().end(),
                   [&](const auto& in_flight) { return SameEdge(in_flight, wanted); });
  return found == of_operator.in_flight().end() ? nullptr : &*found;
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
