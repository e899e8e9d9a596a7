#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/id.h"
#include "common/env/env.h"

namespace weir {

// One directed channel between two subtasks: which edge of the graph, from which subtask to which.
struct ChannelId {
  uint32_t edge = 0;
  uint32_t from_subtask = 0;
  uint32_t to_subtask = 0;

  friend auto operator<=>(const ChannelId&, const ChannelId&) = default;
  template <class H>
  friend H AbslHashValue(H state, const ChannelId& id) {
    return H::combine(std::move(state), id.edge, id.from_subtask, id.to_subtask);
  }
};

enum class FrameKind : uint8_t {
  kData = 1,
  kWatermark = 2,
  kIdle = 3,
  kActive = 4,
  kBarrier = 5,
  kEndOfInput = 6,
  kCredit = 7,
};

// One element of a channel, as bytes. For kData the payload is timestamps and records as
// runtime/exchange encodes them; a record larger than a frame is continued (`more` set on all parts
// but the last).
struct Frame {
  FrameKind kind = FrameKind::kData;
  bool more = false;
  uint32_t record_count = 0;
  int64_t time = 0;  // watermark
  std::string payload;
};

inline constexpr size_t kMaxFramePayloadBytes = 64 << 10;
inline constexpr size_t kMaxRecordBytes = 16 << 20;

// Receives one channel. Called on a thread of the transport, one call at a time for one channel: it
// hands over to a mailbox and returns. Frames arrive in order and complete, or OnError comes, once,
// as the last call.
class ChannelReceiver {
 public:
  virtual ~ChannelReceiver() = default;
  virtual void OnFrame(Frame frame) = 0;
  virtual void OnError(absl::Status status) = 0;
};

// Sends one channel. Owned by one task; calls from its thread. One credit is one kData frame; other
// kinds cost none.
class ChannelSender {
 public:
  virtual ~ChannelSender() = default;
  // Data frames that may be sent now. May be exceeded by what one step of the task produces (they
  // queue here).
  virtual int64_t credits() const = 0;
  virtual void Send(Frame frame) = 0;
  // Whether a barrier that was sent with this payload waits behind data for credit.
  virtual bool BarrierWaits(const std::string& payload) const = 0;
  // If it does, it goes ahead of all that waits, even of the rest of a record, with the payload
  // `as`; copies of what was before it are appended to `overtaken`.
  virtual void Overtake(const std::string& payload, std::string as,
                        std::vector<Frame>& overtaken) = 0;
  // Pushes what is queued to the network; called at the end of a step or on the latency bound.
  virtual void Flush() = 0;
};

struct ExchangeOptions {
  JobId job;
  uint64_t leader_epoch = 0;
  // Of the job that this is the data plane of, and how often that has been started.
  uint32_t region = 0;
  uint32_t attempt = 0;
  uint32_t worker_index = 0;
  // Data frames that a sender may have outstanding per channel: the receiver's buffers.
  uint32_t credits_per_channel = 16;
  // At least so many for all channels of a stream together, so that a stream of one channel is as
  // fast as one of many: a channel that is there when its sender's stream comes has an even part of
  // them, if that is more than credits_per_channel.
  uint32_t credits_per_stream = 64;
  // How long Connect tries to reach a peer before the channel fails.
  absl::Duration connect_timeout = absl::Seconds(10);
};

// The data plane of one region of a job in one worker: one stream per pair of workers, frames of
// many channels multiplexed on it, credits per channel. A malformed frame (length, checksum, gap in
// sequence, unknown channel, wrong attempt or epoch) closes the stream and fails its channels with
// an error that names the peer. Thread safe.
class Exchange {
 public:
  virtual ~Exchange() = default;

  // Before any peer sends on it. `receiver` outlives the exchange or Unregister.
  virtual void RegisterReceiver(ChannelId channel, uint32_t from_worker,
                                ChannelReceiver* receiver) = 0;
  // Returns `n` credits to the sender: that many data frames have been consumed.
  virtual void GrantCredits(ChannelId channel, uint32_t n) = 0;
  // `on_credit` runs on a transport thread when credits become positive again; `on_error` once if
  // the peer is lost.
  virtual std::unique_ptr<ChannelSender> OpenSender(ChannelId channel, uint32_t to_worker,
                                                    const std::string& to_address,
                                                    std::function<void()> on_credit,
                                                    std::function<void(absl::Status)> on_error) = 0;
  // host:port for peers.
  virtual const std::string& address() const = 0;
  // Stops all streams; no callback runs after it returns.
  virtual void Shutdown() = 0;
};

// Where the exchanges of one worker are reached, all at one address: what a peer says first tells
// which it means. Thread safe; outlives its exchanges.
class ExchangeHost {
 public:
  virtual ~ExchangeHost() = default;
  // kInvalidArgument: no credits. The one before of the same region has been shut down. A peer that
  // comes too early is asked to come again.
  virtual absl::StatusOr<std::unique_ptr<Exchange>> Open(ExchangeOptions options) = 0;
  // host:port for peers.
  virtual const std::string& address() const = 0;
};

// Listens on `listen_address` (port 0 allowed) over env.network(). The real network and the
// simulated one carry the same frames.
absl::StatusOr<std::unique_ptr<ExchangeHost>> MakeExchangeHost(Env& env,
                                                               const std::string& listen_address);
// One exchange that listens by itself.
absl::StatusOr<std::unique_ptr<Exchange>> MakeExchange(Env& env, const std::string& listen_address,
                                                       ExchangeOptions options);

}  // namespace weir
