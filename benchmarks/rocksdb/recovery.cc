// Keyed state in RocksDB that is checkpointed each second while it changes, restored from its files
// at the same and at another parallelism, and larger than the memory it is given.

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "benchmarks/lib/comparison.h"
#include "common/base/strings.h"
#include "common/env/system/system_env.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_graph.pb.h"
#include "state/rocksdb/rocksdb_backend.h"
#include "taskmanager/checkpoint/task_snapshots.h"
#include "weir/hash.h"
#include "weir/state_codec.h"

namespace weir::bench {
namespace {

using Clock = std::chrono::steady_clock;

// What a key holds: 90 bytes with the key and its key group.
struct Account {
  std::int64_t count = 0;
  std::int64_t sum = 0;
  std::array<std::int64_t, 8> more{};
};
constexpr std::uint64_t kEntryBytes = 90;
using Table = internal::NamedTable<std::int64_t, Account>;
constexpr std::uint32_t kMaxParallelism = 128;
constexpr std::size_t kBatch = 1'024;

[[noreturn]] void Fail(const std::string& why) {
  std::fprintf(stderr, "bench_rocksdb_recovery: %s\n", why.c_str());
  std::exit(1);
}
template <class T>
T OrFail(absl::StatusOr<T> value) {
  if (!value.ok()) Fail(value.status().ToString());
  return *std::move(value);
}

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}
double ThreadSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}
double ResidentMegabytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t pages = 0;
  statm >> pages >> pages;
  return static_cast<double>(pages) * static_cast<double>(sysconf(_SC_PAGESIZE)) * 1e-6;
}
double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}
double Mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}
std::int64_t KeyAt(std::uint64_t n) {
  return static_cast<std::int64_t>(n * 0xD6E8FEB86659FD93ULL >> 1);
}

class Report {
 public:
  explicit Report(bool json) : json_(json) {}
  // `at_most`: the goal; none if negative.
  void Line(const std::string& name, double value, const char* unit, double at_most) {
    std::string goal;
    if (at_most >= 0) {
      const bool met = value <= at_most;
      goal = json_ ? StrCat(",\"goal\":", at_most, ",\"met\":", met ? "true" : "false")
                   : StrCat(" (goal <= ", at_most, ": ", met ? "met" : "not met", ")");
    }
    std::printf(json_ ? "{\"name\":\"rocksdb/%s\",\"value\":%.4g,\"unit\":\"%s\"%s}\n"
                      : "%-52s %9.3f %-5s%s\n",
                name.c_str(), value, unit, goal.c_str());
    std::fflush(stdout);
  }

 private:
  const bool json_;
};

// One operator's subtasks in this process, as tasks have them.
class Subtasks {
 public:
  Subtasks(std::string folder, RocksDbBackend::Options options)
      : folder_(std::move(folder)), options_(std::move(options)), env_(MakeSystemEnv()) {}

  // From nothing, or from a checkpoint. Returns the seconds that it took.
  double Start(std::uint32_t parallelism, const proto::JobRestore* from) {
    tables_.clear();
    stores_.clear();
    backend_ = std::make_unique<RocksDbBackend>(options_);
    graph_.Clear();
    graph_.set_max_parallelism(kMaxParallelism);
    proto::Node& node = *graph_.add_nodes();
    node.set_uid("accounts");
    proto::StateDescriptor& state = *node.add_states();
    state.set_name("account");
    state.set_type(Table::TypeText());
    proto::Vertex& vertex = *graph_.add_vertices();
    vertex.add_nodes(0);
    vertex.set_parallelism(parallelism);
    const Clock::time_point start = Clock::now();
    RestoredTasks restored;
    if (from != nullptr) {
      restored = OrFail(ReadTaskStates(env_->files(), *from, graph_,
                                       {{0, std::vector<std::uint32_t>(parallelism, 0)}}, 0,
                                       backend_.get(), /*in_store=*/true));
    }
    for (std::uint32_t subtask = 0; subtask < parallelism; ++subtask) {
      const auto found = restored.find({0, subtask});
      if (from != nullptr && found->second->front().stored == nullptr)
        Fail("the checkpoint's files are not taken up");
      stores_.push_back(OrFail(backend_->Open(
          0, subtask, from != nullptr ? found->second->front().stored.get() : nullptr)));
      tables_.push_back(std::make_unique<Table>(
          "account", KeyGroupRangeOf(subtask, kMaxParallelism, parallelism), kMaxParallelism,
          internal::RecordLayout<Account>(), stores_.back().get()));
      // Something is read before it counts as open.
      tables_.back()->in_store()->Find(KeyAt(subtask), KeyHash(KeyAt(subtask)));
    }
    return SecondsSince(start);
  }
  Table& table(std::uint32_t subtask = 0) { return *tables_[subtask]; }
  Table& TableOf(std::int64_t key) {
    return *tables_[SubtaskOf(KeyGroupOf(KeyHash(key), kMaxParallelism), kMaxParallelism,
                              static_cast<std::uint32_t>(tables_.size()))];
  }

  // At the barrier, on the thread that updates; then `Write`, on any.
  std::vector<TaskCheckpoint> AtBarrier(std::uint64_t id) {
    std::vector<TaskCheckpoint> checkpoints;
    for (std::uint32_t subtask = 0; subtask < tables_.size(); ++subtask) {
      TaskCheckpoint& task = checkpoints.emplace_back();
      task.subtask = subtask;
      task.barrier.id = id;
      OperatorState& state = task.state.emplace_back();
      state.keyed.push_back({"account", tables_[subtask]->type(), {}, nullptr, {}, nullptr});
      tables_[subtask]->Flush();
      state.store = OrFail(stores_[subtask]->Checkpoint());
    }
    return checkpoints;
  }
  proto::JobRestore Write(std::vector<TaskCheckpoint> checkpoints, std::uint64_t* new_bytes) {
    const std::uint64_t id = checkpoints.front().barrier.id;
    proto::JobRestore restore;
    restore.set_checkpoint_id(id);
    restore.set_directory(StrCat(folder_, "/chk-", id));
    std::filesystem::create_directories(restore.directory());
    proto::OperatorCheckpoint& of = *restore.add_operators()->mutable_checkpoint();
    of.set_uid("accounts");
    of.set_parallelism(static_cast<std::uint32_t>(checkpoints.size()));
    *new_bytes = 0;
    for (TaskCheckpoint& task : checkpoints) {
      const proto::TaskSnapshot told =
          OrFail(WriteTaskSnapshot(env_->files(), {folder_, 1, "", id - 1}, graph_, task));
      *new_bytes += told.new_bytes();
      const int base = restore.files_size();
      for (const proto::StateFile& file : told.files()) *restore.add_files() = file;
      *of.mutable_states() = told.operators(0).states();
      proto::SubtaskState& subtask = *of.add_subtasks();
      subtask.set_subtask(task.subtask);
      for (const std::uint32_t file : told.operators(0).files())
        subtask.add_files(file + static_cast<std::uint32_t>(base));
    }
    return restore;
  }

 private:
  const std::string folder_;
  const RocksDbBackend::Options options_;
  const std::unique_ptr<Env> env_;
  std::unique_ptr<RocksDbBackend> backend_;
  proto::JobGraph graph_;
  std::vector<std::unique_ptr<OperatorStore>> stores_;
  std::vector<std::unique_ptr<Table>> tables_;
};

// Batches of updates to keys that are drawn uniformly from `keys`, one in `one_in` of them.
class Updates {
 public:
  Updates(Table& table, std::uint64_t keys, std::uint64_t one_in)
      : table_(*table.in_store()), keys_(keys), one_in_(one_in) {}
  // From now on others.
  void Move() { shift_ = (shift_ + 1) % one_in_; }
  void Batch() {
    for (std::size_t i = 0; i < kBatch; ++i) {
      random_ = random_ * 6364136223846793005ULL + 1442695040888963407ULL;
      batch_[i] = KeyAt((random_ >> 20) % (keys_ / one_in_) * one_in_ + shift_);
      hashes_[i] = KeyHash(batch_[i]);
      pointers_[i] = &batch_[i];
    }
    table_.Load(pointers_.data(), hashes_.data(), kBatch);
    for (std::size_t i = 0; i < kBatch; ++i) {
      Account& account = *table_.FindOrInsert(batch_[i], hashes_[i]).first;
      ++account.count;
      account.sum += batch_[i];
    }
  }

 private:
  Table::Stored& table_;
  const std::uint64_t keys_;
  const std::uint64_t one_in_;
  std::uint64_t shift_ = 0;
  std::uint64_t random_ = 1;
  std::array<std::int64_t, kBatch> batch_{};
  std::array<std::uint64_t, kBatch> hashes_{};
  std::array<const std::int64_t*, kBatch> pointers_{};
};

void Fill(Subtasks& subtasks, std::uint64_t from, std::uint64_t to) {
  for (std::uint64_t n = from; n < to; ++n)
    subtasks.table().in_store()->Overwrite(KeyAt(n), KeyHash(KeyAt(n)));
}

// Pairs of a second without, and one with a checkpoint at its start; the last is done by its end.
// `moves`: each pair changes other keys than the one before.
proto::JobRestore CheckpointEachSecond(const BenchOptions& options, const std::string& name,
                                       bool moves, Subtasks& subtasks, Updates& updates,
                                       std::uint64_t& id, Report& report) {
  proto::JobRestore last;
  std::uint64_t new_bytes = 0;
  std::vector<double> costs;
  std::vector<double> thread_costs;
  std::vector<double> pauses;
  std::vector<double> writes;
  std::vector<double> rates_without;
  const auto update_for = [&](double seconds) {
    std::uint64_t batches = 0;
    for (const Clock::time_point start = Clock::now(); SecondsSince(start) < seconds; ++batches)
      updates.Batch();
    return batches;
  };
  update_for(2);
  // It has the files that were merged until now.
  last = subtasks.Write(subtasks.AtBarrier(++id), &new_bytes);
  const int pairs = std::max(3, 4 * options.rounds);
  for (int pair = 0; pair < pairs; ++pair) {
    if (moves) {
      updates.Move();
      // What is read first is not what is measured.
      update_for(3);
    }
    double rates[2] = {0, 0};
    double thread_rates[2] = {0, 0};
    for (const bool with : {false, true}) {
      std::thread writer;
      const Clock::time_point start = Clock::now();
      const double thread_start = ThreadSeconds();
      if (with) {
        auto checkpoint = subtasks.AtBarrier(++id);
        pauses.push_back(1e3 * SecondsSince(start));
        writer = std::thread([&, checkpoint = std::move(checkpoint)]() mutable {
          last = subtasks.Write(std::move(checkpoint), &new_bytes);
          writes.push_back(1e3 * ThreadSeconds());
        });
      }
      const std::uint64_t batches = update_for(1 - SecondsSince(start));
      const double did = static_cast<double>(batches * kBatch);
      rates[with ? 1 : 0] = did / SecondsSince(start);
      thread_rates[with ? 1 : 0] = did / (ThreadSeconds() - thread_start);
      if (with) writer.join();
    }
    costs.push_back(100 * (1 - rates[1] / rates[0]));
    thread_costs.push_back(100 * (1 - thread_rates[1] / thread_rates[0]));
    rates_without.push_back(rates[0]);
  }
  const double goal = moves ? -1 : 2;
  report.Line(name + ": cost", Median(costs), "%", goal);
  report.Line("  of it, in the task's own time", Median(thread_costs), "%", goal);
  report.Line("  pause at the barrier", Median(pauses), "ms", moves ? -1 : 20);
  std::fprintf(stderr,
               "  (%.1f M updates/s without; the last checkpoint wrote %.1f MB; %.0f ms of CPU to "
               "write one, %.0f on average; cost on average %.1f %%)\n",
               1e-6 * Median(rates_without), 1e-6 * static_cast<double>(new_bytes), Median(writes),
               Mean(writes), Mean(costs));
  return last;
}

void CheckpointsAndRestores(const BenchOptions& options, const std::string& folder,
                            Report& report) {
  const std::uint64_t keys = options.Scaled((std::uint64_t{1} << 30) / kEntryBytes);
  Subtasks subtasks(folder + "/job", {.directory = folder + "/local"});
  subtasks.Start(1, nullptr);
  Fill(subtasks, 0, keys);
  std::uint64_t id = 0;
  std::uint64_t new_bytes = 0;
  proto::JobRestore last = subtasks.Write(subtasks.AtBarrier(++id), &new_bytes);

  // Filling it is not what is measured.
  if (!WaitUntilIdle()) Fail("RocksDB does not come to an end with merging");

  Updates updates(subtasks.table(), keys, 100);
  last = CheckpointEachSecond(options, "checkpoint each second, 1 % changed", /*moves=*/false,
                              subtasks, updates, id, report);
  last = CheckpointEachSecond(options, "the same, other keys each time", /*moves=*/true, subtasks,
                              updates, id, report);

  report.Line("restore, same parallelism", subtasks.Start(1, &last), "s", 2);
  report.Line("restore, 1 to 2 subtasks in one process", subtasks.Start(2, &last), "s", 2);
  for (std::uint64_t n = 0; n < keys; n += 100) {
    const std::int64_t key = KeyAt(n);
    if (subtasks.TableOf(key).in_store()->Find(key, KeyHash(key)) == nullptr)
      Fail("a key is missing");
  }
  last = subtasks.Write(subtasks.AtBarrier(++id), &new_bytes);
  report.Line("restore, 2 to 1", subtasks.Start(1, &last), "s", 2);
}

// What the process takes at a quarter, two, three and four of state ten times as large as what it
// may take, and after as many updates all over it, once, twice and three times.
void Memory(const BenchOptions& options, const std::string& folder, Report& report) {
  const std::size_t budget = options.Scaled(64 << 20);
  const std::uint64_t keys = 10 * budget / kEntryBytes;
  Subtasks subtasks(
      folder + "/job",
      {.directory = folder + "/local", .memory_bytes = budget / 2, .decoded_bytes = budget / 2});
  const double before = ResidentMegabytes();
  subtasks.Start(1, nullptr);
  std::vector<double> curve;
  for (std::uint64_t quarter = 0; quarter < 4; ++quarter) {
    Fill(subtasks, quarter * keys / 4, (quarter + 1) * keys / 4);
    curve.push_back(ResidentMegabytes() - before);
  }
  Updates updates(subtasks.table(), keys, 1);
  for (int round = 0; round < 3; ++round) {
    for (std::uint64_t done = 0; done < keys / 4; done += kBatch) updates.Batch();
    curve.push_back(ResidentMegabytes() - before);
  }
  std::fprintf(
      stderr,
      "  (budget %.0f MB, state %.0f MB; resident %.0f %.0f %.0f %.0f, then %.0f %.0f %.0f "
      "MB)\n",
      1e-6 * static_cast<double>(budget), 1e-6 * static_cast<double>(keys * kEntryBytes), curve[0],
      curve[1], curve[2], curve[3], curve[4], curve[5], curve[6]);
  report.Line("memory beside the budget, state 10 x as large",
              *std::max_element(curve.begin(), curve.end()) * 1e6 / static_cast<double>(budget),
              "x", 2);
  // Until then its caches are being filled.
  report.Line("the same after three times as many updates beside once", curve[6] / curve[4], "x",
              1.1);
}

}  // namespace

int Main(int argc, char** argv) {
  const BenchOptions options = BenchOptions::Parse(
      argc, argv,
      "Keyed state in RocksDB: what checkpoints cost, how fast they are restored, and memory.");
  Report report(options.json);
  const std::string folder = StrCat(std::filesystem::temp_directory_path().string(),
                                    "/weir_bench_rocksdb_recovery-", getpid());
  const std::vector<std::pair<std::string, std::function<void()>>> cases = {
      {"memory", [&] { Memory(options, folder, report); }},
      {"checkpoint and restore", [&] { CheckpointsAndRestores(options, folder, report); }}};
  for (const auto& [name, run] : cases) {
    if (name.find(options.only) == std::string::npos) continue;
    std::filesystem::create_directories(folder);
    run();
    std::filesystem::remove_all(folder);
  }
  return 0;
}

}  // namespace weir::bench

int main(int argc, char** argv) { return weir::bench::Main(argc, argv); }
