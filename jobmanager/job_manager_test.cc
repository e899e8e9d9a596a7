#include "jobmanager/job_manager.h"

#include <csignal>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "jobmanager/testing/job_manager_fixture.h"

// The job manager on a simulated network, with task managers that do what a test says.
namespace weir::jobmanager {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class JobManagerTest : public JobManagerFixture {
 public:
  JobManagerTest() { StartJobManager(); }

  // Two task managers with two slots each and a job that takes all four.
  void StartCluster() {
    tm1_ = &StartTaskManager("tm1", 2);
    tm2_ = &StartTaskManager("tm2", 2);
  }
  std::string RunningJob() {
    const std::string job = Submit(4);
    EXPECT_TRUE(UntilState(job, proto::RUNNING));
    return job;
  }
  Key WorkerOn(FakeTaskManager& tm) {
    EXPECT_FALSE(tm.workers.empty());
    return tm.workers.begin()->first;
  }

  FakeTaskManager* tm1_ = nullptr;
  FakeTaskManager* tm2_ = nullptr;
};

// ---- Deployment ----

TEST_F(JobManagerTest, RunsAJobToItsEndAndGivesItsSlotsBack) {
  StartCluster();
  const std::string job = RunningJob();
  EXPECT_EQ(FreeSlots(), 0u);
  const proto::JobStatusResponse running = Status(job);
  EXPECT_EQ(running.summary().tasks_total(), 8u);
  EXPECT_EQ(running.workers_size(), 2);
  EXPECT_EQ(running.graph().nodes_size(), 2);
  EXPECT_EQ(running.attempt(), 1u);
  // Subtasks of one index are together: 0 and 1 on the first, 2 and 3 on the second.
  for (const proto::TaskReport& task : running.tasks()) {
    EXPECT_EQ(task.worker(), task.subtask() < 2 ? 0u : 1u);
  }
  tm1_->SetTasks(WorkerOn(*tm1_), proto::TASK_FINISHED);
  world_.RunFor(absl::Seconds(2));
  EXPECT_EQ(State(job), proto::RUNNING);
  tm2_->SetTasks(WorkerOn(*tm2_), proto::TASK_FINISHED);
  EXPECT_TRUE(UntilState(job, proto::FINISHED));
  EXPECT_TRUE(Until([&] { return tm1_->workers.empty() && tm2_->workers.empty(); }));
  EXPECT_TRUE(Until([&] { return FreeSlots() == 4; }));
  EXPECT_FALSE(Status(job).has_failure());
  EXPECT_GT(Status(job).summary().ended_unix_micros(), 0);
}

TEST_F(JobManagerTest, FinishesAJobThatIsDoneBeforeItsWorkersHaveAnswered) {
  StartCluster();
  tm1_->behaviour.tasks_finish_at_once = true;
  tm2_->behaviour.tasks_finish_at_once = true;
  EXPECT_TRUE(UntilState(Submit(4), proto::FINISHED));
}

TEST_F(JobManagerTest, TellsAWorkerAllThatItNeedsToMakeTheJobAgain) {
  StartCluster();
  RunningJob();
  const proto::StartWorkerRequest& start = tm1_->start_requests.at(0);
  EXPECT_EQ(start.leader_epoch(), job_manager_->leader_epoch());
  EXPECT_EQ(start.attempt(), 1u);
  EXPECT_EQ(start.slots(), 2u);
  EXPECT_EQ(start.plugin_sha256(), Sha256::Hex("plugin bytes"));
  EXPECT_EQ(start.plugin_bytes(), 12u);
  EXPECT_EQ(start.arguments().at("input"), "/in");
  EXPECT_EQ(start.settings().at("execution.buffer-timeout"), "1 ms");
  EXPECT_EQ(start.parallelism(), 4u);
  EXPECT_EQ(start.max_parallelism(), 4096u);
  EXPECT_EQ(start.job_name(), "words");
  EXPECT_EQ(start.job_manager_address(), kAddress);
  EXPECT_EQ(start.graph_hash().size(), 64u);
}

TEST_F(JobManagerTest, DeploysOverANetworkThatLosesConnectionsAllTheTime) {
  StartCluster();
  world_.SetConnectionLoss(0.05);
  auto id = TrySubmit(4);
  while (!id.ok()) id = TrySubmit(4);
  EXPECT_TRUE(Until([&] {
    return tm1_->workers.size() == 1 && tm2_->workers.size() == 1 &&
           tm1_->workers.begin()->second.starts > 0 && tm2_->workers.begin()->second.starts > 0;
  })) << log_;
  world_.SetConnectionLoss(0);
  world_.RunFor(absl::Seconds(5));
  // What a client takes for lost may have been accepted: the first job has the slots.
  auto list = Call<proto::ListJobsRequest, proto::ListJobsResponse>("ListJobs", {});
  ASSERT_TRUE(list.ok());
  EXPECT_EQ(list->jobs(0).state(), proto::RUNNING) << log_;
}

TEST_F(JobManagerTest, ToleratesSlowAndReorderedMessages) {
  StartCluster();
  for (const char* host : {"tm1", "tm2"}) {
    world_.SetLinkDelay("jm", host, absl::ZeroDuration(), absl::Milliseconds(400));
  }
  const std::string job = RunningJob();
  tm1_->SetTasks(WorkerOn(*tm1_), proto::TASK_FINISHED);
  tm2_->SetTasks(WorkerOn(*tm2_), proto::TASK_FINISHED);
  EXPECT_TRUE(UntilState(job, proto::FINISHED));
}

TEST_F(JobManagerTest, FailsAJobWhoseWorkerCannotBeStarted) {
  StartCluster();
  tm2_->behaviour.start_worker = absl::InternalError("posix_spawn: no such file");
  const std::string job = Submit(4);
  EXPECT_TRUE(UntilState(job, proto::FAILED));
  EXPECT_EQ(Status(job).failure().message(),
            "letting worker 1 on task manager 'tm2' start and register: posix_spawn: no such file");
  EXPECT_EQ(Status(job).failure().task_manager(), "tm2");
  EXPECT_TRUE(Until([&] { return tm1_->workers.empty(); }));
  EXPECT_TRUE(Until([&] { return FreeSlots() == 4; }));
}

TEST_F(JobManagerTest, FailsAJobWhoseWorkerNeverRegistersAndSaysWhich) {
  StartCluster();
  tm2_->behaviour.workers_register = false;
  const std::string job = Submit(4);
  EXPECT_TRUE(UntilState(job, proto::FAILED, absl::Minutes(2)));
  EXPECT_THAT(Status(job).failure().message(),
              HasSubstr("worker 1 on task manager 'tm2' did not start and register within 1m"));
}

TEST_F(JobManagerTest, FailsAJobWhoseWorkerCannotDeployAndKeepsItsReason) {
  StartCluster();
  tm2_->behaviour.deploy = absl::NotFoundError("operator 'source': no such folder: /in");
  const std::string job = Submit(4);
  EXPECT_TRUE(UntilState(job, proto::FAILED));
  EXPECT_THAT(Status(job).failure().message(), HasSubstr("no such folder: /in"));
}

TEST_F(JobManagerTest, FailsAJobWhoseWorkerNeverAnswersDeploy) {
  StartCluster();
  tm2_->behaviour.answers_deploy = false;
  const std::string job = Submit(4);
  EXPECT_TRUE(UntilState(job, proto::FAILED, absl::Minutes(2)));
  EXPECT_THAT(Status(job).failure().message(),
              HasSubstr("worker 1 on task manager 'tm2' did not deploy its tasks within 30s"));
}

TEST_F(JobManagerTest, FailsAJobWhoseTasksCannotStart) {
  StartCluster();
  tm1_->behaviour.start_tasks = absl::InternalError("no threads left");
  const std::string job = Submit(4);
  EXPECT_TRUE(UntilState(job, proto::FAILED));
  EXPECT_THAT(Status(job).failure().message(), HasSubstr("no threads left"));
}

TEST_F(JobManagerTest, RefusesAWorkerWhosePluginMadeAnotherGraph) {
  StartCluster();
  tm1_->behaviour.graph_hash = std::string(64, '0');
  const std::string job = Submit(4);
  EXPECT_TRUE(UntilState(job, proto::FAILED));
  EXPECT_THAT(Status(job).failure().message(), HasSubstr("made another graph in worker 0"));
}

// ---- Slots ----

TEST_F(JobManagerTest, LetsAJobWaitForSlotsAndSaysHowMany) {
  StartTaskManager("tm1", 2);
  const std::string job = Submit(4);
  world_.RunFor(absl::Seconds(10));
  EXPECT_EQ(State(job), proto::CREATED);
  EXPECT_EQ(Status(job).waiting_for(), "needs 4 slots, 2 are free on 1 task manager");
  StartTaskManager("tm2", 2);
  EXPECT_TRUE(UntilState(job, proto::RUNNING));
  EXPECT_EQ(Status(job).waiting_for(), "");
}

TEST_F(JobManagerTest, FailsAJobThatGetsNoSlotsInTime) {
  const std::string job = Submit(1);
  world_.RunFor(absl::Minutes(4));
  EXPECT_EQ(State(job), proto::CREATED);
  EXPECT_TRUE(UntilState(job, proto::FAILED, absl::Minutes(2)));
  EXPECT_THAT(Status(job).failure().message(),
              HasSubstr("no slots within 5m (slot.request.timeout): the job needs 1 slot; no task "
                        "manager is registered"));
}

TEST_F(JobManagerTest, StartsWaitingJobsInTheOrderOfTheirSubmissionWhenSlotsAreFreed) {
  FakeTaskManager& tm = StartTaskManager("tm1", 2);
  const std::string first = Submit(2);
  ASSERT_TRUE(UntilState(first, proto::RUNNING));
  const std::string second = Submit(2);
  const std::string third = Submit(2);
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(State(second), proto::CREATED);
  tm.SetTasks(WorkerOn(tm), proto::TASK_FINISHED);
  EXPECT_TRUE(UntilState(second, proto::RUNNING));
  EXPECT_EQ(State(third), proto::CREATED);
}

TEST_F(JobManagerTest, RunsTwoJobsAtOnceAndTheTroubleOfOneDoesNotTouchTheOther) {
  StartCluster();
  const std::string first = Submit(2);
  const std::string second = Submit(2);
  ASSERT_TRUE(UntilState(first, proto::RUNNING));
  ASSERT_TRUE(UntilState(second, proto::RUNNING));
  const Key victim{first, 1, 0};
  tm1_->KillWorker(victim, SIGSEGV);
  EXPECT_TRUE(UntilState(first, proto::FAILED));
  world_.RunFor(absl::Seconds(10));
  EXPECT_EQ(State(second), proto::RUNNING);
}

TEST_F(JobManagerTest, GivesSlotsBackOnlyWhenTheWorkerIsKnownToBeGone) {
  FakeTaskManager& tm = StartTaskManager("tm1", 2);
  const std::string first = Submit(2);
  ASSERT_TRUE(UntilState(first, proto::RUNNING));
  const std::string second = Submit(2);
  tm.behaviour.stops_workers = false;
  ASSERT_TRUE(Cancel(first).ok());
  world_.RunFor(absl::Seconds(20));
  EXPECT_EQ(State(first), proto::CANCELLING);
  EXPECT_EQ(State(second), proto::CREATED);
  EXPECT_GT(tm.told_to_stop, 0);
  tm.behaviour.stops_workers = true;
  EXPECT_TRUE(UntilState(first, proto::CANCELED));
  EXPECT_TRUE(UntilState(second, proto::RUNNING));
}

TEST_F(JobManagerTest, EndsAJobWhoseWorkerCannotBeStoppedButKeepsItsSlots) {
  FakeTaskManager& tm = StartTaskManager("tm1", 2);
  const std::string job = Submit(2);
  ASSERT_TRUE(UntilState(job, proto::RUNNING));
  tm.behaviour.stops_workers = false;
  ASSERT_TRUE(Cancel(job).ok());
  EXPECT_TRUE(UntilState(job, proto::CANCELED, absl::Minutes(2)));
  EXPECT_EQ(FreeSlots(), 0u);
  tm.behaviour.stops_workers = true;
  EXPECT_TRUE(Until([&] { return FreeSlots() == 2; }));
}

TEST_F(JobManagerTest, LearnsFromHeartbeatsThatAWorkerIsGone) {
  FakeTaskManager& tm = StartTaskManager("tm1", 2);
  const std::string job = Submit(2);
  ASSERT_TRUE(UntilState(job, proto::RUNNING));
  tm.behaviour.reports_exits = false;
  ASSERT_TRUE(Cancel(job).ok());
  EXPECT_TRUE(UntilState(job, proto::CANCELED));
  EXPECT_EQ(FreeSlots(), 2u);
}

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
  EXPECT_EQ(send().code(), absl::StatusCode::kFailedPrecondition);

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

TEST_F(JobManagerTest, StartsAfreshWithAHigherEpochAfterItWasKilledAndStopsOldWorkers) {
  StartCluster();
  const std::string job = RunningJob();
  const uint64_t epoch = job_manager_->leader_epoch();
  KillJobManager();
  world_.RunFor(absl::Seconds(2));
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

// ---- What clients see ----

TEST_F(JobManagerTest, ListsJobsInTheOrderOfSubmissionAndForgetsTheOldestEnded) {
  KillJobManager();
  options_.max_ended_jobs = 2;
  StartJobManager();
  std::vector<std::string> jobs;
  for (int i = 0; i < 4; ++i) {
    jobs.push_back(Submit(1));
    if (i != 1) {
      ASSERT_TRUE(Cancel(jobs.back()).ok());
    }
    world_.RunFor(absl::Seconds(1));
  }
  auto list = Call<proto::ListJobsRequest, proto::ListJobsResponse>("ListJobs", {});
  ASSERT_TRUE(list.ok());
  std::vector<std::string> listed;
  for (const auto& job : list->jobs()) listed.push_back(job.job_id());
  EXPECT_THAT(listed, ElementsAre(jobs[1], jobs[2], jobs[3]));
}

TEST_F(JobManagerTest, RefusesMoreJobsThanItMayHave) {
  KillJobManager();
  options_.max_jobs = 1;
  StartJobManager();
  Submit(1);
  EXPECT_EQ(TrySubmit(1).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(JobManagerTest, FetchesTheLogsOfAllWorkersAndSaysWhichItCannotGet) {
  StartCluster();
  const std::string job = RunningJob();
  proto::JobLogsRequest request;
  request.set_job_id(job);
  auto logs = Call<proto::JobLogsRequest, proto::JobLogsResponse>("JobLogs", request);
  ASSERT_TRUE(logs.ok());
  ASSERT_EQ(logs->logs_size(), 2);
  EXPECT_EQ(logs->logs(0).text(), "log of worker 0 on tm1\n");
  EXPECT_EQ(logs->logs(1).text(), "log of worker 1 on tm2\n");
  KillTaskManager("tm2");
  ASSERT_TRUE(UntilState(job, proto::FAILED));
  logs = Call<proto::JobLogsRequest, proto::JobLogsResponse>("JobLogs", request);
  ASSERT_TRUE(logs.ok());
  EXPECT_EQ(logs->logs(1).text(), "(not available: task manager 'tm2' is lost)\n");
}

TEST_F(JobManagerTest, PublishesSnapshotsOfWhatItKnows) {
  StartCluster();
  RunningJob();
  world_.RunFor(absl::Seconds(1));
  auto snapshot = job_manager_->Snapshot();
  ASSERT_NE(snapshot, nullptr);
  ASSERT_EQ(snapshot->task_managers.size(), 2u);
  EXPECT_EQ(snapshot->task_managers[0].name, "tm1");
  EXPECT_EQ(snapshot->task_managers[0].slots_free, 0u);
  ASSERT_EQ(snapshot->jobs.size(), 1u);
  EXPECT_EQ(snapshot->jobs[0]->state, proto::RUNNING);
  ASSERT_EQ(snapshot->jobs[0]->tasks.size(), 8u);
  EXPECT_EQ(snapshot->jobs[0]->task_managers[3], "tm2");
}

TEST_F(JobManagerTest, DoesTheSameAgainForTheSameSeed) {
  struct Run : JobManagerTest {
    void TestBody() override {}
  };
  uint64_t hashes[2] = {0, 1};
  for (uint64_t& hash : hashes) {
    Run again;
    again.StartCluster();
    const std::string job = again.RunningJob();
    again.tm2_->KillWorker(again.WorkerOn(*again.tm2_), SIGKILL);
    again.UntilState(job, proto::FAILED);
    hash = again.world_.hash();
  }
  EXPECT_EQ(hashes[0], hashes[1]);
}

}  // namespace
}  // namespace weir::jobmanager
