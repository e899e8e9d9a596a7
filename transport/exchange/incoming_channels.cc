#include "transport/exchange/incoming_channels.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "transport/exchange/handshake.h"

namespace weir {
namespace {

// A connection that says nothing is ended.
constexpr absl::Duration kHelloTimeout = absl::Seconds(5);
// What an encoder may add to a record (runtime/exchange).
constexpr size_t kRecordSlackBytes = kMaxFramePayloadBytes;

absl::Status Lost(uint32_t worker, const absl::Status& why) {
  if (why.ok()) {
    return absl::UnavailableError(
        StrCat("worker ", worker, " closed its stream before the end of its input"));
  }
  return absl::Status(why.code(),
                      ToAbsl(StrCat("the stream from worker ", worker, " ended: ", why.message())));
}

}  // namespace

void IncomingChannels::Register(ChannelId id, uint32_t from_worker, ChannelReceiver* receiver) {
  std::shared_ptr<IncomingStream> stream;
  std::vector<MessageBytes> grants;
  std::optional<absl::Status> lost;
  IncomingChannel* channel = nullptr;
  {
    MutexLock lock(mutex_);
    auto made = std::make_unique<IncomingChannel>();
    channel = made.get();
    channel->id = id;
    channel->from_worker = from_worker;
    channel->receiver = receiver;
    channel->credits = options_.credits_per_channel;
    channel->to_grant = channel->credits;
    WEIR_CHECK(channels_.emplace(id, std::move(made)).second);
    const auto sender = senders_.find(from_worker);
    if (sender != senders_.end()) {
      lost = sender->second.ended;
      stream = sender->second.stream;
      if (lost.has_value()) channel->failed = true;
    }
    if (stream != nullptr) {
      channel->stream = stream.get();
      stream->granting_.push_back(channel);
      grants = TakeGrants(*stream);
    }
  }
  for (MessageBytes& message : grants) stream->Send(std::move(message));
  if (lost.has_value()) {
    timers_.Post([self = shared_from_this(), receiver, from_worker, why = *lost] {
      const CallGate::Pass pass(*self->gate_);
      if (pass) receiver->OnError(Lost(from_worker, why));
    });
  }
}

void IncomingChannels::Grant(ChannelId id, uint32_t n) {
  if (n == 0) return;
  std::shared_ptr<IncomingStream> stream;
  std::vector<MessageBytes> grants;
  {
    MutexLock lock(mutex_);
    const auto found = channels_.find(id);
    WEIR_CHECK(found != channels_.end());
    IncomingChannel& channel = *found->second;
    if (channel.stream == nullptr) return;  // Over: nobody needs credits.
    if (channel.to_grant == 0) channel.stream->granting_.push_back(&channel);
    channel.to_grant += n;
    // In groups of half of them: the sender goes on with one half while the other comes back, and
    // is woken only twice for all. A sender that waits for credits gets them: then all of them are
    // either to be consumed yet or counted here.
    if (channel.to_grant < std::max(1u, channel.credits / 2)) return;
    stream = channel.stream->shared_from_this();
    grants = TakeGrants(*stream);
  }
  for (MessageBytes& message : grants) stream->Send(std::move(message));
}

std::vector<MessageBytes> IncomingChannels::TakeGrants(IncomingStream& stream) {
  std::vector<MessageBytes> messages;
  MessageEncoder encoder;
  for (IncomingChannel* channel : stream.granting_) {
    channel->allowance.fetch_add(channel->to_grant, std::memory_order_relaxed);
    WireFrame wire;
    wire.channel = channel->id;
    wire.frame.kind = FrameKind::kCredit;
    wire.frame.record_count = std::exchange(channel->to_grant, 0);
    encoder.Add(std::move(wire));
    if (encoder.full()) messages.push_back(encoder.Finish());
  }
  stream.granting_.clear();
  if (!encoder.empty()) messages.push_back(encoder.Finish());
  return messages;
}

absl::Status IncomingChannels::Join(uint32_t worker,
                                    const std::shared_ptr<IncomingStream>& stream) {
  std::vector<MessageBytes> grants;
  {
    MutexLock lock(mutex_);
    if (closed_) return absl::UnavailableError("this worker is shutting down");
    if (senders_.contains(worker)) {
      return absl::FailedPreconditionError(StrCat("worker ", worker,
                                                  " has connected in this attempt before; "
                                                  "a lost stream ends the attempt"));
    }
    // Before any grant, which may come from another thread as soon as the stream is known.
    stream->Send(EncodeWelcome(options_.worker_index));
    senders_[worker].stream = stream;
    for (const auto& [id, channel] : channels_) {
      if (channel->from_worker == worker) {
        channel->stream = stream.get();
        stream->granting_.push_back(channel.get());
      }
    }
    for (IncomingChannel* channel : stream->granting_) {
      const auto part =
          options_.credits_per_stream / static_cast<uint32_t>(stream->granting_.size());
      if (part <= channel->credits) break;
      channel->to_grant += part - channel->credits;
      channel->credits = part;
    }
    std::sort(stream->granting_.begin(), stream->granting_.end(),
              [](const auto* a, const auto* b) { return a->id < b->id; });
    grants = TakeGrants(*stream);
  }
  for (MessageBytes& message : grants) stream->Send(std::move(message));
  return absl::OkStatus();
}

void IncomingChannels::Leave(uint32_t worker, const absl::Status& why) {
  std::vector<IncomingChannel*> channels;
  {
    MutexLock lock(mutex_);
    Sender& sender = senders_[worker];
    sender.ended = why;
    sender.stream = nullptr;
    for (const auto& [id, channel] : channels_) {
      if (channel->from_worker != worker) continue;
      channel->stream = nullptr;
      if (channel->ended || channel->failed) continue;
      channel->failed = true;
      channels.push_back(channel.get());
    }
  }
  std::sort(channels.begin(), channels.end(),
            [](const auto* a, const auto* b) { return a->id < b->id; });
  for (IncomingChannel* channel : channels) channel->receiver->OnError(Lost(worker, why));
}

IncomingChannel* IncomingChannels::Find(ChannelId id, uint32_t worker) {
  MutexLock lock(mutex_);
  const auto found = channels_.find(id);
  if (found == channels_.end() || found->second->from_worker != worker) return nullptr;
  return found->second.get();
}

void IncomingChannels::Close() {
  std::vector<std::shared_ptr<IncomingStream>> streams;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    for (auto& [worker, sender] : senders_) {
      if (sender.stream != nullptr) streams.push_back(std::move(sender.stream));
      sender.stream = nullptr;
    }
    for (const auto& [id, channel] : channels_) channel->stream = nullptr;
  }
  for (const auto& stream : streams) {
    stream->Cancel(
        absl::UnavailableError(StrCat("worker ", options_.worker_index, " is shutting down")));
  }
}

StreamCallbacks IncomingStreams::Accept(std::shared_ptr<MessageStream> stream) {
  const auto incoming = std::make_shared<IncomingStream>(shared_from_this(), std::move(stream));
  {
    MutexLock lock(mutex_);
    if (closed_) {
      incoming->Cancel(absl::UnavailableError("this worker is shutting down"));
      return {[](std::string) {}, [](const absl::Status&) {}};
    }
    std::erase_if(unnamed_, [](const auto& weak) { return weak.expired(); });
    unnamed_.push_back(incoming);
  }
  timers_.PostAfter(kHelloTimeout, [weak = std::weak_ptr<IncomingStream>(incoming)] {
    const auto late = weak.lock();
    if (late != nullptr) late->EndUnlessGreeted(absl::DeadlineExceededError("no hello within 5 s"));
  });
  return {[incoming](std::string message) { incoming->OnMessage(std::move(message)); },
          [incoming](const absl::Status& status) { incoming->OnClose(status); }};
}

void IncomingStreams::Add(std::shared_ptr<IncomingChannels> channels) {
  const uint32_t region = channels->options().region;
  MutexLock lock(mutex_);
  WEIR_CHECK(regions_.emplace(region, std::move(channels)).second);
}

void IncomingStreams::Remove(const IncomingChannels& channels) {
  MutexLock lock(mutex_);
  const auto found = regions_.find(channels.options().region);
  if (found != regions_.end() && found->second.get() == &channels) regions_.erase(found);
}

void IncomingStreams::Close() {
  std::vector<std::shared_ptr<IncomingStream>> streams;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    for (const auto& weak : unnamed_) {
      if (auto stream = weak.lock()) streams.push_back(std::move(stream));
    }
  }
  for (const auto& stream : streams)
    stream->EndUnlessGreeted(absl::UnavailableError("this worker is shutting down"));
}

absl::StatusOr<std::shared_ptr<IncomingChannels>> IncomingStreams::Find(const std::string& hello) {
  WEIR_ASSIGN_OR_RETURN(const uint32_t region, RegionOfHello(hello));
  MutexLock lock(mutex_);
  const auto found = regions_.find(region);
  if (found != regions_.end()) return found->second;
  return absl::UnavailableError(StrCat("region ", region, " of the job is not deployed here"));
}

std::string IncomingStream::PeerName() const { return StrCat("worker ", worker_); }

void IncomingStream::OnMessage(std::string message) {
  if (over_) return;
  if (channels_ == nullptr) return Greet(message);
  const CallGate::Pass pass(channels_->gate());
  if (!pass) return;
  const absl::Status status = OnFrames(std::move(message));
  if (!status.ok()) {
    End(absl::Status(status.code(), ToAbsl(StrCat("a malformed message from ", PeerName(), ": ",
                                                  status.message()))));
  }
}

void IncomingStream::Greet(const std::string& message) {
  auto channels = streams_->Find(message);
  absl::Status refused = channels.status();
  if (refused.ok()) {
    channels_ = *std::move(channels);
    const CallGate::Pass pass(channels_->gate());
    refused = pass ? OnHello(message) : absl::UnavailableError("this worker is shutting down");
  }
  if (refused.ok()) return;
  over_ = true;
  stream_->Cancel(refused);
}

absl::Status IncomingStream::OnHello(const std::string& message) {
  WEIR_ASSIGN_OR_RETURN(worker_, CheckHello(message, channels_->options()));
  WEIR_RETURN_IF_ERROR(channels_->Join(worker_, shared_from_this()));
  greeted_ = true;
  return absl::OkStatus();
}

absl::Status IncomingStream::OnFrames(std::string message) {
  WEIR_RETURN_IF_ERROR(DecodeMessage(std::move(message), &frames_));
  for (WireFrame& wire : frames_) {
    IncomingChannel*& channel = found_[wire.channel];
    if (channel == nullptr) channel = channels_->Find(wire.channel, worker_);
    if (channel == nullptr) {
      return absl::DataLossError(StrCat("unknown channel ", ToString(wire.channel)));
    }
    WEIR_RETURN_IF_ERROR(Check(*channel, wire));
    channel->receiver->OnFrame(std::move(wire.frame));
  }
  frames_.clear();
  return absl::OkStatus();
}

absl::Status IncomingStream::Check(IncomingChannel& channel, const WireFrame& wire) const {
  const auto error = [&](const std::string& what) {
    return absl::DataLossError(StrCat(what, " on ", ToString(channel.id)));
  };
  if (wire.sequence != channel.next_sequence) {
    return error(StrCat("out of sequence: frame ", wire.sequence, " where ", channel.next_sequence,
                        " was expected"));
  }
  ++channel.next_sequence;
  const Frame& frame = wire.frame;
  if (channel.ended) return error("a frame after the end of input");
  if (frame.kind == FrameKind::kData) return CheckData(channel, frame);
  // A barrier may overtake the rest of a record.
  if (channel.continued_bytes != 0 && frame.kind != FrameKind::kBarrier) {
    return error("a record that is not continued to its end");
  }
  switch (frame.kind) {
    case FrameKind::kWatermark:
      if (frame.time < channel.last_watermark) {
        return error(
            StrCat("the watermark goes back from ", channel.last_watermark, " to ", frame.time));
      }
      channel.last_watermark = frame.time;
      break;
    case FrameKind::kEndOfInput:
      channel.ended = true;
      break;
    case FrameKind::kCredit:
      return error("credits from the sending side");
    case FrameKind::kIdle:
    case FrameKind::kActive:
    case FrameKind::kBarrier:
    case FrameKind::kData:
      break;
  }
  return absl::OkStatus();
}

absl::Status IncomingStream::CheckData(IncomingChannel& channel, const Frame& frame) const {
  if (channel.allowance.fetch_sub(1, std::memory_order_relaxed) <= 0) {
    return absl::DataLossError(StrCat("data without credit on ", ToString(channel.id)));
  }
  channel.continued_bytes += frame.payload.size();
  if (channel.continued_bytes > kMaxRecordBytes + kRecordSlackBytes) {
    return absl::DataLossError(StrCat("too long: a record of more than ", kMaxRecordBytes,
                                      " bytes on ", ToString(channel.id)));
  }
  if (!frame.more) channel.continued_bytes = 0;
  return absl::OkStatus();
}

void IncomingStream::OnClose(const absl::Status& status) {
  if (over_) return;
  if (channels_ == nullptr) {
    over_ = true;
    if (status.ok()) stream_->Finish();
    return;
  }
  const CallGate::Pass pass(channels_->gate());
  if (!pass) return;
  over_ = true;
  if (status.ok()) stream_->Finish();
  if (greeted_) channels_->Leave(worker_, status);
}

void IncomingStream::End(const absl::Status& why) {
  over_ = true;
  stream_->Cancel(why);
  channels_->Leave(worker_, why);
}

void IncomingStream::EndUnlessGreeted(const absl::Status& why) {
  if (!greeted_) stream_->Cancel(why);
}

}  // namespace weir
