#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/env/env.h"
#include "connectors/files/files_position.h"
#include "connectors/files/read_ahead.h"
#include "connectors/files/record_framing.h"
#include "connectors/files/record_parser.h"
#include "weir/connectors.h"
#include "weir/source.h"

namespace weir {

// Reads the files of one subtask, one after the other, as one split. Files are read and
// decompressed on Env's blocking pool, a bounded number of chunks ahead; records are decoded in
// Poll.
//
// One split, because that is what reading in order means for watermarks: a file that is not begun
// yet would, as a split of its own, hold the watermark at MIN until the last file, and as a split
// that appears when it is opened would meet a watermark that has already passed it (semantics rule
// 26). The split exists from Open on, before the files are listed, so that no watermark passes this
// subtask while it does not know what it has; a subtask without files ends at once.
//
// Owned by the task's thread; `env` and `type` outlive it.
class FilesSource final : public SourceReader {
 public:
  FilesSource(Env& env, Files settings, const RecordType& type, ReadAheadOptions options = {});
  ~FilesSource() override;

  absl::Status Open(SourceContext& context) override;
  std::uint32_t splits() const override { return 1; }
  absl::StatusOr<PollResult> Poll(BatchBase& batch, std::size_t max_records) override;
  std::string SnapshotPosition() const override;
  absl::Status RestorePosition(std::string_view position) override;
  void Close() override;

 private:
  enum class Step { kRecord, kWait, kEnd };

  // Goes on by one record, which may be blank or malformed.
  absl::StatusOr<Step> ReadRecord(BatchBase& batch);
  // Takes the next chunk; kRecord if there was one.
  absl::StatusOr<Step> TakeChunk();
  absl::Status BeginFile(size_t file);
  // Handles a record that `reason` says cannot be decoded.
  absl::Status OnMalformed(std::string_view record, const absl::Status& reason);
  absl::Status FlushMalformed();
  absl::Status AtLine(const absl::Status& status) const;
  const std::string& path() const { return (*files_)[file_].path; }

  Env& env_;
  const Files settings_;
  const RecordType& type_;
  const ReadAheadOptions options_;
  SourceContext* context_ = nullptr;
  Counter* skipped_ = nullptr;
  std::shared_ptr<ReadAhead> read_ahead_;
  std::optional<FilesPosition> restored_;

  // Null until the files are listed.
  std::shared_ptr<const std::vector<InputFile>> files_;
  // The file that is read, or files_->size() at the end.
  size_t file_ = 0;
  bool in_file_ = false;
  FileFormat format_ = FileFormat::kJson;
  uint64_t offset_ = 0;
  uint64_t line_ = 1;
  bool has_header_ = false;
  std::string header_;
  RecordParser parser_;
  std::optional<RecordFraming> framing_;
  Batch<MalformedRecord> malformed_;
};

}  // namespace weir
