#include <algorithm>
#include <csignal>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "jobmanager/testing/job_manager_fixture.h"

// What becomes of the regions of a job when one of them fails.
namespace weir::jobmanager {
namespace {

using ::testing::HasSubstr;

class JobRegionsTest : public JobManagerTest {
 protected:
  // Four subtasks, each a region, two a worker.
  std::string Run(const std::string& attempts = "10") {
    StartCluster();
    proto::SubmitHeader header = Header(4, "plugin bytes");
    header.mutable_graph()->mutable_edges(0)->set_partitioning(proto::FORWARD);
    (*header.mutable_settings())["restart-strategy.type"] = "fixed-delay";
    (*header.mutable_settings())["restart-strategy.fixed-delay.attempts"] = attempts;
    (*header.mutable_settings())["restart-strategy.fixed-delay.delay"] = "100 ms";
    auto upload = OpenUpload(header);
    EXPECT_TRUE(AwaitAnswer(*upload).ok());
    upload->SendData("plugin bytes");
    upload->SendEnd();
    EXPECT_TRUE(AwaitAnswer(*upload, 2).ok());
    const std::string job = upload->responses.at(1).job_id();
    EXPECT_TRUE(UntilState(job, proto::RUNNING));
    EXPECT_TRUE(Until([&] { return Running(job) == 8; }));
    return job;
  }
  int Running(const std::string& job) {
    return static_cast<int>(Status(job).summary().tasks_running());
  }
  bool UntilRestarted(const std::string& job, uint32_t restarts) {
    for (int i = 0; i < 1000; ++i) {
      const auto status = Status(job);
      if (status.region_restarts() == restarts && status.summary().tasks_running() == 8 &&
          status.waiting_for().empty()) {
        return true;
      }
      world_.RunFor(absl::Milliseconds(10));
    }
    return false;
  }
  // "<state>/<attempt>" of both tasks of a subtask.
  std::string Of(const std::string& job, uint32_t subtask) {
    std::string text;
    const auto status = Status(job);
    for (const proto::TaskReport& task : status.tasks()) {
      if (task.subtask() != subtask) continue;
      text += StrCat(text.empty() ? "" : " ", proto::TaskState_Name(task.state()).substr(5), "/",
                     task.attempt());
    }
    return text;
  }
};

TEST_F(JobRegionsTest, OnlyTheRegionOfAFailedTaskIsEndedAndStartedAgain) {
  const std::string job = Run();
  const Key worker = WorkerOn(*tm1_);
  const auto starts = tm2_->workers.begin()->second.deploys;
  tm1_->FailTask(worker, 0, absl::InternalError("it threw"));
  world_.RunFor(absl::Milliseconds(50));
  auto status = Status(job);
  EXPECT_EQ(status.summary().state(), proto::RUNNING);
  EXPECT_THAT(status.waiting_for(), HasSubstr("2 of 8 tasks (region 0) start again within 100ms"));
  EXPECT_EQ(status.failure().message(), "it threw");
  EXPECT_EQ(Of(job, 0), "FAILED/0 CANCELED/0");
  EXPECT_EQ(Of(job, 1), "RUNNING/0 RUNNING/0") << "of the same worker";
  ASSERT_TRUE(UntilRestarted(job, 1));
  EXPECT_EQ(Of(job, 0), "RUNNING/2 RUNNING/2");
  EXPECT_EQ(Of(job, 1), "RUNNING/0 RUNNING/0");
  EXPECT_EQ(tm1_->workers.size(), 1u);
  EXPECT_EQ(tm1_->workers.begin()->first, worker) << "the process stays";
  EXPECT_EQ(tm2_->workers.begin()->second.deploys, starts) << "it has nothing of the region";
  status = Status(job);
  EXPECT_EQ(status.attempt(), 1u);
  EXPECT_EQ(status.full_restarts(), 0u);
  EXPECT_FALSE(status.has_failure());
}

TEST_F(JobRegionsTest, WhatAnEarlierAttemptOfARegionReportsSaysNothing) {
  const std::string job = Run();
  const Key worker = WorkerOn(*tm1_);
  tm1_->FailTask(worker, 0, absl::InternalError("it threw"));
  ASSERT_TRUE(UntilRestarted(job, 1));
  std::vector<proto::TaskReport>& tasks = tm1_->workers.at(worker).tasks;
  const auto late = std::find_if(tasks.begin(), tasks.end(),
                                 [](const auto& task) { return task.subtask() == 0; });
  ASSERT_EQ(late->attempt(), 2u);
  late->set_attempt(1);
  tm1_->FailTask(worker, static_cast<int>(late - tasks.begin()), absl::InternalError("late"));
  world_.RunFor(absl::Milliseconds(200));
  EXPECT_EQ(Of(job, 0), "RUNNING/2 RUNNING/2");
  EXPECT_EQ(Status(job).region_restarts(), 1u);
}

TEST_F(JobRegionsTest, ALostWorkerIsReplacedAndItsSlotsAreGivenBackOnce) {
  const std::string job = Run();
  tm2_->KillWorker(WorkerOn(*tm2_), SIGKILL);
  ASSERT_TRUE(UntilRestarted(job, 1));
  EXPECT_EQ(Of(job, 0), "RUNNING/0 RUNNING/0");
  EXPECT_EQ(Of(job, 2), "RUNNING/2 RUNNING/2");
  ASSERT_EQ(tm2_->workers.size(), 1u);
  EXPECT_EQ(tm2_->workers.begin()->first.index, 2u) << "indexes are not used again";
  EXPECT_EQ(FreeSlots(), 0u);
  EXPECT_EQ(Status(job).workers_size(), 2);
  ASSERT_TRUE(Cancel(job).ok());
  EXPECT_TRUE(UntilState(job, proto::CANCELED));
  EXPECT_TRUE(Until([&] { return FreeSlots() == 4; }));
}

TEST_F(JobRegionsTest, AWorkerWhoseTasksDoNotEndIsStoppedAndItsOtherRegionsJoin) {
  const std::string job = Run();
  tm1_->behaviour.cancelled_regions_end = false;
  tm1_->FailTask(WorkerOn(*tm1_), 0, absl::InternalError("it threw"));
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Of(job, 1), "RUNNING/0 RUNNING/0");
  tm1_->behaviour.cancelled_regions_end = true;
  ASSERT_TRUE(UntilRestarted(job, 1)) << log_;
  EXPECT_EQ(Of(job, 0), "RUNNING/2 RUNNING/2");
  EXPECT_EQ(Of(job, 1), "RUNNING/2 RUNNING/2");
  EXPECT_EQ(Of(job, 2), "RUNNING/0 RUNNING/0");
  EXPECT_THAT(log_, HasSubstr("does not end the tasks of region 0 and is stopped"));
}

TEST_F(JobRegionsTest, WhenAllRegionsHaveFailedTheJobHas) {
  const std::string job = Run();
  tm2_->KillWorker(WorkerOn(*tm2_), SIGKILL);
  world_.RunFor(absl::Milliseconds(20));
  EXPECT_EQ(State(job), proto::RUNNING);
  tm1_->KillWorker(WorkerOn(*tm1_), SIGKILL);
  ASSERT_TRUE(Until([&] { return Status(job).full_restarts() == 1; }));
  EXPECT_TRUE(UntilState(job, proto::RUNNING));
  EXPECT_EQ(Status(job).attempt(), 2u);
}

TEST_F(JobRegionsTest, ARegionThatHasEndedIsNotRunAgainAndTheJobFinishes) {
  const std::string job = Run();
  const Key worker = WorkerOn(*tm2_);
  tm2_->SetTasks(worker, proto::TASK_FINISHED);
  ASSERT_TRUE(Until([&] { return Running(job) == 4; }));
  tm2_->KillWorker(worker, SIGKILL);
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(State(job), proto::RUNNING);
  EXPECT_EQ(Status(job).region_restarts(), 0u);
  EXPECT_EQ(Of(job, 2), "FINISHED/0 FINISHED/0");
  EXPECT_EQ(FreeSlots(), 2u);
  tm1_->SetTasks(WorkerOn(*tm1_), proto::TASK_FINISHED);
  EXPECT_TRUE(UntilState(job, proto::FINISHED));
}

TEST_F(JobRegionsTest, EachRestartOfARegionIsAFailureOfTheJob) {
  const std::string job = Run("1");
  tm1_->FailTask(WorkerOn(*tm1_), 0, absl::InternalError("it threw"));
  ASSERT_TRUE(UntilRestarted(job, 1));
  tm1_->FailTask(WorkerOn(*tm1_), 0, absl::InternalError("it threw again"));
  EXPECT_TRUE(UntilState(job, proto::FAILED));
  EXPECT_EQ(Status(job).failure().message(), "it threw again");
}

TEST_F(JobRegionsTest, WhatWouldFailAgainFailsTheJobAtOnce) {
  const std::string job = Run();
  tm1_->FailTask(WorkerOn(*tm1_), 0, absl::InvalidArgumentError("line 17 is no JSON"));
  EXPECT_TRUE(UntilState(job, proto::FAILED));
}

TEST_F(JobRegionsTest, OtherRegionsRunOnUntilThereAreSlots) {
  const std::string job = Run();
  KillTaskManager("tm2");
  ASSERT_TRUE(Until([&] {
    return Status(job).waiting_for().find("needs 2 slots") != std::string::npos;
  })) << log_;
  EXPECT_EQ(Of(job, 0), "RUNNING/0 RUNNING/0");
  EXPECT_EQ(Of(job, 2), "CREATED/2 CREATED/2");
  tm2_ = &StartTaskManager("tm3", 2);
  ASSERT_TRUE(UntilRestarted(job, 1));
  EXPECT_EQ(Of(job, 0), "RUNNING/0 RUNNING/0");
}

TEST_F(JobRegionsTest, AWorkerThatDoesNotComeUpIsReplaced) {
  const std::string job = Run();
  tm2_->behaviour.answers_deploy = false;
  tm2_->KillWorker(WorkerOn(*tm2_), SIGKILL);
  world_.RunFor(absl::Seconds(29));
  const Key stuck = WorkerOn(*tm2_);
  tm2_->behaviour.answers_deploy = true;
  world_.RunFor(absl::Seconds(2));
  EXPECT_FALSE(tm2_->workers.contains(stuck)) << "it was stopped";
  ASSERT_TRUE(Until([&] { return Running(job) == 8; }, absl::Minutes(2))) << log_;
  EXPECT_EQ(Of(job, 0), "RUNNING/0 RUNNING/0");
  EXPECT_EQ(Of(job, 2), "RUNNING/3 RUNNING/3");
}

}  // namespace
}  // namespace weir::jobmanager
