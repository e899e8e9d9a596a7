#pragma once

#include <gmock/gmock.h>

#include "common/base/strings.h"
#include "transport/exchange/exchange_test_harness.h"
#include "transport/exchange/frame_codec.h"

// What transport/exchange/exchange.h promises, over any network. In one .cc file:
//   INSTANTIATE_TEST_SUITE_P(Simulated, ExchangeConformanceTest, testing::Values(...));
namespace weir {

class ExchangeConformanceTest : public ExchangeTestBase {
 protected:
  // A peer that speaks for itself, as worker 1 to the exchange of worker 0.
  void ConnectRaw(const ExchangeOptions& as) { ConnectRaw(EncodeHello(as)); }
  void ConnectRaw(MessageBytes first) {
    {
      const std::lock_guard<std::mutex> lock(raw_mutex_);
      raw_closed_.reset();
    }
    raw_peer_ = harness_->client().network().Connect(exchanges_[0]->address());
    if (raw_executor_ == nullptr) raw_executor_ = harness_->client().NewExecutor("raw");
    StreamCallbacks callbacks;
    callbacks.on_message = [this](std::string) {
      ++raw_messages_;
      harness_->Notify();
    };
    callbacks.on_close = [this](absl::Status status) {
      {
        const std::lock_guard<std::mutex> lock(raw_mutex_);
        raw_closed_ = std::move(status);
      }
      harness_->Notify();
    };
    raw_ = raw_peer_->OpenStream(kExchangeMethod, raw_executor_.get(), std::move(callbacks));
    raw_->Send(std::move(first));
  }
  std::optional<absl::Status> RawClosed() {
    const std::lock_guard<std::mutex> lock(raw_mutex_);
    return raw_closed_;
  }
  void TearDown() override {
    if (raw_ != nullptr) {
      raw_->Cancel(absl::CancelledError("end of test"));
      RunUntil([&] { return RawClosed().has_value(); });
      raw_executor_->Shutdown();
    }
    raw_ = nullptr;
    ExchangeTestBase::TearDown();
  }

  // Worker 1 greets, then sends `messages` on channel {0, 0, 0} and others: expects the end of the
  // stream.
  void ExpectStreamEnds(std::vector<MessageBytes> messages, const std::string& why) {
    Start(0);
    exchanges_[0]->RegisterReceiver(kChannel, 1, &receiver_());
    exchanges_[0]->RegisterReceiver(kOther, 1, &other_receiver_());
    exchanges_[0]->RegisterReceiver({0, 9, 0}, 7, &foreign_receiver_());
    ConnectRaw(Options(1));
    for (MessageBytes& message : messages) raw_->Send(std::move(message));
    ASSERT_TRUE(RunUntil([&] { return RawClosed().has_value(); }));
    EXPECT_EQ(RawClosed()->code(), absl::StatusCode::kDataLoss) << *RawClosed();
    EXPECT_THAT(std::string(RawClosed()->message()), testing::HasSubstr(why));
    for (RecordingReceiver* receiver : {&receiver_(), &other_receiver_()}) {
      ASSERT_TRUE(RunUntil([&] { return receiver->error().has_value(); }));
      EXPECT_THAT(std::string(receiver->error()->message()), testing::HasSubstr(why));
      EXPECT_THAT(std::string(receiver->error()->message()), testing::HasSubstr("worker 1"));
    }
    EXPECT_FALSE(foreign_receiver_().error().has_value());
  }
  RecordingReceiver& receiver_() { return Lazily(0); }
  RecordingReceiver& other_receiver_() { return Lazily(1); }
  RecordingReceiver& foreign_receiver_() { return Lazily(2); }
  RecordingReceiver& Lazily(size_t index) {
    while (receivers_.size() <= index) {
      receivers_.push_back(std::make_unique<RecordingReceiver>(*harness_));
    }
    return *receivers_[index];
  }

  static MessageBytes Encode(std::vector<WireFrame> frames) {
    MessageEncoder encoder;
    for (WireFrame& frame : frames) encoder.Add(std::move(frame));
    return encoder.Finish();
  }
  static MessageBytes Bytes(std::string bytes) {
    MessageBytes message;
    message.pieces.push_back(std::move(bytes));
    return message;
  }
  static WireFrame Wire(uint32_t sequence, Frame frame) {
    return {kChannel, sequence, std::move(frame)};
  }

  static constexpr ChannelId kChannel{0, 0, 0};
  static constexpr ChannelId kOther{0, 1, 0};

  std::vector<std::unique_ptr<RecordingReceiver>> receivers_;
  std::unique_ptr<Executor> raw_executor_;
  std::shared_ptr<RemotePeer> raw_peer_;
  std::shared_ptr<MessageStream> raw_;
  std::atomic<int> raw_messages_{0};
  std::mutex raw_mutex_;
  std::optional<absl::Status> raw_closed_;
};

TEST_P(ExchangeConformanceTest, FramesOfManyChannelsArriveInOrderAndCompleteBothWays) {
  Start(0);
  Start(1);
  constexpr int kChannels = 20;
  constexpr int kFrames = 60;
  for (uint32_t to : {0u, 1u}) {
    for (uint32_t c = 0; c < kChannels; ++c) {
      const ChannelId id{to, c, c % 3};
      RecordingReceiver& receiver = Lazily(to * kChannels + c);
      receiver.GiveBackTo(exchanges_[to].get(), id);
      exchanges_[to]->RegisterReceiver(id, 1 - to, &receiver);
    }
  }
  for (uint32_t to : {0u, 1u}) {
    for (uint32_t c = 0; c < kChannels; ++c) Open(1 - to, to, {to, c, c % 3});
  }
  for (int i = 0; i < kFrames; ++i) {
    for (size_t s = 0; s < senders_.size(); ++s) {
      ChannelSender& sender = *senders_[s]->sender;
      const size_t size = (static_cast<size_t>(i) * 7919 + s * 104729) % 5000;
      sender.Send(DataFrame(StrCat(i, std::string(size, static_cast<char>('a' + s % 26)))));
      if (i % 4 == 0) sender.Send(Event(FrameKind::kWatermark, i));
      if (i % 3 == 0) sender.Flush();
    }
  }
  for (auto& sender : senders_) {
    sender->sender->Send(Event(FrameKind::kEndOfInput));
    sender->sender->Flush();
  }
  for (auto& receiver : receivers_) {
    ASSERT_TRUE(RunUntil([&] {
      return receiver->count() > 0 && receiver->frames().back().kind == FrameKind::kEndOfInput;
    }));
    int data = 0;
    int watermarks = 0;
    for (const Frame& frame : receiver->frames()) {
      if (frame.kind == FrameKind::kData) {
        EXPECT_EQ(frame.payload.find(StrCat(data)), 0u);
        ++data;
      } else if (frame.kind == FrameKind::kWatermark) {
        EXPECT_EQ(frame.time, data - 1);
        ++watermarks;
      }
    }
    EXPECT_EQ(data, kFrames);
    EXPECT_EQ(watermarks, kFrames / 4);
    EXPECT_FALSE(receiver->error().has_value());
  }
}

TEST_P(ExchangeConformanceTest, AChannelSendsNothingBeforeItsReceiverIsThere) {
  Start(0);
  Start(1);
  TestSender& sender = Open(1, 0, kChannel);
  EXPECT_EQ(sender.sender->credits(), 0);
  sender.sender->Send(Event(FrameKind::kWatermark, 5));
  sender.sender->Send(DataFrame("early"));
  sender.sender->Flush();
  EXPECT_EQ(sender.sender->credits(), -1);
  // Another channel shows that the stream is up.
  exchanges_[0]->RegisterReceiver(kOther, 1, &other_receiver_());
  TestSender& other = Open(1, 0, kOther);
  other.sender->Send(DataFrame("x"));
  other.sender->Flush();
  ASSERT_TRUE(RunUntil([&] { return other_receiver_().count() == 1; }));

  exchanges_[0]->RegisterReceiver(kChannel, 1, &receiver_());
  ASSERT_TRUE(RunUntil([&] { return receiver_().count() == 2; }));
  EXPECT_EQ(receiver_().frames()[0].time, 5);
  EXPECT_EQ(receiver_().frames()[1].payload, "early");
  ASSERT_TRUE(RunUntil([&] {
    const std::lock_guard<std::mutex> lock(sender.mutex);
    return sender.credit_calls > 0;
  }));
  EXPECT_EQ(sender.sender->credits(), 15);
  const std::lock_guard<std::mutex> lock(sender.mutex);
  EXPECT_EQ(sender.credit_calls, 1);
}

TEST_P(ExchangeConformanceTest, CreditsThatComeBeforeTheSenderAreKept) {
  Start(0);
  Start(1);
  exchanges_[0]->RegisterReceiver(kChannel, 1, &receiver_());
  exchanges_[0]->RegisterReceiver(kOther, 1, &other_receiver_());
  TestSender& other = Open(1, 0, kOther);
  ASSERT_TRUE(RunUntil([&] { return other.sender->credits() == 16; }));
  TestSender& sender = Open(1, 0, kChannel);
  EXPECT_EQ(sender.sender->credits(), 16);
  sender.sender->Send(DataFrame("x"));
  sender.sender->Flush();
  ASSERT_TRUE(RunUntil([&] { return receiver_().count() == 1; }));
}

TEST_P(ExchangeConformanceTest, TheChannelsOfAStreamShareItsCreditsWhereThatIsMore) {
  ExchangeOptions options = Options(0);
  options.credits_per_stream = 64;
  Start(0, options);
  Start(1);
  exchanges_[0]->RegisterReceiver(kChannel, 1, &receiver_());
  exchanges_[0]->RegisterReceiver(kOther, 1, &other_receiver_());
  TestSender& sender = Open(1, 0, kChannel);
  ASSERT_TRUE(RunUntil([&] { return sender.sender->credits() == 32; }));
  for (int i = 0; i < 40; ++i) sender.sender->Send(DataFrame("x"));
  sender.sender->Flush();
  ASSERT_TRUE(RunUntil([&] { return receiver_().count() == 32; }));
  // They come back in halves.
  exchanges_[0]->GrantCredits(kChannel, 15);
  exchanges_[0]->GrantCredits(kChannel, 1);
  ASSERT_TRUE(RunUntil([&] { return sender.sender->credits() == 8; }));
  ASSERT_TRUE(RunUntil([&] { return receiver_().count() == 40; }));
  // One that comes later has what any channel has.
  exchanges_[0]->RegisterReceiver({0, 2, 0}, 1, &foreign_receiver_());
  TestSender& later = Open(1, 0, {0, 2, 0});
  ASSERT_TRUE(RunUntil([&] { return later.sender->credits() == 16; }));
}

TEST_P(ExchangeConformanceTest,
       ASlowChannelHoldsBackNoOtherAndQueuesNoMoreThanItsCreditsAtThePeer) {
  Start(0);
  Start(1);
  exchanges_[0]->RegisterReceiver(kChannel, 1, &receiver_());
  other_receiver_().GiveBackTo(exchanges_[0].get(), kOther);
  exchanges_[0]->RegisterReceiver(kOther, 1, &other_receiver_());
  TestSender& slow = Open(1, 0, kChannel);
  TestSender& fast = Open(1, 0, kOther);
  for (int i = 0; i < 40; ++i) slow.sender->Send(DataFrame(std::string(60000, 'x')));
  slow.sender->Send(Event(FrameKind::kWatermark, 1));
  slow.sender->Flush();
  for (int i = 0; i < 200; ++i) {
    fast.sender->Send(DataFrame(std::string(30000, 'y')));
    fast.sender->Flush();
  }
  ASSERT_TRUE(RunUntil([&] { return other_receiver_().count() == 200; }));
  ASSERT_TRUE(RunUntil([&] { return receiver_().count() == 16; }));
  EXPECT_EQ(slow.sender->credits(), -24);
  // A watermark stays behind the data before it.
  for (const Frame& frame : receiver_().frames()) EXPECT_EQ(frame.kind, FrameKind::kData);
  exchanges_[0]->GrantCredits(kChannel, 16);
  ASSERT_TRUE(RunUntil([&] { return receiver_().count() == 32; }));
  exchanges_[0]->GrantCredits(kChannel, 16);
  ASSERT_TRUE(RunUntil([&] { return receiver_().count() == 41; }));
  EXPECT_EQ(receiver_().frames().back().kind, FrameKind::kWatermark);
  ASSERT_TRUE(RunUntil([&] { return slow.sender->credits() == 8; }));
}

TEST_P(ExchangeConformanceTest, EventsCostNoCredit) {
  Start(0);
  Start(1);
  exchanges_[0]->RegisterReceiver(kChannel, 1, &receiver_());
  TestSender& sender = Open(1, 0, kChannel);
  for (int i = 0; i < 16; ++i) sender.sender->Send(DataFrame("x"));
  for (int i = 0; i < 100; ++i) sender.sender->Send(Event(FrameKind::kWatermark, i));
  sender.sender->Send({FrameKind::kBarrier, false, 0, 1, "barrier"});
  sender.sender->Send(Event(FrameKind::kIdle));
  sender.sender->Send(Event(FrameKind::kActive));
  sender.sender->Send(Event(FrameKind::kEndOfInput));
  sender.sender->Flush();
  ASSERT_TRUE(RunUntil([&] { return receiver_().count() == 120; }));
  EXPECT_EQ(receiver_().frames()[116].payload, "barrier");
}

// Semantics rule 43.
TEST_P(ExchangeConformanceTest, ABarrierOvertakesWhatWaitsForCreditEvenWithinARecord) {
  Start(0);
  Start(1);
  exchanges_[0]->RegisterReceiver(kChannel, 1, &receiver_());
  TestSender& sender = Open(1, 0, kChannel);
  for (int i = 0; i < 15; ++i) sender.sender->Send(DataFrame("x"));
  for (const char* part : {"one ", "two "}) {
    sender.sender->Send({FrameKind::kData, true, 0, 0, part});
  }
  sender.sender->Send(DataFrame("three"));
  sender.sender->Send(Event(FrameKind::kWatermark, 7));
  sender.sender->Send({FrameKind::kBarrier, false, 0, 1, "barrier"});
  sender.sender->Send(DataFrame("behind"));
  sender.sender->Flush();
  ASSERT_TRUE(RunUntil([&] { return receiver_().count() == 16; }));
  EXPECT_TRUE(sender.sender->BarrierWaits("barrier"));
  EXPECT_FALSE(sender.sender->BarrierWaits("another"));
  std::vector<Frame> overtaken;
  sender.sender->Overtake("barrier", "barrier, ahead", overtaken);
  ASSERT_EQ(overtaken.size(), 3u);
  EXPECT_EQ(overtaken[0].payload, "two ");
  EXPECT_EQ(overtaken[1].payload, "three");
  EXPECT_EQ(overtaken[2].kind, FrameKind::kWatermark);
  ASSERT_TRUE(RunUntil([&] { return receiver_().count() == 17; })) << "without a credit";
  EXPECT_EQ(receiver_().frames()[15].payload, "one ");
  EXPECT_EQ(receiver_().frames()[16].payload, "barrier, ahead");
  EXPECT_FALSE(sender.sender->BarrierWaits("barrier"));
  overtaken.clear();
  sender.sender->Overtake("barrier", "again", overtaken);
  EXPECT_TRUE(overtaken.empty());
  exchanges_[0]->GrantCredits(kChannel, 16);
  ASSERT_TRUE(RunUntil([&] { return receiver_().count() == 21; }));
  EXPECT_EQ(receiver_().frames()[17].payload, "two ");
  EXPECT_EQ(receiver_().frames()[18].payload, "three");
  EXPECT_EQ(receiver_().frames()[20].payload, "behind");
  EXPECT_FALSE(receiver_().error().has_value());
}

TEST_P(ExchangeConformanceTest, WhatASenderQueuedBeforeItWasDestroyedIsSentAllTheSame) {
  Start(0);
  Start(1);
  exchanges_[0]->RegisterReceiver(kChannel, 1, &receiver_());
  TestSender& sender = Open(1, 0, kChannel);
  for (int i = 0; i < 20; ++i) sender.sender->Send(DataFrame("x"));
  sender.sender->Send(Event(FrameKind::kEndOfInput));
  sender.sender = nullptr;
  ASSERT_TRUE(RunUntil([&] { return receiver_().count() == 16; }));
  exchanges_[0]->GrantCredits(kChannel, 16);
  ASSERT_TRUE(RunUntil([&] { return receiver_().count() == 21; }));
}

TEST_P(ExchangeConformanceTest, AWorkerOfAnotherExecutionIsRefusedWithBothValues) {
  struct Case {
    std::function<void(ExchangeOptions&)> change;
    std::string expected;
  };
  const Case cases[] = {
      {[](ExchangeOptions& o) { o.job = JobId(9, 9); }, "is of job"},
      {[](ExchangeOptions& o) { o.leader_epoch = 2; }, "is of leader epoch 2, this worker is of 3"},
      {[](ExchangeOptions& o) { o.attempt = 1; }, "of an older attempt, 1, this worker is of 2"},
      {[](ExchangeOptions& o) { o.attempt = 3; }, "of a newer attempt, 3, this worker is of 2"},
  };
  Start(0);
  exchanges_[0]->RegisterReceiver(kChannel, 1, &receiver_());
  for (const Case& c : cases) {
    ExchangeOptions options = Options(1);
    c.change(options);
    Start(1, options);
    TestSender& sender = Open(1, 0, kChannel);
    ASSERT_TRUE(RunUntil([&] { return sender.Error().has_value(); })) << c.expected;
    EXPECT_EQ(sender.Error()->code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(sender.Error()->message()), testing::HasSubstr(c.expected));
    EXPECT_THAT(std::string(sender.Error()->message()), testing::HasSubstr("worker 0 at "));
    sender.sender = nullptr;
    exchanges_[1]->Shutdown();
  }
  EXPECT_FALSE(receiver_().error().has_value());
}

TEST_P(ExchangeConformanceTest, AWorkerThatIsNotTheOneExpectedIsAnError) {
  Start(0);
  Start(1);
  TestSender& sender = Open(1, 5, kChannel, AddressOf(0));
  ASSERT_TRUE(RunUntil([&] { return sender.Error().has_value(); }));
  EXPECT_THAT(std::string(sender.Error()->message()),
              testing::HasSubstr("worker 0 answers where worker 5 was expected"));
}

TEST_P(ExchangeConformanceTest, APeerThatIsNotReachableFailsTheChannelAfterTheTimeout) {
  ExchangeOptions options = Options(1);
  options.connect_timeout = absl::Milliseconds(300);
  Start(1, options);
  const int64_t begin = env(1).clock().MonotonicNanos();
  TestSender& first = Open(1, 0, kChannel, harness_->unused_address());
  TestSender& second = Open(1, 0, kOther, harness_->unused_address());
  for (TestSender* sender : {&first, &second}) {
    ASSERT_TRUE(RunUntil([&] { return sender->Error().has_value(); }));
    EXPECT_THAT(std::string(sender->Error()->message()),
                testing::HasSubstr(harness_->unused_address()));
  }
  EXPECT_GE(env(1).clock().MonotonicNanos() - begin, 250'000'000);
  // A channel opened later learns it too.
  TestSender& third = Open(1, 0, {0, 2, 0}, harness_->unused_address());
  ASSERT_TRUE(RunUntil([&] { return third.Error().has_value(); }));
  third.sender->Send(DataFrame("x"));
  third.sender->Flush();
}

TEST_P(ExchangeConformanceTest, APeerThatComesUpLateIsFound) {
  Start(0);
  Start(1);
  const std::string address = exchanges_[0]->address();
  exchanges_[0] = nullptr;
  TestSender& sender = Open(1, 0, kChannel, address);
  sender.sender->Send(DataFrame("x"));
  sender.sender->Flush();
  std::atomic<bool> due = false;
  auto timer = env(1).NewExecutor("timer");
  timer->PostAfter(absl::Milliseconds(100), [&] {
    due = true;
    harness_->Notify();
  });
  ASSERT_TRUE(RunUntil([&] { return due.load(); }));
  timer->Shutdown();
  Start(0, Options(0), address);
  exchanges_[0]->RegisterReceiver(kChannel, 1, &receiver_());
  ASSERT_TRUE(RunUntil([&] { return receiver_().count() == 1; }));
  EXPECT_FALSE(sender.Error().has_value());
}

TEST_P(ExchangeConformanceTest, ALostPeerFailsTheChannelsOfBothSidesWithItsName) {
  Start(0);
  Start(1);
  exchanges_[0]->RegisterReceiver(kChannel, 1, &receiver_());
  exchanges_[1]->RegisterReceiver(kOther, 0, &other_receiver_());
  TestSender& there = Open(1, 0, kChannel);
  TestSender& back = Open(0, 1, kOther);
  for (TestSender* sender : {&there, &back}) {
    sender->sender->Send(DataFrame("x"));
    sender->sender->Flush();
  }
  ASSERT_TRUE(RunUntil([&] { return receiver_().count() == 1 && other_receiver_().count() == 1; }));
  there.sender = nullptr;
  exchanges_[1]->Shutdown();
  ASSERT_TRUE(RunUntil([&] { return receiver_().error().has_value(); }));
  EXPECT_EQ(receiver_().error()->code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(receiver_().error()->message()), testing::HasSubstr("worker 1"));
  ASSERT_TRUE(RunUntil([&] { return back.Error().has_value(); }));
  EXPECT_EQ(back.Error()->code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(back.Error()->message()), testing::HasSubstr("worker 1 at "));
  EXPECT_FALSE(other_receiver_().error().has_value());  // Its exchange is shut down.
  // A receiver registered later learns it too.
  exchanges_[0]->RegisterReceiver({0, 5, 0}, 1, &foreign_receiver_());
  ASSERT_TRUE(RunUntil([&] { return foreign_receiver_().error().has_value(); }));
}

TEST_P(ExchangeConformanceTest, APeerThatLeavesAfterTheEndOfItsInputIsNoError) {
  Start(0);
  Start(1);
  exchanges_[0]->RegisterReceiver(kChannel, 1, &receiver_());
  exchanges_[0]->RegisterReceiver(kOther, 1, &other_receiver_());
  TestSender& ended = Open(1, 0, kChannel);
  TestSender& open = Open(1, 0, kOther);
  ended.sender->Send(Event(FrameKind::kEndOfInput));
  ended.sender->Flush();
  open.sender->Send(Event(FrameKind::kIdle));
  open.sender->Flush();
  ASSERT_TRUE(RunUntil([&] { return receiver_().count() == 1 && other_receiver_().count() == 1; }));
  exchanges_[1]->Shutdown();
  ASSERT_TRUE(RunUntil([&] { return other_receiver_().error().has_value(); }));
  EXPECT_FALSE(receiver_().error().has_value());
}

TEST_P(ExchangeConformanceTest, TruncatedMessagesAreMalformed) {
  ExpectStreamEnds({Bytes("x")}, "truncated");
}
TEST_P(ExchangeConformanceTest, MessagesThatAreTooLongAreMalformed) {
  ExpectStreamEnds({Bytes(std::string(600'000, 'x'))}, "too long");
}
TEST_P(ExchangeConformanceTest, AWrongChecksumIsMalformed) {
  MessageBytes message = Encode({Wire(0, DataFrame(std::string(1000, 'x')))});
  message.pieces[0][500] = 'y';
  std::vector<MessageBytes> messages;
  messages.push_back(std::move(message));
  ExpectStreamEnds(std::move(messages), "wrong checksum");
}
TEST_P(ExchangeConformanceTest, AnUnknownKindIsMalformed) {
  ExpectStreamEnds({Encode({Wire(0, Event(static_cast<FrameKind>(9)))})},
                   "unknown kind of frame 9");
}
TEST_P(ExchangeConformanceTest, AGapInTheSequenceIsMalformed) {
  ExpectStreamEnds({Encode({Wire(0, DataFrame("a")), Wire(2, DataFrame("c"))})},
                   "out of sequence: frame 2 where 1 was expected");
}
TEST_P(ExchangeConformanceTest, ARepeatedFrameIsMalformed) {
  ExpectStreamEnds({Encode({Wire(0, DataFrame("a"))}), Encode({Wire(0, DataFrame("a"))})},
                   "out of sequence: frame 0 where 1 was expected");
}
TEST_P(ExchangeConformanceTest, AnUnknownChannelIsMalformed) {
  ExpectStreamEnds({Encode({{{0, 8, 8}, 0, DataFrame("a")}})},
                   "unknown channel edge 0 from subtask 8 to subtask 8");
}
TEST_P(ExchangeConformanceTest, AChannelOfAnotherWorkerIsMalformed) {
  ExpectStreamEnds({Encode({{{0, 9, 0}, 0, DataFrame("a")}})}, "unknown channel");
}
TEST_P(ExchangeConformanceTest, AWatermarkThatGoesBackIsMalformed) {
  ExpectStreamEnds(
      {Encode({Wire(0, Event(FrameKind::kWatermark, 7)), Wire(1, Event(FrameKind::kWatermark, 7)),
               Wire(2, Event(FrameKind::kWatermark, 6))})},
      "the watermark goes back from 7 to 6");
}
TEST_P(ExchangeConformanceTest, DataWithoutCreditIsMalformed) {
  std::vector<WireFrame> frames;
  for (uint32_t i = 0; i < 17; ++i) frames.push_back(Wire(i, DataFrame("x")));
  ExpectStreamEnds({Encode(std::move(frames))}, "data without credit");
  EXPECT_EQ(receiver_().count(), 16u);
}
TEST_P(ExchangeConformanceTest, CreditsFromTheSendingSideAreMalformed) {
  ExpectStreamEnds({Encode({Wire(0, Event(FrameKind::kCredit))})}, "credits from the sending side");
}
TEST_P(ExchangeConformanceTest, ARecordThatIsNotContinuedIsMalformed) {
  ExpectStreamEnds({Encode({Wire(0, {FrameKind::kData, true, 0, 0, "half"}),
                            Wire(1, Event(FrameKind::kWatermark, 1))})},
                   "a record that is not continued to its end");
}

TEST_P(ExchangeConformanceTest, AFrameAfterTheEndOfInputIsMalformed) {
  Start(0);
  exchanges_[0]->RegisterReceiver(kChannel, 1, &receiver_());
  exchanges_[0]->RegisterReceiver(kOther, 1, &other_receiver_());
  ConnectRaw(Options(1));
  raw_->Send(Encode({Wire(0, Event(FrameKind::kEndOfInput)), Wire(1, Event(FrameKind::kIdle))}));
  ASSERT_TRUE(RunUntil([&] { return other_receiver_().error().has_value(); }));
  EXPECT_THAT(std::string(other_receiver_().error()->message()),
              testing::HasSubstr("a frame after the end of input"));
  // The channel itself had ended.
  EXPECT_FALSE(receiver_().error().has_value());
}

TEST_P(ExchangeConformanceTest, ARecordAboveTheLimitIsMalformed) {
  Start(0);
  receiver_().GiveBackTo(exchanges_[0].get(), kChannel);
  exchanges_[0]->RegisterReceiver(kChannel, 1, &receiver_());
  Start(1);
  TestSender& sender = Open(1, 0, kChannel);
  for (size_t sent = 0; sent <= kMaxRecordBytes + 2 * kMaxFramePayloadBytes;
       sent += kMaxFramePayloadBytes) {
    sender.sender->Send({FrameKind::kData, true, 0, 0, std::string(kMaxFramePayloadBytes, 'x')});
  }
  sender.sender->Flush();
  ASSERT_TRUE(RunUntil([&] { return receiver_().error().has_value(); }));
  EXPECT_THAT(std::string(receiver_().error()->message()), testing::HasSubstr("too long"));
  ASSERT_TRUE(RunUntil([&] { return sender.Error().has_value(); }));
  EXPECT_EQ(sender.Error()->code(), absl::StatusCode::kDataLoss);
}

TEST_P(ExchangeConformanceTest, AFirstMessageThatIsNoHelloOfThisVersionEndsTheStream) {
  struct Case {
    MessageBytes first;
    absl::StatusCode code;
    std::string why;
  };
  Start(0);
  exchanges_[0]->RegisterReceiver(kChannel, 1, &receiver_());
  MessageBytes newer = EncodeHello(Options(1));
  ++newer.pieces[0][1];  // The version is the first field, of one byte after its tag.
  Case cases[] = {
      {Bytes("\xff\xff"), absl::StatusCode::kInvalidArgument, "is no hello"},
      {Bytes(""), absl::StatusCode::kInvalidArgument, "is no hello"},
      {std::move(newer), absl::StatusCode::kFailedPrecondition, "install the same version"},
  };
  for (Case& c : cases) {
    ConnectRaw(std::move(c.first));
    ASSERT_TRUE(RunUntil([&] { return RawClosed().has_value(); })) << c.why;
    EXPECT_EQ(RawClosed()->code(), c.code) << *RawClosed();
    EXPECT_THAT(std::string(RawClosed()->message()), testing::HasSubstr(c.why));
  }
  EXPECT_EQ(raw_messages_, 0);
  // The worker itself may still come.
  ConnectRaw(Options(1));
  ASSERT_TRUE(RunUntil([&] { return raw_messages_ >= 1; }));
  raw_->Send(Encode({Wire(0, DataFrame("x"))}));
  ASSERT_TRUE(RunUntil([&] { return receiver_().count() == 1; }));
  EXPECT_FALSE(receiver_().error().has_value());
}

TEST_P(ExchangeConformanceTest, ASecondStreamOfAWorkerIsRefusedAndTheFirstStays) {
  Start(0);
  exchanges_[0]->RegisterReceiver(kChannel, 1, &receiver_());
  ExchangeOptions options = Options(1);
  ConnectRaw(options);
  ASSERT_TRUE(RunUntil([&] { return raw_messages_ >= 1; }));
  auto first = std::move(raw_);
  ConnectRaw(options);
  ASSERT_TRUE(RunUntil([&] { return RawClosed().has_value(); }));
  EXPECT_EQ(RawClosed()->code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(RawClosed()->message()), testing::HasSubstr("has connected"));
  first->Send(Encode({Wire(0, DataFrame("x"))}));
  ASSERT_TRUE(RunUntil([&] { return receiver_().count() == 1; }));
  first->Cancel(absl::CancelledError("end of test"));
  ASSERT_TRUE(RunUntil([&] { return receiver_().error().has_value(); }));
}

TEST_P(ExchangeConformanceTest, AReceiverThatAnswersNonsenseFailsTheSender) {
  for (const std::string nonsense : {"welcome", "credits", "data"}) {
    ServerMethods methods;
    auto executor = harness_->server().NewExecutor("server");
    methods.streams.push_back(
        {kExchangeMethod, executor.get(), [&](std::shared_ptr<MessageStream> stream) {
           if (nonsense == "welcome") stream->Send(Bytes("\xff\xff"));
           if (nonsense != "welcome") stream->Send(EncodeWelcome(0));
           if (nonsense == "credits") stream->Send(Bytes("nonsense"));
           if (nonsense == "data") stream->Send(Encode({Wire(0, DataFrame("x"))}));
           return absl::StatusOr<StreamCallbacks>(
               StreamCallbacks{[](std::string) {}, [](absl::Status) {}});
         }});
    auto listener = harness_->server().network().Listen("localhost:0", std::move(methods));
    ASSERT_TRUE(listener.ok());
    Start(1);
    TestSender& sender = Open(1, 0, kChannel, (*listener)->address());
    ASSERT_TRUE(RunUntil([&] { return sender.Error().has_value(); })) << nonsense;
    EXPECT_EQ(sender.Error()->code(), absl::StatusCode::kDataLoss) << *sender.Error();
    EXPECT_THAT(std::string(sender.Error()->message()), testing::HasSubstr("worker 0 at "));
    sender.sender = nullptr;
    exchanges_[1]->Shutdown();
    *listener = nullptr;
    executor->Shutdown();
  }
}

}  // namespace weir
