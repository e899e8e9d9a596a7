#include "transport/exchange/outgoing_stream.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "transport/exchange/handshake.h"

namespace weir {
namespace {

constexpr absl::Duration kFirstBackoff = absl::Milliseconds(20);
constexpr absl::Duration kMaxBackoff = absl::Milliseconds(500);
// More than any receiver grants: a sender's counter must not overflow by what a peer says.
constexpr int64_t kMaxCredits = 1 << 20;

std::deque<Frame>::const_iterator FindBarrier(const std::deque<Frame>& waiting,
                                              const std::string& payload) {
  return std::find_if(waiting.begin(), waiting.end(), [&](const Frame& frame) {
    return frame.kind == FrameKind::kBarrier && frame.payload == payload;
  });
}

}  // namespace

OutgoingStream::OutgoingStream(Env& env, Executor& timers, std::shared_ptr<CallGate> gate,
                               const ExchangeOptions& options, uint32_t to_worker,
                               std::string address)
    : env_(env),
      timers_(timers),
      gate_(std::move(gate)),
      options_(options),
      to_worker_(to_worker),
      address_(std::move(address)) {}

std::string OutgoingStream::PeerName() const {
  return StrCat("worker ", to_worker_, " at ", address_);
}

void OutgoingStream::Connect() {
  {
    MutexLock lock(mutex_);
    deadline_nanos_ =
        env_.clock().MonotonicNanos() + absl::ToInt64Nanoseconds(options_.connect_timeout);
    backoff_ = kFirstBackoff;
    peer_ = env_.network().Connect(address_);
  }
  timers_.PostAfter(options_.connect_timeout, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self == nullptr) return;
    const CallGate::Pass pass(*self->gate_);
    if (!pass) return;
    {
      MutexLock lock(self->mutex_);
      if (self->state_ != State::kConnecting) return;
    }
    self->Fail(absl::DeadlineExceededError(
        StrCat("no answer within ", absl::FormatDuration(self->options_.connect_timeout))));
  });
  Try();
}

void OutgoingStream::Try() {
  uint64_t attempt = 0;
  std::shared_ptr<RemotePeer> peer;
  {
    MutexLock lock(mutex_);
    if (state_ != State::kConnecting) return;
    attempt = ++attempt_;
    peer = peer_;
  }
  // Callbacks keep the stream; they are destroyed when it ends.
  StreamCallbacks callbacks;
  callbacks.on_message = [self = shared_from_this(), attempt](std::string message) {
    self->OnMessage(attempt, std::move(message));
  };
  callbacks.on_close = [self = shared_from_this(), attempt](const absl::Status& status) {
    self->OnClose(attempt, status);
  };
  callbacks.on_drained = [self = shared_from_this()] {
    const CallGate::Pass pass(*self->gate_);
    if (pass) self->Pump();
  };
  const std::shared_ptr<MessageStream> stream =
      peer->OpenStream(kExchangeMethod, /*executor=*/nullptr, std::move(callbacks));
  {
    MutexLock lock(mutex_);
    if (state_ == State::kConnecting && attempt_ == attempt) stream_ = stream;
  }
  stream->Send(EncodeHello(options_));
}

void OutgoingStream::OnMessage(uint64_t attempt, std::string message) {
  const CallGate::Pass pass(*gate_);
  if (!pass) return;
  bool welcome = false;
  {
    MutexLock lock(mutex_);
    if (attempt != attempt_ || IsOver()) return;
    welcome = state_ == State::kConnecting;
  }
  absl::Status status = welcome ? OnWelcome(message) : OnCredits(std::move(message));
  if (!status.ok()) Fail(std::move(status));
}

absl::Status OutgoingStream::OnWelcome(const std::string& message) {
  WEIR_RETURN_IF_ERROR(CheckWelcome(message, to_worker_));
  MutexLock lock(mutex_);
  if (state_ == State::kConnecting) state_ = State::kOpen;
  return absl::OkStatus();
}

absl::Status OutgoingStream::OnCredits(std::string message) {
  std::vector<WireFrame> frames;
  WEIR_RETURN_IF_ERROR(DecodeMessage(std::move(message), &frames));
  std::vector<std::shared_ptr<Channel>> again;
  {
    MutexLock lock(mutex_);
    for (const WireFrame& wire : frames) {
      const int64_t credits = wire.frame.record_count;
      if (wire.frame.kind != FrameKind::kCredit || wire.sequence != 0) {
        return absl::DataLossError(
            StrCat("a frame of kind ", static_cast<int>(wire.frame.kind), " where credits belong"));
      }
      const auto found = channels_.find(wire.channel);
      // The receiver may be there before this worker's task is: its credits are kept.
      std::shared_ptr<Channel>* channel = nullptr;
      if (found == channels_.end()) {
        auto made = std::make_shared<Channel>();
        made->id = wire.channel;
        channel = &channels_.emplace(wire.channel, std::move(made)).first->second;
      } else {
        channel = &found->second;
      }
      Channel& to = **channel;
      if (credits == 0 || to.credits + credits > kMaxCredits ||
          channels_.size() > kMaxChannelsPerStream) {
        return absl::DataLossError(
            StrCat(credits, " credits for ", ToString(wire.channel), " are not possible"));
      }
      to.credits += credits;
      to.granted = true;
      const int64_t before = to.available.fetch_add(credits, std::memory_order_acq_rel);
      if (before <= 0 && before + credits > 0) again.push_back(*channel);
      ReleaseSendable(to);
    }
  }
  Pump();
  for (const std::shared_ptr<Channel>& channel : again) {
    MutexLock lock(channel->callback_mutex);
    if (channel->attached && channel->on_credit != nullptr) channel->on_credit();
  }
  return absl::OkStatus();
}

void OutgoingStream::OnClose(uint64_t attempt, const absl::Status& status) {
  const CallGate::Pass pass(*gate_);
  if (!pass) return;
  bool try_again = false;
  absl::Duration backoff;
  {
    MutexLock lock(mutex_);
    if (attempt != attempt_ || IsOver()) return;
    try_again = state_ == State::kConnecting && absl::IsUnavailable(status) &&
                env_.clock().MonotonicNanos() < deadline_nanos_;
    backoff = backoff_;
    backoff_ = std::min(backoff_ * 2, kMaxBackoff);
    if (try_again) stream_ = nullptr;
  }
  if (try_again) {
    timers_.PostAfter(backoff, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self != nullptr) self->Try();
    });
    return;
  }
  Fail(status.ok() ? absl::UnavailableError("it closed the stream") : status);
}

void OutgoingStream::Fail(absl::Status status) {
  status = absl::Status(status.code(),
                        ToAbsl(StrCat("sending to ", PeerName(), ": ", status.message())));
  std::shared_ptr<MessageStream> stream;
  std::vector<std::shared_ptr<Channel>> channels;
  {
    MutexLock lock(mutex_);
    if (IsOver()) return;
    state_ = State::kFailed;
    failure_ = status;
    stream = std::move(stream_);
    stream_ = nullptr;
    sendable_.clear();
    for (const auto& [id, channel] : channels_) {
      channel->waiting.clear();
      channels.push_back(channel);
    }
  }
  // In an order of their own, not of the table.
  std::sort(channels.begin(), channels.end(),
            [](const auto& a, const auto& b) { return a->id < b->id; });
  if (stream != nullptr) stream->Cancel(status);
  for (const std::shared_ptr<Channel>& channel : channels) {
    MutexLock lock(channel->callback_mutex);
    if (!channel->attached || channel->on_error == nullptr || channel->failed) continue;
    channel->failed = true;
    channel->on_error(status);
  }
}

void OutgoingStream::AddChannel(std::shared_ptr<Channel> channel) {
  bool failed = false;
  {
    MutexLock lock(mutex_);
    failed = state_ == State::kFailed;
    channel->opened = true;
    auto [entry, added] = channels_.try_emplace(channel->id, channel);
    if (!added) {
      // Credits came first.
      WEIR_CHECK(!entry->second->opened);
      channel->credits = entry->second->credits;
      channel->granted = entry->second->granted;
      channel->available = entry->second->credits;
      entry->second = channel;
    }
  }
  if (!failed) return;
  timers_.Post([self = shared_from_this(), channel = std::move(channel)] {
    const CallGate::Pass pass(*self->gate_);
    if (!pass) return;
    absl::Status failure;
    {
      MutexLock lock(self->mutex_);
      failure = self->failure_;
    }
    MutexLock lock(channel->callback_mutex);
    if (channel->attached && !channel->failed) {
      channel->failed = true;
      channel->on_error(failure);
    }
  });
}

void OutgoingStream::Detach(Channel& channel) {
  MutexLock lock(channel.callback_mutex);
  channel.attached = false;
  channel.on_credit = nullptr;
  channel.on_error = nullptr;
}

void OutgoingStream::Send(Channel& channel, std::vector<Frame>& frames) {
  {
    MutexLock lock(mutex_);
    if (IsOver()) {
      frames.clear();
      return;
    }
    for (Frame& frame : frames) {
      channel.ended |= frame.kind == FrameKind::kEndOfInput;
      channel.waiting.push_back(std::move(frame));
    }
    ReleaseSendable(channel);
  }
  frames.clear();
  Pump();
}

bool OutgoingStream::BarrierWaits(const Channel& channel, const std::string& payload) const {
  MutexLock lock(mutex_);
  return FindBarrier(channel.waiting, payload) != channel.waiting.end();
}

void OutgoingStream::Overtake(Channel& channel, const std::string& payload, std::string as,
                              std::vector<Frame>& overtaken) {
  {
    MutexLock lock(mutex_);
    const auto found = FindBarrier(channel.waiting, payload);
    if (found == channel.waiting.end()) return;
    overtaken.insert(overtaken.end(), channel.waiting.cbegin(), found);
    Frame barrier = *found;
    barrier.payload = std::move(as);
    channel.waiting.erase(found);
    channel.waiting.push_front(std::move(barrier));
    ReleaseSendable(channel);
  }
  Pump();
}

void OutgoingStream::ReleaseSendable(Channel& channel) {
  while (channel.granted && !channel.waiting.empty()) {
    Frame& frame = channel.waiting.front();
    if (frame.kind == FrameKind::kData) {
      if (channel.credits == 0) return;
      --channel.credits;
    }
    sendable_.push_back({channel.id, channel.next_sequence++, std::move(frame)});
    channel.waiting.pop_front();
  }
}

// One message is in the network's queue at a time. While it is, frames collect here: the busier the
// stream, the larger its messages. Whoever looks last goes on: this, or the one that hears that the
// queue is empty.
void OutgoingStream::Pump() {
  std::vector<WireFrame> frames;
  for (;;) {
    std::shared_ptr<MessageStream> stream;
    bool closing = false;
    {
      MutexLock lock(mutex_);
      closing = state_ == State::kClosing;
      if (pumping_ || (state_ != State::kOpen && !closing)) return;
      if (sendable_.empty() && !closing) return;
      stream = stream_;
      pumping_ = true;
    }
    // The last frames need not wait: nobody hears any more that the queue is empty.
    while ((closing || stream->queued_bytes() == 0) && TakeSendable(frames)) {
      MessageEncoder encoder;
      for (WireFrame& wire : frames) encoder.Add(std::move(wire));
      stream->Send(encoder.Finish());
    }
    {
      MutexLock lock(mutex_);
      pumping_ = false;
      if (closing) {
        state_ = State::kClosed;
        stream_ = nullptr;
      } else if (state_ == State::kOpen && stream->queued_bytes() != 0) {
        return;
      }
    }
    if (closing) return stream->Finish();
  }
}

bool OutgoingStream::TakeSendable(std::vector<WireFrame>& frames) {
  frames.clear();
  MutexLock lock(mutex_);
  for (size_t bytes = 0; !sendable_.empty() && frames.size() < kMaxFramesPerMessage &&
                         bytes < kFullMessagePayloadBytes;) {
    bytes += sendable_.front().frame.payload.size();
    frames.push_back(std::move(sendable_.front()));
    sendable_.pop_front();
  }
  return !frames.empty();
}

void OutgoingStream::Close() {
  std::shared_ptr<MessageStream> stream;
  bool finished = false;
  {
    MutexLock lock(mutex_);
    if (IsOver()) return;
    finished = state_ == State::kOpen;
    for (const auto& [id, channel] : channels_) {
      finished &= channel->ended && channel->waiting.empty();
    }
    peer_ = nullptr;
    channels_.clear();
    state_ = finished ? State::kClosing : State::kClosed;
    if (!finished) {
      stream = std::move(stream_);
      stream_ = nullptr;
      sendable_.clear();
    }
  }
  if (finished) {
    Pump();
  } else if (stream != nullptr) {
    stream->Cancel(
        absl::UnavailableError(StrCat("worker ", options_.worker_index, " is shutting down")));
  }
}

}  // namespace weir
