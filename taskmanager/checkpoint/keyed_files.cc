#include "taskmanager/checkpoint/keyed_files.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/status_macros.h"
#include "state/snapshot/storage_error.h"

namespace weir {
namespace {

// How far the disk is asked to be ahead: some milliseconds of a fast one.
constexpr uint64_t kAheadBytes = 32 << 20;
constexpr uint64_t kHintBytes = 4 << 20;

}  // namespace

void KeyGroupsInFiles::Add(std::shared_ptr<const StateFileReader> file,
                           std::span<const StateFileReader::Entry> entries, bool changes) {
  if (!entries.empty()) parts_.push_back({std::move(file), entries, changes});
}

absl::Status KeyGroupsInFiles::ForEach(
    absl::FunctionRef<absl::Status(uint32_t, std::string_view, bool)> use) {
  std::string bytes;
  for (const Part& part : std::exchange(parts_, {})) {
    WEIR_RETURN_IF_ERROR(ReadPart(part, bytes, use));
  }
  return absl::OkStatus();
}

absl::Status KeyGroupsInFiles::ReadPart(
    const Part& part, std::string& bytes,
    absl::FunctionRef<absl::Status(uint32_t, std::string_view, bool)> use) {
  auto file = files_.OpenForRead(part.file->path());
  if (!file.ok()) return StorageError(file.status(), "reading a state file");
  // Entries follow each other.
  const uint64_t end = part.entries.back().offset + part.entries.back().bytes;
  uint64_t hinted = part.entries.front().offset;
  for (const StateFileReader::Entry& entry : part.entries) {
    for (const uint64_t to = std::min(end, entry.offset + entry.bytes + kAheadBytes); hinted < to;
         hinted += kHintBytes) {
      (*file)->WillRead(hinted, std::min(kHintBytes, end - hinted));
    }
    WEIR_RETURN_IF_ERROR(part.file->ReadFrom(**file, entry, bytes));
    WEIR_RETURN_IF_ERROR(use(entry.key_group, bytes, part.changes));
  }
  return absl::OkStatus();
}

}  // namespace weir
