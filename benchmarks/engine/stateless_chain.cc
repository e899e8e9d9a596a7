// A chain of five stateless operators on 16-byte records: map, filter, map, filter, map.

#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "benchmarks/lib/comparison.h"
#include "benchmarks/lib/embedded.h"

namespace {

struct Pair {
  std::int64_t key;
  std::int64_t value;
};

}  // namespace

int main(int argc, char** argv) {
  using namespace weir;
  const auto options = bench::BenchOptions::Parse(
      argc, argv, "Five stateless operators on 16-byte records against a loop.");
  const std::uint64_t n = options.Scaled(40'000'000);
  bench::Input<Pair> input(n);
  std::mt19937_64 random(1);
  for (std::uint64_t i = 0; i < n; ++i) {
    input.Add({static_cast<std::int64_t>(random() % 1000),
               static_cast<std::int64_t>(random() % 1'000'000)});
  }

  const auto add = [](const Pair& p, bench::Outcome& out) {
    out.digest += static_cast<std::uint64_t>(p.key) * 31 + static_cast<std::uint64_t>(p.value);
    ++out.results;
  };
  const auto times3 = [](const Pair& p) { return Pair{p.key, p.value * 3 + 1}; };
  const auto not_7th = [](const Pair& p) { return p.key % 8 != 7; };
  const auto mixed = [](const Pair& p) { return Pair{p.key ^ 5, p.value + p.key}; };
  const auto not_huge = [](const Pair& p) { return p.value < 2'900'000; };
  const auto shifted = [](const Pair& p) { return Pair{p.key, p.value >> 1}; };

  bench::Compare(
      options, "stateless_chain", n, 0.8,
      [&] {
        bench::Outcome out;
        input.ForEach([&](const Pair& record) {
          Pair p = times3(record);
          if (!not_7th(p)) return;
          p = mixed(p);
          if (!not_huge(p)) return;
          add(shifted(p), out);
        });
        return out;
      },
      [&] {
        bench::Outcome out;
        const JobDefinition job = bench::Describe([&](Job& j) {
          j.From<Pair>("in", bench::MemorySource<Pair>(input))
              .Map(times3)
              .Filter(not_7th)
              .Map(mixed)
              .Filter(not_huge)
              .Map(shifted)
              .To("out", bench::SinkTo(out, add));
        });
        if (const absl::Status status = bench::RunEmbedded(job, 1, 1); !status.ok()) {
          std::fprintf(stderr, "%s\n", status.ToString().c_str());
          std::exit(1);
        }
        return out;
      });
}
