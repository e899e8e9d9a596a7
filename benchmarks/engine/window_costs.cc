// What a record costs in windows, against what it costs where there is less of something: open
// windows, keys, overlap, lateness.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "benchmarks/engine/flat_sums.h"
#include "benchmarks/lib/comparison.h"
#include "benchmarks/lib/embedded.h"
#include "weir/aggregates.h"
#include "weir/window_stream.h"

namespace weir::bench {
namespace {

struct Event {
  EventTime at;
  std::int64_t key;
  std::int64_t value;
};
using Result = WindowResult<std::int64_t, std::int64_t>;

// One event a tick, each up to `disorder` ticks back.
Input<Event> MakeEvents(std::uint64_t n, std::uint64_t keys, Ticks disorder) {
  Input<Event> events(n);
  std::mt19937_64 random(keys + static_cast<std::uint64_t>(disorder));
  for (std::uint64_t i = 0; i < n; ++i) {
    const Ticks back =
        disorder == 0 ? 0 : static_cast<Ticks>(random() % static_cast<std::uint64_t>(disorder));
    events.Add({EventTime::FromTicks(std::max<Ticks>(0, static_cast<Ticks>(i) - back)),
                static_cast<std::int64_t>((random() % keys) * 0xD6E8FEB86659FD93ULL >> 1),
                static_cast<std::int64_t>(i % 1000)});
  }
  return events;
}

void AddResult(std::int64_t key, Ticks start, std::int64_t value, Outcome& out) {
  out.Add(static_cast<std::uint64_t>(key), static_cast<std::uint64_t>(start),
          static_cast<std::uint64_t>(value));
}

// The job of a case: what is done with the events by key.
template <class Add>
Outcome Run(Input<Event>& events, Ticks disorder, const Add& add) {
  Outcome out;
  const JobDefinition job = Describe([&](Job& j) {
    add(j.From<Event>("in", MemorySource<Event>(events),
                      {.timestamp = &Event::at, .max_delay = Duration(disorder)})
            .KeyBy(&Event::key))
        .To("out", SinkTo(out, [](const Result& r, Outcome& o) {
              AddResult(r.key, r.start.ticks(), r.value, o);
            }));
  });
  if (const absl::Status status = RunEmbedded(job, 1, 1); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::exit(1);
  }
  return out;
}

Outcome TumblingSums(Input<Event>& events, Ticks disorder, Ticks size, Ticks lateness) {
  return Run(events, disorder, [&](const auto& keyed) {
    const auto windows = keyed.Window(Tumbling{Duration(size)});
    return lateness > 0
               ? windows.AllowLateness(Duration(lateness)).Aggregate("sum", Sum{&Event::value})
               : windows.Aggregate("sum", Sum{&Event::value});
  });
}

// The loop: a table for each open window.
Outcome Loop(Input<Event>& events, std::uint64_t keys, Ticks disorder, Ticks size) {
  Outcome out;
  std::map<Ticks, FlatSums> open;
  std::vector<FlatSums> spare;
  Ticks greatest = 0;
  Ticks next_fire = size + disorder;
  const auto fire_first = [&] {
    const auto first = open.begin();
    first->second.ForEach(
        [&](std::int64_t key, std::int64_t sum) { AddResult(key, first->first, sum, out); });
    first->second.Clear();
    spare.push_back(std::move(first->second));
    open.erase(first);
  };
  std::map<Ticks, FlatSums>::iterator current = open.end();
  events.ForEach([&](const Event& event) {
    const Ticks time = event.at.ticks();
    const Ticks start = time / size * size;
    if (current == open.end() || current->first != start) {
      current = open.find(start);
      if (current == open.end()) {
        if (spare.empty()) spare.emplace_back(keys);
        current = open.emplace(start, std::move(spare.back())).first;
        spare.pop_back();
      }
    }
    current->second[event.key] += event.value;
    greatest = std::max(greatest, time);
    if (greatest < next_fire) return;
    fire_first();
    current = open.end();
    next_fire += size;
  });
  while (!open.empty()) fire_first();
  return out;
}

void Lateness(const BenchOptions& options) {
  constexpr Ticks kSize = 4'000'000;
  constexpr Ticks kLateness = 100'000;
  for (const std::uint64_t keys : {1'000, 100'000}) {
    const std::string name = "lateness/" + std::to_string(keys / 1'000) + "k";
    if (name.find(options.only) == std::string::npos) continue;
    const std::uint64_t n = options.Scaled(20'000'000);
    Input<Event> events = MakeEvents(n, keys, 0);
    CompareCosts(
        options, name, "windows without lateness", 1.05,
        [&] { return TumblingSums(events, 0, kSize, 0); },
        [&] { return TumblingSums(events, 0, kSize, kLateness); },
        [&] { return Loop(events, keys, 0, kSize); });
  }
}

void OpenWindows(const BenchOptions& options) {
  for (const std::int64_t windows : {1, 10, 100, 1'000}) {
    const std::string name = "open_windows/" + std::to_string(windows);
    if (name.find(options.only) == std::string::npos) continue;
    // Ten thousand sums are open in each case.
    const std::uint64_t keys = 10'000 / static_cast<std::uint64_t>(windows);
    constexpr Ticks kOpen = 1'000'000;
    const Ticks size = kOpen / windows;
    const Ticks disorder = windows == 1 ? 0 : kOpen - size;
    const std::uint64_t n = options.Scaled(10'000'000);
    Input<Event> events = MakeEvents(n, keys, disorder);
    Compare(
        options, name, n, 0, [&] { return Loop(events, keys, disorder, size); },
        [&] { return TumblingSums(events, disorder, size, 0); });
  }
}

void Keys(const BenchOptions& options) {
  for (const std::uint64_t keys : {1'000, 10'000, 100'000, 1'000'000}) {
    const std::string name = "keys/" + std::to_string(keys / 1'000) + "k";
    if (name.find(options.only) == std::string::npos) continue;
    const std::uint64_t n = options.Scaled(20'000'000);
    Input<Event> events = MakeEvents(n, keys, 0);
    Compare(
        options, name, n, 0, [&] { return Loop(events, keys, 0, 4'000'000); },
        [&] { return TumblingSums(events, 0, 4'000'000, 0); });
  }
}

// Sliding windows: the result of each is that of the records that plain(values) is given, the
// values of a key in one window in their order.
template <class Plain>
Outcome SlidingLoop(Input<Event>& events, Ticks slide, Ticks overlap, const Plain& plain) {
  struct Value {
    Ticks time;
    std::int64_t value;
  };
  std::map<std::int64_t, std::vector<Value>> keys;
  events.ForEach(
      [&](const Event& event) { keys[event.key].push_back({event.at.ticks(), event.value}); });
  Outcome out;
  for (const auto& [key, values] : keys) {
    const Ticks size = slide * overlap;
    const auto before = [](const Value& value, Ticks time) { return value.time < time; };
    for (Ticks start = slide - size; start <= values.back().time; start += slide) {
      const auto begin = std::lower_bound(values.begin(), values.end(), start, before);
      const auto end = std::lower_bound(begin, values.end(), start + size, before);
      if (begin != end) AddResult(key, start, plain(&*begin, &*begin + (end - begin)), out);
    }
  }
  return out;
}

// What a record costs as more windows cover it.
template <class Windows, class Plain>
void Overlap(const BenchOptions& options, const std::string& family, std::uint64_t keys,
             std::uint64_t records, Ticks slide, double goal, const Windows& windows,
             const Plain& plain) {
  Input<Event> events = MakeEvents(options.Scaled(records), keys, 0);
  const auto engine = [&](Ticks overlap) {
    return Run(events, 0, [&](const auto& keyed) {
      return windows(keyed.Window(Sliding{Duration(slide * overlap), Duration(slide)}));
    });
  };
  for (const Ticks overlap : {10, 100}) {
    CompareCosts(
        options, family + "/overlap_" + std::to_string(overlap), "overlap 1", goal,
        [&] { return engine(1); }, [&] { return engine(overlap); },
        [&] { return SlidingLoop(events, slide, overlap, plain); });
  }
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  using namespace weir::bench;
  const auto options = BenchOptions::Parse(
      argc, argv,
      "What a record costs in windows as there are more of them, more keys or a lateness.");
  Lateness(options);
  OpenWindows(options);
  Keys(options);
  constexpr double kOverlapGoal = 3;
  Overlap(
      options, "greatest", 1'000, 10'000'000, 100'000, kOverlapGoal,
      [](const auto& windows) { return windows.Aggregate("greatest", weir::Max{&Event::value}); },
      [](const auto* begin, const auto* end) {
        std::int64_t greatest = begin->value;
        for (; begin != end; ++begin) greatest = std::max(greatest, begin->value);
        return greatest;
      });
  constexpr std::int64_t kNewest = 5;
  Overlap(
      options, "evictor", 100, 500'000, 1'000, kOverlapGoal,
      [](const auto& windows) {
        return windows.Evict(weir::CountEvictor{kNewest})
            .Aggregate("newest", weir::Sum{&Event::value});
      },
      [](const auto* begin, const auto* end) {
        std::int64_t sum = 0;
        for (auto at = std::max(begin, end - kNewest); at != end; ++at) sum += at->value;
        return sum;
      });
}
