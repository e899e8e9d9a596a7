// How long a checkpoint takes under full backpressure, aligned and unaligned: two sources at full
// speed, a keyed exchange, and two tasks that are slow, spread over two workers with gRPC between
// them. What the job puts out is compared with a plain fold.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "benchmarks/lib/comparison.h"
#include "benchmarks/lib/embedded.h"
#include "benchmarks/lib/latency_recorder.h"
#include "benchmarks/lib/no_connectors.h"
#include "common/env/system/system_env.h"
#include "proto/checkpoint.pb.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"
#include "runtime/job_runtime.h"
#include "sdk/host/plugin_host.h"
#include "taskmanager/checkpoint/task_snapshots.h"
#include "transport/rpc/grpc_network.h"
#include "weir/sdk.h"

namespace weir::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kParallelism = 2;
constexpr std::int64_t kKeys = 10'000;
// What a slow task does in a second, about.
constexpr double kRecordsPerSecond = 5'000;
constexpr int kRecordsPerPause = 50;

struct Number {
  std::int64_t key;
  std::int64_t value;
};

Number Make(std::uint64_t i) {
  const auto n = static_cast<std::int64_t>(i);
  return {n * 7919 % kKeys, n};
}

[[noreturn]] void Fail(std::string_view what) {
  std::fprintf(stderr, "bench_unaligned: %.*s\n", static_cast<int>(what.size()), what.data());
  std::exit(1);
}
template <class T>
T OrFail(absl::StatusOr<T> value) {
  if (!value.ok()) Fail(value.status().ToString());
  return *std::move(value);
}

// What the job and the program that drives it know of each other.
struct Control {
  std::atomic<bool> stop{false};
  std::atomic<bool> hurry{false};
  // By subtask of the source.
  std::array<std::atomic<std::uint64_t>, kParallelism> made{};
  std::atomic<std::uint64_t> processed{0};
  std::mutex mutex;
  // By key: records and the sum of their values, when the input has ended.
  std::map<std::int64_t, std::pair<std::int64_t, std::int64_t>> sums;
};

// Subtask s makes records s, s + p, ... until it is stopped.
class Numbers {
 public:
  using Record = Number;
  explicit Numbers(Control& control) : control_(control) {}
  auto MakeFactory() const {
    return [&control = control_]() -> std::unique_ptr<SourceReader> {
      return std::make_unique<Reader>(control);
    };
  }

 private:
  class Reader final : public SourceReader {
   public:
    explicit Reader(Control& control) : control_(control) {}
    absl::Status Open(SourceContext& context) override {
      subtask_ = context.subtask();
      return absl::OkStatus();
    }
    std::uint32_t splits() const override { return 1; }
    absl::StatusOr<PollResult> Poll(BatchBase& base, std::size_t) override {
      PollResult result;
      if (control_.stop.load(std::memory_order_relaxed)) {
        result.state = PollState::kEnd;
        result.split_ended = true;
        return result;
      }
      auto& records = static_cast<Batch<Number>&>(base).records;
      records.reserve(kBatchRecords);
      for (std::size_t i = 0; i < kBatchRecords; ++i, ++next_) {
        records.emplace_unchecked(Make(next_ * kParallelism + subtask_));
      }
      control_.made[subtask_] = next_;
      return result;
    }
    std::string SnapshotPosition() const override { return std::to_string(next_); }
    absl::Status RestorePosition(std::string_view text) override {
      next_ = std::stoull(std::string(text));
      return absl::OkStatus();
    }

   private:
    Control& control_;
    std::uint32_t subtask_ = 0;
    std::uint64_t next_ = 0;
  };
  Control& control_;
};

// The slow task: sums by key, and at the end of the input says what it has.
struct Sums : KeyedProcess<std::int64_t, Number, Number> {
  ValueState<std::pair<std::int64_t, std::int64_t>> sum{this, "sum"};
  EventTimer end{this, "end"};
  Control* control = nullptr;
  int until_pause = kRecordsPerPause;

  explicit Sums(Control& control_in) : control(&control_in) {}

  void Process(const Number& number, Context&) override {
    auto& [records, total] = sum.Mutable();
    ++records;
    total += number.value;
    end.Set(EventTime::FromTicks(kMaxTicks - 1));
    control->processed.fetch_add(1, std::memory_order_relaxed);
    if (control->hurry.load(std::memory_order_relaxed) || --until_pause > 0) return;
    until_pause = kRecordsPerPause;
    std::this_thread::sleep_for(
        std::chrono::duration<double>(kRecordsPerPause / kRecordsPerSecond));
  }
  void OnTimer(const EventTimer&, Context& context) override {
    const std::lock_guard<std::mutex> lock(control->mutex);
    control->sums[context.key()] = sum.Get();
  }
};

// The job on two workers of this process, with checkpoints on request.
class RunningJob {
 public:
  RunningJob(Control& control, std::string folder, BarrierOptions barriers)
      : folder_(std::move(folder)) {
    definition_ = Describe([&](Job& job) {
      job.From<Number>("numbers", Numbers(control))
          .KeyBy(&Number::key)
          .Process<Sums>("sums", std::ref(control))
          .To("out", weir::ForEach{[](const Number&) {}});
    });
    if (!definition_.errors.empty()) Fail(definition_.errors.front());
    graph_ = std::make_shared<const proto::JobGraph>(OrFail(BuildJobGraph(
        definition_, {.job_name = "bench", .parallelism = kParallelism, .max_parallelism = 128})));
    for (std::uint32_t i = 0; i < kParallelism; ++i) workers_.push_back(MakeWorker(i));
    proto::DeploymentPlan plan;
    for (std::uint32_t i = 0; i < kParallelism; ++i) {
      auto* worker = plan.add_workers();
      worker->set_index(i);
      worker->set_exchange_address(workers_[i]->exchange->address());
    }
    for (const proto::Vertex& vertex : graph_->vertices()) {
      auto* placement = plan.add_vertices();
      placement->set_vertex(vertex.id());
      for (std::uint32_t i = 0; i < kParallelism; ++i) placement->add_workers(i);
    }
    for (std::uint32_t i = 0; i < kParallelism; ++i) {
      Worker& worker = *workers_[i];
      RuntimeOptions options;
      options.worker_index = i;
      options.barriers = barriers;
      options.on_checkpoint = [this, &worker](TaskCheckpoint checkpoint) {
        OnCheckpoint(worker, std::move(checkpoint));
      };
      OnControl(worker, [&] {
        worker.runtime =
            OrFail(JobRuntime::Make(*worker.env, *worker.control, definition_, *graph_, plan,
                                    connectors_, worker.exchange.get(), options, [] {}));
      });
    }
    for (const auto& worker : workers_) OnControl(*worker, [&] { worker->runtime->Start(); });
  }
  ~RunningJob() {
    for (const auto& worker : workers_) {
      OnControl(*worker, [&] { worker->runtime.reset(); });
      worker->control->Shutdown();
      worker->exchange.reset();
    }
  }

  // From the trigger until what all tasks have told is durable, in nanoseconds.
  std::int64_t Checkpoint(std::uint64_t id, std::uint64_t& in_flight_bytes) {
    const std::string folder = folder_ + "/chk-" + std::to_string(id);
    std::filesystem::create_directories(folder);
    const Clock::time_point start = Clock::now();
    const Barrier barrier{id, absl::ToUnixMicros(absl::Now())};
    for (const auto& worker : workers_) worker->runtime->TriggerCheckpoint(barrier);
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return written_ == tasks(); });
    const auto nanos =
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
    written_ = 0;
    in_flight_bytes = std::exchange(in_flight_bytes_, 0);
    lock.unlock();
    std::filesystem::remove_all(folder);
    return nanos;
  }
  // All sources are held back.
  bool Backpressured() const {
    for (const auto& worker : workers_) {
      for (const proto::TaskReport& task : worker->runtime->Report()) {
        if (task.vertex() == 0 && task.backpressured_micros() < 1'000'000) return false;
      }
    }
    return true;
  }
  bool Ended() const {
    for (const auto& worker : workers_) {
      for (const proto::TaskReport& task : worker->runtime->Report()) {
        if (task.has_failure()) Fail(task.failure().message());
        if (task.state() != proto::TASK_FINISHED) return false;
      }
    }
    return true;
  }

 private:
  struct Worker {
    std::unique_ptr<Network> network;
    std::unique_ptr<Env> env;
    std::unique_ptr<Executor> control;
    std::unique_ptr<Exchange> exchange;
    std::unique_ptr<JobRuntime> runtime;
  };
  static std::unique_ptr<Worker> MakeWorker(std::uint32_t index) {
    auto worker = std::make_unique<Worker>();
    worker->network = MakeGrpcNetwork({});
    worker->env = MakeSystemEnv({.network = worker->network.get()});
    worker->control = worker->env->NewExecutor("control");
    ExchangeOptions options;
    options.attempt = 1;
    options.worker_index = index;
    worker->exchange = OrFail(MakeExchange(*worker->env, "localhost:0", options));
    return worker;
  }
  std::size_t tasks() const {
    return static_cast<std::size_t>(graph_->vertices_size()) * kParallelism;
  }
  void OnControl(Worker& worker, const std::function<void()>& call) {
    std::unique_lock<std::mutex> lock(mutex_);
    bool done = false;
    worker.control->Post([&] {
      call();
      const std::lock_guard<std::mutex> done_lock(mutex_);
      done = true;
      changed_.notify_all();
    });
    changed_.wait(lock, [&] { return done; });
  }
  void OnCheckpoint(Worker& worker, TaskCheckpoint told) {
    if (told.final) return;
    if (!told.failed.ok()) Fail(told.failed.ToString());
    worker.env->RunBlocking(
        [this, &worker, checkpoint = std::make_shared<TaskCheckpoint>(std::move(told))] {
          OrFail(WriteTaskSnapshot(worker.env->files(), {folder_, 1}, *graph_, *checkpoint));
          const std::lock_guard<std::mutex> lock(mutex_);
          in_flight_bytes_ += checkpoint->in_flight_bytes;
          ++written_;
          changed_.notify_all();
        });
  }

  const std::string folder_;
  JobDefinition definition_;
  std::shared_ptr<const proto::JobGraph> graph_;
  const NoConnectors connectors_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t written_ = 0;
  std::uint64_t in_flight_bytes_ = 0;
};

void Sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

void CheckSums(Control& control) {
  std::map<std::int64_t, std::pair<std::int64_t, std::int64_t>> expected;
  for (std::uint32_t subtask = 0; subtask < kParallelism; ++subtask) {
    for (std::uint64_t i = 0; i < control.made[subtask]; ++i) {
      const Number number = Make(i * kParallelism + subtask);
      ++expected[number.key].first;
      expected[number.key].second += number.value;
    }
  }
  if (expected != control.sums) Fail("the sums are not those of a plain fold");
}

LatencySummary Measure(BarrierOptions barriers, int checkpoints, double& megabytes) {
  const std::string folder =
      (std::filesystem::temp_directory_path() / ("weir-unaligned-" + std::to_string(getpid())))
          .string();
  std::filesystem::create_directories(folder);
  Control control;
  LatencyRecorder times;
  {
    RunningJob job(control, folder, barriers);
    while (!job.Backpressured()) Sleep(0.05);
    std::uint64_t bytes = 0;
    for (int id = 1; id <= checkpoints; ++id) {
      std::uint64_t in_flight = 0;
      times.Add(job.Checkpoint(static_cast<std::uint64_t>(id), in_flight));
      bytes += in_flight;
      // So that the buffers are full again.
      Sleep(0.1);
    }
    megabytes = static_cast<double>(bytes) * 1e-6 / checkpoints;
    control.stop = true;
    control.hurry = true;
    while (!job.Ended()) Sleep(0.05);
  }
  CheckSums(control);
  std::filesystem::remove_all(folder);
  return times.Summarize();
}

void Print(const BenchOptions& options, const char* name, const LatencySummary& times,
           double megabytes, bool has_goal) {
  const bool met = times.p99_us < 1e6;
  if (options.json) {
    std::printf(
        "{\"name\":\"unaligned/%s\",\"checkpoints\":%llu,\"p50_s\":%.4g,\"p99_s\":%.4g,"
        "\"max_s\":%.4g,\"in_flight_mb\":%.4g%s}\n",
        name, static_cast<unsigned long long>(times.count), times.p50_us * 1e-6,
        times.p99_us * 1e-6, times.max_us * 1e-6, megabytes,
        !has_goal ? ""
        : met     ? ",\"goal\":\"p99 < 1\",\"met\":true"
                  : ",\"goal\":\"p99 < 1\",\"met\":false");
  } else {
    std::printf(
        "%-12s %4llu checkpoints  p50 %7.3f s  p99 %7.3f s  max %7.3f s  %6.2f MB in flight%s\n",
        name, static_cast<unsigned long long>(times.count), times.p50_us * 1e-6,
        times.p99_us * 1e-6, times.max_us * 1e-6, megabytes,
        !has_goal ? ""
        : met     ? "  (goal p99 < 1 s: met)"
                  : "  (goal p99 < 1 s: not met)");
  }
  std::fflush(stdout);
}

void Run(const BenchOptions& options) {
  struct Case {
    const char* name;
    BarrierOptions barriers;
    int checkpoints;
  };
  const Case cases[] = {{"aligned", {}, 10},
                        {"unaligned", {.unaligned = true}, 200},
                        {"after_200_ms", {.unaligned = true, .aligned_timeout = 200'000}, 100}};
  for (const Case& one : cases) {
    if (std::string(one.name).find(options.only) == std::string::npos) continue;
    double megabytes = 0;
    const int checkpoints = options.quick ? one.checkpoints / 10 : one.checkpoints;
    const LatencySummary times = Measure(one.barriers, checkpoints, megabytes);
    Print(options, one.name, times, megabytes, one.barriers.unaligned);
  }
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  weir::bench::Run(
      weir::bench::BenchOptions::Parse(argc, argv,
                                       "Checkpoints of a job that is held back by a slow task, "
                                       "with barriers that wait or overtake."));
}
