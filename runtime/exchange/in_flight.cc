#include "runtime/exchange/in_flight.h"

#include "common/base/little_endian.h"
#include "common/base/strings.h"
#include "runtime/exchange/data_message.h"

namespace weir {
namespace {

constexpr uint8_t kData = 1;
constexpr uint8_t kWatermark = 2;
constexpr uint8_t kMore = 1;
constexpr size_t kHeadBytes = 2 + sizeof(uint32_t) + sizeof(int64_t) + sizeof(uint32_t);

void AppendHead(std::string& out, uint8_t kind, uint8_t flags, uint32_t records, Ticks time,
                size_t payload) {
  out.push_back(static_cast<char>(kind));
  out.push_back(static_cast<char>(flags));
  AppendLittleEndian(out, records);
  AppendLittleEndian(out, static_cast<uint64_t>(time));
  AppendLittleEndian(out, static_cast<uint32_t>(payload));
}

absl::Status Damaged(std::string_view what) {
  return absl::DataLossError(StrCat("records in flight are damaged: ", what));
}

}  // namespace

void AppendInFlightData(std::string& out, bool more, uint32_t records, std::string_view payload) {
  AppendHead(out, kData, more ? kMore : 0, records, 0, payload.size());
  out.append(payload);
}

void AppendInFlightWatermark(std::string& out, Ticks watermark) {
  AppendHead(out, kWatermark, 0, 0, watermark, 0);
}

void AppendInFlightBatch(std::string& out, const RecordType& type, const BatchBase& batch) {
  std::string message;
  for (size_t begin = 0; begin < batch.size();) {
    message.clear();
    const size_t end = EncodeMessage(type, batch, begin, message);
    AppendInFlightData(out, false, static_cast<uint32_t>(end - begin), message);
    begin = end;
  }
}

absl::StatusOr<bool> InFlightReader::Next(Element& element) {
  element = {};
  assembled_.clear();
  bool continued = false;
  while (at_ < bytes_.size()) {
    if (bytes_.size() - at_ < kHeadBytes) return Damaged("they are truncated");
    const char* const head = bytes_.data() + at_;
    const auto kind = static_cast<uint8_t>(head[0]);
    const auto flags = static_cast<uint8_t>(head[1]);
    const auto records = LoadLittleEndian<uint32_t>(head + 2);
    const auto time = static_cast<Ticks>(LoadLittleEndian<uint64_t>(head + 6));
    const auto length = LoadLittleEndian<uint32_t>(head + 14);
    if (length > bytes_.size() - at_ - kHeadBytes) return Damaged("they are truncated");
    const std::string_view payload(head + kHeadBytes, length);
    const bool more = flags == kMore;
    if (kind == kWatermark) {
      if (continued || flags != 0 || records != 0 || length != 0) {
        return Damaged("a malformed watermark");
      }
      at_ += kHeadBytes;
      element.watermark = time;
      return true;
    }
    if (kind != kData || (flags & ~kMore) != 0 || time != 0 || more != (records == 0)) {
      return Damaged(StrCat("an element of kind ", uint32_t{kind}));
    }
    at_ += kHeadBytes + length;
    if (more || continued) {
      continued = true;
      assembled_ += payload;
      if (more) continue;
    }
    element.records = records;
    element.message = continued ? std::string_view(assembled_) : payload;
    return true;
  }
  if (continued) return Damaged("a record that is not continued to its end");
  return false;
}

}  // namespace weir
