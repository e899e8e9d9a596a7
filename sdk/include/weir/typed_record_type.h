#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "weir/batch.h"
#include "weir/binary_codec.h"
#include "weir/csv.h"
#include "weir/json_read.h"
#include "weir/json_write.h"
#include "weir/memory_size.h"
#include "weir/record.h"
#include "weir/record_traits.h"
#include "weir/record_type.h"

namespace weir::internal {

// The schema of T (docs/FORMATS.md, "Type notation").
template <class T>
Schema MakeSchema() {
  Schema schema;
  if constexpr (kKind<T> == Kind::kAggregate) {
    schema.type_name = std::string(TypeName<T>());
    const auto& names = FieldNames<T>();
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (
          [&] {
            SchemaField field{std::string(names[I]), ""};
            AppendTypeNotation<Part<I, T>, T>(field.type);
            schema.fields.push_back(std::move(field));
          }(),
          ...);
    }(std::make_index_sequence<kFieldCount<T>>());
  } else {
    SchemaField field;
    AppendTypeNotation<T>(field.type);
    schema.type_name = field.type;
    schema.fields.push_back(std::move(field));
  }
  return schema;
}

// What RecordTypeOf returns. Its one object for each T is constant.
template <class T>
class TypedRecordType final : public RecordType {
 public:
  TypedRecordType() : schema_(MakeSchema<T>()) {}

  const Schema& schema() const override { return schema_; }
  std::unique_ptr<BatchBase> NewBatch() const override { return std::make_unique<Batch<T>>(); }
  std::size_t record_size_bytes() const override { return sizeof(T); }
  std::size_t MemoryBytes(const BatchBase& batch) const override {
    const auto& records = Cast(batch).records;
    std::size_t bytes = records.size() * sizeof(T);
    if constexpr (!std::is_trivially_destructible_v<T>) {
      for (const T& record : records) bytes += HeapBytes(record);
    }
    return bytes;
  }

  void MoveAll(BatchBase& from_base, BatchBase& to_base) const override {
    auto& from = Cast(from_base);
    auto& to = Cast(to_base);
    if (to.empty()) {
      to.Clear();
      to.swap(from);
      return;
    }
    const std::size_t old_size = to.size();
    to.records.reserve(GrownCapacity(to.records, old_size + from.size()));
    for (T& record : from.records) to.records.emplace_unchecked(std::move(record));
    AppendColumns(from, 0, from.size(), old_size, to);
    from.Clear();
  }

  void CopyRange(const BatchBase& from_base, std::size_t begin, std::size_t end,
                 BatchBase& to_base) const override {
    const auto& from = Cast(from_base);
    auto& to = Cast(to_base);
    if (begin == end) return;
    const std::size_t old_size = to.size();
    to.records.reserve(GrownCapacity(to.records, old_size + (end - begin)));
    for (std::size_t i = begin; i < end; ++i) to.records.emplace_unchecked(from.records[i]);
    AppendColumns(from, begin, end, old_size, to);
  }

  void Scatter(BatchBase& from_base, const std::uint32_t* target,
               BatchBase* const* to) const override {
    auto& from = Cast(from_base);
    if (from.timestamps.empty()) {
      from.hashes.empty() ? ScatterColumns<false, false>(from, target, to)
                          : ScatterColumns<false, true>(from, target, to);
    } else {
      from.hashes.empty() ? ScatterColumns<true, false>(from, target, to)
                          : ScatterColumns<true, true>(from, target, to);
    }
    from.Clear();
  }

  std::size_t Encode(const BatchBase& batch_base, std::size_t begin, std::size_t max_bytes,
                     std::string& out) const override {
    const auto& records = Cast(batch_base).records;
    if constexpr (kIsFlat<T>) {
      const std::size_t fitting = std::max<std::size_t>(1, (max_bytes + sizeof(T) - 1) / sizeof(T));
      const std::size_t count = std::min(records.size() - begin, fitting);
      out.append(reinterpret_cast<const char*>(records.data() + begin), count * sizeof(T));
      return begin + count;
    } else {
      Encoder encoder(out);
      std::size_t i = begin;
      do {
        EncodeValue(records[i], encoder);
        ++i;
      } while (i < records.size() && encoder.size() < max_bytes);
      return i;
    }
  }

  absl::Status Decode(std::string_view bytes, std::size_t count,
                      BatchBase& batch_base) const override {
    auto& batch = Cast(batch_base);
    auto& records = batch.records;
    const std::size_t old_size = records.size();
    if (count > bytes.size() / kMinSize<T>) {
      return absl::DataLossError(std::to_string(count) + " records of type " + schema_.type_name +
                                 " in only " + std::to_string(bytes.size()) + " bytes");
    }
    Decoder in(bytes);
    std::size_t i = 0;
    if constexpr (kIsFlat<T>) {
      records.reserve(GrownCapacity(records, old_size + count));
      records.resize_uninitialized(old_size + count);
      in.Bytes(records.data() + old_size, count * sizeof(T));
      if constexpr (HasBool<T>()) {
        while (i < count && CheckBools(in, records[old_size + i])) ++i;
      } else {
        i = count;
      }
    } else {
      records.reserve(GrownCapacity(records, old_size + count));
      for (; i < count; ++i) {
        records.emplace_unchecked();
        if (!DecodeValue(in, records.back())) [[unlikely]] {
          break;
        }
      }
    }
    if (i < count || in.remaining() > 0) {
      records.truncate(old_size);
      return DecodeError(in, i, count);
    }
    PadColumns(batch, old_size);
    return absl::OkStatus();
  }

  absl::Status ReadJson(JsonReader& reader, BatchBase& batch_base) const override {
    return Read(Cast(batch_base), [&reader](T& record) { return ReadJsonValue(reader, record); });
  }
  void WriteJson(const BatchBase& batch, std::size_t i, std::string& out) const override {
    WriteJsonValue(Cast(batch).records[i], out);
  }

  absl::Status SupportsCsv() const override { return CheckCsv<T>(); }
  absl::Status ReadCsv(const std::vector<std::string_view>& cells, const std::vector<int>& columns,
                       BatchBase& batch_base) const override {
    return Read(Cast(batch_base), [&](T& record) { return ReadCsvLine(cells, columns, record); });
  }
  void WriteCsv(const BatchBase& batch, std::size_t i, std::string& out) const override {
    WriteCsvLine(Cast(batch).records[i], out);
  }

 private:
  static Batch<T>& Cast(BatchBase& batch) { return static_cast<Batch<T>&>(batch); }
  static const Batch<T>& Cast(const BatchBase& batch) {
    return static_cast<const Batch<T>&>(batch);
  }

  // Appends a default record that `read` fills; none if that fails.
  template <class ReadRecord>
  static absl::Status Read(Batch<T>& batch, ReadRecord read) {
    const std::size_t old_size = batch.size();
    batch.records.emplace_back();
    absl::Status status = read(batch.records.back());
    if (status.ok()) {
      PadColumns(batch, old_size);
    } else {
      batch.records.truncate(old_size);
    }
    return status;
  }

  // At least `size`; doubles, so that many small appends do not copy each time.
  static std::size_t GrownCapacity(const Column<T>& column, std::size_t size) {
    return size <= column.capacity() ? size : std::max(size, 2 * column.capacity());
  }

  // Gives the records from `old_size` on no timestamp, in a batch whose others have one, and
  // forgets hashes that not all records have.
  static void PadColumns(Batch<T>& batch, std::size_t old_size) {
    if (batch.size() == old_size) return;
    if (old_size > 0 && !batch.timestamps.empty()) {
      while (batch.timestamps.size() < batch.size()) batch.timestamps.emplace_back(kMinTicks);
    } else {
      batch.timestamps.clear();
    }
    batch.hashes.clear();
  }

  // The timestamps and hashes [begin, end) of `from` for records that were appended to `to`, which
  // had `old_size`.
  static void AppendColumns(const Batch<T>& from, std::size_t begin, std::size_t end,
                            std::size_t old_size, Batch<T>& to) {
    if (!from.timestamps.empty() || !to.timestamps.empty()) {
      while (to.timestamps.size() < old_size) to.timestamps.emplace_back(kMinTicks);
      for (std::size_t i = begin; i < end; ++i) to.timestamps.emplace_back(from.TimestampAt(i));
    }
    if (from.hashes.empty() || to.hashes.size() != old_size) {
      to.hashes.clear();
    } else {
      for (std::size_t i = begin; i < end; ++i) to.hashes.emplace_back(from.hashes[i]);
    }
  }

  // Up to so many targets are served by one pass over pointers to where the next record goes.
  static constexpr std::size_t kFewTargets = 128;

  template <bool kTimestamps, bool kHashes>
  static void ScatterColumns(Batch<T>& from, const std::uint32_t* target,
                             BatchBase* const* to_base) {
    std::uint32_t greatest = 0;
    for (std::size_t i = 0; i < from.size(); ++i) greatest = std::max(greatest, target[i]);
    if (from.empty()) return;
    if (greatest < kFewTargets) {
      ScatterToFew<kTimestamps, kHashes>(from, target, greatest + 1, to_base);
      return;
    }
    for (std::size_t i = 0; i < from.size(); ++i) {
      Batch<T>& to = Cast(*to_base[target[i]]);
      PrepareColumns<kTimestamps, kHashes>(1, to);
      to.records.emplace_unchecked(std::move(from.records[i]));
      if (!to.timestamps.empty() || kTimestamps) {
        to.timestamps.emplace_unchecked(kTimestamps ? from.timestamps[i] : kMinTicks);
      }
      if (kHashes && to.hashes.size() + 1 == to.records.size()) {
        to.hashes.emplace_unchecked(from.hashes[i]);
      }
    }
  }

  // Makes room for `count` more records and what they have beside them: a timestamp if any record
  // has one, a hash if all have.
  template <bool kTimestamps, bool kHashes>
  static void PrepareColumns(std::size_t count, Batch<T>& to) {
    const std::size_t size = to.size();
    const auto reserve = [size, count](auto& column) {
      if (size + count > column.capacity()) {
        column.reserve(std::max({size + count, 2 * column.capacity(), std::size_t{16}}));
      }
    };
    reserve(to.records);
    if (kTimestamps || !to.timestamps.empty()) {
      reserve(to.timestamps);
      to.timestamps.truncate(std::min(size, to.timestamps.size()));
      while (to.timestamps.size() < size) to.timestamps.emplace_unchecked(kMinTicks);
    }
    if (kHashes && to.hashes.size() == size) {
      reserve(to.hashes);
    } else {
      to.hashes.clear();
    }
  }

  template <bool kTimestamps, bool kHashes>
  static void ScatterToFew(Batch<T>& from, const std::uint32_t* target, std::uint32_t targets,
                           BatchBase* const* to_base) {
    std::uint32_t counts[kFewTargets] = {};
    T* records[kFewTargets];
    Ticks* timestamps[kFewTargets];
    std::uint64_t* hashes[kFewTargets];
    const std::size_t size = from.size();
    for (std::size_t i = 0; i < size; ++i) ++counts[target[i]];
    // Hashes go to targets that have one for each record so far; the others write theirs where
    // nobody looks.
    std::unique_ptr<std::uint64_t[]> ignored;
    for (std::uint32_t k = 0; k < targets; ++k) {
      if (counts[k] == 0) continue;
      Batch<T>& to = Cast(*to_base[k]);
      const std::size_t old_size = to.size();
      const bool hashed = kHashes && to.hashes.size() == old_size;
      const bool timed = !to.timestamps.empty();
      PrepareColumns<kTimestamps, kHashes>(counts[k], to);
      records[k] = to.records.data() + old_size;
      if constexpr (kTimestamps) {
        timestamps[k] = to.timestamps.data() + old_size;
      } else if (timed) {
        for (std::uint32_t n = 0; n < counts[k]; ++n) to.timestamps.emplace_unchecked(kMinTicks);
      }
      if constexpr (kHashes) {
        if (!hashed && ignored == nullptr) ignored = std::make_unique<std::uint64_t[]>(size);
        hashes[k] = hashed ? to.hashes.data() + old_size : ignored.get();
      }
    }
    for (std::size_t i = 0; i < size; ++i) {
      const std::uint32_t k = target[i];
      ::new (static_cast<void*>(records[k]++)) T(std::move(from.records[i]));
      if constexpr (kTimestamps) *timestamps[k]++ = from.timestamps[i];
      if constexpr (kHashes) *hashes[k]++ = from.hashes[i];
    }
    for (std::uint32_t k = 0; k < targets; ++k) {
      if (counts[k] == 0) continue;
      Batch<T>& to = Cast(*to_base[k]);
      const std::size_t old_size = to.size();
      const bool hashed = kHashes && to.hashes.size() == old_size;
      to.records.set_size(old_size + counts[k]);
      if constexpr (kTimestamps) to.timestamps.set_size(old_size + counts[k]);
      if (hashed) to.hashes.set_size(old_size + counts[k]);
    }
  }

  [[gnu::noinline]] absl::Status DecodeError(const Decoder& in, std::size_t i,
                                             std::size_t count) const {
    if (i == count) {
      return absl::DataLossError(std::to_string(in.remaining()) + " bytes after the last of " +
                                 std::to_string(count) + " records of type " + schema_.type_name);
    }
    return absl::DataLossError("record " + std::to_string(i) + " of " + std::to_string(count) +
                               " of type " + schema_.type_name + ": " +
                               std::string(in.status().message()));
  }

  const Schema schema_;
};

}  // namespace weir::internal
