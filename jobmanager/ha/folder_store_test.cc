#include "jobmanager/ha/folder_store.h"

#include <functional>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "jobmanager/ha/job_record_format.h"
#include "jobmanager/ha/testing/example_records.h"

namespace weir::jobmanager {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr JobId kOther{1, 2};

class FolderStoreTest : public ::testing::Test {
 protected:
  // Another job manager takes over.
  FolderStore Lead() {
    FolderStore store(env_.files(), "/data");
    const auto epoch = store.Campaign();
    EXPECT_TRUE(epoch.ok()) << epoch.status();
    return store;
  }
  std::vector<StoredJob> Read(FolderStore& store) {
    auto jobs = store.ReadJobs();
    EXPECT_TRUE(jobs.ok()) << jobs.status();
    return jobs.ok() ? *std::move(jobs) : std::vector<StoredJob>();
  }
  std::vector<std::string> Names(const JobId& id) {
    std::vector<std::string> names;
    const auto files = env_.files().List(Folder(id));
    if (!files.ok()) return names;
    for (const FileInfo& file : *files) {
      names.push_back(file.path.substr(file.path.rfind('/') + 1));
    }
    return names;
  }
  static std::string Folder(const JobId& id) { return StrCat("/data/jobs/", id.ToString()); }
  static proto::JobRecord RecordOfAttempt(uint32_t attempt) {
    proto::JobRecord record = ExampleRecord();
    record.set_attempt(attempt);
    return record;
  }

  SimWorld world_;
  SimEnv& env_ = world_.StartProcess("jm");
};

TEST_F(FolderStoreTest, AJobIsReadByTheNextLeaderAsItWasWritten) {
  FolderStore first = Lead();
  EXPECT_THAT(Read(first), IsEmpty());
  ASSERT_TRUE(first.AddJob(kExampleJob, ExampleSubmittedJob(), RecordOfAttempt(1)).ok());
  ASSERT_TRUE(first.AddJob(kOther, ExampleSubmittedJob(kOther), RecordOfAttempt(1)).ok());
  ASSERT_TRUE(first.PutRecord(kExampleJob, ExampleRecord()).ok());
  world_.CrashHost("jm", SimDisk::Loss::kAllUnsynced);

  SimEnv& env = world_.StartProcess("jm");
  FolderStore second(env.files(), "/data");
  ASSERT_TRUE(second.Campaign().ok());
  const auto jobs = *second.ReadJobs();
  ASSERT_THAT(jobs, SizeIs(2));
  EXPECT_EQ(jobs[0].id, kOther);
  EXPECT_EQ(jobs[1].id, kExampleJob);
  ASSERT_TRUE(jobs[1].status.ok()) << jobs[1].status;
  EXPECT_EQ(jobs[1].submitted->DebugString(), ExampleSubmittedJob().DebugString());
  proto::JobRecord expected = ExampleRecord();
  expected.set_job_id(std::string(kExampleJob.bytes().begin(), kExampleJob.bytes().end()));
  expected.set_leader_epoch(1);
  EXPECT_EQ(jobs[1].record->DebugString(), expected.DebugString());
}

// I6: no mutation with an older leader epoch.
TEST_F(FolderStoreTest, AnOlderLeaderChangesNothingThatANewerOneReads) {
  FolderStore old = Lead();
  ASSERT_TRUE(old.AddJob(kExampleJob, ExampleSubmittedJob(), RecordOfAttempt(1)).ok());
  FolderStore next = Lead();
  ASSERT_TRUE(next.PutRecord(kExampleJob, RecordOfAttempt(7)).ok());
  for (const absl::Status& status :
       {old.PutRecord(kExampleJob, RecordOfAttempt(2)), old.RemoveJob(kExampleJob),
        old.AddJob(kOther, ExampleSubmittedJob(kOther), RecordOfAttempt(1))}) {
    EXPECT_TRUE(absl::IsAborted(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("with epoch 2"));
  }
  FolderStore last = Lead();
  const auto jobs = Read(last);
  ASSERT_THAT(jobs, SizeIs(1));
  EXPECT_EQ(jobs[0].record->attempt(), 7u);
}

// The older leader was paused in the middle of a write: after it had looked whether it leads.
TEST_F(FolderStoreTest, AWriteThatANewerLeaderOvertakesIsNotAcknowledged) {
  for (const char* paused_before : {"create", "sync", "rename"}) {
    SCOPED_TRACE(paused_before);
    FolderStore old = Lead();
    ASSERT_TRUE(old.AddJob(kExampleJob, ExampleSubmittedJob(), RecordOfAttempt(1)).ok());
    bool taken = false;
    world_.disk("jm").set_fault([&](std::string_view operation, const std::string&) {
      if (operation != paused_before || std::exchange(taken, true)) return absl::OkStatus();
      FolderStore next = Lead();
      EXPECT_TRUE(next.PutRecord(kExampleJob, RecordOfAttempt(7)).ok());
      return absl::OkStatus();
    });
    EXPECT_TRUE(absl::IsAborted(old.PutRecord(kExampleJob, RecordOfAttempt(2))));
    world_.disk("jm").set_fault(nullptr);
    EXPECT_TRUE(taken);
    FolderStore last = Lead();
    const auto jobs = Read(last);
    ASSERT_THAT(jobs, SizeIs(1));
    EXPECT_EQ(jobs[0].record->attempt(), 7u);
    ASSERT_TRUE(last.RemoveJob(kExampleJob).ok());
  }
}

TEST_F(FolderStoreTest, ARemovedJobIsGoneWithAllItsFilesAndMayBeRemovedAgain) {
  FolderStore store = Lead();
  ASSERT_TRUE(store.AddJob(kExampleJob, ExampleSubmittedJob(), ExampleRecord()).ok());
  EXPECT_THAT(Names(kExampleJob), ElementsAre("job", "record-1"));
  ASSERT_TRUE(store.RemoveJob(kExampleJob).ok());
  EXPECT_FALSE(env_.files().Stat(Folder(kExampleJob)).ok());
  EXPECT_TRUE(store.RemoveJob(kExampleJob).ok());
}

TEST_F(FolderStoreTest, RecordsOfEarlierLeadersGoWithTheFirstOneOfItsOwn) {
  FolderStore first = Lead();
  ASSERT_TRUE(first.AddJob(kExampleJob, ExampleSubmittedJob(), ExampleRecord()).ok());
  FolderStore second = Lead();
  EXPECT_THAT(Read(second), SizeIs(1));
  EXPECT_THAT(Names(kExampleJob), ElementsAre("job", "record-1"));
  ASSERT_TRUE(second.PutRecord(kExampleJob, ExampleRecord()).ok());
  EXPECT_THAT(Names(kExampleJob), ElementsAre("job", "record-2"));
}

TEST_F(FolderStoreTest, OneDamagedJobIsToldAndLeftAsItIsAndTheOthersComeUp) {
  const auto damage = [&](const std::string& name, const std::function<void(std::string&)>& f) {
    SCOPED_TRACE(name);
    FolderStore store = Lead();
    ASSERT_TRUE(store.AddJob(kExampleJob, ExampleSubmittedJob(), ExampleRecord()).ok());
    ASSERT_TRUE(store.AddJob(kOther, ExampleSubmittedJob(kOther), ExampleRecord()).ok());
    const std::string file = name == "job" ? name : Names(kExampleJob).back();
    const std::string path = StrCat(Folder(kExampleJob), "/", file);
    std::string bytes = *ReadFile(env_.files(), path, 1 << 20);
    f(bytes);
    ASSERT_TRUE(WriteFileAtomically(env_.files(), path, bytes).ok());
    const std::vector<std::string> before = Names(kExampleJob);
    FolderStore next = Lead();
    const auto jobs = Read(next);
    ASSERT_THAT(jobs, SizeIs(2));
    EXPECT_TRUE(jobs[0].status.ok()) << jobs[0].status;
    EXPECT_EQ(jobs[1].id, kExampleJob);
    EXPECT_FALSE(jobs[1].status.ok());
    EXPECT_THAT(std::string(jobs[1].status.message()), HasSubstr(path));
    EXPECT_EQ(Names(kExampleJob), before) << "nothing of it is deleted";
    ASSERT_TRUE(env_.files().DeleteRecursively(Folder(kExampleJob)).ok());
  };
  const auto flip = [](std::string& bytes) { bytes[bytes.size() / 2] ^= 1; };
  damage("job", flip);
  damage("record", flip);
  damage("job", [](std::string& bytes) { bytes.clear(); });
  damage("record", [](std::string& bytes) { bytes.resize(bytes.size() - 1); });
  damage("record", [](std::string& bytes) { bytes[8] = 2; });
  damage("job",
         [](std::string& bytes) { bytes = *EncodeSubmittedJob(ExampleSubmittedJob(kOther)); });
}

TEST_F(FolderStoreTest, AJobWhoseSubmissionIsMissingIsDamagedAndNotForgotten) {
  FolderStore store = Lead();
  ASSERT_TRUE(store.AddJob(kExampleJob, ExampleSubmittedJob(), ExampleRecord()).ok());
  ASSERT_TRUE(env_.files().Delete(StrCat(Folder(kExampleJob), "/job")).ok());
  FolderStore next = Lead();
  const auto jobs = Read(next);
  ASSERT_THAT(jobs, SizeIs(1));
  EXPECT_TRUE(absl::IsDataLoss(jobs[0].status)) << jobs[0].status;
}

TEST_F(FolderStoreTest, AJobThatCannotBeKeptIsRefusedAndLeavesNothing) {
  FolderStore store = Lead();
  proto::SubmittedJob job = ExampleSubmittedJob();
  job.set_plugin_bytes(0);
  EXPECT_TRUE(absl::IsInvalidArgument(store.AddJob(kExampleJob, job, ExampleRecord())));
  EXPECT_THAT(Read(store), IsEmpty());
}

TEST_F(FolderStoreTest, WhatIsNoJobsIsNotTouched) {
  ASSERT_TRUE(env_.files().CreateDirectories("/data/jobs/lost+found").ok());
  ASSERT_TRUE(WriteFileAtomically(env_.files(), "/data/jobs/README", "x").ok());
  FolderStore store = Lead();
  EXPECT_THAT(Read(store), IsEmpty());
  EXPECT_TRUE(env_.files().Stat("/data/jobs/lost+found").ok());
  EXPECT_TRUE(env_.files().Stat("/data/jobs/README").ok());
}

}  // namespace
}  // namespace weir::jobmanager
