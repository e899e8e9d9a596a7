#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "weir/time.h"
#include "weir/window.h"

namespace weir {

// What a trigger says of a window. Purging clears the contents, not what else the window has
// (semantics rule 9).
enum class TriggerResult : std::uint8_t { kContinue, kFire, kPurge, kFireAndPurge };

namespace internal {

// Times at which something is due, ascending, each once.
class DueTimes {
 public:
  void Add(Ticks time) {
    const auto at = std::lower_bound(times_.begin(), times_.end(), time);
    if (at == times_.end() || *at != time) times_.insert(at, time);
  }
  void Remove(Ticks time) {
    const auto at = std::lower_bound(times_.begin(), times_.end(), time);
    if (at != times_.end() && *at == time) times_.erase(at);
  }
  Ticks first() const { return times_.empty() ? kMaxTicks : times_.front(); }
  bool empty() const { return times_.empty(); }
  std::vector<Ticks>& times() { return times_; }
  const std::vector<Ticks>& times() const { return times_; }

 private:
  std::vector<Ticks> times_;
};

// The times of a window. MAX of a global one.
struct WindowSpan {
  Ticks start = 0;
  // Inclusive.
  Ticks max_timestamp = 0;
  friend bool operator==(const WindowSpan&, const WindowSpan&) = default;
  friend auto operator<=>(const WindowSpan&, const WindowSpan&) = default;
  TimeWindow Public() const {
    return {EventTime::FromTicks(start), EventTime::FromTicks(SaturatingAdd(max_timestamp, 1))};
  }
};

}  // namespace internal

// What a trigger may ask and do while it is called for one window of one key. State is a record
// type; each window has its own, State{} at first.
template <class State>
class TriggerContext {
 public:
  TriggerContext(const internal::WindowSpan& span, Ticks watermark, Ticks now, State& state,
                 internal::DueTimes& event, internal::DueTimes& processing)
      : span_(span),
        watermark_(watermark),
        now_(now),
        state_(state),
        event_(event),
        processing_(processing) {}

  TimeWindow window() const { return span_.Public(); }
  // The last moment of the window: its end less one tick.
  EventTime max_timestamp() const { return EventTime::FromTicks(span_.max_timestamp); }
  EventTime watermark() const { return EventTime::FromTicks(watermark_); }
  // The wall clock.
  EventTime now() const { return EventTime::FromTicks(now_); }
  State& state() { return state_; }

  // A time is due once, however often it was set. OnEventTime is called once the watermark has
  // reached it, OnProcessingTime once the clock is past it.
  void SetEventTimer(EventTime time) { event_.Add(time.ticks()); }
  void DeleteEventTimer(EventTime time) { event_.Remove(time.ticks()); }
  void SetProcessingTimer(EventTime time) { processing_.Add(time.ticks()); }
  void DeleteProcessingTimer(EventTime time) { processing_.Remove(time.ticks()); }

 private:
  const internal::WindowSpan& span_;
  const Ticks watermark_;
  const Ticks now_;
  State& state_;
  internal::DueTimes& event_;
  internal::DueTimes& processing_;
};

namespace internal {

// Whether the windows of a trigger can be merged: it says how two states become one.
template <class Trigger>
concept MergingTrigger =
    requires(typename Trigger::State& into, const typename Trigger::State& from) {
      Trigger::Merge(into, from);
    };

}  // namespace internal

// When a window gives its result. A trigger is a class with
//   using State = ...;  // a record type
//   TriggerResult OnRecord(const T& record, EventTime time, TriggerContext<State>&) const;
// and, where it needs them,
//   TriggerResult OnEventTime(EventTime time, TriggerContext<State>&) const;
//   TriggerResult OnProcessingTime(EventTime time, TriggerContext<State>&) const;
//   void Clear(TriggerContext<State>&) const;  // the window is over: its timers
//   static void Merge(State& into, const State& from);  // for sessions
//   void OnMerge(TriggerContext<State>&) const;  // after it: the timers of the merged window
template <class Trigger, class T>
concept WindowTrigger = requires(const Trigger& trigger, const T& record,
                                 TriggerContext<typename Trigger::State>& context) {
  { trigger.OnRecord(record, EventTime(), context) } -> std::same_as<TriggerResult>;
};

// State of a trigger that needs none.
struct NoTriggerState {};

// Fires when the watermark reaches the end of the window, and for each record after that (semantics
// rules 5 and 12). That of windows in event time.
struct EventTimeTrigger {
  using State = NoTriggerState;
  using Context = TriggerContext<State>;
  template <class T>
  TriggerResult OnRecord(const T&, EventTime, Context& context) const {
    if (context.max_timestamp() <= context.watermark()) return TriggerResult::kFire;
    context.SetEventTimer(context.max_timestamp());
    return TriggerResult::kContinue;
  }
  TriggerResult OnEventTime(EventTime time, Context& context) const {
    return time == context.max_timestamp() ? TriggerResult::kFire : TriggerResult::kContinue;
  }
  void Clear(Context& context) const { context.DeleteEventTimer(context.max_timestamp()); }
  static void Merge(State&, const State&) {}
  void OnMerge(Context& context) const {
    if (context.max_timestamp() > context.watermark())
      context.SetEventTimer(context.max_timestamp());
  }
};

// Fires when the clock is past the end of the window. That of windows in processing time.
struct ProcessingTimeTrigger {
  using State = NoTriggerState;
  using Context = TriggerContext<State>;
  template <class T>
  TriggerResult OnRecord(const T&, EventTime, Context& context) const {
    context.SetProcessingTimer(context.max_timestamp());
    return TriggerResult::kContinue;
  }
  TriggerResult OnProcessingTime(EventTime, Context&) const { return TriggerResult::kFire; }
  void Clear(Context& context) const { context.DeleteProcessingTimer(context.max_timestamp()); }
  static void Merge(State&, const State&) {}
  void OnMerge(Context& context) const {
    if (context.max_timestamp() > context.now())
      context.SetProcessingTimer(context.max_timestamp());
  }
};

// Fires with each `count` records of a window (semantics rule 14).
struct CountTrigger {
  std::int64_t count = 1;

  struct State {
    std::int64_t count = 0;
  };
  using Context = TriggerContext<State>;
  template <class T>
  TriggerResult OnRecord(const T&, EventTime, Context& context) const {
    if (++context.state().count < count) return TriggerResult::kContinue;
    context.state().count = 0;
    return TriggerResult::kFire;
  }
  static void Merge(State& into, const State& from) { into.count += from.count; }
  std::string Problem() const { return count > 0 ? "" : "a count of less than 1"; }
};

namespace internal {
// When a continuous trigger fires next.
struct NextFiring {
  bool set = false;
  Ticks time = 0;
  void Lower(Ticks other) {
    time = set ? std::min(time, other) : other;
    set = true;
  }
};
}  // namespace internal

// Fires every `interval` of event time, and at the end of the window; or on the clock, and not at
// the end (semantics rule 15).
template <bool kEventTime>
struct ContinuousTrigger {
  Duration interval{};

  using State = internal::NextFiring;
  using Context = TriggerContext<State>;
  template <class T>
  TriggerResult OnRecord(const T&, EventTime time, Context& context) const {
    if (kEventTime) {
      if (context.max_timestamp() <= context.watermark()) return TriggerResult::kFire;
      context.SetEventTimer(context.max_timestamp());
    }
    const Ticks at = (kEventTime ? time : context.now()).ticks();
    if (!context.state().set) Next(at - at % interval.count(), context);
    return TriggerResult::kContinue;
  }
  TriggerResult OnEventTime(EventTime time, Context& context) const {
    if (!kEventTime) return TriggerResult::kContinue;
    return time == context.max_timestamp() ? TriggerResult::kFire : OnInterval(time, context);
  }
  TriggerResult OnProcessingTime(EventTime time, Context& context) const {
    return kEventTime ? TriggerResult::kContinue : OnInterval(time, context);
  }
  void Clear(Context& context) const {
    if (!context.state().set) return;
    const EventTime due = EventTime::FromTicks(context.state().time);
    kEventTime ? context.DeleteEventTimer(due) : context.DeleteProcessingTimer(due);
  }
  static void Merge(State& into, const State& from) {
    if (from.set) into.Lower(from.time);
  }
  void OnMerge(Context& context) const {
    if (context.state().set) SetTimer(context);
  }
  std::string Problem() const {
    return interval > Duration::zero() ? "" : "an interval that is not positive";
  }

 private:
  TriggerResult OnInterval(EventTime time, Context& context) const {
    if (!context.state().set || context.state().time != time.ticks())
      return TriggerResult::kContinue;
    context.state() = State();
    Next(time.ticks(), context);
    return TriggerResult::kFire;
  }
  void Next(Ticks from, Context& context) const {
    context.state().Lower(
        std::min(internal::SaturatingAdd(from, interval.count()), context.max_timestamp().ticks()));
    SetTimer(context);
  }
  void SetTimer(Context& context) const {
    const EventTime due = EventTime::FromTicks(context.state().time);
    kEventTime ? context.SetEventTimer(due) : context.SetProcessingTimer(due);
  }
};
using ContinuousEventTimeTrigger = ContinuousTrigger<true>;
using ContinuousProcessingTimeTrigger = ContinuousTrigger<false>;

// Firings on the clock: so long after the first record that no result has.
struct Every {
  Duration interval{};
};
// Firings with each so many records.
struct EveryRecords {
  std::int64_t count = 1;
};
inline constexpr EveryRecords EachRecord{1};

// When AfterWatermark fires besides the end of the window: Every{5s}, EveryRecords{100},
// EachRecord, or never: {}.
class Firings {
 public:
  constexpr Firings() = default;
  constexpr Firings(Every every)  // NOLINT: meant to convert
      : kind_(Kind::kInterval), interval_(every.interval) {}
  constexpr Firings(EveryRecords every)  // NOLINT: meant to convert
      : kind_(Kind::kRecords), count_(every.count) {}

  bool never() const { return kind_ == Kind::kNever; }
  bool on_clock() const { return kind_ == Kind::kInterval; }
  Duration interval() const { return interval_; }
  std::int64_t count() const { return count_; }
  // Empty, or what is wrong with it.
  std::string Problem() const {
    if (kind_ == Kind::kRecords && count_ <= 0) return "firings with a count of less than 1";
    if (kind_ == Kind::kInterval && interval_ <= Duration::zero())
      return "firings with an interval that is not positive";
    return "";
  }

 private:
  enum class Kind : std::uint8_t { kNever, kRecords, kInterval };
  Kind kind_ = Kind::kNever;
  std::int64_t count_ = 0;
  Duration interval_{};
};

// Fires at the end of the window, before it as `early` says, and for records within the allowed
// lateness as `late` says; what is late and has not been in a result then is put out before the
// window is given up. Each result holds all of the window so far; with Purging{AfterWatermark{...}}
// what has come since the one before.
struct AfterWatermark {
  Firings early{};
  Firings late = EachRecord;

  struct State {
    // Since the last firing.
    std::int64_t records = 0;
    bool timed = false;
    Ticks due = 0;
  };
  using Context = TriggerContext<State>;
  template <class T>
  TriggerResult OnRecord(const T&, EventTime, Context& context) const {
    State& state = context.state();
    ++state.records;
    const bool past = context.max_timestamp() <= context.watermark();
    if (!past) context.SetEventTimer(context.max_timestamp());
    const Firings& firings = past ? late : early;
    if (firings.never()) return TriggerResult::kContinue;
    if (!firings.on_clock())
      return state.records >= firings.count() ? Fire(context) : TriggerResult::kContinue;
    if (!state.timed) {
      state.timed = true;
      state.due = internal::SaturatingAdd(context.now().ticks(), firings.interval().count());
      context.SetProcessingTimer(EventTime::FromTicks(state.due));
    }
    return TriggerResult::kContinue;
  }
  TriggerResult OnEventTime(EventTime time, Context& context) const {
    if (time == context.max_timestamp()) return Fire(context);
    // The window is given up.
    const bool left = time > context.max_timestamp() && context.state().records > 0;
    return left && !late.never() ? Fire(context) : TriggerResult::kContinue;
  }
  TriggerResult OnProcessingTime(EventTime time, Context& context) const {
    const State& state = context.state();
    return state.timed && state.due == time.ticks() ? Fire(context) : TriggerResult::kContinue;
  }
  void Clear(Context& context) const {
    context.DeleteEventTimer(context.max_timestamp());
    DeleteTimer(context);
  }
  static void Merge(State& into, const State& from) {
    into.records += from.records;
    if (!from.timed) return;
    into.due = into.timed ? std::min(into.due, from.due) : from.due;
    into.timed = true;
  }
  void OnMerge(Context& context) const {
    if (context.max_timestamp() > context.watermark())
      context.SetEventTimer(context.max_timestamp());
    if (context.state().timed)
      context.SetProcessingTimer(EventTime::FromTicks(context.state().due));
  }
  std::string Problem() const {
    if (std::string problem = early.Problem(); !problem.empty()) return "early " + problem;
    if (std::string problem = late.Problem(); !problem.empty()) return "late " + problem;
    return "";
  }

 private:
  static TriggerResult Fire(Context& context) {
    DeleteTimer(context);
    context.state() = State();
    return TriggerResult::kFire;
  }
  static void DeleteTimer(Context& context) {
    if (context.state().timed)
      context.DeleteProcessingTimer(EventTime::FromTicks(context.state().due));
  }
};

// Fires for a record that differs from that of the last firing by more than `threshold`:
// delta(record of the last firing, this one) > threshold. The first record of a window only begins.
template <class T, std::invocable<const T&, const T&> Delta>
struct DeltaTrigger {
  double threshold = 0;
  Delta delta;

  struct State {
    std::vector<T> last;
  };
  using Context = TriggerContext<State>;
  TriggerResult OnRecord(const T& record, EventTime, Context& context) const {
    std::vector<T>& last = context.state().last;
    if (last.empty()) {
      last.push_back(record);
      return TriggerResult::kContinue;
    }
    if (!(static_cast<double>(std::invoke(delta, last.front(), record)) > threshold))
      return TriggerResult::kContinue;
    last.front() = record;
    return TriggerResult::kFire;
  }
};

// Clears the contents of a window with each firing of another trigger.
template <class Trigger>
struct Purging {
  Trigger trigger;
};
template <class Trigger>
Purging(Trigger) -> Purging<Trigger>;

// That of a global window: never fires, or once at the end of the input.
struct GlobalTrigger {
  bool at_end = false;

  using State = NoTriggerState;
  using Context = TriggerContext<State>;
  template <class T>
  TriggerResult OnRecord(const T&, EventTime, Context& context) const {
    if (at_end) context.SetEventTimer(context.max_timestamp());
    return TriggerResult::kContinue;
  }
  TriggerResult OnEventTime(EventTime time, Context& context) const {
    return at_end && time == context.max_timestamp() ? TriggerResult::kFire
                                                     : TriggerResult::kContinue;
  }
  void Clear(Context& context) const { context.DeleteEventTimer(context.max_timestamp()); }
};

namespace internal {

// A trigger whose class is not known any more, but its state is.
template <class T, class S>
class TriggerBase {
 public:
  using State = S;
  using Context = TriggerContext<S>;
  virtual ~TriggerBase() = default;
  virtual TriggerResult OnRecord(const T& record, Ticks time, Context& context) const = 0;
  virtual TriggerResult OnEventTime(Ticks time, Context& context) const = 0;
  virtual TriggerResult OnProcessingTime(Ticks time, Context& context) const = 0;
  virtual void Clear(Context& context) const = 0;
  virtual bool merges() const = 0;
  // Whether it is that of windows by themselves, which does nothing before their end.
  virtual bool waits_for_end(bool event_time) const = 0;
  // Whether its timers of event time, or on the clock, do anything.
  virtual bool asks_event_time() const = 0;
  virtual bool asks_clock() const = 0;
  virtual void Merge(S& into, const S& from) const = 0;
  virtual void OnMerge(Context& context) const = 0;
  // Empty, or what is wrong with it.
  virtual std::string Problem() const = 0;
};

template <class Trigger>
struct IsPurging : std::false_type {};
template <class Trigger>
struct IsPurging<Purging<Trigger>> : std::true_type {};

template <class T, class Trigger>
class TriggerOf final : public TriggerBase<T, typename Trigger::State> {
 public:
  using S = typename Trigger::State;
  using Context = TriggerContext<S>;
  TriggerOf(Trigger trigger, bool purges) : trigger_(std::move(trigger)), purges_(purges) {}

  TriggerResult OnRecord(const T& record, Ticks time, Context& context) const override {
    return Result(trigger_.OnRecord(record, EventTime::FromTicks(time), context));
  }
  TriggerResult OnEventTime(Ticks time, Context& context) const override {
    if constexpr (requires { trigger_.OnEventTime(EventTime(), context); }) {
      return Result(trigger_.OnEventTime(EventTime::FromTicks(time), context));
    } else {
      return TriggerResult::kContinue;
    }
  }
  TriggerResult OnProcessingTime(Ticks time, Context& context) const override {
    if constexpr (requires { trigger_.OnProcessingTime(EventTime(), context); }) {
      return Result(trigger_.OnProcessingTime(EventTime::FromTicks(time), context));
    } else {
      return TriggerResult::kContinue;
    }
  }
  void Clear(Context& context) const override {
    if constexpr (requires { trigger_.Clear(context); }) trigger_.Clear(context);
    context.state() = S();
  }
  bool merges() const override { return MergingTrigger<Trigger>; }
  bool waits_for_end(bool event_time) const override {
    return event_time ? std::is_same_v<Trigger, EventTimeTrigger>
                      : std::is_same_v<Trigger, ProcessingTimeTrigger>;
  }
  bool asks_event_time() const override {
    return requires(Context& context) { trigger_.OnEventTime(EventTime(), context); };
  }
  bool asks_clock() const override {
    return requires(Context& context) { trigger_.OnProcessingTime(EventTime(), context); };
  }
  void Merge(S& into, const S& from) const override {
    if constexpr (MergingTrigger<Trigger>) Trigger::Merge(into, from);
  }
  void OnMerge(Context& context) const override {
    if constexpr (requires { trigger_.OnMerge(context); }) trigger_.OnMerge(context);
  }
  std::string Problem() const override {
    if constexpr (requires { trigger_.Problem(); }) {
      return trigger_.Problem();
    } else {
      return "";
    }
  }

 private:
  TriggerResult Result(TriggerResult result) const {
    return purges_ && result == TriggerResult::kFire ? TriggerResult::kFireAndPurge : result;
  }
  const Trigger trigger_;
  const bool purges_;
};

template <class T, class S>
using TriggerPtr = std::shared_ptr<const TriggerBase<T, S>>;

template <class T, class Trigger>
auto MakeTrigger(Trigger trigger) {
  if constexpr (IsPurging<Trigger>::value) {
    using Inner = decltype(trigger.trigger);
    return TriggerPtr<T, typename Inner::State>(
        std::make_shared<TriggerOf<T, Inner>>(std::move(trigger.trigger), true));
  } else {
    return TriggerPtr<T, typename Trigger::State>(
        std::make_shared<TriggerOf<T, Trigger>>(std::move(trigger), false));
  }
}

}  // namespace internal
}  // namespace weir
