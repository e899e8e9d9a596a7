#include "jobmanager/schedule/slot_pool.h"

#include "gtest/gtest.h"

namespace weir::jobmanager {
namespace {

const TaskManagerId kA(0, 1), kB(0, 2), kC(0, 3);
const SlotOwner kJob1{JobId(1, 1), 1}, kJob2{JobId(2, 2), 1};

using Shares = std::vector<SlotShare>;

TEST(SlotPoolTest, SpreadsSlotsOverTaskManagersInTheOrderOfTheirNames) {
  SlotPool pool;
  pool.Add(kB, "tm-1", 2);
  pool.Add(kA, "tm-2", 2);
  EXPECT_EQ(pool.Allocate(kJob1, 3), (Shares{{kB, 2}, {kA, 1}}));
  EXPECT_EQ(pool.free(), 1u);
  EXPECT_EQ(pool.free_on(kA), 1u);
}

TEST(SlotPoolTest, UsesTheLeastUsedTaskManagerFirst) {
  SlotPool pool;
  pool.Add(kA, "tm-1", 4);
  pool.Add(kB, "tm-2", 4);
  EXPECT_EQ(pool.Allocate(kJob1, 1), (Shares{{kA, 1}}));
  EXPECT_EQ(pool.Allocate(kJob2, 1), (Shares{{kB, 1}}));
}

TEST(SlotPoolTest, MeasuresUseByThePartOfATaskManagersSlots) {
  SlotPool pool;
  pool.Add(kA, "big", 8);
  pool.Add(kB, "small", 2);
  EXPECT_EQ(pool.Allocate(kJob1, 5), (Shares{{kA, 4}, {kB, 1}}));
}

TEST(SlotPoolTest, GivesAllOrNothing) {
  SlotPool pool;
  pool.Add(kA, "tm-1", 2);
  EXPECT_EQ(pool.Allocate(kJob1, 3), std::nullopt);
  EXPECT_EQ(pool.free(), 2u);
}

TEST(SlotPoolTest, TakesSlotsBackOnce) {
  SlotPool pool;
  pool.Add(kA, "tm-1", 2);
  ASSERT_TRUE(pool.Allocate(kJob1, 1).has_value());
  ASSERT_TRUE(pool.Allocate(kJob2, 1).has_value());
  pool.Release(kJob1, kA);
  pool.Release(kJob1, kA);
  EXPECT_EQ(pool.free(), 1u);
}

TEST(SlotPoolTest, ForgetsTheSlotsOfALostTaskManager) {
  SlotPool pool;
  pool.Add(kA, "tm-1", 2);
  pool.Add(kB, "tm-2", 2);
  ASSERT_TRUE(pool.Allocate(kJob1, 4).has_value());
  pool.Remove(kA);
  pool.Release(kJob1, kA);
  EXPECT_EQ(pool.total(), 2u);
  EXPECT_EQ(pool.free(), 0u);
}

TEST(SlotPoolTest, SaysWhatAJobWaitsFor) {
  SlotPool pool;
  EXPECT_EQ(pool.DescribeLack(4), "needs 4 slots; no task manager is registered");
  pool.Add(kA, "tm-1", 2);
  EXPECT_EQ(pool.DescribeLack(4), "needs 4 slots, 2 are free on 1 task manager");
  ASSERT_TRUE(pool.Allocate(kJob1, 1).has_value());
  EXPECT_EQ(pool.DescribeLack(4), "needs 4 slots, 1 is free on 1 task manager");
  pool.Add(kC, "tm-3", 1);
  EXPECT_EQ(pool.DescribeLack(4), "needs 4 slots, 2 are free on 2 task managers");
  ASSERT_TRUE(pool.Allocate(kJob2, 2).has_value());
  EXPECT_EQ(pool.DescribeLack(1), "needs 1 slot, none is free on 2 task managers");
}

TEST(SlotPoolTest, TakesPreferredSlotsFirstAndTheOthersByTheRule) {
  SlotPool pool;
  pool.Add(kA, "a", 2);
  pool.Add(kB, "b", 2);
  const TaskManagerId gone(9, 9);
  EXPECT_EQ(pool.Allocate(kJob1, 3, {kB, gone, kB, kB}), (Shares{{kA, 1}, {kB, 2}}));
  // Each share is a worker's.
  pool.Release({kJob1.job, 1, 1}, kB);
  EXPECT_EQ(pool.free_on(kA), 1u);
  EXPECT_EQ(pool.free_on(kB), 2u);
  pool.Release({kJob1.job, 1, 0}, kA);
  EXPECT_EQ(pool.free(), 4u);
}

}  // namespace
}  // namespace weir::jobmanager
