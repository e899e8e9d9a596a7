#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
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

class IncomingStream;

// One channel at its receiver. Made once, never removed before the exchange is.
struct IncomingChannel {
  ChannelId id;
  uint32_t from_worker = 0;
  ChannelReceiver* receiver = nullptr;

  // Credits granted and not used. Raised before the grant is sent.
  std::atomic<int64_t> allowance{0};

  // Under the mutex of IncomingChannels.
  uint32_t credits = 0;  // in all: granted, used and not given back, or to grant
  uint32_t to_grant = 0;
  IncomingStream* stream = nullptr;

  // Of the stream's callbacks, which run one at a time.
  uint32_t next_sequence = 0;
  int64_t last_watermark = std::numeric_limits<int64_t>::min();
  size_t continued_bytes = 0;  // of a record of which parts have come
  bool ended = false;
  bool failed = false;
};

// The receiving half of an exchange: the channels, and the streams of the workers that send on
// them. Thread safe.
class IncomingChannels : public std::enable_shared_from_this<IncomingChannels> {
 public:
  // `timers` outlives `gate`'s closing.
  IncomingChannels(Executor& timers, std::shared_ptr<CallGate> gate, const ExchangeOptions& options)
      : timers_(timers), gate_(std::move(gate)), options_(options) {}

  void Register(ChannelId id, uint32_t from_worker, ChannelReceiver* receiver);
  void Grant(ChannelId id, uint32_t n);
  // Ends all streams.
  void Close();

  const ExchangeOptions& options() const { return options_; }
  CallGate& gate() { return *gate_; }

 private:
  friend class IncomingStream;
  // What is known of a worker that sends to this one.
  struct Sender {
    std::shared_ptr<IncomingStream> stream;
    // Why its stream ended; a worker has one stream in an attempt.
    std::optional<absl::Status> ended;
  };

  // The worker has said hello. Grants its channels their first credits. kFailedPrecondition if it
  // has, or had, a stream.
  absl::Status Join(uint32_t worker, const std::shared_ptr<IncomingStream>& stream);
  // Its stream is over: fails the channels that have not ended.
  void Leave(uint32_t worker, const absl::Status& why);
  // Null if there is no such channel from this worker.
  IncomingChannel* Find(ChannelId id, uint32_t worker);
  // Messages with all credits due on a stream.
  std::vector<MessageBytes> TakeGrants(IncomingStream& stream)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Executor& timers_;
  const std::shared_ptr<CallGate> gate_;
  const ExchangeOptions options_;

  Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_map<ChannelId, std::unique_ptr<IncomingChannel>> channels_
      ABSL_GUARDED_BY(mutex_);
  std::map<uint32_t, Sender> senders_ ABSL_GUARDED_BY(mutex_);
};

// The streams that come to one address, and the exchanges there, by region: the first message of a
// stream decides to which it belongs, and whether it stays. Thread safe.
class IncomingStreams : public std::enable_shared_from_this<IncomingStreams> {
 public:
  // `timers` outlives Close and what the network still calls after it.
  explicit IncomingStreams(Executor& timers) : timers_(timers) {}

  StreamCallbacks Accept(std::shared_ptr<MessageStream> stream);
  void Add(std::shared_ptr<IncomingChannels> channels);
  void Remove(const IncomingChannels& channels);
  // Ends the streams that have said nothing; none is accepted any more.
  void Close();

 private:
  friend class IncomingStream;
  // kUnavailable: the region is not deployed here (yet); whoever connects may try again.
  absl::StatusOr<std::shared_ptr<IncomingChannels>> Find(const std::string& hello);

  Executor& timers_;
  Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<uint32_t, std::shared_ptr<IncomingChannels>> regions_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::weak_ptr<IncomingStream>> unnamed_ ABSL_GUARDED_BY(mutex_);
};

// The stream of one worker that sends to this one. Its callbacks run one at a time, on the
// network's threads.
class IncomingStream : public std::enable_shared_from_this<IncomingStream> {
 public:
  IncomingStream(std::shared_ptr<IncomingStreams> streams, std::shared_ptr<MessageStream> stream)
      : streams_(std::move(streams)), stream_(std::move(stream)) {}

  void OnMessage(std::string message);
  void OnClose(const absl::Status& status);
  void Send(MessageBytes message) { stream_->Send(std::move(message)); }
  void Cancel(const absl::Status& why) { stream_->Cancel(why); }
  // Ends the stream if no hello has come yet.
  void EndUnlessGreeted(const absl::Status& why);

 private:
  friend class IncomingChannels;
  void Greet(const std::string& message);
  absl::Status OnHello(const std::string& message);
  absl::Status OnFrames(std::string message);
  // Looks at one frame; then it may go to its receiver.
  absl::Status Check(IncomingChannel& channel, const WireFrame& wire) const;
  absl::Status CheckData(IncomingChannel& channel, const Frame& frame) const;
  void End(const absl::Status& why);
  std::string PeerName() const;

  const std::shared_ptr<IncomingStreams> streams_;
  const std::shared_ptr<MessageStream> stream_;
  // Null before its hello.
  std::shared_ptr<IncomingChannels> channels_;
  std::atomic<bool> greeted_{false};
  uint32_t worker_ = 0;
  bool over_ = false;
  absl::flat_hash_map<ChannelId, IncomingChannel*> found_;
  std::vector<WireFrame> frames_;
  // Under the mutex of IncomingChannels: channels with credits to give.
  std::vector<IncomingChannel*> granting_;
};

}  // namespace weir
