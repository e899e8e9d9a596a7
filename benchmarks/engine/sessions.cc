// Sessions of many keys whose records are out of order, against a hand-written loop.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

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

struct Case {
  std::string name;
  std::uint64_t keys;
  Ticks disorder;
  Ticks gap;
};

// One event a tick, each up to so many ticks back.
Input<Event> MakeEvents(std::uint64_t n, const Case& c) {
  Input<Event> events(n);
  std::mt19937_64 random(c.keys + static_cast<std::uint64_t>(c.disorder));
  for (std::uint64_t i = 0; i < n; ++i) {
    const Ticks back =
        c.disorder == 0 ? 0 : static_cast<Ticks>(random() % static_cast<std::uint64_t>(c.disorder));
    events.Add({EventTime::FromTicks(std::max<Ticks>(0, static_cast<Ticks>(i) - back)),
                static_cast<std::int64_t>((random() % c.keys) * 0xD6E8FEB86659FD93ULL >> 1),
                static_cast<std::int64_t>(i % 1000)});
  }
  return events;
}

// The loop: a flat table that knows the number of keys, with a key's latest session in the slot. A
// session is given out when the next record of its key finds that none can join it any more.
class Sessions {
 public:
  Sessions(const Case& c, Outcome& out) : gap_(c.gap), disorder_(c.disorder), out_(out) {
    int bits = 4;
    while ((std::uint64_t{1} << bits) < c.keys * 2) ++bits;
    shift_ = 64 - bits;
    slots_.assign(std::size_t{1} << bits, Slot());
  }

  void Add(const Event& event) {
    const Ticks time = event.at.ticks();
    greatest_ = std::max(greatest_, time);
    Slot& slot = SlotOf(event.key);
    if (slot.before == 0 && time >= slot.last.first - gap_ && time <= slot.last.newest + gap_) {
      slot.last.first = std::min(slot.last.first, time);
      slot.last.newest = std::max(slot.last.newest, time);
      slot.last.sum += event.value;
      return;
    }
    AddToSome(slot, {time, time, event.value});
  }
  void Finish() {
    for (const Slot& slot : slots_) {
      if (slot.key == kNone) continue;
      GiveOut(slot.key, slot.last);
      if (slot.before == 0) continue;
      for (const Session& session : lists_[slot.before - 1]) GiveOut(slot.key, session);
    }
  }

 private:
  static constexpr std::int64_t kNone = INT64_MIN;
  struct Session {
    Ticks first = 0;
    Ticks newest = 0;
    std::int64_t sum = 0;
  };
  struct Slot {
    std::int64_t key = kNone;
    Session last;
    // One more than the index of the list of the key's earlier sessions; 0: none.
    std::size_t before = 0;
    // `last` is one.
    bool used = false;
  };

  Slot& SlotOf(std::int64_t key) {
    std::size_t i = (static_cast<std::uint64_t>(key) * 0x9E3779B97F4A7C15ULL) >> shift_;
    while (slots_[i].key != key) {
      if (slots_[i].key == kNone) {
        slots_[i].key = key;
        slots_[i].last = {kMaxTicks / 2, kMinTicks / 2, 0};
        break;
      }
      i = (i + 1) & (slots_.size() - 1);
    }
    return slots_[i];
  }
  void AddToSome(Slot& slot, Session session) {
    if (!slot.used) {
      slot.used = true;
      slot.last = session;
      return;
    }
    if (slot.before == 0) {
      if (spare_.empty()) {
        lists_.emplace_back();
        spare_.push_back(lists_.size());
      }
      slot.before = spare_.back();
      spare_.pop_back();
    }
    std::vector<Session>& list = lists_[slot.before - 1];
    list.push_back(slot.last);
    std::size_t kept = 0;
    for (const Session& other : list) {
      if (session.first <= other.newest + gap_ && other.first <= session.newest + gap_) {
        session.first = std::min(session.first, other.first);
        session.newest = std::max(session.newest, other.newest);
        session.sum += other.sum;
      } else if (other.newest + gap_ < greatest_ - disorder_) {
        GiveOut(slot.key, other);
      } else {
        list[kept++] = other;
      }
    }
    list.resize(kept);
    if (!list.empty() && list.back().first > session.first) std::swap(list.back(), session);
    slot.last = session;
    if (!list.empty()) return;
    spare_.push_back(slot.before);
    slot.before = 0;
  }
  void GiveOut(std::int64_t key, const Session& session) {
    out_.Add(static_cast<std::uint64_t>(key), static_cast<std::uint64_t>(session.first),
             static_cast<std::uint64_t>(session.newest + gap_) * 0x9E3779B97F4A7C15ULL +
                 static_cast<std::uint64_t>(session.sum));
  }

  const Ticks gap_;
  const Ticks disorder_;
  Outcome& out_;
  int shift_ = 0;
  std::vector<Slot> slots_;
  std::vector<std::vector<Session>> lists_;
  std::vector<std::size_t> spare_;
  Ticks greatest_ = 0;
};

Outcome Loop(Input<Event>& events, const Case& c) {
  Outcome out;
  Sessions sessions(c, out);
  events.ForEach([&](const Event& event) { sessions.Add(event); });
  sessions.Finish();
  return out;
}

Outcome Engine(Input<Event>& events, const Case& c) {
  Outcome out;
  const JobDefinition job = Describe([&](Job& j) {
    j.From<Event>("in", MemorySource<Event>(events),
                  {.timestamp = &Event::at, .max_delay = Duration(c.disorder)})
        .KeyBy(&Event::key)
        .Window(Session{Duration(c.gap)})
        .Aggregate("sum", Sum{&Event::value})
        .To("out", SinkTo(out, [](const Result& r, Outcome& o) {
              o.Add(static_cast<std::uint64_t>(r.key), static_cast<std::uint64_t>(r.start.ticks()),
                    static_cast<std::uint64_t>(r.end.ticks()) * 0x9E3779B97F4A7C15ULL +
                        static_cast<std::uint64_t>(r.value));
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
  const auto options = BenchOptions::Parse(
      argc, argv,
      "Sums over sessions, 24-byte records out of order, against a loop over a flat table.");
  constexpr double kGoal = 0.5;
  const std::vector<Case> cases = {
      {"sessions/1k/disorder", 1'000, 100'000, 5'000},
      {"sessions/100k", 100'000, 0, 300'000},
      {"sessions/100k/disorder", 100'000, 100'000, 300'000},
      // Most records begin one.
      {"sessions/100k/disorder/short", 100'000, 100'000, 30'000},
  };
  for (const Case& c : cases) {
    if (c.name.find(options.only) == std::string::npos) continue;
    const std::uint64_t n = options.Scaled(10'000'000);
    Input<Event> events = MakeEvents(n, c);
    Compare(
        options, c.name, n, kGoal, [&] { return Loop(events, c); },
        [&] { return Engine(events, c); });
  }
}
