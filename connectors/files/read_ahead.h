#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
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
  // Counted from the first file that was added.
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

// Reads files one after the other, ahead of the task, on Env's blocking pool: at most one piece of
// work at a time, of a chunk each. What was read waits in a bounded queue.
//
// Made, fed and closed on the task's thread; the work on the pool shares the object and outlives
// Close by at most one chunk.
class ReadAhead : public std::enable_shared_from_this<ReadAhead> {
 public:
  // `wake` is called from the pool after Take returned nothing and there is something now; never
  // after Close.
  static std::shared_ptr<ReadAhead> Make(Env& env, ReadAheadOptions options,
                                         std::function<void()> wake);
  // More to read, behind all that was added before, each from its offset on.
  void Add(const std::vector<InputFile>& files);
  // The next piece; nothing if it is not there yet or all were taken. A failed reading is returned
  // after the chunks before it.
  absl::StatusOr<std::optional<FileChunk>> Take();
  // All chunks of all files that were added were taken.
  bool all_taken() const;
  // Gives back the memory of a chunk.
  void Recycle(std::unique_ptr<char[]> memory);
  // Ends reading. No wake after it.
  void Close();

 private:
  struct Source {
    std::string path;
    uint64_t size_bytes = 0;
    uint64_t offset = 0;
  };

  ReadAhead(Env& env, ReadAheadOptions options, std::function<void()> wake)
      : env_(env), options_(options), wake_(std::move(wake)) {}

  size_t buffer_bytes() const;
  bool MayWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Schedule();
  // On the pool. One step: reads one chunk of the first file.
  void Work();
  absl::Status ReadChunk(const Source& file, FileChunk& chunk);

  Env& env_;
  const ReadAheadOptions options_;

  // Touched by the work on the pool only, of which there is one at a time.
  std::unique_ptr<InputStream> stream_;

  mutable Mutex mutex_;
  std::function<void()> wake_ ABSL_GUARDED_BY(mutex_);
  // Not read to their ends.
  std::deque<Source> files_ ABSL_GUARDED_BY(mutex_);
  // Of the first of them, counted from the first that was added.
  size_t first_file_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<FileChunk> chunks_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<char[]>> free_ ABSL_GUARDED_BY(mutex_);
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  bool working_ ABSL_GUARDED_BY(mutex_) = false;
  // The consumer found nothing and waits for wake_.
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace weir
