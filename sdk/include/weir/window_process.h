#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "weir/custom_state.h"
#include "weir/json_write.h"
#include "weir/late_records.h"
#include "weir/open_windows.h"
#include "weir/process.h"
#include "weir/shared_records.h"
#include "weir/side_output.h"
#include "weir/time_format.h"
#include "weir/timers.h"
#include "weir/window_assigner.h"
#include "weir/window_contents.h"
#include "weir/window_listing.h"
#include "weir/window_trigger.h"

namespace weir {

// Of a window function that keeps nothing for each window.
struct NoWindowState {};

namespace internal {

// In the place of the records of a window function, which the operator knows.
struct NoRecord {};

// What the functions of windows have in common: states of the key as members (ValueState, ...), and
// a W for each window.
template <class K, class O, class W>
class WindowFunctionBase : public KeyedProcess<K, NoRecord, O> {
 public:
  using WindowState = W;

  class WindowContext : public ProcessContext<O> {
   public:
    WindowContext(const ProcessContext<O>& context, const K& key, const TimeWindow& window,
                  W& state)
        : ProcessContext<O>(context), key_(key), window_(window), state_(state) {}
    const K& key() const { return key_; }
    const TimeWindow& window() const { return window_; }
    // Of this window alone; gone with it.
    W& window_state() { return state_; }

   private:
    const K& key_;
    const TimeWindow window_;
    W& state_;
  };

  // The window is over: what it has in states of the key may be cleared. Its own state goes by
  // itself.
  virtual void Clear(WindowContext& context) { (void)context; }

  void Process(const NoRecord&, typename KeyedProcess<K, NoRecord, O>::Context&) final {}
};

}  // namespace internal

// What a window does with its records when it fires. Derive and override OnWindow; states of the
// key are members, W is a record that each window has of its own.
template <class K, class T, class O, class W = NoWindowState>
class WindowProcess : public internal::WindowFunctionBase<K, O, W> {
 public:
  using Element = T;
  using WindowBase = WindowProcess;
  using Context = typename internal::WindowFunctionBase<K, O, W>::WindowContext;
  virtual void OnWindow(const WindowElements<T>& elements, Context& context) = 0;
};

// The same for the result of an aggregation, so that a window keeps that and not its records.
template <class K, class R, class O, class W = NoWindowState>
class WindowResultProcess : public internal::WindowFunctionBase<K, O, W> {
 public:
  using Result = R;
  using WindowBase = WindowResultProcess;
  using Context = typename internal::WindowFunctionBase<K, O, W>::WindowContext;
  virtual void OnWindow(const R& result, Context& context) = 0;
};

namespace internal {

// All that the operator needs of what was declared.
template <class T, class S>
struct WindowingPlan {
  std::shared_ptr<const WindowAssigner<T>> assigner;
  TriggerPtr<T, S> trigger;
  Ticks lateness = 0;
  // Empty: late records are dropped and counted.
  std::string late_tag;
  // Of a window that keeps its records.
  std::size_t element_limit = 10'000'000;
  // Of sessions in event time with their own trigger: the gap, 0 if it is each record's.
  std::optional<Ticks> session_gap = std::nullopt;

  template <class S2>
  WindowingPlan<T, S2> WithTrigger(TriggerPtr<T, S2> other) const {
    return {assigner, std::move(other), lateness, late_tag, element_limit};
  }
  // Of windows that overlap and do nothing before they end: until then they can share their
  // records.
  std::optional<SliceTimes<true>> SharedTimes() const {
    const WindowShape* const shape = assigner->shape();
    if (shape == nullptr || shape->slide <= 0 || shape->size <= shape->slide ||
        !trigger->waits_for_end(assigner->event_time())) {
      return std::nullopt;
    }
    return SliceTimes<true>(*shape);
  }
  // Empty, or what is wrong with it.
  std::string Problem() const {
    if (std::string problem = assigner->Problem(); !problem.empty()) return problem;
    if (std::string problem = trigger->Problem(); !problem.empty())
      return "the trigger has " + problem;
    if (lateness < 0) {
      return "allowed lateness is " + std::to_string(lateness) + " us: it must not be negative";
    }
    if (element_limit == 0) return "LimitElements(0) allows no record";
    if (assigner->merging() && !trigger->merges())
      return "sessions are merged, and the trigger's state cannot be: it has no Merge";
    return "";
  }
};

// Windows of every kind, with any trigger (semantics rules 4 to 17, 22). P is a window function;
// Contents says what a window keeps and what P is called with.
//
// Windows that overlap and keep records share them until they end. Then each has what it holds for
// itself, as others have from the beginning: what it was given when it was restored from a snapshot
// in which it had it so, and after that the shared ones.
template <class P, class T, class Contents, class S>
class WindowEngine {
 public:
  using K = typename P::Key;
  using KeyedContext = typename P::KeyedBase::Context;

  using W = typename P::WindowState;
  using C = typename Contents::Stored;
  using Window = OpenWindow<C, S, W>;
  using Windows = OpenWindows<C, S, W>;
  using Layout = WindowsLayout<C, S, W>;
  using State = CustomState<K, typename Layout::Cell, Layout>;

  // `function` outlives it.
  WindowEngine(P& function, std::shared_ptr<const WindowingPlan<T, S>> plan, Contents contents)
      : function_(function),
        plan_(std::move(plan)),
        contents_(std::move(contents)),
        times_(plan_->SharedTimes()),
        shared_(AddShared()),
        windows_(function.template AddState<State>("windows")),
        event_(&function, "windows.event"),
        processing_(&function, "windows.processing") {}

  void Process(const T& record, KeyedContext& context) {
    const bool event_time = plan_->assigner->event_time();
    if (event_time && !context.has_timestamp()) {
      throw std::invalid_argument(
          "a record without a timestamp cannot be put into an event-time window; give the source "
          "a timestamp ({.timestamp = &Record::field})");
    }
    const Ticks time = context.timestamp().ticks();
    const Ticks at = event_time ? time : context.now().ticks();
    // Windows that end later share the record.
    const Ticks ended = Ended(context);
    if (SharedByAll(at, ended)) return Share(record, at, time, context);
    spans_.clear();
    plan_->assigner->Assign(record, at, spans_);
    std::size_t taken = 0;
    bool shared = false;
    Windows* all = FindWindows();
    EndOverdue(all, context);
    for (const WindowSpan& assigned : spans_) {
      WindowSpan span = assigned;
      if (plan_->assigner->merging() && all != nullptr) span = Cover(*all, span);
      if (IsLate(span, context)) continue;
      ++taken;
      if (span.max_timestamp > ended) {
        shared = true;
        continue;
      }
      if (all == nullptr) all = &Keep({});
      Window& window = plan_->assigner->merging() ? Merged(*all, span, context) : Find(*all, span);
      Add(window, record, time, context);
    }
    if (taken < spans_.size() || spans_.empty()) Rejected(record, time, taken, context);
    if (shared) Share(record, at, time, context, ended);
    if (all != nullptr && taken > 0) SetTimers(all, FindShared());
  }

  // The timers of the key's earliest time.
  template <bool kEventTime>
  void Fire(KeyedContext& context) {
    Windows* const kept = FindWindows();
    Shared* shared = FindShared();
    if (kept == nullptr && shared == nullptr) return;
    Windows made;
    Windows& all = kept != nullptr ? *kept : made;
    const Ticks time = Due(kEventTime, &all, shared);
    if constexpr (kEventTime) {
      all.event_timer.reset();
      // What was due then has been put off.
      if (time > context.timestamp().ticks()) return SetTimers(&all, shared);
    }
    if (shared != nullptr && kEventTime == plan_->assigner->event_time()) {
      End(all, *shared, time);
      shared = FindShared();
    }
    for (std::size_t i = 0; i < all.windows.size();) {
      Window& window = all.windows[i];
      DueTimes& due = kEventTime ? window.event : window.processing;
      if (due.empty() || due.first() != time) {
        ++i;
        continue;
      }
      due.Remove(time);
      TriggerContext<S> trigger = ContextOf(window, context);
      Apply(kEventTime ? plan_->trigger->OnEventTime(time, trigger)
                       : plan_->trigger->OnProcessingTime(time, trigger),
            window, context);
      if (kEventTime != plan_->assigner->event_time() || time != CleanupTime(window.span)) {
        ++i;
        continue;
      }
      plan_->trigger->Clear(trigger);
      typename P::WindowContext out(context, context.key(), window.span.Public(), window.state);
      out.set_timestamp(window.span.max_timestamp);
      static_cast<typename P::WindowBase&>(function_).Clear(out);
      all.windows.erase(all.windows.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (!all.windows.empty()) {
      SetTimers(&all, shared);
      if (kept == nullptr) Keep(std::move(made));
    } else {
      if (kept != nullptr) windows_->Erase();
      if (shared != nullptr) SetTimers(nullptr, shared);
    }
  }

  void ListWindows(WindowListing& listing) {
    listing.by_key = true;
    listing.there_are += windows_->entries();
    if constexpr (kShares) {
      if (times_.has_value()) {
        listing.there_are += shared_->entries();
        shared_->Peek(listing.most_looks, [&](const K& key, const Shared& shared) {
          shared.ForEachWindow(*times_, [&](const WindowSpan& span, std::size_t records) {
            listing.Add(Listed(key, span, records));
            return !listing.Full();
          });
          ++listing.looked;
          return !listing.Full();
        });
      }
    }
    windows_->Peek(listing.most_looks, [&](const K& key, const typename Layout::Cell& all) {
      for (const Window& window : all->windows) {
        if (listing.Full()) break;
        listing.Add(Listed(key, window));
      }
      ++listing.looked;
      return !listing.Full();
    });
  }

 private:
  // Whether windows that overlap share records; those of other functions keep none.
  static constexpr bool kShares =
      std::is_same_v<S, NoTriggerState> && requires(const Contents& contents) { contents.Reach(); };
  using Shared = SharedRecords<T>;
  using SharedState = CustomState<K, Shared, SharedRecordsLayout<T>>;

  ListedWindow Listed(const K& key, const WindowSpan& span) const {
    ListedWindow listed{.start = span.start,
                        .end = SaturatingAdd(span.max_timestamp, 1),
                        .on_clock = !plan_->assigner->event_time(),
                        .gone_at = CleanupTime(span)};
    if constexpr (!std::is_same_v<K, AllRecords>) WriteJsonValue(key, listed.key);
    return listed;
  }
  // One with so many of the shared records.
  ListedWindow Listed(const K& key, const WindowSpan& span, std::size_t records) const {
    ListedWindow listed = Listed(key, span);
    listed.fires =
        listed.on_clock ? ListedWindow::Fires::kAtClock : ListedWindow::Fires::kAtWatermark;
    listed.at = span.max_timestamp;
    listed.entries = records;
    listed.bytes = records * sizeof(SharedRecord<T>);
    return listed;
  }
  ListedWindow Listed(const K& key, const Window& window) const {
    ListedWindow listed = Listed(key, window.span);
    listed.entries = Contents::Empty(window.contents) ? 0 : Contents::Size(window.contents);
    if constexpr (requires { window.contents.capacity(); }) {
      listed.bytes = window.contents.capacity() * sizeof(typename C::value_type);
    } else {
      listed.bytes = sizeof(C);
    }
    SetFiring(window, listed);
    return listed;
  }
  // Among the times is that at which the window goes, which is no firing but if it is its end.
  void SetFiring(const Window& window, ListedWindow& listed) const {
    const auto fires_at = [&](const DueTimes& due, bool on_clock) {
      return !due.empty() && (due.first() != listed.gone_at || listed.on_clock != on_clock ||
                              due.first() == window.span.max_timestamp);
    };
    if (plan_->trigger->asks_clock() && fires_at(window.processing, true)) {
      listed.fires = ListedWindow::Fires::kAtClock;
      listed.at = window.processing.first();
    }
    if (plan_->trigger->asks_event_time() && fires_at(window.event, false) &&
        window.event.first() <= listed.at) {
      listed.fires = ListedWindow::Fires::kAtWatermark;
      listed.at = window.event.first();
    }
    const bool kept = plan_->trigger->asks_event_time() && window.event.first() == listed.gone_at;
    if (listed.fires == ListedWindow::Fires::kByTrigger && kept && listed.gone_at != kMaxTicks)
      listed.fires = ListedWindow::Fires::kFired;
  }

  // ---- Records that windows share.

  SharedState* AddShared() {
    if constexpr (kShares) {
      if (times_.has_value()) {
        return function_.template AddState<SharedState>("windows.records",
                                                        SharedRecordsLayout<T>(*times_));
      }
    }
    return nullptr;
  }
  // Null: there are none.
  Shared* FindShared() {
    if constexpr (kShares) {
      if (times_.has_value()) return shared_->Find();
    }
    return nullptr;
  }
  // Windows that end later share their records.
  Ticks Ended(const KeyedContext& context) {
    if (!kShares || !times_.has_value()) return kMaxTicks;
    const Shared* const shared = FindShared();
    return std::max(shared != nullptr ? shared->ended() : kMinTicks,
                    plan_->assigner->event_time() ? context.watermark_ticks() : kMinTicks);
  }
  // Whether all windows of a record do.
  bool SharedByAll(Ticks at, Ticks ended) const {
    if (!kShares || !times_.has_value()) return false;
    return at > ended || times_->FirstEnd(at) > ended;
  }
  // Among the windows that end later than `ended`; none that ends before shares any more.
  void Share(const T& record, Ticks at, Ticks time, KeyedContext& context,
             Ticks ended = kMinTicks) {
    if constexpr (kShares) {
      Shared& shared = shared_->FindOrInsert();
      shared.SetEnded(ended);
      const bool first = shared.Add(*times_, at, time, record);
      if (shared.size() > plan_->element_limit) CheckLimit(shared, at, context);
      if (first) SetTimers(FindWindows(), &shared);
    }
  }
  void CheckLimit(const Shared& shared, Ticks at, KeyedContext& context) const {
    std::optional<WindowSpan> full;
    shared.ForEachWindowOver(*times_, at, [&](const WindowSpan& span, std::size_t records) {
      if (records > plan_->element_limit) full = span;
      return true;
    });
    if (full.has_value()) TooMany(*full, context);
  }
  // Those that end by `through` get what they hold for themselves. Nothing may be left.
  void End(Windows& all, Shared& shared, Ticks through) {
    if constexpr (kShares) {
      EvictorReach reach = contents_.Reach();
      const bool event_time = plan_->assigner->event_time();
      // Times of records say nothing of where they lie in windows on the clock.
      if (!event_time) reach.back = EvictorReach().back;
      shared.End(*times_, through, reach, [&](const WindowSpan& span, const auto& records) {
        Window& window = Find(all, span);
        window.contents.reserve(window.contents.size() + records.size());
        for (const auto* record : records) window.contents.push_back(record->element);
        DueTimes& due = event_time ? window.event : window.processing;
        due.Add(span.max_timestamp);
        if (CleanupTime(span) != kMaxTicks) due.Add(CleanupTime(span));
      });
      if (shared.empty()) shared_->Erase();
    }
  }
  // Those that should have fired: the key has come with a snapshot to where the watermark is
  // further.
  void EndOverdue(Windows*& all, const KeyedContext& context) {
    Shared* const shared = FindShared();
    if (shared == nullptr || !plan_->assigner->event_time() ||
        shared->FirstEnd(*times_) > context.watermark_ticks()) {
      return;
    }
    if (all == nullptr) all = &Keep({});
    End(*all, *shared, context.watermark_ticks());
  }

  // ---- Which window.

  // Null: the key has none.
  Windows* FindWindows() {
    auto* const cell = windows_->Find();
    return cell != nullptr ? cell->get() : nullptr;
  }
  Windows& Keep(Windows&& all) {
    auto& cell = windows_->FindOrInsert();
    cell = std::make_unique<Windows>(std::move(all));
    return *cell;
  }

  // Rule 6.
  Ticks CleanupTime(const WindowSpan& span) const {
    return plan_->assigner->event_time() ? SaturatingAdd(span.max_timestamp, plan_->lateness)
                                         : span.max_timestamp;
  }
  bool IsLate(const WindowSpan& span, const KeyedContext& context) const {
    return plan_->assigner->event_time() && CleanupTime(span) <= context.watermark_ticks();
  }
  // Rule 10: what touches.
  static bool Touch(const WindowSpan& a, const WindowSpan& b) {
    return a.start <= SaturatingAdd(b.max_timestamp, 1) &&
           b.start <= SaturatingAdd(a.max_timestamp, 1);
  }
  static WindowSpan Cover(const Windows& all, WindowSpan span) {
    WindowSpan cover = span;
    for (const Window& window : all.windows) {
      if (!Touch(window.span, span)) continue;
      cover.start = std::min(cover.start, window.span.start);
      cover.max_timestamp = std::max(cover.max_timestamp, window.span.max_timestamp);
    }
    return cover;
  }
  static Window& Find(Windows& all, const WindowSpan& span) {
    const auto at = std::lower_bound(
        all.windows.begin(), all.windows.end(), span,
        [](const Window& window, const WindowSpan& other) { return window.span < other; });
    if (at != all.windows.end() && at->span == span) return *at;
    Window window;
    window.span = span;
    return *all.windows.insert(at, std::move(window));
  }
  // The window `cover`, into which all that lie in it have become one (rule 11).
  Window& Merged(Windows& all, const WindowSpan& cover, KeyedContext& context) {
    const auto inside = [&](const Window& window) {
      return window.span.start >= cover.start && window.span.max_timestamp <= cover.max_timestamp;
    };
    const auto first = std::find_if(all.windows.begin(), all.windows.end(), inside);
    if (first == all.windows.end() || first->span == cover) return Find(all, cover);
    const auto last = std::find_if_not(first, all.windows.end(), inside);
    if (last - first == 1) {
      Extend(*first, cover, context);
      return *first;
    }
    Window merged;
    merged.span = cover;
    for (auto window = first; window != last; ++window)
      plan_->trigger->Merge(merged.trigger, window->trigger);
    TriggerContext<S> trigger = ContextOf(merged, context);
    plan_->trigger->OnMerge(trigger);
    for (auto window = first; window != last; ++window) {
      TriggerContext<S> old = ContextOf(*window, context);
      plan_->trigger->Clear(old);
      contents_.Merge(merged.contents, window->contents);
      if (window == first) merged.state = std::move(window->state);
    }
    const auto at = all.windows.erase(first, last);
    return *all.windows.insert(at, std::move(merged));
  }

  // As if it were merged into a new one.
  void Extend(Window& window, const WindowSpan& cover, KeyedContext& context) const {
    S state{};
    plan_->trigger->Merge(state, window.trigger);
    TriggerContext<S> old = ContextOf(window, context);
    plan_->trigger->Clear(old);
    window.span = cover;
    window.trigger = std::move(state);
    window.event.times().clear();
    window.processing.times().clear();
    TriggerContext<S> trigger = ContextOf(window, context);
    plan_->trigger->OnMerge(trigger);
  }

  // ---- What happens to it.

  TriggerContext<S> ContextOf(Window& window, KeyedContext& context) const {
    return TriggerContext<S>(window.span, context.watermark_ticks(), context.now().ticks(),
                             window.trigger, window.event, window.processing);
  }

  void Add(Window& window, const T& record, Ticks time, KeyedContext& context) {
    contents_.Add(window.contents, record, time);
    if (Contents::Size(window.contents) > plan_->element_limit) TooMany(window.span, context);
    TriggerContext<S> trigger = ContextOf(window, context);
    Apply(plan_->trigger->OnRecord(record, time, trigger), window, context);
    const Ticks cleanup = CleanupTime(window.span);
    if (cleanup == kMaxTicks) return;
    (plan_->assigner->event_time() ? window.event : window.processing).Add(cleanup);
  }

  void Apply(TriggerResult result, Window& window, KeyedContext& context) {
    const bool fires = result == TriggerResult::kFire || result == TriggerResult::kFireAndPurge;
    if (fires && !Contents::Empty(window.contents)) {
      typename P::WindowContext out(context, context.key(), window.span.Public(), window.state);
      out.set_timestamp(window.span.max_timestamp);
      contents_.Fire(window.contents, window.span, [&](const auto& elements) {
        static_cast<typename P::WindowBase&>(function_).OnWindow(elements, out);
      });
    }
    if (result == TriggerResult::kPurge || result == TriggerResult::kFireAndPurge)
      Contents::Clear(window.contents);
  }

  // Of windows of their own, and of those that share.
  bool HasTimers(bool event, const Windows* all, const Shared* shared) const {
    return (all != nullptr && all->HasTimers(event)) ||
           (shared != nullptr && event == plan_->assigner->event_time());
  }
  Ticks Due(bool event, const Windows* all, const Shared* shared) const {
    const Ticks due = all != nullptr ? all->Due(event) : kMaxTicks;
    if (shared == nullptr || event != plan_->assigner->event_time()) return due;
    return std::min(due, shared->FirstEnd(*times_));
  }

  // A timer that comes too early does nothing but set itself again, so one that is only moved to a
  // later time, as those of sessions are with each record, is left alone.
  void SetTimers(Windows* all, const Shared* shared) {
    if (HasTimers(true, all, shared)) {
      const Ticks due = Due(true, all, shared);
      if (all == nullptr || !all->event_timer.has_value() || due < *all->event_timer) {
        event_.Set(EventTime::FromTicks(due));
        if (all != nullptr) all->event_timer = due;
      }
    } else if (event_.AnySet()) {
      event_.Clear();
      if (all != nullptr) all->event_timer.reset();
    }
    if (HasTimers(false, all, shared)) {
      const Ticks due_on_clock = Due(false, all, shared);
      const auto set = processing_.Time();
      if (!set.has_value() || set->ticks() != due_on_clock)
        processing_.Set(EventTime::FromTicks(due_on_clock));
    } else if (processing_.AnySet()) {
      processing_.Clear();
    }
  }

  // ---- What cannot be.

  // Rules 3 and 7.
  void Rejected(const T& record, Ticks time, std::size_t taken, KeyedContext& context) {
    if (!plan_->assigner->event_time()) return;
    if (taken > 0) {
      windows_->context()
          .metrics()
          .counter("numLateWindowsSkipped")
          .Add(static_cast<std::uint64_t>(spans_.size() - taken));
      return;
    }
    Ticks late_from = SaturatingAdd(time, plan_->lateness);
    if (late_from > context.watermark_ticks()) return;
    for (const WindowSpan& span : spans_) late_from = std::max(late_from, CleanupTime(span));
    RejectLate(windows_->context(), context.results(), plan_->late_tag, record, context.key(),
               {.time = time, .watermark = context.watermark_ticks(), .late_from = late_from});
  }
  static std::string KeyText(const KeyedContext& context) {
    std::string text;
    WriteJsonValue(context.key(), text);
    return text;
  }
  [[noreturn]] void TooMany(const WindowSpan& span, const KeyedContext& context) const {
    const bool global = span.start == kMinTicks;
    throw std::length_error(
        "a window of key " + KeyText(context) + " holds more than " +
        std::to_string(plan_->element_limit) + " records" +
        (global ? std::string()
                : ", that which starts at " + FormatTime(EventTime::FromTicks(span.start))) +
        "; aggregate them as they come (Aggregate), let the trigger purge, or see LimitElements");
  }

  P& function_;
  const std::shared_ptr<const WindowingPlan<T, S>> plan_;
  const Contents contents_;
  // Empty: each window has its records for itself.
  const std::optional<SliceTimes<true>> times_;
  // As far as windows share them; null: they do not.
  SharedState* const shared_;
  State* const windows_;
  EventTimer event_;
  ProcessingTimer processing_;
  std::vector<WindowSpan> spans_;
};

// The user's function, driven by the records of a stream.
template <class P, class T, class Contents, class S>
class WindowDriver final : public P {
 public:
  using In = T;
  using Context = typename P::KeyedBase::Context;

  template <class... Args>
  WindowDriver(std::shared_ptr<const WindowingPlan<T, S>> plan, Contents contents,
               const Args&... args)
      : P(args...), weir_engine_(*this, std::move(plan), std::move(contents)) {}

  void Process(const T& record, Context& context) { weir_engine_.Process(record, context); }
  void OnTimer(const EventTimer&, Context& context) final {
    weir_engine_.template Fire<true>(context);
  }
  void OnTimer(const ProcessingTimer&, Context& context) final {
    weir_engine_.template Fire<false>(context);
  }
  void ListWindows(WindowListing& listing) { weir_engine_.ListWindows(listing); }

 private:
  WindowEngine<P, T, Contents, S> weir_engine_;
};

// ---- Functions for results that are not a class of the user's.

template <class K, class R, class O, class Finish>
class FinishWindow : public WindowResultProcess<K, R, O> {
 public:
  explicit FinishWindow(Finish finish) : finish_(std::move(finish)) {}
  void OnWindow(const R& result, typename FinishWindow::Context& context) override {
    context.Emit(finish_(context.key(), context.window(), R(result)));
  }

 private:
  const Finish finish_;
};

}  // namespace internal
}  // namespace weir
