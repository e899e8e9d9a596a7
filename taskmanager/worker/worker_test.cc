#include "taskmanager/worker/worker.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/strings.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"
#include "proto/validate/job_graph.h"
#include "transport/rpc/typed_call.h"
#include "weir/sdk.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kAddress[] = "jobmanager:6123";
constexpr absl::Duration kInterval = absl::Seconds(2);

// Numbers, ten a second: `count` of them, or without end. `fail-at` is refused by the operator
// "check".
void DescribeNumbers(Job& job) {
  const auto count = job.Arg<std::int64_t>("count", "how many", 0);
  const auto fail_at = job.Arg<std::int64_t>("fail-at", "which one is refused", -1);
  job.From<std::int64_t>(
         "numbers", Generator{.make = [](std::uint64_t i) { return static_cast<std::int64_t>(i); },
                              .count = static_cast<std::uint64_t>(count),
                              .rate = 10.0})
      .Map("check",
           [fail_at](std::int64_t n) {
             if (n == fail_at) throw std::bad_alloc();
             return n;
           })
      .To("out", Blackhole{});
}

class NumbersPlugin final : public Plugin {
 public:
  absl::StatusOr<std::unique_ptr<JobDefinition>> Define(const DefineInput& input) const override {
    auto definition = std::make_unique<JobDefinition>();
    DefineJob(DescribeNumbers, input, *definition);
    return definition;
  }
};

class NumbersLoader final : public PluginLoader {
 public:
  absl::StatusOr<std::unique_ptr<Plugin>> Load(const std::string&) override {
    if (!status.ok()) return status;
    return std::make_unique<NumbersPlugin>();
  }
  absl::Status status;
};

class BlackholeRegistry final : public ConnectorRegistry {
 public:
  absl::Status Validate(const ConnectorSpec&, bool) const override { return absl::OkStatus(); }
  absl::StatusOr<std::unique_ptr<SourceReader>> MakeSource(const ConnectorSpec&,
                                                           const RecordType&) const override {
    return absl::UnimplementedError("no sources");
  }
  absl::StatusOr<std::unique_ptr<SinkWriter>> MakeSink(const ConnectorSpec&,
                                                       const RecordType&) const override {
    return std::make_unique<Sink>();
  }

 private:
  class Sink final : public SinkWriter {
   public:
    absl::Status Open(OperatorContext&) override { return absl::OkStatus(); }
    absl::Status Write(BatchBase& batch) override {
      batch.Clear();
      return absl::OkStatus();
    }
    bool Blocked() const override { return false; }
    absl::Status Flush() override { return absl::OkStatus(); }
    absl::StatusOr<bool> Finish() override { return true; }
  };
};

// A worker and the job manager's half of what it says, under virtual time.
class WorkerTest : public ::testing::Test {
 protected:
  WorkerTest()
      : leader_(world_.StartProcess("jobmanager")),
        host_(world_.StartProcess("host")),
        leader_control_(leader_.NewExecutor("jobmanager")),
        control_(host_.NewExecutor("worker")) {
    ServerMethods methods;
    methods.unary.push_back(TypedUnary<proto::RegisterWorkerRequest, proto::RegisterWorkerResponse>(
        "/weir.JobManager/RegisterWorker", leader_control_.get(),
        [this](auto request, auto respond) {
          registrations_.push_back(request);
          if (!register_status_.ok()) return respond(register_status_);
          proto::RegisterWorkerResponse response;
          response.set_leader_epoch(5);
          response.set_heartbeat_interval_ms(
              static_cast<uint32_t>(absl::ToInt64Milliseconds(kInterval)));
          response.set_heartbeat_timeout_ms(12'000);
          respond(response);
        }));
    methods.unary.push_back(
        TypedUnary<proto::WorkerHeartbeatRequest, proto::WorkerHeartbeatResponse>(
            "/weir.JobManager/WorkerHeartbeat", leader_control_.get(),
            [this](auto request, auto respond) {
              heartbeats_.push_back(request);
              if (!heartbeat_status_.ok()) return respond(heartbeat_status_);
              proto::WorkerHeartbeatResponse response;
              response.set_leader_epoch(heartbeat_epoch_);
              respond(response);
            }));
    listener_ = leader_.network().Listen(kAddress, std::move(methods)).value();
    spec_.key = {JobId(1, 2), 3, 0};
    spec_.leader_epoch = 5;
    spec_.plugin_path = "/plugin.so";
    spec_.job_manager_address = kAddress;
    spec_.task_manager = "tm-1";
    spec_.listen_host = "host";
  }

  proto::JobGraph Graph() {
    return BuildJobGraph(*NumbersPlugin().Define({.arguments = spec_.arguments}).value(), {})
        .value();
  }

  void Start() {
    if (spec_.graph_hash.empty()) spec_.graph_hash = GraphHash(Graph());
    worker_ =
        Worker::Make({host_, *control_, loader_, connectors_,
                      [this](std::string_view, std::string_view text) { log_.emplace_back(text); }},
                     spec_, [this](WorkerEnd end) { end_ = std::move(end); });
    worker_->Start();
  }
  bool Until(const std::function<bool()>& condition, absl::Duration limit = absl::Seconds(60)) {
    return world_.RunUntil(condition, limit);
  }
  void StartAndRegister() {
    Start();
    ASSERT_TRUE(Until([this] { return !heartbeats_.empty(); }));
  }

  // Sends an order and waits for its answer.
  template <class Response, class Request>
  absl::Status Order(const std::string& method, Request request, uint64_t epoch = 5,
                     uint32_t attempt = 3) {
    request.set_leader_epoch(epoch);
    request.set_job_id(JobIdBytes(spec_.key.job));
    request.set_attempt(attempt);
    auto answer = std::make_shared<std::optional<absl::Status>>();
    leader_control_->Post([this, method, request, answer] {
      peer_ = leader_.network().Connect(registrations_.back().control_address());
      TypedCall<Request, Response>(
          *peer_, "/weir.Worker/" + method, request, absl::Seconds(10), leader_control_.get(),
          [answer](absl::StatusOr<Response> result) { *answer = result.status(); });
    });
    EXPECT_TRUE(Until([&] { return answer->has_value(); }));
    return answer->value_or(absl::UnknownError("no answer"));
  }
  absl::Status Deploy(uint64_t epoch = 5, uint32_t attempt = 3) {
    proto::DeployRequest request;
    request.mutable_plan()->add_workers()->set_index(0);
    const proto::JobGraph graph = Graph();
    for (const auto& vertex : graph.vertices()) {
      auto* placement = request.mutable_plan()->add_vertices();
      placement->set_vertex(vertex.id());
      for (uint32_t i = 0; i < vertex.parallelism(); ++i) placement->add_workers(0);
    }
    return Order<proto::DeployResponse>("Deploy", request, epoch, attempt);
  }
  absl::Status StartTasks(uint64_t epoch = 5) {
    return Order<proto::StartTasksResponse>("StartTasks", proto::StartTasksRequest(), epoch);
  }
  absl::Status CancelTasks() {
    return Order<proto::CancelTasksResponse>("CancelTasks", proto::CancelTasksRequest());
  }
  bool AllTasksAre(proto::TaskState state) {
    const auto& tasks = heartbeats_.back().tasks();
    return !tasks.empty() && std::all_of(tasks.begin(), tasks.end(), [state](const auto& task) {
      return task.state() == state;
    });
  }

  SimWorld world_;
  SimEnv& leader_;
  SimEnv& host_;
  std::unique_ptr<Executor> leader_control_;
  std::unique_ptr<Listener> listener_;
  std::shared_ptr<RemotePeer> peer_;
  absl::Status register_status_;
  absl::Status heartbeat_status_;
  uint64_t heartbeat_epoch_ = 5;
  std::vector<proto::RegisterWorkerRequest> registrations_;
  std::vector<proto::WorkerHeartbeatRequest> heartbeats_;
  std::vector<std::string> log_;
  NumbersLoader loader_;
  BlackholeRegistry connectors_;
  WorkerSpec spec_;
  std::optional<WorkerEnd> end_;
  std::unique_ptr<Executor> control_;
  std::unique_ptr<Worker> worker_;
};

TEST_F(WorkerTest, RegistersWithItsAddressesAndItsGraphsHash) {
  StartAndRegister();
  ASSERT_THAT(registrations_, SizeIs(1));
  EXPECT_EQ(registrations_[0].graph_hash(), GraphHash(Graph()));
  EXPECT_EQ(registrations_[0].attempt(), 3u);
  EXPECT_THAT(registrations_[0].control_address(), HasSubstr("host:"));
  EXPECT_THAT(registrations_[0].exchange_address(), HasSubstr("host:"));
}

TEST_F(WorkerTest, RunsTheJobAndTellsEachChangeAtOnce) {
  spec_.arguments = {{"count", "5"}};
  StartAndRegister();
  ASSERT_TRUE(Deploy().ok());
  ASSERT_TRUE(StartTasks().ok());
  // Five numbers take half a second, a heartbeat's interval is two.
  EXPECT_TRUE(Until([this] { return AllTasksAre(proto::TASK_RUNNING); }, absl::Milliseconds(100)));
  EXPECT_TRUE(Until([this] { return AllTasksAre(proto::TASK_FINISHED); }, absl::Seconds(1)));
  world_.RunFor(absl::Seconds(30));
  EXPECT_FALSE(end_.has_value()) << "that its tasks are done is no reason to end";
}

TEST_F(WorkerTest, RepeatedOrdersAreAnsweredAsTheFirstWasAndChangeNothing) {
  const auto records = [this] {
    uint64_t sum = 0;
    for (const auto& task : heartbeats_.back().tasks()) {
      for (const auto& metrics : task.operators()) sum += metrics.records_out();
    }
    return sum;
  };
  StartAndRegister();
  ASSERT_TRUE(Deploy().ok());
  ASSERT_TRUE(Deploy().ok());
  ASSERT_TRUE(StartTasks().ok());
  ASSERT_TRUE(Until([&] { return AllTasksAre(proto::TASK_RUNNING) && records() > 100; }));
  const uint64_t before = records();
  ASSERT_TRUE(Deploy().ok());
  ASSERT_TRUE(StartTasks().ok());
  const size_t heartbeats = heartbeats_.size();
  ASSERT_TRUE(Until([&] { return heartbeats_.size() == heartbeats + 2; }));
  EXPECT_TRUE(AllTasksAre(proto::TASK_RUNNING));
  EXPECT_GT(records(), before);
}

TEST_F(WorkerTest, RefusesOrdersOfAnOldLeaderAndOfAnotherAttempt) {
  StartAndRegister();
  EXPECT_EQ(Deploy(4).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Deploy(5, 2).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(StartTasks().code(), absl::StatusCode::kFailedPrecondition) << "nothing is deployed";
  EXPECT_TRUE(Deploy(6).ok());
  EXPECT_EQ(StartTasks(5).code(), absl::StatusCode::kFailedPrecondition)
      << "a newer leader has spoken";
}

TEST_F(WorkerTest, CancelsItsTasksWhenItIsTold) {
  StartAndRegister();
  ASSERT_TRUE(Deploy().ok());
  ASSERT_TRUE(StartTasks().ok());
  ASSERT_TRUE(Until([this] { return AllTasksAre(proto::TASK_RUNNING); }));
  ASSERT_TRUE(CancelTasks().ok());
  EXPECT_TRUE(Until([this] { return AllTasksAre(proto::TASK_CANCELED); }, absl::Milliseconds(500)));
  EXPECT_FALSE(end_.has_value());
}

TEST_F(WorkerTest, ACancelBeforeTheDeploymentWins) {
  StartAndRegister();
  ASSERT_TRUE(CancelTasks().ok());
  EXPECT_EQ(Deploy().code(), absl::StatusCode::kCancelled);
}

TEST_F(WorkerTest, AFailureNamesOperatorAndTaskManagerAndTheMemoryLimit) {
  spec_.arguments = {{"fail-at", "2"}};
  spec_.memory_limit_bytes = 300 << 20;
  StartAndRegister();
  ASSERT_TRUE(Deploy().ok());
  ASSERT_TRUE(StartTasks().ok());
  ASSERT_TRUE(Until([this] {
    const auto& tasks = heartbeats_.back().tasks();
    return !tasks.empty() && tasks[0].state() == proto::TASK_FAILED;
  }));
  const proto::Failure& failure = heartbeats_.back().tasks(0).failure();
  EXPECT_EQ(failure.operator_uid(), "check");
  EXPECT_EQ(failure.task_manager(), "tm-1");
  EXPECT_THAT(failure.message(), AllOf(HasSubstr("bad_alloc"), HasSubstr("limited to 300 MiB")));
}

TEST_F(WorkerTest, EndsWhenAHeartbeatIsRefused) {
  StartAndRegister();
  heartbeat_status_ = absl::NotFoundError("no such job");
  ASSERT_TRUE(Until([this] { return end_.has_value(); }, 2 * kInterval));
  EXPECT_EQ(end_->code, WorkerExitCode::kFenced);
  EXPECT_THAT(end_->report.message, HasSubstr("no such job"));
}

TEST_F(WorkerTest, EndsWhenItsRegistrationIsRefused) {
  register_status_ = absl::FailedPreconditionError("attempt 4 runs");
  Start();
  ASSERT_TRUE(Until([this] { return end_.has_value(); }));
  EXPECT_EQ(end_->code, WorkerExitCode::kFenced);
  EXPECT_THAT(end_->report.message, HasSubstr("attempt 4 runs"));
}

TEST_F(WorkerTest, KeepsTryingToRegisterUntilTheOrphanTimeout) {
  register_status_ = absl::UnavailableError("starting");
  Start();
  ASSERT_TRUE(Until([this] { return registrations_.size() > 3; }));
  ASSERT_TRUE(Until([this] { return end_.has_value(); }, spec_.orphan_timeout));
  EXPECT_EQ(end_->code, WorkerExitCode::kOrphaned);
}

TEST_F(WorkerTest, EndsWhenTheJobManagerIsSilentForTheOrphanTimeout) {
  StartAndRegister();
  ASSERT_TRUE(Deploy().ok());
  world_.CutLink("jobmanager", "host");
  world_.RunFor(spec_.orphan_timeout - kInterval - absl::Milliseconds(100));
  EXPECT_FALSE(end_.has_value());
  world_.RunFor(kInterval + absl::Milliseconds(200));
  ASSERT_TRUE(end_.has_value());
  EXPECT_EQ(end_->code, WorkerExitCode::kOrphaned);
  EXPECT_THAT(end_->report.message, HasSubstr("taskmanager.worker.orphan-timeout"));
}

TEST_F(WorkerTest, AnswersOfAnOldLeaderAreNoSignOfLife) {
  StartAndRegister();
  ASSERT_TRUE(Deploy(6).ok());
  heartbeat_epoch_ = 5;
  ASSERT_TRUE(Until([this] { return end_.has_value(); }, spec_.orphan_timeout + kInterval));
  EXPECT_EQ(end_->code, WorkerExitCode::kOrphaned);
}

TEST_F(WorkerTest, APluginThatCannotBeLoadedIsReportedBeforeAnythingListens) {
  loader_.status = absl::InvalidArgumentError("built for another version");
  Start();
  ASSERT_TRUE(Until([this] { return end_.has_value(); }));
  EXPECT_EQ(end_->code, WorkerExitCode::kStartFailed);
  EXPECT_THAT(end_->report.message, HasSubstr("built for another version"));
  EXPECT_THAT(registrations_, IsEmpty());
}

TEST_F(WorkerTest, AnotherGraphThanTheSubmittedOneIsReported) {
  spec_.graph_hash = std::string(64, 'a');
  Start();
  ASSERT_TRUE(Until([this] { return end_.has_value(); }));
  EXPECT_EQ(end_->code, WorkerExitCode::kStartFailed);
  EXPECT_THAT(end_->report.message, HasSubstr("must depend on its arguments only"));
}

TEST_F(WorkerTest, AnUnknownSettingOfTheJobIsReported) {
  spec_.settings = {{"execution.bufer-timeout", "1 s"}};
  Start();
  ASSERT_TRUE(Until([this] { return end_.has_value(); }));
  EXPECT_EQ(end_->code, WorkerExitCode::kStartFailed);
  EXPECT_THAT(end_->report.message, HasSubstr("execution.buffer-timeout"));
}

TEST_F(WorkerTest, StopsOnceItsTasksAreDone) {
  StartAndRegister();
  ASSERT_TRUE(Deploy().ok());
  ASSERT_TRUE(StartTasks().ok());
  ASSERT_TRUE(Until([this] { return AllTasksAre(proto::TASK_RUNNING); }));
  worker_->Stop(absl::Seconds(2));
  ASSERT_TRUE(Until([this] { return end_.has_value(); }, absl::Seconds(1)));
  EXPECT_EQ(end_->code, WorkerExitCode::kStopped);
  const size_t heartbeats = heartbeats_.size();
  world_.RunFor(absl::Seconds(30));
  EXPECT_LE(heartbeats_.size(), heartbeats + 1) << "it says nothing more";
}

}  // namespace
}  // namespace weir
