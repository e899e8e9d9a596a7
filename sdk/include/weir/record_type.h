#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "weir/batch.h"

namespace weir {

// A field of a record: its name and type in the notation of docs/FORMATS.md, e.g. {"at", "time"}, {"tags", "list<string>"}.
struct SchemaField {
  std::string name;
  std::string type;
};

// The shape of a record type. A type that is not an aggregate has one field with an empty name.
struct Schema {
  std::string type_name;
  std::vector<SchemaField> fields;
};

enum class JsonKind { kNull, kBool, kNumber, kString, kArray, kObject };

// Reads one JSON value of whatever parser the host uses. A call for another kind of value than is there returns an error
// that says what was expected and found. Numbers that do not fit are errors, never truncated. Errors carry no position; the
// caller adds file and line.
class JsonReader {
 public:
  virtual ~JsonReader() = default;

  // Of the value that would be read next; kNull too where there is none that can be read.
  virtual JsonKind NextKind() = 0;
  // True if it is null, which is then read.
  virtual bool IsNull() = 0;
  virtual absl::Status ReadBool(bool& value) = 0;
  virtual absl::Status ReadInt(std::int64_t& value) = 0;
  virtual absl::Status ReadUint(std::uint64_t& value) = 0;
  // A JSON number; the record's own reader handles "NaN" and the infinities, which are strings.
  virtual absl::Status ReadDouble(double& value) = 0;
  // Valid until the next call on the reader.
  virtual absl::Status ReadString(std::string_view& value) = 0;
  // An ISO-8601 string with a zone, or a number in the unit that the format was configured with (default milliseconds).
  virtual absl::Status ReadTime(EventTime& value) = 0;
  // An ISO-8601-like duration is not supported: a number in the unit of the format, or text such as "1h30m", "250ms".
  virtual absl::Status ReadDuration(Duration& value) = 0;
  // BeginObject, then NextField until it returns false; after a true, the value must be read or skipped.
  virtual absl::Status BeginObject() = 0;
  virtual absl::StatusOr<bool> NextField(std::string_view& name) = 0;
  virtual absl::Status BeginArray() = 0;
  virtual absl::StatusOr<bool> NextElement() = 0;
  virtual absl::Status Skip() = 0;
};

// Typed operations on batches of one record type, instantiated in the plugin (RecordTypeOf<T>() in codec.h), called by the
// host once a batch or once a record at the edge of the job. Immutable, thread safe, lives as long as the plugin.
// Every BatchBase passed must be a Batch of this type.
class RecordType {
 public:
  virtual ~RecordType() = default;

  virtual const Schema& schema() const = 0;
  virtual std::unique_ptr<BatchBase> NewBatch() const = 0;
  // sizeof the record in memory; what it points to is not counted.
  virtual std::size_t record_size_bytes() const = 0;
  // About what the records of a batch take in memory, with what they point to.
  virtual std::size_t MemoryBytes(const BatchBase& batch) const = 0;

  // Moves all of `from` to the end of `to` (all columns) and leaves `from` empty. Swaps when `to` is empty.
  virtual void MoveAll(BatchBase& from, BatchBase& to) const = 0;
  // Appends copies of [begin, end) of `from`, with timestamps and hashes.
  virtual void CopyRange(const BatchBase& from, std::size_t begin, std::size_t end, BatchBase& to) const = 0;
  // Moves record i to the end of *to[target[i]], with its timestamp and hash, for all i, and empties `from`.
  virtual void Scatter(BatchBase& from, const std::uint32_t* target, BatchBase* const* to) const = 0;

  // Appends the encoding of records from `begin` on to `out` until it has grown by at least `max_bytes` or the batch ends;
  // returns the index after the last record written. At least one record is written. Format: docs/FORMATS.md.
  virtual std::size_t Encode(const BatchBase& batch, std::size_t begin, std::size_t max_bytes,
                             std::string& out) const = 0;
  // Appends `count` records (no timestamps, no hashes); kDataLoss unless `bytes` is exactly their encoding. Total: no input
  // crashes it or makes it allocate more than a small multiple of bytes.size().
  virtual absl::Status Decode(std::string_view bytes, std::size_t count, BatchBase& batch) const = 0;

  // Appends one record read from a JSON value. Unknown fields are ignored; a missing field that is neither optional nor has
  // a default (missing_fields.h) is an error that names it. On error the batch is unchanged.
  virtual absl::Status ReadJson(JsonReader& reader, BatchBase& batch) const = 0;
  // Appends record i as one line of JSON, without a line end.
  virtual void WriteJson(const BatchBase& batch, std::size_t i, std::string& out) const = 0;

  // CSV: `columns[k]` is the index of the cell with the k-th field, or -1 if there is none: then the default is taken, or,
  // if the field has none (as for ReadJson), the error names it.
  // Nested types are refused by SupportsCsv.
  virtual absl::Status SupportsCsv() const = 0;
  virtual absl::Status ReadCsv(const std::vector<std::string_view>& cells, const std::vector<int>& columns,
                               BatchBase& batch) const = 0;
  // Appends record i as cells with RFC 4180 quoting, without a line end.
  virtual void WriteCsv(const BatchBase& batch, std::size_t i, std::string& out) const = 0;
};

}  // namespace weir
