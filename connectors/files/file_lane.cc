#include "connectors/files/file_lane.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "connectors/files/files_settings.h"

namespace weir {
namespace {

// Input that one Poll goes through at most, also if it holds blank or skipped records only.
constexpr size_t kMaxPollBytes = 1 << 20;
constexpr size_t kMaxHeaderBytes = 64 << 10;
constexpr size_t kMaxMalformedTextBytes = 64 << 10;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

}  // namespace

FileLane::FileLane(const FileReading& reading)
    : reading_(reading),
      read_ahead_(ReadAhead::Make(reading.env, reading.options,
                                  [&context = reading.context] { context.Wake(); })),
      parser_(reading.type, reading.settings) {}

FileLane::~FileLane() { read_ahead_->Close(); }

void FileLane::Add(std::vector<InputFile> files) {
  read_ahead_->Add(files);
  std::move(files.begin(), files.end(), std::back_inserter(files_));
}

absl::StatusOr<FileLane::State> FileLane::Poll(BatchBase& batch, size_t max_records) {
  const size_t full = batch.size() + max_records;
  const size_t begin_file = first_file_;
  const uint64_t begin_offset = files_.empty() ? 0 : files_.front().offset;
  while (batch.size() < full && reading_.malformed.size() < max_records) {
    WEIR_ASSIGN_OR_RETURN(const State state, ReadRecord(batch));
    if (state != State::kMore) return state;
    if (first_file_ != begin_file || files_.front().offset - begin_offset > kMaxPollBytes) break;
  }
  return State::kMore;
}

absl::StatusOr<FileLane::State> FileLane::ReadRecord(BatchBase& batch) {
  if (!in_file_) return TakeChunk();
  std::string_view record;
  size_t consumed = 0;
  switch (framing_->Next(record, consumed)) {
    case RecordFraming::Result::kNeedMore:
      return TakeChunk();
    case RecordFraming::Result::kEnd:
      EndFile();
      return State::kMore;
    case RecordFraming::Result::kTooLong:
      return AtLine(absl::InvalidArgumentError(
          StrCat("the record that begins here is longer than ", kMaxFileRecordBytes >> 20,
                 " MiB; is a quote not closed, or is this no file of lines?")));
    case RecordFraming::Result::kRecord:
      break;
  }
  WEIR_RETURN_IF_ERROR(OnRecord(record, batch));
  InputFile& file = files_.front();
  file.offset += consumed;
  ++file.line;
  // A CSV record may span lines.
  if (format_ == FileFormat::kCsv) {
    file.line += static_cast<uint64_t>(std::count(record.begin(), record.end(), '\n'));
  }
  return State::kMore;
}

absl::Status FileLane::OnRecord(std::string_view record, BatchBase& batch) {
  InputFile& file = files_.front();
  if (file.offset == 0 && record.substr(0, kByteOrderMark.size()) == kByteOrderMark) {
    record.remove_prefix(kByteOrderMark.size());
  }
  // Blank.
  if (record.empty()) return absl::OkStatus();
  if (parser_.wants_header()) {
    if (record.size() > kMaxHeaderBytes) {
      return AtLine(absl::InvalidArgumentError(
          StrCat("the header is longer than ", kMaxHeaderBytes, " bytes")));
    }
    WEIR_RETURN_IF_ERROR(AtLine(parser_.SetHeader(record)));
    file.has_header = true;
    file.header = record;
    return absl::OkStatus();
  }
  const absl::Status parsed = parser_.Parse(record, batch);
  return parsed.ok() ? parsed : OnMalformed(record, parsed);
}

absl::StatusOr<FileLane::State> FileLane::TakeChunk() {
  WEIR_ASSIGN_OR_RETURN(std::optional<FileChunk> chunk, read_ahead_->Take());
  if (!chunk.has_value()) return files_.empty() ? State::kEnd : State::kWait;
  if (!in_file_) WEIR_RETURN_IF_ERROR(BeginFile());
  WEIR_CHECK_EQ(chunk->file, first_file_);
  std::unique_ptr<char[]> unused = framing_->Append(*std::move(chunk));
  if (unused != nullptr) read_ahead_->Recycle(std::move(unused));
  return State::kMore;
}

absl::Status FileLane::BeginFile() {
  in_file_ = true;
  const InputFile& file = files_.front();
  WEIR_ASSIGN_OR_RETURN(format_, SourceFormat(reading_.settings, file.path));
  absl::Status begun = parser_.BeginFile(format_);
  if (!begun.ok()) {
    return absl::Status(begun.code(), StrCat(file.path, ": ", ToStd(begun.message())));
  }
  // A restored file may be begun behind its header.
  if (file.has_header && parser_.wants_header()) {
    WEIR_RETURN_IF_ERROR(AtLine(parser_.SetHeader(file.header)));
  }
  framing_.emplace(
      format_ == FileFormat::kCsv ? RecordFraming::Kind::kCsv : RecordFraming::Kind::kLines,
      reading_.options.headroom_bytes);
  return absl::OkStatus();
}

void FileLane::EndFile() {
  in_file_ = false;
  finished_.push_back(std::move(files_.front().path));
  files_.pop_front();
  ++first_file_;
}

absl::Status FileLane::OnMalformed(std::string_view record, const absl::Status& reason) {
  const Malformed policy = reading_.settings.malformed;
  // Anything but the record's own fault ends the job.
  if (policy == Malformed::kFail || reason.code() == absl::StatusCode::kResourceExhausted) {
    return AtLine(reason);
  }
  reading_.skipped.Add(policy == Malformed::kSkip ? 1 : 0);
  if (policy == Malformed::kSideOutput) {
    reading_.malformed.records.emplace_back(
        MalformedRecord{.source = path(),
                        .position = static_cast<std::int64_t>(files_.front().line),
                        .reason = std::string(ToStd(reason.message())),
                        .text = std::string(record.substr(0, kMaxMalformedTextBytes))});
  }
  return absl::OkStatus();
}

absl::Status FileLane::AtLine(const absl::Status& status) const {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      StrCat(path(), ":", files_.front().line, ": ", ToStd(status.message())));
}

std::vector<InputFile> FileLane::Left() const { return {files_.begin(), files_.end()}; }

}  // namespace weir
