#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/due_queue.h"
#include "weir/state_codec.h"
#include "weir/window_process.h"

namespace weir::internal {

// An open session of a key, with the aggregate of its records.
template <class A>
struct OpenSession {
  Ticks start = 0;
  // Inclusive.
  Ticks max_timestamp = 0;
  A value{};
  // `value` holds records.
  bool any = false;
  // It has not fired since it had its last record; else it waits for being cleaned up alone.
  bool fires = false;

  Ticks CleanupTime(Ticks lateness) const { return SaturatingAdd(max_timestamp, lateness); }
  // Semantics rule 6: one that is never cleaned up has nothing to do once it has fired.
  bool IsDueEver(Ticks lateness) const { return fires || CleanupTime(lateness) != kMaxTicks; }
  Ticks Due(Ticks lateness) const { return fires ? max_timestamp : CleanupTime(lateness); }
};

// Those of a key, nearly always one.
template <class A>
struct OpenSessions {
  using Session = OpenSession<A>;

  // The latest.
  Session last;
  // The others, by their times; null: none.
  std::unique_ptr<std::vector<Session>> before;
  // A DueQueue has an entry of the key for the time `queued`, which is not later than what is due
  // first; kUnknown: for a time that is not known.
  static constexpr Ticks kUnknown = kMaxTicks;
  bool in_queue = false;
  Ticks queued = kUnknown;

  template <class Use>
  void ForEach(const Use& use) const {
    if (before != nullptr) std::for_each(before->begin(), before->end(), use);
    use(last);
  }
  // False: none of them has anything to do, ever.
  [[gnu::always_inline]] bool FirstDue(Ticks lateness, Ticks& due) const {
    if (before != nullptr) [[unlikely]] {
      return FirstDueOfSome(lateness, due);
    }
    due = last.Due(lateness);
    return last.IsDueEver(lateness);
  }
  [[gnu::noinline]] bool FirstDueOfSome(Ticks lateness, Ticks& due) const {
    bool any = last.IsDueEver(lateness);
    due = last.Due(lateness);
    for (const Session& session : *before) {
      if (!session.IsDueEver(lateness)) continue;
      const Ticks of_session = session.Due(lateness);
      due = any ? std::min(due, of_session) : of_session;
      any = true;
    }
    return any;
  }
  // Whether an entry of the queue is the one that counts.
  bool IsQueuedFor(Ticks time) const { return in_queue && (queued == time || queued == kUnknown); }
};

// The same bytes as WindowEngine has of sessions with an aggregate.
template <class A>
struct SessionsLayout {
  static constexpr bool kWritesAll = true;
  using Sessions = OpenSessions<A>;
  using Stored = StoredWindows<Accumulated<A>, NoTriggerState, NoWindowState>;
  Ticks lateness = 0;

  template <class Fields>
  static std::string Notation() {
    return TypeNotation<Stored, Fields>();
  }
  bool Writes(const Sessions&) const { return true; }
  void Encode(const Sessions& sessions, std::string& out) const {
    Stored stored;
    sessions.ForEach([&](const auto& session) {
      auto& window = stored.windows.emplace_back();
      window.start = session.start;
      window.max_timestamp = session.max_timestamp;
      window.contents = {session.any, session.value};
      if (session.fires) window.event_timers.push_back(session.max_timestamp);
      const Ticks cleanup = session.CleanupTime(lateness);
      if (cleanup != kMaxTicks && !(session.fires && lateness == 0))
        window.event_timers.push_back(cleanup);
    });
    EncodeValue(stored, out);
  }
  SessionsLayout Frozen() const { return *this; }
  bool Decode(Decoder& in, Sessions& sessions) const {
    Stored stored;
    if (!DecodeValue(in, stored)) return false;
    if (stored.windows.empty()) return in.FailedIn("windows");
    sessions = Sessions();
    // What is due is read with the timers.
    sessions.in_queue = true;
    for (std::size_t i = 0; i < stored.windows.size(); ++i) {
      auto& window = stored.windows[i];
      if (i > 0) {
        if (stored.windows[i - 1].start >= window.start) return in.FailedIn("windows");
        if (sessions.before == nullptr)
          sessions.before = std::make_unique<std::vector<OpenSession<A>>>();
        sessions.before->push_back(std::move(sessions.last));
      }
      const auto& timers = window.event_timers;
      sessions.last = {
          window.start, window.max_timestamp, std::move(window.contents.value), window.contents.any,
          std::find(timers.begin(), timers.end(), window.max_timestamp) != timers.end()};
    }
    return true;
  }
};

// Of sessions: when the first of them is due, which is what WindowEngine has as a timer.
template <class A>
struct SessionTimerLayout {
  static constexpr bool kWritesAll = false;
  Ticks lateness = 0;

  bool Writes(const OpenSessions<A>& sessions) const {
    Ticks due = 0;
    return sessions.FirstDue(lateness, due);
  }
  void Encode(const OpenSessions<A>& sessions, std::string& out) const {
    Ticks due = 0;
    sessions.FirstDue(lateness, due);
    EncodeValue(due, out);
  }
};

// The timers of sessions as snapshots see them: written from the sessions, read into the queue.
template <class K, class A>
class SessionTimers final : public KeyedStateTable {
 public:
  using Table = KeyedTable<K, OpenSessions<A>>;

  SessionTimers(std::string name, Table& sessions, DueQueue<K>& queue,
                const OperatorContext& context, Ticks lateness)
      : name_(std::move(name)),
        sessions_(sessions),
        queue_(queue),
        max_parallelism_(context.max_parallelism()),
        lateness_(lateness) {}

  const std::string& name() const override { return name_; }
  const std::string& type() const override { return type_; }
  std::unique_ptr<KeyedStateSnapshot> TakeSnapshot(SnapshotUse use) override {
    return std::make_unique<NamedSnapshot<K, OpenSessions<A>>>(sessions_.Freeze(
        use == SnapshotUse::kBase ? SnapshotUse::kLive : use, SessionTimerLayout<A>{lateness_}));
  }
  absl::Status ReadKeyGroup(std::uint32_t key_group, std::string_view bytes) override {
    if (bytes.empty()) return absl::OkStatus();
    Decoder in(bytes);
    WEIR_SDK_RETURN_IF_ERROR((ReadEntries<K, Ticks>(
        in, key_group, max_parallelism_, name_, [](std::size_t) {},
        [&](const K& key, Ticks due, std::uint64_t hash) { queue_.Push({due, hash, key}); })));
    if (in.remaining() > 0)
      return absl::DataLossError("timer '" + name_ + "': bytes are left over");
    return absl::OkStatus();
  }
  void DropKeyGroup(std::uint32_t key_group) override {
    queue_.DropIf(
        [&](const auto& entry) { return KeyGroupOf(entry.hash, max_parallelism_) == key_group; });
  }
  std::size_t entries() const override { return sessions_.size(); }
  std::size_t memory_bytes() const override { return queue_.memory_bytes(); }

 private:
  const std::string name_;
  const std::string type_ = "timer<" + TypeNotation<K>() + ">";
  Table& sessions_;
  DueQueue<K>& queue_;
  const std::uint32_t max_parallelism_;
  const Ticks lateness_;
};

}  // namespace weir::internal
