// A query of Nexmark: jobctl run nexmark.so -- --query=q5 --output=results

#include <stdexcept>
#include <string>

#include "benchmarks/nexmark/generator.h"
#include "benchmarks/nexmark/queries.h"
#include "weir/sdk.h"

WEIR_JOB(job) {
  const auto query = job.Arg<std::string>("query", "q0, q1, q2, q3, q5, q7, q8, q11 or q17");
  const auto output = job.Arg<std::string>("output", "folder for the rows, a JSON string each");
  const auto events = job.Arg<std::int64_t>("events", "how many events; 0: without end", 1'000'000);
  const auto seed = job.Arg<std::int64_t>("seed", "other events", 1);
  const auto rate = job.Arg<std::int64_t>("rate", "events a second of event time", 100'000);
  const auto speed = job.Arg<std::int64_t>("speed", "events a second; 0: as many as can be", 0);

  if (events < 0 || speed < 0) throw std::invalid_argument("--events and --speed: 0 or more");
  if (rate < 1 || rate > 1'000'000'000) throw std::invalid_argument("--rate: 1 to 1000000000");

  job.Name("nexmark-" + query);
  const nexmark::Generator make(
      {.seed = static_cast<std::uint64_t>(seed), .rate = static_cast<std::uint64_t>(rate)});
  const auto stream = job.From<nexmark::Event>(
      "events",
      weir::Generator{make, static_cast<std::uint64_t>(events), static_cast<double>(speed)},
      {.timestamp = &nexmark::Event::time});
  const bool known = nexmark::WithQuery(query, stream, [&](auto rows) {
    std::move(rows)
        .Map("rows", [](const auto& row) { return row.Row(); })
        .To("results", weir::Files{.path = output});
  });
  if (!known) throw std::invalid_argument("--query: there is no '" + query + "'");
}
