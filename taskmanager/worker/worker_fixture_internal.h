#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"
#include "proto/validate/job_graph.h"
#include "taskmanager/worker/worker.h"
#include "transport/rpc/typed_call.h"
#include "weir/sdk.h"

// For tests of the worker: a job of numbers, and the job manager's half of what is said.
namespace weir {

inline constexpr char kAddress[] = "jobmanager:6123";
inline constexpr absl::Duration kInterval = absl::Seconds(2);

// Numbers, ten a second: `count` of them, or without end. `fail-at` is refused by the operator
// "check".
inline void DescribeNumbers(Job& job) {
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
    return std::make_unique<Sink>(commits);
  }

  // Not null: sinks commit, and count what they have committed.
  std::shared_ptr<std::atomic<int>> commits;

 private:
  class CountingCommitter final : public Committer {
   public:
    explicit CountingCommitter(std::shared_ptr<std::atomic<int>> commits)
        : commits_(std::move(commits)) {}
    std::string type() const override { return "counted.1"; }
    absl::Status Commit(const std::vector<Committable>& committables) override {
      commits_->fetch_add(static_cast<int>(committables.size()));
      return absl::OkStatus();
    }

   private:
    const std::shared_ptr<std::atomic<int>> commits_;
  };
  class Sink final : public SinkWriter {
   public:
    explicit Sink(std::shared_ptr<std::atomic<int>> commits) : commits_(std::move(commits)) {}
    std::unique_ptr<weir::Committer> MakeCommitter() override {
      if (commits_ == nullptr) return nullptr;
      return std::make_unique<CountingCommitter>(commits_);
    }
    absl::StatusOr<bool> PrepareCommit(uint64_t id, std::vector<std::string>& out) override {
      out.push_back(std::to_string(id));
      return true;
    }
    absl::Status Open(OperatorContext&) override { return absl::OkStatus(); }
    absl::Status Write(BatchBase& batch) override {
      batch.Clear();
      return absl::OkStatus();
    }
    bool Blocked() const override { return false; }
    absl::Status Flush() override { return absl::OkStatus(); }
    absl::StatusOr<bool> Finish() override { return true; }

   private:
    const std::shared_ptr<std::atomic<int>> commits_;
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
              response.set_completed_checkpoint(heartbeat_completed_);
              respond(response);
            }));
    methods.unary.push_back(
        TypedUnary<proto::AcknowledgeCheckpointRequest, proto::AcknowledgeCheckpointResponse>(
            "/weir.JobManager/AcknowledgeCheckpoint", leader_control_.get(),
            [this](auto request, auto respond) {
              acknowledgements_.push_back(request);
              if (!acknowledge_status_.ok()) return respond(acknowledge_status_);
              respond(proto::AcknowledgeCheckpointResponse());
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
  absl::Status Deploy(uint64_t epoch = 5, uint32_t attempt = 3, proto::DeployRequest request = {}) {
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
  uint64_t heartbeat_completed_ = 0;
  std::vector<proto::RegisterWorkerRequest> registrations_;
  std::vector<proto::WorkerHeartbeatRequest> heartbeats_;
  absl::Status acknowledge_status_;
  std::vector<proto::AcknowledgeCheckpointRequest> acknowledgements_;
  std::vector<std::string> log_;
  NumbersLoader loader_;
  BlackholeRegistry connectors_;
  WorkerSpec spec_;
  std::optional<WorkerEnd> end_;
  std::unique_ptr<Executor> control_;
  std::unique_ptr<Worker> worker_;
};

}  // namespace weir
