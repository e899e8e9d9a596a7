#include "runtime/exchange/data_message.h"

#include <bit>
#include <cstring>

#include "common/base/strings.h"

namespace weir {
namespace {

static_assert(std::endian::native == std::endian::little,
              "timestamps are written as they are in memory");

constexpr unsigned char kHasTimestamps = 1;

}  // namespace

std::string EncodeBarrier(uint64_t id) {
  std::string payload(sizeof(id), '\0');
  std::memcpy(payload.data(), &id, sizeof(id));
  return payload;
}

absl::StatusOr<uint64_t> DecodeBarrier(std::string_view payload) {
  uint64_t id = 0;
  if (payload.size() != sizeof(id)) {
    return absl::DataLossError(
        StrCat("a barrier with a payload of ", payload.size(), " bytes instead of ", sizeof(id)));
  }
  std::memcpy(&id, payload.data(), sizeof(id));
  if (id == 0) return absl::DataLossError("a barrier of checkpoint 0, which there is not");
  return id;
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
