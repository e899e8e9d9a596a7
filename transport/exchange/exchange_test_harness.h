#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/env/env.h"
#include "common/env/network_harness.h"
#include "transport/exchange/exchange.h"
#include "transport/exchange/handshake.h"

namespace weir {

inline constexpr JobId kTestJob{0x1111, 0x2222};

// Records what comes on a channel. Gives credits back at once unless told to hold them.
class RecordingReceiver final : public ChannelReceiver {
 public:
  explicit RecordingReceiver(NetworkHarness& harness) : harness_(harness) {}

  void GiveBackTo(Exchange* exchange, ChannelId id) {
    const std::lock_guard<std::mutex> lock(mutex_);
    exchange_ = exchange;
    id_ = id;
  }
  void OnFrame(Frame frame) override {
    Exchange* exchange = nullptr;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (error_.has_value()) after_error_ = true;
      if (frame.kind == FrameKind::kData) exchange = exchange_;
      frames_.push_back(std::move(frame));
    }
    if (exchange != nullptr) exchange->GrantCredits(id_, 1);
    harness_.Notify();
  }
  void OnError(absl::Status status) override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      EXPECT_FALSE(error_.has_value()) << "a second error: " << status;
      error_ = std::move(status);
    }
    harness_.Notify();
  }
  std::vector<Frame> frames() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return frames_;
  }
  size_t count() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return frames_.size();
  }
  std::optional<absl::Status> error() {
    const std::lock_guard<std::mutex> lock(mutex_);
    EXPECT_FALSE(after_error_);
    return error_;
  }

 private:
  NetworkHarness& harness_;
  std::mutex mutex_;
  Exchange* exchange_ = nullptr;
  ChannelId id_;
  std::vector<Frame> frames_;
  std::optional<absl::Status> error_;
  bool after_error_ = false;
};

// A task's end of a channel: sends what it is given as credits allow.
struct TestSender {
  std::unique_ptr<ChannelSender> sender;
  std::mutex mutex;
  int credit_calls = 0;
  std::optional<absl::Status> error;

  std::optional<absl::Status> Error() {
    const std::lock_guard<std::mutex> lock(mutex);
    return error;
  }
};

// Two workers, 0 at the server and 1 at the client of a harness.
class ExchangeTestBase : public testing::TestWithParam<NetworkHarnessFactory> {
 protected:
  void SetUp() override { harness_ = GetParam()(); }
  void TearDown() override {
    // Shutdown before what callbacks touch goes.
    for (auto& exchange : exchanges_) {
      if (exchange != nullptr) exchange->Shutdown();
    }
    senders_.clear();
    for (auto& exchange : exchanges_) exchange = nullptr;
  }

  Env& env(int worker) { return worker == 0 ? harness_->server() : harness_->client(); }
  static ExchangeOptions Options(uint32_t worker) {
    ExchangeOptions options;
    options.job = kTestJob;
    options.leader_epoch = 3;
    options.attempt = 2;
    options.worker_index = worker;
    options.credits_per_stream = 0;  // Every channel has 16, however many there are.
    return options;
  }
  void Start(uint32_t worker, ExchangeOptions options, const std::string& address = "localhost:0") {
    auto exchange = MakeExchange(env(static_cast<int>(worker)), address, std::move(options));
    ASSERT_TRUE(exchange.ok()) << exchange.status();
    exchanges_[worker] = std::move(*exchange);
  }
  void Start(uint32_t worker) { Start(worker, Options(worker)); }
  std::string AddressOf(uint32_t worker) {
    return worker == 0 ? exchanges_[0]->address() : exchanges_[1]->address();
  }
  TestSender& Open(uint32_t from, uint32_t to, ChannelId id, const std::string& address) {
    senders_.push_back(std::make_unique<TestSender>());
    TestSender& sender = *senders_.back();
    sender.sender = exchanges_[from]->OpenSender(
        id, to, address,
        [this, &sender] {
          {
            const std::lock_guard<std::mutex> lock(sender.mutex);
            ++sender.credit_calls;
          }
          harness_->Notify();
        },
        [this, &sender](absl::Status status) {
          {
            const std::lock_guard<std::mutex> lock(sender.mutex);
            EXPECT_FALSE(sender.error.has_value()) << "a second error: " << status;
            sender.error = std::move(status);
          }
          harness_->Notify();
        });
    return sender;
  }
  TestSender& Open(uint32_t from, uint32_t to, ChannelId id) {
    return Open(from, to, id, AddressOf(to));
  }
  bool RunUntil(const std::function<bool()>& predicate) { return harness_->RunUntil(predicate); }

  static Frame DataFrame(std::string payload) {
    return {FrameKind::kData, false, 1, 0, std::move(payload)};
  }
  static Frame Event(FrameKind kind, int64_t time = 0) { return {kind, false, 0, time, ""}; }

  std::unique_ptr<NetworkHarness> harness_;
  std::unique_ptr<Exchange> exchanges_[2];
  std::vector<std::unique_ptr<TestSender>> senders_;
};

}  // namespace weir
