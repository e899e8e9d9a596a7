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

TEST_F(JobManagerTest, AWorkerHasTheSettingsOfTheClusterWhereTheJobHasNoneOfItsOwn) {
  for (const char* setting :
       {"execution.buffer-timeout=7 ms", "pipeline.auto-watermark-interval=9 ms",
        "state.backend=rocksdb", "slot.request.timeout=1 min"}) {
    ASSERT_TRUE(options_.settings.Override(setting).ok());
  }
  KillJobManager();
  StartJobManager();
  StartCluster();
  RunningJob();
  const auto& settings = tm1_->start_requests.at(0).settings();
  EXPECT_EQ(settings.at("execution.buffer-timeout"), "1 ms") << "the job's own";
  EXPECT_EQ(settings.at("pipeline.auto-watermark-interval"), "9 ms");
  EXPECT_EQ(settings.at("state.backend"), "rocksdb");
  EXPECT_FALSE(settings.contains("slot.request.timeout")) << "no setting of a job";
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
