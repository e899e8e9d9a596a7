#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "connectors/files/read_ahead.h"

namespace weir {

// Bytes of one line, or of one CSV record with its embedded line ends. More is refused.
inline constexpr size_t kMaxFileRecordBytes = 16 << 20;

// Cuts the chunks of a file into records without copying them: only a record that spans two chunks
// moves, in front of the second one. Owned by one thread.
class RecordFraming {
 public:
  enum class Kind { kLines, kCsv };
  enum class Result {
    kRecord,
    kNeedMore,  // Append first
    kEnd,       // the file has no more
    kTooLong,   // a record is longer than kMaxFileRecordBytes
  };

  // `headroom_bytes` as in ReadAheadOptions.
  RecordFraming(Kind kind, size_t headroom_bytes) : kind_(kind), headroom_bytes_(headroom_bytes) {}

  // Adds the next chunk of the file, after Next has returned kNeedMore. Returns memory that is free
  // again, or null.
  std::unique_ptr<char[]> Append(FileChunk chunk);
  // The next record without its line end (LF or CRLF), followed by kJsonPaddingBytes readable
  // bytes; valid until Append. The last one needs no line end. `consumed`: bytes of the file that
  // it took, with its line end.
  Result Next(std::string_view& record, size_t& consumed);

 private:
  enum class CsvState { kCellStart, kPlain, kQuoted, kQuoteInQuoted };

  // Position of the line feed that ends the record at begin_, or end_.
  size_t FindEnd();

  const Kind kind_;
  const size_t headroom_bytes_;
  std::unique_ptr<char[]> memory_;
  // Of memory_ if it was made here for a long record; 0 if it is a chunk's.
  size_t grown_capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
  // Where the search for the end of the record goes on, and in which state.
  size_t scan_ = 0;
  CsvState csv_state_ = CsvState::kCellStart;
  bool end_of_file_ = false;
};

// Splits a CSV record (RFC 4180) into cells. Quoted cells are unescaped into `scratch`, which the
// cells then point into. kInvalidArgument if a quote is not closed or something follows the closing
// one.
absl::Status SplitCsvRecord(std::string_view record, std::vector<std::string_view>& cells,
                            std::string& scratch);

}  // namespace weir
