// What the next leader finds when a job manager dies between any two operations on its disk, and
// the host loses what was not synced.
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gtest/gtest.h"
#include "jobmanager/ha/folder_store.h"
#include "jobmanager/ha/testing/example_records.h"

namespace weir::jobmanager {
namespace {

constexpr JobId kOther{1, 2};

// One call of the store, and what it does to a model: the attempt of each job that is there.
using Model = std::map<JobId, uint32_t>;
struct Step {
  std::function<absl::Status(FolderStore&)> call;
  std::function<void(Model&)> effect;
};

proto::JobRecord RecordOfAttempt(uint32_t attempt) {
  proto::JobRecord record = ExampleRecord();
  record.set_attempt(attempt);
  return record;
}

Step Add(const JobId& id) {
  return {[id](FolderStore& store) {
            return store.AddJob(id, ExampleSubmittedJob(id), RecordOfAttempt(1));
          },
          [id](Model& model) { model[id] = 1; }};
}
Step Put(const JobId& id, uint32_t attempt) {
  return {
      [id, attempt](FolderStore& store) { return store.PutRecord(id, RecordOfAttempt(attempt)); },
      [id, attempt](Model& model) { model[id] = attempt; }};
}
Step Remove(const JobId& id) {
  return {[id](FolderStore& store) { return store.RemoveJob(id); },
          [id](Model& model) { model.erase(id); }};
}

// Does `steps` until the process dies after `operations` operations on the disk; false if it lived
// to the end. Then a new process on the disk as the crash left it reads what is there.
bool DieAfter(int operations, const std::vector<Step>& steps, SimDisk::Loss loss, uint64_t seed) {
  SCOPED_TRACE(StrCat("seed ", seed, ", after ", operations, " operations"));
  SimWorld world{SimOptions{.seed = seed}};
  std::optional<FolderStore> store;
  store.emplace(world.StartProcess("first", "jm").files(), "/data");
  // A leader was there before, with a job of its own: so that records are taken over too.
  EXPECT_TRUE(store->Campaign().ok());
  EXPECT_TRUE(store->AddJob(kExampleJob, ExampleSubmittedJob(), RecordOfAttempt(1)).ok());
  Model certain{{kExampleJob, 1}};
  store.emplace(world.StartProcess("second", "jm").files(), "/data");
  world.disk("jm").set_fault([left = operations](std::string_view, const std::string&) mutable {
    return left-- > 0 ? absl::OkStatus() : absl::UnavailableError("the process is dead");
  });
  std::set<Model> possible{certain};
  bool died = !store->Campaign().ok();
  for (size_t i = 0; i < steps.size() && !died; ++i) {
    died = !steps[i].call(*store).ok();
    Model after = certain;
    steps[i].effect(after);
    // One that failed may have happened or not.
    possible = died ? std::set<Model>{certain, after} : std::set<Model>{after};
    certain = after;
  }
  world.disk("jm").set_fault(nullptr);
  world.CrashHost("jm", loss);

  FolderStore next(world.StartProcess("third", "jm").files(), "/data");
  const auto epoch = next.Campaign();
  EXPECT_TRUE(epoch.ok()) << epoch.status();
  const auto jobs = next.ReadJobs();
  EXPECT_TRUE(jobs.ok()) << jobs.status();
  if (!epoch.ok() || !jobs.ok()) return died;
  Model found;
  for (const StoredJob& job : *jobs) {
    EXPECT_TRUE(job.status.ok()) << job.status;
    if (job.status.ok()) found[job.id] = job.record->attempt();
  }
  EXPECT_TRUE(possible.contains(found));
  // And it goes on from there.
  for (const auto& [id, attempt] : found) EXPECT_TRUE(next.PutRecord(id, RecordOfAttempt(9)).ok());
  EXPECT_TRUE(next.AddJob(kOther, ExampleSubmittedJob(kOther), RecordOfAttempt(1)).ok());
  return died;
}

TEST(FolderStoreCrash, WhatWasAcknowledgedIsThereAndNothingIsHalf) {
  const std::vector<Step> steps{Put(kExampleJob, 2), Add(kOther),         Put(kOther, 2),
                                Put(kExampleJob, 3), Remove(kExampleJob), Put(kOther, 3),
                                Remove(kOther)};
  for (const SimDisk::Loss loss :
       {SimDisk::Loss::kNothing, SimDisk::Loss::kAllUnsynced, SimDisk::Loss::kSomeUnsynced}) {
    const uint64_t seeds = loss == SimDisk::Loss::kSomeUnsynced ? 20 : 1;
    int operations = 0;
    for (uint64_t seed = 1; seed <= seeds; ++seed) {
      operations = 0;
      while (DieAfter(operations, steps, loss, seed) && !::testing::Test::HasFailure()) {
        ++operations;
      }
      if (::testing::Test::HasFailure()) return;
    }
    EXPECT_GT(operations, 60) << "otherwise nothing was shown";
  }
}

TEST(FolderStoreCrash, AFullDiskIsAnErrorAfterWhichTheStoreGoesOn) {
  SimWorld world;
  FolderStore store(world.StartProcess("jm").files(), "/data");
  ASSERT_TRUE(store.Campaign().ok());
  ASSERT_TRUE(store.AddJob(kExampleJob, ExampleSubmittedJob(), RecordOfAttempt(1)).ok());
  world.disk("jm").set_capacity_bytes(world.disk("jm").used_bytes() + 10);
  EXPECT_TRUE(absl::IsResourceExhausted(store.PutRecord(kExampleJob, RecordOfAttempt(2))));
  EXPECT_EQ(store.ReadJobs()->at(0).record->attempt(), 1u);
  world.disk("jm").set_capacity_bytes(1 << 20);
  EXPECT_TRUE(store.PutRecord(kExampleJob, RecordOfAttempt(2)).ok());
  EXPECT_EQ(store.ReadJobs()->at(0).record->attempt(), 2u);
}

}  // namespace
}  // namespace weir::jobmanager
