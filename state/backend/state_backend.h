#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "state/backend/uploaded_files.h"
#include "weir/operator.h"
#include "weir/state_store.h"

namespace weir {

// What a store held at one moment, in files of the local disk that stay while this lives. Any
// thread.
class StoreCheckpoint {
 public:
  struct File {
    // In the store; unique.
    std::string name;
    // Absolute.
    std::string path;
    uint64_t bytes = 0;
    // A later checkpoint of the store that has a file of this name has this one.
    bool immutable = false;
    // Of a log (StoredFile), which is immutable too and no file of the disk; else null.
    std::shared_ptr<const std::string> log = nullptr;
  };
  virtual ~StoreCheckpoint() = default;
  // Has the files made, if they are not there: blocks while what is in memory is written. The store
  // is not written to before. Every call returns what the first did.
  virtual absl::Status Take() = 0;
  // After Take.
  virtual const std::vector<File>& files() const = 0;
  // Of the store's immutable files; the same for all its checkpoints.
  virtual UploadedFiles& uploaded() = 0;
};

// A store that can be written to a checkpoint as its files. Owned by the task's thread.
class OperatorStore : public StateStore {
 public:
  // What was written to the columns. Null: nothing was ever opened.
  virtual absl::StatusOr<std::shared_ptr<StoreCheckpoint>> Checkpoint() = 0;
};

// Files of a store as a checkpoint has them.
struct StoredFile {
  std::string name;
  // Of a file that is in the checkpoint's own: all of it. Else `path`.
  std::string content;
  std::string path;
  // In the job's folder, if it is shared by checkpoints; else empty.
  std::string shared_name;
  uint64_t bytes = 0;
  uint64_t digest = 0;
  // What of a column was logged (StateColumn::LogLater), beside the others; a shared file.
  bool log = false;
};
using StoredFiles = std::vector<StoredFile>;

// What a store begins with: key groups `keeps` of one that had those of `had`.
struct StoredPart {
  KeyGroupRange had;
  KeyGroupRange keeps;
  StoredFiles files;
};
// Of stores with the same states; no key group is in two.
using StoredParts = std::vector<StoredPart>;

// The keyed state in the files of a store, to be read. Thread safe.
class StoredState {
 public:
  virtual ~StoredState() = default;
  // Appends what the state has of the key group, as a KeyedStateSnapshot does; nothing if it has
  // none. kDataLoss: it is damaged.
  virtual absl::Status ReadKeyGroup(const std::string& state, uint32_t key_group,
                                    std::string& out) = 0;
};

// Makes the state stores of one job in one process, where keyed state is not kept in memory alone.
// Thread safe; what it makes is not, but for StoredState. Its calls block.
class StateBackend {
 public:
  virtual ~StateBackend() = default;
  // The store of one operator of one subtask, once for each; with nothing in it, or with what the
  // `parts` have. `node`: index into the graph's nodes. Outlives its columns; the backend outlives
  // the store. kDataLoss: a file is damaged or missing, and which.
  virtual absl::StatusOr<std::unique_ptr<OperatorStore>> Open(uint32_t node, uint32_t subtask,
                                                              const StoredParts* parts) = 0;
  // kDataLoss: a file is damaged, and which.
  virtual absl::StatusOr<std::shared_ptr<StoredState>> Read(const StoredFiles& files) = 0;
};

}  // namespace weir
