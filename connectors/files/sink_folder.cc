#include "connectors/files/sink_folder.h"

#include <charconv>
#include <functional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "weir/hash.h"

namespace weir {
namespace {

// Folders inside one another that are looked into.
constexpr int kMaxDepth = 16;
constexpr std::string_view kLocal = "local";

std::string_view BaseName(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

// Takes what is before the next '-' off the front; false if there is none, or nothing before it.
bool TakePart(std::string_view& in, std::string_view& part) {
  const size_t dash = in.find('-');
  if (dash == std::string_view::npos || dash == 0) return false;
  part = in.substr(0, dash);
  in.remove_prefix(dash + 1);
  return true;
}

template <class Number>
bool TakeNumber(std::string_view& in, Number& number) {
  std::string_view part;
  if (!TakePart(in, part)) return false;
  const auto parsed = std::from_chars(part.data(), part.data() + part.size(), number);
  return parsed.ec == std::errc() && parsed.ptr == part.data() + part.size();
}

bool IsHex(std::string_view text, size_t digits) {
  return text.size() == digits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// The subtask of "part-<subtask>-...", or nothing.
std::optional<uint32_t> SubtaskOfPart(std::string_view name) {
  constexpr std::string_view kPrefix = "part-";
  if (name.substr(0, kPrefix.size()) != kPrefix) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  uint32_t subtask = 0;
  if (!TakeNumber(name, subtask)) return std::nullopt;
  return subtask;
}

// Calls `use` for every file below `folder` that is not hidden, nor in a hidden folder.
absl::Status ForEachVisible(FileSystem& files, const std::string& folder, int depth,
                            const std::function<absl::Status(const std::string& path)>& use) {
  const absl::StatusOr<std::vector<FileInfo>> entries = files.List(folder);
  if (absl::IsNotFound(entries.status())) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(entries.status());
  for (const FileInfo& entry : *entries) {
    if (BaseName(entry.path).front() == '.') continue;
    if (!entry.is_directory) {
      WEIR_RETURN_IF_ERROR(use(entry.path));
    } else if (depth < kMaxDepth) {
      WEIR_RETURN_IF_ERROR(ForEachVisible(files, entry.path, depth + 1, use));
    }
  }
  return absl::OkStatus();
}

}  // namespace

HiddenFileOwner HiddenFileOwner::Of(const RunInfo& run, std::string_view uid) {
  HiddenFileOwner owner;
  owner.job = run.job.empty() ? std::string(kLocal) : run.job;
  owner.sink = absl::StrCat(absl::Hex(KeyHash(std::string(uid)), absl::kZeroPad16));
  owner.attempt = run.attempt;
  owner.after_checkpoint = run.restored_checkpoint;
  return owner;
}

std::string HiddenName(const HiddenFileOwner& owner, std::string_view token,
                       std::string_view name) {
  return StrCat(owner.job, "-", owner.sink, "-", owner.attempt, "-", owner.after_checkpoint, "-",
                token, "-", name);
}

std::optional<HiddenFileOwner> OwnerOfHidden(std::string_view file_name) {
  HiddenFileOwner owner;
  std::string_view job;
  std::string_view sink;
  std::string_view token;
  if (!TakePart(file_name, job) || !TakePart(file_name, sink) ||
      !TakeNumber(file_name, owner.attempt) || !TakeNumber(file_name, owner.after_checkpoint) ||
      !TakePart(file_name, token) || file_name.empty()) {
    return std::nullopt;
  }
  if (!(job == kLocal || IsHex(job, 32)) || !IsHex(sink, 16) || !IsHex(token, 16)) {
    return std::nullopt;
  }
  owner.job = job;
  owner.sink = sink;
  owner.subtask = SubtaskOfPart(file_name);
  return owner;
}

absl::Status RefuseOldResults(FileSystem& files, const std::string& folder,
                              const OldResults& options) {
  if (!options.others_may_have_finished && options.subtask != 0) return absl::OkStatus();
  return ForEachVisible(files, folder, 0, [&](const std::string& path) -> absl::Status {
    const std::optional<uint32_t> subtask = SubtaskOfPart(BaseName(path));
    if (options.others_may_have_finished && subtask.has_value() && *subtask != options.subtask &&
        *subtask < options.parallelism) {
      return absl::OkStatus();
    }
    const size_t prefix = folder.size() + (folder.back() == '/' ? 0 : 1);
    return absl::AlreadyExistsError(
        StrCat("the folder '", folder, "' holds '", path.substr(prefix),
               "' already, and results of different runs are not mixed: empty it, choose another "
               "path, or set .overwrite = "
               "true"));
  });
}

absl::Status DeleteOldResults(FileSystem& files, const std::string& folder,
                              const OldResults& options) {
  return ForEachVisible(files, folder, 0, [&](const std::string& path) -> absl::Status {
    const std::optional<uint32_t> subtask = SubtaskOfPart(BaseName(path));
    if (!subtask.has_value()) return absl::OkStatus();
    const bool own = *subtask == options.subtask;
    const bool nobodys = options.subtask == 0 &&
                         (*subtask >= options.parallelism || !options.others_may_have_finished);
    if (!own && !nobodys) return absl::OkStatus();
    const absl::Status deleted = files.Delete(path);
    return absl::IsNotFound(deleted) ? absl::OkStatus() : deleted;
  });
}

absl::Status DeleteLeftovers(FileSystem& files, const std::string& hidden_folder,
                             const HiddenFileOwner& self, uint64_t restored_checkpoint,
                             uint32_t subtask, uint32_t parallelism) {
  const absl::StatusOr<std::vector<FileInfo>> entries = files.List(hidden_folder);
  if (absl::IsNotFound(entries.status())) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(entries.status());
  for (const FileInfo& entry : *entries) {
    const std::optional<HiddenFileOwner> owner = OwnerOfHidden(BaseName(entry.path));
    if (!owner.has_value() || owner->job != self.job || owner->sink != self.sink ||
        owner->attempt >= self.attempt || owner->after_checkpoint < restored_checkpoint) {
      continue;
    }
    const bool nobodys = owner->subtask.value_or(parallelism) >= parallelism;
    if (nobodys ? subtask != 0 : *owner->subtask != subtask) continue;
    const absl::Status deleted = files.Delete(entry.path);
    if (!deleted.ok() && !absl::IsNotFound(deleted)) return deleted;
  }
  return absl::OkStatus();
}

}  // namespace weir
