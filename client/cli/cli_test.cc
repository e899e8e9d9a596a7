#include "client/cli/cli.h"

#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/commands.h"
#include "common/base/strings.h"
#include "common/env/system/system_env.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"
#include "transport/rpc/grpc_network.h"
#include "transport/rpc/typed_call.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

const std::string kJobId(16, '\x11');
constexpr char kJobIdText[] = "11111111111111111111111111111111";

struct Result {
  int code = 0;
  std::string out;
  std::string err;
};

// jobctl in this process, and a job manager that does as it is told, over real connections.
class CliTest : public testing::Test {
 protected:
  CliTest()
      : network_(MakeGrpcNetwork({})),
        env_(MakeSystemEnv({.network = network_.get()})),
        server_executor_(env_->NewExecutor("jm")) {
    ServerMethods methods;
    methods.streams.push_back(
        {"/weir.JobManager/Submit", server_executor_.get(),
         [this](std::shared_ptr<MessageStream> stream) -> absl::StatusOr<StreamCallbacks> {
           return StreamCallbacks{[this, stream](std::string m) { OnChunk(*stream, m); },
                                  [](absl::Status) {}};
         }});
    Answer<proto::ListJobsRequest, proto::ListJobsResponse>(
        "ListJobs",
        [this](const auto&) {
          proto::ListJobsResponse response;
          *response.add_jobs() = Summary();
          return response;
        },
        methods);
    Answer<proto::ClusterInfoRequest, proto::ClusterInfoResponse>(
        "ClusterInfo", [](const auto&) { return proto::ClusterInfoResponse(); }, methods);
    Answer<proto::JobStatusRequest, proto::JobStatusResponse>(
        "JobStatus",
        [this](const auto& request) -> absl::StatusOr<proto::JobStatusResponse> {
          EXPECT_EQ(request.job_id(), kJobId);
          proto::JobStatusResponse response;
          if (!states_.empty()) {
            state_ = states_.front();
            states_.erase(states_.begin());
          }
          if (state_ == proto::JOB_STATE_UNSPECIFIED) {
            return absl::UnavailableError("the job manager is starting");
          }
          *response.mutable_summary() = Summary();
          *response.mutable_graph() = header_.graph();
          if (state_ == proto::FAILED)
            response.mutable_failure()->set_message("operator 'count' threw");
          return response;
        },
        methods);
    Answer<proto::CancelJobRequest, proto::CancelJobResponse>(
        "CancelJob",
        [](const auto&) {
          proto::CancelJobResponse response;
          response.set_state(proto::CANCELLING);
          return response;
        },
        methods);
    Answer<proto::JobLogsRequest, proto::JobLogsResponse>(
        "JobLogs",
        [](const auto& request) {
          proto::JobLogsResponse response;
          response.add_logs()->set_text(StrCat("line ", request.max_lines(), " \x1b[31m\n"));
          return response;
        },
        methods);
    auto listener = network_->Listen("127.0.0.1:0", std::move(methods));
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
  }
  ~CliTest() override {
    listener_.reset();
    server_executor_->Shutdown();
  }

  template <class Req, class Resp, class F>
  void Answer(const char* method, F answer, ServerMethods& methods) {
    methods.unary.push_back(TypedUnary<Req, Resp>(
        StrCat("/weir.JobManager/", method), server_executor_.get(),
        [answer](Req request, TypedResponder<Resp> respond) { respond(answer(request)); }));
  }
  proto::JobSummary Summary() const {
    proto::JobSummary job;
    job.set_job_id(kJobId);
    job.set_name("behaving");
    job.set_state(state_);
    return job;
  }
  void OnChunk(MessageStream& stream, const std::string& message) {
    proto::SubmitChunk chunk;
    EXPECT_TRUE(chunk.ParseFromString(message));
    proto::SubmitResponse response;
    if (chunk.has_header()) {
      header_ = chunk.header();
    } else if (chunk.end()) {
      response.set_job_id(kJobId);
    } else {
      received_ += chunk.data().size();
      return;
    }
    MessageBytes bytes;
    bytes.pieces.push_back(response.SerializeAsString());
    stream.Send(std::move(bytes));
    if (!response.job_id().empty()) stream.Finish();
  }

  Result Run(std::vector<std::string> arguments, const std::string& address) {
    Result result;
    CliContext context;
    context.env = env_.get();
    context.out = [&](std::string_view text) { result.out += text; };
    context.err = [&](std::string_view text) { result.err += text; };
    context.err_is_terminal = is_terminal_;
    context.executable = JOBCTL;
    context.environment["WEIR_JOBMANAGER"] = address;
    context.exec = [&](const std::vector<std::string>& command) {
      executed_ = command;
      return "not in a test";
    };
    result.code = RunCli(context, arguments);
    return result;
  }
  Result Run(std::vector<std::string> arguments) {
    return Run(std::move(arguments), listener_->address());
  }

  static std::string Plugin(const std::string& name) {
    return StrCat(WEIR_TEST_PLUGINS, "/", name, ".so");
  }

  std::unique_ptr<Network> network_;
  std::unique_ptr<Env> env_;
  std::unique_ptr<Executor> server_executor_;
  std::unique_ptr<Listener> listener_;
  // Touched on the server's executor while a command runs, by the test before and after.
  proto::SubmitHeader header_;
  size_t received_ = 0;
  proto::JobState state_ = proto::RUNNING;
  std::vector<proto::JobState> states_;
  std::vector<std::string> executed_;
  bool is_terminal_ = false;
};

TEST_F(CliTest, SubmitPrintsTheIdAndSendsGraphArgumentsAndSettings) {
  const Result result =
      Run({"submit", Plugin("behaving_job"), "-p", "3", "-D", "execution.buffer-timeout=1ms", "-D",
           "state.backend=rocksdb", "-D", "restart-strategy.type=none", "-D",
           "client.define-timeout=20s", "--", "--limit=7"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, StrCat(kJobIdText, "\n"));
  EXPECT_EQ(header_.graph().nodes(0).parallelism(), 3u);
  EXPECT_EQ(header_.parallelism(), 3u);
  EXPECT_EQ(header_.job_name(), "behaving");
  EXPECT_EQ(header_.plugin_bytes(), std::filesystem::file_size(Plugin("behaving_job")));
  EXPECT_EQ(received_, header_.plugin_bytes());
  EXPECT_THAT(
      (std::map<std::string, std::string>(header_.arguments().begin(), header_.arguments().end())),
      ElementsAre(Pair("limit", "7")));
  EXPECT_THAT(
      (std::map<std::string, std::string>(header_.settings().begin(), header_.settings().end())),
      ElementsAre(Pair("execution.buffer-timeout", "1ms"), Pair("restart-strategy.type", "none"),
                  Pair("state.backend", "rocksdb")));
  EXPECT_THAT(header_.fingerprint(), HasSubstr("sdk "));
}

TEST_F(CliTest, SubmitWithWaitShowsProgressAndEndsWithTheJob) {
  states_ = {proto::CREATED, proto::RUNNING, proto::FINISHED};
  Result result = Run({"submit", "--wait", Plugin("behaving_job")});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, StrCat(kJobIdText, "\n"));
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("CREATED "), HasSubstr("RUNNING "), HasSubstr("FINISHED after")));

  EXPECT_THAT(result.err, Not(HasSubstr("Ctrl-C")));
  is_terminal_ = true;
  states_ = {proto::FINISHED};
  result = Run({"submit", "--wait", Plugin("behaving_job")});
  EXPECT_THAT(result.err, HasSubstr(StrCat("Ctrl-C leaves it running, jobctl cancel ", kJobIdText,
                                           " ends it\n")));
  is_terminal_ = false;

  states_ = {proto::RUNNING, proto::FAILED};
  result = Run({"submit", "--wait", Plugin("behaving_job")});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("failed: operator 'count' threw"));

  states_ = {proto::CANCELED};
  result = Run({"submit", "--wait", "--json", Plugin("behaving_job")});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.out, HasSubstr("\"state\": \"CANCELED\""));
}

TEST_F(CliTest, SubmitWithWaitOutlastsARestartOfTheJobManager) {
  states_.assign(10, proto::JOB_STATE_UNSPECIFIED);
  states_.insert(states_.begin(), proto::RUNNING);
  states_.push_back(proto::RECONCILING);
  states_.push_back(proto::FINISHED);
  const Result result = Run({"submit", "--wait", Plugin("behaving_job")});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("the job manager is starting; waiting for it for up to 5m, "
                              "the job may run on meanwhile\n"),
                    HasSubstr("the job manager answers again\n"), HasSubstr("RECONCILING "),
                    HasSubstr("FINISHED after")));
}

TEST_F(CliTest, ARefusedPluginIsExitCodeFour) {
  Result result = Run({"submit", Plugin("plain_library")});
  EXPECT_EQ(result.code, 4);
  EXPECT_THAT(result.err, HasSubstr("it is not a Weir job"));
  result = Run({"submit", Plugin("other_fingerprint_job")});
  EXPECT_EQ(result.code, 4);
  EXPECT_THAT(result.err, HasSubstr("was built for another Weir"));
  result = Run({"submit", Plugin("behaving_job"), "--", "--behave=throw"});
  EXPECT_EQ(result.code, 4);
  EXPECT_THAT(result.err, HasSubstr("define() threw std::runtime_error: no such table"));
  result = Run({"submit", Plugin("behaving_job"), "-D", "client.define-timeout=200ms", "--",
                "--behave=loop"});
  EXPECT_EQ(result.code, 4);
  EXPECT_THAT(result.err, HasSubstr("define() did not return within 200ms"));
  result = Run({"submit", "/no/such/job.so", "--json"});
  EXPECT_EQ(result.code, 4);
  EXPECT_THAT(result.out, HasSubstr("\"code\": \"NOT_FOUND\""));
  result = Run({"submit", Plugin("behaving_job"), "-p", "0"});
  EXPECT_EQ(result.code, 4);
  EXPECT_THAT(result.err, HasSubstr("the job's parallelism is 0"));
}

TEST_F(CliTest, AWrongCommandLineIsExitCodeTwoAndSaysWhatIsRight) {
  EXPECT_EQ(Run({}).code, 2);
  Result result = Run({"submti", "x.so"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("there is no command 'submti'; did you mean 'submit'?"));
  EXPECT_EQ(Run({"submit"}).code, 2);
  EXPECT_EQ(Run({"submit", Plugin("behaving_job"), "-p", "many"}).code, 2);
  result = Run({"submit", Plugin("behaving_job"), "--", "limit=3"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("--name=value"));
  result = Run({"list", "-D", "rest.prot=1"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("did you mean 'rest.port'?"));
  result = Run({"list", "-m", "somewhere:port"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("-m somewhere:port: write host:port"));
  result = Run({"list", "--", "--x=1"});
  EXPECT_EQ(result.code, 2);
}

TEST_F(CliTest, AnUnreachableJobManagerIsExitCodeThreeAndSaysHowToStartOne) {
  const std::string address = listener_->address();
  listener_.reset();
  const Result result = Run({"list", "--json"}, address);
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.err,
              AllOf(HasSubstr(StrCat("the job manager at ", address, " is not reachable")),
                    HasSubstr("deploy/local/start"), HasSubstr("-m HOST:PORT")));
  EXPECT_THAT(result.out, HasSubstr("\"code\": \"UNAVAILABLE\""));
  EXPECT_EQ(Run({"submit", Plugin("behaving_job")}, address).code, 3);
}

TEST_F(CliTest, JobsAreFoundByTheBeginningOfTheirIdAndByName) {
  ASSERT_EQ(Run({"submit", Plugin("behaving_job")}).code, 0);
  for (const char* job : {"1111", "behaving", kJobIdText}) {
    const Result result = Run({"status", job});
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(result.out,
                AllOf(HasSubstr(kJobIdText), HasSubstr("RUNNING"), HasSubstr("numbers")));
  }
  const Result result = Run({"status", "flights"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("no job with the id or name 'flights'"));
  state_ = proto::FAILED;
  EXPECT_EQ(Run({"status", "behaving"}).code, 1);
}

TEST_F(CliTest, ExplainShowsAPluginOrAJobOfTheCluster) {
  const Result plugin = Run({"explain", Plugin("behaving_job"), "-p", "2"});
  EXPECT_EQ(plugin.code, 0) << plugin.err;
  EXPECT_THAT(plugin.out, AllOf(HasSubstr("--limit"), HasSubstr("1  numbers -> Map  x2"),
                                HasSubstr("=> hash => 2 count")));
  ASSERT_EQ(Run({"submit", Plugin("behaving_job"), "-p", "2"}).code, 0);
  EXPECT_EQ(Run({"explain", "behaving"}).out, plugin.out);
  EXPECT_THAT(Run({"explain", "behaving", "--dot"}).out, HasSubstr("digraph \"behaving\""));
  EXPECT_THAT(Run({"explain", "behaving", "--json"}).out, HasSubstr("\"partitioning\": \"hash\""));
  const Result wrong = Run({"explain", Plugin("behaving_job"), "--", "--lmit=1"});
  EXPECT_EQ(wrong.code, 4);
  EXPECT_THAT(wrong.err, HasSubstr("it has --behave, --limit"));
}

TEST_F(CliTest, LogsAndCancelAskForTheJob) {
  EXPECT_EQ(Run({"logs", "-n", "7", "behaving"}).out, "line 7 ?[31m\n");
  EXPECT_EQ(Run({"cancel", "behaving"}).out, StrCat(kJobIdText, " CANCELLING\n"));
  states_ = {proto::CANCELLING, proto::CANCELED};
  ASSERT_EQ(Run({"submit", Plugin("behaving_job")}).code, 0);
  EXPECT_EQ(Run({"cancel", "--wait", "behaving"}).out, StrCat(kJobIdText, " CANCELED\n"));
}

TEST_F(CliTest, RunHandsOverToTheTaskManagerBesideIt) {
  const Result result =
      Run({"run", "job.so", "-p", "2", "-D", "execution.buffer-timeout=1ms", "--", "--input", "x"});
  EXPECT_EQ(result.code, 5);
  const std::string folder = std::filesystem::path(JOBCTL).parent_path();
  EXPECT_THAT(executed_, ElementsAre(folder + "/taskmanager", "--run", "job.so", "-p", "2", "-D",
                                     "execution.buffer-timeout=1ms", "--", "--input=x"));
}

TEST_F(CliTest, EveryCommandHasHelpWithAnExample) {
  for (const char* command :
       {"submit", "run", "list", "status", "explain", "logs", "cancel", "version"}) {
    const Result result = Run({command, "--help"});
    EXPECT_EQ(result.code, 0) << command;
    EXPECT_THAT(result.out, AllOf(HasSubstr("Example: jobctl "), HasSubstr("--json"))) << command;
  }
  EXPECT_THAT(Run({"--help"}).out, HasSubstr("Exit codes: 0 done"));
  EXPECT_THAT(Run({"version"}).out, HasSubstr("jobs built for: sdk "));
}

TEST(ParseJobArgumentsTest, TakesNamesWithAndWithoutEqualsSign) {
  EXPECT_THAT(*ParseJobArguments({"--a=1", "--b", "2", "--flag", "--c="}),
              ElementsAre(Pair("a", "1"), Pair("b", "2"), Pair("c", ""), Pair("flag", "true")));
  for (const char* bad : {"a", "-a", "--", "--=1"})
    EXPECT_FALSE(ParseJobArguments({bad}).ok()) << bad;
  EXPECT_FALSE(ParseJobArguments({"--a=1", "--a=2"}).ok());
}

}  // namespace
}  // namespace weir
