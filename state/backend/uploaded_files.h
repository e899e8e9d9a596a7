#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "common/base/mutex.h"

namespace weir {

// Which immutable files of a store lie in the folder of shared files, and since which checkpoint.
// One whose checkpoint is not known to be complete may be gone, or only half there: it is written
// again, under another name (failures rule 2: what is unknown is not relied on). Thread safe.
class UploadedFiles {
 public:
  struct Shared {
    // "shared/<name>".
    std::string name;
    // Absolute.
    std::string path;
    uint64_t bytes = 0;
    uint64_t digest = 0;
    // For which it was written; 0: a restored one has it.
    uint64_t checkpoint = 0;
  };

  // The shared file with the content of `file` of the store, if a checkpoint of at most `complete`
  // has it, and it lies in `directory`, the job's.
  std::optional<Shared> Find(const std::string& file, uint64_t complete,
                             const std::string& directory) const {
    MutexLock lock(mutex_);
    const auto found = files_.find(file);
    if (found == files_.end() || found->second.checkpoint > complete ||
        found->second.path != directory + "/" + found->second.name) {
      return std::nullopt;
    }
    return found->second;
  }
  // It is durable.
  void Add(const std::string& file, Shared shared) {
    MutexLock lock(mutex_);
    Shared& known = files_[file];
    if (known.name.empty() || known.checkpoint <= shared.checkpoint) known = std::move(shared);
  }
  // The newest checkpoint has only the files for which `live` is true: no later one has others.
  template <class Live>
  void Retain(Live&& live) {
    MutexLock lock(mutex_);
    std::erase_if(files_, [&](const auto& entry) { return !live(entry.first); });
  }
  size_t size() const {
    MutexLock lock(mutex_);
    return files_.size();
  }

 private:
  mutable Mutex mutex_;
  std::map<std::string, Shared> files_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace weir
