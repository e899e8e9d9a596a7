#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"

namespace weir::jobmanager {

// Relative, not empty, at most 1,024 bytes, and no part of it is empty, "." or "..".
absl::Status CheckStateFileName(std::string_view name);
// It belongs to the job, not to one checkpoint.
bool IsShared(std::string_view name);
// What the copy of a shared file is called in the folder of a savepoint; no task writes a file of
// such a name.
std::string SavepointFileName(std::string_view shared_name);

// Who still needs the shared files of a job: acknowledgements of pending checkpoints, final
// snapshots, complete checkpoints and savepoints hold references. Pure; owned by one executor.
//
// A file without references may go once a checkpoint is complete that is newer than the last one
// that told of it: every task has then taken a snapshot without it, and a task never refers to a
// file again that its last snapshot did not have.
class SharedFiles {
 public:
  // `name` is told of by checkpoint `id`.
  void Refer(const std::string& name, uint64_t id);
  // Gives one reference back. Its name must be known.
  void Release(const std::string& name);
  // Takes out the files without references that were last told of before `newest_complete`, by
  // name.
  std::vector<std::string> TakeUnused(uint64_t newest_complete);

  bool Knows(const std::string& name) const { return files_.contains(name); }
  // Those with references, by name.
  std::vector<std::string> Referenced() const;
  size_t size() const { return files_.size(); }

 private:
  struct File {
    uint64_t references = 0;
    uint64_t last_id = 0;
  };

  absl::flat_hash_map<std::string, File> files_;
  absl::flat_hash_set<std::string> unreferenced_;
};

}  // namespace weir::jobmanager
