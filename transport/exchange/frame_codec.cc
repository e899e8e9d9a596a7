#include "transport/exchange/frame_codec.h"

#include <array>
#include <cstring>
#include <utility>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace weir {
namespace {

constexpr uint32_t kFooterMagic = 0x31465857;  // "WXF1"
constexpr uint8_t kFlagMore = 1;
constexpr size_t kChecksumOffset = 36;

template <class T>
void Put(char* to, T value) {
  using Unsigned = std::make_unsigned_t<T>;
  auto bits = static_cast<Unsigned>(value);
  for (size_t i = 0; i < sizeof(T); ++i) {
    to[i] = static_cast<char>(bits & 0xff);
    bits = static_cast<Unsigned>(bits >> (sizeof(T) > 1 ? 8 : 0));
  }
}

template <class T>
T Get(const char* from) {
  using Unsigned = std::make_unsigned_t<T>;
  Unsigned bits = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    bits = static_cast<Unsigned>(bits |
                                 (static_cast<Unsigned>(static_cast<uint8_t>(from[i])) << (8 * i)));
  }
  return static_cast<T>(bits);
}

// Over the entry up to the checksum, and the payload.
uint32_t Checksum(const char* entry, std::string_view payload) {
  const uint64_t seed = Hash64(std::string_view(entry, kChecksumOffset));
  return static_cast<uint32_t>(Hash64(payload, seed));
}

bool IsKnown(uint8_t kind) {
  return kind >= static_cast<uint8_t>(FrameKind::kData) &&
         kind <= static_cast<uint8_t>(FrameKind::kCredit);
}

bool HasPayload(FrameKind kind) { return kind == FrameKind::kData || kind == FrameKind::kBarrier; }

absl::Status Malformed(const std::string& what) { return absl::DataLossError(what); }

absl::Status DecodeEntry(const char* entry, std::string_view payload, WireFrame* frame) {
  frame->channel = {Get<uint32_t>(entry + 4), Get<uint32_t>(entry + 8), Get<uint32_t>(entry + 12)};
  if (Get<uint32_t>(entry + kChecksumOffset) != Checksum(entry, payload)) {
    return Malformed(StrCat("wrong checksum of a frame of ", ToString(frame->channel)));
  }
  frame->sequence = Get<uint32_t>(entry + 16);
  const auto kind = static_cast<uint8_t>(entry[32]);
  const auto flags = static_cast<uint8_t>(entry[33]);
  if (!IsKnown(kind)) return Malformed(StrCat("unknown kind of frame ", kind));
  frame->frame.kind = static_cast<FrameKind>(kind);
  frame->frame.more = (flags & kFlagMore) != 0;
  frame->frame.record_count = Get<uint32_t>(entry + 20);
  frame->frame.time = Get<int64_t>(entry + 24);
  if ((flags & ~kFlagMore) != 0 || Get<uint16_t>(entry + 34) != 0 ||
      (frame->frame.more && frame->frame.kind != FrameKind::kData)) {
    return Malformed(StrCat("unknown flags in a frame of kind ", kind));
  }
  if (!payload.empty() && !HasPayload(frame->frame.kind)) {
    return Malformed(StrCat("a payload in a frame of kind ", kind));
  }
  return absl::OkStatus();
}

// Fills all but the payloads, and finds these: `ends` are their ends in the message.
absl::Status DecodeDirectory(std::string_view message, std::vector<WireFrame>* frames) {
  if (message.size() < kMessageFooterBytes) {
    return Malformed(StrCat("truncated: ", message.size(), " bytes"));
  }
  if (message.size() > kMaxExchangeMessageBytes) {
    return Malformed(
        StrCat("too long: ", message.size(), " bytes, at most ", kMaxExchangeMessageBytes));
  }
  const char* const footer = message.data() + message.size() - kMessageFooterBytes;
  if (Get<uint32_t>(footer + 4) != kFooterMagic) {
    return Malformed("no exchange message: its last four bytes are wrong");
  }
  const size_t count = Get<uint32_t>(footer);
  const size_t before_footer = message.size() - kMessageFooterBytes;
  if (count == 0 || count > kMaxFramesPerMessage || count > before_footer / kFrameEntryBytes) {
    return Malformed(
        StrCat("truncated: ", count, " frames announced in ", message.size(), " bytes"));
  }
  const size_t payload_bytes = before_footer - count * kFrameEntryBytes;
  const char* const directory = message.data() + payload_bytes;
  frames->resize(count);
  size_t begin = 0;
  for (size_t i = 0; i < count; ++i) {
    const char* const entry = directory + i * kFrameEntryBytes;
    const size_t length = Get<uint32_t>(entry);
    if (length > kMaxFramePayloadBytes) {
      return Malformed(
          StrCat("a frame of ", length, " bytes is too long, at most ", kMaxFramePayloadBytes));
    }
    if (length > payload_bytes - begin) {
      return Malformed(StrCat("truncated: a frame of ", length, " bytes where ",
                              payload_bytes - begin, " are left"));
    }
    WEIR_RETURN_IF_ERROR(DecodeEntry(entry, message.substr(begin, length), &(*frames)[i]));
    begin += length;
  }
  if (begin != payload_bytes) {
    return Malformed(StrCat(payload_bytes - begin, " bytes belong to no frame"));
  }
  return absl::OkStatus();
}

}  // namespace

void MessageEncoder::Add(WireFrame wire) {
  Frame& frame = wire.frame;
  WEIR_CHECK_LE(frame.payload.size(), kMaxFramePayloadBytes);
  std::array<char, kFrameEntryBytes> entry{};
  Put<uint32_t>(entry.data(), static_cast<uint32_t>(frame.payload.size()));
  Put<uint32_t>(entry.data() + 4, wire.channel.edge);
  Put<uint32_t>(entry.data() + 8, wire.channel.from_subtask);
  Put<uint32_t>(entry.data() + 12, wire.channel.to_subtask);
  Put<uint32_t>(entry.data() + 16, wire.sequence);
  Put<uint32_t>(entry.data() + 20, frame.record_count);
  Put<int64_t>(entry.data() + 24, frame.time);
  entry[32] = static_cast<char>(frame.kind);
  entry[33] = static_cast<char>(frame.more ? kFlagMore : 0);
  Put<uint32_t>(entry.data() + kChecksumOffset, Checksum(entry.data(), frame.payload));
  directory_.append(entry.data(), entry.size());
  payload_bytes_ += frame.payload.size();
  ++count_;
  if (!frame.payload.empty()) payloads_.pieces.push_back(std::move(frame.payload));
}

MessageBytes MessageEncoder::Finish() {
  std::array<char, kMessageFooterBytes> footer{};
  Put<uint32_t>(footer.data(), count_);
  Put<uint32_t>(footer.data() + 4, kFooterMagic);
  directory_.append(footer.data(), footer.size());
  payloads_.pieces.push_back(std::move(directory_));
  MessageBytes message = std::move(payloads_);
  *this = MessageEncoder();
  return message;
}

absl::Status DecodeMessage(std::string message, std::vector<WireFrame>* frames) {
  frames->clear();
  absl::Status status = DecodeDirectory(message, frames);
  if (!status.ok()) {
    frames->clear();
    return status;
  }
  const char* const directory =
      message.data() + message.size() - kMessageFooterBytes - frames->size() * kFrameEntryBytes;
  const size_t first_length = Get<uint32_t>(directory);
  // Its buffer must not be far larger than what it then holds.
  const bool take_over = first_length > message.size() / 2;
  size_t begin = take_over ? first_length : 0;
  for (size_t i = take_over ? 1 : 0; i < frames->size(); ++i) {
    const size_t length = Get<uint32_t>(directory + i * kFrameEntryBytes);
    (*frames)[i].frame.payload.assign(message, begin, length);
    begin += length;
  }
  if (take_over) {
    message.resize(first_length);
    frames->front().frame.payload = std::move(message);
  }
  return absl::OkStatus();
}

std::string ToString(const ChannelId& channel) {
  return StrCat("edge ", channel.edge, " from subtask ", channel.from_subtask, " to subtask ",
                channel.to_subtask);
}

}  // namespace weir
