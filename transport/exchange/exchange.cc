#include "transport/exchange/exchange.h"

#include <map>
#include <utility>

#include "common/base/call_gate.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "transport/exchange/handshake.h"
#include "transport/exchange/incoming_channels.h"
#include "transport/exchange/outgoing_stream.h"

namespace weir {
namespace {

// The task's handle of a channel.
class StreamSender final : public ChannelSender {
 public:
  StreamSender(std::shared_ptr<OutgoingStream> stream,
               std::shared_ptr<OutgoingStream::Channel> channel)
      : stream_(std::move(stream)), channel_(std::move(channel)) {}
  ~StreamSender() override {
    OutgoingStream::Detach(*channel_);
    Flush();
  }

  int64_t credits() const override { return channel_->available.load(std::memory_order_acquire); }
  void Send(Frame frame) override {
    if (frame.kind == FrameKind::kData) channel_->available.fetch_sub(1, std::memory_order_acq_rel);
    bytes_ += frame.payload.size();
    frames_.push_back(std::move(frame));
    // As much as a frame may hold has nothing to wait for.
    if (bytes_ >= kMaxFramePayloadBytes) Flush();
  }
  bool BarrierWaits(const std::string& payload) const override {
    return stream_->BarrierWaits(*channel_, payload);
  }
  void Overtake(const std::string& payload, std::string as,
                std::vector<Frame>& overtaken) override {
    Flush();
    stream_->Overtake(*channel_, payload, std::move(as), overtaken);
  }
  void Flush() override {
    bytes_ = 0;
    if (!frames_.empty()) stream_->Send(*channel_, frames_);
  }

 private:
  const std::shared_ptr<OutgoingStream> stream_;
  const std::shared_ptr<OutgoingStream::Channel> channel_;
  std::vector<Frame> frames_;
  size_t bytes_ = 0;
};

// Exchange over the streams of Env's network.
class StreamExchange final : public Exchange {
 public:
  StreamExchange(Env& env, Executor& timers, std::shared_ptr<IncomingStreams> streams,
                 std::string address, ExchangeOptions options)
      : env_(env),
        options_(std::move(options)),
        timers_(timers),
        streams_(std::move(streams)),
        address_(std::move(address)),
        incoming_(std::make_shared<IncomingChannels>(timers_, gate_, options_)) {
    streams_->Add(incoming_);
  }
  ~StreamExchange() override { Shutdown(); }

  void RegisterReceiver(ChannelId channel, uint32_t from_worker,
                        ChannelReceiver* receiver) override {
    incoming_->Register(channel, from_worker, receiver);
  }

  void GrantCredits(ChannelId channel, uint32_t n) override { incoming_->Grant(channel, n); }

  std::unique_ptr<ChannelSender> OpenSender(ChannelId id, uint32_t to_worker,
                                            const std::string& to_address,
                                            std::function<void()> on_credit,
                                            std::function<void(absl::Status)> on_error) override {
    auto channel = std::make_shared<OutgoingStream::Channel>();
    channel->id = id;
    {
      MutexLock lock(channel->callback_mutex);
      channel->on_credit = std::move(on_credit);
      channel->on_error = std::move(on_error);
    }
    std::shared_ptr<OutgoingStream> stream;
    bool is_new = false;
    {
      MutexLock lock(mutex_);
      WEIR_CHECK(!shut_down_);
      std::shared_ptr<OutgoingStream>& entry = outgoing_[to_worker];
      is_new = entry == nullptr;
      if (is_new) {
        entry =
            std::make_shared<OutgoingStream>(env_, timers_, gate_, options_, to_worker, to_address);
      }
      stream = entry;
    }
    stream->AddChannel(channel);
    if (is_new) stream->Connect();
    return std::make_unique<StreamSender>(std::move(stream), std::move(channel));
  }

  const std::string& address() const override { return address_; }

  void Shutdown() override {
    std::map<uint32_t, std::shared_ptr<OutgoingStream>> outgoing;
    {
      MutexLock lock(mutex_);
      if (std::exchange(shut_down_, true)) return;
      outgoing.swap(outgoing_);
    }
    streams_->Remove(*incoming_);
    gate_->CloseAndWait();
    for (const auto& [worker, stream] : outgoing) stream->Close();
    incoming_->Close();
  }

 private:
  Env& env_;
  const ExchangeOptions options_;
  const std::shared_ptr<CallGate> gate_ = std::make_shared<CallGate>();
  Executor& timers_;
  const std::shared_ptr<IncomingStreams> streams_;
  const std::string address_;
  const std::shared_ptr<IncomingChannels> incoming_;
  Mutex mutex_;
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<uint32_t, std::shared_ptr<OutgoingStream>> outgoing_ ABSL_GUARDED_BY(mutex_);
};

// What is listened at, with an executor for the timers of all exchanges there.
class StreamExchangeHost final : public ExchangeHost {
 public:
  explicit StreamExchangeHost(Env& env)
      : env_(env),
        timers_(env.NewExecutor("exchange")),
        streams_(std::make_shared<IncomingStreams>(*timers_)) {}
  ~StreamExchangeHost() override {
    streams_->Close();
    listener_ = nullptr;
    timers_->Shutdown();
  }

  absl::Status Listen(const std::string& address) {
    ServerMethods methods;
    methods.streams.push_back(
        {kExchangeMethod, /*executor=*/nullptr,
         [streams = streams_](std::shared_ptr<MessageStream> stream)
             -> absl::StatusOr<StreamCallbacks> { return streams->Accept(std::move(stream)); }});
    WEIR_ASSIGN_OR_RETURN(listener_, env_.network().Listen(address, std::move(methods)));
    address_ = listener_->address();
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Exchange>> Open(ExchangeOptions options) override {
    if (options.credits_per_channel == 0) {
      return absl::InvalidArgumentError("credits_per_channel must be at least 1");
    }
    return std::unique_ptr<Exchange>(
        std::make_unique<StreamExchange>(env_, *timers_, streams_, address_, std::move(options)));
  }

  const std::string& address() const override { return address_; }

 private:
  Env& env_;
  const std::unique_ptr<Executor> timers_;
  const std::shared_ptr<IncomingStreams> streams_;
  std::unique_ptr<Listener> listener_;
  std::string address_;
};

// The only one at its address.
class SingleExchange final : public Exchange {
 public:
  SingleExchange(std::unique_ptr<ExchangeHost> host, std::unique_ptr<Exchange> exchange)
      : host_(std::move(host)), exchange_(std::move(exchange)), address_(host_->address()) {}
  ~SingleExchange() override { Shutdown(); }

  void RegisterReceiver(ChannelId channel, uint32_t from_worker,
                        ChannelReceiver* receiver) override {
    exchange_->RegisterReceiver(channel, from_worker, receiver);
  }
  void GrantCredits(ChannelId channel, uint32_t n) override { exchange_->GrantCredits(channel, n); }
  std::unique_ptr<ChannelSender> OpenSender(ChannelId channel, uint32_t to_worker,
                                            const std::string& to_address,
                                            std::function<void()> on_credit,
                                            std::function<void(absl::Status)> on_error) override {
    return exchange_->OpenSender(channel, to_worker, to_address, std::move(on_credit),
                                 std::move(on_error));
  }
  const std::string& address() const override { return address_; }
  void Shutdown() override {
    exchange_->Shutdown();
    host_ = nullptr;
  }

 private:
  std::unique_ptr<ExchangeHost> host_;
  const std::unique_ptr<Exchange> exchange_;
  const std::string address_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ExchangeHost>> MakeExchangeHost(Env& env,
                                                               const std::string& listen_address) {
  auto host = std::make_unique<StreamExchangeHost>(env);
  WEIR_RETURN_IF_ERROR(host->Listen(listen_address));
  return std::unique_ptr<ExchangeHost>(std::move(host));
}

absl::StatusOr<std::unique_ptr<Exchange>> MakeExchange(Env& env, const std::string& listen_address,
                                                       ExchangeOptions options) {
  WEIR_ASSIGN_OR_RETURN(auto host, MakeExchangeHost(env, listen_address));
  WEIR_ASSIGN_OR_RETURN(auto exchange, host->Open(std::move(options)));
  return std::unique_ptr<Exchange>(
      std::make_unique<SingleExchange>(std::move(host), std::move(exchange)));
}

}  // namespace weir
