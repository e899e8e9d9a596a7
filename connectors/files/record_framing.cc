#include "connectors/files/record_framing.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "common/base/strings.h"
#include "connectors/json/json_line_reader.h"

namespace weir {

std::unique_ptr<char[]> RecordFraming::Append(FileChunk chunk) {
  const size_t tail = end_ - begin_;
  const size_t scanned = scan_ - begin_;
  end_of_file_ = chunk.end_of_file;
  std::unique_ptr<char[]> unused;
  if (tail <= headroom_bytes_) {
    char* const content = chunk.memory.get() + headroom_bytes_;
    if (tail > 0) std::memcpy(content - tail, memory_.get() + begin_, tail);
    unused = std::move(memory_);
    if (grown_capacity_ > 0) unused.reset();
    memory_ = std::move(chunk.memory);
    grown_capacity_ = 0;
    begin_ = headroom_bytes_ - tail;
    end_ = headroom_bytes_ + chunk.size;
  } else {
    const size_t needed = end_ + chunk.size + kJsonPaddingBytes;
    if (needed > grown_capacity_) {
      const size_t capacity = 2 * (tail + chunk.size + kJsonPaddingBytes);
      std::unique_ptr<char[]> grown(new char[capacity]);
      std::memcpy(grown.get(), memory_.get() + begin_, tail);
      if (grown_capacity_ == 0) unused = std::move(memory_);
      memory_ = std::move(grown);
      grown_capacity_ = capacity;
      begin_ = 0;
      end_ = tail;
    }
    std::memcpy(memory_.get() + end_, chunk.memory.get() + headroom_bytes_, chunk.size);
    end_ += chunk.size;
    if (unused == nullptr) unused = std::move(chunk.memory);
  }
  scan_ = begin_ + scanned;
  return unused;
}

size_t RecordFraming::FindEnd() {
  const char* const data = memory_.get();
  if (kind_ == Kind::kLines || csv_state_ == CsvState::kCellStart ||
      csv_state_ == CsvState::kPlain) {
    const void* const found = std::memchr(data + scan_, '\n', end_ - scan_);
    const size_t line_end =
        found == nullptr ? end_ : static_cast<size_t>(static_cast<const char*>(found) - data);
    if (kind_ == Kind::kLines || std::memchr(data + scan_, '"', line_end - scan_) == nullptr) {
      // Of a CSV record, whether a quote would open a cell is decided by the last byte.
      if (kind_ == Kind::kCsv && line_end > scan_) {
        csv_state_ = data[line_end - 1] == ',' ? CsvState::kCellStart : CsvState::kPlain;
      }
      scan_ = line_end;
      return line_end;
    }
  }
  for (; scan_ < end_; ++scan_) {
    const char c = data[scan_];
    switch (csv_state_) {
      case CsvState::kQuoted:
        if (c == '"') csv_state_ = CsvState::kQuoteInQuoted;
        continue;
      case CsvState::kQuoteInQuoted:
      case CsvState::kCellStart:
        if (c == '"') {
          csv_state_ = CsvState::kQuoted;
          continue;
        }
        break;
      case CsvState::kPlain:
        break;
    }
    if (c == '\n') return scan_;
    csv_state_ = c == ',' ? CsvState::kCellStart : CsvState::kPlain;
  }
  return end_;
}

RecordFraming::Result RecordFraming::Next(std::string_view& record, size_t& consumed) {
  if (begin_ == end_) return end_of_file_ ? Result::kEnd : Result::kNeedMore;
  const size_t line_end = FindEnd();
  const size_t size = line_end - begin_;
  if (size > kMaxFileRecordBytes) return Result::kTooLong;
  if (line_end == end_ && !end_of_file_) return Result::kNeedMore;
  record = std::string_view(memory_.get() + begin_, size);
  if (!record.empty() && record.back() == '\r') record.remove_suffix(1);
  const size_t next = std::min(line_end + 1, end_);
  consumed = next - begin_;
  begin_ = next;
  scan_ = next;
  csv_state_ = CsvState::kCellStart;
  return Result::kRecord;
}

absl::Status SplitCsvRecord(std::string_view record, std::vector<std::string_view>& cells,
                            std::string& scratch) {
  cells.clear();
  scratch.clear();
  // Cells point into it: it must not move.
  scratch.reserve(record.size());
  size_t i = 0;
  for (;;) {
    if (i < record.size() && record[i] == '"') {
      const size_t begin = scratch.size();
      size_t from = i + 1;
      for (;;) {
        const size_t quote = record.find('"', from);
        if (quote == std::string_view::npos) {
          return absl::InvalidArgumentError(
              StrCat("the quoted cell ", cells.size() + 1, " is not closed"));
        }
        scratch.append(record.substr(from, quote - from));
        from = quote + 1;
        if (from == record.size() || record[from] != '"') break;
        scratch.push_back('"');
        ++from;
      }
      if (from < record.size() && record[from] != ',') {
        return absl::InvalidArgumentError(StrCat("something follows the closing quote of cell ",
                                                 cells.size() + 1,
                                                 " (a quote within one is doubled)"));
      }
      cells.push_back(std::string_view(scratch).substr(begin));
      i = from;
    } else {
      const size_t comma = std::min(record.find(',', i), record.size());
      cells.push_back(record.substr(i, comma - i));
      i = comma;
    }
    if (i == record.size()) return absl::OkStatus();
    ++i;
  }
}

}  // namespace weir
