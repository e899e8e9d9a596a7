// What is left of checkpoints when a process dies between any two operations on the disk and the
// host loses what was not synced, and what a full disk does to them.
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/checkpoint.pb.h"
#include "state/store/checkpoint_store.h"
#include "state/testing/example_checkpoint.h"
#include "state/testing/file_systems.h"

namespace weir {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class CheckpointDisk {
 public:
  explicit CheckpointDisk(uint64_t seed) : disk_(seed) { Restart(); }

  CheckpointStore& store() { return *store_; }
  SimDisk& disk() { return disk_.disk(); }

  // Lets `operations` operations on the disk happen and fails all others, as for a process that
  // dies.
  void DieAfter(int operations) {
    disk_.disk().set_fault([left = operations](std::string_view, const std::string&) mutable {
      return left-- > 0 ? absl::OkStatus() : absl::UnavailableError("the process is dead");
    });
  }
  void Crash(SimDisk::Loss loss) {
    disk_.disk().set_fault(nullptr);
    disk_.CrashAndRestart(loss);
    Restart();
  }

  proto::CheckpointMetadata WriteFiles(uint64_t id) {
    EXPECT_TRUE(store().PrepareCheckpoint(kExampleJob, id).ok());
    return WriteExampleFiles(store().Folder(kExampleJob, id), id);
  }
  proto::CheckpointMetadata Complete(uint64_t id) {
    const proto::CheckpointMetadata metadata = WriteFiles(id);
    EXPECT_TRUE(store().Folder(kExampleJob, id).WriteMetadata(metadata).ok());
    return metadata;
  }
  CheckpointStore::Checkpoints List() { return *store().ListCheckpoints(kExampleJob); }
  // It is listed, and all of it can be read.
  void ExpectWhole(const proto::CheckpointMetadata& expected) {
    EXPECT_THAT(List().complete, Contains(expected.checkpoint_id()));
    CheckpointFolder folder = store().Folder(kExampleJob, expected.checkpoint_id());
    proto::CheckpointMetadata metadata;
    const absl::Status status = folder.ReadMetadata(&metadata);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(metadata.SerializeAsString(), expected.SerializeAsString());
    const absl::Status files = folder.CheckFiles(metadata, CheckpointFolder::FileCheck::kDigest);
    EXPECT_TRUE(files.ok()) << files;
  }
  void ExpectNone(uint64_t id) {
    proto::CheckpointMetadata metadata;
    const absl::Status status = store().Folder(kExampleJob, id).ReadMetadata(&metadata);
    EXPECT_TRUE(absl::IsNotFound(status)) << status;
  }

 private:
  void Restart() {
    store_ = std::make_unique<CheckpointStore>(disk_.files(), disk_.folder());
    const absl::Status status = store_->ClaimDirectory("one");
    EXPECT_TRUE(status.ok()) << status;
  }

  SimulatedFiles disk_;
  std::unique_ptr<CheckpointStore> store_;
};

// Calls `scenario` with every step at which to die, until it returns false: the step was not
// reached. All losses, and several draws of the random one.
void AtEveryStep(int least_steps,
                 const std::function<bool(CheckpointDisk&, int, SimDisk::Loss)>& scenario) {
  struct Case {
    SimDisk::Loss loss;
    uint64_t seeds;
  };
  for (const Case& c : {Case{SimDisk::Loss::kNothing, 1}, Case{SimDisk::Loss::kAllUnsynced, 1},
                        Case{SimDisk::Loss::kSomeUnsynced, 30}}) {
    for (uint64_t seed = 1; seed <= c.seeds; ++seed) {
      int step = 0;
      while (true) {
        SCOPED_TRACE(StrCat("loss ", static_cast<int>(c.loss), ", seed ", seed, ", step ", step));
        CheckpointDisk disk(seed);
        if (!scenario(disk, step, c.loss)) break;
        if (testing::Test::HasFailure()) return;
        ++step;
      }
      EXPECT_GE(step, least_steps);
    }
  }
}

// Hazelcast 18675: a restart from what was half written.
TEST(CheckpointCrashTest, ACrashWhileACheckpointIsCompletedLeavesAllOfItOrNone) {
  std::set<std::string> seen;
  AtEveryStep(7, [&](CheckpointDisk& disk, int step, SimDisk::Loss loss) {
    const proto::CheckpointMetadata earlier = disk.Complete(1);
    const proto::CheckpointMetadata metadata = disk.WriteFiles(2);
    disk.DieAfter(step);
    const absl::Status status = disk.store().Folder(kExampleJob, 2).WriteMetadata(metadata);
    disk.Crash(loss);
    disk.ExpectWhole(earlier);
    if (disk.List().complete.size() == 2) {
      disk.ExpectWhole(metadata);
      seen.insert(status.ok() ? "complete" : "complete, but it was not said");
    } else {
      EXPECT_FALSE(status.ok());
      EXPECT_THAT(disk.List().leftovers, ElementsAre(2));
      disk.ExpectNone(2);
      seen.insert("none");
    }
    // It can be completed still.
    EXPECT_TRUE(disk.store().Folder(kExampleJob, 2).WriteMetadata(metadata).ok());
    disk.Crash(SimDisk::Loss::kAllUnsynced);
    disk.ExpectWhole(metadata);
    return !status.ok();
  });
  EXPECT_EQ(seen.size(), 3u);
}

TEST(CheckpointCrashTest, ACrashWhileFilesAreWrittenLeavesALeftoverThatCanBeDeleted) {
  AtEveryStep(11, [&](CheckpointDisk& disk, int step, SimDisk::Loss loss) {
    const proto::CheckpointMetadata earlier = disk.Complete(1);
    disk.DieAfter(step);
    const auto write = [&]() -> absl::Status {
      if (auto s = disk.store().PrepareCheckpoint(kExampleJob, 2); !s.ok()) return s;
      auto writer = disk.store().Folder(kExampleJob, 2).CreateStateFile(StateFileName(1, 0, 0));
      return writer.ok() ? (*writer)->Finish().status() : writer.status();
    };
    const absl::Status status = write();
    disk.Crash(loss);
    disk.ExpectWhole(earlier);
    disk.ExpectNone(2);
    EXPECT_THAT(disk.List().complete, ElementsAre(1));
    EXPECT_TRUE(disk.store().DeleteCheckpoint(kExampleJob, 2).ok());
    EXPECT_THAT(disk.List().leftovers, IsEmpty());
    return !status.ok();
  });
}

TEST(CheckpointCrashTest, ACrashWhileACheckpointIsDeletedLeavesAllOfItOrNone) {
  std::set<std::string> seen;
  AtEveryStep(6, [&](CheckpointDisk& disk, int step, SimDisk::Loss loss) {
    const proto::CheckpointMetadata metadata = disk.Complete(1);
    const proto::CheckpointMetadata later = disk.Complete(2);
    disk.DieAfter(step);
    const absl::Status status = disk.store().DeleteCheckpoint(kExampleJob, 1);
    disk.Crash(loss);
    disk.ExpectWhole(later);
    const CheckpointStore::Checkpoints left = disk.List();
    if (left.complete.size() == 2) {
      EXPECT_FALSE(status.ok());
      disk.ExpectWhole(metadata);
      seen.insert("complete");
    } else {
      EXPECT_THAT(left.complete, ElementsAre(2));
      disk.ExpectNone(1);
      seen.insert(left.leftovers.empty() ? "gone" : "leftover");
    }
    // Again, and interrupted again, by the death of the process alone.
    disk.DieAfter(3);
    disk.store().DeleteCheckpoint(kExampleJob, 1).IgnoreError();  // Whatever comes of it.
    disk.Crash(loss);
    EXPECT_TRUE(disk.store().DeleteCheckpoint(kExampleJob, 1).ok());
    EXPECT_THAT(disk.List().leftovers, IsEmpty());
    EXPECT_THAT(disk.List().complete, ElementsAre(2));
    disk.ExpectWhole(later);
    return !status.ok();
  });
  EXPECT_EQ(seen.size(), 3u);
}

TEST(CheckpointCrashTest, AFullDiskIsAnErrorAndLeavesEarlierCheckpoints) {
  CheckpointDisk disk(1);
  const proto::CheckpointMetadata earlier = disk.Complete(1);
  const proto::CheckpointMetadata metadata = disk.WriteFiles(2);
  CheckpointFolder folder = disk.store().Folder(kExampleJob, 2);
  // Room for a part of the metadata.
  disk.disk().set_capacity_bytes(disk.disk().used_bytes() + 50);
  const absl::Status status = folder.WriteMetadata(metadata);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(ToStd(status.message())), HasSubstr("make room there"));
  disk.ExpectNone(2);
  disk.ExpectWhole(earlier);
  // A checkpoint can be deleted from a full disk, and what was refused is then possible.
  disk.disk().set_capacity_bytes(disk.disk().used_bytes());
  EXPECT_TRUE(disk.store().DeleteCheckpoint(kExampleJob, 1).ok());
  const absl::Status again = folder.WriteMetadata(metadata);
  EXPECT_TRUE(again.ok()) << again;
  disk.ExpectWhole(metadata);
  EXPECT_THAT(disk.List().complete, Not(Contains(1)));
}

TEST(CheckpointCrashTest, TheClaimOfADirectorySurvivesACrash) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SimulatedFiles disk(seed);
    ASSERT_TRUE(CheckpointStore(disk.files(), "/new/base").ClaimDirectory("one").ok());
    disk.CrashAndRestart(seed == 1 ? SimDisk::Loss::kAllUnsynced : SimDisk::Loss::kSomeUnsynced);
    EXPECT_FALSE(CheckpointStore(disk.files(), "/new/base").ClaimDirectory("two").ok());
    EXPECT_TRUE(CheckpointStore(disk.files(), "/new/base").ClaimDirectory("one").ok());
  }
}

}  // namespace
}  // namespace weir
