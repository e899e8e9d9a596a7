#include "connectors/files/read_ahead.h"

#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "connectors/json/json_line_reader.h"

namespace weir {

std::shared_ptr<ReadAhead> ReadAhead::Make(Env& env, ReadAheadOptions options, Lister lister,
                                           std::function<void()> wake) {
  return std::shared_ptr<ReadAhead>(
      new ReadAhead(env, options, std::move(lister), std::move(wake)));
}

size_t ReadAhead::buffer_bytes() const {
  return options_.headroom_bytes + options_.chunk_bytes + kJsonPaddingBytes;
}

void ReadAhead::Start(uint64_t offset) {
  start_offset_ = offset;
  {
    MutexLock lock(mutex_);
    working_ = true;
  }
  Schedule();
}

void ReadAhead::Schedule() {
  env_.RunBlocking([self = shared_from_this()] { self->Work(); });
}

std::shared_ptr<const std::vector<InputFile>> ReadAhead::files() const {
  MutexLock lock(mutex_);
  return files_;
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
      waiting_ = !done_;
    }
    if (!working_ && !done_ && !closed_ && chunks_.size() < options_.max_chunks) {
      working_ = true;
      schedule = true;
    }
  }
  if (schedule) Schedule();
  return taken;
}

bool ReadAhead::ended() const {
  MutexLock lock(mutex_);
  return done_ && chunks_.empty() && error_.ok();
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
  bool listed = false;
  {
    MutexLock lock(mutex_);
    if (closed_) return;
    listed = files_ != nullptr;
    if (!free_.empty()) {
      chunk.memory = std::move(free_.back());
      free_.pop_back();
    }
  }
  absl::Status status = listed ? absl::OkStatus() : ListFiles();
  bool has_chunk = false;
  if (status.ok()) {
    if (chunk.memory == nullptr) chunk.memory.reset(new char[buffer_bytes()]);
    auto read = ReadChunk(chunk);
    status = read.status();
    has_chunk = read.ok() && *read;
  }
  bool again = false;
  {
    MutexLock lock(mutex_);
    if (closed_) return;
    if (has_chunk) {
      chunks_.push_back(std::move(chunk));
    } else {
      error_ = status;
      done_ = true;
    }
    again = has_chunk && chunks_.size() < options_.max_chunks;
    working_ = again;
    if (waiting_) {
      waiting_ = false;
      wake_();
    }
  }
  if (again) Schedule();
}

absl::Status ReadAhead::ListFiles() {
  WEIR_ASSIGN_OR_RETURN(list_, lister_(env_.files()));
  auto shared = std::make_shared<const std::vector<InputFile>>(list_);
  MutexLock lock(mutex_);
  files_ = std::move(shared);
  return absl::OkStatus();
}

absl::StatusOr<bool> ReadAhead::ReadChunk(FileChunk& chunk) {
  if (stream_ == nullptr && next_file_ == list_.size()) return false;
  const InputFile& file = list_[next_file_];
  if (stream_ == nullptr) {
    WEIR_ASSIGN_OR_RETURN(
        stream_, InputStream::Open(env_.files(), file.path, next_file_ == 0 ? start_offset_ : 0));
  }
  chunk.file = next_file_;
  char* const content = chunk.memory.get() + options_.headroom_bytes;
  while (chunk.size < options_.chunk_bytes && !chunk.end_of_file) {
    WEIR_ASSIGN_OR_RETURN(const size_t n,
                          stream_->Read(content + chunk.size, options_.chunk_bytes - chunk.size));
    chunk.size += n;
    chunk.end_of_file = n == 0;
  }
  if (chunk.end_of_file) {
    if (stream_->file_bytes_read() < file.size_bytes) {
      return absl::DataLossError(StrCat(file.path, ": ended after ", stream_->file_bytes_read(),
                                        " bytes, but had ", file.size_bytes,
                                        " when the job started; was it replaced?"));
    }
    stream_.reset();
    ++next_file_;
  }
  return true;
}

}  // namespace weir
