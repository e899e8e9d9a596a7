#include "jobmanager/dispatch/blob_store.h"

#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gtest/gtest.h"

namespace weir::jobmanager {
namespace {

class BlobStoreTest : public ::testing::Test {
 protected:
  BlobStoreTest() { EXPECT_TRUE(store_.Open().ok()); }

  std::string Put(BlobStore& store, const std::string& data) {
    const std::string name = Sha256::Hex(data);
    auto writer = store.NewWriter(name, data.size());
    EXPECT_TRUE(writer.ok());
    EXPECT_TRUE((*writer)->Append(data).ok());
    EXPECT_TRUE((*writer)->Commit().ok());
    return name;
  }

  SimWorld world_;
  SimEnv& env_ = world_.StartProcess("jm");
  BlobStore store_{env_, "/data", 100};
};

TEST_F(BlobStoreTest, DeletesTheLeastRecentlyUsedOfWhatNothingPins) {
  const std::string first = Put(store_, std::string(40, 'a'));
  const std::string second = Put(store_, std::string(40, 'b'));
  ASSERT_TRUE(store_.OpenForRead(first).ok());
  const std::string third = Put(store_, std::string(40, 'c'));
  EXPECT_TRUE(store_.Contains(second));
  store_.Pin(third);
  store_.Unpin(third);
  EXPECT_TRUE(store_.Contains(first));
  EXPECT_FALSE(store_.Contains(second));
  EXPECT_TRUE(store_.Contains(third));
  EXPECT_EQ(env_.files().Stat("/data/blobs/" + second).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(BlobStoreTest, KeepsWhatIsPinnedUntilTheLastPinIsGone) {
  const std::string blob = Put(store_, std::string(200, 'a'));
  store_.Pin(blob);
  store_.Pin(blob);
  store_.Unpin(blob);
  EXPECT_TRUE(store_.Contains(blob));
  store_.Unpin(blob);
  EXPECT_FALSE(store_.Contains(blob));
}

TEST_F(BlobStoreTest, FindsItsBlobsAgainAndLeavesStrangeFilesAlone) {
  const std::string blob = Put(store_, "some bytes");
  ASSERT_TRUE(WriteFileAtomically(env_.files(), "/data/blobs/README", "mine").ok());
  BlobStore again(env_, "/data", 100);
  ASSERT_TRUE(again.Open().ok());
  EXPECT_TRUE(again.Contains(blob));
  EXPECT_FALSE(again.Contains("README"));
  EXPECT_TRUE(env_.files().Stat("/data/blobs/README").ok());
}

TEST_F(BlobStoreTest, HasADurableBlobOnceItIsCommitted) {
  const std::string blob = Put(store_, "some bytes");
  world_.CrashHost("jm", SimDisk::Loss::kAllUnsynced);
  SimEnv& env = world_.StartProcess("jm");
  BlobStore again(env, "/data", 100);
  ASSERT_TRUE(again.Open().ok());
  ASSERT_TRUE(again.Contains(blob));
  EXPECT_EQ(*ReadFile(env.files(), "/data/blobs/" + blob, 100), "some bytes");
}

}  // namespace
}  // namespace weir::jobmanager
