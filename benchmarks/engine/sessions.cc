// Sessions of many keys whose records are out of order, against a hand-written loop.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
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

// The loop: a flat table that knows the number of keys, with a key's latest session in the slot. In
// time: a session is given out when no record can join it any more, as a job does it, by keys in
// buckets of a sixteenth of the gap. Else when the next record of its key finds that, or at the
// end.
class Sessions {
 public:
  Sessions(const Case& c, bool in_time, Outcome& out)
      : gap_(c.gap),
        disorder_(c.disorder),
        in_time_(in_time),
        bucket_(std::max<Ticks>(c.gap / 16, 1)),
        out_(out) {
    int bits = 4;
    while ((std::uint64_t{1} << bits) < c.keys * 2) ++bits;
    shift_ = 64 - bits;
    slots_.assign(std::size_t{1} << bits, Slot());
  }

  void Add(const Event& event) {
    const Ticks time = event.at.ticks();
    if (time > greatest_) {
      greatest_ = time;
      if (greatest_ >= next_due_) GiveOutDue();
    }
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
      if (!slot.used) continue;
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
  // Joins no other.
  static constexpr Session kNoSession{kMaxTicks / 2, kMinTicks / 2, 0};
  struct Slot {
    std::int64_t key = kNone;
    Session last;
    // One more than the index of the list of the key's earlier sessions; 0: none.
    std::size_t before = 0;
    // `last` is one.
    bool used = false;
    // In some bucket.
    bool waits = false;
  };

  std::size_t PlaceOf(std::int64_t key) const {
    return (static_cast<std::uint64_t>(key) * 0x9E3779B97F4A7C15ULL) >> shift_;
  }
  Slot& SlotOf(std::int64_t key) {
    std::size_t i = PlaceOf(key);
    while (slots_[i].key != key) {
      if (slots_[i].key == kNone) {
        slots_[i].key = key;
        slots_[i].last = kNoSession;
        break;
      }
      i = (i + 1) & (slots_.size() - 1);
    }
    return slots_[i];
  }
  bool IsOver(const Session& session) const {
    return session.newest + gap_ <= greatest_ - disorder_;
  }
  void Wait(Slot& slot, Ticks until) {
    slot.waits = true;
    buckets_[until / bucket_].push_back(slot.key);
    next_due_ = (buckets_.begin()->first + 1) * bucket_ + disorder_;
  }
  void GiveOutDue() {
    while (!buckets_.empty() && greatest_ >= (buckets_.begin()->first + 1) * bucket_ + disorder_) {
      const std::vector<std::int64_t> keys = std::move(buckets_.begin()->second);
      buckets_.erase(buckets_.begin());
      for (std::size_t i = 0; i < keys.size(); ++i) {
        if (i + 16 < keys.size()) __builtin_prefetch(&slots_[PlaceOf(keys[i + 16])]);
        GiveOutOver(SlotOf(keys[i]));
      }
    }
    next_due_ = buckets_.empty() ? kMaxTicks : (buckets_.begin()->first + 1) * bucket_ + disorder_;
  }
  void GiveOutOver(Slot& slot) {
    slot.waits = false;
    if (slot.before != 0) {
      std::vector<Session>& list = lists_[slot.before - 1];
      std::erase_if(list, [&](const Session& session) {
        const bool over = IsOver(session);
        if (over) GiveOut(slot.key, session);
        return over;
      });
      if (list.empty()) {
        spare_.push_back(slot.before);
        slot.before = 0;
      }
    }
    Ticks until = slot.last.newest + gap_;
    if (IsOver(slot.last)) {
      GiveOut(slot.key, slot.last);
      if (slot.before == 0) {
        slot.used = false;
        slot.last = kNoSession;
        return;
      }
      std::vector<Session>& list = lists_[slot.before - 1];
      slot.last = list.back();
      list.pop_back();
      if (list.empty()) {
        spare_.push_back(slot.before);
        slot.before = 0;
      }
      until = slot.last.newest + gap_;
    }
    if (slot.before != 0) {
      for (const Session& session : lists_[slot.before - 1])
        until = std::min(until, session.newest + gap_);
    }
    Wait(slot, until);
  }
  void AddToSome(Slot& slot, Session session) {
    if (in_time_ && !slot.waits) Wait(slot, session.newest + gap_);
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
      } else if (IsOver(other)) {
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
  const bool in_time_;
  const Ticks bucket_;
  Outcome& out_;
  int shift_ = 0;
  std::vector<Slot> slots_;
  std::vector<std::vector<Session>> lists_;
  std::vector<std::size_t> spare_;
  Ticks greatest_ = 0;
  std::map<Ticks, std::vector<std::int64_t>> buckets_;
  Ticks next_due_ = kMaxTicks;
};

Outcome Loop(Input<Event>& events, const Case& c, bool in_time) {
  Outcome out;
  Sessions sessions(c, in_time, out);
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
        options, c.name, n, kGoal, [&] { return Loop(events, c, true); },
        [&] { return Engine(events, c); });
    Compare(
        options, c.name + "/loop_gives_out_late", n, 0, [&] { return Loop(events, c, false); },
        [&] { return Engine(events, c); });
  }
}
