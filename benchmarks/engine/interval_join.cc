// An interval join of two streams, against a hand-written loop.

#include "weir/interval_join.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "benchmarks/engine/flat_sums.h"
#include "benchmarks/lib/comparison.h"
#include "benchmarks/lib/embedded.h"

namespace weir::bench {
namespace {

constexpr std::uint64_t kKeys = 1'000;

struct Event {
  EventTime at;
  std::int64_t key;
  std::int64_t value;
};
struct Pair {
  std::int64_t key = 0;
  std::int64_t left = 0;
  std::int64_t right = 0;
};

// One event a tick.
Input<Event> MakeEvents(std::uint64_t n, std::uint64_t seed) {
  Input<Event> events(n);
  std::mt19937_64 random(seed);
  for (std::uint64_t i = 0; i < n; ++i) {
    events.Add({EventTime::FromTicks(static_cast<Ticks>(i + 1)),
                static_cast<std::int64_t>((random() % kKeys) * 0xD6E8FEB86659FD93ULL >> 1),
                static_cast<std::int64_t>(i)});
  }
  return events;
}

// The loop: takes a record of each side in turns, so in the order of their times; of each key those
// that may still be joined.
Outcome Loop(Input<Event>& left, Input<Event>& right, Ticks reach) {
  struct Waiting {
    std::deque<Event> left;
    std::deque<Event> right;
  };
  // Of each key its place in `waiting`, from 1 on.
  FlatSums places(kKeys);
  std::vector<Waiting> waiting;
  waiting.reserve(kKeys);
  Outcome out;
  const auto of_key = [&](std::int64_t key) -> Waiting& {
    std::int64_t& place = places[key];
    if (place == 0) {
      waiting.emplace_back();
      place = static_cast<std::int64_t>(waiting.size());
    }
    return waiting[static_cast<std::size_t>(place - 1)];
  };
  const auto drop_before = [](std::deque<Event>& events, Ticks time) {
    while (!events.empty() && events.front().at.ticks() < time) events.pop_front();
  };
  const auto add = [&](const Event& a, const Event& b) {
    out.Add(static_cast<std::uint64_t>(a.key), static_cast<std::uint64_t>(a.value),
            static_cast<std::uint64_t>(b.value));
  };
  for (std::size_t piece = 0; piece < left.pieces().size(); ++piece) {
    for (std::size_t i = 0; i < left.pieces()[piece].size(); ++i) {
      const Event& a = left.pieces()[piece][i];
      Waiting& of_a = of_key(a.key);
      drop_before(of_a.right, a.at.ticks() - reach);
      for (const Event& b : of_a.right) add(a, b);
      of_a.left.push_back(a);
      const Event& b = right.pieces()[piece][i];
      Waiting& of_b = of_key(b.key);
      drop_before(of_b.left, b.at.ticks() - reach);
      for (const Event& of_left : of_b.left) add(of_left, b);
      of_b.right.push_back(b);
    }
  }
  return out;
}

Outcome Engine(Input<Event>& left, Input<Event>& right, Ticks reach) {
  Outcome out;
  const JobDefinition job = Describe([&](Job& j) {
    const auto a =
        j.From<Event>("left", MemorySource<Event>(left, Lend::kNo), {.timestamp = &Event::at});
    const auto b =
        j.From<Event>("right", MemorySource<Event>(right, Lend::kNo), {.timestamp = &Event::at});
    a.KeyBy(&Event::key)
        .IntervalJoin(b.KeyBy(&Event::key), Between{Duration(-reach), Duration(reach)})
        .Join("pairs", [](const Event& x, const Event& y) { return Pair{x.key, x.value, y.value}; })
        .To("out", SinkTo(out, [](const Pair& pair, Outcome& o) {
              o.Add(static_cast<std::uint64_t>(pair.key), static_cast<std::uint64_t>(pair.left),
                    static_cast<std::uint64_t>(pair.right));
            }));
  });
  if (const absl::Status status = RunEmbedded(job, 1, 1); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::exit(1);
  }
  return out;
}

void PrintCost(const BenchOptions& options, const std::string& name, double cost) {
  const std::string cost_name = name + "/cost";
  std::printf(options.json ? "{\"name\":\"%s\",\"times_half_as_many\":%.3f}\n"
                           : "%-34s %.2f times that of half as many matches\n",
              cost_name.c_str(), cost);
  std::fflush(stdout);
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  using namespace weir::bench;
  const auto options = BenchOptions::Parse(
      argc, argv,
      "A join of two streams of 24-byte records with 1,000 keys by time, against a loop.");
  constexpr double kGoal = 0.4;
  const std::uint64_t n = options.Scaled(1'000'000);
  Input<Event> left = MakeEvents(n, 1);
  Input<Event> right = MakeEvents(n, 2);
  double before_cpu_s = 0;
  for (const std::uint64_t matches : {2, 4, 8, 16, 32}) {
    // So many for each record.
    const auto reach = static_cast<weir::Ticks>(matches * kKeys / 2);
    const std::string name = "interval_join/" + std::to_string(matches) + "_matches";
    const double cpu_s = Compare(
        options, name, 2 * n, kGoal, [&] { return Loop(left, right, reach); },
        [&] { return Engine(left, right, reach); });
    if (before_cpu_s > 0 && cpu_s > 0) PrintCost(options, name, cpu_s / before_cpu_s);
    before_cpu_s = cpu_s;
  }
}
