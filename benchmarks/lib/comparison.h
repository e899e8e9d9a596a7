#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::bench {

// What a run put out: enough to see whether two runs agree. Independent of the order of results.
struct Outcome {
  std::uint64_t results = 0;
  std::uint64_t digest = 0;

  void Add(std::uint64_t a, std::uint64_t b, std::uint64_t c) {
    std::uint64_t x = a * 0x9E3779B97F4A7C15ULL + b;
    x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93ULL + c;
    x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93ULL;
    digest += x ^ (x >> 29);
    ++results;
  }
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

// One of the two programs that a benchmark compares. Makes its whole run, from the same input
// bytes, and says what came out.
using Program = std::function<Outcome()>;

// Command line of every benchmark: [--json] [--rounds N] [--only TEXT] [--quick].
struct BenchOptions {
  bool json = false;
  // Runs of each of the two; medians are printed.
  int rounds = 5;
  // Only cases whose name contains this.
  std::string only;
  // A tenth of the input: to see that it runs, not to measure.
  bool quick = false;

  // Prints usage and exits with 0 on --help, with 2 on anything unknown.
  static BenchOptions Parse(int argc, char** argv, std::string_view what);
  std::uint64_t Scaled(std::uint64_t records) const { return quick ? records / 10 : records; }
};

// Blocks until no thread of the process has anything to do, for two minutes at most; whether it has
// come to that.
bool WaitUntilIdle();

// Runs the two alternately and prints one line (or JSON object): records a second of CPU time of
// each, the ratio of their CPU times (above 1: the engine is faster), cores used, and the memory
// that the engine's run added at its peak. `goal`: the ratio to reach, 0 for none. Ends the process
// with 1 if the outcomes differ. Returns the engine's CPU time in seconds; 0 if `name` is not
// wanted.
double Compare(const BenchOptions& options, std::string_view name, std::uint64_t records,
               double goal, const Program& loop, const Program& engine);

// Runs two programs of the engine alternately and prints what `program` costs in CPU time beside
// `base`, which is called `of`: the median of the ratios. `goal`: at most that; 0 for none. Ends
// the process with 1 if the outcome of `program` is not that of `expected`, which runs once.
void CompareCosts(const BenchOptions& options, std::string_view name, std::string_view of,
                  double goal, const Program& base, const Program& program,
                  const Program& expected);

}  // namespace weir::bench
