#include "jobmanager/dispatch/leftover_looks.h"

#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "common/base/strings.h"
#include "common/env/sim/sim_disk.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/job_record.pb.h"

namespace weir::jobmanager {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LeftoverLooksTest : public ::testing::Test {
 protected:
  static std::string FolderOf(const JobId& job) { return StrCat("/checkpoints/", job.ToString()); }
  void Add(const JobId& job, absl::Duration ended_ago) {
    auto record = std::make_shared<proto::JobRecord>();
    record->set_name("words");
    record->set_ended_unix_micros(absl::ToUnixMicros(env_.clock().Now() - ended_ago));
    looks_->Add(job, "/checkpoints", record);
  }
  void WriteLate(const JobId& job) {
    ASSERT_TRUE(env_.files().CreateDirectories(FolderOf(job) + "/chk-3").ok());
    ASSERT_TRUE(
        WriteFileAtomically(env_.files(), FolderOf(job) + "/chk-3/1-0-0.state", "late").ok());
  }
  bool IsThere(const JobId& job) { return env_.files().Stat(FolderOf(job)).ok(); }

  SimWorld world_;
  SimEnv& env_ = world_.StartProcess("jm");
  const std::unique_ptr<Executor> executor_ = env_.NewExecutor("control");
  // Of each look that has begun, what lets it go on; kept if it is not to at once.
  bool leads_at_once_ = true;
  int looks_begun_ = 0;
  std::deque<Closure> unconfirmed_;
  std::string log_;
  std::unique_ptr<LeftoverLooks> looks_ = std::make_unique<LeftoverLooks>(
      env_, *executor_,
      [this](Closure leads) {
        ++looks_begun_;
        if (leads_at_once_) return executor_->Post(std::move(leads));
        unconfirmed_.push_back(std::move(leads));
      },
      [this](std::string_view level, std::string_view text) {
        log_ += StrCat(level, ": ", text, "\n");
      });
};

TEST_F(LeftoverLooksTest, LooksAtOnceAndAtTheTimesThatAreLeftOfTheHour) {
  const auto looks = [this](absl::Duration ended_ago) {
    looks_begun_ = 0;
    Add(JobId(1, 1), ended_ago);
    world_.RunFor(absl::Hours(24));
    return looks_begun_;
  };
  EXPECT_EQ(looks(absl::Seconds(5)), 4);
  EXPECT_EQ(looks(absl::Minutes(5)), 3);
  EXPECT_EQ(looks(absl::Minutes(30)), 2);
  EXPECT_EQ(looks(absl::Hours(2)), 1) << "nobody may have looked when the hour was over";
  EXPECT_THAT(log_, IsEmpty()) << "no folder is nothing to tell of";

  WriteLate(JobId(1, 1));
  Add(JobId(1, 1), absl::Minutes(30));
  world_.RunFor(absl::Seconds(1));
  EXPECT_FALSE(IsThere(JobId(1, 1)));
  world_.RunFor(absl::Minutes(15));
  WriteLate(JobId(1, 1));
  world_.RunFor(absl::Minutes(14));
  EXPECT_TRUE(IsThere(JobId(1, 1)));
  world_.RunFor(absl::Minutes(1));
  EXPECT_FALSE(IsThere(JobId(1, 1)));
}

TEST_F(LeftoverLooksTest, AClockThatWasSetBackMakesNoLookLater) {
  Add(JobId(1, 1), absl::Hours(-1000));
  world_.RunFor(absl::Minutes(61));
  EXPECT_EQ(looks_begun_, 4);
}

TEST_F(LeftoverLooksTest, LooksAtOneJobAfterTheOther) {
  leads_at_once_ = false;
  for (uint64_t i = 1; i <= 1000; ++i) {
    WriteLate(JobId(1, i));
    Add(JobId(1, i), absl::Hours(2));
  }
  for (uint64_t i = 1; i <= 1000; ++i) {
    world_.RunFor(absl::Seconds(1));
    ASSERT_EQ(unconfirmed_.size(), 1u);
    EXPECT_TRUE(IsThere(JobId(1, i)));
    Closure leads = std::move(unconfirmed_.front());
    unconfirmed_.pop_front();
    leads();
    // Nor does the next one begin before this one is done.
    EXPECT_THAT(unconfirmed_, IsEmpty());
    world_.RunFor(absl::Seconds(1));
    EXPECT_FALSE(IsThere(JobId(1, i)));
  }
  EXPECT_THAT(unconfirmed_, IsEmpty());
}

TEST_F(LeftoverLooksTest, WhatFailsIsLoggedAndTriedAgainAtTheNextLookAndKeepsNoOtherJob) {
  WriteLate(JobId(1, 1));
  WriteLate(JobId(1, 2));
  world_.disk("jm").set_fault([](std::string_view operation, const std::string& path) {
    return operation == "list" && path.find(JobId(1, 1).ToString()) != std::string::npos
               ? absl::UnavailableError("the disk does not answer")
               : absl::OkStatus();
  });
  Add(JobId(1, 1), absl::Minutes(5));
  Add(JobId(1, 2), absl::Minutes(5));
  world_.RunFor(absl::Seconds(10));
  EXPECT_TRUE(IsThere(JobId(1, 1)));
  EXPECT_FALSE(IsThere(JobId(1, 2)));
  EXPECT_THAT(log_,
              HasSubstr(StrCat("warning: job ", JobId(1, 1).ToString(), " 'words' has ended")));
  EXPECT_THAT(log_, HasSubstr("the disk does not answer"));
  world_.disk("jm").set_fault(nullptr);
  world_.RunFor(absl::Minutes(4));
  EXPECT_TRUE(IsThere(JobId(1, 1)));
  world_.RunFor(absl::Minutes(1));
  EXPECT_FALSE(IsThere(JobId(1, 1)));
}

TEST_F(LeftoverLooksTest, DeletesNothingWhenItIsDestroyedOrLeadsNoMore) {
  leads_at_once_ = false;
  WriteLate(JobId(1, 1));
  Add(JobId(1, 1), absl::Minutes(5));
  world_.RunFor(absl::Hours(2));
  EXPECT_TRUE(IsThere(JobId(1, 1)));
  ASSERT_EQ(unconfirmed_.size(), 1u);
  looks_.reset();
  unconfirmed_.front()();
  world_.RunFor(absl::Hours(2));
  EXPECT_TRUE(IsThere(JobId(1, 1)));
}

}  // namespace
}  // namespace weir::jobmanager
