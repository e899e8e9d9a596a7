#pragma once

#include <cstddef>
#include <cstdint>

#include "weir/column.h"
#include "weir/time.h"

namespace weir {

// Records a batch holds at most on the regular path; a FlatMap may exceed it.
inline constexpr std::size_t kBatchRecords = 1024;

// Records on their way between operators, as columns. What the runtime sees of Batch<T>.
class BatchBase {
 public:
  virtual ~BatchBase() = default;
  virtual std::size_t size() const = 0;
  // Empties all columns and keeps their memory.
  virtual void Clear() = 0;

  bool empty() const { return size() == 0; }

  // Empty: no record has a timestamp. Otherwise one a record; kMinTicks stands for none.
  internal::Column<Ticks> timestamps;
  // Empty: not computed, as within a chain. Otherwise KeyHash of each record's key, for the keyed edge that the batch is on.
  internal::Column<std::uint64_t> hashes;
};

template <class T>
class Batch final : public BatchBase {
 public:
  std::size_t size() const override { return records.size(); }
  void Clear() override {
    records.clear();
    timestamps.clear();
    hashes.clear();
  }
  Ticks TimestampAt(std::size_t i) const { return timestamps.empty() ? kMinTicks : timestamps[i]; }
  void swap(Batch& other) noexcept {
    records.swap(other.records);
    timestamps.swap(other.timestamps);
    hashes.swap(other.hashes);
  }

  internal::Column<T> records;
};

}  // namespace weir
