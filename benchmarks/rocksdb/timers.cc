// Timers of a keyed function that are set and fire, with state in RocksDB, against the same
// function on the heap.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "benchmarks/lib/comparison.h"
#include "state/rocksdb/rocksdb_backend.h"
#include "weir/connectors.h"
#include "weir/job.h"
#include "weir/testing.h"

namespace weir::bench {
namespace {

using testing::HarnessOptions;
using testing::OperatorHarness;

struct Case {
  std::string name;
  std::uint64_t timers;
  // A key comes again after as many others, when its timer has fired.
  std::uint64_t keys;
  // How many ticks after its record, of which one comes a tick, a timer fires; or at the next
  // multiple of that, as all do then.
  Ticks ahead;
  bool together;
  // Of the backend.
  std::size_t memory;
};

struct SetOne : KeyedProcess<std::int64_t, std::int64_t, std::int64_t> {
  EventTimer timer{this, "timer"};
  const Ticks ahead;
  const bool together;

  SetOne(Ticks ahead_, bool together_) : ahead(ahead_), together(together_) {}
  void Process(const std::int64_t&, Context& context) override {
    const Ticks at = context.timestamp().ticks();
    timer.Set(EventTime::FromTicks(together ? (at / ahead + 1) * ahead : at + ahead));
  }
  void OnTimer(const EventTimer&, Context& context) override { context.Emit(context.key()); }
};

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "bench_rocksdb_timers: %s\n", status.ToString().c_str());
  std::exit(1);
}

JobDefinition Define(Ticks ahead, bool together) {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  Job(graph)
      .From<std::int64_t>("in", Files{.path = "x"})
      .KeyBy([](const std::int64_t& key) { return key; })
      .Process<SetOne>("timers", ahead, together)
      .To("out", Print{});
  return job;
}

// Records [begin, end) of `keys`, each with its number as timestamp.
void AddRecords(std::uint64_t begin, std::uint64_t end, std::uint64_t keys,
                Batch<std::int64_t>& batch) {
  for (std::uint64_t i = begin; i < end; ++i) {
    batch.records.emplace_back(static_cast<std::int64_t>((i % keys) * 0xD6E8FEB86659FD93ULL >> 1));
    batch.timestamps.emplace_back(static_cast<Ticks>(i));
  }
}
constexpr std::uint64_t kBatch = 1'024;

Outcome Run(std::uint64_t timers, const Case& c, StateBackend* backend) {
  const JobDefinition job = Define(c.ahead, c.together);
  HarnessOptions options;
  if (backend != nullptr) {
    options.make_store = [&] {
      auto store = backend->Open(0, 0, nullptr);
      Check(store.status());
      return *std::move(store);
    };
  }
  OperatorHarness harness(job.nodes[1].make_operator, options);
  harness.AddOutput<std::int64_t>();
  Check(harness.Open());
  Outcome out;
  const auto count = [&] {
    for (const auto& fired : harness.Take<std::int64_t>())
      out.Add(static_cast<std::uint64_t>(fired.value), static_cast<std::uint64_t>(fired.timestamp),
              out.results);
  };
  for (std::uint64_t begin = 0; begin < timers; begin += kBatch) {
    const std::uint64_t end = std::min(begin + kBatch, timers);
    Batch<std::int64_t> batch;
    AddRecords(begin, end, c.keys, batch);
    Check(harness.ProcessBatch(0, batch));
    Check(harness.Watermark(static_cast<Ticks>(end) - 1));
    count();
  }
  Check(harness.Finish());
  count();
  return out;
}

// Timers that are set are taken up from the files of a checkpoint, until the first may fire.
void Restart(const BenchOptions& bench, const std::string& name, std::uint64_t timers,
             std::size_t memory, const std::string& folder) {
  if (name.find(bench.only) == std::string::npos) return;
  timers = bench.Scaled(timers);
  RocksDbBackend backend(
      {.directory = folder, .memory_bytes = memory / 2, .decoded_bytes = memory / 2});
  const JobDefinition job = Define(kMaxTicks / 2, false);
  OperatorStore* store = nullptr;
  HarnessOptions options;
  StoredParts parts;
  options.make_store = [&] {
    auto opened = backend.Open(0, 0, parts.empty() ? nullptr : &parts);
    Check(opened.status());
    store = opened->get();
    return *std::move(opened);
  };
  auto harness = std::make_unique<OperatorHarness>(job.nodes[1].make_operator, options);
  harness->AddOutput<std::int64_t>();
  Check(harness->Open());
  for (std::uint64_t begin = 0; begin < timers; begin += kBatch) {
    Batch<std::int64_t> batch;
    AddRecords(begin, std::min(begin + kBatch, timers), timers, batch);
    Check(harness->ProcessBatch(0, batch));
  }
  for (KeyedStateTable* table : harness->op().keyed_state()) table->Flush();
  const auto checkpoint = *store->Checkpoint();
  Check(checkpoint->Take());
  StoredPart& part = parts.emplace_back();
  part.had = part.keeps = {0, 127};
  for (const StoreCheckpoint::File& file : checkpoint->files()) {
    std::stringstream content;
    content << std::ifstream(file.path, std::ios::binary).rdbuf();
    part.files.push_back({file.name, content.str(), "", "", 0, 0});
  }
  harness.reset();
  const auto start = std::chrono::steady_clock::now();
  const std::clock_t cpu_start = std::clock();
  harness = std::make_unique<OperatorHarness>(job.nodes[1].make_operator, options);
  harness->AddOutput<std::int64_t>();
  Check(harness->Restore({}));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double cpu = static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC;
  if (harness->op().keyed_state().front()->entries() != timers)
    Check(absl::DataLossError("timers are missing"));
  if (bench.json) {
    std::printf("{\"name\":\"%s\",\"value\":%.4g,\"unit\":\"s\",\"cpu_s\":%.4g}\n", name.c_str(),
                seconds, cpu);
  } else {
    std::printf("%-52s %9.3f s (%.1f M timers; %.3f s of CPU)\n", name.c_str(), seconds,
                1e-6 * static_cast<double>(timers), cpu);
  }
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  using namespace weir::bench;
  const auto options = BenchOptions::Parse(
      argc, argv, "Timers that are set and fire, in RocksDB, against the same on the heap.");
  constexpr std::size_t kMiB = 1 << 20;
  // What is known of a timer that is set takes about 200 bytes of the memory for decoded values.
  const std::vector<Case> cases = {
      {"timers_in_rocksdb/100k", 4'000'000, 200'000, 100'000, false, 512 * kMiB},
      {"timers_in_rocksdb/1M/a_tenth_of_memory", 3'000'000, 1'500'000, 1'000'000, false, 40 * kMiB},
      {"timers_in_rocksdb/1M/a_tenth_of_memory/at_one_time", 3'000'000, 1'500'000, 1'000'000, true,
       40 * kMiB},
  };
  std::string folder = (std::filesystem::temp_directory_path() / "weir_bench_XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) {
    std::perror(folder.c_str());
    return 1;
  }
  for (const Case& c : cases) {
    if (c.name.find(options.only) == std::string::npos) continue;
    const std::uint64_t n = options.Scaled(c.timers);
    Compare(
        options, c.name, n, 0, [&] { return Run(n, c, nullptr); },
        [&] {
          weir::RocksDbBackend backend(
              {.directory = folder, .memory_bytes = c.memory / 2, .decoded_bytes = c.memory / 2});
          return Run(n, c, &backend);
        });
  }
  Restart(options, "timers_in_rocksdb/restart/a_fifth_in_memory", 5'000'000, 512 * kMiB, folder);
  Restart(options, "timers_in_rocksdb/restart/a_twentieth_in_memory", 5'000'000, 128 * kMiB,
          folder);
  std::filesystem::remove_all(folder);
}
