#include "taskmanager/checkpoint/in_flight_files.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/base/little_endian.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_graph.pb.h"
#include "state/store/in_flight_edges.h"

namespace weir {

bool HasInFlight(const TaskState& state) {
  return std::any_of(state.begin(), state.end(),
                     [](const OperatorState& op) { return !op.in_flight.empty(); });
}

absl::Status WriteInFlight(StateFileWriter& writer, const proto::JobGraph& graph,
                           const OperatorState& state, proto::TaskSnapshot_OperatorSnapshot& told) {
  std::map<std::pair<uint32_t, bool>, std::vector<const OperatorState::InFlight*>> sections;
  for (const OperatorState::InFlight& in_flight : state.in_flight) {
    sections[{in_flight.edge, in_flight.sent}].push_back(&in_flight);
  }
  for (const auto& [section, channels] : sections) {
    const auto& [edge, sent] = section;
    proto::InFlightEdge described = DescribeInFlight(graph, edge);
    WEIR_RETURN_IF_ERROR(writer.BeginSection({sent ? described.from_uid() : described.to_uid(),
                                              InFlightStateName(described, sent), described.type(),
                                              StateKind::kInFlight}));
    for (const OperatorState::InFlight* channel : channels) {
      std::string peer;
      AppendLittleEndian(peer, sent ? channel->to_subtask : channel->from_subtask);
      WEIR_RETURN_IF_ERROR(writer.BeginItem());
      WEIR_RETURN_IF_ERROR(writer.Append(peer));
      WEIR_RETURN_IF_ERROR(writer.Append(channel->elements));
    }
    *told.add_in_flight() = std::move(described);
  }
  return absl::OkStatus();
}

absl::Status InFlightFiles::Read(const proto::Vertex& vertex, uint32_t subtask,
                                 OperatorState& head) {
  Channels channels;
  for (const proto::Edge& edge : graph_.edges()) {
    if (edge.chained() || edge.to_node() != vertex.nodes(0)) continue;
    WEIR_RETURN_IF_ERROR(ReadEdge(edge, /*sent=*/false, subtask, channels));
    WEIR_RETURN_IF_ERROR(ReadEdge(edge, /*sent=*/true, subtask, channels));
  }
  for (auto& [channel, elements] : channels) {
    head.in_flight.push_back(
        {channel.first, channel.second, subtask, /*sent=*/false, std::move(elements)});
  }
  return absl::OkStatus();
}

absl::Status InFlightFiles::ReadEdge(const proto::Edge& edge, bool sent, uint32_t subtask,
                                     Channels& channels) {
  const auto end = of_node_.find(sent ? edge.from_node() : edge.to_node());
  if (end == of_node_.end()) return absl::OkStatus();
  const proto::OperatorCheckpoint& old = end->second->checkpoint();
  if (old.in_flight_size() == 0) return absl::OkStatus();
  const std::string name = InFlightStateName(DescribeInFlight(graph_, edge.id()), sent);
  for (const proto::SubtaskState& of_subtask : old.subtasks()) {
    if (!sent && of_subtask.subtask() != subtask) continue;
    for (const uint32_t file : of_subtask.files()) {
      WEIR_ASSIGN_OR_RETURN(StateFileReader * reader, open_(file));
      if (reader == nullptr) continue;
      for (const StateFileReader::Section& section : reader->sections()) {
        if (section.info.kind != StateKind::kInFlight || section.info.uid != old.uid() ||
            section.info.state != name) {
          continue;
        }
        for (const StateFileReader::Entry& entry : section.entries) {
          std::string bytes;
          WEIR_RETURN_IF_ERROR(reader->Read(entry, bytes));
          if (bytes.size() < sizeof(uint32_t)) {
            return absl::DataLossError(
                StrCat("records in flight of operator '", old.uid(), "' without a channel"));
          }
          const auto peer = LoadLittleEndian<uint32_t>(bytes.data());
          if (sent && peer != subtask) continue;
          channels[{edge.id(), sent ? of_subtask.subtask() : peer}].append(bytes, sizeof(uint32_t));
        }
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace weir
