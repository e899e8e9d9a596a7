#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "weir/batch.h"
#include "weir/record_type.h"
#include "weir/time.h"

namespace weir {

// What of a channel a barrier has overtaken, as bytes (docs/FORMATS.md, "Records in flight"). What
// two ends of a channel have is put together by appending the sender's to the receiver's.

// `payload`: of a data frame, or of more. `more`: a part of a record of which the rest follows.
void AppendInFlightData(std::string& out, bool more, uint32_t records, std::string_view payload);
void AppendInFlightWatermark(std::string& out, Ticks watermark);
// Whole messages, of all records of the batch.
void AppendInFlightBatch(std::string& out, const RecordType& type, const BatchBase& batch);

// Reads them one by one.
class InFlightReader {
 public:
  struct Element {
    // A whole message of so many records; valid until the next call. Without records: a watermark.
    uint32_t records = 0;
    std::string_view message;
    Ticks watermark = kMinTicks;
  };

  explicit InFlightReader(std::string bytes) : bytes_(std::move(bytes)) {}

  // False: nothing is left. kDataLoss for anything that the above do not write.
  absl::StatusOr<bool> Next(Element& element);
  // What is to be read yet.
  std::string_view rest() const { return std::string_view(bytes_).substr(at_); }

 private:
  std::string bytes_;
  size_t at_ = 0;
  std::string assembled_;
};

}  // namespace weir
