#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "connectors/json/json_line_reader.h"
#include "weir/connectors.h"
#include "weir/record_type.h"

namespace weir {

// Turns the records of files into records of a type. Owned by one thread; `type` outlives it.
class RecordParser {
 public:
  RecordParser(const RecordType& type, const Files& settings);

  // Begins a file of `format`. kInvalidArgument if the type cannot be read from it.
  absl::Status BeginFile(FileFormat format);
  // The next record is a header: SetHeader takes it.
  bool wants_header() const { return wants_header_; }
  // Maps the columns of the file to fields. kInvalidArgument for a header that names no field or
  // one twice.
  absl::Status SetHeader(std::string_view record);
  // Appends one record to `batch`, or leaves it as it was and says why. kJsonPaddingBytes are
  // readable after `record`.
  absl::Status Parse(std::string_view record, BatchBase& batch);

 private:
  absl::Status ParseJson(std::string_view record, BatchBase& batch);
  absl::Status ParseCsv(std::string_view record, BatchBase& batch);

  const RecordType& type_;
  const Files settings_;
  FileFormat format_ = FileFormat::kJson;
  bool wants_header_ = false;
  std::unique_ptr<JsonLineReader> json_;
  // For taking back a record that something follows.
  std::unique_ptr<BatchBase> spare_;
  size_t header_cells_ = 0;
  std::vector<int> columns_;
  std::vector<std::string_view> cells_;
  std::string scratch_;
};

}  // namespace weir
