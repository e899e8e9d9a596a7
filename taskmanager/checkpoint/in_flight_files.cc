#include "taskmanager/checkpoint/in_flight_files.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/little_endian.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_graph.pb.h"
#include "state/store/in_flight_edges.h"
#include "weir/hash.h"

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

absl::Status InFlightFiles::Read(const proto::Vertex& vertex, uint32_t subtask, TaskState& state) {
  for (OperatorState& of_node : state) {
    for (const proto::Edge& edge : graph_.edges()) {
      if (edge.to_node() != of_node.node) continue;
      WEIR_CHECK_EQ(graph_.nodes(static_cast<int>(of_node.node)).parallelism(),
                    vertex.parallelism());
      WEIR_RETURN_IF_ERROR(ReadEdge(edge, subtask, of_node));
    }
  }
  return absl::OkStatus();
}

absl::Status InFlightFiles::ReadEdge(const proto::Edge& edge, uint32_t subtask, OperatorState& to) {
  const proto::OperatorCheckpoint* const from_old = Find(edge.from_node());
  const proto::OperatorCheckpoint* const to_old = Find(edge.to_node());
  if (from_old == nullptr || to_old == nullptr) return absl::OkStatus();
  const proto::InFlightEdge* in_flight = FindInFlight(*to_old, graph_, edge.id());
  if (in_flight == nullptr) in_flight = FindInFlight(*from_old, graph_, edge.id());
  if (in_flight == nullptr) return absl::OkStatus();
  const bool same =
      !edge.chained() && edge.partitioning() == in_flight->partitioning() &&
      from_old->parallelism() == graph_.nodes(static_cast<int>(edge.from_node())).parallelism() &&
      to_old->parallelism() == graph_.nodes(static_cast<int>(edge.to_node())).parallelism();
  if (!same) {
    WEIR_ASSIGN_OR_RETURN(const OldEdge* old, ReadOld(edge, *in_flight));
    to.rewired.push_back(Divide(edge, *old, subtask));
    return absl::OkStatus();
  }
  Channels channels;
  WEIR_RETURN_IF_ERROR(ReadEnd(edge, /*sent=*/false, subtask, channels));
  WEIR_RETURN_IF_ERROR(ReadEnd(edge, /*sent=*/true, subtask, channels));
  for (auto& [channel, elements] : channels) {
    to.in_flight.push_back(
        {edge.id(), channel.second, subtask, /*sent=*/false, std::move(elements)});
  }
  return absl::OkStatus();
}

absl::StatusOr<const InFlightFiles::OldEdge*> InFlightFiles::ReadOld(
    const proto::Edge& edge, const proto::InFlightEdge& in_flight) {
  const auto [found, is_new] = old_.try_emplace(edge.id());
  OldEdge& old = found->second;
  if (!is_new) return &old;
  old.from = Find(edge.from_node());
  old.to = Find(edge.to_node());
  old.one_to_one = in_flight.partitioning() == proto::FORWARD;
  WEIR_RETURN_IF_ERROR(ReadEnd(edge, /*sent=*/false, std::nullopt, old.channels));
  WEIR_RETURN_IF_ERROR(ReadEnd(edge, /*sent=*/true, std::nullopt, old.channels));
  return &old;
}

OperatorState::Rewired InFlightFiles::Divide(const proto::Edge& edge, const OldEdge& old,
                                             uint32_t subtask) const {
  const uint32_t max_parallelism = graph_.max_parallelism();
  const uint32_t parallelism = graph_.nodes(static_cast<int>(edge.to_node())).parallelism();
  const uint32_t old_parallelism = old.to->parallelism();
  const KeyGroupRange own = KeyGroupRangeOf(subtask, max_parallelism, parallelism);
  OperatorState::Rewired rewired;
  rewired.edge = edge.id();
  for (const auto& [channel, elements] : old.channels) {
    const auto& [reader, sender] = channel;
    const KeyGroupRange groups = KeyGroupRangeOf(reader, max_parallelism, old_parallelism);
    bool takes = reader == subtask;
    if (edge.partitioning() == proto::HASH) {
      takes = groups.first <= own.last && own.first <= groups.last;
    } else if (edge.partitioning() == proto::BROADCAST) {
      takes = reader == subtask % old_parallelism;
    } else if (old.one_to_one) {
      takes = own.Contains(groups.first);
    } else if (parallelism != old_parallelism) {
      takes = (reader * old.from->parallelism() + sender) % parallelism == subtask;
    }
    if (takes) rewired.channels.push_back({groups, elements});
  }
  // That of the restored senders, who do not tell it again.
  rewired.watermark = kMaxTicks;
  for (const proto::SubtaskState& sender : old.from->subtasks()) {
    rewired.watermark = std::min<Ticks>(rewired.watermark, sender.watermark());
  }
  return rewired;
}

absl::Status InFlightFiles::ReadEnd(const proto::Edge& edge, bool sent,
                                    std::optional<uint32_t> reader, Channels& channels) {
  const proto::OperatorCheckpoint& old = *Find(sent ? edge.from_node() : edge.to_node());
  const std::string name = InFlightStateName(DescribeInFlight(graph_, edge.id()), sent);
  for (const proto::SubtaskState& of_subtask : old.subtasks()) {
    if (!sent && of_subtask.subtask() != reader.value_or(of_subtask.subtask())) continue;
    for (const uint32_t index : of_subtask.files()) {
      WEIR_ASSIGN_OR_RETURN(StateFileReader * file, open_(index));
      if (file == nullptr) continue;
      for (const StateFileReader::Section& section : file->sections()) {
        if (section.info.kind != StateKind::kInFlight || section.info.uid != old.uid() ||
            section.info.state != name) {
          continue;
        }
        for (const StateFileReader::Entry& entry : section.entries) {
          std::string bytes;
          WEIR_RETURN_IF_ERROR(file->Read(entry, bytes));
          if (bytes.size() < sizeof(uint32_t)) {
            return absl::DataLossError(
                StrCat("records in flight of operator '", old.uid(), "' without a channel"));
          }
          const auto peer = LoadLittleEndian<uint32_t>(bytes.data());
          const uint32_t readers = Find(edge.to_node())->parallelism();
          const uint32_t senders = Find(edge.from_node())->parallelism();
          if (peer >= (sent ? readers : senders)) {
            return absl::DataLossError(StrCat("records in flight between operator '", old.uid(),
                                              "' and a subtask ", peer, ", which there was not"));
          }
          const uint32_t to = sent ? peer : of_subtask.subtask();
          const uint32_t from = sent ? of_subtask.subtask() : peer;
          if (to != reader.value_or(to)) continue;
          channels[{to, from}].append(bytes, sizeof(uint32_t));
        }
      }
    }
  }
  return absl::OkStatus();
}

const proto::OperatorCheckpoint* InFlightFiles::Find(uint32_t node) const {
  const auto found = of_node_.find(node);
  return found == of_node_.end() ? nullptr : &found->second->checkpoint();
}

}  // namespace weir
