#pragma once

#include <charconv>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "weir/record_type.h"

namespace weir {

// A record for tests of connectors.
struct Row {
  std::int64_t id = 0;
  std::string text;

  friend bool operator==(const Row&, const Row&) = default;
};

// What a job's RecordTypeOf<Row>() does at the edges of a job, written by hand: connectors are
// tested apart from the SDK's reflection.
class RowType final : public RecordType {
 public:
  const Schema& schema() const override { return schema_; }
  std::unique_ptr<BatchBase> NewBatch() const override { return std::make_unique<Batch<Row>>(); }
  std::size_t record_size_bytes() const override { return sizeof(Row); }
  size_t MemoryBytes(const BatchBase& batch) const override { return batch.size() * sizeof(Row); }

  void MoveAll(BatchBase& from, BatchBase& to) const override {
    for (Row& row : static_cast<Batch<Row>&>(from).records) {
      static_cast<Batch<Row>&>(to).records.emplace_back(std::move(row));
    }
    from.Clear();
  }
  void CopyRange(const BatchBase& from, std::size_t begin, std::size_t end,
                 BatchBase& to) const override {
    for (std::size_t i = begin; i < end; ++i) {
      static_cast<Batch<Row>&>(to).records.emplace_back(
          static_cast<const Batch<Row>&>(from).records[i]);
    }
  }
  void Scatter(BatchBase&, const std::uint32_t*, BatchBase* const*) const override {}
  std::size_t Encode(const BatchBase& batch, std::size_t, std::size_t,
                     std::string&) const override {
    return batch.size();
  }
  absl::Status Decode(std::string_view, std::size_t, BatchBase&) const override {
    return absl::UnimplementedError("Row");
  }

  absl::Status ReadJson(JsonReader& reader, BatchBase& batch) const override {
    Row row;
    absl::Status status = reader.BeginObject();
    std::string_view name;
    while (status.ok()) {
      auto more = reader.NextField(name);
      if (!more.ok()) return more.status();
      if (!*more) break;
      if (name == "id") {
        status = reader.ReadInt(row.id);
        if (!status.ok())
          return absl::Status(status.code(), "field 'id': " + std::string(status.message()));
      } else if (name == "text") {
        std::string_view text;
        status = reader.ReadString(text);
        row.text = std::string(text);
      } else {
        status = reader.Skip();
      }
    }
    if (status.ok()) static_cast<Batch<Row>&>(batch).records.emplace_back(std::move(row));
    return status;
  }
  void WriteJson(const BatchBase& batch, std::size_t i, std::string& out) const override {
    const Row& row = static_cast<const Batch<Row>&>(batch).records[i];
    out += "{\"id\":" + std::to_string(row.id) + ",\"text\":\"" + row.text + "\"}";
  }

  absl::Status SupportsCsv() const override { return csv_; }
  absl::Status ReadCsv(const std::vector<std::string_view>& cells, const std::vector<int>& columns,
                       BatchBase& batch) const override {
    Row row;
    if (columns[0] < 0) return absl::InvalidArgumentError("field 'id' is missing");
    const std::string_view id = cells[static_cast<std::size_t>(columns[0])];
    const auto parsed = std::from_chars(id.data(), id.data() + id.size(), row.id);
    if (parsed.ec != std::errc() || parsed.ptr != id.data() + id.size()) {
      return absl::InvalidArgumentError("field 'id': expected an integer, found \"" +
                                        std::string(id) + "\"");
    }
    if (columns[1] >= 0) row.text = std::string(cells[static_cast<std::size_t>(columns[1])]);
    static_cast<Batch<Row>&>(batch).records.emplace_back(std::move(row));
    return absl::OkStatus();
  }
  void WriteCsv(const BatchBase& batch, std::size_t i, std::string& out) const override {
    const Row& row = static_cast<const Batch<Row>&>(batch).records[i];
    out += std::to_string(row.id) + "," + row.text;
  }

  void set_csv(absl::Status status) { csv_ = std::move(status); }

 private:
  const Schema schema_{.type_name = "Row", .fields = {{"id", "int64"}, {"text", "string"}}};
  absl::Status csv_;
};

}  // namespace weir
