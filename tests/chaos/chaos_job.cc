// Two sources of numbered records, joined into one stream, and from it: what each key has had in
// each second, by state and timers of its own and by a window; all records; and copies that each
// subtask gets. All of it to files.
#include <weir/sdk.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace {

struct Event {
  std::int64_t source = 0;
  std::int64_t n = 0;
  std::int64_t key = 0;
  weir::EventTime at;
};

struct Fold {
  std::int64_t count = 0;
  std::int64_t sum = 0;
  // Of any order.
  std::int64_t mixed = 0;
};

struct Total {
  std::int64_t key = 0;
  // -1: of all.
  std::int64_t second = 0;
  std::int64_t count = 0;
  std::int64_t sum = 0;
  std::int64_t mixed = 0;
};

std::int64_t Mix(const Event& event) {
  std::uint64_t x = static_cast<std::uint64_t>(event.n * 2 + event.source) + 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return static_cast<std::int64_t>((x ^ (x >> 31)) >> 1);
}

void Add(Fold& fold, const Event& event) {
  ++fold.count;
  fold.sum += event.n;
  fold.mixed ^= Mix(event);
}

struct Folding : weir::KeyedProcess<std::int64_t, Event, Total> {
  weir::ValueState<Fold> all{this, "all"};
  weir::MapState<std::int64_t, Fold> seconds{this, "seconds"};
  weir::ListState<std::int64_t> open{this, "open"};
  weir::EventTimer next{this, "next"};
  weir::EventTimer end{this, "end"};

  void Process(const Event& event, Context&) override {
    Add(all.Mutable(), event);
    const std::int64_t second = event.at.ticks() / 1'000'000;
    if (!seconds.Contains(second)) open.Add(second);
    Add(seconds.Mutable(second), event);
    SetNext();
    if (!end.IsSet()) end.Set(weir::EventTime::FromMillis(1'000'000'000'000'000));
  }

  void OnTimer(const weir::EventTimer& timer, Context& ctx) override {
    if (&timer == &end) {
      const Fold fold = all.Get();
      ctx.Emit({ctx.key(), -1, fold.count, fold.sum, fold.mixed});
      return;
    }
    const std::int64_t second = Earliest();
    const Fold fold = *seconds.Get(second);
    ctx.Emit({ctx.key(), second, fold.count, fold.sum, fold.mixed});
    seconds.Remove(second);
    std::vector<std::int64_t> left;
    for (const std::int64_t other : open.Get()) {
      if (other != second) left.push_back(other);
    }
    open.Set(left);
    if (!left.empty()) SetNext();
  }

 private:
  std::int64_t Earliest() const {
    std::int64_t earliest = INT64_MAX;
    for (const std::int64_t second : open.Get()) earliest = std::min(earliest, second);
    return earliest;
  }
  void SetNext() { next.Set(weir::EventTime::FromMillis((Earliest() + 1) * 1000 - 1)); }
};

}  // namespace

WEIR_JOB(job) {
  const auto out = job.Arg<std::string>("out", "folder below which the results are written");
  const auto count = job.Arg<std::int64_t>("count", "how many records of each source");
  const auto keys = job.Arg<std::int64_t>("keys", "how many keys", 64);
  const auto rate =
      job.Arg<double>("rate", "records a second of each source; 0: as many as possible", 1'000);
  const auto source = [&](std::int64_t number) {
    return weir::Generator{.make =
                               [number, keys](std::uint64_t i) {
                                 const auto n = static_cast<std::int64_t>(i);
                                 return Event{number, n, (n * 7 + number * 3) % keys,
                                              weir::EventTime::FromMillis(n + 13 * number)};
                               },
                           .count = static_cast<std::uint64_t>(count),
                           .rate = rate};
  };
  const auto left = job.From<Event>("left", source(0), {.timestamp = &Event::at});
  const auto right = job.From<Event>("right", source(1), {.timestamp = &Event::at});
  const auto both = left.Union(right);
  both.KeyBy(&Event::key)
      .Process<Folding>("fold")
      .To("totals", weir::Files{.path = out + "/totals"});
  both.KeyBy(&Event::key)
      .Window(weir::Tumbling{std::chrono::seconds(1)})
      .Aggregate("sum", weir::Sum{&Event::n})
      .To("sums", weir::Files{.path = out + "/sums"});
  both.Rebalance()
      .Map("copy", [](const Event& event) { return event; })
      .To("all", weir::Files{.path = out + "/all"});
  right.Filter([](const Event& event) { return event.n % 50 == 0; })
      .Broadcast()
      .Map("tell", [](const Event& event) { return event; })
      .To("copies", weir::Files{.path = out + "/copies"});
}
