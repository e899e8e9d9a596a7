// Keyed sums over windows whose state is in RocksDB, against the same job on the heap.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "benchmarks/lib/comparison.h"
#include "benchmarks/lib/embedded.h"
#include "state/rocksdb/rocksdb_backend.h"

namespace weir::bench {
namespace {

struct Event {
  EventTime at;
  std::int64_t key;
  std::int64_t value;
};

struct Case {
  std::string name;
  std::uint64_t records;
  std::uint64_t keys;
  Ticks size;
  Ticks slide;
  // Of the backend.
  std::size_t memory;
};

// One event a tick.
Input<Event> MakeEvents(std::uint64_t n, std::uint64_t keys) {
  Input<Event> events(n);
  std::mt19937_64 random(keys);
  for (std::uint64_t i = 0; i < n; ++i) {
    events.Add({EventTime::FromTicks(static_cast<Ticks>(i)),
                static_cast<std::int64_t>((random() % keys) * 0xD6E8FEB86659FD93ULL >> 1),
                static_cast<std::int64_t>(i % 1000)});
  }
  return events;
}

Outcome Run(Input<Event>& events, const Case& c, StateBackend* backend) {
  Outcome out;
  const JobDefinition job = Describe([&](Job& j) {
    const auto keyed = j.From<Event>("in", MemorySource<Event>(events), {.timestamp = &Event::at})
                           .KeyBy(&Event::key);
    const auto sum = [&](const auto& windowed) {
      windowed.Aggregate("sum", Sum{&Event::value})
          .To("out", SinkTo(out, [](const WindowResult<std::int64_t, std::int64_t>& r, Outcome& o) {
                o.Add(static_cast<std::uint64_t>(r.key),
                      static_cast<std::uint64_t>(r.start.ticks()),
                      static_cast<std::uint64_t>(r.value));
              }));
    };
    if (c.slide == c.size) {
      sum(keyed.Window(Tumbling{Duration(c.size)}));
    } else {
      sum(keyed.Window(Sliding{Duration(c.size), Duration(c.slide)}));
    }
  });
  if (const absl::Status status = RunEmbedded(job, 1, 1, backend); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::exit(1);
  }
  return out;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  using namespace weir::bench;
  const auto options = BenchOptions::Parse(
      argc, argv, "Keyed sums over windows in RocksDB, against the same on the heap.");
  constexpr std::size_t kMiB = 1 << 20;
  const std::vector<Case> cases = {
      {"windows_in_rocksdb/1k", 20'000'000, 1'000, 1'000'000, 1'000'000, 512 * kMiB},
      {"windows_in_rocksdb/100k", 20'000'000, 100'000, 4'000'000, 4'000'000, 512 * kMiB},
      {"windows_in_rocksdb/100k/overlap_10", 10'000'000, 100'000, 4'000'000, 400'000, 512 * kMiB},
      {"windows_in_rocksdb/1M/a_tenth_of_memory", 5'000'000, 1'000'000, 4'000'000, 4'000'000,
       8 * kMiB},
      // Few entries of each key group in each slice: what firing a window takes to find them.
      {"windows_in_rocksdb/10k/overlap_50/a_third_of_memory", 1'000'000, 10'000, 500'000, 10'000,
       8 * kMiB},
  };
  std::string folder = (std::filesystem::temp_directory_path() / "weir_bench_XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) {
    std::perror(folder.c_str());
    return 1;
  }
  for (const Case& c : cases) {
    if (c.name.find(options.only) == std::string::npos) continue;
    const std::uint64_t n = options.Scaled(c.records);
    Input<Event> events = MakeEvents(n, c.keys);
    Compare(
        options, c.name, n, 0, [&] { return Run(events, c, nullptr); },
        [&] {
          weir::RocksDbBackend backend(
              {.directory = folder, .memory_bytes = c.memory / 2, .decoded_bytes = c.memory / 2});
          return Run(events, c, &backend);
        });
  }
  std::filesystem::remove_all(folder);
}
