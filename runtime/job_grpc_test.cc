// Jobs spread over workers with threads of their own and gRPC between them.
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "common/env/system/system_env.h"
#include "gmock/gmock.h"
#include "runtime/testing/test_job_internal.h"
#include "transport/rpc/grpc_network.h"

namespace weir {
namespace {

using namespace weir::testing;  // NOLINT: the jobs of this test

class GrpcCluster {
 public:
  explicit GrpcCluster(uint32_t workers) {
    for (uint32_t i = 0; i < workers; ++i) {
      auto worker = std::make_unique<Worker>();
      worker->network = MakeGrpcNetwork({});
      worker->env = MakeSystemEnv({.network = worker->network.get()});
      worker->control = worker->env->NewExecutor("control");
      ExchangeOptions options;
      options.attempt = 1;
      options.worker_index = i;
      auto exchange = MakeExchange(*worker->env, "localhost:0", options);
      EXPECT_TRUE(exchange.ok()) << exchange.status();
      worker->exchange = *std::move(exchange);
      workers_.push_back(std::move(worker));
    }
  }
  ~GrpcCluster() {
    for (const auto& worker : workers_) {
      OnControl(*worker, [&] { worker->runtime.reset(); });
      worker->control->Shutdown();
      worker->exchange.reset();
    }
  }

  void Start(const JobDefinition& definition) {
    definition_ = definition;
    auto graph = BuildJobGraph(definition_, {});
    ASSERT_TRUE(graph.ok()) << graph.status();
    graph_ = *std::move(graph);
    std::vector<std::string> addresses;
    for (const auto& worker : workers_) addresses.push_back(worker->exchange->address());
    plan_ = SpreadOver(graph_, addresses);
    for (uint32_t i = 0; i < workers_.size(); ++i) {
      Worker& worker = *workers_[i];
      OnControl(worker, [&] {
        RuntimeOptions options;
        options.worker_index = i;
        options.task_threads = 2;
        auto runtime =
            JobRuntime::Make(*worker.env, *worker.control, definition_, graph_, plan_, connectors_,
                             worker.exchange.get(), options, [this, &worker] { OnChange(worker); });
        ASSERT_TRUE(runtime.ok()) << runtime.status();
        worker.runtime = *std::move(runtime);
      });
    }
    for (const auto& worker : workers_) OnControl(*worker, [&] { worker->runtime->Start(); });
  }
  void Cancel() {
    for (const auto& worker : workers_) OnControl(*worker, [&] { worker->runtime->Cancel(); });
  }
  // False: some task has not ended within a minute.
  bool WaitForEnd() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::minutes(1), [this] {
      for (const auto& worker : workers_) {
        if (!worker->ended) return false;
      }
      return true;
    });
  }
  void ExpectAll(proto::TaskState state) {
    for (const auto& worker : workers_) {
      for (const auto& task : worker->runtime->Report()) {
        EXPECT_EQ(task.state(), state) << task.failure().message();
      }
    }
  }

 private:
  struct Worker {
    std::unique_ptr<Network> network;
    std::unique_ptr<Env> env;
    std::unique_ptr<Executor> control;
    std::unique_ptr<Exchange> exchange;
    std::unique_ptr<JobRuntime> runtime;
    bool ended = false;
  };
  void OnChange(Worker& worker) {
    bool ended = true;
    for (const auto& task : worker.runtime->Report()) ended = ended && IsTerminal(task.state());
    std::unique_lock lock(mutex_);
    worker.ended = ended;
    changed_.notify_all();
  }
  void OnControl(Worker& worker, const std::function<void()>& call) {
    std::unique_lock lock(mutex_);
    bool done = false;
    worker.control->Post([&] {
      call();
      std::unique_lock inner(mutex_);
      done = true;
      changed_.notify_all();
    });
    changed_.wait(lock, [&] { return done; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  NoConnectors connectors_;
  JobDefinition definition_;
  proto::JobGraph graph_;
  proto::DeploymentPlan plan_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

TEST(JobOverGrpc, GivesTheSumsOfAPlainFold) {
  const SequenceOptions sequence{
      .count = 200000, .keys = 1000, .pause_after = 30000, .pause = 500, .text_bytes = 100};
  Results results;
  TestJob job;
  const uint32_t source = job.Source("in", 2, sequence, 1000);
  const uint32_t pass = job.Apply("pass", 3, [] { return std::make_unique<CheckedOperator>(); });
  const uint32_t sum = job.Apply("sum", 4, [] { return std::make_unique<SumOperator>(); });
  job.Connect(source, pass, Partitioning::kRebalance);
  job.Connect(pass, sum, Partitioning::kHash);
  job.Connect(sum, job.Sink("out", 1, results), Partitioning::kRebalance);
  GrpcCluster cluster(2);
  cluster.Start(job.definition);
  ASSERT_TRUE(cluster.WaitForEnd());
  cluster.ExpectAll(proto::TASK_FINISHED);
  std::map<int64_t, int64_t> expected;
  for (int64_t i = 0; i < sequence.count; ++i) expected[i % sequence.keys] += i;
  EXPECT_EQ(results.SumByKey(), expected);
}

TEST(JobOverGrpc, CanBeCancelledOrDestroyedInFullFlight) {
  for (int i = 0; i < 4; ++i) {
    Results results;
    TestJob job;
    const uint32_t source = job.Source("in", 2, {.keys = 1000, .endless = true});
    const uint32_t sum = job.Apply("sum", 4, [] { return std::make_unique<SumOperator>(); });
    job.Connect(source, sum, Partitioning::kHash);
    job.Connect(sum, job.Sink("out", 2, results), Partitioning::kRebalance);
    GrpcCluster cluster(2);
    cluster.Start(job.definition);
    if (i % 2 == 0) {
      cluster.Cancel();
      ASSERT_TRUE(cluster.WaitForEnd());
      cluster.ExpectAll(proto::TASK_CANCELED);
    }
  }
}

}  // namespace
}  // namespace weir
