#include "transport/rpc/grpc_network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "common/base/strings.h"
#include "common/env/network.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

constexpr char kEcho[] = "/weir.test.Echo/Once";
constexpr char kChat[] = "/weir.test.Echo/Chat";

// An executor with a thread, without timers.
class TestExecutor : public Executor {
 public:
  TestExecutor() : thread_([this] { Loop(); }) {}
  ~TestExecutor() override {
    Shutdown();
    if (thread_.joinable()) thread_.join();
  }
  void Post(Closure closure) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_) return;
    queue_.push_back(std::move(closure));
    wake_.notify_one();
  }
  TimerId PostAfter(absl::Duration, Closure) override { return 0; }
  bool Cancel(TimerId) override { return false; }
  bool IsCurrent() const override { return std::this_thread::get_id() == thread_.get_id(); }
  void Shutdown() override {
    std::deque<Closure> dropped;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopped_ = true;
      dropped.swap(queue_);
      wake_.notify_one();
    }
    if (!IsCurrent() && thread_.joinable()) thread_.join();
  }

 private:
  void Loop() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return stopped_ || !queue_.empty(); });
      if (stopped_) return;
      {
        Closure closure = std::move(queue_.front());
        queue_.pop_front();
        lock.unlock();
        closure();
      }
      lock.lock();
    }
  }
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Closure> queue_;
  bool stopped_ = false;
  std::thread thread_;
};

// A value that one thread sets and another waits for.
template <class T>
class Later {
 public:
  void Set(T value) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!value_.has_value()) value_ = std::move(value);
    set_.notify_all();
  }
  T Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!set_.wait_for(lock, std::chrono::seconds(20), [this] { return value_.has_value(); })) {
      ADD_FAILURE() << "nothing came within 20 s";
      return T();
    }
    return *value_;
  }
  bool IsSet() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return value_.has_value();
  }

 private:
  std::mutex mutex_;
  std::condition_variable set_;
  std::optional<T> value_;
};

// Collects what a stream delivers.
class Recorder {
 public:
  StreamCallbacks Callbacks() {
    return {[this](std::string message) {
              const std::lock_guard<std::mutex> lock(mutex_);
              messages_.push_back(std::move(message));
              arrived_.notify_all();
            },
            [this](absl::Status status) { closed.Set(std::move(status)); }};
  }
  std::vector<std::string> WaitFor(size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    EXPECT_TRUE(arrived_.wait_for(lock, std::chrono::seconds(20),
                                  [&] { return messages_.size() >= count; }));
    return messages_;
  }
  Later<absl::Status> closed;

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<std::string> messages_;
};

MessageBytes Message(std::string text) {
  MessageBytes message;
  message.pieces.push_back(std::move(text));
  return message;
}

class GrpcNetworkTest : public ::testing::Test {
 protected:
  ServerMethods EchoMethods() {
    ServerMethods methods;
    methods.unary.push_back({kEcho, &executor_, [](std::string request, Responder responder) {
                               responder(std::move(request));
                             }});
    methods.streams.push_back(
        {kChat, &executor_,
         [this](std::shared_ptr<MessageStream> stream) -> absl::StatusOr<StreamCallbacks> {
           server_stream_.Set(std::move(stream));
           return server_side_.Callbacks();
         }});
    return methods;
  }
  std::unique_ptr<Listener> MustListen(Network& network, ServerMethods methods,
                                       const std::string& address = "localhost:0") {
    absl::StatusOr<std::unique_ptr<Listener>> listener =
        network.Listen(address, std::move(methods));
    EXPECT_TRUE(listener.ok()) << listener.status();
    return *std::move(listener);
  }
  absl::StatusOr<std::string> CallAndWait(RemotePeer& peer, std::string method, std::string request,
                                          absl::Duration timeout = absl::Seconds(20)) {
    auto answer = std::make_shared<Later<absl::StatusOr<std::string>>>();
    peer.Call(std::move(method), std::move(request), timeout, &executor_,
              [answer](absl::StatusOr<std::string> response) { answer->Set(std::move(response)); });
    return answer->Wait();
  }

  // What callbacks touch outlives the executors, and these the network.
  Recorder client_side_;
  Recorder server_side_;
  Later<std::shared_ptr<MessageStream>> server_stream_;
  TestExecutor executor_;
  TestExecutor other_executor_;
  std::unique_ptr<Network> network_ = MakeGrpcNetwork({});
};

TEST_F(GrpcNetworkTest, ACallBringsTheAnswerBackAndAnErrorWithCodeAndMessage) {
  ServerMethods methods = EchoMethods();
  methods.unary.push_back(
      {"/weir.test.Echo/Fail", &executor_, [](std::string, Responder responder) {
         responder(absl::FailedPreconditionError("epoch 3 is over, it is 4"));
       }});
  const auto listener = MustListen(*network_, std::move(methods));
  const auto peer = network_->Connect(listener->address());
  EXPECT_EQ(*CallAndWait(*peer, kEcho, "hello"), "hello");
  EXPECT_EQ(*CallAndWait(*peer, kEcho, ""), "");
  EXPECT_EQ(CallAndWait(*peer, "/weir.test.Echo/Fail", "").status(),
            absl::FailedPreconditionError("epoch 3 is over, it is 4"));
  const absl::Status unknown = CallAndWait(*peer, "/weir.test.Echo/None", "").status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("/weir.test.Echo/None"));
}

TEST_F(GrpcNetworkTest, AnErrorMessageOfAnyLengthAndWithAnyByteArrives) {
  ServerMethods methods;
  methods.unary.push_back({kEcho, &executor_, [](std::string request, Responder responder) {
                             responder(absl::InternalError(request));
                           }});
  const auto listener = MustListen(*network_, std::move(methods));
  const auto peer = network_->Connect(listener->address());
  EXPECT_EQ(CallAndWait(*peer, kEcho, "50 % ü\n\x01\xff end").status(),
            absl::InternalError("50 % ü\n\x01\xff end"));
  const absl::Status status = CallAndWait(*peer, kEcho, std::string(1 << 20, '\xff')).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("(cut)"));
}

TEST_F(GrpcNetworkTest, APortInUseIsAlreadyExistsAndSaysWhatToDo) {
  const auto listener = MustListen(*network_, EchoMethods());
  const absl::Status status = network_->Listen(listener->address(), EchoMethods()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(listener->address()));
  EXPECT_THAT(std::string(status.message()), HasSubstr("choose another port"));
  const std::unique_ptr<Network> other = MakeGrpcNetwork({});
  EXPECT_EQ(other->Listen(listener->address(), {}).status().code(),
            absl::StatusCode::kAlreadyExists);
}

TEST_F(GrpcNetworkTest, AnAddressThatIsNoneOrOpenToOtherHostsIsRefused) {
  for (const char* address : {"nonsense", ":80", "localhost:", "localhost:99999", "localhost:x",
                              "::1:80", "no-such-host.invalid:80", "192.0.2.1:0", "0.0.0.0:0"}) {
    EXPECT_EQ(network_->Listen(address, {}).status().code(), absl::StatusCode::kInvalidArgument)
        << address;
  }
  EXPECT_THAT(std::string(network_->Listen("0.0.0.0:0", {}).status().message()),
              HasSubstr("--insecure-allow-plaintext"));
  const auto open = MakeGrpcNetwork({.allow_insecure_non_loopback = true});
  EXPECT_TRUE(open->Listen("0.0.0.0:0", {}).ok());
}

TEST_F(GrpcNetworkTest, ADeadlineEndsACallThatIsNotAnswered) {
  Later<bool> called;
  auto kept = std::make_shared<std::vector<Responder>>();
  ServerMethods methods;
  methods.unary.push_back({kEcho, &executor_, [&, kept](std::string, Responder responder) {
                             kept->push_back(std::move(responder));
                             called.Set(true);
                           }});
  auto listener = MustListen(*network_, std::move(methods));
  const auto peer = network_->Connect(listener->address());
  EXPECT_EQ(CallAndWait(*peer, kEcho, "x", absl::Milliseconds(50)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(called.Wait());
  listener.reset();
  network_.reset();
  kept->clear();  // An answer after everything is gone goes nowhere.
}

TEST_F(GrpcNetworkTest, AServerThatIsNotThereOrForgetsToAnswerIsUnavailable) {
  ServerMethods methods;
  methods.unary.push_back({kEcho, &executor_, [](std::string, Responder) {}});
  auto listener = MustListen(*network_, std::move(methods));
  const std::string address = listener->address();
  const auto peer = network_->Connect(address);
  EXPECT_EQ(CallAndWait(*peer, kEcho, "x").status().code(), absl::StatusCode::kUnavailable);
  listener.reset();
  const absl::Status status = CallAndWait(*peer, kEcho, "x").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr(address));
  // A server that comes back on the address is found again.
  listener = MustListen(*network_, EchoMethods(), address);
  absl::StatusOr<std::string> answer;
  for (int i = 0; i < 1000000 && !answer.ok(); ++i) answer = CallAndWait(*peer, kEcho, "again");
  EXPECT_EQ(*answer, "again");
}

TEST_F(GrpcNetworkTest, MessagesAboveTheLimitAreRefusedWithTheLimit) {
  const auto listener = MustListen(*network_, EchoMethods());
  const auto peer = network_->Connect(listener->address());
  EXPECT_EQ(CallAndWait(*peer, kEcho, std::string(kMaxControlMessageBytes, 'x'))->size(),
            kMaxControlMessageBytes);
  const absl::Status status = CallAndWait(*peer, kEcho, std::string(5 << 20, 'x')).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  const auto stream = peer->OpenStream(kChat, &executor_, client_side_.Callbacks());
  stream->Send(Message(std::string(5 << 20, 'x')));
  EXPECT_EQ(client_side_.closed.Wait().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(server_side_.closed.Wait().code(), absl::StatusCode::kResourceExhausted);
  // A peer without our check is stopped by the server's.
  const auto lax = MakeGrpcNetwork({.max_message_bytes = 64 << 20});
  EXPECT_EQ(CallAndWait(*lax->Connect(listener->address()), kEcho, std::string(5 << 20, 'x'))
                .status()
                .code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(GrpcNetworkTest, AStreamKeepsOrderAndContentOfMessagesOfManyPieces) {
  const auto listener = MustListen(*network_, EchoMethods());
  const auto peer = network_->Connect(listener->address());
  const auto stream = peer->OpenStream(kChat, &executor_, client_side_.Callbacks());
  std::vector<std::string> expected;
  for (int i = 0; i < 300; ++i) {
    MessageBytes message;
    for (int j = 0; j < i % 5; ++j) {
      message.pieces.emplace_back(static_cast<size_t>((i * 7919 + j * 104729) % 70000),
                                  static_cast<char>('a' + (i + j) % 26));
    }
    expected.emplace_back();
    for (const std::string& piece : message.pieces) expected.back() += piece;
    stream->Send(std::move(message));
  }
  stream->Finish();
  EXPECT_EQ(server_side_.closed.Wait(), absl::OkStatus());
  EXPECT_EQ(server_side_.WaitFor(300), expected);
  // The client's end is not the server's: it answers, then finishes.
  server_stream_.Wait()->Send(Message("thanks"));
  server_stream_.Wait()->Finish();
  EXPECT_EQ(client_side_.closed.Wait(), absl::OkStatus());
  EXPECT_EQ(client_side_.WaitFor(1).front(), "thanks");
  EXPECT_EQ(stream->queued_bytes(), 0u);
}

TEST_F(GrpcNetworkTest, AReasonOfCancellingReachesTheOtherSideBothWays) {
  const auto listener = MustListen(*network_, EchoMethods());
  const auto peer = network_->Connect(listener->address());
  const auto first = peer->OpenStream(kChat, &executor_, client_side_.Callbacks());
  server_stream_.Wait()->Cancel(absl::DataLossError("bad checksum"));
  EXPECT_EQ(client_side_.closed.Wait(), absl::DataLossError("bad checksum"));
  EXPECT_EQ(server_side_.closed.Wait(), absl::DataLossError("bad checksum"));

  Recorder client;
  Recorder server;
  ServerMethods methods;
  methods.streams.push_back({kChat, &executor_, [&](std::shared_ptr<MessageStream>) {
                               return absl::StatusOr<StreamCallbacks>(server.Callbacks());
                             }});
  const auto other = MustListen(*network_, std::move(methods));
  const auto second =
      network_->Connect(other->address())->OpenStream(kChat, &executor_, client.Callbacks());
  second->Send(Message("one"));
  server.WaitFor(1);
  second->Cancel(absl::AbortedError("the task failed"));
  EXPECT_EQ(server.closed.Wait(), absl::AbortedError("the task failed"));
  EXPECT_EQ(client.closed.Wait(), absl::AbortedError("the task failed"));
}

TEST_F(GrpcNetworkTest, AStreamThatTheHandlerRefusesClosesWithItsReason) {
  ServerMethods methods;
  methods.streams.push_back(
      {kChat, &executor_, [](std::shared_ptr<MessageStream>) -> absl::StatusOr<StreamCallbacks> {
         return absl::FailedPreconditionError("attempt 1 is over");
       }});
  const auto listener = MustListen(*network_, std::move(methods));
  const auto peer = network_->Connect(listener->address());
  const auto stream = peer->OpenStream(kChat, &executor_, client_side_.Callbacks());
  EXPECT_EQ(client_side_.closed.Wait(), absl::FailedPreconditionError("attempt 1 is over"));
  Recorder unknown;
  const auto none = peer->OpenStream("/weir.test.Echo/None", &executor_, unknown.Callbacks());
  EXPECT_EQ(unknown.closed.Wait().code(), absl::StatusCode::kUnimplemented);
}

TEST_F(GrpcNetworkTest, CallbacksWithoutAnExecutorComeFromTheNetworkAndNeverFromWithinACall) {
  std::mutex held;
  ServerMethods methods;
  methods.streams.push_back({kChat, nullptr, [&](std::shared_ptr<MessageStream> stream) {
                               server_stream_.Set(std::move(stream));
                               return absl::StatusOr<StreamCallbacks>(server_side_.Callbacks());
                             }});
  const auto listener = MustListen(*network_, std::move(methods));
  const auto peer = network_->Connect(listener->address());
  StreamCallbacks callbacks = client_side_.Callbacks();
  callbacks.on_close = [&, on_close = std::move(callbacks.on_close)](absl::Status status) mutable {
    const std::lock_guard<std::mutex> lock(held);
    on_close(std::move(status));
  };
  const auto stream = peer->OpenStream(kChat, nullptr, std::move(callbacks));
  stream->Send(Message("one"));
  EXPECT_EQ(server_side_.WaitFor(1).front(), "one");
  {
    const std::lock_guard<std::mutex> lock(held);
    stream->Cancel(absl::AbortedError("enough"));
  }
  EXPECT_EQ(client_side_.closed.Wait(), absl::AbortedError("enough"));
  EXPECT_EQ(server_side_.closed.Wait(), absl::AbortedError("enough"));
}

TEST_F(GrpcNetworkTest, AStoppedListenerEndsItsStreamsAndCallsAsUnavailableAndRunsNoCallbackMore) {
  Later<bool> called;
  auto kept = std::make_shared<std::vector<Responder>>();
  ServerMethods methods = EchoMethods();
  methods.unary.push_back(
      {"/weir.test.Echo/Never", &executor_, [&, kept](std::string, Responder responder) {
         kept->push_back(std::move(responder));
         called.Set(true);
       }});
  auto listener = MustListen(*network_, std::move(methods));
  const auto peer = network_->Connect(listener->address());
  const auto stream = peer->OpenStream(kChat, &executor_, client_side_.Callbacks());
  stream->Send(Message("one"));
  server_side_.WaitFor(1);
  Later<absl::StatusOr<std::string>> answer;
  peer->Call("/weir.test.Echo/Never", "", absl::InfiniteDuration(), &executor_,
             [&](absl::StatusOr<std::string> response) { answer.Set(std::move(response)); });
  called.Wait();
  listener.reset();
  EXPECT_EQ(client_side_.closed.Wait().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(answer.Wait().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(server_side_.closed.IsSet());
}

TEST_F(GrpcNetworkTest, ALostClientIsUnavailableAtTheServerAndNotTakenForAnEnd) {
  auto client_network = MakeGrpcNetwork({});
  const auto listener = MustListen(*network_, EchoMethods());
  auto stream = client_network->Connect(listener->address())
                    ->OpenStream(kChat, &executor_, client_side_.Callbacks());
  stream->Send(Message("one"));
  server_side_.WaitFor(1);
  client_network.reset();
  EXPECT_EQ(server_side_.closed.Wait().code(), absl::StatusCode::kUnavailable);
  stream->Send(Message("two"));
  stream->Cancel(absl::CancelledError("late"));
}

TEST_F(GrpcNetworkTest, AReceiverThatDoesNotReturnHoldsTheSenderBack) {
  Later<bool> entered;
  Later<bool> released;
  ServerMethods methods;
  methods.streams.push_back(
      {kChat, &executor_, [&](std::shared_ptr<MessageStream>) {
         return absl::StatusOr<StreamCallbacks>(StreamCallbacks{
             [&](std::string) {
               entered.Set(true);
               released.Wait();
             },
             [&](absl::Status status) { server_side_.closed.Set(std::move(status)); }});
       }});
  const auto listener = MustListen(*network_, std::move(methods));
  const auto stream = network_->Connect(listener->address())
                          ->OpenStream(kChat, &other_executor_, client_side_.Callbacks());
  for (int i = 0; i < 100; ++i) stream->Send(Message(std::string(1 << 20, 'x')));
  entered.Wait();
  EXPECT_GT(stream->queued_bytes(), 10u << 20);
  released.Set(true);
  stream->Finish();
  EXPECT_EQ(server_side_.closed.Wait(), absl::OkStatus());
}

TEST_F(GrpcNetworkTest, AReceiverWhoseExecutorIsShutDownEndsTheStreamForThePeer) {
  ServerMethods methods;
  methods.streams.push_back({kChat, &other_executor_, [&](std::shared_ptr<MessageStream>) {
                               return absl::StatusOr<StreamCallbacks>(server_side_.Callbacks());
                             }});
  const auto listener = MustListen(*network_, std::move(methods));
  const auto stream = network_->Connect(listener->address())
                          ->OpenStream(kChat, &executor_, client_side_.Callbacks());
  stream->Send(Message("one"));
  server_side_.WaitFor(1);
  other_executor_.Shutdown();
  stream->Send(Message("two"));
  EXPECT_EQ(client_side_.closed.Wait().code(), absl::StatusCode::kUnavailable);
}

TEST_F(GrpcNetworkTest, ManyCallsAndStreamsOfManyThreadsEndWithTheNetwork) {
  // Outlives the callbacks, whatever becomes of them.
  struct Seen {
    std::atomic<bool> over = false;
    std::atomic<int> answered = 0;
    Later<bool> some_answered;
    Later<bool> released;
  };
  auto seen = std::make_shared<Seen>();
  auto listener = MustListen(*network_, EchoMethods());
  auto client_network = MakeGrpcNetwork({});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      const auto peer = client_network->Connect(listener->address());
      for (int i = 0; i < 200; ++i) {
        const std::string text(static_cast<size_t>(i), 'x');
        peer->Call(kEcho, text, absl::Seconds(20), &executor_,
                   [seen, text, times = 0](absl::StatusOr<std::string> response) mutable {
                     EXPECT_FALSE(seen->over) << "a call's answer after the end of the network";
                     EXPECT_EQ(++times, 1);
                     // What is under way when the network ends may hear of that.
                     if (!absl::IsUnavailable(response.status())) {
                       EXPECT_EQ(response.value_or("none"), text);
                     }
                     if (++seen->answered == 100) seen->some_answered.Set(true);
                   });
        StreamCallbacks callbacks;
        callbacks.on_message = [](const std::string& message) { ADD_FAILURE() << message; };
        callbacks.on_close = [seen, times = 0](const absl::Status&) mutable {
          EXPECT_FALSE(seen->over) << "a stream's end after the end of the network";
          EXPECT_EQ(++times, 1);
        };
        const auto stream = peer->OpenStream(kChat, &executor_, std::move(callbacks));
        stream->Send(Message("hello"));
        if (i % 3 == 0) stream->Finish();
        if (i % 3 == 1) stream->Cancel(absl::AbortedError("enough"));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(seen->some_answered.Wait());
  // What is posted from now on waits until the network is gone, and must find that.
  executor_.Post([seen] { seen->released.Wait(); });
  client_network.reset();
  seen->over = true;
  seen->released.Set(true);
  listener.reset();
  Later<bool> drained;
  executor_.Post([&] { drained.Set(true); });
  EXPECT_TRUE(drained.Wait());
  for (const std::string& message : server_side_.WaitFor(1)) EXPECT_EQ(message, "hello");
}

}  // namespace
}  // namespace weir
