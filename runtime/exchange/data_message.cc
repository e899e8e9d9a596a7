#include "runtime/exchange/data_message.h"

#include <bit>
#include <cstring>

#include "common/base/strings.h"

namespace weir {
namespace {

static_assert(std::endian::native == std::endian::little,
              "timestamps are written as they are in memory");

constexpr unsigned char kHasTimestamps = 1;
constexpr uint8_t kUnaligned = 0x80;
constexpr size_t kBarrierBytes = sizeof(uint64_t) + 1;

}  // namespace

std::string EncodeBarrier(const Barrier& barrier) {
  std::string payload(kBarrierBytes, '\0');
  std::memcpy(payload.data(), &barrier.id, sizeof(barrier.id));
  payload.back() = static_cast<char>(barrier.kind);
  return barrier.unaligned ? AsUnaligned(std::move(payload)) : payload;
}

std::string AsUnaligned(std::string payload) {
  payload.back() = static_cast<char>(static_cast<uint8_t>(payload.back()) | kUnaligned);
  return payload;
}

absl::StatusOr<Barrier> DecodeBarrier(std::string_view payload, Ticks time) {
  if (payload.size() != kBarrierBytes) {
    return absl::DataLossError(StrCat("a barrier with a payload of ", payload.size(),
                                      " bytes instead of ", kBarrierBytes));
  }
  Barrier barrier{.id = 0, .time = time};
  std::memcpy(&barrier.id, payload.data(), sizeof(barrier.id));
  if (barrier.id == 0) return absl::DataLossError("a barrier of checkpoint 0, which there is not");
  barrier.unaligned = (static_cast<uint8_t>(payload.back()) & kUnaligned) != 0;
  const auto kind = static_cast<uint8_t>(static_cast<uint8_t>(payload.back()) & ~kUnaligned);
  if (barrier.unaligned && !MayOvertake(static_cast<BarrierKind>(kind))) {
    return absl::DataLossError("an unaligned barrier of a savepoint");
  }
  if (kind > static_cast<uint8_t>(BarrierKind::kRescale)) {
    return absl::DataLossError(StrCat("a barrier of unknown kind ", static_cast<int>(kind)));
  }
  barrier.kind = static_cast<BarrierKind>(kind);
  return barrier;
}

size_t EncodeMessage(const RecordType& type, const BatchBase& batch, size_t begin, std::string& out,
                     size_t target_bytes) {
  const bool timed = !batch.timestamps.empty();
  out.push_back(timed ? static_cast<char>(kHasTimestamps) : char{0});
  size_t target = target_bytes;
  if (timed) {
    // Leave room for the timestamps: exact for records of one size, near enough for others.
    const size_t record = type.record_size_bytes();
    target = target * record / (record + sizeof(Ticks));
  }
  const size_t end = type.Encode(batch, begin, target, out);
  if (timed) {
    out.append(reinterpret_cast<const char*>(batch.timestamps.data() + begin),
               (end - begin) * sizeof(Ticks));
  }
  return end;
}

absl::Status DecodeMessage(const RecordType& type, std::string_view message, size_t records,
                           BatchBase& batch) {
  if (records == 0 || message.empty()) return absl::DataLossError("a data frame without records");
  const auto flags = static_cast<unsigned char>(message[0]);
  message.remove_prefix(1);
  if ((flags & ~kHasTimestamps) != 0) {
    return absl::DataLossError(StrCat("a data frame with unknown flags ", static_cast<int>(flags)));
  }
  std::string_view timestamps;
  if ((flags & kHasTimestamps) != 0) {
    if (records > message.size() / sizeof(Ticks)) {
      return absl::DataLossError(StrCat("a data frame of ", message.size(),
                                        " bytes that says it has ", records, " timestamps"));
    }
    timestamps = message.substr(message.size() - records * sizeof(Ticks));
    message.remove_suffix(timestamps.size());
  }
  absl::Status status = type.Decode(message, records, batch);
  if (!status.ok()) return status;
  if (!timestamps.empty()) {
    batch.timestamps.resize_uninitialized(records);
    std::memcpy(batch.timestamps.data(), timestamps.data(), timestamps.size());
  }
  return absl::OkStatus();
}

}  // namespace weir
