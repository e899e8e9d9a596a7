#include "common/env/sim/sim_world.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "common/env/sim/sim_env.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

TEST(SimWorldTest, ClosuresOfAnExecutorRunInTheOrderPosted) {
  SimWorld world;
  SimEnv& process = world.StartProcess("a");
  auto executor = process.NewExecutor("main");
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) {
    executor->Post([&order, i] { order.push_back(i); });
  }
  world.RunFor(absl::Milliseconds(1));
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

std::string Interleaving(uint64_t seed) {
  SimWorld world(SimOptions{.seed = seed});
  SimEnv& process = world.StartProcess("a");
  auto a = process.NewExecutor("a");
  auto b = process.NewExecutor("b");
  std::string order;
  for (int i = 0; i < 20; ++i) {
    a->Post([&] { order += 'a'; });
    b->Post([&] { order += 'b'; });
  }
  world.RunFor(absl::Milliseconds(1));
  return order;
}

TEST(SimWorldTest, TheOrderBetweenExecutorsComesFromTheSeed) {
  EXPECT_EQ(Interleaving(1), Interleaving(1));
  EXPECT_NE(Interleaving(1), Interleaving(2));
  // Also of what is due at exactly one time.
  std::set<char> first;
  for (uint64_t seed = 1; seed <= 20; ++seed) first.insert(Interleaving(seed).front());
  EXPECT_EQ(first, (std::set<char>{'a', 'b'}));
}

TEST(SimWorldTest, TimersRunAtExactlyTheirTime) {
  SimWorld world;
  SimEnv& process = world.StartProcess("a");
  auto executor = process.NewExecutor("main");
  std::vector<absl::Duration> at;
  executor->PostAfter(absl::Seconds(2), [&] { at.push_back(world.elapsed()); });
  executor->PostAfter(absl::Milliseconds(5), [&] { at.push_back(world.elapsed()); });
  const auto cancelled = executor->PostAfter(absl::Seconds(1), [&] { FAIL(); });
  EXPECT_TRUE(executor->Cancel(cancelled));
  EXPECT_FALSE(executor->Cancel(cancelled));
  world.RunFor(absl::Seconds(3));
  EXPECT_EQ(at, (std::vector<absl::Duration>{absl::Milliseconds(5), absl::Seconds(2)}));
  EXPECT_EQ(world.elapsed(), absl::Seconds(3));
}

TEST(SimWorldTest, WorkThatPostsItselfForEverDoesNotStopTime) {
  SimWorld world;
  SimEnv& process = world.StartProcess("a");
  auto executor = process.NewExecutor("main");
  std::function<void()> again = [&] { executor->Post(again); };
  again();
  bool fired = false;
  executor->PostAfter(absl::Milliseconds(5), [&] { fired = true; });
  EXPECT_TRUE(world.RunUntil([&] { return fired; }, absl::Milliseconds(6)));
}

TEST(SimWorldTest, IsCurrentOnlyWithinItsOwnClosures) {
  SimWorld world;
  SimEnv& process = world.StartProcess("a");
  auto a = process.NewExecutor("a");
  auto b = process.NewExecutor("b");
  bool ran = false;
  a->Post([&] { ran = a->IsCurrent() && !b->IsCurrent(); });
  EXPECT_FALSE(a->IsCurrent());
  world.RunFor(absl::Milliseconds(1));
  EXPECT_TRUE(ran);
  EXPECT_FALSE(a->IsCurrent());
}

TEST(SimWorldTest, AfterShutdownNothingRunsAndWhatWasPostedIsDestroyed) {
  SimWorld world;
  SimEnv& process = world.StartProcess("a");
  auto executor = process.NewExecutor("main");
  auto token = std::make_shared<int>(1);
  executor->Post([token] { FAIL(); });
  executor->PostAfter(absl::Seconds(1), [token] { FAIL(); });
  executor->Shutdown();
  EXPECT_EQ(token.use_count(), 1);
  executor->Post([token] { FAIL(); });
  EXPECT_EQ(token.use_count(), 1);
  world.RunFor(absl::Seconds(2));
}

TEST(SimWorldTest, AKilledProcessRunsNothingMore) {
  SimWorld world;
  SimEnv& process = world.StartProcess("a");
  auto executor = process.NewExecutor("main");
  auto token = std::make_shared<int>(1);
  executor->Post([token] { FAIL(); });
  executor->PostAfter(absl::Seconds(1), [token] { FAIL(); });
  process.RunBlocking([token] { FAIL(); });
  world.KillProcess(process);
  EXPECT_EQ(token.use_count(), 1);
  executor->Post([token] { FAIL(); });
  process.RunBlocking([token] { FAIL(); });
  EXPECT_EQ(token.use_count(), 1);
  EXPECT_TRUE(absl::IsUnavailable(process.files().CreateDirectories("/x")));
  EXPECT_FALSE(world.Step());
}

TEST(SimWorldTest, APausedProcessRunsWhatBecameDueInOrderWhenItGoesOn) {
  SimWorld world;
  SimEnv& process = world.StartProcess("a");
  auto executor = process.NewExecutor("main");
  std::vector<int> order;
  for (int i = 5; i > 0; --i) {
    executor->PostAfter(absl::Seconds(i), [&order, i] { order.push_back(i); });
  }
  world.PauseProcess(process);
  world.RunFor(absl::Seconds(10));
  EXPECT_TRUE(order.empty());
  world.ResumeProcess(process);
  world.RunFor(absl::ZeroDuration());
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3, 4, 5}));
}

TEST(SimWorldTest, EachProcessHasItsOwnClockAndItsOwnRandomNumbers) {
  SimWorld world;
  SimEnv& a = world.StartProcess("a");
  SimEnv& b = world.StartProcess("b");
  b.clock().set_offset(absl::Minutes(3));
  EXPECT_EQ(b.clock().Now() - a.clock().Now(), absl::Minutes(3));
  EXPECT_EQ(b.clock().MonotonicNanos(), a.clock().MonotonicNanos());
  EXPECT_NE(a.random().Next(), b.random().Next());
  const uint64_t first = SimWorld().StartProcess("a").random().Next();
  SimWorld other;
  SimEnv& before = other.StartProcess("a");
  EXPECT_EQ(before.random().Next(), first);
  other.KillProcess(before);
  // A restart draws other ids.
  EXPECT_NE(other.StartProcess("a").random().Next(), first);
}

TEST(SimWorldTest, RunUntilGivesUpAtItsLimit) {
  SimWorld world;
  SimEnv& process = world.StartProcess("a");
  auto executor = process.NewExecutor("main");
  std::function<void()> again = [&] { executor->PostAfter(absl::Milliseconds(100), again); };
  again();
  EXPECT_FALSE(world.RunUntil([] { return false; }, absl::Seconds(1)));
  EXPECT_EQ(world.elapsed(), absl::Seconds(1));
}

TEST(SimWorldTest, AnActionOfTheTestRunsAtItsTime) {
  SimWorld world;
  absl::Duration at;
  world.At(absl::Seconds(7), [&] { at = world.elapsed(); });
  world.RunFor(absl::Seconds(10));
  EXPECT_EQ(at, absl::Seconds(7));
}

// Two processes that talk, with a crash in between.
uint64_t HashOfARun(uint64_t seed, int requests) {
  SimWorld world(SimOptions{.seed = seed});
  SimEnv& server = world.StartProcess("server");
  SimEnv& client = world.StartProcess("client");
  auto server_executor = server.NewExecutor("main");
  auto client_executor = client.NewExecutor("main");
  ServerMethods methods;
  methods.unary.push_back(
      {"/m", server_executor.get(), [&](std::string request, Responder responder) {
         server.RunBlocking(
             [&server_executor, request, responder = std::move(responder)]() mutable {
               server_executor->Post(
                   [request, responder = std::move(responder)]() mutable { responder(request); });
             });
       }});
  auto listener = server.network().Listen("server:1", std::move(methods));
  auto peer = client.network().Connect("server:1");
  int answers = 0;
  for (int i = 0; i < requests; ++i) {
    peer->Call("/m", std::to_string(i), absl::Seconds(1), client_executor.get(),
               [&](absl::StatusOr<std::string>) { ++answers; });
  }
  world.At(absl::Milliseconds(1), [&] { world.KillProcess(server); });
  world.RunFor(absl::Seconds(2));
  EXPECT_EQ(answers, requests);
  return world.hash();
}

TEST(SimWorldTest, TheSameSeedGivesTheSameHash) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    EXPECT_EQ(HashOfARun(seed, 10), HashOfARun(seed, 10));
  }
}

TEST(SimWorldTest, AnotherSeedOrAnotherProgramGivesAnotherHash) {
  EXPECT_NE(HashOfARun(1, 10), HashOfARun(2, 10));
  EXPECT_NE(HashOfARun(1, 10), HashOfARun(1, 11));
}

}  // namespace
}  // namespace weir
