#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/env/env.h"
#include "connectors/files/input_listing.h"
#include "connectors/files/input_stream.h"

namespace weir {

// A piece of a file. `memory` holds `headroom` free bytes, then `size` bytes of content, then
// kJsonPaddingBytes at least.
struct FileChunk {
  std::unique_ptr<char[]> memory;
  size_t size = 0;
  // Index into the files that are read.
  size_t file = 0;
  // No more of this file follows.
  bool end_of_file = false;
};

struct ReadAheadOptions {
  size_t chunk_bytes = 256 << 10;
  // Free bytes before the content of a chunk: room for the begun line of the chunk before.
  size_t headroom_bytes = 8 << 10;
  // Chunks that are read and not yet taken; at the bound reading stops until one is taken.
  size_t max_chunks = 4;
};

// Lists the files of a source and reads them one after the other, ahead of the task, on Env's
// blocking pool: at most one piece of work at a time, of a chunk each. What was read waits in a
// bounded queue.
//
// Made, fed back and closed on the task's thread; the work on the pool shares the object and
// outlives Close by at most one chunk.
class ReadAhead : public std::enable_shared_from_this<ReadAhead> {
 public:
  using Lister = std::function<absl::StatusOr<std::vector<InputFile>>(FileSystem&)>;

  // `lister` runs once, on the pool. `wake` is called from there after Take returned nothing and
  // there is something now; never after Close.
  static std::shared_ptr<ReadAhead> Make(Env& env, ReadAheadOptions options, Lister lister,
                                         std::function<void()> wake);
  // Begins, with the first file at `offset` of its content.
  void Start(uint64_t offset);
  // The files being read, in order; null until they are listed.
  std::shared_ptr<const std::vector<InputFile>> files() const;
  // The next piece; nothing if it is not there yet or all were taken (see ended). A failed listing
  // or reading is returned after the chunks before it.
  absl::StatusOr<std::optional<FileChunk>> Take();
  // All chunks of all files were taken.
  bool ended() const;
  // Gives back the memory of a chunk.
  void Recycle(std::unique_ptr<char[]> memory);
  // Ends reading. No wake after it.
  void Close();

  const ReadAheadOptions& options() const { return options_; }
  size_t buffer_bytes() const;

 private:
  ReadAhead(Env& env, ReadAheadOptions options, Lister lister, std::function<void()> wake)
      : env_(env), options_(options), lister_(std::move(lister)), wake_(std::move(wake)) {}

  void Schedule();
  // On the pool. One step: lists the files or reads one chunk.
  void Work();
  absl::Status ListFiles();
  // Fills `chunk`; false if there are no more files.
  absl::StatusOr<bool> ReadChunk(FileChunk& chunk);

  Env& env_;
  const ReadAheadOptions options_;
  const Lister lister_;

  // Touched by the work on the pool only, of which there is one at a time.
  std::vector<InputFile> list_;
  size_t next_file_ = 0;
  uint64_t start_offset_ = 0;
  std::unique_ptr<InputStream> stream_;

  mutable Mutex mutex_;
  std::function<void()> wake_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const std::vector<InputFile>> files_ ABSL_GUARDED_BY(mutex_);
  std::deque<FileChunk> chunks_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<char[]>> free_ ABSL_GUARDED_BY(mutex_);
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  bool working_ ABSL_GUARDED_BY(mutex_) = false;
  // The consumer found nothing and waits for wake_.
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;
  // Everything was read, or an error ended it.
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace weir
