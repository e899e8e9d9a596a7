#include "connectors/files/part_files.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace weir {

absl::Status PartFiles::WriteError(const Part& part, const absl::Status& status) {
  if (absl::IsResourceExhausted(status)) {
    return absl::ResourceExhaustedError(
        StrCat(part.shown_as, ": the disk is full after ", part.written_bytes,
               " bytes of it were written: free some space or choose another path (",
               ToStd(status.message()), ")"));
  }
  return absl::Status(status.code(),
                      StrCat(part.shown_as, ": writing failed after ", part.written_bytes,
                             " bytes: ", ToStd(status.message())));
}

absl::Status PartFiles::Begin(uint64_t id, const std::string& hidden, const std::string& shown_as) {
  constexpr auto kNew = FileSystem::WriteMode::kCreateNew;
  absl::StatusOr<std::unique_ptr<WritableFile>> file = files_.OpenForWrite(hidden, kNew);
  // Another subtask may delete the empty folder between the two.
  for (int tries = 0; absl::IsNotFound(file.status()) && tries < 3; ++tries) {
    WEIR_RETURN_IF_ERROR(files_.CreateDirectories(hidden_folder_));
    file = files_.OpenForWrite(hidden, kNew);
  }
  WEIR_RETURN_IF_ERROR(file.status());
  parts_[id] = {hidden, shown_as, *std::move(file), 0};
  return absl::OkStatus();
}

absl::Status PartFiles::Append(uint64_t id, std::string_view data) {
  Part& part = parts_.at(id);
  const absl::Status status = part.file->Append(data);
  if (!status.ok()) return WriteError(part, status);
  part.written_bytes += data.size();
  return absl::OkStatus();
}

absl::Status PartFiles::End(uint64_t id) {
  Part& part = parts_.at(id);
  absl::Status status = part.file->Sync();
  if (status.ok()) status = part.file->Close();
  if (!status.ok()) return WriteError(part, status);
  part.file.reset();
  return absl::OkStatus();
}

absl::Status PartFiles::SyncFolder() { return files_.SyncDirectory(hidden_folder_); }

void PartFiles::Abandon() {
  for (auto& [id, part] : parts_) {
    part.file.reset();
    files_.Delete(part.hidden).IgnoreError();
  }
  parts_.clear();
  files_.Delete(hidden_folder_).IgnoreError();
}

}  // namespace weir
