#include "taskmanager/checkpoint/keyed_files.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "state/snapshot/storage_error.h"
#include "taskmanager/checkpoint/parts_in_files.h"

namespace weir {
namespace {

// How far the disk is asked to be ahead: some milliseconds of a fast one.
constexpr uint64_t kAheadBytes = 32 << 20;
constexpr uint64_t kHintBytes = 4 << 20;

absl::Status UseParts(const std::string& path, StateKind kind, const StateFileReader::Entry& entry,
                      std::string_view bytes,
                      absl::FunctionRef<absl::Status(uint32_t, std::string_view, bool)> use) {
  const auto damaged = [&](const absl::Status& why) {
    return absl::DataLossError(StrCat("state file '", path, "' is damaged: key group ",
                                      entry.key_group, ": ", ToStd(why.message())));
  };
  const absl::StatusOr<size_t> size = PartIndex::SizeOf(bytes, kind);
  if (!size.ok()) return damaged(size.status());
  const absl::StatusOr<PartIndex> index =
      PartIndex::Parse(bytes.substr(0, *size), kind, bytes.size());
  if (!index.ok()) return damaged(index.status());
  for (const PartIndex::Part& part : index->parts) {
    WEIR_RETURN_IF_ERROR(use(entry.key_group, bytes.substr(part.offset, part.bytes), false));
  }
  return absl::OkStatus();
}

}  // namespace

void KeyGroupsInFiles::Add(std::shared_ptr<const StateFileReader> file,
                           std::span<const StateFileReader::Entry> entries, StateKind kind) {
  if (!entries.empty()) sections_.push_back({std::move(file), entries, kind});
}

absl::StatusOr<std::shared_ptr<KeyedStateParts>> KeyGroupsInFiles::TakeParts() {
  std::vector<PartsInFiles::KeyGroup> groups;
  for (const Section& section : sections_) {
    if (!IsInParts(section.kind)) continue;
    for (const StateFileReader::Entry& entry : section.entries)
      groups.push_back({section.file, entry, section.kind});
  }
  if (groups.empty()) return nullptr;
  std::sort(groups.begin(), groups.end(),
            [](const auto& a, const auto& b) { return a.entry.key_group < b.entry.key_group; });
  WEIR_ASSIGN_OR_RETURN(std::shared_ptr<KeyedStateParts> parts,
                        PartsInFiles::Open(files_, std::move(groups)));
  std::erase_if(sections_, [](const Section& section) { return IsInParts(section.kind); });
  return parts;
}

absl::Status KeyGroupsInFiles::ForEach(
    absl::FunctionRef<absl::Status(uint32_t, std::string_view, bool)> use) {
  std::string buffer;
  for (const Section& section : std::exchange(sections_, {})) {
    WEIR_RETURN_IF_ERROR(ReadSection(section, buffer, use));
  }
  return absl::OkStatus();
}

absl::Status KeyGroupsInFiles::ReadSection(
    const Section& section, std::string& buffer,
    absl::FunctionRef<absl::Status(uint32_t, std::string_view, bool)> use) {
  auto file = files_.OpenForRead(section.file->path());
  if (!file.ok()) return StorageError(file.status(), "reading a state file");
  // Entries follow each other.
  const uint64_t end = section.entries.back().offset + section.entries.back().bytes;
  uint64_t hinted = section.entries.front().offset;
  for (const StateFileReader::Entry& entry : section.entries) {
    for (const uint64_t to = std::min(end, entry.offset + entry.bytes + kAheadBytes); hinted < to;
         hinted += kHintBytes) {
      (*file)->WillRead(hinted, std::min(kHintBytes, end - hinted));
    }
    WEIR_ASSIGN_OR_RETURN(const std::string_view bytes,
                          section.file->ReadInOrder(**file, entry, buffer));
    if (IsInParts(section.kind)) {
      WEIR_RETURN_IF_ERROR(UseParts(section.file->path(), section.kind, entry, bytes, use));
    } else {
      WEIR_RETURN_IF_ERROR(use(entry.key_group, bytes, section.kind == StateKind::kKeyedChanges));
    }
  }
  return absl::OkStatus();
}

}  // namespace weir
