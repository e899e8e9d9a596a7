#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/env/network.h"
#include "transport/exchange/exchange.h"

namespace weir {

// The format of exchange messages, byte by byte in docs/FORMATS.md ("Exchange messages"): the
// payloads of all frames, then a directory with one entry per frame, then a footer. With the
// directory last, a message's first payload is taken over by its receiver without a copy, and its
// sender adds one small piece to the payloads that it hands over.

inline constexpr size_t kFrameEntryBytes = 40;
inline constexpr size_t kMessageFooterBytes = 8;
// No message is longer; a longer one is malformed.
inline constexpr size_t kMaxExchangeMessageBytes = 512 << 10;
// A message is closed when its payloads reach this.
inline constexpr size_t kFullMessagePayloadBytes = 256 << 10;
// And when it has as many frames.
inline constexpr size_t kMaxFramesPerMessage = 1024;

// A frame with what travels beside it.
struct WireFrame {
  ChannelId channel;
  // Counts the frames of a channel from 0, modulo 2^32. 0 for kCredit.
  uint32_t sequence = 0;
  Frame frame;
};

// Collects frames into one message.
class MessageEncoder {
 public:
  void Add(WireFrame frame);
  bool empty() const { return count_ == 0; }
  bool full() const {
    return payload_bytes_ >= kFullMessagePayloadBytes || count_ >= kMaxFramesPerMessage;
  }
  // The message; the encoder is empty again.
  MessageBytes Finish();

 private:
  MessageBytes payloads_;
  std::string directory_;
  size_t payload_bytes_ = 0;
  uint32_t count_ = 0;
};

// Takes a message apart. kDataLoss, which says what is wrong, for any bytes that no encoder makes;
// then `frames` is left empty. Total: no input makes it crash, and it allocates at most a small
// multiple of the message's size.
absl::Status DecodeMessage(std::string message, std::vector<WireFrame>* frames);

// "edge 3 from subtask 1 to subtask 0".
std::string ToString(const ChannelId& channel);

}  // namespace weir
