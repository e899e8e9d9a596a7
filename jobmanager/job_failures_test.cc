#include <csignal>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "jobmanager/testing/job_manager_fixture.h"

// What becomes of jobs when workers, task managers, messages or the job manager itself fail, and
// when they are cancelled.
namespace weir::jobmanager {
namespace {

using ::testing::HasSubstr;

// ---- Failures ----

TEST_F(JobManagerTest, FailsAJobWithinThreeSecondsOfAKilledWorkerAndSaysWhy) {
  StartCluster();
  const std::string job = RunningJob();
  const absl::Duration killed = world_.elapsed();
  tm2_->KillWorker(WorkerOn(*tm2_), SIGKILL);
  EXPECT_TRUE(UntilState(job, proto::FAILED, absl::Seconds(3)));
  EXPECT_LT(world_.elapsed() - killed, absl::Seconds(3));
  const proto::JobStatusResponse status = Status(job);
  EXPECT_EQ(status.failure().message(),
            "worker 1 on task manager 'tm2' was ended by signal 9 (SIGKILL)");
  EXPECT_EQ(status.failure().signal(), SIGKILL);
  EXPECT_TRUE(Until([&] { return tm1_->workers.empty(); }));
  EXPECT_TRUE(Until([&] { return FreeSlots() == 4; }));
  for (const proto::TaskReport& task : status.tasks()) {
    EXPECT_EQ(task.state(), task.worker() == 1 ? proto::TASK_FAILED : proto::TASK_CANCELED);
  }
}

TEST_F(JobManagerTest, ShowsTheCrashAndNotTheLostConnectionThatItLeft) {
  StartCluster();
  const std::string job = RunningJob();
  // The peer notices before the agent does.
  tm2_->behaviour.exit_report_delay = absl::Milliseconds(300);
  proto::Failure crash;
  crash.set_message("segmentation fault in operator 'count'");
  crash.set_operator_uid("count");
  crash.add_stack("Count::Add()");
  tm1_->FailTask(WorkerOn(*tm1_), 0, absl::UnavailableError("connection to worker 1 lost"));
  tm2_->KillWorker(WorkerOn(*tm2_), SIGSEGV, 0, crash);
  EXPECT_TRUE(UntilState(job, proto::FAILED));
  const proto::Failure failure = Status(job).failure();
  EXPECT_EQ(failure.message(), "segmentation fault in operator 'count'");
  EXPECT_EQ(failure.operator_uid(), "count");
  EXPECT_EQ(failure.signal(), SIGSEGV);
  EXPECT_EQ(failure.stack_size(), 1);
  EXPECT_EQ(failure.task_manager(), "tm2");
}

TEST_F(JobManagerTest, WaitsAMomentForTheCauseOfALostConnection) {
  StartCluster();
  const std::string job = RunningJob();
  // Killed from outside, which looks like a stop by the agent; told a little later.
  tm2_->behaviour.exit_report_delay = absl::Milliseconds(300);
  tm1_->FailTask(WorkerOn(*tm1_), 0, absl::UnavailableError("connection to worker 1 lost"));
  tm2_->KillWorker(WorkerOn(*tm2_), SIGKILL);
  EXPECT_TRUE(UntilState(job, proto::FAILED));
  EXPECT_EQ(Status(job).failure().message(),
            "worker 1 on task manager 'tm2' was ended by signal 9 (SIGKILL)");
}

TEST_F(JobManagerTest, ShowsALostConnectionIfThatIsAllThatIsKnown) {
  StartCluster();
  const std::string job = RunningJob();
  tm1_->FailTask(WorkerOn(*tm1_), 0, absl::UnavailableError("connection to worker 1 lost"));
  EXPECT_TRUE(UntilState(job, proto::FAILED));
  EXPECT_EQ(Status(job).failure().message(), "connection to worker 1 lost");
}

TEST_F(JobManagerTest, KeepsTheFirstOfTwoErrors) {
  StartCluster();
  const std::string job = RunningJob();
  // The second is on its way when the first arrives.
  world_.SetLinkDelay("jm", "tm2", absl::Milliseconds(100), absl::Milliseconds(200));
  tm1_->FailTask(WorkerOn(*tm1_), 0, absl::InvalidArgumentError("line 17 is no JSON"));
  tm2_->FailTask(WorkerOn(*tm2_), 0, absl::InternalError("second"));
  EXPECT_TRUE(UntilState(job, proto::FAILED));
  EXPECT_EQ(Status(job).failure().message(), "line 17 is no JSON");
  EXPECT_EQ(Status(job).failure().task_manager(), "tm1");
}

TEST_F(JobManagerTest, DoesNotTakeTheEndOfAWorkerThatItStoppedForAFailure) {
  StartCluster();
  const std::string job = RunningJob();
  tm1_->FailTask(WorkerOn(*tm1_), 0, absl::UnavailableError("connection lost"));
  // Stopped workers end by SIGTERM.
  EXPECT_TRUE(UntilState(job, proto::FAILED));
  EXPECT_EQ(Status(job).failure().message(), "connection lost");
}

TEST_F(JobManagerTest, FailsAJobWhoseWorkerExitsByItself) {
  StartCluster();
  const std::string job = RunningJob();
  tm1_->KillWorker(WorkerOn(*tm1_), 0, 0);
  EXPECT_TRUE(UntilState(job, proto::FAILED));
  EXPECT_EQ(Status(job).failure().message(),
            "worker 0 on task manager 'tm1' exited with code 0 before its tasks were done");
}

TEST_F(JobManagerTest, FailsAJobWhoseWorkerIsSilent) {
  StartCluster();
  const std::string job = RunningJob();
  tm2_->behaviour.workers_send_heartbeats = false;
  EXPECT_TRUE(UntilState(job, proto::FAILED, absl::Seconds(6)));
  EXPECT_EQ(
      Status(job).failure().message(),
      "worker 1 on task manager 'tm2' (process 1001) is lost: nothing was heard of it for 3s");
  EXPECT_TRUE(Until([&] { return tm2_->workers.empty(); }));
}

TEST_F(JobManagerTest, FailsTheJobsOfALostTaskManagerAndForgetsItsSlots) {
  StartCluster();
  const std::string job = RunningJob();
  KillTaskManager("tm2");
  EXPECT_TRUE(UntilState(job, proto::FAILED, absl::Seconds(6)));
  EXPECT_EQ(Status(job).failure().message(),
            "task manager 'tm2' is lost: nothing was heard of it for 3s");
  EXPECT_TRUE(Until([&] { return FreeSlots() == 2; }));
  EXPECT_EQ(ClusterInfo().task_managers_size(), 1);
}

TEST_F(JobManagerTest, LetsALostTaskManagerComeBackAndStopsItsOldWorkers) {
  StartCluster();
  const std::string job = RunningJob();
  world_.CutLink("jm", "tm2");
  EXPECT_TRUE(UntilState(job, proto::FAILED, absl::Seconds(10)));
  ASSERT_EQ(tm2_->workers.size(), 1u);
  world_.HealLink("jm", "tm2");
  EXPECT_TRUE(Until([&] { return tm2_->workers.empty(); }));
  EXPECT_TRUE(Until([&] { return FreeSlots() == 4; }));
  EXPECT_EQ(tm2_->registrations, 2);
}

TEST_F(JobManagerTest, LosesTheOldTaskManagerAtOnceWhenANewOneHasItsAddress) {
  StartCluster();
  const std::string job = RunningJob();
  KillTaskManager("tm2");
  StartTaskManager("tm2", 2);
  EXPECT_TRUE(UntilState(job, proto::FAILED, absl::Seconds(1)));
  EXPECT_EQ(Status(job).failure().message(), "task manager 'tm2' was restarted");
  EXPECT_EQ(ClusterInfo().task_managers_size(), 2);
}

TEST_F(JobManagerTest, FailsAJobWhoseTaskManagerIsLostInEachStepOfItsDeployment) {
  StartCluster();
  tm2_->behaviour.workers_register = false;
  const std::string starting = Submit(4);
  ASSERT_TRUE(UntilState(starting, proto::DEPLOYING));
  KillTaskManager("tm2");
  EXPECT_TRUE(UntilState(starting, proto::FAILED, absl::Seconds(6)));
  EXPECT_TRUE(Until([&] { return tm1_->workers.empty(); }));
  tm2_ = &StartTaskManager("tm2", 2);
  tm2_->behaviour.answers_deploy = false;
  const std::string deploying = Submit(4);
  ASSERT_TRUE(
      Until([&] { return !tm1_->workers.empty() && tm1_->workers.begin()->second.deploys > 0; }));
  KillTaskManager("tm2");
  EXPECT_TRUE(UntilState(deploying, proto::FAILED, absl::Seconds(6)));
  EXPECT_THAT(Status(deploying).failure().message(), HasSubstr("task manager 'tm2' is lost"));
}

TEST_F(JobManagerTest, FailsAJobWhoseWorkerDiesInEachStepOfItsDeployment) {
  StartCluster();
  tm2_->behaviour.workers_register = false;
  const std::string starting = Submit(4);
  ASSERT_TRUE(Until([&] { return !tm2_->workers.empty(); }));
  tm2_->KillWorker(WorkerOn(*tm2_), 0, 12);
  EXPECT_TRUE(UntilState(starting, proto::FAILED, absl::Seconds(3)));
  EXPECT_THAT(Status(starting).failure().message(), HasSubstr("exited with code 12"));
  tm2_->behaviour.workers_register = true;
  tm2_->behaviour.answers_deploy = false;
  const std::string deploying = Submit(4);
  ASSERT_TRUE(
      Until([&] { return !tm1_->workers.empty() && tm1_->workers.begin()->second.deploys > 0; }));
  tm2_->KillWorker(WorkerOn(*tm2_), SIGABRT);
  EXPECT_TRUE(UntilState(deploying, proto::FAILED, absl::Seconds(3)));
  EXPECT_EQ(Status(deploying).failure().signal(), SIGABRT);
}

TEST_F(JobManagerTest, FailsAJobWhoseWorkerReportsWhatCannotBe) {
  StartCluster();
  const std::string job = RunningJob();
  tm1_->workers.begin()->second.tasks[0].set_vertex(99);
  tm1_->WorkerHeartbeat(WorkerOn(*tm1_));
  EXPECT_TRUE(UntilState(job, proto::FAILED));
  EXPECT_THAT(Status(job).failure().message(),
              HasSubstr("worker 0 on task manager 'tm1' sent a report that is not valid"));
}

TEST_F(JobManagerTest, BlamesNobodyForThePauseOfItsOwnProcess) {
  StartCluster();
  const std::string job = RunningJob();
  world_.PauseProcess(*jm_env_);
  world_.RunFor(absl::Seconds(20));
  world_.ResumeProcess(*jm_env_);
  world_.RunFor(absl::Seconds(10));
  EXPECT_EQ(State(job), proto::RUNNING);
  EXPECT_EQ(ClusterInfo().task_managers_size(), 2);
}

// ---- Cancel ----

TEST_F(JobManagerTest, CancelsARunningJobByAskingItsTasksFirst) {
  StartCluster();
  const std::string job = RunningJob();
  tm1_->behaviour.stops_workers = false;
  EXPECT_EQ(*Cancel(job), proto::CANCELLING);
  EXPECT_TRUE(Until([&] { return tm1_->workers.begin()->second.canceled; }));
  tm1_->behaviour.stops_workers = true;
  EXPECT_TRUE(UntilState(job, proto::CANCELED));
  EXPECT_FALSE(Status(job).has_failure());
  const proto::JobStatusResponse status = Status(job);
  for (const proto::TaskReport& task : status.tasks()) {
    EXPECT_EQ(task.state(), proto::TASK_CANCELED);
  }
  EXPECT_TRUE(Until([&] { return FreeSlots() == 4; }));
}

TEST_F(JobManagerTest, CancelsAJobThatWaitsForSlotsAtOnce) {
  const std::string job = Submit(1);
  EXPECT_EQ(*Cancel(job), proto::CANCELED);
  StartCluster();
  world_.RunFor(absl::Seconds(5));
  EXPECT_EQ(State(job), proto::CANCELED);
  EXPECT_EQ(FreeSlots(), 4u);
}

TEST_F(JobManagerTest, CancelsAJobInEachStepOfItsDeployment) {
  StartCluster();
  tm2_->behaviour.workers_register = false;
  const std::string starting = Submit(4);
  ASSERT_TRUE(Until([&] { return !tm1_->workers.empty(); }));
  EXPECT_EQ(*Cancel(starting), proto::CANCELLING);
  EXPECT_TRUE(UntilState(starting, proto::CANCELED));
  tm2_->behaviour.workers_register = true;
  tm2_->behaviour.answers_deploy = false;
  const std::string deploying = Submit(4);
  ASSERT_TRUE(
      Until([&] { return !tm1_->workers.empty() && tm1_->workers.begin()->second.deploys > 0; }));
  EXPECT_EQ(*Cancel(deploying), proto::CANCELLING);
  EXPECT_TRUE(UntilState(deploying, proto::CANCELED));
  EXPECT_TRUE(Until([&] { return FreeSlots() == 4; }));
}

TEST_F(JobManagerTest, TakesASecondCancelAsTheFirstAndRefusesOneOfAnEndedJob) {
  StartCluster();
  const std::string job = RunningJob();
  tm1_->behaviour.stops_workers = false;
  EXPECT_EQ(*Cancel(job), proto::CANCELLING);
  EXPECT_EQ(*Cancel(job), proto::CANCELLING);
  tm1_->behaviour.stops_workers = true;
  ASSERT_TRUE(UntilState(job, proto::CANCELED));
  const absl::Status again = Cancel(job).status();
  EXPECT_EQ(again.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(again.message()), HasSubstr("has ended (CANCELED)"));
  EXPECT_EQ(Cancel(std::string(16, 'x')).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Cancel("short").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(JobManagerTest, StaysCanceledWhateverIsReportedLater) {
  StartCluster();
  const std::string job = RunningJob();
  tm1_->behaviour.stops_workers = false;
  tm1_->behaviour.workers_send_heartbeats = false;
  ASSERT_TRUE(Cancel(job).ok());
  ASSERT_TRUE(UntilState(job, proto::CANCELED, absl::Minutes(2)));
  tm1_->FailTask(WorkerOn(*tm1_), 0, absl::InternalError("late"));
  tm1_->KillWorker(WorkerOn(*tm1_), SIGSEGV);
  world_.RunFor(absl::Seconds(5));
  EXPECT_EQ(State(job), proto::CANCELED);
  EXPECT_FALSE(Status(job).has_failure());
}

// ---- Fencing and restart ----

TEST_F(JobManagerTest, RefusesWhatAnEarlierAttemptOrLeaderSays) {
  StartCluster();
  const std::string job = RunningJob();
  proto::WorkerHeartbeatRequest heartbeat;
  heartbeat.set_job_id(job);
  heartbeat.set_attempt(1);
  heartbeat.set_leader_epoch(job_manager_->leader_epoch());
  proto::TaskReport* task = heartbeat.add_tasks();
  task->set_state(proto::TASK_FAILED);
  const auto send = [&] {
    return Call<proto::WorkerHeartbeatRequest, proto::WorkerHeartbeatResponse>("WorkerHeartbeat",
                                                                               heartbeat)
        .status();
  };
  heartbeat.set_attempt(0);
  EXPECT_EQ(send().code(), absl::StatusCode::kFailedPrecondition);
  heartbeat.set_attempt(2);
  EXPECT_EQ(send().code(), absl::StatusCode::kFailedPrecondition);
  heartbeat.set_attempt(1);
  heartbeat.set_leader_epoch(job_manager_->leader_epoch() - 1);
  EXPECT_EQ(send().code(), absl::StatusCode::kAborted) << "it is to register again";

  proto::WorkerExitedRequest exited;
  exited.set_job_id(job);
  exited.set_attempt(0);
  exited.set_leader_epoch(job_manager_->leader_epoch());
  EXPECT_EQ((Call<proto::WorkerExitedRequest, proto::WorkerExitedResponse>("WorkerExited", exited)
                 .status()
                 .code()),
            absl::StatusCode::kFailedPrecondition);
  proto::RegisterWorkerRequest worker;
  worker.set_job_id(job);
  worker.set_attempt(0);
  worker.set_leader_epoch(job_manager_->leader_epoch());
  EXPECT_EQ(
      (Call<proto::RegisterWorkerRequest, proto::RegisterWorkerResponse>("RegisterWorker", worker)
           .status()
           .code()),
      absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(State(job), proto::RUNNING);
}

TEST_F(JobManagerTest, RefusesASecondProcessThatClaimsToBeAWorkerThatRuns) {
  StartCluster();
  const std::string job = RunningJob();
  proto::RegisterWorkerRequest worker;
  worker.set_job_id(job);
  worker.set_attempt(1);
  worker.set_leader_epoch(job_manager_->leader_epoch());
  worker.set_graph_hash(tm1_->start_requests.at(0).graph_hash());
  worker.set_control_address("elsewhere:1");
  worker.set_exchange_address("elsewhere:2");
  const absl::Status status =
      Call<proto::RegisterWorkerRequest, proto::RegisterWorkerResponse>("RegisterWorker", worker)
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("is registered already"));
  EXPECT_EQ(State(job), proto::RUNNING);
}

TEST_F(JobManagerTest, StartsAfreshOnAnEmptyFolderAndStopsWorkersThatItKnowsNothingOf) {
  StartCluster();
  const std::string job = RunningJob();
  const uint64_t epoch = job_manager_->leader_epoch();
  KillJobManager();
  world_.RunFor(absl::Seconds(2));
  ASSERT_TRUE(world_.disk("jm").DeleteRecursively("/data/jobs").ok());
  StartJobManager();
  EXPECT_GT(job_manager_->leader_epoch(), epoch);
  EXPECT_TRUE(Until([&] { return tm1_->workers.empty() && tm2_->workers.empty(); }));
  EXPECT_TRUE(Until([&] { return tm1_->epoch == job_manager_->leader_epoch(); }));
  proto::JobStatusRequest request;
  request.set_job_id(job);
  EXPECT_EQ((Call<proto::JobStatusRequest, proto::JobStatusResponse>("JobStatus", request)
                 .status()
                 .code()),
            absl::StatusCode::kNotFound);
  const std::string next = Submit(4);
  EXPECT_NE(next, job);
  EXPECT_TRUE(UntilState(next, proto::RUNNING));
}

TEST_F(JobManagerTest, RefusesATaskManagerOfAnotherVersion) {
  SimEnv& env = world_.StartProcess("old");
  FakeTaskManager old(env, "old", kAddress, 1);
  old.behaviour.version = "0.0.9";
  EXPECT_TRUE(
      Until([&] { return old.registration.code() == absl::StatusCode::kFailedPrecondition; }));
  EXPECT_THAT(std::string(old.registration.message()),
              HasSubstr("task manager 'old' is of version '0.0.9'"));
  EXPECT_EQ(ClusterInfo().task_managers_size(), 0);
}

}  // namespace
}  // namespace weir::jobmanager
