// The job manager's binary: how it starts, refuses to start and stops, and what it shows over HTTP.
#include <httplib.h>
#include <signal.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "common/base/version.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cluster/cluster.h"

namespace weir::cluster {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class JobManagerProcessTest : public ::testing::Test {
 protected:
  // Runs it with `arguments` until it ends; -1 if it does not.
  int Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), WEIR_JOBMANAGER);
    process_ =
        TestProcess::Start(std::move(arguments), StrCat(cluster_.folder(), "/second-", runs_++));
    return process_->AwaitExit(absl::Seconds(20));
  }
  std::vector<std::string> Settings(std::vector<std::string> settings) {
    std::vector<std::string> arguments;
    for (std::string& setting : settings) {
      arguments.push_back("-D");
      arguments.push_back(std::move(setting));
    }
    return arguments;
  }
  // What the cluster's job manager printed after "REST on ".
  std::string RestAddress() {
    const std::string output = cluster_.job_manager().Output();
    const std::string mark = "REST on ";
    const size_t begin = output.find(mark) + mark.size();
    return output.substr(begin, output.find(',', begin) - begin);
  }
  std::string PortOf(const std::string& address) { return address.substr(address.rfind(':') + 1); }

  Cluster cluster_;
  std::unique_ptr<TestProcess> process_;
  int runs_ = 0;
};

TEST_F(JobManagerProcessTest, ExplainsItself) {
  EXPECT_EQ(Run({"--version"}), 0);
  EXPECT_EQ(process_->Output(), StrCat(kVersion, "\n"));
  EXPECT_EQ(Run({"--help"}), 0);
  EXPECT_THAT(process_->Output(),
              AllOf(HasSubstr("--insecure-allow-plaintext"), HasSubstr("slot.request.timeout")));
}

TEST_F(JobManagerProcessTest, RefusesAnUnknownSettingWithTheNearestKnownOne) {
  EXPECT_EQ(Run(Settings({"slot.request.timout=1s"})), 2);
  EXPECT_THAT(process_->Errors(), HasSubstr("did you mean 'slot.request.timeout'?"));
}

TEST_F(JobManagerProcessTest, RefusesATimeoutThatOneLateHeartbeatWouldPass) {
  EXPECT_NE(Run(Settings({"heartbeat.interval=2s", "heartbeat.timeout=3s"})), 0);
  EXPECT_THAT(process_->Errors(), HasSubstr("at least twice heartbeat.interval"));
}

TEST_F(JobManagerProcessTest, RefusesAFolderInWhichAnotherOneWorks) {
  cluster_.StartJobManager();
  EXPECT_EQ(Run(Settings({StrCat("weir.data.dir=", cluster_.folder(), "/jobmanager"),
                          "jobmanager.rpc.port=0", "rest.port=0"})),
            1);
  EXPECT_THAT(process_->Errors(),
              AllOf(HasSubstr("another job manager works in"),
                    HasSubstr(StrCat("(process ", cluster_.job_manager().pid(), " on host "))));
}

TEST_F(JobManagerProcessTest, RefusesPortsThatAreInUseAndNamesThem) {
  cluster_.StartJobManager();
  const std::string data = StrCat("weir.data.dir=", cluster_.folder(), "/second");
  EXPECT_EQ(Run(Settings(
                {data, StrCat("jobmanager.rpc.port=", PortOf(cluster_.address())), "rest.port=0"})),
            1);
  EXPECT_THAT(process_->Errors(), HasSubstr(cluster_.address()));
  EXPECT_EQ(
      Run(Settings({data, "jobmanager.rpc.port=0", StrCat("rest.port=", PortOf(RestAddress()))})),
      1);
  EXPECT_THAT(process_->Errors(), HasSubstr(StrCat(":", PortOf(RestAddress()), " is in use")));
}

TEST_F(JobManagerProcessTest, ListensForOtherMachinesOnlyIfToldThatThisIsInsecure) {
  const std::string data = StrCat("weir.data.dir=", cluster_.folder(), "/second");
  EXPECT_EQ(
      Run(Settings({data, "jobmanager.rpc.port=0", "rest.port=0", "jobmanager.bind-host=0.0.0.0"})),
      1);
  EXPECT_THAT(process_->Errors(), HasSubstr("--insecure-allow-plaintext"));
  EXPECT_EQ(
      Run(Settings({data, "jobmanager.rpc.port=0", "rest.port=0", "rest.bind-address=0.0.0.0"})),
      1);
  EXPECT_THAT(process_->Errors(), HasSubstr("--insecure-allow-plaintext"));
}

TEST_F(JobManagerProcessTest, EndsWithZeroWhenToldToStopAndRemovesItsTemporaryFolder) {
  const std::string temporary = StrCat(cluster_.folder(), "/tmp");
  std::filesystem::create_directories(temporary);
  process_ = TestProcess::Start({WEIR_JOBMANAGER, "-D", "jobmanager.rpc.port=0", "-D",
                                 "rest.port=0", "-D", StrCat("io.tmp.dirs=", temporary)},
                                StrCat(cluster_.folder(), "/temporary"));
  while (process_->Output().empty() && process_->AwaitExit(absl::Milliseconds(5)) == -1) {
  }
  EXPECT_THAT(process_->Output(), HasSubstr(temporary));
  EXPECT_FALSE(std::filesystem::is_empty(temporary));
  process_->Signal(SIGTERM);
  EXPECT_EQ(process_->AwaitExit(absl::Seconds(10)), 0);
  EXPECT_TRUE(std::filesystem::is_empty(temporary));
}

TEST_F(JobManagerProcessTest, TakesAHigherEpochWithEachStart) {
  cluster_.StartJobManager();
  const auto first = cluster_.Info();
  ASSERT_TRUE(first.ok()) << first.status();
  cluster_.job_manager().Signal(SIGKILL);
  EXPECT_EQ(cluster_.job_manager().AwaitExit(absl::Seconds(10)), 128 + SIGKILL);
  cluster_.StartJobManager();
  const auto second = cluster_.Info();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->leader_epoch(), first->leader_epoch() + 1);
}

TEST_F(JobManagerProcessTest, ShowsARunningJobOverHttpAndForgetsItsSeriesWhenItHasEnded) {
  cluster_.StartJobManager();
  cluster_.StartTaskManager(2);
  ASSERT_TRUE(cluster_.AwaitTaskManagers(1));
  const auto job = cluster_.Submit(WEIR_NUMBERS_JOB, 2);
  ASSERT_TRUE(job.ok()) << job.status();
  httplib::Client http(RestAddress());
  const auto get = [&](const char* path) {
    auto answer = http.Get(path);
    return answer ? answer->body : std::string("no answer");
  };
  // Snapshots are made twice a second.
  std::string metrics;
  ASSERT_TRUE(cluster_.AwaitStatus(*job, [&](const proto::JobStatusResponse&) {
    metrics = get("/metrics");
    return metrics.find("flink_taskmanager_job_task_operator_numRecordsOut{") != std::string::npos;
  }));
  EXPECT_THAT(metrics, HasSubstr(StrCat("job_id=\"", job->ToString(), "\"")));
  EXPECT_THAT(metrics, HasSubstr("operator_name=\"sum\""));
  EXPECT_THAT(metrics, HasSubstr("subtask_index=\"1\",tm_id=\"tm_0\",host=\"127_0_0_1\""));
  EXPECT_THAT(metrics, HasSubstr("flink_jobmanager_taskSlotsAvailable{host=\"127_0_0_1\"} 0\n"));
  EXPECT_THAT(get("/v1/overview"),
              HasSubstr("\"slots-total\":2,\"slots-available\":0,\"jobs-running\":1"));
  EXPECT_THAT(get("/jobs/overview"), HasSubstr(StrCat("\"jid\":\"", job->ToString(), "\"")));
  ASSERT_TRUE(cluster_.Cancel(*job).ok());
  ASSERT_TRUE(cluster_.AwaitState(*job, proto::CANCELED));
  ASSERT_TRUE(cluster_.AwaitStatus(*job, [&](const proto::JobStatusResponse&) {
    return get("/overview").find("\"jobs-cancelled\":1") != std::string::npos;
  }));
  EXPECT_THAT(get("/metrics"), Not(HasSubstr(job->ToString())));
}

}  // namespace
}  // namespace weir::cluster
