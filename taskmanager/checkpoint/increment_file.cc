#include "taskmanager/checkpoint/increment_file.h"

#include <cxxabi.h>

#include <memory>
#include <utility>
#include <vector>

#include "common/base/crash_context.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_graph.pb.h"
#include "sdk/host/user_exception.h"
#include "state/snapshot/state_file_writer.h"
#include "state/store/checkpoint_folder.h"
#include "taskmanager/checkpoint/parts_in_files.h"

namespace weir {
namespace {

constexpr std::string_view kShared = "shared/";
// What all else builds on.
constexpr StateKind kPartsKind = StateKind::kKeyedSlotParts;

// Calls what runs code of the job, whose exceptions become a status.
absl::Status Encode(const std::string& uid, uint32_t subtask, const std::string& state,
                    absl::FunctionRef<absl::Status()> call) {
  const ScopedCrashContext context(uid.c_str(), subtask);
  try {
    return call();
  } catch (const abi::__forced_unwind&) {
    throw;  // The thread is being ended by the system.
  } catch (...) {
    return absl::InternalError(StrCat("state '", state, "' of operator '", uid,
                                      "': encoding it threw ", DescribeCurrentException()));
  }
}

// The file of one increment, made when there is something for it.
class IncrementWriter {
 public:
  IncrementWriter(FileSystem& files, const SnapshotPlace& place, const proto::JobGraph& graph,
                  const TaskCheckpoint& checkpoint)
      : files_(files),
        graph_(graph),
        subtask_(checkpoint.subtask),
        kind_(checkpoint.increment->since.has_value() ? StateKind::kKeyedChanges : kPartsKind),
        folder_(StrCat(place.directory, "/shared")),
        name_(StrCat(place.attempt, "-", checkpoint.vertex, "-", checkpoint.subtask, "-",
                     checkpoint.barrier.id, ".state")) {}

  absl::Status Write(uint32_t node, const OperatorState::Keyed& keyed) {
    const std::string& uid = graph_.nodes(static_cast<int>(node)).uid();
    const uint64_t before = writer_ != nullptr ? writer_->payload_bytes() : 0;
    bool begun = false;
    const auto begin = [&](uint32_t group) -> absl::StatusOr<StateFileWriter*> {
      if (writer_ == nullptr) WEIR_RETURN_IF_ERROR(Create());
      if (!std::exchange(begun, true)) {
        WEIR_RETURN_IF_ERROR(writer_->BeginSection({uid, keyed.name, keyed.type, kind_}));
      }
      WEIR_RETURN_IF_ERROR(writer_->BeginKeyGroup(group));
      return writer_.get();
    };
    WEIR_RETURN_IF_ERROR(kind_ == kPartsKind ? WriteParts(uid, keyed, begin)
                                             : WriteKeyGroups(uid, subtask_, keyed, begin));
    if (begun) file_.payload_bytes[node] += writer_->payload_bytes() - before;
    return absl::OkStatus();
  }
  // None if nothing was written.
  absl::StatusOr<std::optional<SharedStateFile>> Finish() {
    if (writer_ == nullptr) return std::nullopt;
    WEIR_ASSIGN_OR_RETURN(const proto::StateFile written, writer_->Finish());
    file_.name = StrCat(kShared, name_);
    file_.bytes = written.bytes();
    file_.digest = written.digest();
    return std::move(file_);
  }
  void GiveUp() {
    if (writer_ != nullptr) files_.Delete(StrCat(folder_, "/", name_)).IgnoreError();
  }

 private:
  absl::Status WriteParts(const std::string& uid, const OperatorState::Keyed& keyed,
                          absl::FunctionRef<absl::StatusOr<StateFileWriter*>(uint32_t)> begin) {
    std::string parts;
    std::vector<size_t> ends;
    std::string index;
    for (uint32_t group = keyed.range.first; group <= keyed.range.last; ++group) {
      parts.clear();
      ends.clear();
      index.clear();
      KeyedStateSnapshot::WrittenParts written;
      WEIR_RETURN_IF_ERROR(Encode(uid, subtask_, keyed.name, [&]() -> absl::Status {
        written = keyed.snapshot->WriteParts(group, parts, ends);
        return absl::OkStatus();
      }));
      if (ends.empty()) continue;
      PartIndex::Write(written.entries, written.parts.shift, parts, ends, index);
      WEIR_ASSIGN_OR_RETURN(StateFileWriter* const writer, begin(group));
      WEIR_RETURN_IF_ERROR(writer->Append(index));
      WEIR_RETURN_IF_ERROR(writer->Append(parts));
    }
    return absl::OkStatus();
  }
  absl::Status Create() {
    // What changes build on is there, and so is the folder.
    if (kind_ == kPartsKind) WEIR_RETURN_IF_ERROR(CheckpointFolder(files_, folder_).Prepare());
    WEIR_ASSIGN_OR_RETURN(
        writer_, StateFileWriter::Create(files_, folder_, name_, StateFileVersionOf(kind_)));
    return absl::OkStatus();
  }

  FileSystem& files_;
  const proto::JobGraph& graph_;
  const uint32_t subtask_;
  const StateKind kind_;
  const std::string folder_;
  const std::string name_;
  std::unique_ptr<StateFileWriter> writer_;
  SharedStateFile file_;
};

}  // namespace

absl::Status WriteKeyGroups(const std::string& uid, uint32_t subtask,
                            const OperatorState::Keyed& keyed,
                            absl::FunctionRef<absl::StatusOr<StateFileWriter*>(uint32_t)> begin) {
  StateFileWriter* writer = nullptr;
  std::optional<uint32_t> begun;
  const auto write = [&](uint32_t group, std::string_view bytes, bool) -> absl::Status {
    if (begun != group) {
      WEIR_ASSIGN_OR_RETURN(writer, begin(group));
      begun = group;
    }
    return writer->Append(bytes);
  };
  return Encode(uid, subtask, keyed.name, [&] { return keyed.ForEachPiece(write); });
}

absl::Status WriteIncrement(FileSystem& files, const SnapshotPlace& place,
                            const proto::JobGraph& graph, TaskCheckpoint& checkpoint,
                            proto::TaskSnapshot& told) {
  IncrementWriter writer(files, place, graph, checkpoint);
  const auto write_all = [&]() -> absl::StatusOr<std::optional<SharedStateFile>> {
    for (OperatorState& state : checkpoint.state) {
      for (OperatorState::Keyed& keyed : state.keyed) {
        if (!keyed.incremental) continue;
        WEIR_RETURN_IF_ERROR(writer.Write(state.node, keyed));
        // Memory is given back as soon as may be.
        keyed.snapshot.reset();
      }
    }
    return writer.Finish();
  };
  absl::StatusOr<std::optional<SharedStateFile>> written = write_all();
  if (!written.ok()) {
    writer.GiveUp();
    return written.status();
  }
  std::vector<SharedStateFile> all = checkpoint.increment->files;
  if (written->has_value()) all.push_back(**written);
  const bool is_new = written->has_value();
  checkpoint.increment->written(*std::move(written));

  for (size_t i = 0; i < all.size(); ++i) {
    const auto index = static_cast<uint32_t>(told.files_size());
    proto::StateFile& file = *told.add_files();
    file.set_name(all[i].name);
    file.set_bytes(all[i].bytes);
    file.set_digest(all[i].digest);
    for (auto& of_operator : *told.mutable_operators()) {
      const auto found = all[i].payload_bytes.find(of_operator.node());
      if (found == all[i].payload_bytes.end()) continue;
      of_operator.add_files(index);
      of_operator.set_bytes(of_operator.bytes() + found->second);
      told.set_full_bytes(told.full_bytes() + found->second);
      if (is_new && i + 1 == all.size()) told.set_new_bytes(told.new_bytes() + found->second);
    }
  }
  return absl::OkStatus();
}

}  // namespace weir
