#include "benchmarks/lib/comparison.h"

#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace weir::bench {
namespace {

double Seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

struct Cost {
  double wall_s = 0;
  double cpu_s = 0;
};

Cost Measure(const Program& program, Outcome& outcome) {
  const double wall = Seconds(CLOCK_MONOTONIC);
  const double cpu = Seconds(CLOCK_PROCESS_CPUTIME_ID);
  outcome = program();
  return {Seconds(CLOCK_MONOTONIC) - wall, Seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu};
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double PeakMegabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

void ExitIfDifferent(std::string_view name, const Outcome& got, const Outcome& expected) {
  if (got == expected) return;
  std::fprintf(
      stderr,
      "%.*s: results differ: %llu records, digest %016llx; the plain loop has %llu, %016llx\n",
      static_cast<int>(name.size()), name.data(), static_cast<unsigned long long>(got.results),
      static_cast<unsigned long long>(got.digest),
      static_cast<unsigned long long>(expected.results),
      static_cast<unsigned long long>(expected.digest));
  std::exit(1);
}

}  // namespace

BenchOptions BenchOptions::Parse(int argc, char** argv, std::string_view what) {
  BenchOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--json") {
      options.json = true;
    } else if (argument == "--quick") {
      options.quick = true;
      options.rounds = 1;
    } else if (argument == "--rounds" && i + 1 < argc && std::atoi(argv[i + 1]) > 0) {
      options.rounds = std::atoi(argv[++i]);
    } else if (argument == "--only" && i + 1 < argc) {
      options.only = argv[++i];
    } else {
      const bool help = argument == "--help" || argument == "-h";
      std::fprintf(help ? stdout : stderr,
                   "%s [--json] [--rounds N] [--only TEXT] [--quick]\n%.*s\n", argv[0],
                   static_cast<int>(what.size()), what.data());
      std::exit(help ? 0 : 2);
    }
  }
  return options;
}

bool WaitUntilIdle() {
  for (int waited = 0; waited < 240; ++waited) {
    const double before = Seconds(CLOCK_PROCESS_CPUTIME_ID);
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    if (Seconds(CLOCK_PROCESS_CPUTIME_ID) - before < 0.01) return true;
  }
  return false;
}

double Compare(const BenchOptions& options, std::string_view name, std::uint64_t records,
               double goal, const Program& loop, const Program& engine) {
  if (name.find(options.only) == std::string_view::npos) return 0;
  std::vector<double> ratios;
  std::vector<double> loop_wall;
  std::vector<double> loop_cpu;
  std::vector<double> engine_wall;
  std::vector<double> engine_cpu;
  const double before = PeakMegabytes();
  double added_megabytes = 0;
  for (int round = 0; round < options.rounds; ++round) {
    Outcome expected;
    Outcome got;
    // The engine first in the first round, so that its peak memory can be told from the loop's.
    const Cost e = Measure(engine, got);
    if (round == 0) added_megabytes = PeakMegabytes() - before;
    const Cost l = Measure(loop, expected);
    ExitIfDifferent(name, got, expected);
    ratios.push_back(l.cpu_s / e.cpu_s);
    loop_wall.push_back(l.wall_s);
    loop_cpu.push_back(l.cpu_s);
    engine_wall.push_back(e.wall_s);
    engine_cpu.push_back(e.cpu_s);
  }
  const double n = static_cast<double>(records) / 1e6;
  const double ratio = Median(ratios);
  const double cores = Median(engine_cpu) / Median(engine_wall);
  if (options.json) {
    std::printf(
        "{\"name\":\"%.*s\",\"records\":%llu,\"ratio\":%.3f,\"goal\":%.2f,\"engine_mrec_per_cpu_"
        "s\":%.2f,"
        "\"loop_mrec_per_cpu_s\":%.2f,\"engine_wall_s\":%.4f,\"loop_wall_s\":%.4f,\"cores\":%.2f,"
        "\"engine_mb\":%.1f}\n",
        static_cast<int>(name.size()), name.data(), static_cast<unsigned long long>(records), ratio,
        goal, n / Median(engine_cpu), n / Median(loop_cpu), Median(engine_wall), Median(loop_wall),
        cores, added_megabytes);
  } else {
    std::printf(
        "%-34.*s ratio %5.2f%s  engine %7.1f M/CPU-s  loop %7.1f M/CPU-s  cores %.2f  memory +%.0f "
        "MB\n",
        static_cast<int>(name.size()), name.data(), ratio,
        goal == 0 ? "             " : (ratio >= goal ? " (goal met)  " : " (below goal)"),
        n / Median(engine_cpu), n / Median(loop_cpu), cores, added_megabytes);
  }
  std::fflush(stdout);
  return Median(engine_cpu);
}

void CompareCosts(const BenchOptions& options, std::string_view name, std::string_view of,
                  double goal, const Program& base, const Program& program,
                  const Program& expected) {
  if (name.find(options.only) == std::string_view::npos) return;
  const Outcome right = expected();
  std::vector<double> ratios;
  for (int round = 0; round < options.rounds; ++round) {
    Outcome outcome;
    const Cost b = Measure(base, outcome);
    const Cost p = Measure(program, outcome);
    ExitIfDifferent(name, outcome, right);
    ratios.push_back(p.cpu_s / b.cpu_s);
  }
  const double ratio = Median(ratios);
  if (options.json) {
    std::printf("{\"name\":\"%.*s\",\"times\":%.3f,\"of\":\"%.*s\",\"goal\":%.2f}\n",
                static_cast<int>(name.size()), name.data(), ratio, static_cast<int>(of.size()),
                of.data(), goal);
  } else {
    std::printf("%-34.*s %.2f times the CPU time of %.*s%s\n", static_cast<int>(name.size()),
                name.data(), ratio, static_cast<int>(of.size()), of.data(),
                goal == 0 ? "" : (ratio <= goal ? " (goal met)" : " (above goal)"));
  }
  std::fflush(stdout);
}

}  // namespace weir::bench
