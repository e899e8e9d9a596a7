#include <memory>
#include <string>
#include <vector>

#include "common/env/network_conformance.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

class SimHarness final : public NetworkHarness {
 public:
  explicit SimHarness(uint64_t seed)
      : world_(SimOptions{.seed = seed}),
        server_(world_.StartProcess("server")),
        client_(world_.StartProcess("client")) {}

  Env& server() override { return server_; }
  Env& client() override { return client_; }
  std::string listen_address() override { return "server:0"; }
  std::string unused_address() override { return "server:1"; }
  void Notify() override {}
  bool RunUntil(const std::function<bool()>& predicate) override {
    return world_.RunUntil(predicate, absl::Seconds(30));
  }

 private:
  SimWorld world_;
  SimEnv& server_;
  SimEnv& client_;
};

NetworkHarnessFactory WithSeed(uint64_t seed) {
  return [seed] { return std::make_unique<SimHarness>(seed); };
}

INSTANTIATE_TEST_SUITE_P(Simulated, NetworkConformanceTest,
                         testing::Values(WithSeed(1), WithSeed(2), WithSeed(3)));

constexpr char kMethod[] = "/weir.test.Sim/Method";

// A server "jm" with one unary method and one stream, and a client "tm".
class SimNetworkTest : public testing::Test {
 protected:
  SimNetworkTest() {
    ServerMethods methods;
    methods.unary.push_back(
        {kMethod, server_executor_.get(), [this](std::string request, Responder responder) {
           requests_.push_back(request);
           if (answer_) responder("answer");
           if (!answer_) kept_.push_back(std::move(responder));
         }});
    methods.streams.push_back(
        {kMethod, server_executor_.get(), [this](std::shared_ptr<MessageStream> stream) {
           server_stream_ = std::move(stream);
           return Record(at_server_);
         }});
    listener_ = *jm_.network().Listen("jm:6123", std::move(methods));
    peer_ = tm_.network().Connect("jm:6123");
  }

  struct Seen {
    std::vector<std::string> messages;
    std::vector<absl::Status> closes;
  };

  static absl::StatusOr<StreamCallbacks> Record(Seen& seen) {
    StreamCallbacks callbacks;
    callbacks.on_message = [&seen](std::string text) { seen.messages.push_back(std::move(text)); };
    callbacks.on_close = [&seen](const absl::Status& status) { seen.closes.push_back(status); };
    return callbacks;
  }

  void Open() {
    client_stream_ = peer_->OpenStream(kMethod, client_executor_.get(), *Record(at_client_));
  }

  void Call(absl::Duration timeout) {
    peer_->Call(kMethod, "request", timeout, client_executor_.get(),
                [this](absl::StatusOr<std::string> response) { answers_.push_back(response); });
  }

  static MessageBytes Bytes(std::string text) {
    MessageBytes bytes;
    bytes.pieces.push_back(std::move(text));
    return bytes;
  }

  SimWorld world_{SimOptions{.seed = 11}};
  SimEnv& jm_ = world_.StartProcess("jm");
  SimEnv& tm_ = world_.StartProcess("tm");
  std::unique_ptr<Executor> server_executor_ = jm_.NewExecutor("server");
  std::unique_ptr<Executor> client_executor_ = tm_.NewExecutor("client");
  std::unique_ptr<Listener> listener_;
  std::shared_ptr<RemotePeer> peer_;
  std::shared_ptr<MessageStream> server_stream_;
  std::shared_ptr<MessageStream> client_stream_;
  Seen at_server_;
  Seen at_client_;
  bool answer_ = true;
  std::vector<std::string> requests_;
  std::vector<Responder> kept_;
  std::vector<absl::StatusOr<std::string>> answers_;
};

TEST_F(SimNetworkTest, APartitionBreaksStreamsForBothSides) {
  Open();
  client_stream_->Send(Bytes("before"));
  ASSERT_TRUE(world_.RunUntil([&] { return at_server_.messages.size() == 1; }, absl::Seconds(1)));
  world_.CutLink("jm", "tm");
  client_stream_->Send(Bytes("lost"));
  server_stream_->Send(Bytes("lost"));
  world_.RunFor(absl::Seconds(2));
  ASSERT_EQ(at_client_.closes.size(), 1u);
  ASSERT_EQ(at_server_.closes.size(), 1u);
  EXPECT_EQ(at_client_.closes[0].code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(at_server_.closes[0].code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(at_server_.messages, (std::vector<std::string>{"before"}));
  EXPECT_TRUE(at_client_.messages.empty());
}

TEST_F(SimNetworkTest, CallsOverACutLinkEndByTheirDeadlineAtTheLatest) {
  world_.CutLink("jm", "tm");
  for (int i = 0; i < 50; ++i) Call(absl::Milliseconds(100));
  world_.RunFor(absl::Milliseconds(101));
  ASSERT_EQ(answers_.size(), 50u);
  for (const auto& answer : answers_) {
    EXPECT_TRUE(absl::IsUnavailable(answer.status()) || absl::IsDeadlineExceeded(answer.status()))
        << answer.status();
  }
  EXPECT_TRUE(requests_.empty());
}

TEST_F(SimNetworkTest, ACutOfTheWayBackLosesTheAnswerAndNotTheRequest) {
  world_.CutOneWay("jm", "tm");
  Call(absl::Milliseconds(100));
  world_.RunFor(absl::Milliseconds(101));
  EXPECT_EQ(requests_.size(), 1u);
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_FALSE(answers_[0].ok());
}

TEST_F(SimNetworkTest, AHealedLinkCarriesNewCallsAndStreams) {
  world_.CutLink("jm", "tm");
  world_.RunFor(absl::Seconds(2));
  world_.HealLink("tm", "jm");
  Call(absl::Seconds(1));
  Open();
  client_stream_->Send(Bytes("again"));
  world_.RunFor(absl::Milliseconds(10));
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_TRUE(answers_[0].ok()) << answers_[0].status();
  EXPECT_EQ(at_server_.messages, (std::vector<std::string>{"again"}));
}

TEST_F(SimNetworkTest, AKilledServerIsUnavailableToItsPeersAndRunsNothingMore) {
  answer_ = false;
  Call(absl::Seconds(10));
  Open();
  client_stream_->Send(Bytes("one"));
  ASSERT_TRUE(world_.RunUntil([&] { return at_server_.messages.size() == 1; }, absl::Seconds(1)));
  ASSERT_TRUE(world_.RunUntil([&] { return kept_.size() == 1; }, absl::Seconds(1)));
  client_stream_->Send(Bytes("two"));
  world_.KillProcess(jm_);
  world_.RunFor(absl::Milliseconds(10));
  EXPECT_EQ(at_server_.messages.size(), 1u);
  EXPECT_TRUE(at_server_.closes.empty());
  ASSERT_EQ(at_client_.closes.size(), 1u);
  EXPECT_TRUE(absl::IsUnavailable(at_client_.closes[0])) << at_client_.closes[0];
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_TRUE(absl::IsUnavailable(answers_[0].status())) << answers_[0].status();
  kept_[0]("from the grave");
  Call(absl::Seconds(10));
  world_.RunFor(absl::Milliseconds(10));
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_TRUE(absl::IsUnavailable(answers_[1].status())) << answers_[1].status();
}

TEST_F(SimNetworkTest, AKilledClientGetsNothingAndTheServerLearnsOfIt) {
  Call(absl::Seconds(10));
  Open();
  ASSERT_TRUE(world_.RunUntil([&] { return server_stream_ != nullptr; }, absl::Seconds(1)));
  answers_.clear();
  server_stream_->Send(Bytes("to nobody"));
  world_.KillProcess(tm_);
  client_executor_ = nullptr;
  world_.RunFor(absl::Seconds(20));
  EXPECT_TRUE(answers_.empty());
  EXPECT_TRUE(at_client_.messages.empty());
  EXPECT_TRUE(at_client_.closes.empty());
  ASSERT_EQ(at_server_.closes.size(), 1u);
  EXPECT_TRUE(absl::IsUnavailable(at_server_.closes[0])) << at_server_.closes[0];
}

TEST_F(SimNetworkTest, AProcessMayEndItselfInACallback) {
  auto executor = tm_.NewExecutor("suicidal");
  StreamCallbacks callbacks;
  std::string kept = "still here";
  callbacks.on_message = [&, copy = kept](const std::string&) {
    world_.KillProcess(tm_);
    EXPECT_EQ(copy, kept);  // The callback itself is alive until it returns.
  };
  auto stream = peer_->OpenStream(kMethod, executor.get(), std::move(callbacks));
  ASSERT_TRUE(world_.RunUntil([&] { return server_stream_ != nullptr; }, absl::Seconds(1)));
  server_stream_->Send(Bytes("end"));
  ASSERT_TRUE(world_.RunUntil([&] { return !tm_.alive(); }, absl::Seconds(1)));
}

TEST_F(SimNetworkTest, APausedServerAnswersWhenItGoesOn) {
  world_.PauseProcess(jm_);
  Call(absl::Seconds(1));
  Call(absl::Seconds(100));
  world_.RunFor(absl::Seconds(5));
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_TRUE(absl::IsDeadlineExceeded(answers_[0].status()));
  world_.ResumeProcess(jm_);
  world_.RunFor(absl::Milliseconds(10));
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_TRUE(answers_[1].ok()) << answers_[1].status();
  EXPECT_EQ(requests_.size(), 2u);  // The first had been sent, too.
}

TEST_F(SimNetworkTest, LossOfMessagesShowsAsLossOfConnectionsOnly) {
  world_.SetConnectionLoss(0.2);

  for (int round = 0; round < 50; ++round) {
    at_server_ = {};
    at_client_ = {};
    Open();
    for (int i = 0; i < 5; ++i) client_stream_->Send(Bytes(std::to_string(i)));

    world_.RunFor(absl::Seconds(2));
    // A prefix arrives, and whoever misses something hears of it.
    for (size_t i = 0; i < at_server_.messages.size(); ++i) {
      EXPECT_EQ(at_server_.messages[i], std::to_string(i));
    }
    if (at_server_.messages.size() < 5) {
      ASSERT_EQ(at_client_.closes.size(), 1u);
      EXPECT_TRUE(absl::IsUnavailable(at_client_.closes[0]));
    }
    client_stream_->Cancel(absl::CancelledError("next round"));
    world_.RunFor(absl::Seconds(2));
  }
}

TEST_F(SimNetworkTest, ALinksOwnDelayIsKept) {
  world_.SetLinkDelay("jm", "tm", absl::Milliseconds(30), absl::Milliseconds(40));
  const absl::Duration begin = world_.elapsed();
  Call(absl::Seconds(1));
  ASSERT_TRUE(world_.RunUntil([&] { return answers_.size() == 1; }, absl::Seconds(1)));
  EXPECT_GE(world_.elapsed() - begin, absl::Milliseconds(60));
  EXPECT_LE(world_.elapsed() - begin, absl::Milliseconds(81));
}

TEST_F(SimNetworkTest, TwoProcessesOfAHostShareItsPorts) {
  SimEnv& worker = world_.StartProcess("worker", "jm");
  EXPECT_TRUE(absl::IsAlreadyExists(worker.network().Listen("jm:6123", {}).status()));
  auto listener = worker.network().Listen("localhost:0", {});
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_TRUE((*listener)->address().starts_with("jm:4")) << (*listener)->address();
  EXPECT_TRUE(absl::IsInvalidArgument(worker.network().Listen("elsewhere:0", {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(worker.network().Listen("jm", {}).status()));
}

TEST_F(SimNetworkTest, ADeadServersPortIsFreeForItsRestart) {
  world_.KillProcess(jm_);
  SimEnv& again = world_.StartProcess("jm");
  EXPECT_TRUE(again.network().Listen("jm:6123", {}).ok());
}

}  // namespace
}  // namespace weir
