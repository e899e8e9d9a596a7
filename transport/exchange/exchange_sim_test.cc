#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "transport/exchange/exchange_conformance.h"

namespace weir {
namespace {

class SimExchangeHarness final : public NetworkHarness {
 public:
  explicit SimExchangeHarness(SimOptions options)
      : world_(std::move(options)),
        server_(world_.StartProcess("server")),
        client_(world_.StartProcess("client")) {}

  Env& server() override { return server_; }
  Env& client() override { return client_; }
  std::string listen_address() override { return "localhost:0"; }
  std::string unused_address() override { return "server:1"; }
  void Notify() override {}
  bool RunUntil(const std::function<bool()>& predicate) override {
    return world_.RunUntil(predicate, absl::Seconds(30));
  }
  SimWorld& world() { return world_; }

 private:
  SimWorld world_;
  SimEnv& server_;
  SimEnv& client_;
};

NetworkHarnessFactory WithSeed(uint64_t seed) {
  return [seed] { return std::make_unique<SimExchangeHarness>(SimOptions{.seed = seed}); };
}

INSTANTIATE_TEST_SUITE_P(Simulated, ExchangeConformanceTest,
                         testing::Values(WithSeed(1), WithSeed(2), WithSeed(3)));

class ExchangeSimTest : public ExchangeConformanceTest {
 protected:
  SimWorld& world() { return static_cast<SimExchangeHarness&>(*harness_).world(); }
};
INSTANTIATE_TEST_SUITE_P(Simulated, ExchangeSimTest, testing::Values(WithSeed(4), WithSeed(5)));

TEST_P(ExchangeSimTest, ACutLinkFailsBothSidesWithinTheTimeOfDetection) {
  Start(0);
  Start(1);
  receiver_().GiveBackTo(exchanges_[0].get(), kChannel);
  exchanges_[0]->RegisterReceiver(kChannel, 1, &receiver_());
  TestSender& sender = Open(1, 0, kChannel);
  sender.sender->Send(DataFrame("x"));
  sender.sender->Flush();
  ASSERT_TRUE(RunUntil([&] { return receiver_().count() == 1; }));
  world().CutLink("server", "client");
  sender.sender->Send(DataFrame("y"));
  sender.sender->Flush();
  ASSERT_TRUE(world().RunUntil(
      [&] { return sender.Error().has_value() && receiver_().error().has_value(); },
      absl::Seconds(2)));
  EXPECT_EQ(sender.Error()->code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(receiver_().error()->code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(receiver_().count(), 1u);
}

TEST_P(ExchangeSimTest, APeerBehindACutLinkIsReachedWhenTheLinkIsHealedInTime) {
  Start(0);
  Start(1);
  exchanges_[0]->RegisterReceiver(kChannel, 1, &receiver_());
  world().CutLink("server", "client");
  TestSender& sender = Open(1, 0, kChannel);
  sender.sender->Send(DataFrame("x"));
  sender.sender->Flush();
  world().RunFor(absl::Seconds(5));
  EXPECT_FALSE(sender.Error().has_value());
  world().HealLink("server", "client");
  ASSERT_TRUE(RunUntil([&] { return receiver_().count() == 1; }));
}

TEST_P(ExchangeSimTest, AKilledPeerFailsTheSender) {
  Start(0);
  Start(1);
  exchanges_[0]->RegisterReceiver(kChannel, 1, &receiver_());
  TestSender& sender = Open(1, 0, kChannel);
  ASSERT_TRUE(RunUntil([&] { return sender.sender->credits() == 16; }));
  world().KillProcess(static_cast<SimEnv&>(harness_->server()));
  ASSERT_TRUE(RunUntil([&] { return sender.Error().has_value(); }));
  EXPECT_EQ(sender.Error()->code(), absl::StatusCode::kUnavailable);
}

TEST_P(ExchangeSimTest, AConnectionThatNeverSaysHelloIsEnded) {
  Start(0);
  auto executor = env(1).NewExecutor("mute");
  std::optional<absl::Status> closed;
  auto stream = env(1)
                    .network()
                    .Connect(AddressOf(0))
                    ->OpenStream(kExchangeMethod, executor.get(),
                                 {[](std::string) {},
                                  [&](absl::Status status) { closed = std::move(status); }});
  ASSERT_TRUE(RunUntil([&] { return closed.has_value(); }));
  EXPECT_EQ(closed->code(), absl::StatusCode::kDeadlineExceeded);
}

// One run of many frames under delays; returns the hash of its events.
uint64_t RunOnce(uint64_t seed) {
  SimExchangeHarness harness(SimOptions{.seed = seed, .hash_message_bytes = true});
  std::vector<std::unique_ptr<RecordingReceiver>> receivers;
  std::vector<std::unique_ptr<ChannelSender>> senders;
  ExchangeOptions options;
  options.job = kTestJob;
  auto to = *MakeExchange(harness.server(), "localhost:0", options);
  options.worker_index = 1;
  auto from = *MakeExchange(harness.client(), "localhost:0", options);
  for (uint32_t c = 0; c < 8; ++c) {
    receivers.push_back(std::make_unique<RecordingReceiver>(harness));
    receivers.back()->GiveBackTo(to.get(), {0, c, 0});
    to->RegisterReceiver({0, c, 0}, 1, receivers.back().get());
    senders.push_back(from->OpenSender({0, c, 0}, 0, to->address(), [] {}, [](absl::Status) {}));
  }
  for (int i = 0; i < 50; ++i) {
    for (auto& sender : senders) {
      sender->Send({FrameKind::kData, false, 1, 0, StrCat("record ", i)});
      sender->Flush();
    }
  }
  EXPECT_TRUE(harness.RunUntil([&] {
    return std::all_of(receivers.begin(), receivers.end(),
                       [](const auto& receiver) { return receiver->count() == 50; });
  }));
  const uint64_t hash = harness.world().hash();
  senders.clear();
  from->Shutdown();
  to->Shutdown();
  return hash;
}

TEST(ExchangeDeterminismTest, TwoRunsOfASeedHaveTheSameEvents) {
  EXPECT_EQ(RunOnce(7), RunOnce(7));
  EXPECT_NE(RunOnce(7), RunOnce(8));
}

}  // namespace
}  // namespace weir
