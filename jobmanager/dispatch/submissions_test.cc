#include "jobmanager/dispatch/submissions.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "jobmanager/testing/job_manager_fixture.h"

// Submissions and plugins, through the job manager's streams.
namespace weir::jobmanager {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kPlugin[] = "plugin bytes";

class SubmissionsTest : public JobManagerFixture {
 public:
  SubmissionsTest() { StartJobManager(); }

  // How the stream of a submission with that header ends.
  absl::Status Refusal(const proto::SubmitHeader& header) {
    auto upload = OpenUpload(header);
    EXPECT_TRUE(Until([&] { return upload->closed.has_value(); }));
    EXPECT_THAT(upload->responses, IsEmpty());
    return upload->closed.value_or(absl::OkStatus());
  }
  void ExpectNothingLeft() {
    EXPECT_TRUE(Until([&] { return Files("/data/uploads").empty(); }));
    EXPECT_THAT(Files("/data/blobs"), IsEmpty());
  }

  struct Fetch {
    std::string data;
    size_t chunks = 0;
    std::optional<absl::Status> closed;
  };
  std::shared_ptr<Fetch> FetchPlugin(const std::string& sha256) {
    auto fetch = std::make_shared<Fetch>();
    StreamCallbacks callbacks;
    callbacks.on_message = [fetch](const std::string& message) {
      proto::PluginChunk chunk;
      ASSERT_TRUE(chunk.ParseFromString(message));
      fetch->data += chunk.data();
      ++fetch->chunks;
    };
    callbacks.on_close = [fetch](absl::Status status) { fetch->closed = std::move(status); };
    auto stream =
        peer_->OpenStream("/weir.JobManager/FetchPlugin", client_.get(), std::move(callbacks));
    proto::FetchPluginRequest request;
    request.set_plugin_sha256(sha256);
    MessageBytes bytes;
    bytes.pieces.push_back(request.SerializeAsString());
    stream->Send(std::move(bytes));
    stream->Finish();
    EXPECT_TRUE(Until([&] { return fetch->closed.has_value(); }));
    return fetch;
  }
};

TEST_F(SubmissionsTest, KeepsAPluginUnderItsDigestAndDrawsAnIdForTheJob) {
  auto first = TrySubmit(1, kPlugin);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->size(), 16u);
  EXPECT_THAT(Files("/data/blobs"), ElementsAre(Sha256::Hex(kPlugin)));
  EXPECT_THAT(Files("/data/uploads"), IsEmpty());
  EXPECT_EQ(*ReadFile(jm_env_->files(), "/data/blobs/" + Sha256::Hex(kPlugin), 1000), kPlugin);
}

TEST_F(SubmissionsTest, DoesNotAskForAKnownPluginAgain) {
  auto first = TrySubmit(1, kPlugin);
  ASSERT_TRUE(first.ok());
  auto upload = OpenUpload(Header(1, kPlugin));
  ASSERT_TRUE(AwaitAnswer(*upload).ok());
  EXPECT_TRUE(upload->responses[0].plugin_known());
  upload->SendEnd();
  ASSERT_TRUE(AwaitAnswer(*upload, 2).ok());
  EXPECT_NE(upload->responses[1].job_id(), *first);
}

TEST_F(SubmissionsTest, KnowsItsPluginsAfterARestart) {
  ASSERT_TRUE(TrySubmit(1, kPlugin).ok());
  world_.CrashHost("jm", SimDisk::Loss::kAllUnsynced);
  job_manager_ = nullptr;
  StartJobManager();
  auto upload = OpenUpload(Header(1, kPlugin));
  ASSERT_TRUE(AwaitAnswer(*upload).ok());
  EXPECT_TRUE(upload->responses[0].plugin_known());
}

TEST_F(SubmissionsTest, TakesTheSamePluginFromTwoClientsAtOnce) {
  auto first = OpenUpload(Header(1, kPlugin));
  auto second = OpenUpload(Header(1, kPlugin));
  ASSERT_TRUE(AwaitAnswer(*first).ok());
  ASSERT_TRUE(AwaitAnswer(*second).ok());
  EXPECT_FALSE(first->responses[0].plugin_known());
  EXPECT_FALSE(second->responses[0].plugin_known());
  first->SendData("plugin ");
  second->SendData(kPlugin);
  first->SendData("bytes");
  second->SendEnd();
  first->SendEnd();
  ASSERT_TRUE(AwaitAnswer(*first, 2).ok());
  ASSERT_TRUE(AwaitAnswer(*second, 2).ok());
  EXPECT_NE(first->responses[1].job_id(), second->responses[1].job_id());
  EXPECT_THAT(Files("/data/blobs"), ElementsAre(Sha256::Hex(kPlugin)));
  EXPECT_THAT(Files("/data/uploads"), IsEmpty());
}

TEST_F(SubmissionsTest, KeepsNothingOfAClientThatGoesAwayInTheMiddle) {
  auto upload = OpenUpload(Header(1, kPlugin));
  ASSERT_TRUE(AwaitAnswer(*upload).ok());
  upload->SendData("plugin");
  ASSERT_TRUE(Until([&] { return Files("/data/uploads").size() == 1; }));
  world_.KillProcess(*client_env_);
  ExpectNothingLeft();
}

TEST_F(SubmissionsTest, KeepsNothingOfAClientThatGivesUp) {
  auto upload = OpenUpload(Header(1, kPlugin));
  ASSERT_TRUE(AwaitAnswer(*upload).ok());
  upload->SendData("plugin");
  ASSERT_TRUE(Until([&] { return Files("/data/uploads").size() == 1; }));
  upload->stream->Cancel(absl::CancelledError("Ctrl-C"));
  ExpectNothingLeft();
}

TEST_F(SubmissionsTest, CutsOffAClientThatIsSilentInTheMiddle) {
  auto upload = OpenUpload(Header(1, kPlugin));
  ASSERT_TRUE(AwaitAnswer(*upload).ok());
  upload->SendData("plugin");
  EXPECT_FALSE(Until([&] { return upload->closed.has_value(); }, absl::Seconds(50)));
  EXPECT_TRUE(Until([&] { return upload->closed.has_value(); }, absl::Seconds(20)));
  EXPECT_EQ(upload->closed->code(), absl::StatusCode::kDeadlineExceeded);
  ExpectNothingLeft();
}

TEST_F(SubmissionsTest, DropsAPluginWhenTheLastThatNeedsItIsGone) {
  KillJobManager();
  options_.max_idle_plugin_bytes = 0;
  StartJobManager();
  const auto blobs = [&] { return Files("/data/blobs").size(); };
  auto first = TrySubmit(1, kPlugin);
  auto second = TrySubmit(1, kPlugin);
  ASSERT_TRUE(first.ok() && second.ok());
  auto given_up = OpenUpload(Header(1, kPlugin));
  ASSERT_TRUE(AwaitAnswer(*given_up).ok());
  ASSERT_TRUE(Cancel(*first).ok());
  ASSERT_TRUE(Cancel(*second).ok());
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(blobs(), 1u);
  given_up->stream->Cancel(absl::CancelledError("Ctrl-C"));
  EXPECT_TRUE(Until([&] { return blobs() == 0; }));
}

TEST_F(SubmissionsTest, RemovesWhatACrashLeftOfAnUpload) {
  auto upload = OpenUpload(Header(1, kPlugin));
  ASSERT_TRUE(AwaitAnswer(*upload).ok());
  upload->SendData("plugin");
  ASSERT_TRUE(Until([&] { return Files("/data/uploads").size() == 1; }));
  KillJobManager();
  StartJobManager();
  ExpectNothingLeft();
}

TEST_F(SubmissionsTest, RefusesBytesThatAreNotWhatWasAnnounced) {
  struct Case {
    std::string sent;
    std::string expected;
  };
  for (const Case& wrong :
       {Case{"plugin bytez", "have the sha256"}, Case{"plugin byte", "ended after 11 of 12 bytes"},
        Case{"plugin bytes!", "more than the 12 bytes"}}) {
    auto upload = OpenUpload(Header(1, kPlugin));
    ASSERT_TRUE(AwaitAnswer(*upload).ok());
    upload->SendData(wrong.sent);
    upload->SendEnd();
    ASSERT_TRUE(Until([&] { return upload->closed.has_value(); }));
    EXPECT_EQ(upload->closed->code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(upload->closed->message()), HasSubstr(wrong.expected));
    ExpectNothingLeft();
  }
}

TEST_F(SubmissionsTest, RefusesAHeaderThatClaimsWhatCannotBe) {
  proto::SubmitHeader header = Header(1, kPlugin);
  header.set_plugin_sha256("../../etc/passwd");
  EXPECT_THAT(std::string(Refusal(header).message()), HasSubstr("64 lower-case hex digits"));
  header = Header(1, kPlugin);
  header.set_plugin_bytes((512ull << 20) + 1);
  EXPECT_THAT(std::string(Refusal(header).message()), HasSubstr("512 MiB"));
  header.set_plugin_bytes(0);
  EXPECT_THAT(std::string(Refusal(header).message()), HasSubstr("the plugin is empty"));
  header = Header(1, kPlugin);
  (*header.mutable_settings())["key"] = std::string(600 << 10, 'x');
  (*header.mutable_arguments())["key"] = std::string(600 << 10, 'x');
  EXPECT_THAT(std::string(Refusal(header).message()), HasSubstr("1 MiB"));
  header = Header(1, kPlugin);
  header.set_parallelism(0);
  EXPECT_THAT(std::string(Refusal(header).message()), HasSubstr("parallelism is 0"));
  header = Header(1, kPlugin);
  header.mutable_graph()->mutable_edges(0)->set_to_node(0);
  EXPECT_THAT(std::string(Refusal(header).message()), HasSubstr("graph is not valid"));
  header = Header(1, kPlugin);
  header.set_job_name("another");
  EXPECT_THAT(std::string(Refusal(header).message()),
              HasSubstr("name is not the one in its graph"));
  ExpectNothingLeft();
}

TEST_F(SubmissionsTest, RefusesMessagesOutOfOrder) {
  const auto ends_with = [&](Upload& upload, const std::string& expected) {
    ASSERT_TRUE(Until([&] { return upload.closed.has_value(); }));
    EXPECT_EQ(upload.closed->code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(upload.closed->message()), HasSubstr(expected));
  };
  auto two_headers = OpenUpload(Header(1, kPlugin));
  proto::SubmitChunk again;
  *again.mutable_header() = Header(1, kPlugin);
  two_headers->Send(again);
  ends_with(*two_headers, "`header` out of order");
  auto empty = OpenUpload(Header(1, kPlugin));
  empty->Send(proto::SubmitChunk());
  ends_with(*empty, "is empty");
  auto garbage = OpenUpload(Header(1, kPlugin));
  MessageBytes bytes;
  bytes.pieces.push_back("\xff\xff\xff");
  garbage->stream->Send(std::move(bytes));
  ends_with(*garbage, "malformed");
  auto large = OpenUpload(Header(1, kPlugin));
  large->SendData(std::string((1 << 20) + 100, 'x'));
  ends_with(*large, "1 MiB");
  ASSERT_TRUE(TrySubmit(1, kPlugin).ok());
  auto known = OpenUpload(Header(1, kPlugin));
  known->SendData(kPlugin);
  ends_with(*known, "send no data");
}

TEST_F(SubmissionsTest, RefusesMoreClientsAtOnceThanItMayHave) {
  std::vector<std::shared_ptr<Upload>> uploads;
  for (size_t i = 0; i < kMaxSubmissionsAtOnce; ++i) {
    uploads.push_back(OpenUpload(Header(1, kPlugin)));
    ASSERT_TRUE(AwaitAnswer(*uploads.back()).ok());
  }
  EXPECT_EQ(Refusal(Header(1, kPlugin)).code(), absl::StatusCode::kResourceExhausted);
  uploads[0]->stream->Cancel(absl::CancelledError("enough"));
  EXPECT_TRUE(Until([&] { return uploads[0]->closed.has_value(); }));
  EXPECT_TRUE(TrySubmit(1, "another plugin").ok());
}

TEST_F(SubmissionsTest, SaysWhenTheDiskIsFull) {
  world_.disk("jm").set_capacity_bytes(1 << 20);
  const std::string plugin(2 << 20, 'x');
  auto upload = OpenUpload(Header(1, plugin));
  ASSERT_TRUE(AwaitAnswer(*upload).ok());
  upload->SendData(plugin.substr(0, 1 << 20));
  upload->SendData(plugin.substr(1 << 20));
  ASSERT_TRUE(Until([&] { return upload->closed.has_value(); }));
  EXPECT_EQ(upload->closed->code(), absl::StatusCode::kResourceExhausted);
  ExpectNothingLeft();
}

TEST_F(SubmissionsTest, SendsAPluginInPiecesToTaskManagers) {
  std::string plugin(5'500'000, 'x');
  for (size_t i = 0; i < plugin.size(); ++i) plugin[i] = static_cast<char>(i * 31 % 251);
  auto upload = OpenUpload(Header(1, plugin));
  ASSERT_TRUE(AwaitAnswer(*upload).ok());
  for (size_t i = 0; i < plugin.size(); i += 1 << 20) upload->SendData(plugin.substr(i, 1 << 20));
  upload->SendEnd();
  ASSERT_TRUE(AwaitAnswer(*upload, 2).ok());
  auto fetch = FetchPlugin(Sha256::Hex(plugin));
  EXPECT_EQ(*fetch->closed, absl::OkStatus());
  EXPECT_EQ(fetch->data.size(), plugin.size());
  EXPECT_TRUE(fetch->data == plugin);
  EXPECT_EQ(fetch->chunks, 6u);
}

TEST_F(SubmissionsTest, RefusesToSendAPluginThatItDoesNotHave) {
  EXPECT_EQ(FetchPlugin(Sha256::Hex("other"))->closed->code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(FetchPlugin("../leader_epoch")->closed->code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace weir::jobmanager
