#include "jobmanager/ha/leader_epoch.h"

#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gtest/gtest.h"

namespace weir::jobmanager {
namespace {

class LeaderEpochTest : public ::testing::Test {
 protected:
  SimWorld world_;
  SimEnv* env_ = &world_.StartProcess("jm");
};

TEST_F(LeaderEpochTest, GrowsWithEachStart) {
  EXPECT_EQ(*TakeLeaderEpoch(env_->files(), "/data"), 1u);
  EXPECT_EQ(*TakeLeaderEpoch(env_->files(), "/data"), 2u);
}

TEST_F(LeaderEpochTest, SurvivesTheLossOfEverythingThatWasNotSynced) {
  EXPECT_EQ(*TakeLeaderEpoch(env_->files(), "/data"), 1u);
  EXPECT_EQ(*TakeLeaderEpoch(env_->files(), "/data"), 2u);
  world_.CrashHost("jm", SimDisk::Loss::kAllUnsynced);
  env_ = &world_.StartProcess("jm");
  EXPECT_EQ(*TakeLeaderEpoch(env_->files(), "/data"), 3u);
}

TEST_F(LeaderEpochTest, RefusesADamagedFileRatherThanStartingOver) {
  for (const char* damaged :
       {"", "x\n", "-1\n", "18446744073709551615\n",
        "1111111111111111111111111111111111111111111111111111111111111111111\n"}) {
    ASSERT_TRUE(env_->files().CreateDirectories("/data").ok());
    ASSERT_TRUE(WriteFileAtomically(env_->files(), "/data/leader_epoch", damaged).ok());
    EXPECT_EQ(TakeLeaderEpoch(env_->files(), "/data").status().code(), absl::StatusCode::kDataLoss)
        << damaged;
  }
}

}  // namespace
}  // namespace weir::jobmanager
