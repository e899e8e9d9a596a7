#include "jobmanager/ha/cluster_id.h"

#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gmock/gmock.h"

namespace weir::jobmanager {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(ClusterId, IsDrawnOnceForAFolderAndStays) {
  SimWorld world{SimOptions{}};
  SimEnv& env = world.StartProcess("jobmanager");
  const auto first = TakeClusterId(env, "/data/a");
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_THAT(*first, SizeIs(32));
  EXPECT_EQ(*TakeClusterId(env, "/data/a"), *first);
  EXPECT_NE(*TakeClusterId(env, "/data/b"), *first);
}

TEST(ClusterId, ADamagedOneIsRefusedAndSaysWhatToPutThere) {
  SimWorld world{SimOptions{}};
  SimEnv& env = world.StartProcess("jobmanager");
  ASSERT_TRUE(env.files().CreateDirectories("/data").ok());
  for (const std::string& content :
       {std::string(), std::string("x"), std::string(31, 'a') + "G", std::string(100, 'a')}) {
    ASSERT_TRUE(WriteFileAtomically(env.files(), "/data/cluster_id", content).ok());
    const absl::Status status = TakeClusterId(env, "/data").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << content;
    EXPECT_THAT(std::string(status.message()), HasSubstr("/data/cluster_id is damaged"));
  }
}

}  // namespace
}  // namespace weir::jobmanager
