#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "runtime/exchange/channel.h"
#include "transport/exchange/exchange.h"
#include "weir/metrics.h"
#include "weir/record_type.h"

namespace weir {

// The producer's end of a channel to another worker: encodes batches into data frames
// (docs/FORMATS.md, "Data frame payload") on the producing task's thread. Blocked while the
// consumer has granted no credit.
class RemoteOutputChannel final : public OutputChannel {
 public:
  // `type`, `uid` (of the producing operator, for errors) and `bytes_out` outlive it. Open is
  // called before anything else: the sender's callbacks may need what is made after this.
  RemoteOutputChannel(const RecordType& type, const std::string& uid, Counter& bytes_out)
      : type_(type), uid_(uid), bytes_out_(bytes_out) {}
  void Open(std::unique_ptr<ChannelSender> sender) { sender_ = std::move(sender); }

  // kInvalidArgument if a record takes more than kMaxRecordBytes.
  absl::Status SendBatch(std::unique_ptr<BatchBase>& batch) override;
  void SendEvent(const Event& event) override;
  bool Blocked() const override { return sender_->credits() <= 0; }
  bool Overfull() const override { return sender_->credits() <= -kMaxExcessFrames; }
  void Flush() override { sender_->Flush(); }
  bool BarrierWaits() const override { return sender_->BarrierWaits(last_barrier_); }
  void OvertakeWithBarrier(std::string& in_flight) override;

 private:
  static constexpr int64_t kMaxExcessFrames = 1024;

  void SendMessage(std::string message, size_t records);

  const RecordType& type_;
  const std::string& uid_;
  Counter& bytes_out_;
  std::unique_ptr<ChannelSender> sender_;
  // The payload of the barrier that was sent last.
  std::string last_barrier_;
};

}  // namespace weir
