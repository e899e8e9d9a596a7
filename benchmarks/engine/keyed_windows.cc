// Keyed sums over tumbling and sliding windows, against a hand-written loop over a flat table.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "benchmarks/engine/flat_sums.h"
#include "benchmarks/lib/comparison.h"
#include "benchmarks/lib/embedded.h"

namespace weir::bench {
namespace {

struct Event {
  EventTime at;
  std::int64_t key;
  std::int64_t value;
};
using Result = WindowResult<std::int64_t, std::int64_t>;

struct Case {
  std::string name;
  std::uint64_t keys;
  Ticks disorder;
  Ticks size;
  Ticks slide;
  double goal;
};

// One event a tick; with disorder each lies up to so many ticks back. Keys are spread over 64 bits.
Input<Event> MakeEvents(std::uint64_t n, const Case& c) {
  Input<Event> events(n);
  std::mt19937_64 random(c.keys + static_cast<std::uint64_t>(c.disorder));
  for (std::uint64_t i = 0; i < n; ++i) {
    const Ticks back =
        c.disorder == 0 ? 0 : static_cast<Ticks>(random() % static_cast<std::uint64_t>(c.disorder));
    const Ticks ts = std::max<Ticks>(0, static_cast<Ticks>(i) - back);
    events.Add({EventTime::FromTicks(ts),
                static_cast<std::int64_t>((random() % c.keys) * 0xD6E8FEB86659FD93ULL >> 1),
                static_cast<std::int64_t>(i % 1000)});
  }
  return events;
}

void AddResult(std::int64_t key, Ticks start, std::int64_t sum, Outcome& out) {
  out.Add(static_cast<std::uint64_t>(key), static_cast<std::uint64_t>(start),
          static_cast<std::uint64_t>(sum));
}

// The loop for tumbling windows: a table for each open window, fired when the greatest time seen is
// past it by the disorder.
Outcome TumblingLoop(Input<Event>& events, const Case& c) {
  Outcome out;
  std::map<Ticks, FlatSums> open;
  std::vector<FlatSums> spare;
  FlatSums* current = nullptr;
  Ticks start = 0;
  Ticks greatest = 0;
  Ticks next_fire = kMaxTicks;
  events.ForEach([&](const Event& event) {
    const Ticks ts = event.at.ticks();
    if (current == nullptr || ts < start || ts >= start + c.size) {
      start = ts / c.size * c.size;
      auto it = open.find(start);
      if (it == open.end()) {
        if (spare.empty()) spare.emplace_back(c.keys);
        it = open.emplace(start, std::move(spare.back())).first;
        spare.pop_back();
        next_fire = open.begin()->first + c.size + c.disorder;
      }
      current = &it->second;
    }
    (*current)[event.key] += event.value;
    greatest = std::max(greatest, ts);
    if (greatest >= next_fire) {
      auto first = open.begin();
      first->second.ForEach(
          [&](std::int64_t key, std::int64_t sum) { AddResult(key, first->first, sum, out); });
      first->second.Clear();
      spare.push_back(std::move(first->second));
      open.erase(first);
      current = nullptr;
      next_fire = open.empty() ? kMaxTicks : open.begin()->first + c.size + c.disorder;
    }
  });
  for (auto& [window, sums] : open) {
    sums.ForEach(
        [&, w = window](std::int64_t key, std::int64_t sum) { AddResult(key, w, sum, out); });
  }
  return out;
}

// The loop for sliding windows over events in order: a running sum over the slices, the leaving one
// taken out. Keys that are in no slice of a window are counted out.
Outcome SlidingLoop(Input<Event>& events, const Case& c) {
  struct Slot {
    std::int64_t sum = 0;
    std::int64_t slices = 0;
  };
  Outcome out;
  const Ticks overlap = c.size / c.slide;
  std::map<Ticks, FlatSums> slices;
  std::unordered_map<std::int64_t, Slot> running;
  const auto enter = [&](const FlatSums& slice) {
    slice.ForEach([&](std::int64_t key, std::int64_t sum) {
      Slot& slot = running[key];
      slot.sum += sum;
      ++slot.slices;
    });
  };
  const auto leave = [&](Ticks slice_start) {
    const auto it = slices.find(slice_start);
    if (it == slices.end()) return;
    it->second.ForEach([&](std::int64_t key, std::int64_t sum) {
      const auto at = running.find(key);
      at->second.sum -= sum;
      if (--at->second.slices == 0) running.erase(at);
    });
    slices.erase(it);
  };
  const auto fire = [&](Ticks end) {
    leave(end - c.size - c.slide);
    for (const auto& [key, slot] : running) AddResult(key, end - c.size, slot.sum, out);
  };
  Ticks slice = 0;
  FlatSums* current = &slices.emplace(0, FlatSums(c.keys)).first->second;
  events.ForEach([&](const Event& event) {
    const Ticks ts = event.at.ticks();
    if (ts >= slice + c.slide) {
      enter(*current);
      fire(slice + c.slide);
      slice += c.slide;
      current = &slices.emplace(slice, FlatSums(c.keys)).first->second;
    }
    (*current)[event.key] += event.value;
  });
  enter(*current);
  for (Ticks k = 1; k <= overlap; ++k) fire(slice + k * c.slide);
  return out;
}

Outcome Engine(Input<Event>& events, const Case& c) {
  Outcome out;
  const JobDefinition job = Describe([&](Job& j) {
    const auto keyed = j.From<Event>("in", MemorySource<Event>(events),
                                     {.timestamp = &Event::at, .max_delay = Duration(c.disorder)})
                           .KeyBy(&Event::key);
    const auto add = [](const Result& r, Outcome& o) {
      AddResult(r.key, r.start.ticks(), r.value, o);
    };
    if (c.slide == c.size) {
      keyed.Window(Tumbling{Duration(c.size)})
          .Aggregate("sum", Sum{&Event::value})
          .To("out", SinkTo(out, add));
    } else {
      keyed.Window(Sliding{Duration(c.size), Duration(c.slide)})
          .Aggregate("sum", Sum{&Event::value})
          .To("out", SinkTo(out, add));
    }
  });
  if (const absl::Status status = RunEmbedded(job, 1, 1); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::exit(1);
  }
  return out;
}

// How many times as much CPU time as windows that do not overlap.
void PrintCost(const BenchOptions& options, const std::string& name, double cost) {
  constexpr double kGoal = 1.5;
  const std::string cost_name = name + "/cost";
  std::printf(options.json ? "{\"name\":\"%s\",\"times_overlap_1\":%.3f,\"goal\":%.1f}\n"
                           : "%-34s %.2f times that of overlap 1 (goal: at most %.1f)\n",
              cost_name.c_str(), cost, kGoal);
  std::fflush(stdout);
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  using namespace weir::bench;
  const auto options = BenchOptions::Parse(
      argc, argv, "Keyed sums over windows, 24-byte records, against loops over flat tables.");
  const std::vector<Case> cases = {
      {"tumbling_sum/1k", 1'000, 0, 4'000'000, 4'000'000, 0.6},
      {"tumbling_sum/100k", 100'000, 0, 4'000'000, 4'000'000, 0.6},
      {"tumbling_sum/1M", 1'000'000, 0, 4'000'000, 4'000'000, 0.6},
      {"tumbling_sum/1k/disorder", 1'000, 100'000, 4'000'000, 4'000'000, 0.6},
      {"tumbling_sum/100k/disorder", 100'000, 100'000, 4'000'000, 4'000'000, 0.6},
      {"tumbling_sum/1M/disorder", 1'000'000, 100'000, 4'000'000, 4'000'000, 0.6},
      {"sliding_sum/overlap_1", 1'000, 0, 100'000, 100'000, 0},
      {"sliding_sum/overlap_10", 1'000, 0, 1'000'000, 100'000, 0},
      {"sliding_sum/overlap_100", 1'000, 0, 10'000'000, 100'000, 0},
  };
  double overlap_1_cpu_s = 0;
  for (const Case& c : cases) {
    if (c.name.find(options.only) == std::string::npos) continue;
    const std::uint64_t n = options.Scaled(20'000'000);
    Input<Event> events = MakeEvents(n, c);
    const double cpu_s = Compare(
        options, c.name, n, c.goal,
        [&] { return c.slide == c.size ? TumblingLoop(events, c) : SlidingLoop(events, c); },
        [&] { return Engine(events, c); });
    if (c.name == "sliding_sum/overlap_1") overlap_1_cpu_s = cpu_s;
    if (c.slide != c.size && overlap_1_cpu_s > 0) {
      PrintCost(options, c.name, cpu_s / overlap_1_cpu_s);
    }
  }
}
