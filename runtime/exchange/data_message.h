#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/task_state.h"
#include "weir/batch.h"
#include "weir/record_type.h"

namespace weir {

// Records of one batch as bytes: what one data frame carries, or several if it is larger
// (docs/FORMATS.md, "Data frame payload").
//
//   u8        bit 0: the records have timestamps; all other bits 0
//   bytes     the records, one after the other, as RecordType::Encode writes them
//   i64 x n   their timestamps, little-endian, if bit 0 is set
inline constexpr size_t kTargetMessageBytes = 48 << 10;

// Appends a message of records from `begin` on, as many as make about `target_bytes`, at least one;
// returns the index after the last.
size_t EncodeMessage(const RecordType& type, const BatchBase& batch, size_t begin, std::string& out,
                     size_t target_bytes = kTargetMessageBytes);

// Reads a message of `records` records into `batch`, which is empty. kDataLoss unless `message` is
// exactly that.
absl::Status DecodeMessage(const RecordType& type, std::string_view message, size_t records,
                           BatchBase& batch);

// The payload of a barrier's frame: the id of the checkpoint, eight bytes, little-endian, and a
// byte for its kind, of which the highest bit says that it is unaligned. Its time travels beside
// it.
std::string EncodeBarrier(const Barrier& barrier);
// The same barrier, unaligned.
std::string AsUnaligned(std::string payload);
// kDataLoss unless `payload` is exactly that, the id is not 0, and the kind is known.
absl::StatusOr<Barrier> DecodeBarrier(std::string_view payload, Ticks time);

}  // namespace weir
