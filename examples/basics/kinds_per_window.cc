// How many readings of each kind there were in every ten seconds, over all sensors.
#include <map>

#include "events.h"

struct Kinds {
  weir::EventTime from, until;
  std::int64_t readings = 0;
  std::map<std::string, std::int64_t> by_kind;
};

// Counts readings by their kind.
struct CountKinds {
  using Accumulator = std::map<std::string, std::int64_t>;
  void Add(Accumulator& counts, const Reading& reading) const { ++counts[reading.kind]; }
  void Merge(Accumulator& into, const Accumulator& later) const {
    for (const auto& [kind, count] : later) into[kind] += count;
  }
  Accumulator Result(const Accumulator& counts) const { return counts; }
};

WEIR_JOB(job) {
  const auto input = job.Arg<std::string>("input", "readings as JSON lines");
  const auto output = job.Arg<std::string>("output", "folder or file for the counts");

  job.From<Reading>("readings", weir::Files{.path = input},
                    {.timestamp = &Reading::at, .max_delay = std::chrono::seconds(30)})
      .WindowAll(weir::Tumbling{std::chrono::seconds(10)})
      .Aggregate("kinds", CountKinds{},
                 [](const weir::TimeWindow& window, const CountKinds::Accumulator& counts) {
                   Kinds kinds{window.start, window.end, 0, counts};
                   for (const auto& [kind, count] : counts) kinds.readings += count;
                   return kinds;
                 })
      .To("kinds-out", weir::Files{.path = output});
}
