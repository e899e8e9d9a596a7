#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "runtime/testing/test_job_internal.h"

// Jobs on several workers of a simulated world, with the real exchange over the simulated network.
namespace weir::testing {

class SimCluster {
 public:
  SimCluster(uint64_t seed, uint32_t workers) : world_(Options(seed)) {
    for (uint32_t i = 0; i < workers; ++i) {
      auto worker = std::make_unique<Worker>();
      worker->env = &world_.StartProcess("worker-" + std::to_string(i));
      worker->control = worker->env->NewExecutor("control");
      ExchangeOptions options;
      options.attempt = 1;
      options.worker_index = i;
      options.credits_per_channel = 1 + static_cast<uint32_t>(world_.random().Below(16));
      options.credits_per_stream = 0;  // Few channels have no more than that either.
      auto exchange = MakeExchange(*worker->env, "worker-" + std::to_string(i) + ":0", options);
      EXPECT_TRUE(exchange.ok()) << exchange.status();
      worker->exchange = *std::move(exchange);
      workers_.push_back(std::move(worker));
    }
  }
  ~SimCluster() {
    for (const auto& worker : workers_) worker->runtime.reset();
  }

  void Deploy(const JobDefinition& definition) {
    definition_ = definition;
    auto graph = BuildJobGraph(definition_, {});
    ASSERT_TRUE(graph.ok()) << graph.status();
    graph_ = *std::move(graph);
    std::vector<std::string> addresses;
    for (const auto& worker : workers_) addresses.push_back(worker->exchange->address());
    plan_ = SpreadOver(graph_, addresses);
    for (uint32_t i = 0; i < workers_.size(); ++i) {
      Worker& worker = *workers_[i];
      RuntimeOptions options;
      options.worker_index = i;
      options.task_threads = 2;
      options.batch_records = 1 + static_cast<uint32_t>(world_.random().Below(kBatchRecords));
      options.batches_per_local_channel = 1 + static_cast<uint32_t>(world_.random().Below(8));
      if (configure) configure(options);
      auto runtime = JobRuntime::Make(*worker.env, *worker.control, definition_, graph_, plan_,
                                      connectors_, worker.exchange.get(), options, [] {});
      ASSERT_TRUE(runtime.ok()) << runtime.status();
      worker.runtime = *std::move(runtime);
    }
  }
  void Start() {
    for (const auto& worker : workers_) worker->runtime->Start();
  }
  void Cancel() {
    for (const auto& worker : workers_) worker->runtime->Cancel();
  }
  bool RunToEnd(absl::Duration limit = absl::Minutes(10)) {
    return world_.RunUntil([this] { return AllTerminal(); }, limit);
  }
  bool AllTerminal() {
    for (const auto& task : Report()) {
      if (!IsTerminal(task.state())) return false;
    }
    return true;
  }
  std::vector<proto::TaskReport> Report() {
    std::vector<proto::TaskReport> all;
    for (const auto& worker : workers_) {
      if (!worker->env->alive()) continue;
      for (auto& task : worker->runtime->Report()) all.push_back(std::move(task));
    }
    return all;
  }
  std::string Failures() {
    std::string text;
    for (const auto& task : Report()) {
      if (task.has_failure())
        text += task.failure().operator_uid() + ": " + task.failure().message() + "\n";
    }
    return text;
  }
  void Kill(size_t i) { world_.KillProcess(*workers_[i]->env); }
  void TriggerCheckpoint(size_t worker, const Barrier& barrier) {
    workers_[worker]->runtime->TriggerCheckpoint(barrier);
  }
  void AbortCheckpoint(uint64_t id) {
    for (const auto& worker : workers_) worker->runtime->AbortCheckpoint(id);
  }
  void CompleteCheckpoint(size_t worker, uint64_t id) {
    workers_[worker]->runtime->CompleteCheckpoint(id);
  }
  size_t workers() const { return workers_.size(); }
  const proto::JobGraph& graph() const { return graph_; }
  SimWorld& world() { return world_; }
  Env& env(size_t worker) { return *workers_[worker]->env; }

  // Changes the options of each worker's runtime; set before Deploy.
  std::function<void(RuntimeOptions&)> configure;

 private:
  struct Worker {
    SimEnv* env = nullptr;
    std::unique_ptr<Executor> control;
    std::unique_ptr<Exchange> exchange;
    std::unique_ptr<JobRuntime> runtime;
  };
  static SimOptions Options(uint64_t seed) {
    SimOptions options;
    options.seed = seed;
    return options;
  }
  SimWorld world_;
  std::vector<std::unique_ptr<Worker>> workers_;
  NoConnectors connectors_;
  JobDefinition definition_;
  proto::JobGraph graph_;
  proto::DeploymentPlan plan_;
};

// A random job: a few sources, a few stages that unite, pass on and copy what comes, and a keyed
// sum at the end. `copies` of each stage says how often each event of a source arrives there.
struct RandomJob {
  // `keep`: the results are kept as state until the job's end instead of written by a sink.
  // `check_late`: records that come again behind a watermark are an error. `scale`, if not null,
  // draws the parallelism of all but stages that everything is copied to, and `random` the same job
  // whatever that is.
  RandomJob(SimRandom& random, Env& env, Results& results, bool keep = false,
            bool check_late = true, SimRandom* scale = nullptr) {
    struct Stage {
      uint32_t node;
      uint32_t parallelism;
      std::map<int64_t, int64_t> sums;
    };
    std::vector<Stage> stages;
    const auto parallelism = [&] {
      const uint64_t drawn = random.Below(4);
      return 1 + static_cast<uint32_t>(scale != nullptr ? scale->Below(4) : drawn);
    };
    const uint64_t sources = 1 + random.Below(3);
    for (uint64_t i = 0; i < sources; ++i) {
      SequenceOptions options;
      options.count = static_cast<int64_t>(random.Below(6000));
      options.keys = 1 + static_cast<int64_t>(random.Below(200));
      options.pause_after = random.Chance(0.3) ? 1 + static_cast<int64_t>(random.Below(500)) : 0;
      options.pause = static_cast<Ticks>(random.Below(3000));
      options.text_bytes = random.Chance(0.2) ? random.Below(3000) : random.Below(20);
      const uint32_t p = parallelism();
      const uint32_t node = job.Source("source-" + std::to_string(i), p, options,
                                       static_cast<Ticks>(random.Below(100)), random.Chance(0.1));
      std::map<int64_t, int64_t> sums;
      for (int64_t k = 0; k < options.count; ++k) sums[k % options.keys] += k;
      stages.push_back({node, p, std::move(sums)});
    }
    const uint64_t middle = random.Below(4);
    for (uint64_t i = 0; i < middle; ++i) {
      Stage stage{0, 1 + static_cast<uint32_t>(random.Below(4)), {}};
      bool copied_to = false;
      const auto inputs = static_cast<uint32_t>(1 + random.Below(2));
      const std::string uid = "stage-" + std::to_string(i);
      AsyncOptions later;
      later.capacity = 1 + random.Below(100);
      later.order = random.Chance(0.5) ? AsyncOrder::kOrdered : AsyncOrder::kUnordered;
      later.attempts = 100;
      later.backoff = Duration(500);
      later.timeout = std::chrono::hours(1);
      const uint64_t seed = 1 + random.Below(1'000'000);
      if (inputs == 1 && random.Chance(0.4)) {
        stage.node = job.Later(uid, stage.parallelism, env, seed, later);
      } else {
        stage.node = job.Apply(
            uid, stage.parallelism, [check_late] { return Checked<CheckedOperator>(check_late); },
            inputs);
      }
      const uint64_t edges = inputs + random.Below(2);
      for (uint64_t k = 0; k < edges; ++k) {
        const Stage from = stages[random.Below(stages.size())];
        Partitioning partitioning = static_cast<Partitioning>(random.Below(4));
        copied_to = copied_to || partitioning == Partitioning::kBroadcast;
        job.Connect(from.node, stage.node, partitioning,
                    static_cast<uint32_t>(k < inputs ? k : random.Below(inputs)));
        const int64_t copies = partitioning == Partitioning::kBroadcast ? stage.parallelism : 1;
        for (const auto& [key, sum] : from.sums) stage.sums[key] += copies * sum;
      }
      if (scale != nullptr && !copied_to) {
        stage.parallelism = 1 + static_cast<uint32_t>(scale->Below(4));
        job.definition.nodes[stage.node].parallelism = stage.parallelism;
      }
      stages.push_back(std::move(stage));
    }
    const Stage& last = stages.back();
    expected = last.sums;
    const uint32_t sum =
        job.Apply("sum", parallelism(), [check_late] { return Checked<SumOperator>(check_late); });
    job.Connect(last.node, sum, Partitioning::kHash);
    const bool slow = random.Chance(0.5);
    if (keep) {
      const uint32_t kept =
          job.Apply("keep", parallelism(), [&] { return std::make_unique<KeepOperator>(results); });
      job.Connect(sum, kept, Partitioning::kRebalance);
      job.Connect(kept, job.Sink("none", 1, rest), Partitioning::kRebalance);
    } else {
      job.Connect(sum,
                  job.Sink("out", parallelism(), results, slow ? &env : nullptr,
                           absl::Microseconds(static_cast<int64_t>(random.Below(5000)))),
                  Partitioning::kRebalance);
    }
    // A stage that leads nowhere else goes to a sink of its own.
    for (size_t i = 0; i + 1 < stages.size(); ++i) {
      bool used = false;
      for (const EdgeDefinition& edge : job.definition.edges)
        used = used || edge.from_node == stages[i].node;
      if (!used) {
        job.Connect(stages[i].node, job.Sink("rest-" + std::to_string(i), 1, rest),
                    Partitioning::kRebalance);
      }
    }
  }
  TestJob job;
  Results rest;
  std::map<int64_t, int64_t> expected;
};

}  // namespace weir::testing
