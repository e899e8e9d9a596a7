#include "common/env/sim/sim_disk.h"

#include <algorithm>
#include <set>

#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace weir {
namespace {

std::string ParentOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string ChildPrefix(const std::string& directory) {
  return directory == "/" ? directory : directory + "/";
}

bool IsUnder(const std::string& path, const std::string& directory) {
  return path != directory && path.starts_with(ChildPrefix(directory));
}

absl::Status NotFound(std::string_view doing, const std::string& path) {
  return absl::NotFoundError(StrCat(doing, " '", path, "': No such file or directory"));
}

}  // namespace

SimDisk::SimDisk() {
  names_["/"] = nullptr;
  durable_names_["/"] = nullptr;
}

absl::Status SimDisk::CheckFault(std::string_view operation, const std::string& path) const {
  return fault_ ? fault_(operation, path) : absl::OkStatus();
}

void SimDisk::Crash(Loss loss, SimRandom& random) {
  if (loss == Loss::kNothing) return;
  if (loss == Loss::kAllUnsynced) {
    names_ = durable_names_;
  } else {
    Names left;
    std::set<std::string> all;
    for (const auto& [path, inode] : names_) all.insert(path);
    for (const auto& [path, inode] : durable_names_) all.insert(path);
    for (const std::string& path : all) {
      const Names& source = random.Chance(0.5) ? names_ : durable_names_;
      const auto entry = source.find(path);
      // A name whose folder is lost is lost with it.
      const bool has_folder = path == "/" || left.contains(ParentOf(path));
      if (entry != source.end() && has_folder) left.insert(*entry);
    }
    for (const Renamed& renamed : renamed_) {
      const auto old = durable_names_.find(renamed.from);
      const bool was_durable = old != durable_names_.end() && old->second == renamed.inode;
      if (was_durable && !left.contains(renamed.from) && !left.contains(renamed.to)) {
        left.insert(*old);
      }
    }
    names_ = std::move(left);
  }
  renamed_.clear();
  for (const auto& [path, inode] : names_) {
    if (inode == nullptr) continue;
    size_t kept = inode->synced.size();
    if (loss == Loss::kSomeUnsynced && inode->data.starts_with(inode->synced)) {
      kept += random.Below(inode->data.size() - inode->synced.size() + 1);
      inode->data.resize(kept);
    } else {
      inode->data = inode->synced;
    }
    inode->synced = inode->data;
  }
  durable_names_ = names_;
}

uint64_t SimDisk::used_bytes() const {
  uint64_t used = 0;
  for (const auto& [path, inode] : names_) {
    if (inode != nullptr) used += inode->data.size();
  }
  return used;
}

absl::Status SimDisk::CheckFolder(std::string_view doing, const std::string& path) const {
  const auto entry = names_.find(path);
  if (entry == names_.end()) return NotFound(doing, path);
  if (entry->second != nullptr) {
    return absl::NotFoundError(StrCat(doing, " '", path, "': Not a directory"));
  }
  return absl::OkStatus();
}

bool SimDisk::HasChildren(const std::string& directory) const {
  const auto next = names_.upper_bound(ChildPrefix(directory));
  return next != names_.end() && IsUnder(next->first, directory);
}

absl::StatusOr<std::shared_ptr<SimDisk::Inode>> SimDisk::Open(const std::string& path) const {
  const auto entry = names_.find(path);
  if (entry == names_.end()) return NotFound("opening", path);
  if (entry->second == nullptr) {
    return absl::FailedPreconditionError(StrCat("opening '", path, "': Is a directory"));
  }
  return entry->second;
}

absl::StatusOr<std::shared_ptr<SimDisk::Inode>> SimDisk::Create(const std::string& path,
                                                                FileSystem::WriteMode mode,
                                                                absl::Time now) {
  WEIR_RETURN_IF_ERROR(CheckFolder("opening for writing in", ParentOf(path)));
  const auto entry = names_.find(path);
  if (entry == names_.end()) {
    auto inode = std::make_shared<Inode>();
    inode->modified = now;
    names_[path] = inode;
    return inode;
  }
  if (mode == FileSystem::WriteMode::kCreateNew) {
    return absl::AlreadyExistsError(StrCat("opening for writing '", path, "': File exists"));
  }
  if (entry->second == nullptr) {
    return absl::FailedPreconditionError(
        StrCat("opening for writing '", path, "': Is a directory"));
  }
  if (mode == FileSystem::WriteMode::kTruncate) {
    entry->second->data.clear();
    entry->second->modified = now;
  }
  return entry->second;
}

absl::Status SimDisk::Append(Inode& inode, const std::string& path, std::string_view data,
                             absl::Time now) {
  // Only a limited disk is added up.
  if (capacity_bytes_ != UINT64_MAX) {
    const uint64_t used = used_bytes();
    const uint64_t free = used >= capacity_bytes_ ? 0 : capacity_bytes_ - used;
    if (data.size() > free) {
      // As a real disk does: what fits is written.
      inode.data.append(data.substr(0, free));
      inode.modified = now;
      return absl::ResourceExhaustedError(StrCat("writing '", path, "': No space left on device"));
    }
  }
  inode.data.append(data);
  inode.modified = now;
  return absl::OkStatus();
}

absl::StatusOr<FileInfo> SimDisk::Stat(const std::string& path) const {
  const auto entry = names_.find(path);
  if (entry == names_.end()) return NotFound("looking at", path);
  FileInfo info;
  info.path = path;
  info.is_directory = entry->second == nullptr;
  if (entry->second != nullptr) {
    info.size_bytes = entry->second->data.size();
    info.modified = entry->second->modified;
  }
  return info;
}

absl::StatusOr<std::vector<FileInfo>> SimDisk::List(const std::string& directory) const {
  WEIR_RETURN_IF_ERROR(CheckFolder("listing", directory));
  std::vector<FileInfo> entries;
  for (auto entry = names_.upper_bound(ChildPrefix(directory));
       entry != names_.end() && IsUnder(entry->first, directory); ++entry) {
    if (ParentOf(entry->first) != directory) continue;
    WEIR_ASSIGN_OR_RETURN(FileInfo info, Stat(entry->first));
    entries.push_back(std::move(info));
  }
  return entries;
}

absl::Status SimDisk::CreateDirectories(const std::string& path) {
  if (path != "/") WEIR_RETURN_IF_ERROR(CreateDirectories(ParentOf(path)));
  const auto entry = names_.find(path);
  if (entry != names_.end() && entry->second != nullptr) {
    return absl::AlreadyExistsError(
        StrCat("making the folder (a file has its name) '", path, "': File exists"));
  }
  names_[path] = nullptr;
  durable_names_[path] = nullptr;
  return absl::OkStatus();
}

absl::Status SimDisk::Rename(const std::string& from, const std::string& to) {
  const auto source = names_.find(from);
  if (source == names_.end()) return NotFound(StrCat("renaming to '", to, "'"), from);
  WEIR_RETURN_IF_ERROR(CheckFolder("renaming into", ParentOf(to)));
  const auto target = names_.find(to);
  const bool is_folder = source->second == nullptr;
  if (target != names_.end() && (target->second == nullptr) != is_folder) {
    return absl::FailedPreconditionError(
        StrCat("renaming '", from, "' to '", to, "': one is a folder, the other is not"));
  }
  if (is_folder && (HasChildren(to) || IsUnder(to, from))) {
    return absl::FailedPreconditionError(
        StrCat("renaming '", from, "' to '", to, "': Directory not empty"));
  }
  if (from == to) return absl::OkStatus();
  Names moved;
  for (auto it = names_.begin(); it != names_.end();) {
    if (it->first == from || (is_folder && IsUnder(it->first, from))) {
      moved[to + it->first.substr(from.size())] = it->second;
      it = names_.erase(it);
    } else {
      ++it;
    }
  }
  for (auto& [path, inode] : moved) names_[path] = inode;
  if (!is_folder && durable_names_.contains(from)) {
    renamed_.push_back({from, to, names_.at(to)});
  }
  if (is_folder) {
    SettleRenames([&](const std::string& old) { return IsUnder(old, from); });
    // Folders are durable at once, with what was durable below them.
    Names durable;
    for (auto it = durable_names_.begin(); it != durable_names_.end();) {
      if (it->first == from || IsUnder(it->first, from)) {
        durable[to + it->first.substr(from.size())] = it->second;
        it = durable_names_.erase(it);
      } else {
        ++it;
      }
    }
    for (auto& [path, inode] : durable) durable_names_[path] = inode;
  }
  return absl::OkStatus();
}

void SimDisk::SettleRenames(const std::function<bool(const std::string&)>& gone) {
  std::erase_if(renamed_, [&](const Renamed& renamed) {
    if (!gone(renamed.from)) return false;
    const auto there = names_.find(renamed.to);
    if (there != names_.end() && there->second == renamed.inode) {
      durable_names_[renamed.to] = renamed.inode;
    }
    return true;
  });
}

absl::Status SimDisk::SyncDirectory(const std::string& path) {
  WEIR_RETURN_IF_ERROR(CheckFolder("syncing the folder", path));
  SettleRenames([&](const std::string& from) { return ParentOf(from) == path; });
  const auto is_file_of = [&](const auto& entry) {
    return entry.second != nullptr && ParentOf(entry.first) == path;
  };
  std::erase_if(durable_names_, is_file_of);
  for (const auto& entry : names_) {
    if (is_file_of(entry)) durable_names_[entry.first] = entry.second;
  }
  return absl::OkStatus();
}

absl::Status SimDisk::Delete(const std::string& path) {
  const auto entry = names_.find(path);
  if (entry == names_.end()) return NotFound("deleting", path);
  if (entry->second == nullptr) {
    if (path == "/" || HasChildren(path)) {
      return absl::FailedPreconditionError(StrCat("deleting '", path, "': Directory not empty"));
    }
    SettleRenames([&](const std::string& from) { return IsUnder(from, path); });
    std::erase_if(durable_names_, [&](const auto& durable) {
      return durable.first == path || IsUnder(durable.first, path);
    });
  }
  names_.erase(entry);
  return absl::OkStatus();
}

absl::Status SimDisk::DeleteRecursively(const std::string& path) {
  const auto entry = names_.find(path);
  if (entry == names_.end()) return absl::OkStatus();
  const bool is_folder = entry->second == nullptr;
  const auto goes_name = [&](const std::string& name) {
    return name != "/" && (name == path || IsUnder(name, path));
  };
  const auto goes = [&](const auto& name) { return goes_name(name.first); };
  if (is_folder) SettleRenames(goes_name);
  std::erase_if(names_, goes);
  if (is_folder) std::erase_if(durable_names_, goes);
  return absl::OkStatus();
}

}  // namespace weir
