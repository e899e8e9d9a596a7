// The pattern a+ b in the events of many keys.

#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "benchmarks/lib/comparison.h"
#include "benchmarks/lib/embedded.h"
#include "weir/pattern_stream.h"

namespace weir::bench {
namespace {

constexpr std::int64_t kKeys = 10'000;

struct Event {
  EventTime at;
  std::int64_t key = 0;
  std::int32_t kind = 0;  // 0: a, 1: b, else neither
};

// Of five events three are a, one is b.
Input<Event> MakeEvents(std::uint64_t count) {
  std::mt19937_64 random(7);
  Input<Event> events(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t draw = random();
    const std::uint64_t kind = draw % 5;
    events.Add({EventTime::FromTicks(static_cast<Ticks>(i + 1)),
                static_cast<std::int64_t>((draw >> 20) % kKeys),
                kind < 3 ? 0 : static_cast<std::int32_t>(kind - 2)});
  }
  return events;
}

// The loop: of each key the events that are taken so far.
Outcome Loop(Input<Event>& events) {
  std::vector<std::vector<Event>> taken(kKeys);
  Outcome out;
  events.ForEach([&](const Event& event) {
    std::vector<Event>& of_key = taken[static_cast<std::size_t>(event.key)];
    if (event.kind == 0) of_key.push_back(event);
    if (event.kind != 1 || of_key.empty()) return;
    out.Add(static_cast<std::uint64_t>(event.key), event.at.ticks(), of_key.size() + 1);
    of_key.clear();
  });
  return out;
}

Outcome Engine(Input<Event>& events) {
  Outcome out;
  const auto pattern = Pattern<Event>::Begin("a")
                           .Where([](const Event& event) { return event.kind == 0; })
                           .OneOrMore()
                           .FollowedBy("b")
                           .Where([](const Event& event) { return event.kind == 1; })
                           .After(AfterMatch::SkipPastLastEvent());
  struct At {
    std::int64_t key = 0;
    std::int64_t events = 0;
    EventTime end;
  };
  const JobDefinition job = Describe([&](Job& j) {
    j.From<Event>("events", MemorySource<Event>(events), {.timestamp = &Event::at})
        .KeyBy(&Event::key)
        .Match(pattern)
        .Select("matches",
                [](const std::int64_t& key, const Match<Event>& match) {
                  return At{key, static_cast<std::int64_t>(match.size()),
                            match.time(match.size() - 1)};
                })
        .To("out", SinkTo(out, [](const At& found, Outcome& o) {
              o.Add(static_cast<std::uint64_t>(found.key), found.end.ticks(),
                    static_cast<std::uint64_t>(found.events));
            }));
  });
  if (const absl::Status status = RunEmbedded(job, 1, 1); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::exit(1);
  }
  return out;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  using namespace weir::bench;
  const auto options =
      BenchOptions::Parse(argc, argv,
                          "The pattern a+ b in the events of 10,000 keys, against a loop that "
                          "keeps what was taken of each key.");
  const std::uint64_t count = options.Scaled(1'000'000);
  Input<Event> events = MakeEvents(count);
  // The loop keeps one list a key; the pattern's semantics ask for a partial match of each event at
  // which one may begin and of each at which it may go on to b. So the goal is a rate.
  const double cpu_s = Compare(
      options, "patterns", count, 0, [&] { return Loop(events); }, [&] { return Engine(events); });
  if (cpu_s == 0 || options.json) return 0;
  const double rate = static_cast<double>(count) / cpu_s / 1e6;
  std::printf("  %.2f M events a CPU second (goal 1: %s)\n", rate,
              rate >= 1 ? "met" : "not reached");
}
