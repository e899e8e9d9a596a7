#include "runtime/exchange/remote_output_channel.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/strings.h"
#include "runtime/exchange/data_message.h"
#include "runtime/exchange/in_flight.h"

namespace weir {

absl::Status RemoteOutputChannel::SendBatch(std::unique_ptr<BatchBase>& batch) {
  for (size_t begin = 0; begin < batch->size();) {
    std::string message;
    message.reserve(kMaxFramePayloadBytes);
    size_t end = EncodeMessage(type_, *batch, begin, message);
    if (message.size() > kMaxRecordBytes && end - begin > 1) {
      // Its last record is a huge one: each goes alone.
      message.clear();
      end = EncodeMessage(type_, *batch, begin, message, 1);
    }
    if (message.size() > kMaxRecordBytes) {
      return absl::InvalidArgumentError(
          StrCat("operator '", uid_, "' put out a record of type ", type_.schema().type_name,
                 " of about ", message.size(), " bytes; at most ", kMaxRecordBytes,
                 " can be sent to another worker: split it, or send a reference to it"));
    }
    SendMessage(std::move(message), end - begin);
    begin = end;
  }
  batch->Clear();
  return absl::OkStatus();
}

void RemoteOutputChannel::SendMessage(std::string message, size_t records) {
  bytes_out_.Add(message.size());
  if (message.size() <= kMaxFramePayloadBytes) {
    sender_->Send({FrameKind::kData, false, static_cast<uint32_t>(records), 0, std::move(message)});
    return;
  }
  for (size_t begin = 0; begin < message.size(); begin += kMaxFramePayloadBytes) {
    const size_t size = std::min(kMaxFramePayloadBytes, message.size() - begin);
    const bool more = begin + size < message.size();
    sender_->Send({FrameKind::kData, more, more ? 0 : static_cast<uint32_t>(records), 0,
                   message.substr(begin, size)});
  }
}

void RemoteOutputChannel::SendEvent(const Event& event) {
  Frame frame;
  switch (event.kind) {
    case ElementKind::kWatermark:
      frame.kind = FrameKind::kWatermark;
      frame.time = event.time;
      break;
    case ElementKind::kIdle:
      frame.kind = FrameKind::kIdle;
      break;
    case ElementKind::kActive:
      frame.kind = FrameKind::kActive;
      break;
    case ElementKind::kBarrier:
      frame.kind = FrameKind::kBarrier;
      frame.time = event.time;
      frame.payload = EncodeBarrier(BarrierOf(event));
      last_barrier_ = frame.payload;
      break;
    case ElementKind::kEndOfInput:
      frame.kind = FrameKind::kEndOfInput;
      break;
    case ElementKind::kBatch:
    case ElementKind::kNone:
      WEIR_CHECK(false && "not an event");
  }
  sender_->Send(std::move(frame));
  sender_->Flush();
}

void RemoteOutputChannel::OvertakeWithBarrier(std::string& in_flight) {
  std::vector<Frame> overtaken;
  sender_->Overtake(last_barrier_, AsUnaligned(last_barrier_), overtaken);
  for (const Frame& frame : overtaken) {
    if (frame.kind == FrameKind::kWatermark) AppendInFlightWatermark(in_flight, frame.time);
    if (frame.kind != FrameKind::kData) continue;
    AppendInFlightData(in_flight, frame.more, frame.record_count, frame.payload);
  }
}

}  // namespace weir
