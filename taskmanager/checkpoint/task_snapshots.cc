#include "taskmanager/checkpoint/task_snapshots.h"

#include <cxxabi.h>

#include <algorithm>
#include <set>
#include <vector>

#include "common/base/crash_context.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_graph.pb.h"
#include "sdk/host/user_exception.h"
#include "state/snapshot/state_file_reader.h"
#include "state/snapshot/state_file_writer.h"
#include "state/store/checkpoint_folder.h"
#include "taskmanager/checkpoint/in_flight_files.h"
#include "taskmanager/checkpoint/increment_file.h"
#include "taskmanager/checkpoint/keyed_files.h"
#include "taskmanager/checkpoint/stored_files.h"
#include "weir/hash.h"

namespace weir {
namespace {

StateKind KindOf(Redistribution redistribution) {
  switch (redistribution) {
    case Redistribution::kSplit:
      return StateKind::kSplitList;
    case Redistribution::kUnion:
      return StateKind::kUnionList;
    case Redistribution::kBroadcast:
      return StateKind::kBroadcastList;
  }
  return StateKind::kSplitList;
}

proto::StateDivision DivisionOf(Redistribution redistribution) {
  switch (redistribution) {
    case Redistribution::kSplit:
      return proto::SPLIT_LIST;
    case Redistribution::kUnion:
      return proto::UNION_LIST;
    case Redistribution::kBroadcast:
      return proto::BROADCAST_LIST;
  }
  return proto::SPLIT_LIST;
}

Redistribution RedistributionOf(StateKind kind) {
  if (kind == StateKind::kUnionList) return Redistribution::kUnion;
  return kind == StateKind::kBroadcastList ? Redistribution::kBroadcast : Redistribution::kSplit;
}

absl::Status WriteOperator(StateFileWriter& writer, const std::string& uid, uint32_t subtask,
                           bool again, OperatorState& state) {
  for (OperatorState::Keyed& keyed : state.keyed) {
    if (keyed.incremental) continue;
    WEIR_RETURN_IF_ERROR(writer.BeginSection({uid, keyed.name, keyed.type, StateKind::kKeyed}));
    const auto begin = [&](uint32_t group) -> absl::StatusOr<StateFileWriter*> {
      WEIR_RETURN_IF_ERROR(writer.BeginKeyGroup(group));
      return &writer;
    };
    WEIR_RETURN_IF_ERROR(WriteKeyGroups(uid, subtask, keyed, begin));
    // Memory is given back as soon as may be.
    if (!again) keyed.snapshot.reset();
  }
  for (const OperatorState::List& list : state.lists) {
    WEIR_RETURN_IF_ERROR(
        writer.BeginSection({uid, list.name, list.type, KindOf(list.redistribution)}));
    for (const std::string& item : list.items) {
      WEIR_RETURN_IF_ERROR(writer.BeginItem());
      WEIR_RETURN_IF_ERROR(writer.Append(item));
    }
  }
  return absl::OkStatus();
}

// Whether the file in the checkpoint's own folder has something of it.
bool HasOwn(const OperatorState& state) {
  return !state.lists.empty() || !state.in_flight.empty() ||
         std::any_of(state.keyed.begin(), state.keyed.end(),
                     [](const OperatorState::Keyed& keyed) { return !keyed.incremental; });
}

// Reads files of one checkpoint, each opened once.
class CheckpointFiles {
 public:
  CheckpointFiles(FileSystem& files, const proto::JobRestore& restore, StateBackend* backend,
                  bool in_store)
      : files_(files), restore_(restore), backend_(backend), in_store_(in_store) {}

  // Keyed state goes to stores.
  bool in_store() const { return in_store_; }
  bool IsStateFile(uint32_t index) const {
    return index >= static_cast<uint32_t>(restore_.files_size()) ||
           restore_.files(static_cast<int>(index)).name().ends_with(".state");
  }

  FileSystem& files() { return files_; }

  absl::StatusOr<StateFileReader*> Open(uint32_t index) {
    WEIR_ASSIGN_OR_RETURN(const auto reader, OpenShared(index));
    return reader.get();
  }
  absl::StatusOr<std::shared_ptr<StateFileReader>> OpenShared(uint32_t index) {
    auto& reader = readers_[index];
    if (reader != nullptr) return reader;
    if (index >= static_cast<uint32_t>(restore_.files_size())) {
      return absl::DataLossError(
          StrCat("checkpoint ", restore_.checkpoint_id(), " has no file ", index));
    }
    const proto::StateFile& file = restore_.files(static_cast<int>(index));
    const std::string path = PathOf(file.name());
    auto found = files_.OpenForRead(path);
    if (absl::IsNotFound(found.status())) return ExplainMissing(path);
    WEIR_ASSIGN_OR_RETURN(auto opened, std::move(found));
    WEIR_ASSIGN_OR_RETURN(const uint64_t size, opened->Size());
    if (size != file.bytes()) {
      return absl::DataLossError(StrCat(path, " has ", size, " bytes; the checkpoint says ",
                                        file.bytes(), ": it is damaged"));
    }
    WEIR_ASSIGN_OR_RETURN(reader, StateFileReader::Open(std::move(opened), path));
    return reader;
  }

  // The files that a section of a store names.
  absl::StatusOr<StoredFiles> FilesOf(StateFileReader& reader,
                                      const StateFileReader::Section& section) {
    if (backend_ == nullptr) {
      return absl::FailedPreconditionError(
          StrCat("operator '", section.info.uid,
                 "' has its state in RocksDB, which this program does not have"));
    }
    StoredFiles files;
    std::string bytes;
    for (const StateFileReader::Entry& entry : section.entries) {
      WEIR_RETURN_IF_ERROR(reader.Read(entry, bytes));
      WEIR_ASSIGN_OR_RETURN(StoredFile file, DecodeStoredFile(bytes, section.info.kind));
      if (!file.shared_name.empty()) file.path = PathOf(file.shared_name);
      files.push_back(std::move(file));
    }
    return files;
  }
  // Likewise, to be read; opened once for all who read of it.
  absl::StatusOr<std::shared_ptr<StoredState>> OpenStore(uint32_t file, StateFileReader& reader,
                                                         const StateFileReader::Section& section) {
    std::shared_ptr<StoredState>& store = stores_[{file, section.info.uid}];
    if (store != nullptr) return store;
    WEIR_ASSIGN_OR_RETURN(const StoredFiles files, FilesOf(reader, section));
    WEIR_ASSIGN_OR_RETURN(store, backend_->Read(files));
    return store;
  }

 private:
  // A checkpoint without one of its files is damaged; a folder that is not there may be on a disk
  // that is there later.
  absl::Status ExplainMissing(const std::string& path) const {
    const absl::Status metadata = files_.Stat(StrCat(restore_.directory(), "/_metadata")).status();
    if (metadata.ok()) {
      return absl::DataLossError(StrCat("checkpoint ", restore_.checkpoint_id(), " in '",
                                        restore_.directory(), "' is damaged: its file '", path,
                                        "' is missing"));
    }
    return absl::NotFoundError(
        StrCat("there is no '", path, "' on this host, nor the checkpoint '", restore_.directory(),
               "': is its folder mounted here, as the job manager sees it?"));
  }

  std::string PathOf(const std::string& name) const {
    constexpr std::string_view kShared = "shared/";
    if (name.rfind(kShared, 0) != 0) return StrCat(restore_.directory(), "/", name);
    // The job's folder is the one above.
    const std::string& folder = restore_.directory();
    return StrCat(folder.substr(0, folder.rfind('/')), "/", name);
  }

  FileSystem& files_;
  const proto::JobRestore& restore_;
  StateBackend* const backend_;
  const bool in_store_;
  std::map<uint32_t, std::shared_ptr<StateFileReader>> readers_;
  std::map<std::pair<uint32_t, std::string>, std::shared_ptr<StoredState>> stores_;
};

// A keyed state that is read from the stores of old subtasks when it is taken up, key group by key
// group, so that it need not fit into memory.
class KeyGroupsInStores final : public KeyedStateSnapshot {
 public:
  using Stores = std::vector<std::pair<KeyGroupRange, std::shared_ptr<StoredState>>>;

  KeyGroupsInStores(std::string state, Stores stores)
      : state_(std::move(state)), stores_(std::move(stores)) {}
  void WriteKeyGroup(uint32_t key_group, std::string& out) override {
    for (const auto& [range, store] : stores_) {
      if (!range.Contains(key_group)) continue;
      internal::ThrowIfError(store->ReadKeyGroup(state_, key_group, out), state_);
    }
  }

 private:
  const std::string state_;
  const Stores stores_;
};

// What one new subtask of one operator gets.
class OperatorReader {
 public:
  // `rescaled`: this operator, or another whose records may then come to other subtasks of this
  // one, has another parallelism.
  OperatorReader(CheckpointFiles& files, const proto::OperatorRestore& restore,
                 const proto::Node& node, bool rescaled, uint32_t subtask, uint32_t parallelism,
                 uint32_t max_parallelism)
      : files_(files),
        old_(restore.checkpoint()),
        node_(node),
        rescaled_(rescaled),
        max_parallelism_(max_parallelism),
        subtask_(subtask),
        parallelism_(parallelism),
        range_(KeyGroupRangeOf(subtask, max_parallelism, parallelism)) {
    state_.node = restore.node();
    // Its reader takes its part by itself.
    state_.positions_of_all = node.kind() == proto::SOURCE && !Same();
    for (const proto::StateDescriptor& state : old_.states()) {
      has_union_ |= state.division() == proto::UNION_LIST;
    }
  }

  absl::StatusOr<OperatorState> Read() {
    Ticks watermark = kMaxTicks;
    for (const proto::SubtaskState& subtask : old_.subtasks()) {
      const bool own = !Same() || subtask.subtask() == subtask_;
      // The least of all: what is late for one is not for another.
      if (own || rescaled_) watermark = std::min<Ticks>(watermark, subtask.watermark());
      if (!own && !has_union_) continue;
      for (const uint32_t file : subtask.files()) {
        // Files of stores are named in state files.
        if (!files_.IsStateFile(file)) continue;
        WEIR_ASSIGN_OR_RETURN(const auto reader, files_.OpenShared(file));
        for (const StateFileReader::Section& section : reader->sections()) {
          if (section.info.kind == StateKind::kInFlight || section.info.uid != old_.uid()) continue;
          if (IsOfStore(section.info.kind)) {
            if (own && Overlaps(subtask.subtask()))
              WEIR_RETURN_IF_ERROR(ReadStore(file, *reader, section, subtask.subtask()));
            continue;
          }
          if (IsDropped(section.info.state)) continue;
          if (!own && section.info.kind != StateKind::kUnionList) continue;
          if (IsKeyed(section.info.kind)) {
            AddKeyed(reader, section);
          } else {
            WEIR_RETURN_IF_ERROR(ReadList(*reader, section, subtask.subtask()));
          }
        }
      }
    }
    if (old_.subtasks_size() > 0) state_.watermark = watermark;
    if (!parts_.empty()) state_.stored = std::make_shared<const StoredParts>(std::move(parts_));
    for (OperatorState::Keyed& keyed : state_.keyed) {
      // Subtasks that had ended have theirs in state files all the same.
      if (stores_.empty()) continue;
      keyed.range = range_;
      keyed.snapshot = std::make_shared<KeyGroupsInStores>(keyed.name, stores_);
    }
    return std::move(state_);
  }

 private:
  // The job does not have it any more, and was started all the same.
  bool IsDropped(const std::string& state) const {
    return std::none_of(old_.states().begin(), old_.states().end(),
                        [&](const auto& kept) { return kept.name() == state; });
  }

  bool Same() const { return old_.parallelism() == parallelism_; }

  template <class Part>
  static Part& Named(std::vector<Part>& parts, const StateSection& info) {
    for (Part& part : parts) {
      if (part.name == info.state) return part;
    }
    Part& part = parts.emplace_back();
    part.name = info.state;
    part.type = info.type;
    return part;
  }

  bool Overlaps(uint32_t old_subtask) const {
    const KeyGroupRange old = KeyGroupRangeOf(old_subtask, max_parallelism_, old_.parallelism());
    return old.first <= range_.last && range_.first <= old.last;
  }

  // The files can be taken up as they are, but for key groups: no other state is in them.
  bool TakesFilesUp() const {
    if (!files_.in_store()) return false;
    for (const proto::StateDescriptor& old : old_.states()) {
      const bool same = std::any_of(
          node_.states().begin(), node_.states().end(), [&](const proto::StateDescriptor& state) {
            return state.name() == old.name() && state.type() == old.type();
          });
      if (!same) return false;
    }
    return true;
  }

  absl::Status ReadStore(uint32_t file, StateFileReader& reader,
                         const StateFileReader::Section& section, uint32_t from_subtask) {
    const KeyGroupRange had = KeyGroupRangeOf(from_subtask, max_parallelism_, old_.parallelism());
    if (TakesFilesUp()) {
      WEIR_ASSIGN_OR_RETURN(StoredFiles stored, files_.FilesOf(reader, section));
      parts_.push_back({had,
                        {std::max(had.first, range_.first), std::min(had.last, range_.last)},
                        std::move(stored)});
      return absl::OkStatus();
    }
    WEIR_ASSIGN_OR_RETURN(auto store, files_.OpenStore(file, reader, section));
    stores_.emplace_back(had, std::move(store));
    return absl::OkStatus();
  }

  // The task reads them itself, so that they are never in memory twice.
  void AddKeyed(const std::shared_ptr<StateFileReader>& reader,
                const StateFileReader::Section& section) {
    OperatorState::Keyed& keyed = Named(state_.keyed, section.info);
    auto& stored = key_groups_[section.info.state];
    if (stored == nullptr) {
      stored = std::make_shared<KeyGroupsInFiles>(files_.files());
      keyed.stored = stored;
    }
    stored->Add(reader, StateFileReader::KeyGroups(section, range_.first, range_.last),
                section.info.kind);
  }

  absl::Status ReadList(StateFileReader& reader, const StateFileReader::Section& section,
                        uint32_t from_subtask) {
    OperatorState::List& list = Named(state_.lists, section.info);
    list.redistribution = RedistributionOf(section.info.kind);
    if (list.redistribution == Redistribution::kBroadcast &&
        from_subtask != subtask_ % old_.parallelism()) {
      return absl::OkStatus();
    }
    for (const auto& entry : section.entries) {
      // In turns over all subtasks' items, in the order of the subtasks.
      if (list.redistribution == Redistribution::kSplit && !Same() && !state_.positions_of_all &&
          dealt_[section.info.state]++ % parallelism_ != subtask_) {
        continue;
      }
      WEIR_RETURN_IF_ERROR(reader.Read(entry, list.items.emplace_back()));
    }
    return absl::OkStatus();
  }

  CheckpointFiles& files_;
  const proto::OperatorCheckpoint& old_;
  const proto::Node& node_;
  const bool rescaled_;
  const uint32_t max_parallelism_;
  const uint32_t subtask_;
  const uint32_t parallelism_;
  const KeyGroupRange range_;
  bool has_union_ = false;
  // By state.
  std::map<std::string, std::shared_ptr<KeyGroupsInFiles>> key_groups_;
  // Where key groups are read from, by those that are there.
  KeyGroupsInStores::Stores stores_;
  // Stores whose files are taken up.
  StoredParts parts_;
  // By list: items seen so far.
  std::map<std::string, uint64_t> dealt_;
  OperatorState state_;
};

// Nobody knows of the file, so that it may be written again under its name.
absl::Status GiveUp(FileSystem& files, const std::string& path, const absl::Status& why) {
  files.Delete(path).IgnoreError();
  return why;
}

}  // namespace

absl::StatusOr<proto::TaskSnapshot> WriteTaskSnapshot(FileSystem& files, const SnapshotPlace& place,
                                                      const proto::JobGraph& graph,
                                                      TaskCheckpoint& checkpoint) {
  proto::TaskSnapshot told;
  told.set_vertex(checkpoint.vertex);
  told.set_subtask(checkpoint.subtask);
  told.set_final(checkpoint.final);
  if (checkpoint.final) told.set_last_barrier(checkpoint.barrier.id);
  told.set_start_delay_nanos(checkpoint.start_delay_nanos);
  told.set_alignment_nanos(checkpoint.alignment_nanos);
  told.set_sync_nanos(checkpoint.sync_nanos);
  told.set_alignment_bytes(checkpoint.alignment_bytes);
  told.set_unaligned(checkpoint.unaligned);
  told.set_in_flight_bytes(checkpoint.in_flight_bytes);

  const std::string name = StateFileName(place.attempt, checkpoint.vertex, checkpoint.subtask);
  const std::string part =
      checkpoint.final ? std::string("shared") : StrCat("chk-", checkpoint.barrier.id);
  const std::string folder = place.savepoint.empty() || checkpoint.final
                                 ? StrCat(place.directory, "/", part)
                                 : place.savepoint;
  const std::string path = StrCat(folder, "/", name);
  uint32_t version = HasInFlight(checkpoint.state) ? StateFileVersionOf(StateKind::kInFlight) : 1;
  for (const OperatorState& state : checkpoint.state) {
    if (state.store == nullptr) continue;
    WEIR_RETURN_IF_ERROR(state.store->Take());
    version = std::max(version, StateFileVersionOf(StoreKindOf(*state.store)));
  }
  std::unique_ptr<StateFileWriter> writer;
  for (OperatorState& state : checkpoint.state) {
    auto& of_operator = *told.add_operators();
    of_operator.set_node(state.node);
    of_operator.set_watermark(state.watermark);
    for (const auto& keyed : state.keyed) {
      auto* descriptor = of_operator.add_states();
      descriptor->set_name(keyed.name);
      descriptor->set_type(keyed.type);
    }
    for (const auto& list : state.lists) {
      auto* descriptor = of_operator.add_states();
      descriptor->set_name(list.name);
      descriptor->set_type(list.type);
      descriptor->set_division(DivisionOf(list.redistribution));
    }
    if (!HasOwn(state)) continue;
    if (writer == nullptr) {
      if (checkpoint.final) WEIR_RETURN_IF_ERROR(CheckpointFolder(files, folder).Prepare());
      WEIR_ASSIGN_OR_RETURN(writer, StateFileWriter::Create(files, folder, name, version));
      // The state file, whose size is not known yet, is the first.
      told.add_files();
    }
    const uint64_t before = writer->payload_bytes();
    absl::Status written = WriteOperator(*writer, graph.nodes(static_cast<int>(state.node)).uid(),
                                         checkpoint.subtask, checkpoint.final, state);
    of_operator.add_files(0);
    if (written.ok() && state.store != nullptr) {
      written = WriteStore(files, place, SharedFilePrefix(place, checkpoint, state.node),
                           graph.nodes(static_cast<int>(state.node)).uid(), *state.store,
                           checkpoint.barrier.id, *writer, told, of_operator);
      // Links are given back as soon as may be.
      state.store.reset();
    }
    if (!written.ok()) return GiveUp(files, path, written);
    const uint64_t own = writer->payload_bytes() - before;
    told.set_new_bytes(told.new_bytes() + own);
    of_operator.set_bytes(of_operator.bytes() + own);
    told.set_full_bytes(told.full_bytes() + of_operator.bytes());
    written = WriteInFlight(*writer, graph, state, of_operator);
    if (!written.ok()) return GiveUp(files, path, written);
  }
  told.set_full_bytes(told.full_bytes() + told.in_flight_bytes());
  told.set_new_bytes(told.new_bytes() + told.in_flight_bytes());
  if (writer != nullptr) {
    absl::StatusOr<proto::StateFile> file = writer->Finish();
    if (!file.ok()) return GiveUp(files, path, file.status());
    *told.mutable_files(0) = *std::move(file);
    if (checkpoint.final) told.mutable_files(0)->set_name(StrCat("shared/", name));
  }
  if (checkpoint.increment.has_value()) {
    absl::Status written = WriteIncrement(files, place, graph, checkpoint, told);
    if (!written.ok()) return writer == nullptr ? written : GiveUp(files, path, written);
  }
  return told;
}

absl::StatusOr<RestoredTasks> ReadTaskStates(
    FileSystem& files, const proto::JobRestore& restore, const proto::JobGraph& graph,
    const std::map<uint32_t, std::vector<uint32_t>>& workers, uint32_t worker,
    StateBackend* backend, bool in_store) {
  std::map<uint32_t, const proto::OperatorRestore*> of_node;
  for (const proto::OperatorRestore& restored : restore.operators()) {
    if (restored.node() >= static_cast<uint32_t>(graph.nodes_size()) ||
        restored.checkpoint().uid() != graph.nodes(static_cast<int>(restored.node())).uid()) {
      return absl::FailedPreconditionError(StrCat("the checkpoint's operator '",
                                                  restored.checkpoint().uid(), "' is not node ",
                                                  restored.node(), " of the graph"));
    }
    of_node[restored.node()] = &restored;
  }
  const bool rescaled = std::any_of(of_node.begin(), of_node.end(), [&](const auto& restored) {
    return restored.second->checkpoint().parallelism() !=
           graph.nodes(static_cast<int>(restored.first)).parallelism();
  });
  CheckpointFiles checkpoint(files, restore, backend, in_store);
  InFlightFiles in_flight(
      [&](uint32_t file) -> absl::StatusOr<StateFileReader*> {
        if (!checkpoint.IsStateFile(file)) return nullptr;
        return checkpoint.Open(file);
      },
      of_node, graph);
  RestoredTasks tasks;
  for (const proto::Vertex& vertex : graph.vertices()) {
    const auto placed = workers.find(vertex.id());
    if (placed == workers.end()) continue;
    for (uint32_t subtask = 0; subtask < placed->second.size(); ++subtask) {
      if (placed->second[subtask] != worker) continue;
      auto state = std::make_shared<TaskState>();
      for (const uint32_t node : vertex.nodes()) {
        const auto found = of_node.find(node);
        if (found == of_node.end()) continue;
        OperatorReader reader(checkpoint, *found->second, graph.nodes(static_cast<int>(node)),
                              rescaled, subtask, vertex.parallelism(), graph.max_parallelism());
        WEIR_ASSIGN_OR_RETURN(OperatorState read, reader.Read());
        state->push_back(std::move(read));
      }
      WEIR_RETURN_IF_ERROR(in_flight.Read(vertex, subtask, *state));
      if (!state->empty()) tasks.emplace(std::pair(vertex.id(), subtask), std::move(state));
    }
  }
  return tasks;
}

}  // namespace weir
