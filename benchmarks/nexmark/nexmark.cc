// Queries of Nexmark, against plain loops, and beside Flink.

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "benchmarks/lib/comparison.h"
#include "benchmarks/lib/embedded.h"
#include "benchmarks/nexmark/generator.h"
#include "benchmarks/nexmark/plain_loops.h"
#include "benchmarks/nexmark/queries.h"
#include "benchmarks/nexmark/row_outcome.h"

namespace nexmark {
namespace {

using weir::bench::BenchOptions;

struct Case {
  const char* query;
  std::uint64_t events;
  double goal;
  // Millions of events per second of CPU that Flink 1.20.3 needed for the same events, measured on
  // another machine of two cores: its SQL, and jobs written by hand against its DataStream API; 0:
  // none.
  double flink_sql;
  double flink_by_hand;
};

constexpr Case kCases[] = {
    {"q0", 10'000'000, 0.7, 2.435, 0},      {"q1", 10'000'000, 0.7, 2.077, 9.032},
    {"q2", 10'000'000, 0.7, 2.695, 14.063}, {"q3", 10'000'000, 0.7, 2.504, 0},
    {"q5", 5'000'000, 0.5, 0.549, 0.726},   {"q7", 5'000'000, 0.5, 0.127, 1.869},
    {"q8", 10'000'000, 0.7, 2.677, 5.243},  {"q11", 5'000'000, 0.5, 0.546, 1.066},
    {"q17", 5'000'000, 0.5, 0.734, 0},
};

Outcome RunEngine(const std::string& query, const Generator& make, std::uint64_t events) {
  Outcome out;
  const weir::JobDefinition job = weir::bench::Describe([&](weir::Job& j) {
    const auto stream =
        j.From<Event>("events", weir::Generator{make, events}, {.timestamp = &Event::time});
    WithQuery(query, stream, [&](auto rows) {
      std::move(rows).To("out", weir::bench::SinkTo(out, [](const auto& row, Outcome& outcome) {
                           AddRow(row, outcome);
                         }));
    });
  });
  if (const absl::Status status = weir::bench::RunEmbedded(job, 1, 1); !status.ok()) {
    std::fprintf(stderr, "%s: %s\n", query.c_str(), status.ToString().c_str());
    std::exit(1);
  }
  return out;
}

void PrintBesideFlink(const BenchOptions& options, const Case& c, double mega_per_cpu_s) {
  if (options.json) {
    std::printf(
        "{\"name\":\"nexmark/%s/flink\",\"times_flink_sql\":%.1f,\"flink_sql\":%.3f,"
        "\"flink_by_hand\":%.3f}\n",
        c.query, mega_per_cpu_s / c.flink_sql, c.flink_sql, c.flink_by_hand);
    return;
  }
  std::printf("  %.1f times Flink SQL (%.2f M/CPU-s)", mega_per_cpu_s / c.flink_sql, c.flink_sql);
  if (c.flink_by_hand > 0) {
    std::printf(", %.1f times Flink by hand (%.2f)", mega_per_cpu_s / c.flink_by_hand,
                c.flink_by_hand);
  }
  std::printf("\n");
}

}  // namespace
}  // namespace nexmark

int main(int argc, char** argv) {
  using namespace nexmark;
  const auto options = BenchOptions::Parse(
      argc, argv,
      "Queries of Nexmark, 100,000 events a second of event time, against the generator with a "
      "plain loop, and beside figures of Flink.");
  const Generator make({});
  for (const Case& c : kCases) {
    const std::uint64_t events = options.Scaled(c.events);
    const double cpu_s = weir::bench::Compare(
        options, std::string("nexmark/") + c.query, events, c.goal,
        [&] { return RunPlainLoop(c.query, make, events); },
        [&] { return RunEngine(c.query, make, events); });
    if (cpu_s > 0) PrintBesideFlink(options, c, static_cast<double>(events) / cpu_s / 1e6);
  }
}
