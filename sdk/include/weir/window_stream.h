#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "weir/by_state_store.h"
#include "weir/keyed_stream.h"
#include "weir/session_operator.h"
#include "weir/time_format.h"
#include "weir/usage_error.h"
#include "weir/window_assigner.h"
#include "weir/window_contents.h"
#include "weir/window_process.h"
#include "weir/window_trigger.h"

namespace weir {

namespace internal {

template <class P, class K, class T>
concept WindowProcessOf = requires {
  typename P::Element;
  requires std::is_same_v<typename P::Element, T>;
  requires std::derived_from<P, WindowProcess<K, T, typename P::Out, typename P::WindowState>>;
};
template <class P, class K, class R>
concept WindowResultProcessOf = requires {
  typename P::Result;
  requires std::is_same_v<typename P::Result, R>;
  requires std::derived_from<P,
                             WindowResultProcess<K, R, typename P::Out, typename P::WindowState>>;
};

#define WEIR_NO_TRIGGER                                                                         \
  "Trigger(t): t must be a trigger such as weir::CountTrigger{n}, or a class with a State and " \
  "OnRecord as weir/window_trigger.h says"

}  // namespace internal

// A keyed stream cut into windows of any kind, with any trigger; say what becomes of late records,
// then what a window does with its records. S is the state of the trigger.
template <class T, class F, class S>
class AnyWindowedStream {
 public:
  using Key = internal::KeyOf<F, T>;

  AnyWindowedStream(internal::KeyedUpstream<T, F> keyed, internal::WindowingPlan<T, S> plan,
                    internal::EvictorPtr<T> evictor = nullptr)
      : keyed_(std::move(keyed)), plan_(std::move(plan)), evictor_(std::move(evictor)) {}

  // When windows fire, in place of their own trigger.
  template <class Trigger_>
    requires(internal::IsPurging<Trigger_>::value || WindowTrigger<Trigger_, T>)
  auto Trigger(Trigger_ trigger) const {
    auto made = internal::MakeTrigger<T>(std::move(trigger));
    using S2 = typename std::remove_cvref_t<decltype(*made)>::State;
    return AnyWindowedStream<T, F, S2>(keyed_, plan_.WithTrigger(std::move(made)), evictor_);
  }
  template <class Trigger_>
    requires(!internal::IsPurging<Trigger_>::value && !WindowTrigger<Trigger_, T>)
  WEIR_USAGE_ERROR(WEIR_NO_TRIGGER)
  internal::AfterMistake Trigger(const Trigger_&) const {
    return {};
  }
  // Removes records before or after each firing: CountEvictor, TimeEvictor, DeltaEvictor, or a
  // class derived from weir::Evictor<T>. The window keeps all its records, also for an aggregation.
  template <class Evict_>
  AnyWindowedStream Evict(Evict_ evictor) const {
    AnyWindowedStream copy = *this;
    copy.evictor_ = internal::MakeEvictor<T>(std::move(evictor));
    return copy;
  }
  // As in WindowedStream.
  AnyWindowedStream AllowLateness(Duration lateness) const {
    AnyWindowedStream copy = *this;
    copy.plan_.lateness = lateness.count();
    return copy;
  }
  AnyWindowedStream SideOutputLate(const SideOutput<T>& tag) const {
    AnyWindowedStream copy = *this;
    copy.plan_.late_tag = tag.name;
    return copy;
  }
  // More records in one window fail the job, with the key; for Process. By default ten million.
  AnyWindowedStream LimitElements(std::size_t most) const {
    AnyWindowedStream copy = *this;
    copy.plan_.element_limit = most;
    return copy;
  }

  // One WindowResult{key, start, end, value} for each firing of a window with records.
  template <Aggregator<T> A>
  auto Aggregate(internal::PlacedUid uid, A aggregator) const {
    using Out = WindowResult<Key, AggregateResult<A>>;
    return Aggregate(std::move(uid), std::move(aggregator),
                     [](const Key& key, const TimeWindow& window, AggregateResult<A>&& value) {
                       return internal::MakeWindowResult<Out>(key, window, std::move(value));
                     });
  }
  // As above; `finish(key, window, value)` makes the record that is put out.
  template <Aggregator<T> A, internal::WindowFinish<Key, A> Finish>
  auto Aggregate(internal::PlacedUid uid, A aggregator, Finish finish) const {
    using Out = std::remove_cvref_t<
        std::invoke_result_t<const Finish&, const Key&, const TimeWindow&, AggregateResult<A>&&>>;
    return AddFinished<Out>(std::move(uid), std::move(aggregator), std::move(finish));
  }
  // As above for windows of all records, without the key: `finish(window, value)`.
  template <Aggregator<T> A, internal::WindowAllFinish<Key, A> Finish>
  auto Aggregate(internal::PlacedUid uid, A aggregator, Finish finish) const {
    const auto with_key = [finish = std::move(finish)](const AllRecords&, const TimeWindow& window,
                                                       AggregateResult<A>&& value) {
      return finish(window, std::move(value));
    };
    return Aggregate(std::move(uid), std::move(aggregator), with_key);
  }
  // As above; P derives from weir::WindowResultProcess<Key, R, Out>, where R is the aggregator's
  // result; `args` go to its constructor, once for each subtask.
  template <class P, Aggregator<T> A, class... Args>
    requires internal::WindowResultProcessOf<P, Key, AggregateResult<A>> &&
             internal::MadeFrom<P, Args...>
  auto Aggregate(internal::PlacedUid uid, A aggregator, Args... args) const {
    return AddAggregate<P>(std::move(uid), std::move(aggregator), std::move(args)...);
  }
  template <class A, class... More>
    requires(!Aggregator<A, T>)
  WEIR_USAGE_ERROR(WEIR_NO_AGGREGATOR)
  internal::AfterMistake Aggregate(internal::PlacedUid, const A&, More&&...) const {
    return {};
  }

  // f(accumulated, next) -> accumulated, in the order of arrival.
  template <internal::Reducer<T> F2>
  auto Reduce(internal::PlacedUid uid, F2 f) const {
    const auto finish = [](const Key&, const TimeWindow&, T&& value) { return std::move(value); };
    return AddFinished<T>(std::move(uid), internal::ReduceAggregator<T, F2>{std::move(f)}, finish);
  }

  // All records of a window at once: P derives from weir::WindowProcess<Key, T, Out>; `args` go to
  // its constructor, once for each subtask.
  template <internal::WindowProcessOf<Key, T> P, class... Args>
    requires internal::MadeFrom<P, Args...>
  auto Process(internal::PlacedUid uid, Args... args) const {
    return Add<P>(std::move(uid), internal::ListedContents<T>{evictor_}, std::move(args)...);
  }
  template <class P, class... A>
    requires(!internal::WindowProcessOf<P, Key, T>)
  WEIR_USAGE_ERROR(
      "Process<P>(uid, args...): after Window, P must derive from weir::WindowProcess<Key, T, "
      "Out>, where Key is what KeyBy's function returns and T the stream's record type")
  internal::AfterMistake Process(A&&...) const {
    return {};
  }

 private:
  template <class T2, class F2, class S2>
  friend class AnyWindowedStream;

  using MakeOperator = std::shared_ptr<
      const std::function<std::unique_ptr<Operator>(std::shared_ptr<const internal::SidePorts>)>>;

  template <class Out, class A, class Finish>
  auto AddFinished(internal::PlacedUid uid, A aggregator, Finish finish) const {
    using P = internal::FinishWindow<Key, AggregateResult<A>, Out, Finish>;
    if constexpr (std::is_same_v<S, NoTriggerState> &&
                  internal::CheckBoth<typename A::Accumulator, Out>()) {
      if (plan_.session_gap.has_value() && evictor_ == nullptr) {
        using Plan = internal::SessionPlan<T, F, A, Finish>;
        using Sessions = internal::SessionOperator<Key, T, Out, Plan>;
        auto plan = std::make_shared<const Plan>(Plan{plan_, keyed_.key, aggregator, finish});
        return AddOperator<P>(
            std::move(uid), internal::AccumulatedContents<T, A>{std::move(aggregator)},
            [plan](const MakeOperator& make, std::shared_ptr<const internal::SidePorts> sides) {
              return std::make_unique<internal::ByStateStore>(
                  [plan, make, sides](bool in_store) -> std::unique_ptr<Operator> {
                    if (in_store) return (*make)(sides);
                    return std::make_unique<Sessions>(plan, sides);
                  });
            },
            std::move(finish));
      }
    }
    return AddAggregate<P>(std::move(uid), std::move(aggregator), std::move(finish));
  }

  template <class P, class A, class... Args>
  auto AddAggregate(internal::PlacedUid uid, A aggregator, Args... args) const {
    if constexpr (internal::CheckBoth<typename A::Accumulator, typename P::Out>()) {
      if (evictor_ != nullptr) {
        return Add<P>(std::move(uid),
                      internal::ListedAggregate<T, A>{std::move(aggregator), {evictor_}},
                      std::move(args)...);
      }
      return Add<P>(std::move(uid), internal::AccumulatedContents<T, A>{std::move(aggregator)},
                    std::move(args)...);
    } else {
      return internal::AfterMistake();
    }
  }

  std::string Problem(bool with_window_state) const {
    if (std::string problem = plan_.Problem(); !problem.empty()) return problem;
    if (evictor_ != nullptr) {
      if (std::string problem = evictor_->Problem(); !problem.empty()) return problem;
    }
    if (plan_.assigner->merging() && with_window_state)
      return "sessions are merged, and cannot have a state of their own: use states of the key";
    return "";
  }

  template <class P, class Contents, class... Args>
  auto Add(internal::PlacedUid uid, Contents contents, Args... args) const {
    return AddOperator<P>(
        std::move(uid), std::move(contents),
        [](const MakeOperator& make, std::shared_ptr<const internal::SidePorts> sides) {
          return (*make)(std::move(sides));
        },
        std::move(args)...);
  }

  // `choose(make, sides)` makes the operator; (*make)(sides) is what makes that of any windows.
  template <class P, class Contents, class Choose, class... Args>
  auto AddOperator(internal::PlacedUid uid, Contents contents, Choose choose, Args... args) const {
    using Driver = internal::WindowDriver<P, T, Contents, S>;
    if constexpr (internal::CheckBoth<T, typename P::Out>()) {
      NodeDefinition node;
      node.uid = std::move(uid.text);
      node.description = plan_.assigner->description();
      constexpr bool kHasState = !std::is_same_v<typename P::WindowState, NoWindowState>;
      if (const std::string problem = Problem(kHasState); !problem.empty())
        keyed_.graph->Error(uid.where, "operator '" + node.uid + "': " + problem);
      auto plan = std::make_shared<const internal::WindowingPlan<T, S>>(plan_);
      const auto make = [plan, contents, args...] {
        return std::make_unique<Driver>(plan, contents, args...);
      };
      internal::DescribeMembers(make()->members(), uid.where, *keyed_.graph, node);
      const auto make_any = std::make_shared<const typename MakeOperator::element_type>(
          [key = keyed_.key, make](std::shared_ptr<const internal::SidePorts> sides) {
            return std::make_unique<internal::KeyedProcessOperator<Driver, F>>(make(), key,
                                                                               std::move(sides));
          });
      return keyed_.template Add<typename P::Out>(
          std::move(node), uid.where,
          [make_any, choose](std::shared_ptr<const internal::SidePorts> sides) {
            return choose(make_any, std::move(sides));
          });
    } else {
      return internal::AfterMistake();
    }
  }

  internal::KeyedUpstream<T, F> keyed_;
  internal::WindowingPlan<T, S> plan_;
  internal::EvictorPtr<T> evictor_;
};

namespace internal {

// What is declared of windows before anything else is said: their assigner and their own trigger.
template <class T, class Trigger>
auto PlanOf(std::shared_ptr<const WindowAssigner<T>> assigner, Trigger trigger) {
  WindowingPlan<T, typename Trigger::State> plan;
  plan.assigner = std::move(assigner);
  plan.trigger = MakeTrigger<T>(std::move(trigger));
  return plan;
}

inline WindowShape ShapeOf(const Tumbling& window, const char* name) {
  return {window.size.count(), window.size.count(), window.offset.count(), 0,
          std::string(name) + "(" + FormatDuration(window.size) + ")"};
}
inline WindowShape ShapeOf(const Sliding& window, const char* name) {
  return {window.size.count(), window.slide.count(), window.offset.count(), 0,
          std::string(name) + "(" + FormatDuration(window.size) + ", " +
              FormatDuration(window.slide) + ")"};
}

template <class T>
auto PlanOf(const Tumbling& window) {
  return PlanOf<T>(std::make_shared<AlignedAssigner<T>>(ShapeOf(window, "TumblingWindow"), true),
                   EventTimeTrigger());
}
template <class T>
auto PlanOf(const Sliding& window) {
  return PlanOf<T>(std::make_shared<AlignedAssigner<T>>(ShapeOf(window, "SlidingWindow"), true),
                   EventTimeTrigger());
}
template <class T>
auto PlanOf(const Session& window) {
  auto plan = PlanOf<T>(std::make_shared<SessionAssigner<T, Duration>>(
                            "SessionWindow(" + FormatDuration(window.gap) + ")", window.gap, true),
                        EventTimeTrigger());
  plan.session_gap = window.gap.count();
  return plan;
}
template <class T, class Gap>
auto PlanOf(const SessionBy<Gap>& window) {
  auto plan =
      PlanOf<T>(std::make_shared<SessionAssigner<T, Gap>>("SessionWindow", window.gap, true),
                EventTimeTrigger());
  plan.session_gap = 0;
  return plan;
}
template <class T>
auto PlanOf(const Global& window) {
  return PlanOf<T>(std::make_shared<GlobalAssigner<T>>(), GlobalTrigger{window.at_end});
}
template <class T>
auto PlanOf(const OnProcessingTime<Tumbling>& on_clock) {
  return PlanOf<T>(std::make_shared<AlignedAssigner<T>>(
                       ShapeOf(on_clock.window, "TumblingProcessingTimeWindow"), false),
                   ProcessingTimeTrigger());
}
template <class T>
auto PlanOf(const OnProcessingTime<Sliding>& on_clock) {
  return PlanOf<T>(std::make_shared<AlignedAssigner<T>>(
                       ShapeOf(on_clock.window, "SlidingProcessingTimeWindow"), false),
                   ProcessingTimeTrigger());
}
template <class T, class SessionWindow>
auto PlanOf(const OnProcessingTime<SessionWindow>& on_clock) {
  using Gap = std::remove_cvref_t<decltype(on_clock.window.gap)>;
  return PlanOf<T>(std::make_shared<SessionAssigner<T, Gap>>("SessionProcessingTimeWindow",
                                                             on_clock.window.gap, false),
                   ProcessingTimeTrigger());
}

template <class T, class F, class S>
auto WindowsOf(const KeyedUpstream<T, F>& keyed, WindowingPlan<T, S> plan) {
  return AnyWindowedStream<T, F, S>(keyed, std::move(plan));
}

}  // namespace internal

template <class T, class F>
auto WindowedStream<T, F>::Any() const {
  auto plan = internal::PlanOf<T>(std::make_shared<internal::AlignedAssigner<T>>(shape_, true),
                                  EventTimeTrigger());
  plan.lateness = shape_.lateness;
  plan.late_tag = late_tag_;
  return internal::WindowsOf(keyed_, std::move(plan));
}
template <class T, class F>
template <class Trigger_>
auto WindowedStream<T, F>::Trigger(Trigger_ trigger) const {
  return Any().Trigger(std::move(trigger));
}
template <class T, class F>
template <class Evict_>
auto WindowedStream<T, F>::Evict(Evict_ evictor) const {
  return Any().Evict(std::move(evictor));
}
template <class T, class F>
template <class P, class... Args>
auto WindowedStream<T, F>::Process(internal::PlacedUid uid, Args... args) const {
  return Any().template Process<P>(std::move(uid), std::move(args)...);
}

template <class T, class F>
auto KeyedStream<T, F>::Window(const Session& session) const {
  return internal::WindowsOf(keyed_, internal::PlanOf<T>(session));
}
template <class T, class F>
template <class Gap>
auto KeyedStream<T, F>::Window(const SessionBy<Gap>& session) const {
  return internal::WindowsOf(keyed_, internal::PlanOf<T>(session));
}
template <class T, class F>
auto KeyedStream<T, F>::Window(const Global& global) const {
  return internal::WindowsOf(keyed_, internal::PlanOf<T>(global));
}
template <class T, class F>
template <class W>
auto KeyedStream<T, F>::Window(const OnProcessingTime<W>& on_clock) const {
  return internal::WindowsOf(keyed_, internal::PlanOf<T>(on_clock));
}
template <class T, class F>
auto KeyedStream<T, F>::CountWindow(std::int64_t size) const {
  return Window(Global()).Trigger(Purging{CountTrigger{size}});
}
template <class T, class F>
auto KeyedStream<T, F>::CountWindow(std::int64_t size, std::int64_t slide) const {
  return Window(Global())
      .Trigger(CountTrigger{slide})
      .Evict(CountEvictor{size > 0 ? static_cast<std::size_t>(size) : 0});
}

}  // namespace weir
