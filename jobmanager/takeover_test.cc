// A job manager that is killed and started again on its folder takes its jobs up by itself.
#include <csignal>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "jobmanager/testing/job_manager_fixture.h"

namespace weir::jobmanager {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class TakeoverTest : public JobManagerTest {
 protected:
  void Restart(absl::Duration away = absl::Seconds(2)) {
    KillJobManager();
    world_.RunFor(away);
    StartJobManager();
  }
  static std::string Hex(const std::string& job) {
    std::array<uint8_t, JobId::kBytes> id{};
    std::copy_n(job.begin(), id.size(), id.begin());
    return JobId(id).ToString();
  }
  std::vector<std::string> JobFiles(const std::string& job) {
    return Files(StrCat("/data/jobs/", Hex(job)));
  }
  proto::ListJobsResponse Jobs() {
    auto list = Call<proto::ListJobsRequest, proto::ListJobsResponse>("ListJobs", {});
    EXPECT_TRUE(list.ok()) << list.status();
    return list.ok() ? *list : proto::ListJobsResponse();
  }
  void FinishAll() {
    for (FakeTaskManager* tm : {tm1_, tm2_}) {
      for (const Key& key : tm->Running()) tm->SetTasks(key, proto::TASK_FINISHED);
    }
  }
  int Starts() {
    int starts = 0;
    for (FakeTaskManager* tm : {tm1_, tm2_}) starts += static_cast<int>(tm->start_requests.size());
    return starts;
  }
};

TEST_F(TakeoverTest, ARunningJobGoesOnWithTheSameWorkersAndAttempt) {
  StartCluster();
  const std::string job = RunningJob();
  const auto workers = tm1_->Running();
  Restart();
  ASSERT_TRUE(UntilState(job, proto::RUNNING));
  EXPECT_EQ(Status(job).attempt(), 1u);
  EXPECT_EQ(Status(job).tasks_size(), 8);
  EXPECT_TRUE(Until([&] {
    const proto::JobStatusResponse status = Status(job);
    return status.summary().tasks_running() == 8u;
  }));
  EXPECT_EQ(tm1_->Running(), workers);
  EXPECT_EQ(Starts(), 2) << "no worker was started again";
  EXPECT_EQ(FreeSlots(), 0u);
  FinishAll();
  EXPECT_TRUE(UntilState(job, proto::FINISHED));
  EXPECT_TRUE(Until([&] { return FreeSlots() == 4; }));
}

TEST_F(TakeoverTest, AJobThatFinishedMeanwhileIsFinishedOnceAndForEver) {
  StartCluster();
  const std::string job = RunningJob();
  KillJobManager();
  FinishAll();
  world_.RunFor(absl::Seconds(3));
  StartJobManager();
  ASSERT_TRUE(UntilState(job, proto::FINISHED));
  EXPECT_EQ(Status(job).attempt(), 1u);
  EXPECT_TRUE(Until([&] { return tm1_->workers.empty() && tm2_->workers.empty(); }));
  // I15: terminal is terminal.
  for (int i = 0; i < 3; ++i) {
    Restart();
    EXPECT_EQ(State(job), proto::FINISHED);
    EXPECT_EQ(Status(job).summary().tasks_finished(), 8u);
    world_.RunFor(absl::Seconds(20));
    EXPECT_EQ(State(job), proto::FINISHED);
  }
  EXPECT_EQ(Starts(), 2) << "Flink 26583: it ran again";
}

TEST_F(TakeoverTest, AWorkerThatDiedMeanwhileFailsTheJobWithTheReason) {
  StartCluster();
  const std::string job = RunningJob();
  KillJobManager();
  tm1_->KillWorker(WorkerOn(*tm1_), SIGSEGV);
  world_.RunFor(absl::Seconds(3));
  StartJobManager();
  ASSERT_TRUE(UntilState(job, proto::FAILED));
  EXPECT_EQ(Status(job).failure().signal(), SIGSEGV) << Status(job).failure().message();
  Restart();
  EXPECT_EQ(State(job), proto::FAILED);
  EXPECT_EQ(Status(job).failure().signal(), SIGSEGV) << "the reason is kept";
}

TEST_F(TakeoverTest, ATaskFailureThatNobodyHeardOfIsToldToTheNext) {
  StartCluster();
  const std::string job = RunningJob();
  KillJobManager();
  tm2_->FailTask(WorkerOn(*tm2_), 0, absl::InternalError("the operator's own words"));
  world_.RunFor(absl::Seconds(3));
  StartJobManager();
  ASSERT_TRUE(UntilState(job, proto::FAILED));
  EXPECT_THAT(Status(job).failure().message(), HasSubstr("the operator's own words"));
}

TEST_F(TakeoverTest, WhatComesBeforeAJobIsTakenUpIsActedOnAfterwards) {
  StartCluster();
  const std::string job = RunningJob();
  KillJobManager();
  world_.RunFor(absl::Seconds(1));
  StartJobManager();
  world_.disk("jm").set_fault([](std::string_view operation, const std::string&) {
    return operation == "sync" ? absl::ResourceExhaustedError("full") : absl::OkStatus();
  });
  world_.RunFor(absl::Seconds(20));
  EXPECT_EQ(State(job), proto::RECONCILING);
  EXPECT_THAT(tm2_->workers, SizeIs(1)) << "they are answered";
  tm2_->FailTask(WorkerOn(*tm2_), 0, absl::InternalError("in the meantime"));
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(State(job), proto::RECONCILING);
  world_.disk("jm").set_fault(nullptr);
  ASSERT_TRUE(UntilState(job, proto::FAILED));
  EXPECT_THAT(Status(job).failure().message(), HasSubstr("in the meantime"));
}

TEST_F(TakeoverTest, LogsOfRunningAndEndedJobsAreFoundAfterwards) {
  StartCluster();
  const std::string job = RunningJob();
  const auto logs = [&] {
    proto::JobLogsRequest request;
    request.set_job_id(job);
    auto answer = Call<proto::JobLogsRequest, proto::JobLogsResponse>("JobLogs", request);
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() && answer->logs_size() == 2 ? answer->logs(0).text() : "none";
  };
  Restart();
  ASSERT_TRUE(UntilState(job, proto::RUNNING));
  EXPECT_EQ(logs(), "log of worker 0 on tm1\n");
  FinishAll();
  ASSERT_TRUE(UntilState(job, proto::FINISHED));
  Restart();
  ASSERT_TRUE(Until([&] { return ClusterInfo().task_managers_size() == 2; }));
  EXPECT_EQ(logs(), "log of worker 0 on tm1\n");
}

TEST_F(TakeoverTest, AJobThatWaitedWaitsOnAndIsShownWithItsIdAndSubmission) {
  const std::string job = Submit(4);
  const int64_t submitted = Status(job).summary().submitted_unix_micros();
  Restart();
  EXPECT_EQ(State(job), proto::CREATED);
  EXPECT_EQ(Status(job).summary().submitted_unix_micros(), submitted);
  EXPECT_EQ(Status(job).summary().name(), "words");
  StartCluster();
  EXPECT_TRUE(UntilState(job, proto::RUNNING));
}

TEST_F(TakeoverTest, AJobThatWasBeingDeployedIsDeployedAnewWhichIsNoFailure) {
  StartCluster();
  tm2_->behaviour.answers_deploy = false;
  const std::string job = Submit(4);
  ASSERT_TRUE(UntilState(job, proto::DEPLOYING));
  ASSERT_TRUE(Until([&] { return !tm1_->workers.empty() && !tm2_->workers.empty(); }));
  world_.RunFor(absl::Seconds(1));
  tm2_->behaviour.answers_deploy = true;
  Restart();
  ASSERT_TRUE(UntilState(job, proto::RUNNING));
  EXPECT_EQ(Status(job).attempt(), 2u) << "an attempt's number is never given twice";
  EXPECT_FALSE(Status(job).has_failure());
  EXPECT_THAT(tm1_->workers, SizeIs(1));
}

TEST_F(TakeoverTest, ACancellationThatWasAnsweredIsCarriedOut) {
  StartCluster();
  const std::string job = RunningJob();
  tm1_->behaviour.stops_workers = false;
  ASSERT_TRUE(Cancel(job).ok());
  KillJobManager();
  world_.RunFor(absl::Seconds(1));
  tm1_->behaviour.stops_workers = true;
  StartJobManager();
  EXPECT_TRUE(UntilState(job, proto::CANCELED));
  EXPECT_TRUE(Until([&] { return tm1_->workers.empty() && tm2_->workers.empty(); }));
  EXPECT_TRUE(Until([&] { return FreeSlots() == 4; }));
}

TEST_F(TakeoverTest, SlotsOfAJobThatComesBackAreNotGivenToAnother) {
  StartCluster();
  const std::string running = RunningJob();
  const std::string waiting = Submit(1);
  ASSERT_EQ(State(waiting), proto::CREATED);
  Restart();
  ASSERT_TRUE(UntilState(running, proto::RUNNING));
  world_.RunFor(absl::Seconds(5));
  EXPECT_EQ(State(waiting), proto::CREATED);
  FinishAll();
  EXPECT_TRUE(UntilState(waiting, proto::RUNNING));
}

TEST_F(TakeoverTest, ATaskManagerThatDoesNotComeBackIsLostWhenTheTimeIsOver) {
  StartCluster();
  const std::string job = RunningJob();
  KillJobManager();
  KillTaskManager("tm2");
  StartJobManager();
  world_.RunFor(options_.schedule.takeover_timeout - absl::Seconds(1));
  EXPECT_EQ(State(job), proto::RECONCILING);
  EXPECT_THAT(Status(job).waiting_for(), HasSubstr("workers to come back: 1 of 2"));
  ASSERT_TRUE(UntilState(job, proto::FAILED, absl::Seconds(5)));
  EXPECT_THAT(Status(job).failure().message(),
              HasSubstr("task manager 'tm2' did not come back within 10s"));
  EXPECT_TRUE(Until([&] { return tm1_->workers.empty(); }));
}

TEST_F(TakeoverTest, ATaskManagerThatWasRestartedMeanwhileIsKnownForThatAtOnce) {
  StartCluster();
  const std::string job = RunningJob();
  KillJobManager();
  KillTaskManager("tm2");
  StartJobManager();
  tm2_ = &StartTaskManager("tm2", 2);
  ASSERT_TRUE(UntilState(job, proto::FAILED, absl::Seconds(5)));
  EXPECT_THAT(Status(job).failure().message(), HasSubstr("task manager 'tm2' was restarted"));
}

TEST_F(TakeoverTest, OneDamagedJobIsShownAndLeftAloneAndTheOthersComeUp) {
  StartCluster();
  const std::string whole = Submit(2);
  const std::string damaged = Submit(2);
  ASSERT_TRUE(UntilState(damaged, proto::RUNNING));
  KillJobManager();
  const std::string record = StrCat("/data/jobs/", Hex(damaged), "/record-1");
  SimEnv& vandal = world_.StartProcess("vandal", "jm");
  std::string bytes = *ReadFile(vandal.files(), record, 1 << 20);
  bytes[40] = static_cast<char>(bytes[40] ^ 1);
  ASSERT_TRUE(WriteFileAtomically(vandal.files(), record, bytes).ok());
  StartJobManager();
  EXPECT_TRUE(UntilState(whole, proto::RUNNING));
  EXPECT_EQ(Jobs().jobs_size(), 2);
  EXPECT_EQ(State(damaged), proto::FAILED);
  EXPECT_EQ(Status(damaged).summary().name(), "words");
  EXPECT_THAT(Status(damaged).failure().message(), HasSubstr("record-1: it has a wrong digest"));
  const auto cancelled = Cancel(damaged);
  EXPECT_EQ(cancelled.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(cancelled.status().message()), HasSubstr("could not be taken up"));
  EXPECT_EQ(*ReadFile(jm_env_->files(), record, 1 << 20), bytes);
  EXPECT_THAT(JobFiles(damaged), ElementsAre("job", "record-1"));
}

TEST_F(TakeoverTest, ASubmissionThatCannotBeRecordedIsRefusedAndLeavesNothing) {
  StartCluster();
  world_.disk("jm").set_fault([](std::string_view operation, const std::string& path) {
    const bool is_record = path.find("/record-") != std::string::npos;
    return operation == "sync" && is_record ? absl::ResourceExhaustedError("the disk is full")
                                            : absl::OkStatus();
  });
  const auto refused = TrySubmit(1);
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("the job could not be recorded: the disk is full"));
  world_.disk("jm").set_fault(nullptr);
  EXPECT_EQ(Jobs().jobs_size(), 0);
  Restart();
  EXPECT_EQ(Jobs().jobs_size(), 0);
  EXPECT_THAT(Files("/data/jobs"), IsEmpty());
}

TEST_F(TakeoverTest, WhileRecordsCannotBeWrittenJobsRunOnAndNothingIsDecided) {
  StartCluster();
  const std::string job = RunningJob();
  world_.disk("jm").set_fault([](std::string_view operation, const std::string&) {
    return operation == "sync" ? absl::ResourceExhaustedError("full") : absl::OkStatus();
  });
  FinishAll();
  world_.RunFor(absl::Seconds(30));
  EXPECT_EQ(State(job), proto::RUNNING) << "nobody has seen it end";
  EXPECT_THAT(Status(job).waiting_for(), HasSubstr("its end is being recorded"));
  EXPECT_THAT(log_, HasSubstr("cannot be written; it is tried again"));
  world_.disk("jm").set_fault(nullptr);
  EXPECT_TRUE(UntilState(job, proto::FINISHED));
}

TEST_F(TakeoverTest, WhatIsForgottenIsForgottenOnTheDiskToo) {
  KillJobManager();
  options_.max_ended_jobs = 2;
  StartJobManager();
  StartCluster();
  std::vector<std::string> jobs;
  for (int i = 0; i < 4; ++i) {
    jobs.push_back(RunningJob());
    FinishAll();
    ASSERT_TRUE(UntilState(jobs.back(), proto::FINISHED));
    ASSERT_TRUE(Until([&] { return FreeSlots() == 4; }));
  }
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Jobs().jobs_size(), 2);
  EXPECT_THAT(Files("/data/jobs"), SizeIs(2));
  Restart();
  ASSERT_EQ(Jobs().jobs_size(), 2);
  EXPECT_EQ(Jobs().jobs(0).job_id(), jobs[2]);
  EXPECT_EQ(Jobs().jobs(1).job_id(), jobs[3]);
}

// RisingWave 14931, Flink 11665: a job manager that was paused past every timeout wakes up and
// finds that another one has taken over.
TEST_F(TakeoverTest, AJobManagerThatWakesUpAfterAnotherOneTookOverDoesNothingAnyMore) {
  absl::Status superseded;
  KillJobManager();
  options_.superseded = [&superseded](const absl::Status& why) { superseded = why; };
  StartJobManager();
  StartCluster();
  const std::string job = RunningJob();
  world_.PauseProcess(*jm_env_);

  JobManagerOptions options = options_;
  options.superseded = nullptr;
  SimEnv& other_env = world_.StartProcess("other", "jm");
  JobManager other(other_env, options);
  ASSERT_TRUE(other.Start("jm:6124").ok());
  world_.RunFor(absl::Minutes(2));
  world_.ResumeProcess(*jm_env_);
  const auto before = JobFiles(job);
  // It notices the silence, if not before, and wants to record that the job fails.
  tm1_->behaviour.workers_send_heartbeats = false;
  EXPECT_TRUE(Until([&] { return !superseded.ok(); }));
  EXPECT_TRUE(absl::IsAborted(superseded)) << superseded;
  const auto answer = Cancel(job);
  EXPECT_TRUE(absl::IsUnavailable(answer.status())) << answer.status();
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("leads no more"));
  EXPECT_EQ(JobFiles(job), before);
  EXPECT_EQ(tm1_->stop_requests, 0) << "nor does it stop what the other one has taken over";
}

TEST_F(TakeoverTest, AnswersOfANewerLeaderEndAnOlderOne) {
  absl::Status superseded;
  KillJobManager();
  options_.superseded = [&superseded](const absl::Status& why) { superseded = why; };
  StartJobManager();
  StartCluster();
  RunningJob();
  proto::TaskManagerHeartbeatRequest heartbeat;
  heartbeat.set_id(std::string(16, 'x'));
  heartbeat.set_leader_epoch(job_manager_->leader_epoch() + 1);
  const absl::Status status =
      Call<proto::TaskManagerHeartbeatRequest, proto::TaskManagerHeartbeatResponse>(
          "TaskManagerHeartbeat", heartbeat)
          .status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_TRUE(absl::IsAborted(superseded)) << superseded;
}

}  // namespace
}  // namespace weir::jobmanager
