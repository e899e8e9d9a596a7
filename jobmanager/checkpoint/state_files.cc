#include "jobmanager/checkpoint/state_files.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/strings.h"

namespace weir::jobmanager {
namespace {

constexpr size_t kMaxNameBytes = 1'024;
constexpr std::string_view kSharedPrefix = "shared/";
constexpr std::string_view kSuffix = ".state";

}  // namespace

absl::Status CheckStateFileName(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes) {
    return absl::InvalidArgumentError(
        StrCat("the name of a state file has ", name.size(), " bytes; 1 to ", kMaxNameBytes));
  }
  std::string_view rest = name;
  while (true) {
    const size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    if (part.empty() || part == "." || part == ".." || part.find('\0') != std::string_view::npos) {
      return absl::InvalidArgumentError(
          StrCat("'", name, "' is no name of a state file: its parts must not be empty, . or .."));
    }
    if (slash == std::string_view::npos) return absl::OkStatus();
    rest.remove_prefix(slash + 1);
  }
}

bool IsShared(std::string_view name) { return name.starts_with(kSharedPrefix); }

std::string SavepointFileName(std::string_view shared_name) {
  WEIR_CHECK(IsShared(shared_name));
  shared_name.remove_prefix(kSharedPrefix.size());
  return StrCat("shared-", shared_name, shared_name.ends_with(kSuffix) ? "" : kSuffix);
}

void SharedFiles::Refer(const std::string& name, uint64_t id) {
  File& file = files_[name];
  if (file.references++ == 0) unreferenced_.erase(name);
  file.last_id = std::max(file.last_id, id);
}

void SharedFiles::Release(const std::string& name) {
  const auto found = files_.find(name);
  WEIR_CHECK(found != files_.end());
  WEIR_CHECK_GT(found->second.references, 0u);
  if (--found->second.references == 0) unreferenced_.insert(name);
}

std::vector<std::string> SharedFiles::TakeUnused(uint64_t newest_complete) {
  std::vector<std::string> unused;
  for (const std::string& name : unreferenced_) {
    if (files_.at(name).last_id < newest_complete) unused.push_back(name);
  }
  std::sort(unused.begin(), unused.end());
  for (const std::string& name : unused) {
    unreferenced_.erase(name);
    files_.erase(name);
  }
  return unused;
}

std::vector<std::string> SharedFiles::Referenced() const {
  std::vector<std::string> names;
  for (const auto& [name, file] : files_) {
    if (file.references > 0) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace weir::jobmanager
