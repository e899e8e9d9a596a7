#include "connectors/files/input_listing.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/status/status.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace weir {
namespace {

// Folders within each other below an input; deeper is refused, so that a loop of links ends.
constexpr int kMaxFolderDepth = 32;
// What opening a file costs, in bytes read.
constexpr uint64_t kFileCostBytes = 64 << 10;

// Of a compressed file a guess: how far it was read is known of its content only.
uint64_t BytesLeft(const InputFile& file) {
  return file.size_bytes - std::min(file.size_bytes, file.offset);
}

std::string_view BaseName(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

bool IsHidden(std::string_view name) {
  return name.empty() || name.front() == '.' || name.front() == '_';
}

bool HasGlob(std::string_view text) { return text.find_first_of("*?[") != std::string_view::npos; }

// Matches one `[...]` at the front of `pattern` against `c` and moves behind it. Without a closing
// bracket it is a plain '['.
bool MatchClass(std::string_view& pattern, char c) {
  size_t i = 1;
  const bool negated = i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^');
  if (negated) ++i;
  const size_t close = pattern.find(']', i + 1);
  if (close == std::string_view::npos) {
    pattern.remove_prefix(1);
    return c == '[';
  }
  bool matched = false;
  while (i < close) {
    if (i + 2 < close && pattern[i + 1] == '-') {
      matched |= pattern[i] <= c && c <= pattern[i + 2];
      i += 3;
    } else {
      matched |= pattern[i] == c;
      ++i;
    }
  }
  pattern.remove_prefix(close + 1);
  return matched != negated;
}

absl::Status AddFile(const FileInfo& info, std::vector<InputFile>& inputs) {
  if (inputs.size() == kMaxInputFiles) {
    return absl::InvalidArgumentError(StrCat(
        "more than ", kMaxInputFiles, " files to read: name fewer with a glob, or join them"));
  }
  inputs.push_back({.path = info.path, .size_bytes = info.size_bytes});
  return absl::OkStatus();
}

absl::Status AddFolder(FileSystem& files, const std::string& path, int depth,
                       std::vector<InputFile>& inputs) {
  if (depth > kMaxFolderDepth) {
    return absl::InvalidArgumentError(StrCat(path, ": folders lie more than ", kMaxFolderDepth,
                                             " deep; is there a loop of links?"));
  }
  WEIR_ASSIGN_OR_RETURN(const std::vector<FileInfo> entries, files.List(path));
  for (const FileInfo& entry : entries) {
    if (IsHidden(BaseName(entry.path))) continue;
    if (entry.is_directory) {
      WEIR_RETURN_IF_ERROR(AddFolder(files, entry.path, depth + 1, inputs));
    } else {
      WEIR_RETURN_IF_ERROR(AddFile(entry, inputs));
    }
  }
  return absl::OkStatus();
}

// Adds what `pattern`, the part of the path from `folder` on, matches. `folder` ends with '/' or is
// empty.
absl::Status AddGlob(FileSystem& files, const std::string& folder, std::string_view pattern,
                     std::vector<InputFile>& inputs) {
  // Parts without a wildcard need no listing.
  const size_t wildcard = pattern.find_first_of("*?[");
  const size_t fixed =
      wildcard == std::string_view::npos ? std::string_view::npos : pattern.rfind('/', wildcard);
  if (wildcard != std::string_view::npos && fixed != std::string_view::npos) {
    return AddGlob(files, StrCat(folder, pattern.substr(0, fixed + 1)), pattern.substr(fixed + 1),
                   inputs);
  }
  if (wildcard == std::string_view::npos) {
    const std::string path = StrCat(folder, pattern);
    auto info = files.Stat(path);
    if (absl::IsNotFound(info.status())) return absl::OkStatus();
    WEIR_RETURN_IF_ERROR(info.status());
    info->path = path;
    return info->is_directory ? AddFolder(files, path, 0, inputs) : AddFile(*info, inputs);
  }
  auto entries = files.List(folder.empty()  ? "."
                            : folder == "/" ? folder
                                            : folder.substr(0, folder.size() - 1));
  if (absl::IsNotFound(entries.status())) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(entries.status());
  const size_t slash = pattern.find('/');
  for (const FileInfo& entry : *entries) {
    const std::string_view name = BaseName(entry.path);
    if (!MatchesGlob(pattern.substr(0, slash), name)) continue;
    const std::string path = StrCat(folder, name);
    if (slash != std::string_view::npos) {
      if (entry.is_directory) {
        WEIR_RETURN_IF_ERROR(AddGlob(files, StrCat(path, "/"), pattern.substr(slash + 1), inputs));
      }
    } else if (entry.is_directory) {
      WEIR_RETURN_IF_ERROR(AddFolder(files, path, 0, inputs));
    } else {
      FileInfo file = entry;
      file.path = path;
      WEIR_RETURN_IF_ERROR(AddFile(file, inputs));
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool MatchesGlob(std::string_view pattern, std::string_view name) {
  if (!name.empty() && name.front() == '.' && (pattern.empty() || pattern.front() != '.'))
    return false;
  // Where to go on when a match after the last '*' fails: one character further.
  std::string_view star_pattern;
  std::string_view star_name;
  bool has_star = false;
  while (!name.empty()) {
    if (!pattern.empty() && pattern.front() == '*') {
      pattern.remove_prefix(1);
      star_pattern = pattern;
      star_name = name;
      has_star = true;
      continue;
    }
    std::string_view rest = pattern;
    bool matched = false;
    if (!rest.empty()) {
      if (rest.front() == '[') {
        matched = MatchClass(rest, name.front());
      } else {
        matched = rest.front() == '?' || rest.front() == name.front();
        rest.remove_prefix(1);
      }
    }
    if (matched) {
      pattern = rest;
      name.remove_prefix(1);
    } else if (has_star) {
      star_name.remove_prefix(1);
      name = star_name;
      pattern = star_pattern;
    } else {
      return false;
    }
  }
  while (!pattern.empty() && pattern.front() == '*') pattern.remove_prefix(1);
  return pattern.empty();
}

absl::StatusOr<std::vector<InputFile>> ListInputs(FileSystem& files, const std::string& path,
                                                  bool awaited) {
  std::vector<InputFile> inputs;
  auto info = files.Stat(path);
  if (info.ok()) {
    info->path = path;
    WEIR_RETURN_IF_ERROR(info->is_directory ? AddFolder(files, path, 0, inputs)
                                            : AddFile(*info, inputs));
  } else if (!absl::IsNotFound(info.status())) {
    return info.status();
  } else if (HasGlob(path)) {
    WEIR_RETURN_IF_ERROR(AddGlob(files, "", path, inputs));
    if (inputs.empty() && !awaited)
      return absl::NotFoundError(StrCat("no file matches '", path, "'"));
  } else {
    return absl::NotFoundError(
        StrCat("there is no file or folder '", path,
               "' (a path must be reachable on every host that runs the source)"));
  }
  std::sort(inputs.begin(), inputs.end(),
            [](const InputFile& a, const InputFile& b) { return a.path < b.path; });
  return inputs;
}

std::vector<InputFile> AssignInputs(const std::vector<InputFile>& inputs, uint32_t subtask,
                                    uint32_t parallelism) {
  std::vector<size_t> order(inputs.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return BytesLeft(inputs[a]) > BytesLeft(inputs[b]); });
  std::vector<uint64_t> load(parallelism, 0);
  std::vector<size_t> mine;
  for (const size_t i : order) {
    const auto least = std::min_element(load.begin(), load.end());
    *least += BytesLeft(inputs[i]) + kFileCostBytes;
    if (static_cast<uint32_t>(least - load.begin()) == subtask) mine.push_back(i);
  }
  std::sort(mine.begin(), mine.end());
  std::vector<InputFile> assigned;
  assigned.reserve(mine.size());
  for (const size_t i : mine) assigned.push_back(inputs[i]);
  return assigned;
}

}  // namespace weir
