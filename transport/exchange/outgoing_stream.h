#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "common/base/call_gate.h"
#include "common/base/mutex.h"
#include "common/env/env.h"
#include "transport/exchange/exchange.h"
#include "transport/exchange/frame_codec.h"

namespace weir {

// What one worker sends to another: a stream that this worker opens, on which its channels to that
// worker are multiplexed and the credits for them come back. The first stream is tried again until
// the time of ExchangeOptions::connect_timeout is over; once the peer has welcomed it, its loss
// fails the channels. Thread safe.
//
// A channel sends nothing before its receiver has granted the first credits. Frames that may be
// sent are encoded and given to the network by the thread that made them sendable; while it does
// so, those of other threads join its work.
class OutgoingStream : public std::enable_shared_from_this<OutgoingStream> {
 public:
  // One channel. Its credits are looked at by the task without a lock; the rest is the stream's.
  struct Channel {
    ChannelId id;
    // May be exceeded, then it is negative by what waits.
    std::atomic<int64_t> available{0};

    Mutex callback_mutex;
    bool attached ABSL_GUARDED_BY(callback_mutex) = true;
    bool failed ABSL_GUARDED_BY(callback_mutex) = false;
    std::function<void()> on_credit ABSL_GUARDED_BY(callback_mutex);
    std::function<void(absl::Status)> on_error ABSL_GUARDED_BY(callback_mutex);

    // Under the stream's mutex.
    std::deque<Frame> waiting;
    int64_t credits = 0;
    uint32_t next_sequence = 0;
    bool granted = false;  // ever
    bool opened = false;   // by a task, not by early credits only
    bool ended = false;
  };

  // `env` and `timers` are not used once `gate` is closed and Close has been called.
  OutgoingStream(Env& env, Executor& timers, std::shared_ptr<CallGate> gate,
                 const ExchangeOptions& options, uint32_t to_worker, std::string address);

  void Connect();
  // `frames` are taken. Called by the owner of the channel.
  void Send(Channel& channel, std::vector<Frame>& frames);
  // As those of ChannelSender, for what Send was given.
  bool BarrierWaits(const Channel& channel, const std::string& payload) const;
  void Overtake(Channel& channel, const std::string& payload, std::string as,
                std::vector<Frame>& overtaken);
  // Once for each channel. Fails it (by on_error) if the stream has failed.
  void AddChannel(std::shared_ptr<Channel> channel);
  // After it, no callback of the channel runs; what it has queued is sent all the same.
  static void Detach(Channel& channel);
  // Ends the stream: well if all channels have ended and all was sent, otherwise the peer sees an
  // error.
  void Close();

 private:
  // kClosing: whoever pumps finishes the stream when all is sent.
  enum class State { kConnecting, kOpen, kFailed, kClosing, kClosed };

  void Try();
  void OnMessage(uint64_t attempt, std::string message);
  void OnClose(uint64_t attempt, const absl::Status& status);
  absl::Status OnWelcome(const std::string& message);
  absl::Status OnCredits(std::string message);
  void Fail(absl::Status status);
  bool IsOver() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return state_ != State::kConnecting && state_ != State::kOpen;
  }
  void ReleaseSendable(Channel& channel) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Pump();
  // The frames of the next message; false if there are none.
  bool TakeSendable(std::vector<WireFrame>& frames);
  std::string PeerName() const;

  Env& env_;
  Executor& timers_;
  const std::shared_ptr<CallGate> gate_;
  const ExchangeOptions options_;
  const uint32_t to_worker_;
  const std::string address_;

  mutable Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kConnecting;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  // Which try the callbacks belong to; those of an older one are ignored.
  uint64_t attempt_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t deadline_nanos_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Duration backoff_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<RemotePeer> peer_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<MessageStream> stream_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<ChannelId, std::shared_ptr<Channel>> channels_ ABSL_GUARDED_BY(mutex_);
  std::deque<WireFrame> sendable_ ABSL_GUARDED_BY(mutex_);
  bool pumping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace weir
