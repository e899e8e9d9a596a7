#include "client/lib/job_manager_client.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "common/hash/sha256.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"
#include "transport/rpc/typed_call.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const JobId kJob(1, 2);

std::string Bytes(JobId id) { return std::string(id.bytes().begin(), id.bytes().end()); }

// A job manager that does as it is told, and a client, in virtual time.
class JobManagerClientTest : public testing::Test {
 protected:
  JobManagerClientTest() {
    ServerMethods methods;
    methods.streams.push_back(
        {"/weir.JobManager/Submit", server_executor_.get(),
         [this](std::shared_ptr<MessageStream> stream) -> absl::StatusOr<StreamCallbacks> {
           stream_ = std::move(stream);
           return StreamCallbacks{[this](std::string m) { OnChunk(m); },
                                  [this](absl::Status s) { closed_ = s; }};
         }});
    methods.unary.push_back(TypedUnary<proto::ListJobsRequest, proto::ListJobsResponse>(
        "/weir.JobManager/ListJobs", server_executor_.get(),
        [this](proto::ListJobsRequest, TypedResponder<proto::ListJobsResponse> respond) {
          if (silent_) return kept_.push_back(std::move(respond));
          proto::ListJobsResponse response;
          response.add_jobs()->set_name("clicks");
          respond(std::move(response));
        }));
    methods.unary.push_back(TypedUnary<proto::CancelJobRequest, proto::CancelJobResponse>(
        "/weir.JobManager/CancelJob", server_executor_.get(),
        [](proto::CancelJobRequest request, TypedResponder<proto::CancelJobResponse> respond) {
          respond(absl::NotFoundError("no job " + JobIdFromBytes(request.job_id())->ToString()));
        }));
    listener_ = *server_.network().Listen("jm:6123", std::move(methods));
  }
  ~JobManagerClientTest() override { client_.reset(); }

  void OnChunk(const std::string& message) {
    proto::SubmitChunk chunk;
    ASSERT_TRUE(chunk.ParseFromString(message));
    if (silent_) return;
    proto::SubmitResponse response;
    if (chunk.has_header()) {
      header_ = chunk.header();
      if (!refuse_.ok()) return stream_->Cancel(refuse_);
      response.set_plugin_known(known_);
      Answer(response);
    } else if (chunk.has_data()) {
      largest_piece_ = std::max(largest_piece_, chunk.data().size());
      received_ += chunk.data();
    } else {
      if (die_at_end_) return world_.KillProcess(server_);
      ended_ = true;
      response.set_job_id(Bytes(kJob));
      Answer(response);
    }
  }
  void Answer(const proto::SubmitResponse& response) {
    MessageBytes bytes;
    bytes.pieces.push_back(response.SerializeAsString());
    stream_->Send(std::move(bytes));
  }

  absl::StatusOr<JobId> Submit(const std::string& plugin,
                               ClientOptions options = {.address = "jm:6123"}) {
    EXPECT_TRUE(WriteFileAtomically(env_.files(), "/job.so", plugin).ok());
    return SubmitFile(options);
  }
  absl::StatusOr<JobId> SubmitFile(ClientOptions options = {.address = "jm:6123"}) {
    std::optional<absl::StatusOr<JobId>> result;
    executor_->Post([&] {
      client_ = std::make_unique<JobManagerClient>(env_, *executor_, options);
      auto graph = std::make_shared<proto::JobGraph>();
      graph->set_job_name("clicks");
      graph->set_default_parallelism(3);
      client_->Submit(
          {.plugin_path = "/job.so",
           .graph = graph,
           .arguments = {{"input", "x"}},
           .settings = {},
           .fingerprint = "gcc"},
          [&](uint64_t sent, uint64_t total) { progress_.emplace_back(sent, total); },
          [&](absl::StatusOr<JobId>&& r) { result = std::move(r); });
    });
    EXPECT_TRUE(world_.RunUntil([&] { return result.has_value(); }, absl::Seconds(60)));
    return result.value_or(absl::InternalError("no result"));
  }

  SimWorld world_;
  SimEnv& server_ = world_.StartProcess("jm");
  SimEnv& env_ = world_.StartProcess("cli");
  std::unique_ptr<Executor> server_executor_ = server_.NewExecutor("jm");
  std::unique_ptr<Executor> executor_ = env_.NewExecutor("cli");
  std::unique_ptr<JobManagerClient> client_;
  std::unique_ptr<Listener> listener_;
  std::shared_ptr<MessageStream> stream_;
  std::vector<TypedResponder<proto::ListJobsResponse>> kept_;

  bool known_ = false;
  bool silent_ = false;
  bool die_at_end_ = false;
  absl::Status refuse_;
  proto::SubmitHeader header_;
  std::string received_;
  size_t largest_piece_ = 0;
  bool ended_ = false;
  std::optional<absl::Status> closed_;
  std::vector<std::pair<uint64_t, uint64_t>> progress_;
};

TEST_F(JobManagerClientTest, APluginIsUploadedInPiecesOfOneMebibyte) {
  std::string plugin(5'300'000, 'x');
  for (size_t i = 0; i < plugin.size(); i += 1000)
    plugin[i] = static_cast<char>('a' + i / 1000 % 26);
  auto job = Submit(plugin);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(*job, kJob);
  EXPECT_EQ(header_.plugin_sha256(), Sha256::Hex(plugin));
  EXPECT_EQ(header_.plugin_bytes(), plugin.size());
  EXPECT_EQ(header_.job_name(), "clicks");
  EXPECT_EQ(header_.parallelism(), 3u);
  EXPECT_EQ(header_.arguments().at("input"), "x");
  EXPECT_TRUE(received_ == plugin);
  EXPECT_EQ(largest_piece_, size_t{1} << 20);
  ASSERT_EQ(progress_.size(), 6u);
  EXPECT_EQ(progress_.back(), std::make_pair(uint64_t{plugin.size()}, uint64_t{plugin.size()}));
}

TEST_F(JobManagerClientTest, APluginThatTheJobManagerHasIsNotSentAgain) {
  known_ = true;
  auto job = Submit("plugin");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(received_, "");
  EXPECT_TRUE(ended_);
}

TEST_F(JobManagerClientTest, ARefusalIsPassedOn) {
  refuse_ = absl::ResourceExhaustedError("there are 100 jobs already");
  EXPECT_EQ(Submit("plugin").status(), refuse_);
}

TEST_F(JobManagerClientTest, AMissingOrTooLargePluginIsSentNowhere) {
  EXPECT_TRUE(absl::IsNotFound(SubmitFile().status()));
  EXPECT_THAT(
      std::string(
          Submit("123456", {.address = "jm:6123", .max_plugin_bytes = 5}).status().message()),
      HasSubstr("'/job.so' has 6 bytes; at most 5 are allowed"));
  EXPECT_EQ(stream_, nullptr);
}

TEST_F(JobManagerClientTest, AnUnreachableJobManagerIsNamedWithinTheTimeout) {
  const absl::Duration before = world_.elapsed();
  auto job = Submit("plugin", {.address = "jm:1"});
  EXPECT_TRUE(absl::IsUnavailable(job.status())) << job.status();
  EXPECT_THAT(std::string(job.status().message()),
              HasSubstr("the job manager at jm:1 is not reachable"));
  EXPECT_LT(world_.elapsed() - before, absl::Seconds(6));
}

TEST_F(JobManagerClientTest, ASilentJobManagerIsGivenUpAfterTheTimeout) {
  silent_ = true;
  auto job = Submit("plugin");
  EXPECT_TRUE(absl::IsUnavailable(job.status())) << job.status();
  EXPECT_THAT(std::string(job.status().message()), HasSubstr("no answer within 5s"));
  std::optional<absl::StatusOr<proto::ListJobsResponse>> list;
  executor_->Post([&] {
    client_->ListJobs([&](absl::StatusOr<proto::ListJobsResponse>&& r) { list = std::move(r); });
  });
  ASSERT_TRUE(world_.RunUntil([&] { return list.has_value(); }, absl::Seconds(10)));
  EXPECT_THAT(std::string(list->status().message()), HasSubstr("the job manager at jm:6123"));
}

TEST_F(JobManagerClientTest, ALossAfterTheLastPieceSaysThatTheOutcomeIsUnknown) {
  die_at_end_ = true;
  EXPECT_THAT(std::string(Submit("plugin").status().message()),
              AllOf(HasSubstr("jm:6123"), HasSubstr("which may run or not")));
}

TEST_F(JobManagerClientTest, CallsReturnTheAnswerOrTheErrorOfTheJobManager) {
  std::optional<absl::StatusOr<proto::ListJobsResponse>> list;
  std::optional<absl::StatusOr<proto::CancelJobResponse>> cancel;
  executor_->Post([&] {
    client_ =
        std::make_unique<JobManagerClient>(env_, *executor_, ClientOptions{.address = "jm:6123"});
    client_->ListJobs([&](absl::StatusOr<proto::ListJobsResponse>&& r) { list = std::move(r); });
    client_->CancelJob(
        kJob, [&](absl::StatusOr<proto::CancelJobResponse>&& r) { cancel = std::move(r); });
  });
  ASSERT_TRUE(
      world_.RunUntil([&] { return list.has_value() && cancel.has_value(); }, absl::Seconds(10)));
  ASSERT_TRUE(list->ok()) << list->status();
  EXPECT_EQ((*list)->jobs(0).name(), "clicks");
  EXPECT_EQ(cancel->status(), absl::NotFoundError("no job " + kJob.ToString()));
}

proto::ListJobsResponse Jobs(std::vector<std::pair<JobId, std::string>> jobs) {
  proto::ListJobsResponse response;
  for (const auto& [id, name] : jobs) {
    proto::JobSummary& job = *response.add_jobs();
    job.set_job_id(Bytes(id));
    job.set_name(name);
    job.set_state(proto::RUNNING);
  }
  return response;
}

TEST(FindJobTest, AJobIsFoundByIdByPrefixAndByName) {
  const JobId a(0xabc0'0000'0000'0000, 1);
  const JobId b(0xabd0'0000'0000'0000, 2);
  const auto jobs = Jobs({{a, "clicks"}, {b, "words"}});
  EXPECT_EQ(FindJob(jobs, "abc").value(), a);
  EXPECT_EQ(FindJob(jobs, "ABD").value(), b);
  EXPECT_EQ(FindJob(jobs, "words").value(), b);
  EXPECT_EQ(FindJob(jobs, "00000000000000000000000000000009").value(), JobId(0, 9));
  EXPECT_THAT(std::string(FindJob(jobs, "ab").status().message()),
              AllOf(HasSubstr("several jobs"), HasSubstr(a.ToString()), HasSubstr(b.ToString())));
  EXPECT_TRUE(absl::IsNotFound(FindJob(jobs, "flights").status()));
  EXPECT_THAT(std::string(FindJob(jobs, "flights").status().message()), HasSubstr("words"));
  EXPECT_TRUE(absl::IsInvalidArgument(FindJob(jobs, "").status()));
  EXPECT_TRUE(absl::IsNotFound(FindJob({}, "x").status()));
}

TEST(FindJobTest, OfJobsWithOneNameTheOneThatHasNotEndedIsMeant) {
  auto jobs = Jobs({{JobId(1, 0), "clicks"}, {JobId(2, 0), "clicks"}});
  EXPECT_TRUE(absl::IsInvalidArgument(FindJob(jobs, "clicks").status()));
  jobs.mutable_jobs(0)->set_state(proto::FAILED);
  EXPECT_EQ(FindJob(jobs, "clicks").value(), JobId(2, 0));
}

}  // namespace
}  // namespace weir
