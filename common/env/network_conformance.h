#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "common/env/env.h"
#include "common/env/network_harness.h"
#include "gtest/gtest.h"

namespace weir {

// What common/env/network.h promises, tried on an implementation. In one .cc file:
//   INSTANTIATE_TEST_SUITE_P(Simulated, NetworkConformanceTest, testing::Values([] { return ...;
//   }));
class NetworkConformanceTest : public testing::TestWithParam<NetworkHarnessFactory> {
 protected:
  // One side of a stream: what came, in order, and how it ended.
  class Side {
   public:
    explicit Side(NetworkHarness& harness) : harness_(harness) {}

    // `echo`, if given, is called after each message, on the stream's executor.
    StreamCallbacks Callbacks(std::function<void(const std::string&)> on_message = nullptr,
                              std::function<void(const absl::Status&)> on_close = nullptr) {
      StreamCallbacks callbacks;
      callbacks.on_message = [this, on_message](std::string message) {
        if (on_message) on_message(message);
        {
          const std::lock_guard<std::mutex> lock(mutex_);
          after_close_ |= closed_.has_value();
          messages_.push_back(std::move(message));
        }
        harness_.Notify();
      };
      callbacks.on_close = [this, on_close](const absl::Status& status) {
        if (on_close) on_close(status);
        {
          const std::lock_guard<std::mutex> lock(mutex_);
          after_close_ |= closed_.has_value();
          closed_ = status;
        }
        harness_.Notify();
      };
      return callbacks;
    }

    std::vector<std::string> messages() const {
      const std::lock_guard<std::mutex> lock(mutex_);
      return messages_;
    }
    size_t count() const {
      const std::lock_guard<std::mutex> lock(mutex_);
      return messages_.size();
    }
    std::optional<absl::Status> closed() const {
      const std::lock_guard<std::mutex> lock(mutex_);
      return closed_;
    }
    // A callback came after on_close.
    bool called_after_close() const {
      const std::lock_guard<std::mutex> lock(mutex_);
      return after_close_;
    }

   private:
    NetworkHarness& harness_;
    mutable std::mutex mutex_;
    std::vector<std::string> messages_;
    std::optional<absl::Status> closed_;
    bool after_close_ = false;
  };

  // The answer to one call.
  struct Answer {
    std::mutex mutex;
    std::optional<absl::StatusOr<std::string>> result;

    std::optional<absl::StatusOr<std::string>> Get() {
      const std::lock_guard<std::mutex> lock(mutex);
      return result;
    }
  };

  void SetUp() override {
    harness_ = GetParam()();
    server_executor_ = harness_->server().NewExecutor("server");
    client_executor_ = harness_->client().NewExecutor("client");
    server_side_ = std::make_unique<Side>(*harness_);
    client_side_ = std::make_unique<Side>(*harness_);
  }

  void TearDown() override {
    if (server_stream_ != nullptr) server_stream_->Cancel(absl::CancelledError("end of test"));
    if (client_stream_ != nullptr) client_stream_->Cancel(absl::CancelledError("end of test"));
    listener_ = nullptr;
    peer_ = nullptr;
    server_executor_->Shutdown();
    client_executor_->Shutdown();
    server_stream_ = nullptr;
    client_stream_ = nullptr;
    EXPECT_FALSE(server_side_->called_after_close());
    EXPECT_FALSE(client_side_->called_after_close());
  }

  void Listen(ServerMethods methods) {
    auto listener = harness_->server().network().Listen(harness_->listen_address(), methods);
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = std::move(*listener);
    peer_ = harness_->client().network().Connect(listener_->address());
  }

  void ListenUnary(ServerMethods::UnaryHandler handler) {
    ServerMethods methods;
    methods.unary.push_back({kMethod, server_executor_.get(), std::move(handler)});
    Listen(std::move(methods));
  }

  // A server that accepts any stream and records what comes.
  void ListenStream(std::function<void(const std::string&)> on_message = nullptr,
                    std::function<void(const absl::Status&)> on_close = nullptr) {
    ServerMethods methods;
    methods.streams.push_back({kMethod, server_executor_.get(),
                               [this, on_message, on_close](std::shared_ptr<MessageStream> stream)
                                   -> absl::StatusOr<StreamCallbacks> {
                                 {
                                   const std::lock_guard<std::mutex> lock(mutex_);
                                   server_stream_ = std::move(stream);
                                 }
                                 harness_->Notify();
                                 return server_side_->Callbacks(on_message, on_close);
                               }});
    Listen(std::move(methods));
  }

  std::shared_ptr<MessageStream> server_stream() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return server_stream_;
  }

  void OpenStream(std::function<void(const std::string&)> on_message = nullptr) {
    client_stream_ = peer_->OpenStream(kMethod, client_executor_.get(),
                                       client_side_->Callbacks(std::move(on_message)));
  }

  std::shared_ptr<Answer> Call(RemotePeer& peer, std::string method, std::string request,
                               absl::Duration timeout = absl::Seconds(20)) {
    auto answer = std::make_shared<Answer>();
    peer.Call(std::move(method), std::move(request), timeout, client_executor_.get(),
              [this, answer](absl::StatusOr<std::string> response) {
                EXPECT_TRUE(client_executor_->IsCurrent());
                {
                  const std::lock_guard<std::mutex> lock(answer->mutex);
                  EXPECT_FALSE(answer->result.has_value()) << "answered twice";
                  answer->result = std::move(response);
                }
                harness_->Notify();
              });
    return answer;
  }

  absl::StatusOr<std::string> CallAndWait(RemotePeer& peer, std::string request,
                                          absl::Duration timeout = absl::Seconds(20)) {
    const auto answer = Call(peer, kMethod, std::move(request), timeout);
    if (!harness_->RunUntil([&] { return answer->Get().has_value(); })) {
      return absl::InternalError("the call was not answered at all");
    }
    return *answer->Get();
  }

  static MessageBytes Bytes(std::string text) {
    MessageBytes bytes;
    bytes.pieces.push_back(std::move(text));
    return bytes;
  }

  static constexpr char kMethod[] = "/weir.test.Conformance/Method";

  std::unique_ptr<NetworkHarness> harness_;
  std::unique_ptr<Executor> server_executor_;
  std::unique_ptr<Executor> client_executor_;
  std::unique_ptr<Listener> listener_;
  std::shared_ptr<RemotePeer> peer_;
  std::unique_ptr<Side> server_side_;
  std::unique_ptr<Side> client_side_;
  std::mutex mutex_;
  std::shared_ptr<MessageStream> server_stream_;
  std::shared_ptr<MessageStream> client_stream_;
};

TEST_P(NetworkConformanceTest, ACallIsAnsweredByTheHandler) {
  ListenUnary([this](std::string request, Responder responder) {
    EXPECT_TRUE(server_executor_->IsCurrent());
    responder("you said " + request);
  });
  const auto response = CallAndWait(*peer_, "hello");
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(*response, "you said hello");
}

TEST_P(NetworkConformanceTest, AnEmptyRequestAndResponseAreMessagesToo) {
  ListenUnary([](std::string request, Responder responder) {
    EXPECT_EQ(request, "");
    responder("");
  });
  const auto response = CallAndWait(*peer_, "");
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(*response, "");
}

TEST_P(NetworkConformanceTest, TheHandlersErrorReachesTheCallerWithItsMessage) {
  ListenUnary([](std::string, Responder responder) {
    responder(absl::FailedPreconditionError("no slot is free: start a task manager"));
  });
  const auto response = CallAndWait(*peer_, "hello");
  EXPECT_EQ(response.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ToStd(response.status().message()), "no slot is free: start a task manager");
}

TEST_P(NetworkConformanceTest, AnAnswerMayComeLaterFromAnotherExecutor) {
  auto other = harness_->server().NewExecutor("other");
  ListenUnary([&](std::string request, Responder responder) {
    other->Post([request, responder = std::move(responder)]() mutable { responder(request); });
  });
  const auto response = CallAndWait(*peer_, "later");
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(*response, "later");
  listener_ = nullptr;  // No handler is still posting to `other`.
}

TEST_P(NetworkConformanceTest, ManyCallsAtOnceAreEachAnsweredOnce) {
  ListenUnary([](std::string request, Responder responder) { responder(request + "!"); });
  std::vector<std::shared_ptr<Answer>> answers;
  for (int i = 0; i < 200; ++i) answers.push_back(Call(*peer_, kMethod, StrCat(i)));
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(harness_->RunUntil([&] { return answers[i]->Get().has_value(); }));
    ASSERT_TRUE(answers[i]->Get()->ok()) << answers[i]->Get()->status();
    EXPECT_EQ(**answers[i]->Get(), StrCat(i, "!"));
  }
}

TEST_P(NetworkConformanceTest, ACallWithoutAnAnswerEndsAtItsDeadline) {
  std::mutex mutex;
  std::vector<Responder> kept;  // Neither answered nor dropped.
  ListenUnary([&](std::string, Responder responder) {
    const std::lock_guard<std::mutex> lock(mutex);
    kept.push_back(std::move(responder));
  });
  const auto response = CallAndWait(*peer_, "hello", absl::Milliseconds(50));
  EXPECT_EQ(response.status().code(), absl::StatusCode::kDeadlineExceeded) << response.status();
  // A late answer goes nowhere and hurts nobody.
  const std::lock_guard<std::mutex> lock(mutex);
  for (Responder& responder : kept) responder("too late");
}

TEST_P(NetworkConformanceTest, ACallToAnAddressWhereNobodyListensIsUnavailable) {
  peer_ = harness_->client().network().Connect(harness_->unused_address());
  const auto response = CallAndWait(*peer_, "hello");
  EXPECT_EQ(response.status().code(), absl::StatusCode::kUnavailable) << response.status();
}

TEST_P(NetworkConformanceTest, AnUnknownMethodIsUnimplemented) {
  ListenUnary([](std::string, Responder responder) { responder("never"); });
  const auto answer = Call(*peer_, "/weir.test.Conformance/Other", "hello");
  ASSERT_TRUE(harness_->RunUntil([&] { return answer->Get().has_value(); }));
  EXPECT_EQ(answer->Get()->status().code(), absl::StatusCode::kUnimplemented)
      << answer->Get()->status();
}

TEST_P(NetworkConformanceTest, MessagesNearlyAsLargeAsTheLimitAreCarried) {
  ListenUnary([](std::string request, Responder responder) { responder(std::move(request)); });
  const std::string big(kMaxControlMessageBytes - 1024, 'x');
  const auto response = CallAndWait(*peer_, big);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_TRUE(*response == big);
}

TEST_P(NetworkConformanceTest, ARequestLargerThanTheLimitIsRefused) {
  ListenUnary([](std::string, Responder responder) { responder("never"); });
  const auto response = CallAndWait(*peer_, std::string(kMaxControlMessageBytes + 1, 'x'));
  EXPECT_EQ(response.status().code(), absl::StatusCode::kResourceExhausted) << response.status();
}

TEST_P(NetworkConformanceTest, APortInUseIsReportedWithItsAddress) {
  ListenUnary([](std::string, Responder responder) { responder("first"); });
  const auto second = harness_->server().network().Listen(listener_->address(), {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists) << second.status();
  EXPECT_NE(ToStd(second.status().message()).find(listener_->address()), std::string_view::npos)
      << second.status();
}

TEST_P(NetworkConformanceTest, CallsInProgressEndWhenTheServerStops) {
  std::mutex mutex;
  std::vector<Responder> kept;
  ListenUnary([&](std::string, Responder responder) {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      kept.push_back(std::move(responder));
    }
    harness_->Notify();
  });
  const auto answer = Call(*peer_, kMethod, "hello");
  ASSERT_TRUE(harness_->RunUntil([&] {
    const std::lock_guard<std::mutex> lock(mutex);
    return !kept.empty();
  }));
  listener_ = nullptr;
  ASSERT_TRUE(harness_->RunUntil([&] { return answer->Get().has_value(); }));
  EXPECT_EQ(answer->Get()->status().code(), absl::StatusCode::kUnavailable)
      << answer->Get()->status();
  const std::lock_guard<std::mutex> lock(mutex);
  kept.front()("too late");
}

TEST_P(NetworkConformanceTest, APeerConnectsAgainWhenTheServerIsBack) {
  ListenUnary([](std::string, Responder responder) { responder("first"); });
  ASSERT_TRUE(CallAndWait(*peer_, "hello").ok());
  const std::string address = listener_->address();
  listener_ = nullptr;
  ASSERT_FALSE(CallAndWait(*peer_, "hello").ok());
  ServerMethods methods;
  methods.unary.push_back({kMethod, server_executor_.get(),
                           [](std::string, Responder responder) { responder("second"); }});
  auto listener = harness_->server().network().Listen(address, std::move(methods));
  ASSERT_TRUE(listener.ok()) << listener.status();
  listener_ = std::move(*listener);
  absl::StatusOr<std::string> response = absl::UnavailableError("not tried");
  for (int i = 0; i < 1000 && absl::IsUnavailable(response.status()); ++i) {
    std::atomic<bool> due = false;  // A network may wait a little before it tries again.
    client_executor_->PostAfter(absl::Milliseconds(10), [&] {
      due = true;
      harness_->Notify();
    });
    ASSERT_TRUE(harness_->RunUntil([&] { return due.load(); }));
    response = CallAndWait(*peer_, "hello");
  }
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(*response, "second");
}

TEST_P(NetworkConformanceTest, AStreamCarriesMessagesBothWaysInOrder) {
  constexpr size_t kCount = 500;
  ListenStream([this](const std::string& message) { server_stream()->Send(Bytes("<" + message)); });
  OpenStream([this](const std::string&) { EXPECT_TRUE(client_executor_->IsCurrent()); });
  for (size_t i = 0; i < kCount; ++i) client_stream_->Send(Bytes(StrCat(i)));
  ASSERT_TRUE(harness_->RunUntil(
      [&] { return client_side_->count() == kCount && server_side_->count() == kCount; }));
  const auto there = server_side_->messages();
  const auto back = client_side_->messages();
  ASSERT_EQ(there.size(), kCount);
  for (size_t i = 0; i < kCount; ++i) {
    EXPECT_EQ(there[i], StrCat(i));
    EXPECT_EQ(back[i], StrCat("<", i));
  }
}

TEST_P(NetworkConformanceTest, AStreamNeedsNoExecutor) {
  ServerMethods methods;
  methods.streams.push_back(
      {kMethod, nullptr,
       [this](std::shared_ptr<MessageStream> stream) -> absl::StatusOr<StreamCallbacks> {
         return server_side_->Callbacks(
             [stream](const std::string& message) { stream->Send(Bytes("<" + message)); },
             [stream](const absl::Status&) { stream->Finish(); });
       }});
  Listen(std::move(methods));
  client_stream_ = peer_->OpenStream(kMethod, nullptr, client_side_->Callbacks());
  for (size_t i = 0; i < 100; ++i) client_stream_->Send(Bytes(StrCat(i)));
  client_stream_->Finish();
  ASSERT_TRUE(harness_->RunUntil([&] { return client_side_->closed().has_value(); }));
  ASSERT_TRUE(harness_->RunUntil([&] { return server_side_->closed().has_value(); }));
  EXPECT_TRUE(client_side_->closed()->ok()) << *client_side_->closed();
  const auto back = client_side_->messages();
  ASSERT_EQ(back.size(), 100u);
  for (size_t i = 0; i < 100; ++i) EXPECT_EQ(back[i], StrCat("<", i));
}

TEST_P(NetworkConformanceTest, WhatIsSentBeforeTheConnectionIsUpArrivesInOrder) {
  ListenStream();
  OpenStream();
  for (const char* text : {"a", "b", "", "c"}) client_stream_->Send(Bytes(text));
  ASSERT_TRUE(harness_->RunUntil([&] { return server_side_->count() == 4; }));
  EXPECT_EQ(server_side_->messages(), (std::vector<std::string>{"a", "b", "", "c"}));
}

TEST_P(NetworkConformanceTest, TheServerMaySendFirst) {
  ListenStream();
  OpenStream();
  ASSERT_TRUE(harness_->RunUntil([&] { return server_stream() != nullptr; }));
  server_stream()->Send(Bytes("welcome"));
  ASSERT_TRUE(harness_->RunUntil([&] { return client_side_->count() == 1; }));
  EXPECT_EQ(client_side_->messages().front(), "welcome");
}

TEST_P(NetworkConformanceTest, AMessageInPiecesArrivesAsOne) {
  ListenStream();
  OpenStream();
  MessageBytes message;
  message.pieces = {"head:", std::string(1 << 20, 'x'), "", ":tail"};
  client_stream_->Send(std::move(message));
  ASSERT_TRUE(harness_->RunUntil([&] { return server_side_->count() == 1; }));
  EXPECT_TRUE(server_side_->messages().front() ==
              StrCat("head:", std::string(1 << 20, 'x'), ":tail"));
}

TEST_P(NetworkConformanceTest, QueuedBytesFallToZeroWhenTheNetworkHasTakenThem) {
  ListenStream();
  OpenStream();
  for (int i = 0; i < 10; ++i) client_stream_->Send(Bytes(std::string(100'000, 'x')));
  ASSERT_TRUE(harness_->RunUntil([&] { return server_side_->count() == 10; }));
  EXPECT_TRUE(harness_->RunUntil([&] { return client_stream_->queued_bytes() == 0; }));
}

TEST_P(NetworkConformanceTest, FinishOfBothSidesEndsTheStreamWellAfterAllMessages) {
  ListenStream(nullptr, [this](const absl::Status& status) {
    if (!status.ok()) return;
    server_stream()->Send(Bytes("last words"));
    server_stream()->Finish();
  });
  OpenStream();
  for (int i = 0; i < 100; ++i) client_stream_->Send(Bytes(StrCat(i)));
  client_stream_->Finish();
  ASSERT_TRUE(harness_->RunUntil([&] { return client_side_->closed().has_value(); }));
  ASSERT_TRUE(harness_->RunUntil([&] { return server_side_->closed().has_value(); }));
  EXPECT_TRUE(server_side_->closed()->ok()) << *server_side_->closed();
  EXPECT_TRUE(client_side_->closed()->ok()) << *client_side_->closed();
  EXPECT_EQ(server_side_->count(), 100u);
  EXPECT_EQ(client_side_->messages(), (std::vector<std::string>{"last words"}));
}

TEST_P(NetworkConformanceTest, AServerMayEndAStreamWithAnErrorAfterTheClientFinished) {
  ListenStream(nullptr, [this](const absl::Status& status) {
    if (status.ok()) server_stream()->Cancel(absl::InvalidArgumentError("sha256 does not match"));
  });
  OpenStream();
  client_stream_->Send(Bytes("upload"));
  client_stream_->Finish();
  ASSERT_TRUE(harness_->RunUntil([&] { return client_side_->closed().has_value(); }));
  EXPECT_EQ(*client_side_->closed(), absl::InvalidArgumentError("sha256 does not match"));
}

TEST_P(NetworkConformanceTest, TheClientsReasonToCancelReachesTheServer) {
  ListenStream();
  OpenStream();
  client_stream_->Send(Bytes("hello"));
  ASSERT_TRUE(harness_->RunUntil([&] { return server_side_->count() == 1; }));
  client_stream_->Cancel(absl::DataLossError("checksum of frame 3 is wrong"));
  ASSERT_TRUE(harness_->RunUntil([&] { return server_side_->closed().has_value(); }));
  EXPECT_EQ(*server_side_->closed(), absl::DataLossError("checksum of frame 3 is wrong"));
  ASSERT_TRUE(harness_->RunUntil([&] { return client_side_->closed().has_value(); }));
  EXPECT_EQ(*client_side_->closed(), absl::DataLossError("checksum of frame 3 is wrong"));
}

TEST_P(NetworkConformanceTest, TheServersReasonToCancelReachesTheClient) {
  ListenStream([this](const std::string&) {
    server_stream()->Cancel(absl::AbortedError("attempt 2 is running"));
  });
  OpenStream();
  client_stream_->Send(Bytes("hello"));
  ASSERT_TRUE(harness_->RunUntil([&] { return client_side_->closed().has_value(); }));
  EXPECT_EQ(*client_side_->closed(), absl::AbortedError("attempt 2 is running"));
  ASSERT_TRUE(harness_->RunUntil([&] { return server_side_->closed().has_value(); }));
}

TEST_P(NetworkConformanceTest, AHandlerMayRefuseAStream) {
  ServerMethods methods;
  methods.streams.push_back({kMethod, server_executor_.get(),
                             [](std::shared_ptr<MessageStream>) -> absl::StatusOr<StreamCallbacks> {
                               return absl::PermissionDeniedError("not for you");
                             }});
  Listen(std::move(methods));
  OpenStream();
  client_stream_->Send(Bytes("hello"));
  ASSERT_TRUE(harness_->RunUntil([&] { return client_side_->closed().has_value(); }));
  EXPECT_EQ(*client_side_->closed(), absl::PermissionDeniedError("not for you"));
  EXPECT_EQ(client_side_->count(), 0u);
}

TEST_P(NetworkConformanceTest, AStreamOfAnUnknownMethodIsUnimplemented) {
  ListenUnary([](std::string, Responder responder) { responder("never"); });
  OpenStream();
  ASSERT_TRUE(harness_->RunUntil([&] { return client_side_->closed().has_value(); }));
  EXPECT_EQ(client_side_->closed()->code(), absl::StatusCode::kUnimplemented)
      << *client_side_->closed();
}

TEST_P(NetworkConformanceTest, AStreamToAnAddressWhereNobodyListensIsUnavailable) {
  peer_ = harness_->client().network().Connect(harness_->unused_address());
  OpenStream();
  client_stream_->Send(Bytes("hello"));
  ASSERT_TRUE(harness_->RunUntil([&] { return client_side_->closed().has_value(); }));
  EXPECT_EQ(client_side_->closed()->code(), absl::StatusCode::kUnavailable)
      << *client_side_->closed();
}

TEST_P(NetworkConformanceTest, AStreamIsLostWhenTheServerStops) {
  ListenStream();
  OpenStream();
  client_stream_->Send(Bytes("hello"));
  ASSERT_TRUE(harness_->RunUntil([&] { return server_side_->count() == 1; }));
  listener_ = nullptr;
  ASSERT_TRUE(harness_->RunUntil([&] { return client_side_->closed().has_value(); }));
  EXPECT_EQ(client_side_->closed()->code(), absl::StatusCode::kUnavailable)
      << *client_side_->closed();
  // What is sent on a stream that is over goes nowhere.
  client_stream_->Send(Bytes("anybody there?"));
  client_stream_->Finish();
  client_stream_->Cancel(absl::CancelledError("over"));
}

TEST_P(NetworkConformanceTest, AStreamWithoutAnExecutorCarriesMessagesAndTheReasonOfItsEnd) {
  ServerMethods methods;
  methods.streams.push_back(
      {kMethod, nullptr,
       [this](std::shared_ptr<MessageStream> stream) -> absl::StatusOr<StreamCallbacks> {
         stream->Send(Bytes("welcome"));
         const std::lock_guard<std::mutex> lock(mutex_);
         server_stream_ = std::move(stream);
         return server_side_->Callbacks();
       }});
  Listen(std::move(methods));
  client_stream_ = peer_->OpenStream(kMethod, nullptr, client_side_->Callbacks());
  for (int i = 0; i < 100; ++i) client_stream_->Send(Bytes(StrCat(i)));
  ASSERT_TRUE(harness_->RunUntil([&] { return server_side_->count() == 100; }));
  ASSERT_TRUE(harness_->RunUntil([&] { return client_side_->count() == 1; }));
  EXPECT_EQ(server_side_->messages().back(), "99");
  client_stream_->Cancel(absl::DataLossError("checksum"));
  // Not from within the call, which may hold a lock.
  ASSERT_TRUE(harness_->RunUntil([&] { return client_side_->closed().has_value(); }));
  ASSERT_TRUE(harness_->RunUntil([&] { return server_side_->closed().has_value(); }));
  EXPECT_EQ(*server_side_->closed(), absl::DataLossError("checksum"));
}

TEST_P(NetworkConformanceTest, ASenderThatWaitsForTheDrainedQueueSendsAllWithOneMessageInIt) {
  constexpr int kCount = 50;
  ListenStream();
  int sent = 0;
  size_t most_queued = 0;
  std::mutex mutex;
  const auto send_next = [&](MessageStream& stream) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (sent == kCount) return;
    most_queued = std::max(most_queued, stream.queued_bytes());
    stream.Send(Bytes(StrCat("message ", sent++)));
  };
  for (Executor* executor : {client_executor_.get(), static_cast<Executor*>(nullptr)}) {
    Side side(*harness_);
    StreamCallbacks callbacks = side.Callbacks();
    std::shared_ptr<MessageStream> stream;
    std::atomic<bool> opened = false;
    callbacks.on_drained = [&] {
      if (opened) send_next(*stream);
      harness_->Notify();
    };
    stream = peer_->OpenStream(kMethod, executor, std::move(callbacks));
    opened = true;
    sent = 0;
    send_next(*stream);
    ASSERT_TRUE(harness_->RunUntil([&] { return server_side_->count() == kCount; }));
    EXPECT_EQ(server_side_->messages().back(), StrCat("message ", kCount - 1));
    EXPECT_EQ(most_queued, 0u);
    stream->Cancel(absl::CancelledError("end of test"));
    ASSERT_TRUE(harness_->RunUntil(
        [&] { return side.closed().has_value() && server_side_->closed().has_value(); }));
    server_side_ = std::make_unique<Side>(*harness_);  // For the next stream.
  }
}

}  // namespace weir
