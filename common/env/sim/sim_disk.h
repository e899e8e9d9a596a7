#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/env/file_system.h"
#include "common/env/sim/sim_random.h"

namespace weir {

// The disk of a simulated host: a tree of files in memory, with what would be left of it after a
// power failure. Survives its processes. A file's content is durable once synced, its name once its
// folder was; folders are durable at once. Of a file that was renamed the old name is left, or the
// new one, or both, but not none, as file systems with a journal have it. Not thread safe.
class SimDisk {
 public:
  // What a crash of the host loses: nothing (as when a process is killed), all that was not synced,
  // or some of it, drawn at random: names one by one, and of a file's unsynced end a random part.
  enum class Loss { kNothing, kAllUnsynced, kSomeUnsynced };

  // A file, whatever its names are.
  struct Inode {
    std::string data;
    std::string synced;
    absl::Time modified;
  };

  SimDisk();

  void Crash(Loss loss, SimRandom& random);

  // Writing beyond it fails with kResourceExhausted.
  void set_capacity_bytes(uint64_t bytes) { capacity_bytes_ = bytes; }
  uint64_t used_bytes() const;
  // Asked before each operation ("open", "create", "read", "append", "sync", "rename", "list",
  // "stat", "mkdir", "delete") on a path; what it returns, if not OK, is the operation's result.
  using Fault = std::function<absl::Status(std::string_view operation, const std::string& path)>;
  void set_fault(Fault fault) { fault_ = std::move(fault); }

  // The operations of FileSystem; paths are normalized ("/a/b").
  absl::StatusOr<std::shared_ptr<Inode>> Open(const std::string& path) const;
  absl::StatusOr<std::shared_ptr<Inode>> Create(const std::string& path, FileSystem::WriteMode mode,
                                                absl::Time now);
  absl::Status Append(Inode& inode, const std::string& path, std::string_view data, absl::Time now);
  absl::StatusOr<FileInfo> Stat(const std::string& path) const;
  absl::StatusOr<std::vector<FileInfo>> List(const std::string& directory) const;
  absl::Status CreateDirectories(const std::string& path);
  absl::Status Rename(const std::string& from, const std::string& to);
  absl::Status SyncDirectory(const std::string& path);
  absl::Status Delete(const std::string& path);
  absl::Status DeleteRecursively(const std::string& path);
  absl::Status CheckFault(std::string_view operation, const std::string& path) const;

 private:
  // A null inode is a folder.
  using Names = std::map<std::string, std::shared_ptr<Inode>>;

  absl::Status CheckFolder(std::string_view doing, const std::string& path) const;
  bool HasChildren(const std::string& directory) const;
  // Old names for which `gone` holds cease to be durable: the new ones are from now on.
  void SettleRenames(const std::function<bool(const std::string& from)>& gone);

  Names names_;
  // What the names were when their folders were last synced.
  Names durable_names_;
  // Files whose old name is durable still.
  struct Renamed {
    std::string from;
    std::string to;
    std::shared_ptr<Inode> inode;
  };
  std::vector<Renamed> renamed_;
  uint64_t capacity_bytes_ = UINT64_MAX;
  Fault fault_;
};

}  // namespace weir
