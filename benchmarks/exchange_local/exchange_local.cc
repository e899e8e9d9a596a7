// bench_exchange_local: records of 16 bytes through the exchange between two subtasks of one
// process, each on a thread of its own, against a plain loop that copies the same records from one
// buffer to another and adds them up.
#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "benchmarks/lib/comparison.h"
#include "common/base/check.h"
#include "common/env/system/system_env.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"
#include "runtime/job_runtime.h"
#include "sdk/host/plugin_host.h"
#include "weir/codec.h"

namespace weir {
namespace {

struct Record {
  int64_t key = 0;
  int64_t value = 0;
};

class RecordHasher final : public KeyHasher {
 public:
  void Hash(BatchBase& batch) const override {
    auto& typed = static_cast<Batch<Record>&>(batch);
    typed.hashes.resize_uninitialized(typed.size());
    for (size_t i = 0; i < typed.size(); ++i) typed.hashes[i] = KeyHash(typed.records[i].key);
  }
};

class CountingReader final : public SourceReader {
 public:
  explicit CountingReader(int64_t records) : records_(records) {}
  absl::Status Open(SourceContext& context) override {
    records_ /= context.parallelism();
    return absl::OkStatus();
  }
  uint32_t splits() const override { return 1; }
  absl::StatusOr<PollResult> Poll(BatchBase& batch, size_t max_records) override {
    auto& records = static_cast<Batch<Record>&>(batch).records;
    const int64_t count = std::min<int64_t>(static_cast<int64_t>(max_records), records_ - next_);
    records.reserve(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) records.emplace_unchecked(Record{next_ + i, next_ + i});
    next_ += count;
    return PollResult{next_ < records_ ? PollState::kMore : PollState::kEnd};
  }
  std::string SnapshotPosition() const override { return ""; }
  absl::Status RestorePosition(std::string_view) override { return absl::OkStatus(); }

 private:
  int64_t records_;
  int64_t next_ = 0;
};

class SummingWriter final : public SinkWriter {
 public:
  explicit SummingWriter(std::atomic<int64_t>& total) : total_(total) {}
  absl::Status Open(OperatorContext&) override { return absl::OkStatus(); }
  absl::Status Write(BatchBase& batch) override {
    for (const Record& record : static_cast<Batch<Record>&>(batch).records) sum_ += record.value;
    return absl::OkStatus();
  }
  bool Blocked() const override { return false; }
  absl::Status Flush() override { return absl::OkStatus(); }
  absl::StatusOr<bool> Finish() override {
    total_ += std::exchange(sum_, 0);
    return true;
  }

 private:
  std::atomic<int64_t>& total_;
  int64_t sum_ = 0;
};

class NoConnectors final : public ConnectorRegistry {
 public:
  absl::Status Validate(const ConnectorSpec&, bool) const override { return absl::OkStatus(); }
  absl::StatusOr<std::unique_ptr<SourceReader>> MakeSource(const ConnectorSpec&,
                                                           const RecordType&) const override {
    return absl::UnimplementedError("none");
  }
  absl::StatusOr<std::unique_ptr<SinkWriter>> MakeSink(const ConnectorSpec&,
                                                       const RecordType&) const override {
    return absl::UnimplementedError("none");
  }
};

struct Measured {
  double seconds = 0;
  int64_t sum = 0;
};

JobDefinition MakeJob(int64_t records, Partitioning partitioning, uint32_t parallelism,
                      std::atomic<int64_t>& total) {
  JobDefinition job;
  job.name = "exchange";
  NodeDefinition source;
  source.uid = "in";
  source.kind = NodeKind::kSource;
  source.inputs = 0;
  source.parallelism = parallelism;
  source.outputs = {{"", &RecordTypeOf<Record>()}};
  source.make_source = [records] { return std::make_unique<CountingReader>(records); };
  NodeDefinition sink;
  sink.uid = "out";
  sink.kind = NodeKind::kSink;
  // The default: chained, unless the number of subtasks differs.
  sink.parallelism = parallelism;
  sink.record_type = &RecordTypeOf<Record>();
  sink.make_sink = [&total] { return std::make_unique<SummingWriter>(total); };
  job.nodes.push_back(std::move(source));
  job.nodes.push_back(std::move(sink));
  EdgeDefinition edge;
  edge.to_node = 1;
  edge.partitioning = partitioning;
  edge.type = &RecordTypeOf<Record>();
  if (partitioning == Partitioning::kHash) edge.hasher = std::make_shared<RecordHasher>();
  job.edges.push_back(std::move(edge));
  return job;
}

// The graph with the source and the sink in vertices of their own, whatever could be chained.
proto::JobGraph MakeGraph(const JobDefinition& job, bool chained) {
  auto graph = BuildJobGraph(job, {});
  WEIR_CHECK(graph.ok());
  if (chained || graph->vertices_size() == 2) return *std::move(graph);
  graph->mutable_edges(0)->set_chained(false);
  proto::Vertex* head = graph->mutable_vertices(0);
  proto::Vertex* tail = graph->add_vertices();
  *tail = *head;
  head->clear_nodes();
  head->add_nodes(0);
  tail->set_id(1);
  tail->clear_nodes();
  tail->add_nodes(1);
  return *std::move(graph);
}

Measured RunJob(int64_t records, Partitioning partitioning, uint32_t parallelism, bool chained) {
  std::atomic<int64_t> total{0};
  const JobDefinition job = MakeJob(records, partitioning, parallelism, total);
  const proto::JobGraph graph = MakeGraph(job, chained);
  proto::DeploymentPlan plan;
  for (const proto::Vertex& vertex : graph.vertices()) {
    auto* placement = plan.add_vertices();
    placement->set_vertex(vertex.id());
    for (uint32_t i = 0; i < vertex.parallelism(); ++i) placement->add_workers(0);
  }
  const auto env = MakeSystemEnv();
  const auto control = env->NewExecutor("control");
  const NoConnectors connectors;
  RuntimeOptions options;
  options.task_threads = 2;
  std::unique_ptr<JobRuntime> runtime;
  std::mutex mutex;
  std::condition_variable changed;
  bool ended = false;
  Measured measured;
  int64_t start = 0;
  const auto on_change = [&] {
    for (const auto& task : runtime->Report()) {
      WEIR_CHECK(task.state() != proto::TASK_FAILED);
      if (task.state() != proto::TASK_FINISHED) return;
    }
    measured.seconds = static_cast<double>(env->clock().MonotonicNanos() - start) * 1e-9;
    runtime.reset();
    std::unique_lock lock(mutex);
    ended = true;
    changed.notify_all();
  };
  control->Post([&] {
    auto made =
        JobRuntime::Make(*env, *control, job, graph, plan, connectors, nullptr, options, on_change);
    WEIR_CHECK(made.ok());
    runtime = *std::move(made);
    start = env->clock().MonotonicNanos();
    runtime->Start();
  });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return ended; });
  }
  control->Shutdown();
  measured.sum = total.load();
  return measured;
}

// The floor: makes the records into one buffer, copies it to another, adds up. One thread.
Measured RunLoop(int64_t records, Clock& clock) {
  std::vector<Record> from(1024);
  std::vector<Record> to(1024);
  Measured measured;
  const int64_t start = clock.MonotonicNanos();
  for (int64_t next = 0; next < records;) {
    const int64_t count = std::min<int64_t>(1024, records - next);
    for (int64_t i = 0; i < count; ++i) from[static_cast<size_t>(i)] = {next + i, next + i};
    std::memcpy(to.data(), from.data(), static_cast<size_t>(count) * sizeof(Record));
    for (int64_t i = 0; i < count; ++i) measured.sum += to[static_cast<size_t>(i)].value;
    next += count;
  }
  measured.seconds = static_cast<double>(clock.MonotonicNanos() - start) * 1e-9;
  return measured;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Each of `subtasks` sources counts up to its part of the records.
int64_t ExpectedSum(int64_t records, uint32_t subtasks) {
  const int64_t each = records / subtasks;
  return subtasks * (each * (each - 1) / 2);
}

void ExitUnlessSum(const char* name, int64_t sum, int64_t expected) {
  if (sum == expected) return;
  std::fprintf(stderr, "exchange_local/%s: the sum is %lld instead of %lld\n", name,
               static_cast<long long>(sum), static_cast<long long>(expected));
  std::exit(1);
}

int Main(const bench::BenchOptions& options) {
  constexpr double kGoal = 50e6;
  const auto records = static_cast<int64_t>(options.Scaled(100'000'000));
  struct Variant {
    const char* name;
    Partitioning partitioning;
    uint32_t parallelism;
    bool chained;
  };
  std::vector<Variant> variants = {
      {"chained", Partitioning::kForward, 1, true},
      {"forward", Partitioning::kForward, 1, false},
      {"hash_1_to_1", Partitioning::kHash, 1, false},
      {"hash_2_to_2", Partitioning::kHash, 2, false},
      {"rebalance_2_to_2", Partitioning::kRebalance, 2, false},
  };
  std::erase_if(variants, [&options](const Variant& variant) {
    return ("exchange_local/" + std::string(variant.name)).find(options.only) == std::string::npos;
  });
  const auto env = MakeSystemEnv();
  std::vector<std::vector<double>> seconds(variants.size());
  std::vector<double> loop_seconds;
  for (int round = 0; round < options.rounds; ++round) {
    const Measured loop = RunLoop(records, env->clock());
    ExitUnlessSum("loop", loop.sum, ExpectedSum(records, 1));
    loop_seconds.push_back(loop.seconds);
    for (size_t i = 0; i < variants.size(); ++i) {
      const Variant& variant = variants[i];
      const Measured run =
          RunJob(records, variant.partitioning, variant.parallelism, variant.chained);
      ExitUnlessSum(variant.name, run.sum, ExpectedSum(records, variant.parallelism));
      seconds[i].push_back(run.seconds);
    }
  }
  const double loop_rate = static_cast<double>(records) / Median(loop_seconds);
  for (size_t i = 0; i < variants.size(); ++i) {
    const double rate = static_cast<double>(records) / Median(seconds[i]);
    const std::string name = std::string("exchange_local/") + variants[i].name;
    if (options.json) {
      std::printf(
          "{\"name\":\"%s\",\"records\":%lld,\"record_bytes\":%zu,\"mrec_per_s\":%.1f,"
          "\"goal_mrec_per_s\":%.0f,\"loop_mrec_per_s\":%.1f,\"ratio\":%.3f}\n",
          name.c_str(), static_cast<long long>(records), sizeof(Record), rate / 1e6, kGoal / 1e6,
          loop_rate / 1e6, rate / loop_rate);
    } else {
      std::printf("%-34s %6.1f M records/s (goal: %.0f, %s)  ratio %5.2f  loop %7.1f M/s\n",
                  name.c_str(), rate / 1e6, kGoal / 1e6, rate >= kGoal ? "met" : "not met",
                  rate / loop_rate, loop_rate / 1e6);
    }
  }
  return 0;
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  return weir::Main(weir::bench::BenchOptions::Parse(
      argc, argv,
      "16-byte records between two subtasks of a process, against a loop that copies them once."));
}
