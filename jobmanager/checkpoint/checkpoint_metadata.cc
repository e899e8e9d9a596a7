#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "common/base/check.h"
#include "common/base/strings.h"
#include "common/base/version.h"
#include "jobmanager/checkpoint/pending_checkpoint.h"
#include "jobmanager/checkpoint/state_files.h"
#include "proto/checkpoint.pb.h"
#include "state/store/in_flight_edges.h"

namespace weir::jobmanager {
namespace {

using Snapshots = std::vector<std::shared_ptr<const proto::TaskSnapshot>>;

// The files that operators refer to, by name.
class FileTable {
 public:
  // In a savepoint shared files are copies in its own folder.
  explicit FileTable(bool savepoint) : savepoint_(savepoint) {}

  absl::Status Add(const proto::TaskSnapshot& snapshot) {
    for (const auto& operator_state : snapshot.operators()) {
      for (const uint32_t index : operator_state.files()) {
        const proto::StateFile& file = snapshot.files(static_cast<int>(index));
        const auto [known, inserted] = files_.try_emplace(file.name(), Entry{&file, 0});
        const proto::StateFile& other = *known->second.file;
        if (!inserted && (other.bytes() != file.bytes() || other.digest() != file.digest())) {
          return absl::DataLossError(StrCat("state file '", file.name(), "' was told of with ",
                                            other.bytes(), " and with ", file.bytes(),
                                            " bytes, or with two digests"));
        }
      }
    }
    return absl::OkStatus();
  }

  void WriteTo(proto::CheckpointMetadata& metadata) {
    for (auto& [name, entry] : files_) {
      entry.index = static_cast<uint32_t>(metadata.files_size());
      proto::StateFile& file = *metadata.add_files();
      file = *entry.file;
      if (savepoint_ && IsShared(name)) file.set_name(SavepointFileName(name));
    }
  }
  uint32_t IndexOf(const std::string& name) const { return files_.at(name).index; }

 private:
  const bool savepoint_;
  struct Entry {
    const proto::StateFile* file;
    uint32_t index;
  };
  std::map<std::string_view, Entry> files_;
};

const proto::TaskSnapshot::OperatorSnapshot* FindOperator(const proto::TaskSnapshot& snapshot,
                                                          uint32_t node) {
  for (const auto& operator_state : snapshot.operators()) {
    if (operator_state.node() == node) return &operator_state;
  }
  return nullptr;
}

std::string Describe(const proto::StateDescriptor& state) {
  return StrCat(state.type(), ", ", proto::StateDivision_Name(state.division()));
}

// One node, in the subtasks of its vertex.
absl::Status FillOperator(const proto::Node& node, const Snapshots& snapshots, size_t first_task,
                          uint32_t parallelism, const FileTable& files,
                          proto::OperatorCheckpoint& result) {
  result.set_uid(node.uid());
  result.set_operator_id(node.operator_id());
  result.set_parallelism(parallelism);
  std::map<std::string_view, const proto::StateDescriptor*> states;
  std::set<std::string> in_flight;
  for (uint32_t i = 0; i < parallelism; ++i) {
    const proto::TaskSnapshot& snapshot = *snapshots[first_task + i];
    proto::SubtaskState* subtask = result.add_subtasks();
    subtask->set_subtask(i);
    subtask->set_finished(snapshot.final());
    subtask->set_watermark(std::numeric_limits<int64_t>::min());
    const auto* told = FindOperator(snapshot, node.id());
    if (told == nullptr) continue;  // It has no state.
    subtask->set_bytes(told->bytes());
    subtask->set_watermark(told->watermark());
    for (const uint32_t index : told->files()) {
      subtask->add_files(files.IndexOf(snapshot.files(static_cast<int>(index)).name()));
    }
    for (const proto::InFlightEdge& edge : told->in_flight()) {
      std::string key = StrCat(InFlightStateName(edge, edge.from_uid() == node.uid()), "\n",
                               edge.from_uid(), "\n", edge.to_uid());
      if (in_flight.insert(std::move(key)).second) *result.add_in_flight() = edge;
    }
    for (const proto::StateDescriptor& state : told->states()) {
      const auto [known, inserted] = states.try_emplace(state.name(), &state);
      const proto::StateDescriptor& other = *known->second;
      if (other.type() != state.type() || other.division() != state.division()) {
        return absl::DataLossError(StrCat("state '", state.name(), "' of operator '", node.uid(),
                                          "' is ", Describe(other), " in one subtask and ",
                                          Describe(state), " in subtask ", i));
      }
    }
  }
  for (const auto& [name, state] : states) *result.add_states() = *state;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const proto::CheckpointMetadata>> BuildMetadata(
    const proto::JobGraph& graph, const CheckpointHeader& header, const Snapshots& snapshots) {
  auto metadata = std::make_shared<proto::CheckpointMetadata>();
  metadata->set_job_id(header.job_id);
  metadata->set_job_name(header.job_name);
  metadata->set_checkpoint_id(header.checkpoint_id);
  metadata->set_kind(IsSavepoint(header.kind) ? proto::SAVEPOINT : proto::CHECKPOINT);
  metadata->set_triggered_unix_micros(header.triggered_unix_micros);
  metadata->set_completed_unix_micros(header.completed_unix_micros);
  metadata->set_weir_version(std::string(kVersion));
  metadata->set_max_parallelism(graph.max_parallelism());

  FileTable files(IsSavepoint(header.kind));
  for (const auto& snapshot : snapshots) {
    WEIR_CHECK(snapshot != nullptr);
    const absl::Status added = files.Add(*snapshot);
    if (!added.ok()) return added;
  }
  files.WriteTo(*metadata);

  struct Place {
    const proto::Node* node;
    size_t first_task;
    uint32_t parallelism;
  };
  std::vector<Place> places;
  size_t first_task = 0;
  for (const proto::Vertex& vertex : graph.vertices()) {
    for (const uint32_t node : vertex.nodes()) {
      places.push_back({&graph.nodes(static_cast<int>(node)), first_task, vertex.parallelism()});
    }
    first_task += vertex.parallelism();
  }
  WEIR_CHECK_EQ(first_task, snapshots.size());
  std::sort(places.begin(), places.end(),
            [](const Place& a, const Place& b) { return a.node->uid() < b.node->uid(); });
  for (const Place& place : places) {
    const absl::Status filled = FillOperator(*place.node, snapshots, place.first_task,
                                             place.parallelism, files, *metadata->add_operators());
    if (!filled.ok()) return filled;
  }
  return std::shared_ptr<const proto::CheckpointMetadata>(std::move(metadata));
}

}  // namespace weir::jobmanager
