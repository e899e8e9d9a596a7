#include "state/snapshot/state_file_reader.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "common/base/hash.h"
#include "common/base/little_endian.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "state/snapshot/storage_error.h"

namespace weir {
namespace {

// Takes a directory apart; false once something is not there.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : bytes_(bytes) {}

  template <class T>
  bool Number(T& value) {
    if (bytes_.size() < sizeof(T)) return false;
    value = LoadLittleEndian<T>(bytes_.data());
    bytes_.remove_prefix(sizeof(T));
    return true;
  }
  bool Text(std::string& text) {
    uint32_t size = 0;
    if (!Number(size) || size > bytes_.size()) return false;
    text = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return true;
  }
  size_t left() const { return bytes_.size(); }

 private:
  std::string_view bytes_;
};

bool IsKnown(uint8_t kind, uint32_t version) {
  return kind >= static_cast<uint8_t>(StateKind::kKeyed) &&
         kind <= static_cast<uint8_t>(StateKind::kStoreWithLogs) &&
         StateFileVersionOf(static_cast<StateKind>(kind)) <= version;
}

// False if the bytes end before the section does.
bool ParseInfo(Cursor& cursor, StateSection& info, uint8_t& kind, uint32_t& entry_count) {
  return cursor.Text(info.uid) && cursor.Text(info.state) && cursor.Text(info.type) &&
         cursor.Number(kind) && cursor.Number(entry_count);
}

constexpr size_t EntryBytes(bool keyed) {
  return (keyed ? sizeof(uint32_t) : 0) + 3 * sizeof(uint64_t);
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateFileReader>> StateFileReader::Open(FileSystem& files,
                                                                       const std::string& path) {
  auto file = files.OpenForRead(path);
  if (!file.ok()) return StorageError(file.status(), "reading a state file");
  return Open(*std::move(file), path);
}

absl::StatusOr<std::unique_ptr<StateFileReader>> StateFileReader::Open(
    std::unique_ptr<RandomAccessFile> file, std::string path) {
  auto reader =
      std::unique_ptr<StateFileReader>(new StateFileReader(std::move(file), std::move(path)));
  WEIR_RETURN_IF_ERROR(reader->ReadAll());
  return reader;
}

absl::Status StateFileReader::ReadAll() {
  const auto size = file_->Size();
  if (!size.ok()) return StorageError(size.status(), "reading a state file");
  if (*size < kStateFileHeaderBytes + kStateFileFooterBytes) {
    return Damaged(StrCat("it is truncated: it has only ", *size, " bytes"));
  }
  WEIR_RETURN_IF_ERROR(CheckHeader());
  const uint64_t footer_at = *size - kStateFileFooterBytes;
  std::string footer;
  WEIR_RETURN_IF_ERROR(ReadExactly(*file_, footer_at, kStateFileFooterBytes, footer));
  if (!footer.ends_with(kStateFileEndMagic)) return Damaged("it is truncated: it has no footer");
  const auto offset = LoadLittleEndian<uint64_t>(footer.data());
  const auto length = LoadLittleEndian<uint64_t>(footer.data() + 8);
  if (offset < kStateFileHeaderBytes || offset > footer_at || length != footer_at - offset) {
    return Damaged(StrCat("a directory of ", length, " bytes at ", offset,
                          " does not fit into its ", *size, " bytes"));
  }
  if (length > kMaxStateFileDirectoryBytes) {
    return Damaged(
        StrCat("its directory of ", length, " bytes is longer than ", kMaxStateFileDirectoryBytes));
  }
  std::string directory;
  WEIR_RETURN_IF_ERROR(ReadExactly(*file_, offset, length, directory));
  if (Hash64(directory) != LoadLittleEndian<uint64_t>(footer.data() + 16)) {
    return Damaged("its directory has a wrong digest");
  }
  return ParseDirectory(directory, offset);
}

absl::Status StateFileReader::CheckHeader() {
  std::string header;
  WEIR_RETURN_IF_ERROR(ReadExactly(*file_, 0, kStateFileHeaderBytes, header));
  if (!header.starts_with(kStateFileMagic)) return Damaged("it is no state file");
  const auto version = LoadLittleEndian<uint32_t>(header.data() + 8);
  if (version > kStateFileVersion) {
    return absl::FailedPreconditionError(
        StrCat("state file '", path_, "' was written by a newer version of Weir (format ", version,
               ", this one reads up to ", kStateFileVersion, "); restore it with that version"));
  }
  if (version == 0) return Damaged("it has the format version 0");
  version_ = version;
  if (LoadLittleEndian<uint32_t>(header.data() + 12) != 0) return Damaged("unknown flags");
  return absl::OkStatus();
}

absl::Status StateFileReader::ParseDirectory(std::string_view directory, uint64_t payload_end) {
  const auto truncated = [this] { return Damaged("its directory is truncated"); };
  Cursor cursor(directory);
  uint32_t section_count = 0;
  if (!cursor.Number(section_count)) return truncated();
  // Payloads follow each other without gaps.
  uint64_t next = kStateFileHeaderBytes;
  std::set<std::tuple<std::string_view, std::string_view, int>> names;
  uint32_t needed = 1;
  // Names are views of the sections, which must not move.
  constexpr size_t kMinSectionBytes = 3 * sizeof(uint32_t) + 1 + sizeof(uint32_t);
  if (section_count > cursor.left() / kMinSectionBytes) return truncated();
  sections_.reserve(section_count);
  for (uint32_t i = 0; i < section_count; ++i) {
    Section& section = sections_.emplace_back();
    uint8_t kind = 0;
    uint32_t entry_count = 0;
    if (!ParseInfo(cursor, section.info, kind, entry_count)) return truncated();
    if (!IsKnown(kind, version_)) return Damaged(StrCat("unknown kind of state ", uint32_t{kind}));
    section.info.kind = static_cast<StateKind>(kind);
    const bool keyed = IsKeyed(section.info.kind);
    needed = std::max(needed, StateFileVersionOf(section.info.kind));
    if (!names.insert({section.info.uid, section.info.state, NameSpaceOf(section.info.kind)})
             .second) {
      return Damaged("its directory names one state twice");
    }
    if (entry_count > cursor.left() / EntryBytes(keyed)) return truncated();
    section.entries.reserve(entry_count);
    for (uint32_t k = 0; k < entry_count; ++k) {
      Entry entry;
      if ((keyed && !cursor.Number(entry.key_group)) || !cursor.Number(entry.offset) ||
          !cursor.Number(entry.bytes) || !cursor.Number(entry.digest)) {
        return truncated();
      }
      if (keyed && k > 0 && entry.key_group <= section.entries.back().key_group) {
        return Damaged("its key groups are not in order");
      }
      if (entry.offset != next || entry.bytes > payload_end - next || (keyed && entry.bytes == 0)) {
        return Damaged(StrCat("an entry of ", entry.bytes, " bytes at ", entry.offset,
                              " where the payload from ", next, " to ", payload_end, " is left"));
      }
      next += entry.bytes;
      section.entries.push_back(entry);
    }
  }
  if (cursor.left() != 0) return Damaged("its directory has bytes left over");
  if (version_ != needed) return Damaged(StrCat("it is of version ", version_, " without need"));
  if (next != payload_end) return Damaged("it has payload that no entry covers");
  return absl::OkStatus();
}

const StateFileReader::Section* StateFileReader::Find(std::string_view uid, std::string_view state,
                                                      bool keyed) const {
  for (const Section& section : sections_) {
    if (section.info.uid == uid && section.info.state == state &&
        NameSpaceOf(section.info.kind) ==
            NameSpaceOf(keyed ? StateKind::kKeyed : StateKind::kSplitList)) {
      return &section;
    }
  }
  return nullptr;
}

std::span<const StateFileReader::Entry> StateFileReader::KeyGroups(const Section& section,
                                                                   uint32_t first, uint32_t last) {
  const auto begin = std::partition_point(section.entries.begin(), section.entries.end(),
                                          [&](const Entry& e) { return e.key_group < first; });
  const auto end = std::partition_point(begin, section.entries.end(),
                                        [&](const Entry& e) { return e.key_group <= last; });
  return {begin, end};
}

absl::Status StateFileReader::Read(const Entry& entry, std::string& bytes) {
  WEIR_RETURN_IF_ERROR(ReadExactly(*file_, entry.offset, entry.bytes, bytes));
  const absl::Status status = CheckDigest(entry, bytes);
  if (!status.ok()) bytes.clear();
  return status;
}

absl::StatusOr<std::string_view> StateFileReader::ReadInOrder(RandomAccessFile& file,
                                                              const Entry& entry,
                                                              std::string& buffer) const {
  auto bytes = file.ReadInOrder(entry.offset, entry.bytes, buffer);
  if (!bytes.ok()) return StorageError(bytes.status(), "reading a state file");
  if (bytes->size() != entry.bytes) return BecameShorter();
  WEIR_RETURN_IF_ERROR(CheckDigest(entry, *bytes));
  return bytes;
}

absl::Status StateFileReader::CheckDigest(const Entry& entry, std::string_view bytes) const {
  if (Hash64(bytes) == entry.digest) return absl::OkStatus();
  return Damaged(
      StrCat("the payload of ", entry.bytes, " bytes at ", entry.offset, " has a wrong digest"));
}

absl::Status StateFileReader::ReadExactly(RandomAccessFile& file, uint64_t offset, uint64_t size,
                                          std::string& bytes) const {
  bytes.resize(size);
  const auto got = file.ReadAt(offset, size, bytes.data());
  if (got.ok() && *got == size) return absl::OkStatus();
  bytes.clear();
  if (!got.ok()) return StorageError(got.status(), "reading a state file");
  return BecameShorter();
}

absl::Status StateFileReader::BecameShorter() const {
  return Damaged("it became shorter while it was read");
}

absl::Status StateFileReader::Damaged(std::string_view what) const {
  return absl::DataLossError(StrCat("state file '", path_, "' is damaged: ", what));
}

}  // namespace weir
