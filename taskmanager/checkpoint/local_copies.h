#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "common/env/forwarding_file_system.h"

namespace weir {

namespace proto {
class JobRestore;
}

// A file system on which what is written to a job's folder of checkpoints is also copied to a
// folder of this host, and a restore reads those copies that are still what was written, so that it
// need not read from far away. A copy is only ever a help: one that cannot be written is left out,
// one that is missing, cut or changed is not read, and the file itself is. All else goes to the
// file system below.
//
// Thread safe; used on IO threads.
class LocalCopies final : public ForwardingFileSystem {
 public:
  struct Options {
    // Of the job's checkpoints, as CheckpointStore has it.
    std::string directory;
    // Of the copies; other workers of the job on this host use it too.
    std::string folder;
    // Of all in it; no more is copied then.
    uint64_t max_bytes = 0;
  };
  // `files` outlives this.
  LocalCopies(FileSystem& files, Options options)
      : ForwardingFileSystem(files), options_(std::move(options)) {}

  // What a restore is to find: from now on a copy of such a file is read if it has the size and the
  // digest that the checkpoint says.
  void Expect(const proto::JobRestore& restore);
  struct Reads {
    uint64_t copies = 0;
    uint64_t originals = 0;
  };
  // Of expected files, since Expect.
  Reads reads() const;

  // A snapshot of a task for checkpoint `id` (0: what it held at its end) refers to these files, by
  // their names.
  void Note(uint64_t id, uint32_t vertex, uint32_t subtask, const std::vector<std::string>& names);
  // The checkpoint is complete: deletes copies that no snapshot for it or a later one refers to, as
  // far as they are of tasks that were noted. Blocks.
  void Tidy(uint64_t completed);

  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenForRead(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<WritableFile>> OpenForWrite(const std::string& path,
                                                             WriteMode mode) override;
  absl::Status Delete(const std::string& path) override;

 private:
  class CopyingFile;

  // The part of the path below the job's folder; empty: it is not there.
  std::string NameOf(const std::string& path) const;
  std::string CopyOf(const std::string& name) const;
  // The copy, if it is there and is what was written.
  std::unique_ptr<RandomAccessFile> OpenCopy(const std::string& name, uint64_t bytes,
                                             uint64_t digest);
  // Room for so many bytes more.
  bool Take(uint64_t bytes);

  const Options options_;

  mutable Mutex mutex_;
  // By name: size and digest.
  std::map<std::string, std::pair<uint64_t, uint64_t>> expected_ ABSL_GUARDED_BY(mutex_);
  Reads reads_ ABSL_GUARDED_BY(mutex_);
  // By checkpoint.
  std::map<uint64_t, std::set<std::string>> noted_ ABSL_GUARDED_BY(mutex_);
  // "<vertex>-<subtask>".
  std::set<std::string> tasks_ ABSL_GUARDED_BY(mutex_);
  // Written here, for snapshots that are not noted yet.
  std::set<std::string> fresh_ ABSL_GUARDED_BY(mutex_);
  // In the folder, as far as is known.
  uint64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace weir
