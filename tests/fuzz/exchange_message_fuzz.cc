// Messages between workers: any bytes are either refused as malformed or mean frames that are
// written as the same bytes again.
#include <cstring>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "tests/fuzz/fuzz_target.h"
#include "transport/exchange/frame_codec.h"

namespace weir {
namespace {

constexpr size_t kLengthOffset = 0;
constexpr size_t kChecksumOffset = 36;

uint32_t Load(const char* from) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<uint8_t>(from[i]);
  return value;
}

// Makes the checksums of all frames right, as far as the directory makes sense: else no changed
// message would get past them.
std::string WithChecksums(std::string message) {
  if (message.size() < kMessageFooterBytes) return message;
  const size_t before_footer = message.size() - kMessageFooterBytes;
  const size_t count = Load(message.data() + before_footer);
  if (count == 0 || count > before_footer / kFrameEntryBytes) return message;
  const size_t payload_bytes = before_footer - count * kFrameEntryBytes;
  size_t begin = 0;
  for (size_t i = 0; i < count; ++i) {
    char* const entry = message.data() + payload_bytes + i * kFrameEntryBytes;
    const size_t length = Load(entry + kLengthOffset);
    if (length > payload_bytes - begin) break;
    const uint64_t seed = Hash64(std::string_view(entry, kChecksumOffset));
    const auto checksum =
        static_cast<uint32_t>(Hash64(std::string_view(message.data() + begin, length), seed));
    for (size_t k = 0; k < 4; ++k) {
      entry[kChecksumOffset + k] = static_cast<char>(checksum >> (8 * k) & 0xff);
    }
    begin += length;
  }
  return message;
}

bool Run(const std::string& message) {
  std::vector<WireFrame> frames;
  const absl::Status status = DecodeMessage(message, &frames);
  if (!status.ok()) {
    WEIR_CHECK(status.code() == absl::StatusCode::kDataLoss);
    WEIR_CHECK(!status.message().empty());
    WEIR_CHECK(frames.empty());
    return false;
  }
  WEIR_CHECK(!frames.empty());
  WEIR_CHECK_LE(frames.size(), kMaxFramesPerMessage);
  MessageEncoder encoder;
  for (WireFrame& frame : frames) encoder.Add(std::move(frame));
  std::string again;
  for (const std::string& piece : encoder.Finish().pieces) again += piece;
  WEIR_CHECK(again == message);
  return true;
}

}  // namespace
}  // namespace weir

bool RunOneInput(std::string_view input) {
  const std::string message(input);
  const bool accepted = weir::Run(message);
  return weir::Run(weir::WithChecksums(message)) || accepted;
}
