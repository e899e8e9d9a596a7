#include "connectors/files/record_parser.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "connectors/files/record_framing.h"

namespace weir {
namespace {

std::string FieldNames(const Schema& schema) {
  std::string names;
  for (const SchemaField& field : schema.fields) {
    if (!names.empty()) names += ", ";
    names += field.name;
  }
  return names;
}

}  // namespace

RecordParser::RecordParser(const RecordType& type, const Files& settings)
    : type_(type),
      settings_(settings),
      json_(JsonLineReader::Make(settings.time_unit)),
      spare_(type.NewBatch()) {}

absl::Status RecordParser::BeginFile(FileFormat format) {
  WEIR_CHECK(format != FileFormat::kFromExtension);
  format_ = format;
  wants_header_ = false;
  if (format_ == FileFormat::kJson) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(type_.SupportsCsv());
  wants_header_ = settings_.header;
  const size_t fields = type_.schema().fields.size();
  header_cells_ = fields;
  columns_.resize(fields);
  for (size_t i = 0; i < fields; ++i) columns_[i] = static_cast<int>(i);
  return absl::OkStatus();
}

absl::Status RecordParser::SetHeader(std::string_view record) {
  wants_header_ = false;
  WEIR_RETURN_IF_ERROR(SplitCsvRecord(record, cells_, scratch_));
  header_cells_ = cells_.size();
  const Schema& schema = type_.schema();
  bool any = false;
  for (size_t k = 0; k < schema.fields.size(); ++k) {
    const std::string_view name = schema.fields[k].name;
    const auto found = std::find(cells_.begin(), cells_.end(), name);
    columns_[k] = found == cells_.end() ? -1 : static_cast<int>(found - cells_.begin());
    if (found == cells_.end()) continue;
    any = true;
    if (std::find(found + 1, cells_.end(), name) != cells_.end()) {
      return absl::InvalidArgumentError(StrCat("the header names column '", name, "' twice"));
    }
  }
  if (!any) {
    return absl::InvalidArgumentError(StrCat("the header names no field of the record (",
                                             FieldNames(schema),
                                             "); if the file has no header, set .header = false"));
  }
  return absl::OkStatus();
}

absl::Status RecordParser::Parse(std::string_view record, BatchBase& batch) {
  return format_ == FileFormat::kJson ? ParseJson(record, batch) : ParseCsv(record, batch);
}

absl::Status RecordParser::ParseJson(std::string_view record, BatchBase& batch) {
  WEIR_RETURN_IF_ERROR(json_->Start(record));
  WEIR_RETURN_IF_ERROR(type_.ReadJson(*json_, batch));
  absl::Status finished = json_->Finish();
  if (!finished.ok()) [[unlikely]] {
    // The record is in the batch already: copy what was before it.
    spare_->Clear();
    type_.CopyRange(batch, 0, batch.size() - 1, *spare_);
    batch.Clear();
    type_.MoveAll(*spare_, batch);
  }
  return finished;
}

absl::Status RecordParser::ParseCsv(std::string_view record, BatchBase& batch) {
  WEIR_RETURN_IF_ERROR(SplitCsvRecord(record, cells_, scratch_));
  if (cells_.size() != header_cells_) {
    return absl::InvalidArgumentError(StrCat("has ", cells_.size(), " cells, ",
                                             settings_.header ? "the header " : "the record ",
                                             header_cells_));
  }
  return type_.ReadCsv(cells_, columns_, batch);
}

}  // namespace weir
