#include "weir/stored_timers.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "sdk/tests/timer_steps.h"
#include "weir/testing_state_store.h"

namespace weir::internal {
namespace {

using testing::HarnessOptions;
using testing::MapStateStore;
using testing::OperatorHarness;
using testing::TimerSteps;

// Against the timers in memory: the same results in the same order and the same snapshots, with so
// little memory that most of the queue is put aside and taken back all the time.
TEST(StoredTimersTest, FireAsThoseInMemoryDo) {
  const JobDefinition job = testing::StepTimersJob();
  std::size_t spilled = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    TimerSteps steps(seed);
    const std::size_t cache = std::size_t{64} << steps.Random(10);
    OperatorHarness heap(job.nodes[1].make_operator);
    MapStateStore* store = nullptr;
    HarnessOptions options;
    options.make_store = [&] {
      if (store != nullptr) spilled += store->scratch_writes;
      auto made = std::make_unique<MapStateStore>(cache);
      store = made.get();
      return made;
    };
    OperatorHarness stored(job.nodes[1].make_operator, options);
    for (OperatorHarness* harness : {&heap, &stored}) {
      harness->AddOutput<std::string>();
      ASSERT_TRUE(harness->Open().ok());
    }
    const auto both = [&](auto&& call) {
      ASSERT_TRUE(call(heap).ok());
      const absl::Status status = call(stored);
      ASSERT_TRUE(status.ok()) << status;
      ASSERT_EQ(heap.Take<std::string>(), stored.Take<std::string>());
      ASSERT_EQ(heap.wake_at(), stored.wake_at());
    };
    const std::uint64_t keys = 1 + steps.Random(400);
    const auto spread = static_cast<Ticks>(2 + steps.Random(2000));
    for (int step = 0; step < 120; ++step) {
      SCOPED_TRACE(step);
      switch (steps.Random(8)) {
        case 0:
        case 1: {
          const Ticks watermark = steps.NextWatermark(spread);
          ASSERT_NO_FATAL_FAILURE(
              both([&](OperatorHarness& harness) { return harness.Watermark(watermark); }));
          break;
        }
        case 2: {
          const Ticks now = steps.NextTime(spread);
          ASSERT_NO_FATAL_FAILURE(
              both([&](OperatorHarness& harness) { return harness.SetProcessingTime(now); }));
          break;
        }
        case 3: {
          if (steps.Random(8) != 0) break;
          // What the one has written, the other takes up.
          const auto of_heap = heap.Snapshot();
          const auto of_store = stored.Snapshot();
          ASSERT_EQ(of_heap.tables.size(), of_store.tables.size());
          for (const auto& [name, table] : of_heap.tables) {
            EXPECT_EQ(table.type, of_store.tables.at(name).type);
            ASSERT_EQ(table.key_groups, of_store.tables.at(name).key_groups) << name;
          }
          const absl::Status taken_up = stored.Restore(of_heap);
          ASSERT_TRUE(taken_up.ok()) << taken_up;
          ASSERT_TRUE(heap.Restore(of_store).ok());
          break;
        }
        default: {
          const auto batch = steps.Batch(1 + steps.Random(100), keys, spread);
          ASSERT_NO_FATAL_FAILURE(both([&](OperatorHarness& harness) {
            return harness.Process<testing::TimerStep>(batch);
          }));
        }
      }
      const auto in_memory = heap.op().keyed_state();
      const auto in_store = stored.op().keyed_state();
      for (std::size_t i = 2; i < in_memory.size(); ++i)
        ASSERT_EQ(in_memory[i]->entries(), in_store[i]->entries()) << in_store[i]->name();
    }
    ASSERT_NO_FATAL_FAILURE(both([](OperatorHarness& harness) { return harness.Finish(); }));
    spilled += store->scratch_writes;
  }
  EXPECT_GT(spilled, 10'000U);
}

using Key = std::int64_t;

// A million, with a share of memory for some thousands.
class TimerQueueTimes : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Times, TimerQueueTimes, ::testing::Bool());

TEST_P(TimerQueueTimes, TakesNoMoreThanItsShareAndGivesAllInTheirOrder) {
  constexpr std::size_t kShare = 1 << 20;
  constexpr std::uint64_t kTimers = 1'000'000;
  const bool at_one_time = GetParam();
  MapStateStore store(kShare);
  TimerQueue<Key> queue(1'000);
  queue.SpillTo(store, "q");
  TimerSteps random(7);
  std::size_t most = 0;
  for (std::uint64_t i = 0; i < kTimers; ++i) {
    const auto key = static_cast<Key>(i * 0x9e3779b97f4a7c15u >> 20);
    const Ticks time = at_one_time ? 5 : static_cast<Ticks>(random.Random(100'000));
    queue.Push({time, KeyHash(key), key, static_cast<std::uint32_t>(i % 3)});
    if (i % 97 == 0) most = std::max(most, queue.memory_bytes());
  }
  EXPECT_EQ(queue.size(), kTimers);
  TimerEntry<Key> last{};
  for (std::uint64_t i = 0; i < kTimers; ++i) {
    ASSERT_NE(queue.First(kMaxTicks), nullptr);
    const TimerEntry<Key> entry = queue.PopFirst();
    EXPECT_EQ(entry.hash, KeyHash(entry.key));
    if (i > 0) {
      ASSERT_TRUE((DueQueue<Key, TimerEntry<Key>>::Later(entry, last)));
    }
    last = entry;
    if (i % 97 == 0) most = std::max(most, queue.memory_bytes());
  }
  EXPECT_EQ(queue.First(kMaxTicks), nullptr);
  EXPECT_EQ(queue.size(), 0U);
  EXPECT_TRUE(store.scratches.at("q").empty());
  EXPECT_LE(most, kShare);
  EXPECT_GT(most, kShare / 4);
}

TEST(TimerQueueTest, NothingIsPutAsideAsLongAsAllFits) {
  MapStateStore store(1 << 20);
  TimerQueue<Key> queue(1'000);
  queue.SpillTo(store, "q");
  for (Key key = 0; key < 5'000; ++key) queue.Push({key * 7 % 1'000, KeyHash(key), key, 0});
  while (queue.First(kMaxTicks) != nullptr) queue.PopFirst();
  EXPECT_EQ(store.scratch_writes, 0U);
}

// One call may fire what sets the next, through all buckets there are.
TEST(TimerQueueTest, BucketsThatWereEmptiedGiveTheirMemoryBack) {
  constexpr std::size_t kShare = 1 << 20;
  MapStateStore store(kShare);
  TimerQueue<Key> queue(64);
  queue.SpillTo(store, "q");
  for (Key key = 0; key < 5'000; ++key) queue.Push({1, KeyHash(key), key, 0});
  for (int i = 0; i < 1'000'000; ++i) {
    ASSERT_NE(queue.First(kMaxTicks), nullptr);
    TimerEntry<Key> entry = queue.PopFirst();
    ++entry.time;
    queue.Push(entry);
    if (i % 97 == 0) {
      ASSERT_LE(queue.memory_bytes(), kShare);
    }
  }
}

// Sets its key's timer for the record's time, if that is negative after it has deleted it.
struct Mover : KeyedProcess<Key, Key, Key> {
  EventTimer timer{this, "timer"};
  void Process(const Key& at, Context&) override {
    if (at < 0) timer.Clear();
    timer.Set(EventTime::FromTicks(std::abs(at)));
  }
  void OnTimer(const EventTimer&, Context& ctx) override { ctx.Emit(ctx.timestamp().ticks()); }
};

class MoverTest : public ::testing::Test {
 protected:
  MoverTest() {
    const DefineInput input;
    GraphBuilder graph(input, job_);
    Job(graph)
        .From<Key>("in", Files{.path = "x"})
        .KeyBy([](const Key& at) { return std::abs(at) % 10; })
        .Process<Mover>("t")
        .To("out", Print{});
  }
  void Open(std::size_t cache) {
    HarnessOptions options;
    options.make_store = [this, cache] {
      auto made = std::make_unique<MapStateStore>(cache);
      store_ = made.get();
      return made;
    };
    harness_ = std::make_unique<OperatorHarness>(job_.nodes[1].make_operator, options);
    harness_->AddOutput<Key>();
    ASSERT_TRUE(harness_->Open().ok());
  }
  void Process(const std::vector<Key>& records) {
    std::vector<testing::Timed<Key>> batch;
    for (const Key at : records) batch.push_back({at, 1});
    ASSERT_TRUE(harness_->Process<Key>(batch).ok());
  }
  std::vector<Key> FiredBy(Ticks watermark) {
    EXPECT_TRUE(harness_->Watermark(watermark).ok());
    std::vector<Key> fired;
    for (const auto& out : harness_->Take<Key>()) fired.push_back(out.value);
    return fired;
  }

  JobDefinition job_;
  MapStateStore* store_ = nullptr;
  std::unique_ptr<OperatorHarness> harness_;
};

TEST_F(MoverTest, WhatWasDeletedDoesNotPileUp) {
  Open(512);
  for (Key at = 1; at <= 50'000; at += 100) {
    std::vector<Key> records;
    for (Key i = 0; i < 100; ++i) records.push_back(at + i - 100'000);
    Process(records);
    ASSERT_LT(store_->scratches.at("timers.event").size(), 2'000U);
  }
  EXPECT_EQ(FiredBy(200'000), (std::vector<Key>{50'000, 50'001, 50'002, 50'003, 50'004, 50'005,
                                                50'006, 50'007, 50'008, 50'009}));
}

// What is known of the queue's entries is void when they are made anew.
TEST_F(MoverTest, ATimerThatWasPutOffFiresThoughTheQueueWasMadeAnew) {
  Open(std::size_t{1} << 16);
  Process({5'000, 5'001, 9'000, 9'001});
  for (Key at = 1; at <= 5'000; at += 100) {
    std::vector<Key> records;
    for (Key i = 0; i < 100; ++i) records.push_back(-10 * (20'000 - at - i) - 2);
    Process(records);
  }
  // The one is moved to an earlier time than it was, the other is not.
  Process({7'001});
  EXPECT_EQ(FiredBy(10'000), (std::vector<Key>{7'001, 9'000}));
}

TEST(StoredTimersTest, AFullDiskFailsWhoPutsTimersAside) {
  MapStateStore store(64);
  TimerQueue<Key> queue(1'000);
  queue.SpillTo(store, "q");
  for (Key key = 0; key < 3; ++key) queue.Push({5, KeyHash(key), key, 0});
  store.failure = absl::ResourceExhaustedError("the disk is full");
  EXPECT_THROW(
      {
        for (Key key = 3; key < 10; ++key) queue.Push({5, KeyHash(key), key, 0});
      },
      StateError);
}

}  // namespace
}  // namespace weir::internal
