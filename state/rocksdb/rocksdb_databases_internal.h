#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "state/backend/state_backend.h"
#include "state/rocksdb/rocksdb_checkpoint_internal.h"
#include "state/rocksdb/rocksdb_logs_internal.h"
#include "state/rocksdb/rocksdb_store_internal.h"

namespace weir {

// One state, in each database of a store.
using RocksDbColumns = std::vector<RocksDbDatabase::Column>;

// The databases of one store: one, or after a restore from several stores those that they had, as
// they were. Each has the entries of the key groups from its first one to that of the next one, and
// no others. Which one that is, is decided by the two bytes with which a key begins.
//
// Not one database with a column family for what each store had: RocksDB 7.8 takes the files of a
// column family into another database without what ranges of erased keys in them hide in other
// files, so that what was erased comes back.
//
// Shared by the store, its columns, its checkpoints and the views that are still read, on any
// thread.
class RocksDbDatabases {
 public:
  // What would be more is written anew, to another one of them.
  static constexpr size_t kMost = 8;

  // One with nothing in it if there are no parts, else with what they have.
  static absl::StatusOr<std::shared_ptr<RocksDbDatabases>> Open(
      std::shared_ptr<RocksDbBackend::Shared> shared, const std::string& path,
      const StoredParts* parts);
  RocksDbDatabases(const RocksDbDatabases&) = delete;
  RocksDbDatabases& operator=(const RocksDbDatabases&) = delete;

  size_t size() const { return databases_.size(); }
  RocksDbDatabase& operator[](size_t index) const { return *databases_[index]; }
  // Of the database with the key's key group; missing bytes are zero.
  size_t IndexOf(std::string_view key) const {
    if (databases_.size() == 1) [[likely]] {
      return 0;
    }
    const auto key_group = static_cast<uint32_t>(StateChanges::OrderOf(key.substr(0, 2)) >> 48);
    const auto after =
        std::upper_bound(first_key_groups_.begin(), first_key_groups_.end(), key_group);
    return after == first_key_groups_.begin()
               ? 0
               : static_cast<size_t>(after - 1 - first_key_groups_.begin());
  }
  // Those that may have keys of from <= key < to: from the first to before the second.
  std::pair<size_t, size_t> Between(std::string_view from, std::string_view to) const;
  // How the names of its files begin in a checkpoint of the store.
  std::string FilePrefix(size_t index) const;
  // Takes that from the name of a file; 0 if there is none, as if there is one database. False: it
  // is malformed.
  static bool TakeFilePrefix(std::string_view& name, uint32_t& first_key_group);
  UploadedFiles& uploaded() { return uploaded_; }
  rocksdb::Env& env() const { return *shared_->env; }

  // Of the store's thread. What it returns lives as long as the databases. kFailedPrecondition: it
  // is there, and has another layout.
  absl::StatusOr<RocksDbColumns> AddColumn(const std::string& state, ColumnLayout layout);
  // `work` is done in its turn, by the next CatchUp. Of the store's thread.
  void Defer(absl::AnyInvocable<absl::Status()> work);
  // Something that was deferred is not done, or has failed.
  bool IsBehind() const { return behind_.load(std::memory_order_acquire); }
  // Does what was deferred. Any thread; blocks while another one does. What has failed once, fails
  // every later call: what is there is not what was written.
  absl::Status CatchUp();
  // `flushed_soon`: a checkpoint will be taken.
  absl::Status Write(const std::string& state, const RocksDbColumns& columns,
                     SortedChanges& changes, bool flushed_soon);
  // All with from <= key < to.
  absl::Status EraseRange(const std::string& state, const RocksDbColumns& columns,
                          std::string_view from, std::string_view to);
  // Changes end the log of their column. Used by what is deferred, or after CatchUp.
  RocksDbLogs& logs() { return logs_; }
  // Links to the files that hold what the databases have now; those of before, if nothing was
  // written. Likewise.
  absl::StatusOr<std::shared_ptr<const RocksDbLinks>> Links();

 private:
  explicit RocksDbDatabases(std::shared_ptr<RocksDbBackend::Shared> shared)
      : shared_(std::move(shared)) {}

  const std::shared_ptr<RocksDbBackend::Shared> shared_;
  UploadedFiles uploaded_;
  std::atomic<bool> behind_{false};
  Mutex mutex_;
  std::deque<absl::AnyInvocable<absl::Status()>> deferred_ ABSL_GUARDED_BY(mutex_);
  absl::Status failed_ ABSL_GUARDED_BY(mutex_);
  // One for each database; they ascend.
  std::vector<uint32_t> first_key_groups_;
  std::vector<std::unique_ptr<RocksDbDatabase>> databases_;
  RocksDbLogs logs_;
  // Null: what was written since is not in them.
  std::shared_ptr<const RocksDbLinks> links_;
  uint64_t links_made_ = 0;
};

}  // namespace weir
