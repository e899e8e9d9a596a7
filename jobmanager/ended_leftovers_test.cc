// What tasks write after the end of their job goes also if the job manager was started again since.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "jobmanager/testing/job_manager_fixture.h"

namespace weir::jobmanager {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class EndedLeftoversTest : public JobManagerFixture {
 protected:
  EndedLeftoversTest() {
    EXPECT_TRUE(options_.settings.Set("execution.checkpointing.dir", "/checkpoints").ok());
    EXPECT_TRUE(options_.settings.Set("execution.checkpointing.interval", "1 s").ok());
    EXPECT_TRUE(options_.settings
                    .Set("execution.checkpointing.externalized-checkpoint-retention",
                         "RETAIN_ON_CANCELLATION")
                    .ok());
    StartJobManager();
    tm_ = &StartTaskManager("tm", 1);
  }
  void StartRunningJob() {
    job_ = Submit(1);
    ASSERT_TRUE(UntilState(job_, proto::RUNNING));
    std::array<uint8_t, JobId::kBytes> id{};
    std::copy_n(job_.begin(), id.size(), id.begin());
    folder_ = StrCat("/checkpoints/", JobId(id).ToString());
  }
  // With time for all that is deleted and recorded at the end.
  void AwaitEnd(proto::JobState state) {
    ASSERT_TRUE(UntilState(job_, state));
    world_.RunFor(absl::Seconds(2));
    KillTaskManager("tm");
  }
  // By a process that nobody knows of any more, on the same disk.
  void Write(const std::string& name, const std::string& bytes = "late") {
    const std::string path = StrCat(folder_, "/", name);
    ASSERT_TRUE(zombie_.files().CreateDirectories(path.substr(0, path.rfind('/'))).ok());
    ASSERT_TRUE(WriteFileAtomically(zombie_.files(), path, bytes).ok());
  }
  std::vector<std::string> In(const std::string& folder) {
    std::vector<std::string> names;
    const auto found = zombie_.files().List(StrCat(folder_, folder));
    if (!found.ok()) return {"no folder"};
    for (const FileInfo& file : *found) names.push_back(file.path.substr(file.path.rfind('/') + 1));
    std::sort(names.begin(), names.end());
    return names;
  }
  // As the worker of its task does; with a shared file of `bytes` bytes if there is a name.
  void Acknowledge(uint32_t vertex, uint64_t checkpoint, const std::string& file, uint64_t bytes) {
    proto::AcknowledgeCheckpointRequest request;
    request.set_job_id(job_);
    request.set_attempt(1);
    request.set_leader_epoch(job_manager_->leader_epoch());
    request.set_checkpoint_id(checkpoint);
    proto::TaskSnapshot& snapshot = *request.mutable_snapshot();
    snapshot.set_vertex(vertex);
    if (!file.empty()) {
      snapshot.add_files()->set_name(file);
      snapshot.mutable_files(0)->set_bytes(bytes);
      snapshot.add_operators()->set_node(vertex);
      snapshot.mutable_operators(0)->add_files(0);
    }
    const absl::Status status =
        Call<proto::AcknowledgeCheckpointRequest, proto::AcknowledgeCheckpointResponse>(
            "AcknowledgeCheckpoint", request)
            .status();
    EXPECT_TRUE(status.ok()) << status;
  }

  FakeTaskManager* tm_ = nullptr;
  SimEnv& zombie_ = world_.StartProcess("zombie", "jm");
  std::string job_;
  std::string folder_;
};

TEST_F(EndedLeftoversTest, WhatIsWrittenLateGoesAlsoIfTheJobManagerWasStartedAgain) {
  StartRunningJob();
  tm_->SetTasks(*tm_->Running().begin(), proto::TASK_FINISHED);
  AwaitEnd(proto::FINISHED);
  EXPECT_THAT(In(""), ElementsAre("no folder"));
  world_.RunFor(absl::Minutes(15));
  KillJobManager();
  Write("chk-7/1-0-0.state");
  Write("shared/1-1-0.state");
  world_.RunFor(absl::Minutes(5));
  EXPECT_THAT(In(""), ElementsAre("chk-7", "shared"));
  StartJobManager();
  world_.RunFor(absl::Seconds(1));
  EXPECT_THAT(In(""), ElementsAre("no folder")) << "it looks at once";

  Write("chk-8/1-0-0.state");
  world_.RunFor(absl::Minutes(38));
  EXPECT_THAT(In(""), ElementsAre("chk-8"));
  world_.RunFor(absl::Minutes(4));
  EXPECT_THAT(In(""), ElementsAre("no folder")) << "and an hour after the end of the job";
  EXPECT_EQ(State(job_), proto::FINISHED);
  EXPECT_THAT(log_, Not(HasSubstr("warning: job")));
}

TEST_F(EndedLeftoversTest, OfAJobWhoseCheckpointIsKeptThatStays) {
  StartRunningJob();
  ASSERT_TRUE(Until([this] { return In("/chk-1").empty(); }));
  Write("shared/1-0-0.state", "state of an ended task");
  Acknowledge(0, 1, "shared/1-0-0.state", 22);
  Acknowledge(1, 1, "", 0);
  ASSERT_TRUE(Until([this] { return In("/chk-1") == std::vector<std::string>{"_metadata"}; }));
  ASSERT_TRUE(Cancel(job_).ok());
  AwaitEnd(proto::CANCELED);
  EXPECT_THAT(In(""), ElementsAre("chk-1", "shared"));
  KillJobManager();
  Write("chk-2/1-0-0.state");
  Write("shared/1-1-0.state");
  StartJobManager();
  for (const absl::Duration later : {absl::Seconds(1), absl::Minutes(70)}) {
    world_.RunFor(later);
    EXPECT_THAT(In(""), ElementsAre("chk-1", "shared"));
    EXPECT_THAT(In("/chk-1"), ElementsAre("_metadata"));
    EXPECT_THAT(In("/shared"), ElementsAre("1-0-0.state"));
  }
}

}  // namespace
}  // namespace weir::jobmanager
