#include "connectors/files/files_position.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

#include "common/base/hash.h"
#include "common/base/little_endian.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace weir {
namespace {

constexpr uint64_t kVersion = 2;
constexpr uint64_t kFirstVersion = 1;
constexpr size_t kDigestBytes = 16;
// Positions within positions: restored again and again before files were listed.
constexpr int kMaxDepth = 16;

// What follows the version.
enum class Kind : uint64_t { kLanes = 0, kDiscovering = 1, kPart = 2 };

// The text is a row of numbers, each followed by a space, and of texts, each preceded by its
// length.
void PutNumber(uint64_t number, std::string& out) { absl::StrAppend(&out, number, " "); }
void PutText(std::string_view text, std::string& out) {
  PutNumber(text.size(), out);
  out.append(text);
}

absl::Status Damaged() {
  return absl::DataLossError("the position of a source of files is damaged");
}

absl::StatusOr<uint64_t> TakeNumber(std::string_view& text) {
  uint64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto used = static_cast<size_t>(parsed.ptr - text.data());
  if (parsed.ec != std::errc() || used == text.size() || text[used] != ' ') return Damaged();
  text.remove_prefix(used + 1);
  return number;
}

absl::StatusOr<bool> TakeFlag(std::string_view& text) {
  WEIR_ASSIGN_OR_RETURN(const uint64_t number, TakeNumber(text));
  if (number > 1) return Damaged();
  return number == 1;
}

absl::StatusOr<std::string> TakeText(std::string_view& text) {
  WEIR_ASSIGN_OR_RETURN(const uint64_t size, TakeNumber(text));
  if (size > text.size()) return Damaged();
  std::string taken(text.substr(0, size));
  text.remove_prefix(size);
  return taken;
}

absl::StatusOr<FilesPosition> DecodeFirstVersion(std::string_view& text) {
  InputFile begun;
  WEIR_ASSIGN_OR_RETURN(begun.offset, TakeNumber(text));
  WEIR_ASSIGN_OR_RETURN(begun.line, TakeNumber(text));
  WEIR_ASSIGN_OR_RETURN(begun.has_header, TakeFlag(text));
  WEIR_ASSIGN_OR_RETURN(begun.header, TakeText(text));
  WEIR_ASSIGN_OR_RETURN(const uint64_t count, TakeNumber(text));
  if (count > kMaxInputFiles) return Damaged();
  FilesPosition::Lane lane;
  for (uint64_t i = 0; i < count; ++i) {
    InputFile file = i == 0 ? begun : InputFile();
    WEIR_ASSIGN_OR_RETURN(file.size_bytes, TakeNumber(text));
    WEIR_ASSIGN_OR_RETURN(file.path, TakeText(text));
    lane.push_back(std::move(file));
  }
  FilesPosition position;
  position.lanes.push_back(std::move(lane));
  return position;
}

absl::StatusOr<InputFile> TakeFile(std::string_view& text) {
  InputFile file;
  WEIR_ASSIGN_OR_RETURN(file.size_bytes, TakeNumber(text));
  WEIR_ASSIGN_OR_RETURN(file.path, TakeText(text));
  WEIR_ASSIGN_OR_RETURN(file.offset, TakeNumber(text));
  if (file.offset == 0) return file;
  WEIR_ASSIGN_OR_RETURN(file.line, TakeNumber(text));
  WEIR_ASSIGN_OR_RETURN(file.has_header, TakeFlag(text));
  WEIR_ASSIGN_OR_RETURN(file.header, TakeText(text));
  return file;
}

absl::Status TakeLanes(std::string_view& text, FilesPosition& position) {
  WEIR_ASSIGN_OR_RETURN(const uint64_t lanes, TakeNumber(text));
  size_t files = 0;
  for (uint64_t i = 0; i < lanes; ++i) {
    if (position.lanes.size() > kMaxInputFiles) return Damaged();
    FilesPosition::Lane& lane = position.lanes.emplace_back();
    WEIR_ASSIGN_OR_RETURN(const uint64_t count, TakeNumber(text));
    for (uint64_t j = 0; j < count; ++j) {
      if (++files > kMaxInputFiles) return Damaged();
      WEIR_ASSIGN_OR_RETURN(InputFile file, TakeFile(text));
      lane.push_back(std::move(file));
    }
  }
  return absl::OkStatus();
}

absl::Status TakeFinished(std::string_view& text, FilesPosition& position) {
  position.discovers = true;
  WEIR_ASSIGN_OR_RETURN(const std::string bytes, TakeText(text));
  if (bytes.size() % kDigestBytes != 0) return Damaged();
  for (size_t at = 0; at < bytes.size(); at += kDigestBytes) {
    position.finished.insert(PathDigest{{LoadLittleEndian<uint64_t>(bytes.data() + at),
                                         LoadLittleEndian<uint64_t>(bytes.data() + at + 8)}});
  }
  return absl::OkStatus();
}

absl::Status TakePart(std::string_view& text, FilesPosition& position) {
  WEIR_ASSIGN_OR_RETURN(const uint64_t subtask, TakeNumber(text));
  WEIR_ASSIGN_OR_RETURN(const uint64_t parallelism, TakeNumber(text));
  WEIR_ASSIGN_OR_RETURN(const uint64_t former, TakeNumber(text));
  if (subtask >= parallelism || parallelism > UINT32_MAX || former == 0) return Damaged();
  position.subtask = static_cast<uint32_t>(subtask);
  position.parallelism = static_cast<uint32_t>(parallelism);
  for (uint64_t i = 0; i < former; ++i) {
    WEIR_ASSIGN_OR_RETURN(std::string one, TakeText(text));
    position.former.push_back(std::move(one));
  }
  return absl::OkStatus();
}

// What the subtasks at some positions had to read, all together.
struct Gathered {
  std::vector<InputFile> files;
  std::set<PathDigest> finished;
  bool discovers = false;
  // Some files cannot be named before they are listed.
  bool unlisted = false;
};

absl::Status Gather(const std::vector<std::string>& former, const std::vector<InputFile>* inputs,
                    int depth, Gathered& all) {
  if (depth > kMaxDepth) return Damaged();
  for (size_t i = 0; i < former.size(); ++i) {
    if (former[i].empty()) {
      if (inputs == nullptr) {
        all.unlisted = true;
        continue;
      }
      const std::vector<InputFile> files =
          AssignInputs(*inputs, static_cast<uint32_t>(i), static_cast<uint32_t>(former.size()));
      all.files.insert(all.files.end(), files.begin(), files.end());
      continue;
    }
    WEIR_ASSIGN_OR_RETURN(FilesPosition position, FilesPosition::Decode(former[i]));
    if (!position.former.empty()) {
      Gathered before;
      WEIR_RETURN_IF_ERROR(Gather(position.former, inputs, depth + 1, before));
      all.unlisted |= before.unlisted;
      const std::vector<InputFile> files =
          AssignInputs(before.files, position.subtask, position.parallelism);
      all.files.insert(all.files.end(), files.begin(), files.end());
    }
    all.discovers |= position.discovers;
    all.finished.merge(position.finished);
    for (FilesPosition::Lane& lane : position.lanes) {
      std::move(lane.begin(), lane.end(), std::back_inserter(all.files));
    }
  }
  return absl::OkStatus();
}

}  // namespace

PathDigest PathDigest::Of(std::string_view path) { return {{Hash64(path, 0), Hash64(path, 1)}}; }

std::string FilesPosition::Encode() const {
  std::string out;
  PutNumber(kVersion, out);
  if (!former.empty()) {
    PutNumber(static_cast<uint64_t>(Kind::kPart), out);
    PutNumber(subtask, out);
    PutNumber(parallelism, out);
    PutNumber(former.size(), out);
    for (const std::string& position : former) PutText(position, out);
    return out;
  }
  PutNumber(static_cast<uint64_t>(discovers ? Kind::kDiscovering : Kind::kLanes), out);
  PutNumber(lanes.size(), out);
  for (const Lane& lane : lanes) {
    PutNumber(lane.size(), out);
    for (const InputFile& file : lane) {
      PutNumber(file.size_bytes, out);
      PutText(file.path, out);
      PutNumber(file.offset, out);
      if (file.offset == 0) continue;
      PutNumber(file.line, out);
      PutNumber(file.has_header ? 1 : 0, out);
      PutText(file.header, out);
    }
  }
  if (!discovers) return out;
  std::string digests;
  digests.reserve(finished.size() * kDigestBytes);
  for (const PathDigest& digest : finished) {
    for (const uint64_t hash : digest.hashes) AppendLittleEndian(digests, hash);
  }
  PutText(digests, out);
  return out;
}

absl::StatusOr<FilesPosition> FilesPosition::Decode(std::string_view text) {
  WEIR_ASSIGN_OR_RETURN(const uint64_t version, TakeNumber(text));
  FilesPosition position;
  if (version == kFirstVersion) {
    WEIR_ASSIGN_OR_RETURN(position, DecodeFirstVersion(text));
  } else if (version == kVersion) {
    WEIR_ASSIGN_OR_RETURN(const uint64_t kind, TakeNumber(text));
    switch (static_cast<Kind>(kind)) {
      case Kind::kLanes:
        WEIR_RETURN_IF_ERROR(TakeLanes(text, position));
        break;
      case Kind::kDiscovering:
        WEIR_RETURN_IF_ERROR(TakeLanes(text, position));
        WEIR_RETURN_IF_ERROR(TakeFinished(text, position));
        break;
      case Kind::kPart:
        WEIR_RETURN_IF_ERROR(TakePart(text, position));
        break;
      default:
        return Damaged();
    }
  } else {
    return absl::DataLossError(StrCat("the position of a source of files has version ", version,
                                      ", known are ", kFirstVersion, " and ", kVersion));
  }
  if (!text.empty()) return Damaged();
  return position;
}

std::vector<FilesPosition::Lane> MakeLanes(std::vector<InputFile> files) {
  std::sort(files.begin(), files.end(),
            [](const InputFile& a, const InputFile& b) { return a.path < b.path; });
  std::vector<FilesPosition::Lane> lanes(1);
  bool has_begun = false;
  for (InputFile& file : files) {
    const bool begun = file.offset > 0;
    if (begun && has_begun) lanes.emplace_back();
    has_begun |= begun;
    lanes.back().push_back(std::move(file));
  }
  return lanes;
}

absl::StatusOr<FilesPosition> DealFiles(const std::vector<std::string>& former, uint32_t subtask,
                                        uint32_t parallelism,
                                        const std::vector<InputFile>* inputs) {
  Gathered all;
  WEIR_RETURN_IF_ERROR(Gather(former, inputs, 0, all));
  FilesPosition position;
  if (all.discovers) {
    // Who had found nothing yet has nothing to hand on: it is found again.
    position.discovers = true;
    std::erase_if(all.files, [&](const InputFile& file) {
      return PathDigest::Of(file.path).Subtask(parallelism) != subtask;
    });
    position.lanes = MakeLanes(std::move(all.files));
    position.finished = std::move(all.finished);
    std::erase_if(position.finished,
                  [&](const PathDigest& digest) { return digest.Subtask(parallelism) != subtask; });
  } else if (all.unlisted) {
    position.former = former;
    position.subtask = subtask;
    position.parallelism = parallelism;
  } else {
    position.lanes = MakeLanes(AssignInputs(all.files, subtask, parallelism));
  }
  return position;
}

}  // namespace weir
