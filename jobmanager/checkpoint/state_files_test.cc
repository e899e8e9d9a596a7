#include "jobmanager/checkpoint/state_files.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir::jobmanager {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(StateFileNameTest, StaysBelowItsFolder) {
  for (const std::string good : {"a", "task-1/0.state", "shared/12/ab..cd", "..a"}) {
    EXPECT_TRUE(CheckStateFileName(good).ok()) << good;
  }
  for (const std::string bad :
       {"", "/a", "a/", "a//b", ".", "..", "../a", "a/../../b", "a/..", "shared/./a"}) {
    EXPECT_FALSE(CheckStateFileName(bad).ok()) << bad;
  }
  EXPECT_FALSE(CheckStateFileName(std::string("a\0b", 3)).ok());
  EXPECT_FALSE(CheckStateFileName(std::string(1'025, 'a')).ok());
}

TEST(SharedFilesTest, KeepsWhatIsReferred) {
  SharedFiles files;
  files.Refer("shared/a", 1);
  files.Refer("shared/a", 2);
  files.Release("shared/a");
  EXPECT_THAT(files.TakeUnused(100), IsEmpty());
  EXPECT_THAT(files.Referenced(), ElementsAre("shared/a"));
  files.Release("shared/a");
  EXPECT_THAT(files.TakeUnused(3), ElementsAre("shared/a"));
  EXPECT_THAT(files.TakeUnused(3), IsEmpty());
  EXPECT_EQ(files.size(), 0u);
}

// Flink 29913, 26985, 37367: a shared file deleted while in use.
TEST(SharedFilesTest, KeepsWhatAnAbortedCheckpointToldOfUntilALaterOneIsComplete) {
  SharedFiles files;
  files.Refer("shared/a", 7);
  files.Release("shared/a");
  // Checkpoint 8 may be built on it, as long as its tasks may refer to what they wrote for 7.
  EXPECT_THAT(files.TakeUnused(6), IsEmpty());
  EXPECT_THAT(files.TakeUnused(7), IsEmpty());
  files.Refer("shared/a", 8);
  EXPECT_THAT(files.TakeUnused(8), IsEmpty());
  files.Release("shared/a");
  EXPECT_THAT(files.TakeUnused(8), IsEmpty());
  EXPECT_THAT(files.TakeUnused(9), ElementsAre("shared/a"));
}

TEST(SharedFilesTest, ListsInOrder) {
  SharedFiles files;
  for (const std::string name : {"shared/c", "shared/a", "shared/b"}) files.Refer(name, 1);
  EXPECT_THAT(files.Referenced(), ElementsAre("shared/a", "shared/b", "shared/c"));
  for (const std::string name : {"shared/b", "shared/c", "shared/a"}) files.Release(name);
  EXPECT_THAT(files.TakeUnused(2), ElementsAre("shared/a", "shared/b", "shared/c"));
}

}  // namespace
}  // namespace weir::jobmanager
