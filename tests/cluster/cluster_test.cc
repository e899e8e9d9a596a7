// Real processes on loopback: what happens to jobs, workers and task managers when one of them
// misbehaves or dies.
#include "tests/cluster/cluster.h"

#include <signal.h>

#include <algorithm>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "common/base/version.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir::cluster {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class ClusterTest : public ::testing::Test {
 protected:
  void SetUp() override { cluster_.StartJobManager(); }
  void TearDown() override {
    if (HasFailure()) cluster_.PrintLogs();
  }

  void StartTaskManagers(int count, uint32_t slots, std::vector<std::string> settings = {}) {
    for (int i = 0; i < count; ++i) cluster_.StartTaskManager(slots, settings);
    ASSERT_TRUE(cluster_.AwaitTaskManagers(count));
  }
  JobId Submit(const std::string& plugin, uint32_t parallelism,
               std::map<std::string, std::string> arguments = {}) {
    const auto job = cluster_.Submit(plugin, parallelism, std::move(arguments));
    EXPECT_TRUE(job.ok()) << job.status();
    return job.value_or(JobId());
  }
  // Runs an endless job until it has made progress.
  JobId RunNumbers(uint32_t parallelism) {
    const JobId job = Submit(WEIR_NUMBERS_JOB, parallelism);
    EXPECT_TRUE(AwaitProgress(job, 1));
    return job;
  }
  static uint64_t RecordsOf(const proto::JobStatusResponse& status) {
    uint64_t records = 0;
    for (const auto& task : status.tasks()) {
      for (const auto& metrics : task.operators()) records += metrics.records_out();
    }
    return records;
  }
  // The job runs and has put out at least `records`.
  bool AwaitProgress(JobId job, uint64_t records) {
    return cluster_.AwaitStatus(job, [records](const proto::JobStatusResponse& status) {
      return status.summary().state() == proto::RUNNING && RecordsOf(status) >= records;
    });
  }
  std::vector<int64_t> Pids(JobId job) {
    std::vector<int64_t> pids;
    const auto status = cluster_.Status(job);
    EXPECT_TRUE(status.ok()) << status.status();
    if (status.ok()) {
      for (const auto& worker : status->workers()) pids.push_back(worker.pid());
    }
    return pids;
  }
  proto::Failure FailureOf(JobId job) {
    const auto status = cluster_.Status(job);
    return status.ok() ? status->failure() : proto::Failure();
  }
  static std::vector<std::string> StackOf(const proto::Failure& failure) {
    return {failure.stack().begin(), failure.stack().end()};
  }

  Cluster cluster_;
};

TEST_F(ClusterTest, AJobOverTwoTaskManagersFinishesAndShowsItsOutput) {
  StartTaskManagers(2, 1);
  const JobId job = Submit(WEIR_NUMBERS_JOB, 2, {{"count", "20000"}, {"rate", "0"}});
  ASSERT_TRUE(cluster_.AwaitState(job, proto::FINISHED)) << FailureOf(job).message();
  const auto status = cluster_.Status(job);
  ASSERT_TRUE(status.ok());
  EXPECT_THAT(status->workers(), SizeIs(2));
  uint64_t windows = 0;
  for (const auto& task : status->tasks()) {
    EXPECT_EQ(task.state(), proto::TASK_FINISHED);
    for (const auto& metrics : task.operators()) {
      if (status->graph().nodes(static_cast<int>(metrics.node())).uid() == "sum") {
        windows += metrics.records_out();
      }
    }
  }
  EXPECT_EQ(windows, 200u) << "10 keys in 20 seconds";
  for (const int64_t pid : Pids(job)) {
    EXPECT_TRUE(cluster_.AwaitGone(pid, absl::Seconds(10))) << "workers end with their job";
  }
  const auto logs = cluster_.Logs(job);
  ASSERT_TRUE(logs.ok()) << logs.status();
  EXPECT_THAT(*logs, HasSubstr("sum> {\"key\":"));
}

TEST_F(ClusterTest, AWorkerThatIsKilledFailsItsJobWithinThreeSeconds) {
  StartTaskManagers(2, 1);
  const JobId job = RunNumbers(2);
  const std::vector<int64_t> pids = Pids(job);
  ASSERT_THAT(pids, SizeIs(2));
  ASSERT_EQ(kill(static_cast<pid_t>(pids[0]), SIGKILL), 0);
  ASSERT_TRUE(cluster_.AwaitState(job, proto::FAILED, absl::Seconds(3)));
  const proto::Failure failure = FailureOf(job);
  EXPECT_EQ(failure.signal(), SIGKILL);
  EXPECT_THAT(failure.message(), HasSubstr("SIGKILL"));
  EXPECT_THAT(failure.task_manager(), HasSubstr("tm-"));
  EXPECT_TRUE(cluster_.AwaitGone(pids[1], absl::Seconds(10)));
}

// What a plugin does, and what must be said of it.
struct Misbehaviour {
  const char* how;
  int signal;
  const char* message;
  // Empty: no stack is known.
  const char* frame;
  bool operator_known;
};

class MisbehavingTest : public ClusterTest, public ::testing::WithParamInterface<Misbehaviour> {};

TEST_P(MisbehavingTest, EndsItsOwnJobWithTheReasonAndTouchesNoOther) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  const bool sanitized = true;
#else
  const bool sanitized = false;
#endif
  const Misbehaviour& expected = GetParam();
  const bool memory = std::string(expected.how) == "memory";
  if (sanitized && memory) GTEST_SKIP() << "a sanitizer's shadow memory exceeds any limit";
  StartTaskManagers(2, 2,
                    memory ? std::vector<std::string>{"taskmanager.memory.worker.size=768mb"}
                           : std::vector<std::string>{});
  const JobId bystander = RunNumbers(2);
  const std::vector<int64_t> bystander_pids = Pids(bystander);
  const JobId job = Submit(WEIR_MISBEHAVING_JOB, 2, {{"how", expected.how}});
  ASSERT_TRUE(cluster_.AwaitState(job, proto::FAILED));
  const proto::Failure failure = FailureOf(job);
  EXPECT_EQ(failure.signal(), expected.signal);
  EXPECT_THAT(failure.message(), HasSubstr(expected.message));
  if (expected.operator_known) {
    EXPECT_EQ(failure.operator_uid(), "trouble");
  }
  if (*expected.frame != '\0') {
    EXPECT_THAT(StackOf(failure), Contains(HasSubstr(expected.frame)));
  }
  const auto status = cluster_.Status(bystander);
  ASSERT_TRUE(status.ok());
  EXPECT_TRUE(AwaitProgress(bystander, RecordsOf(*status) + 100)) << "the other job goes on";
  EXPECT_EQ(Pids(bystander), bystander_pids);
}

INSTANTIATE_TEST_SUITE_P(
    Ways, MisbehavingTest,
    ::testing::Values(Misbehaviour{"segfault", SIGSEGV, "SIGSEGV", "ReadThrough", true},
                      Misbehaviour{"stack_overflow", SIGSEGV, "SIGSEGV", "RecurseForEver", true},
                      Misbehaviour{"abort", SIGABRT, "SIGABRT", "Misbehave", true},
                      Misbehaviour{"throw", 0, "this number is too much", "ThrowTooMuch", true},
                      Misbehaviour{"throw_on_thread", SIGABRT,
                                   "std::logic_error: nobody catches this", "ThrowUncaught", false},
                      Misbehaviour{"exit", 0, "called exit(3)", "CallExit", true},
                      Misbehaviour{"leave", 0, "called exit(4)", "Misbehave", true},
                      Misbehaviour{"memory", 0, "limited to 768 MiB", "UseAllMemory", true},
                      Misbehaviour{"kill", SIGKILL, "SIGKILL", "", false}),
    [](const auto& way) { return std::string(way.param.how); });

TEST_F(ClusterTest, WorkersEndWhenTheJobManagerIsKilledAndTaskManagersFindTheNext) {
  StartTaskManagers(2, 1, {"taskmanager.worker.orphan-timeout=2 s"});
  const JobId job = RunNumbers(2);
  const std::vector<int64_t> pids = Pids(job);
  cluster_.job_manager().Signal(SIGKILL);
  ASSERT_EQ(cluster_.job_manager().AwaitExit(absl::Seconds(5)), 128 + SIGKILL);
  for (const int64_t pid : pids) EXPECT_TRUE(cluster_.AwaitGone(pid, absl::Seconds(6)));
  EXPECT_EQ(cluster_.task_manager(0).AwaitExit({}), -1) << "task managers stay";
  cluster_.StartJobManager();
  ASSERT_TRUE(cluster_.AwaitTaskManagers(2));
  const JobId next = Submit(WEIR_NUMBERS_JOB, 2, {{"count", "1000"}, {"rate", "0"}});
  EXPECT_TRUE(cluster_.AwaitState(next, proto::FINISHED)) << FailureOf(next).message();
}

TEST_F(ClusterTest, WorkersEndWithTheirTaskManagerAndTheJobFailsWithTheReason) {
  StartTaskManagers(2, 1);
  const JobId job = RunNumbers(2);
  const std::vector<int64_t> pids = Pids(job);
  const auto status = cluster_.Status(job);
  ASSERT_TRUE(status.ok()) << status.status();
  int64_t orphan = 0;
  for (const auto& worker : status->workers()) {
    if (worker.task_manager() == "tm-0") orphan = worker.pid();
  }
  // With the job manager stopped nobody else can have told it to end, and its silence only counts
  // after ten seconds.
  cluster_.job_manager().Signal(SIGSTOP);
  cluster_.task_manager(0).Signal(SIGKILL);
  EXPECT_TRUE(cluster_.AwaitGone(orphan, absl::Seconds(5)));
  cluster_.job_manager().Signal(SIGCONT);
  ASSERT_TRUE(cluster_.AwaitState(job, proto::FAILED, absl::Seconds(10)));
  // What is noticed first: the lost connection of its peer, or the silence of the task manager.
  EXPECT_THAT(FailureOf(job).message(), AnyOf(HasSubstr("tm-0"), HasSubstr("worker 0")));
  for (const int64_t pid : pids) EXPECT_TRUE(cluster_.AwaitGone(pid, absl::Seconds(10)));
}

TEST_F(ClusterTest, ATaskManagerThatIsToldToStopEndsItsWorkersAndExitsWithZero) {
  StartTaskManagers(1, 2);
  const JobId job = RunNumbers(2);
  const std::vector<int64_t> pids = Pids(job);
  cluster_.task_manager(0).Signal(SIGTERM);
  EXPECT_EQ(cluster_.task_manager(0).AwaitExit(absl::Seconds(10)), 0);
  for (const int64_t pid : pids) EXPECT_TRUE(cluster_.AwaitGone(pid, absl::Seconds(1)));
  EXPECT_TRUE(cluster_.AwaitState(job, proto::FAILED, absl::Seconds(10)));
}

TEST_F(ClusterTest, ATaskManagerOfAnotherVersionIsRefusedAndSaysWhy) {
  const size_t index = cluster_.StartTaskManager(1, {}, WEIR_OTHER_VERSION_TASKMANAGER);
  EXPECT_EQ(cluster_.task_manager(index).AwaitExit(absl::Seconds(20)), 1);
  EXPECT_THAT(cluster_.task_manager(index).Errors(),
              AllOf(HasSubstr("0.0.1"), HasSubstr(std::string(kVersion)),
                    HasSubstr("install the same version")));
  EXPECT_THAT(cluster_.Info()->task_managers(), SizeIs(0));
}

TEST_F(ClusterTest, APortInUseIsAStartUpErrorThatNamesIt) {
  const size_t index = cluster_.StartTaskManager(
      1, {StrCat("taskmanager.rpc.port=",
                 cluster_.address().substr(cluster_.address().rfind(':') + 1))});
  EXPECT_EQ(cluster_.task_manager(index).AwaitExit(absl::Seconds(20)), 1);
  EXPECT_THAT(cluster_.task_manager(index).Errors(), HasSubstr(cluster_.address()));
}

TEST_F(ClusterTest, AJobThatHangsInUserCodeIsCancelledAndItsWorkersAreGone) {
  StartTaskManagers(1, 2);
  const JobId job = Submit(WEIR_MISBEHAVING_JOB, 2, {{"how", "hang"}});
  ASSERT_TRUE(cluster_.AwaitStatus(job, [](const auto& status) { return RecordsOf(status) > 50; }));
  const std::vector<int64_t> pids = Pids(job);
  ASSERT_TRUE(cluster_.Cancel(job).ok());
  EXPECT_TRUE(cluster_.AwaitState(job, proto::CANCELED, absl::Seconds(20)));
  for (const int64_t pid : pids) EXPECT_TRUE(cluster_.AwaitGone(pid, absl::Seconds(10)));
}

TEST_F(ClusterTest, TwoJobsRunAtOnceAndOneIsCancelledAlone) {
  StartTaskManagers(2, 2);
  const JobId first = RunNumbers(2);
  const JobId second = RunNumbers(2);
  ASSERT_TRUE(cluster_.Cancel(first).ok());
  ASSERT_TRUE(cluster_.AwaitState(first, proto::CANCELED, absl::Seconds(10)));
  const auto status = cluster_.Status(second);
  ASSERT_TRUE(status.ok());
  EXPECT_TRUE(AwaitProgress(second, RecordsOf(*status) + 100));
}

}  // namespace
}  // namespace weir::cluster
