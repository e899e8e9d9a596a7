#include "connectors/files/read_ahead.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "connectors/json/json_line_reader.h"

namespace weir {

std::shared_ptr<ReadAhead> ReadAhead::Make(Env& env, ReadAheadOptions options,
                                           std::function<void()> wake) {
  return std::shared_ptr<ReadAhead>(new ReadAhead(env, options, std::move(wake)));
}

size_t ReadAhead::buffer_bytes() const {
  return options_.headroom_bytes + options_.chunk_bytes + kJsonPaddingBytes;
}

bool ReadAhead::MayWork() const {
  return !working_ && !closed_ && error_.ok() && !files_.empty() &&
         chunks_.size() < options_.max_chunks;
}

void ReadAhead::Schedule() {
  env_.RunBlocking([self = shared_from_this()] { self->Work(); });
}

void ReadAhead::Add(const std::vector<InputFile>& files) {
  bool schedule = false;
  {
    MutexLock lock(mutex_);
    for (const InputFile& file : files) {
      files_.push_back({.path = file.path, .size_bytes = file.size_bytes, .offset = file.offset});
    }
    schedule = MayWork();
    working_ |= schedule;
  }
  if (schedule) Schedule();
}

absl::StatusOr<std::optional<FileChunk>> ReadAhead::Take() {
  std::optional<FileChunk> taken;
  bool schedule = false;
  {
    MutexLock lock(mutex_);
    if (!chunks_.empty()) {
      taken = std::move(chunks_.front());
      chunks_.pop_front();
    } else if (!error_.ok()) {
      return error_;
    } else {
      waiting_ = !files_.empty();
    }
    schedule = MayWork();
    working_ |= schedule;
  }
  if (schedule) Schedule();
  return taken;
}

bool ReadAhead::all_taken() const {
  MutexLock lock(mutex_);
  return files_.empty() && chunks_.empty() && error_.ok();
}

void ReadAhead::Recycle(std::unique_ptr<char[]> memory) {
  MutexLock lock(mutex_);
  if (free_.size() < options_.max_chunks) free_.push_back(std::move(memory));
}

void ReadAhead::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  wake_ = nullptr;
  chunks_.clear();
  free_.clear();
}

void ReadAhead::Work() {
  FileChunk chunk;
  Source file;
  {
    MutexLock lock(mutex_);
    if (closed_) return;
    file = files_.front();
    chunk.file = first_file_;
    if (!free_.empty()) {
      chunk.memory = std::move(free_.back());
      free_.pop_back();
    }
  }
  if (chunk.memory == nullptr) chunk.memory.reset(new char[buffer_bytes()]);
  const absl::Status status = ReadChunk(file, chunk);
  bool again = false;
  {
    MutexLock lock(mutex_);
    if (closed_) return;
    working_ = false;
    if (!status.ok()) {
      error_ = status;
    } else {
      if (chunk.end_of_file) {
        files_.pop_front();
        ++first_file_;
      }
      chunks_.push_back(std::move(chunk));
    }
    again = MayWork();
    working_ = again;
    if (waiting_) {
      waiting_ = false;
      wake_();
    }
  }
  if (again) Schedule();
}

absl::Status ReadAhead::ReadChunk(const Source& file, FileChunk& chunk) {
  if (stream_ == nullptr) {
    WEIR_ASSIGN_OR_RETURN(stream_, InputStream::Open(env_.files(), file.path, file.offset));
  }
  char* const content = chunk.memory.get() + options_.headroom_bytes;
  while (chunk.size < options_.chunk_bytes && !chunk.end_of_file) {
    WEIR_ASSIGN_OR_RETURN(const size_t n,
                          stream_->Read(content + chunk.size, options_.chunk_bytes - chunk.size));
    chunk.size += n;
    chunk.end_of_file = n == 0;
  }
  if (!chunk.end_of_file) return absl::OkStatus();
  if (stream_->file_bytes_read() < file.size_bytes) {
    return absl::DataLossError(StrCat(file.path, ": ended after ", stream_->file_bytes_read(),
                                      " bytes, but had ", file.size_bytes,
                                      " when it was found; was it replaced?"));
  }
  stream_.reset();
  return absl::OkStatus();
}

}  // namespace weir
