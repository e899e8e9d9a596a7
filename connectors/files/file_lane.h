#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/env/env.h"
#include "connectors/files/input_listing.h"
#include "connectors/files/read_ahead.h"
#include "connectors/files/record_framing.h"
#include "connectors/files/record_parser.h"
#include "weir/connectors.h"
#include "weir/source.h"

namespace weir {

// What the lanes of a source have in common. All outlives them.
struct FileReading {
  Env& env;
  const Files& settings;
  const RecordType& type;
  ReadAheadOptions options;
  SourceContext& context;
  Counter& skipped;
  // Records that could not be decoded, if they are wanted.
  Batch<MalformedRecord>& malformed;
};

// Reads files one after the other: a split of a source. They are read and decompressed on Env's
// blocking pool, a bounded number of chunks ahead; records are decoded in Poll. Owned by the task's
// thread.
class FileLane {
 public:
  enum class State { kMore, kWait, kEnd };

  explicit FileLane(const FileReading& reading);
  ~FileLane();

  // More to read, behind all that was added before.
  void Add(std::vector<InputFile> files);
  // Appends up to `max_records` records to `batch`. kWait: nothing more now, the context is woken.
  // kEnd: all that was added is read, now or before; Poll may be called again after Add.
  absl::StatusOr<State> Poll(BatchBase& batch, size_t max_records);
  // What is still to be read, with how far it was.
  std::vector<InputFile> Left() const;
  // What is read now, or next; empty: nothing is left.
  std::string Path() const { return files_.empty() ? std::string() : path(); }
  // The paths that were read to their end since the last call.
  std::vector<std::string> TakeFinished() { return std::exchange(finished_, {}); }

 private:
  // Goes on by one record, which may be blank or malformed.
  absl::StatusOr<State> ReadRecord(BatchBase& batch);
  // Takes the next chunk; kMore if there was one.
  absl::StatusOr<State> TakeChunk();
  absl::Status BeginFile();
  void EndFile();
  absl::Status OnRecord(std::string_view record, BatchBase& batch);
  // Handles a record that `reason` says cannot be decoded.
  absl::Status OnMalformed(std::string_view record, const absl::Status& reason);
  absl::Status AtLine(const absl::Status& status) const;
  const std::string& path() const { return files_.front().path; }

  const FileReading reading_;
  const std::shared_ptr<ReadAhead> read_ahead_;
  // Not read to their end; the first is being read if `in_file_`, and says how far it is.
  std::deque<InputFile> files_;
  size_t first_file_ = 0;
  bool in_file_ = false;
  FileFormat format_ = FileFormat::kJson;
  RecordParser parser_;
  std::optional<RecordFraming> framing_;
  std::vector<std::string> finished_;
};

}  // namespace weir
