// A job with a GB of keyed state on the heap: what a checkpoint costs it while it runs, how fast
// one is written and read beside plain writing and reading of as many bytes on the same disk.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "benchmarks/lib/comparison.h"
#include "benchmarks/lib/embedded.h"
#include "benchmarks/lib/no_connectors.h"
#include "common/base/malloc_tuning.h"
#include "common/base/status_macros.h"
#include "common/env/system/system_env.h"
#include "proto/checkpoint.pb.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"
#include "runtime/job_runtime.h"
#include "sdk/host/plugin_host.h"
#include "taskmanager/checkpoint/task_snapshots.h"
#include "weir/sdk.h"

namespace weir::bench {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Update {
  std::int64_t key;
  std::int64_t add;
};
// With the key a slot of 64 bytes.
struct Account {
  std::int64_t sum = 0;
  std::int64_t updates = 0;
  std::array<std::int64_t, 5> more{};
};

struct Accounts : KeyedProcess<std::int64_t, Update, std::int64_t> {
  ValueState<Account> account{this, "account"};
  void Process(const Update& update, Context&) override {
    Account& value = account.Mutable();
    value.sum += update.add;
    ++value.updates;
  }
};

// What the source and the program that drives it know of each other.
struct Control {
  std::uint64_t keys = 0;
  // Every key once, then one in `one_in` of them, at random.
  std::uint64_t one_in = 1;
  // After so many records there is nothing to read.
  std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  std::atomic<bool> filled{false};
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> records{0};
  // CPU time of the thread that runs the source.
  std::atomic<std::int64_t> cpu_nanos{0};
  // The longest time between two polls since it was last set to 0, without what the host took.
  std::atomic<std::int64_t> longest_gap_nanos{0};
  // The longest that a host has had the core, while the thread was not switched off it.
  std::atomic<std::int64_t> longest_stolen_nanos{0};
};

// Of one thread, since it was last asked.
struct Elapsed {
  std::int64_t wall_nanos = 0;
  std::int64_t cpu_nanos = 0;
  // Another thread had its core meanwhile, or it waited.
  bool switched = false;
};
class ThreadClock {
 public:
  Elapsed Lap() {
    const Clock::time_point now = Clock::now();
    timespec cpu{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    rusage usage{};
    getrusage(RUSAGE_THREAD, &usage);
    const std::int64_t cpu_nanos = cpu.tv_sec * 1'000'000'000 + cpu.tv_nsec;
    const std::int64_t switches = usage.ru_nvcsw + usage.ru_nivcsw;
    const Elapsed elapsed{std::chrono::duration_cast<std::chrono::nanoseconds>(now - last_).count(),
                          cpu_nanos - cpu_nanos_, switches != switches_};
    last_ = now;
    cpu_nanos_ = cpu_nanos;
    switches_ = switches;
    return elapsed;
  }
  // Of the thread, in all, when it was last asked.
  std::int64_t cpu_nanos() const { return cpu_nanos_; }

 private:
  Clock::time_point last_ = Clock::now();
  std::int64_t cpu_nanos_ = 0;
  std::int64_t switches_ = 0;
};
void KeepLongest(std::atomic<std::int64_t>& longest, std::int64_t nanos) {
  if (nanos > longest.load(std::memory_order_relaxed)) longest = nanos;
}

class Updates {
 public:
  using Record = Update;
  explicit Updates(Control& control) : control_(control) {}
  auto MakeFactory() const {
    return [&control = control_]() -> std::unique_ptr<SourceReader> {
      return std::make_unique<Reader>(control);
    };
  }

 private:
  class Reader final : public SourceReader {
   public:
    explicit Reader(Control& control) : control_(control) {}
    absl::Status Open(SourceContext&) override { return absl::OkStatus(); }
    std::uint32_t splits() const override { return 1; }
    absl::StatusOr<PollResult> Poll(BatchBase& base, std::size_t) override {
      const Elapsed since = clock_.Lap();
      if (next_ > 0) {
        KeepLongest(control_.longest_gap_nanos,
                    since.switched ? since.wall_nanos : since.cpu_nanos);
        if (!since.switched)
          KeepLongest(control_.longest_stolen_nanos, since.wall_nanos - since.cpu_nanos);
      }
      control_.cpu_nanos = clock_.cpu_nanos();
      PollResult result;
      if (control_.stop.load(std::memory_order_relaxed)) {
        result.state = PollState::kEnd;
        result.split_ended = true;
        return result;
      }
      if (next_ >= control_.most) {
        result.state = PollState::kWait;
        return result;
      }
      auto& records = static_cast<Batch<Update>&>(base).records;
      records.reserve(kBatchRecords);
      for (std::size_t i = 0; i < kBatchRecords; ++i, ++next_) {
        std::uint64_t key = next_;
        if (next_ >= control_.keys) {
          random_ = random_ * 6364136223846793005ULL + 1442695040888963407ULL;
          key = ((random_ >> 20) % (control_.keys / control_.one_in)) * control_.one_in;
        }
        records.emplace_unchecked(Update{static_cast<std::int64_t>(key), 1});
      }
      if (next_ >= control_.keys) control_.filled = true;
      control_.records.fetch_add(kBatchRecords, std::memory_order_relaxed);
      return result;
    }
    std::string SnapshotPosition() const override { return std::to_string(next_); }
    absl::Status RestorePosition(std::string_view text) override {
      next_ = std::stoull(std::string(text));
      return absl::OkStatus();
    }

   private:
    Control& control_;
    std::uint64_t next_ = 0;
    std::uint64_t random_ = 1;
    ThreadClock clock_;
  };
  Control& control_;
};

[[noreturn]] void Fail(std::string_view what) {
  std::fprintf(stderr, "bench_checkpoint: %.*s\n", static_cast<int>(what.size()), what.data());
  std::exit(1);
}
template <class T>
T OrFail(absl::StatusOr<T> value) {
  if (!value.ok()) Fail(value.status().ToString());
  return *std::move(value);
}
void OrFail(const absl::Status& status) {
  if (!status.ok()) Fail(status.ToString());
}

struct Written {
  double seconds = 0;
  double pause_ms = 0;
  std::uint64_t bytes = 0;
  proto::TaskSnapshot snapshot;
};

// The job in this process, on the production runtime; one task, checkpoints on request.
class RunningJob {
 public:
  RunningJob(Control& control, const std::string& folder, bool incremental,
             std::uint32_t parallelism,
             std::map<std::pair<uint32_t, uint32_t>, std::shared_ptr<const TaskState>> restore)
      : folder_(folder) {
    definition_ = Describe([&](Job& job) {
      job.From<Update>("updates", Updates(control))
          .KeyBy(&Update::key)
          .Process<Accounts>("accounts")
          .To("out", weir::ForEach{[](const std::int64_t&) {}});
    });
    if (!definition_.errors.empty()) Fail(definition_.errors.front());
    graph_ = std::make_shared<const proto::JobGraph>(OrFail(BuildJobGraph(
        definition_, {.job_name = "bench", .parallelism = parallelism, .max_parallelism = 128})));
    proto::DeploymentPlan plan;
    plan.add_workers()->set_index(0);
    for (const proto::Vertex& vertex : graph_->vertices()) {
      auto* placement = plan.add_vertices();
      placement->set_vertex(vertex.id());
      for (std::uint32_t i = 0; i < vertex.parallelism(); ++i) placement->add_workers(0);
    }
    RuntimeOptions options;
    options.restore = std::move(restore);
    options.incremental = incremental;
    options.task_threads = parallelism;
    options.on_checkpoint = [this](TaskCheckpoint checkpoint) { OnCheckpoint(checkpoint); };
    OnControl([&] {
      runtime_ = OrFail(JobRuntime::Make(*env_, *control_, definition_, *graph_, plan, connectors_,
                                         nullptr, options, [] {}));
      runtime_->Start();
    });
  }
  ~RunningJob() {
    OnControl([&] { runtime_.reset(); });
    control_->Shutdown();
  }

  const proto::JobGraph& graph() const { return *graph_; }
  // Every task has what it starts from.
  bool AllRun() const {
    const std::vector<proto::TaskReport> tasks = runtime_->Report();
    return std::all_of(tasks.begin(), tasks.end(),
                       [](const auto& task) { return task.state() >= proto::TASK_RUNNING; });
  }
  Env& env() { return *env_; }

  void Trigger(std::uint64_t id) {
    OrFail(env_->files().CreateDirectories(folder_ + "/chk-" + std::to_string(id)));
    triggered_ = Clock::now();
    runtime_->TriggerCheckpoint({id, 0});
    last_ = id;
  }
  // Until every task is at a barrier, for which it needs all its state; nothing is written.
  void AwaitAllState(std::uint64_t id) {
    only_barriers_ = true;
    runtime_->TriggerCheckpoint({id, 0});
    int tasks = 0;
    for (const proto::Vertex& vertex : graph_->vertices())
      tasks += static_cast<int>(vertex.parallelism());
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return barriers_ >= tasks; });
  }
  // Of each task, once the last one is durable, and so complete.
  std::vector<Written> Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(
        lock, [&] { return written_.size() == static_cast<std::size_t>(graph_->vertices_size()); });
    runtime_->CompleteCheckpoint(last_);
    return std::exchange(written_, {});
  }

 private:
  template <class F>
  void OnControl(F f) {
    std::unique_lock<std::mutex> lock(mutex_);
    bool done = false;
    control_->Post([&] {
      f();
      const std::lock_guard<std::mutex> done_lock(mutex_);
      done = true;
      changed_.notify_all();
    });
    changed_.wait(lock, [&] { return done; });
  }
  void OnCheckpoint(TaskCheckpoint& checkpoint) {
    if (checkpoint.final) return;
    if (only_barriers_) {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++barriers_;
      changed_.notify_all();
      return;
    }
    env_->RunBlocking([this, checkpoint = std::make_shared<TaskCheckpoint>(std::move(checkpoint))] {
      Written written;
      written.snapshot =
          OrFail(WriteTaskSnapshot(env_->files(), {folder_, 1}, *graph_, *checkpoint));
      written.seconds = SecondsSince(triggered_);
      written.pause_ms = static_cast<double>(checkpoint->sync_nanos) * 1e-6;
      written.bytes = written.snapshot.full_bytes();
      const std::lock_guard<std::mutex> lock(mutex_);
      written_.push_back(std::move(written));
      changed_.notify_all();
    });
  }

  const std::string folder_;
  JobDefinition definition_;
  std::shared_ptr<const proto::JobGraph> graph_;
  const NoConnectors connectors_;
  const std::unique_ptr<Env> env_ = MakeSystemEnv();
  const std::unique_ptr<Executor> control_ = env_->NewExecutor("control");
  std::unique_ptr<JobRuntime> runtime_;
  Clock::time_point triggered_;
  std::uint64_t last_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Written> written_;
  std::atomic<bool> only_barriers_{false};
  int barriers_ = 0;
};

// Writes as many bytes from memory in pieces of a MiB, and makes them durable.
double PlainWrite(const std::string& path, std::uint64_t bytes) {
  const std::vector<char> piece(1 << 20, 'x');
  const Clock::time_point start = Clock::now();
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) Fail("cannot write " + path);
  for (std::uint64_t left = bytes; left > 0;) {
    const ssize_t wrote = write(fd, piece.data(), std::min<std::uint64_t>(left, piece.size()));
    if (wrote <= 0) Fail("cannot write " + path);
    left -= static_cast<std::uint64_t>(wrote);
  }
  if (fsync(fd) != 0) Fail("cannot write " + path);
  close(fd);
  const double seconds = SecondsSince(start);
  unlink(path.c_str());
  return seconds;
}

// Takes so much memory and gives it back. A virtual machine may have given what was free for some
// seconds back to its host, and getting it again can take twenty times as long as clearing it does.
void WarmMemory(std::size_t bytes) {
  void* const memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) Fail("cannot take memory");
  madvise(memory, bytes, MADV_HUGEPAGE);
  for (std::size_t at = 0; at < bytes; at += 4096) static_cast<volatile char*>(memory)[at] = 1;
  munmap(memory, bytes);
}
void DropFromMemory(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) Fail("cannot read " + path);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  close(fd);
}
double PlainRead(const std::string& path) {
  std::vector<char> piece(1 << 20);
  const Clock::time_point start = Clock::now();
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) Fail("cannot read " + path);
  while (read(fd, piece.data(), piece.size()) > 0) {
  }
  close(fd);
  return SecondsSince(start);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void Sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

class Report {
 public:
  explicit Report(bool json) : json_(json) {}
  void Line(const char* name, double value, const char* unit, const char* goal, bool met) {
    if (json_) {
      std::printf(
          "{\"name\":\"checkpoint/"
          "%s\",\"value\":%.4g,\"unit\":\"%s\",\"goal\":\"%s\",\"met\":%s}\n",
          name, value, unit, goal, met ? "true" : "false");
    } else {
      std::printf("%-44s %9.3f %-6s (goal %s: %s)\n", name, value, unit, goal,
                  met ? "met" : "not met");
    }
    std::fflush(stdout);
  }

 private:
  const bool json_;
};

// What a restart is given for the checkpoint of which these are the tasks.
proto::JobRestore RestoreOf(const std::string& folder, std::uint64_t id,
                            const proto::JobGraph& graph, const std::vector<Written>& tasks) {
  proto::JobRestore restore;
  restore.set_checkpoint_id(id);
  restore.set_directory(folder + "/chk-" + std::to_string(id));
  for (const Written& task : tasks) {
    const auto first = static_cast<std::uint32_t>(restore.files_size());
    restore.mutable_files()->MergeFrom(task.snapshot.files());
    for (const auto& of_operator : task.snapshot.operators()) {
      // The source begins anew: its one position is not to be divided.
      if (graph.nodes(static_cast<int>(of_operator.node())).kind() == proto::SOURCE) continue;
      proto::OperatorRestore& to = *restore.add_operators();
      to.set_node(of_operator.node());
      to.mutable_checkpoint()->set_uid(graph.nodes(static_cast<int>(of_operator.node())).uid());
      to.mutable_checkpoint()->set_parallelism(1);
      *to.mutable_checkpoint()->mutable_states() = of_operator.states();
      proto::SubtaskState& state = *to.mutable_checkpoint()->add_subtasks();
      for (const std::uint32_t file : of_operator.files()) state.add_files(first + file);
      state.set_watermark(of_operator.watermark());
    }
  }
  return restore;
}
std::vector<std::string> FilesOf(const std::string& folder, const proto::JobRestore& restore) {
  std::vector<std::string> files;
  for (const proto::StateFile& file : restore.files()) {
    const bool shared = file.name().rfind("shared/", 0) == 0;
    files.push_back((shared ? folder : restore.directory()) + "/" + file.name());
  }
  return files;
}

struct Bench {
  const BenchOptions& options;
  const std::string folder;
  Report report;
  std::uint64_t keys;
  std::uint64_t id = 0;

  bool Wants(std::string_view part) const {
    return part.find(options.only) != std::string_view::npos;
  }
};

// One whole checkpoint after another, each beside a plain write of as many bytes.
void RunWhole(Bench& bench) {
  Control control;
  control.keys = bench.keys;
  control.one_in = 100;
  RunningJob job(control, bench.folder, /*incremental=*/false, 1, {});
  while (!control.filled) Sleep(0.05);
  std::vector<double> ratios;
  std::vector<double> pauses;
  std::vector<double> seconds;
  std::uint64_t bytes = 0;
  control.longest_gap_nanos = 0;
  Sleep(1);
  const std::int64_t gap_without = control.longest_gap_nanos.exchange(0);
  std::int64_t gap = 0;
  std::int64_t stolen = 0;
  const std::size_t needed = 2 * bench.keys * sizeof(Account);
  for (int round = 0; round < bench.options.rounds; ++round) {
    double slowest = 0;
    bytes = 0;
    // The file, and copies of what changes meanwhile.
    WarmMemory(needed);
    control.longest_gap_nanos = 0;
    control.longest_stolen_nanos = 0;
    job.Trigger(++bench.id);
    for (const Written& written : job.Wait()) {
      slowest = std::max(slowest, written.seconds);
      pauses.push_back(written.pause_ms);
      bytes += written.bytes;
    }
    gap = std::max(gap, control.longest_gap_nanos.load());
    stolen = std::max(stolen, control.longest_stolen_nanos.load());
    std::filesystem::remove_all(bench.folder + "/chk-" + std::to_string(bench.id));
    WarmMemory(needed);
    const double plain = PlainWrite(bench.folder + "/plain", bytes);
    ratios.push_back(plain / slowest);
    seconds.push_back(slowest);
  }
  control.stop = true;
  const double pause = *std::max_element(pauses.begin(), pauses.end());
  bench.report.Line("heap/pause_at_the_barrier", pause, "ms", "< 5", pause < 5);
  bench.report.Line("heap/longest_gap_with_whole", static_cast<double>(gap) * 1e-6, "ms", "< 5",
                    gap < 5'000'000);
  bench.report.Line("heap/write_beside_plain_write", Median(ratios), "x", ">= 0.8",
                    Median(ratios) >= 0.8);
  std::fprintf(
      stderr,
      "  (%.2f GB in %.2f s; longest gap without checkpoints %.2f ms; beside these the host "
      "had the core for up to %.2f ms)\n",
      static_cast<double>(bytes) * 1e-9, Median(seconds), static_cast<double>(gap_without) * 1e-6,
      static_cast<double>(stolen) * 1e-6);
}

// A second without, then a second with one of what has changed that is begun at its start. Returns
// what a restart is given for the last one.
proto::JobRestore RunChanges(Bench& bench) {
  Control control;
  control.keys = bench.keys;
  control.one_in = 100;
  RunningJob job(control, bench.folder, /*incremental=*/true, 1, {});
  while (!control.filled) Sleep(0.05);
  job.Trigger(++bench.id);
  std::vector<Written> last = job.Wait();
  std::vector<double> costs;
  std::vector<double> cpu_costs;
  std::vector<double> seconds;
  std::vector<double> pauses;
  std::int64_t gap = 0;
  std::int64_t gap_without = 0;
  const int pairs = bench.Wants("changes") ? std::max(3, 4 * bench.options.rounds) : 3;
  const std::uint64_t before = control.records;
  for (int pair = 0; pair < pairs; ++pair) {
    double rates[2] = {0, 0};
    double cpu_rates[2] = {0, 0};
    for (const bool with : {false, true}) {
      const std::uint64_t from = control.records;
      const std::int64_t cpu_from = control.cpu_nanos;
      control.longest_gap_nanos = 0;
      const Clock::time_point start = Clock::now();
      if (with) {
        job.Trigger(++bench.id);
        last = job.Wait();
        seconds.push_back(SecondsSince(start));
        for (const Written& written : last) pauses.push_back(written.pause_ms);
        if (const double left = 1 - SecondsSince(start); left > 0) Sleep(left);
      } else {
        Sleep(1);
      }
      const auto records = static_cast<double>(control.records - from);
      rates[with ? 1 : 0] = records / SecondsSince(start);
      cpu_rates[with ? 1 : 0] = records / static_cast<double>(control.cpu_nanos - cpu_from);
      (with ? gap : gap_without) =
          std::max(with ? gap : gap_without, control.longest_gap_nanos.load());
    }
    costs.push_back(1 - rates[1] / rates[0]);
    cpu_costs.push_back(1 - cpu_rates[1] / cpu_rates[0]);
  }
  control.stop = true;
  const double pause = *std::max_element(pauses.begin(), pauses.end());
  bench.report.Line("heap/pause_at_the_barrier_for_changes", pause, "ms", "< 5", pause < 5);
  bench.report.Line("heap/cost_of_one_each_second", 100 * Median(costs), "%", "<= 5",
                    Median(costs) <= 0.05);
  bench.report.Line("heap/cost_of_one_each_second_in_cpu_of_the_task", 100 * Median(cpu_costs), "%",
                    "<= 5", Median(cpu_costs) <= 0.05);
  bench.report.Line("heap/longest_gap_with_changes", static_cast<double>(gap) * 1e-6, "ms", "< 5",
                    gap < 5'000'000);
  std::uint64_t new_bytes = 0;
  std::uint64_t full_bytes = 0;
  for (const Written& task : last) {
    new_bytes += task.snapshot.new_bytes();
    full_bytes += task.snapshot.full_bytes();
  }
  std::fprintf(stderr,
               "  (%.1f MB of %.2f GB in %.3f s; longest gap without checkpoints %.2f ms; "
               "%.1f M records/s)\n",
               static_cast<double>(new_bytes) * 1e-6, static_cast<double>(full_bytes) * 1e-9,
               Median(seconds), static_cast<double>(gap_without) * 1e-6,
               static_cast<double>(control.records - before) * 1e-6 / (2.0 * pairs));
  return RestoreOf(bench.folder, bench.id, job.graph(), last);
}

// Seconds from reading the checkpoint's directories.
struct Restored {
  // Until every task runs and the first record is read.
  double first = 0;
  // Until every task has all its state.
  double all = 0;
};
// A task a core: two. A batch of records comes at once, and nothing else meanwhile.
Restored RestoreOnce(Bench& bench, const proto::JobRestore& restore) {
  constexpr std::uint32_t kTasks = 2;
  Control again;
  again.keys = bench.keys;
  const std::unique_ptr<Env> env = MakeSystemEnv();
  const RunningJob model(again, bench.folder, true, kTasks, {});
  again.stop = true;
  std::map<std::uint32_t, std::vector<std::uint32_t>> workers;
  for (const proto::Vertex& vertex : model.graph().vertices())
    workers[vertex.id()].assign(vertex.parallelism(), 0);
  Control control;
  control.keys = bench.keys;
  control.most = kBatchRecords;
  const Clock::time_point start = Clock::now();
  auto tasks = OrFail(ReadTaskStates(env->files(), restore, model.graph(), workers, 0));
  RunningJob job(control, bench.folder, true, kTasks, std::move(tasks));
  while (control.records == 0 || !job.AllRun()) Sleep(0.001);
  Restored restored{.first = SecondsSince(start)};
  job.AwaitAllState(++bench.id);
  restored.all = SecondsSince(start);
  control.stop = true;
  return restored;
}

void RunRestore(Bench& bench, const proto::JobRestore& restore) {
  const std::vector<std::string> files = FilesOf(bench.folder, restore);
  std::vector<double> ratios;
  std::vector<double> plains;
  std::vector<double> cold;
  std::vector<double> cached;
  std::vector<double> first;
  for (int round = 0; round < bench.options.rounds; ++round) {
    // The files, and tables of twice as many slots that grew from half of those.
    const std::size_t needed = 5 * bench.keys * sizeof(Account);
    double plain = 0;
    for (const std::string& file : files) DropFromMemory(file);
    WarmMemory(needed);
    for (const std::string& file : files) plain += PlainRead(file);
    WarmMemory(needed);
    const Restored again = RestoreOnce(bench, restore);
    cached.push_back(again.all);
    first.push_back(again.first);
    for (const std::string& file : files) DropFromMemory(file);
    WarmMemory(needed);
    cold.push_back(RestoreOnce(bench, restore).all);
    plains.push_back(plain);
    ratios.push_back(plain / cold.back());
  }
  bench.report.Line("heap/restore_beside_plain_read", Median(ratios), "x", ">= 0.8",
                    Median(ratios) >= 0.8);
  bench.report.Line("heap/restore_of_files_in_memory", Median(cached), "s", "< 1",
                    Median(cached) < 1);
  bench.report.Line("heap/first_record_after_it", Median(first), "s", "< 1", Median(first) < 1);
  std::fprintf(stderr, "  (%zu files, from the disk in %.2f s; read in %.2f s)\n", files.size(),
               Median(cold), Median(plains));
}

void Run(const BenchOptions& options) {
  Bench bench{
      options,
      (std::filesystem::temp_directory_path() / ("weir-checkpoint-" + std::to_string(getpid())))
          .string(),
      Report(options.json), options.Scaled((std::uint64_t{1} << 30) / 64)};
  std::filesystem::create_directories(bench.folder);
  if (bench.Wants("whole")) RunWhole(bench);
  if (bench.Wants("changes") || bench.Wants("restore")) {
    const proto::JobRestore last = RunChanges(bench);
    if (bench.Wants("restore")) RunRestore(bench, last);
  }
  std::filesystem::remove_all(bench.folder);
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  // As a worker does.
  weir::KeepFreedMemory();
  weir::bench::Run(weir::bench::BenchOptions::Parse(
      argc, argv,
      "A GB of keyed state on the heap: pause, cost and speed of a checkpoint, and of a restore. "
      "TEXT: whole, changes or restore."));
}
