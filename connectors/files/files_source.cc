#include "connectors/files/files_source.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "connectors/files/files_settings.h"
#include "connectors/files/input_listing.h"

namespace weir {
namespace {

// Input that one Poll goes through at most, also if it holds blank or skipped records only.
constexpr size_t kMaxPollBytes = 1 << 20;
constexpr size_t kMaxHeaderBytes = 64 << 10;
constexpr size_t kMaxMalformedTextBytes = 64 << 10;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

}  // namespace

FilesSource::FilesSource(Env& env, Files settings, const RecordType& type, ReadAheadOptions options)
    : env_(env),
      settings_(std::move(settings)),
      type_(type),
      options_(options),
      parser_(type_, settings_) {}

FilesSource::~FilesSource() { Close(); }

absl::Status FilesSource::Open(SourceContext& context) {
  context_ = &context;
  skipped_ = &context.metrics().counter("numMalformedRecordsSkipped");
  if (settings_.malformed == Malformed::kSideOutput && context.malformed_output() == nullptr) {
    return absl::InvalidArgumentError(
        StrCat("source '", context.uid(),
               "' sends malformed records to a side output that the job does not use: write it "
               "somewhere, or set .malformed "
               "to weir::Malformed::kSkip or kFail"));
  }
  const uint32_t subtask = context.subtask();
  const uint32_t parallelism = context.parallelism();
  ReadAhead::Lister lister;
  if (restored_.has_value()) {
    line_ = restored_->line;
    offset_ = restored_->offset;
    has_header_ = restored_->has_header;
    header_ = restored_->header;
    lister = [files = restored_->files](FileSystem&) -> absl::StatusOr<std::vector<InputFile>> {
      return files;
    };
  } else {
    lister = [path = settings_.path, subtask,
              parallelism](FileSystem& files) -> absl::StatusOr<std::vector<InputFile>> {
      WEIR_ASSIGN_OR_RETURN(const std::vector<InputFile> inputs, ListInputs(files, path));
      return AssignInputs(inputs, subtask, parallelism);
    };
  }
  read_ahead_ = ReadAhead::Make(env_, options_, std::move(lister), [&context] { context.Wake(); });
  read_ahead_->Start(offset_);
  return absl::OkStatus();
}

void FilesSource::Close() {
  if (read_ahead_ != nullptr) read_ahead_->Close();
}

absl::StatusOr<PollResult> FilesSource::Poll(BatchBase& batch, std::size_t max_records) {
  const size_t full = batch.size() + max_records;
  const uint64_t begin_offset = offset_;
  const size_t begin_file = file_;
  PollResult result;
  while (batch.size() < full && malformed_.size() < max_records) {
    WEIR_ASSIGN_OR_RETURN(const Step step, ReadRecord(batch));
    if (step == Step::kWait) {
      result.state = PollState::kWait;
      break;
    }
    if (step == Step::kEnd) {
      result.state = PollState::kEnd;
      result.split_ended = true;
      break;
    }
    if (file_ != begin_file || offset_ - begin_offset > kMaxPollBytes) break;
  }
  WEIR_RETURN_IF_ERROR(FlushMalformed());
  return result;
}

absl::StatusOr<FilesSource::Step> FilesSource::ReadRecord(BatchBase& batch) {
  if (!in_file_) return TakeChunk();
  std::string_view record;
  size_t consumed = 0;
  switch (framing_->Next(record, consumed)) {
    case RecordFraming::Result::kNeedMore:
      return TakeChunk();
    case RecordFraming::Result::kEnd:
      in_file_ = false;
      has_header_ = false;
      header_.clear();
      offset_ = 0;
      line_ = 1;
      ++file_;
      return Step::kRecord;
    case RecordFraming::Result::kTooLong:
      return AtLine(absl::InvalidArgumentError(
          StrCat("the record that begins here is longer than ", kMaxFileRecordBytes >> 20,
                 " MiB; is a quote not closed, or is this no file of lines?")));
    case RecordFraming::Result::kRecord:
      break;
  }
  const std::string_view whole = record;
  if (offset_ == 0 && record.substr(0, kByteOrderMark.size()) == kByteOrderMark) {
    record.remove_prefix(kByteOrderMark.size());
  }
  if (record.empty()) {
    // Blank.
  } else if (parser_.wants_header()) {
    if (record.size() > kMaxHeaderBytes) {
      return AtLine(absl::InvalidArgumentError(
          StrCat("the header is longer than ", kMaxHeaderBytes, " bytes")));
    }
    WEIR_RETURN_IF_ERROR(AtLine(parser_.SetHeader(record)));
    has_header_ = true;
    header_ = record;
  } else {
    const absl::Status parsed = parser_.Parse(record, batch);
    if (!parsed.ok()) [[unlikely]] {
      WEIR_RETURN_IF_ERROR(OnMalformed(record, parsed));
    }
  }
  offset_ += consumed;
  ++line_;
  // A CSV record may span lines.
  if (format_ == FileFormat::kCsv) {
    line_ += static_cast<uint64_t>(std::count(whole.begin(), whole.end(), '\n'));
  }
  return Step::kRecord;
}

absl::StatusOr<FilesSource::Step> FilesSource::TakeChunk() {
  WEIR_ASSIGN_OR_RETURN(std::optional<FileChunk> chunk, read_ahead_->Take());
  if (!chunk.has_value()) {
    if (files_ == nullptr) files_ = read_ahead_->files();
    if (!read_ahead_->ended()) return Step::kWait;
    WEIR_CHECK(files_ != nullptr);
    file_ = files_->size();
    return Step::kEnd;
  }
  if (files_ == nullptr) files_ = read_ahead_->files();
  if (!in_file_) WEIR_RETURN_IF_ERROR(BeginFile(chunk->file));
  WEIR_CHECK_EQ(chunk->file, file_);
  std::unique_ptr<char[]> unused = framing_->Append(*std::move(chunk));
  if (unused != nullptr) read_ahead_->Recycle(std::move(unused));
  return Step::kRecord;
}

absl::Status FilesSource::BeginFile(size_t file) {
  file_ = file;
  in_file_ = true;
  WEIR_ASSIGN_OR_RETURN(format_, SourceFormat(settings_, path()));
  absl::Status begun = parser_.BeginFile(format_);
  if (!begun.ok()) return absl::Status(begun.code(), StrCat(path(), ": ", ToStd(begun.message())));
  // A restored file may be begun behind its header.
  if (has_header_ && parser_.wants_header())
    WEIR_RETURN_IF_ERROR(AtLine(parser_.SetHeader(header_)));
  framing_.emplace(
      format_ == FileFormat::kCsv ? RecordFraming::Kind::kCsv : RecordFraming::Kind::kLines,
      options_.headroom_bytes);
  return absl::OkStatus();
}

absl::Status FilesSource::OnMalformed(std::string_view record, const absl::Status& reason) {
  // Anything but the record's own fault ends the job.
  if (settings_.malformed == Malformed::kFail ||
      reason.code() == absl::StatusCode::kResourceExhausted) {
    return AtLine(reason);
  }
  skipped_->Add(settings_.malformed == Malformed::kSkip ? 1 : 0);
  if (settings_.malformed == Malformed::kSideOutput) {
    malformed_.records.emplace_back(
        MalformedRecord{.source = path(),
                        .position = static_cast<std::int64_t>(line_),
                        .reason = std::string(ToStd(reason.message())),
                        .text = std::string(record.substr(0, kMaxMalformedTextBytes))});
  }
  return absl::OkStatus();
}

absl::Status FilesSource::FlushMalformed() {
  if (malformed_.empty()) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(context_->malformed_output()->Push(malformed_));
  malformed_.Clear();
  return absl::OkStatus();
}

absl::Status FilesSource::AtLine(const absl::Status& status) const {
  if (status.ok()) return status;
  return absl::Status(status.code(), StrCat(path(), ":", line_, ": ", ToStd(status.message())));
}

std::string FilesSource::SnapshotPosition() const {
  // Before the listing there is none: a restored reader begins as this one did.
  if (files_ == nullptr) return restored_.has_value() ? restored_->Encode() : std::string();
  FilesPosition position;
  position.files.assign(files_->begin() + static_cast<std::ptrdiff_t>(file_), files_->end());
  position.offset = offset_;
  position.line = line_;
  position.has_header = has_header_;
  position.header = header_;
  return position.Encode();
}

absl::Status FilesSource::RestorePosition(std::string_view position) {
  if (position.empty()) return absl::OkStatus();
  WEIR_ASSIGN_OR_RETURN(restored_, FilesPosition::Decode(position));
  return absl::OkStatus();
}

}  // namespace weir
