#pragma once

#include <concepts>
#include <memory>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

#include "weir/aggregates.h"
#include "weir/by_state_store.h"
#include "weir/keyed_operators.h"
#include "weir/misuse.h"
#include "weir/sliced_window_operator.h"
#include "weir/stored_window_operator.h"
#include "weir/stream.h"
#include "weir/time_format.h"
#include "weir/window.h"
#include "weir/window_operator.h"

namespace weir {

#define WEIR_NO_AGGREGATOR                                                                       \
  "Aggregate(uid, a): a is no aggregator of the stream's record type; use weir::Count, "         \
  "weir::Sum{&T::field} or Avg of a field that is a number, Min or Max of one that has <, or a " \
  "class with Accumulator, Add, Merge and Result as in weir/aggregates.h"
#define WEIR_NO_REDUCER                                                                         \
  "Reduce(uid, f): after a uid comes f, which takes (const T& accumulated, const T& next) and " \
  "returns a T, where T is the stream's record type"
#define WEIR_WINDOW_NOT_AGGREGATED \
  "a window has no such step: write Aggregate(uid, ...) or Reduce(uid, f) after Window first"
#define WEIR_KEYED_NOT_USED                                                                     \
  "a keyed stream has no such step: do it before KeyBy, or after Window, Reduce, Aggregate or " \
  "Process; to spread records evenly write Rebalance() in place of KeyBy"

template <class T, class F, class B>
class KeyedStreamWithBroadcast;
template <class T>
class Pattern;
struct Between;
struct Global;
struct Session;
template <class Gap>
struct SessionBy;
template <class Window>
struct OnProcessingTime;

namespace internal {

// CheckRecord of the first that is no record.
template <class A, class B>
consteval bool CheckBoth() {
  if constexpr (CheckRecord<A>()) {
    return CheckRecord<B>();
  } else {
    return false;
  }
}

// The key of T that F gives, as a value type.
template <class F, class T>
using KeyOf = std::remove_cvref_t<std::invoke_result_t<const F&, const T&>>;

template <class T, class F>
class StreamKeyHasher final : public KeyHasher {
 public:
  explicit StreamKeyHasher(F key) : key_(std::move(key)) {}
  void Hash(BatchBase& base) const override { HashBatch(static_cast<Batch<T>&>(base), key_); }

 private:
  F key_;
};

// What all steps of a keyed stream need to add their operator to the graph.
template <class T, class F>
struct KeyedUpstream {
  GraphBuilder* graph;
  Upstream upstream;
  F key;

  // `make(sides)` makes the operator of one subtask.
  template <class Out, class Make>
  Stream<Out> Add(NodeDefinition node, const std::source_location& where, Make make) const {
    node.single = std::is_same_v<KeyOf<F, T>, AllRecords>;
    const std::uint32_t id = graph->AddNode(std::move(node), &RecordTypeOf<Out>(), where);
    graph->job().nodes[id].make_operator =
        [make, sides = graph->sides(id)]() -> std::unique_ptr<Operator> { return make(sides); };
    graph->Connect(upstream, id, 0, &RecordTypeOf<T>(),
                   std::make_shared<StreamKeyHasher<T, F>>(key));
    return Stream<Out>(graph, Upstream{{{id, 0}}, Partitioning::kForward});
  }
};

}  // namespace internal

// A keyed stream cut into windows; say what becomes of late records, then how a window is
// aggregated.
template <class T, class F>
class WindowedStream {
 public:
  using Key = internal::KeyOf<F, T>;

  WindowedStream(internal::KeyedUpstream<T, F> keyed, internal::WindowShape shape)
      : keyed_(std::move(keyed)), shape_(std::move(shape)) {}

  // A window stays open this long past its end in event time: a record that comes meanwhile makes
  // it fire again.
  WindowedStream AllowLateness(Duration lateness) const {
    WindowedStream copy = *this;
    copy.shape_.lateness = lateness.count();
    return copy;
  }
  // Records that are too late go to this side output instead of being dropped and counted.
  WindowedStream SideOutputLate(const SideOutput<T>& tag) const {
    WindowedStream copy = *this;
    copy.late_tag_ = tag.name;
    return copy;
  }
  template <class Tag>
  WEIR_USAGE_ERROR(
      "SideOutputLate(tag): tag must be a weir::SideOutput<T>, where T is the stream's record type")
  internal::AfterMistake SideOutputLate(const Tag&) const {
    return {};
  }

  // One WindowResult{key, start, end, value} a key and window, when the watermark passes the
  // window's end.
  template <Aggregator<T> A>
  auto Aggregate(std::string uid, A aggregator,
                 std::source_location where = std::source_location::current()) const {
    using Out = WindowResult<Key, AggregateResult<A>>;
    return Add<Out, true>(
        std::move(uid), std::move(aggregator),
        [](const Key& key, const TimeWindow& window, AggregateResult<A>&& value) {
          return internal::MakeWindowResult<Out>(key, window, std::move(value));
        },
        where);
  }
  // As above; `finish(key, window, value)` makes the record that is put out.
  template <Aggregator<T> A, internal::WindowFinish<Key, A> Finish>
  auto Aggregate(std::string uid, A aggregator, Finish finish,
                 std::source_location where = std::source_location::current()) const {
    using Out = std::remove_cvref_t<
        std::invoke_result_t<const Finish&, const Key&, const TimeWindow&, AggregateResult<A>&&>>;
    return Add<Out, true>(std::move(uid), std::move(aggregator), std::move(finish), where);
  }
  // As above for windows of all records, without the key: `finish(window, value)`.
  template <Aggregator<T> A, internal::WindowAllFinish<Key, A> Finish>
  auto Aggregate(std::string uid, A aggregator, Finish finish,
                 std::source_location where = std::source_location::current()) const {
    const auto with_key = [finish = std::move(finish)](const AllRecords&, const TimeWindow& window,
                                                       AggregateResult<A>&& value) {
      return finish(window, std::move(value));
    };
    return Aggregate(std::move(uid), std::move(aggregator), with_key, where);
  }
  template <class A, class... More>
    requires(!Aggregator<A, T>)
  WEIR_USAGE_ERROR(WEIR_NO_AGGREGATOR)
  internal::AfterMistake Aggregate(std::string, const A&, More&&...) const {
    return {};
  }
  template <Aggregator<T> A, class Finish>
    requires(!internal::WindowFinish<Finish, Key, A> && !internal::WindowAllFinish<Finish, Key, A>)
  WEIR_USAGE_ERROR(
      "Aggregate(uid, a, finish): finish must take (const Key& key, const weir::TimeWindow& "
      "window, "
      "R value), where R is the aggregator's result, and return a record")
  internal::AfterMistake Aggregate(std::string, const A&, const Finish&) const {
    return {};
  }
  template <class A>
  WEIR_USAGE_ERROR("Aggregate(uid, a): the step has no uid; give it one as the first argument")
  internal::AfterMistake Aggregate(const A&) const {
    return {};
  }

  // f(accumulated, next) -> accumulated, in the order of arrival. Puts out a T for each key and
  // window.
  template <internal::Reducer<T> F2>
  auto Reduce(std::string uid, F2 f,
              std::source_location where = std::source_location::current()) const {
    return Add<T, false>(
        std::move(uid), internal::ReduceAggregator<T, F2>{std::move(f)},
        [](const Key&, const TimeWindow&, T&& value) { return std::move(value); }, where);
  }
  template <class... A>
    requires(!internal::Reducer<internal::StepFunction<A...>, T> || sizeof...(A) != 2)
  WEIR_USAGE_ERROR(WEIR_NO_REDUCER)
  internal::AfterMistake Reduce(A&&...) const {
    return {};
  }

  // When windows fire, in place of the watermark at their end; what is removed from them before;
  // all records of a window at once, for a weir::WindowProcess (weir/window_stream.h).
  template <class Trigger_>
  auto Trigger(Trigger_ trigger) const;
  template <class Evict_>
  auto Evict(Evict_ evictor) const;
  template <class P, class... Args>
  auto Process(internal::PlacedUid uid, Args... args) const;

  // ---- What other streams have, and this has not.
  template <class... A>
  WEIR_USAGE_ERROR(WEIR_WINDOW_NOT_AGGREGATED)
  internal::AfterMistake Map(A&&...) const {
    return {};
  }
  template <class... A>
  WEIR_USAGE_ERROR(WEIR_WINDOW_NOT_AGGREGATED)
  internal::AfterMistake Filter(A&&...) const {
    return {};
  }
  template <class... A>
  WEIR_USAGE_ERROR(WEIR_WINDOW_NOT_AGGREGATED)
  internal::AfterMistake To(A&&...) const {
    return {};
  }

 private:
  // The same windows as others are made.
  auto Any() const;

  template <class Out, bool kOrderFree, class A, class Finish>
  auto Add(std::string uid, A aggregator, Finish finish, const std::source_location& where) const {
    using Plan = internal::WindowPlan<T, F, A, Finish>;
    if constexpr (!internal::CheckBoth<typename A::Accumulator, Out>()) {
      return internal::AfterMistake();
    } else {
      if (const std::string problem = shape_.Problem(); !problem.empty()) {
        keyed_.graph->Error(where, "operator '" + uid + "': " + problem);
      }
      auto plan = std::make_shared<const Plan>(
          Plan{shape_, keyed_.key, std::move(aggregator), std::move(finish), late_tag_});
      NodeDefinition node;
      node.uid = std::move(uid);
      node.description = shape_.description;
      // Overlapping windows share slices where the order of arrival does not matter.
      if constexpr (kOrderFree) {
        if (shape_.slide < shape_.size) {
          return AddOperator<Out, internal::SlicedWindowOperator<Key, T, Out, Plan>, true>(
              std::move(node), std::move(plan), where);
        }
      }
      return AddOperator<Out, internal::WindowOperator<Key, T, Out, Plan>, false>(
          std::move(node), std::move(plan), where);
    }
  }
  template <class Out, class InMemory, bool kShared, class Plan>
  Stream<Out> AddOperator(NodeDefinition node, std::shared_ptr<const Plan> plan,
                          const std::source_location& where) const {
    using Accumulator = typename decltype(Plan::aggregator)::Accumulator;
    using InStore = internal::StoredWindowOperator<Key, T, Out, Plan, kShared>;
    node.states.push_back({internal::kWindowsState, internal::SlicesTypeText<Key, Accumulator>(),
                           internal::SlicesTypeText<Key, Accumulator, internal::EvolvingFields>()});
    return keyed_.template Add<Out>(
        std::move(node), where, [plan](std::shared_ptr<const internal::SidePorts> sides) {
          return std::make_unique<internal::ByStateStore>(
              [plan, sides](bool in_store) -> std::unique_ptr<Operator> {
                if (in_store) return std::make_unique<InStore>(plan, sides);
                return std::make_unique<InMemory>(plan, sides);
              });
        });
  }

  internal::KeyedUpstream<T, F> keyed_;
  internal::WindowShape shape_;
  std::string late_tag_;
};

// A stream of which all records of one key meet in one subtask.
template <class T, class F>
class KeyedStream {
 public:
  using Record = T;
  using Key = internal::KeyOf<F, T>;

  KeyedStream(internal::GraphBuilder* graph, internal::Upstream upstream, F key)
      : keyed_{graph, std::move(upstream), std::move(key)} {}

  WindowedStream<T, F> Window(Tumbling window) const {
    return WindowedStream<T, F>(keyed_,
                                {window.size.count(), window.size.count(), window.offset.count(), 0,
                                 "TumblingWindow(" + FormatDuration(window.size) + ")"});
  }
  WindowedStream<T, F> Window(Sliding window) const {
    return WindowedStream<T, F>(
        keyed_, {window.size.count(), window.slide.count(), window.offset.count(), 0,
                 "SlidingWindow(" + FormatDuration(window.size) + ", " +
                     FormatDuration(window.slide) + ")"});
  }

  // Other windows: weir/window_stream.h.
  auto Window(const Session& session) const;
  template <class Gap>
  auto Window(const SessionBy<Gap>& session) const;
  auto Window(const Global& global) const;
  template <class W>
  auto Window(const OnProcessingTime<W>& on_clock) const;
  // Of each `size` records of a key; the last `size` of them with each `slide` (semantics rule 14).
  auto CountWindow(std::int64_t size) const;
  auto CountWindow(std::int64_t size, std::int64_t slide) const;

  template <class W>
  WEIR_USAGE_ERROR(
      "Window(w): w must be weir::Tumbling{size} or weir::Sliding{size, slide}, with durations "
      "such "
      "as std::chrono::minutes(5)")
  internal::AfterMistake Window(const W&) const {
    return {};
  }

  // f(accumulated, next) -> accumulated; puts out the new value for each record.
  template <internal::Reducer<T> F2>
  auto Reduce(std::string uid, F2 f,
              std::source_location where = std::source_location::current()) const {
    using A = internal::ReduceAggregator<T, F2>;
    return AddRunning<T>(
        std::move(uid), "Reduce", A{std::move(f)},
        [](const Key&, T&& value) { return std::move(value); }, where);
  }
  template <class... A>
    requires(!internal::Reducer<internal::StepFunction<A...>, T> || sizeof...(A) != 2)
  WEIR_USAGE_ERROR(WEIR_NO_REDUCER)
  internal::AfterMistake Reduce(A&&...) const {
    return {};
  }

  // A running aggregation: KeyedResult{key, value} for each record.
  template <Aggregator<T> A>
  auto Aggregate(std::string uid, A aggregator,
                 std::source_location where = std::source_location::current()) const {
    using Out = KeyedResult<Key, AggregateResult<A>>;
    return AddRunning<Out>(
        std::move(uid), "Aggregate", std::move(aggregator),
        [](const Key& key, AggregateResult<A>&& value) { return Out{key, std::move(value)}; },
        where);
  }
  template <class A>
    requires(!Aggregator<A, T>)
  WEIR_USAGE_ERROR(WEIR_NO_AGGREGATOR)
  internal::AfterMistake Aggregate(std::string, const A&) const {
    return {};
  }
  template <class A>
  WEIR_USAGE_ERROR("Aggregate(uid, a): the step has no uid; give it one as the first argument")
  internal::AfterMistake Aggregate(const A&) const {
    return {};
  }

  // P derives from weir::KeyedProcess<Key, T, Out>; `args` go to its constructor, once for each
  // subtask.
  template <internal::KeyedProcessOf<Key, T> P, class... Args>
    requires(internal::MadeFrom<P, Args...> && !internal::TakesBroadcast<P>)
  auto Process(internal::PlacedUid uid, Args... args) const {
    if constexpr (CheckRecord<typename P::Out>()) {
      NodeDefinition node;
      node.uid = std::move(uid.text);
      node.description = "Process";
      const P prototype(args...);
      internal::DescribeMembers(prototype.members(), uid.where, *keyed_.graph, node);
      return keyed_.template Add<typename P::Out>(
          std::move(node), uid.where,
          [key = keyed_.key, args...](std::shared_ptr<const internal::SidePorts> sides) {
            return std::make_unique<internal::KeyedProcessOperator<P, F>>(
                std::make_unique<P>(args...), key, std::move(sides));
          });
    } else {
      return internal::AfterMistake();
    }
  }
  template <class P, class... A>
    requires(!internal::AnyKeyedProcess<P>)
  WEIR_USAGE_ERROR(
      "Process<P>(uid, args...): after KeyBy, P must derive from weir::KeyedProcess<Key, T, Out>; "
      "a "
      "weir::ProcessFunction goes on a stream without KeyBy")
  internal::AfterMistake Process(A&&...) const {
    return {};
  }
  template <class P, class... A>
    requires(internal::AnyKeyedProcess<P> && !internal::KeyedProcessOf<P, Key, T>)
  WEIR_USAGE_ERROR(
      "Process<P>(uid, args...): P has another key or takes other records than the stream; derive "
      "it from weir::KeyedProcess<Key, T, Out>, where Key is what KeyBy's function returns and T "
      "the stream's record type")
  internal::AfterMistake Process(A&&...) const {
    return {};
  }
  template <class P, class... A>
    requires(internal::KeyedProcessOf<P, Key, T> && std::is_abstract_v<P>)
  WEIR_USAGE_ERROR(
      "Process<P>(uid, args...): P does not override "
      "void Process(const T& record, Context& context)")
  internal::AfterMistake Process(A&&...) const {
    return {};
  }
  template <class P, class... A>
    requires(internal::KeyedProcessOf<P, Key, T> && !std::is_abstract_v<P> &&
             !internal::kProcessArguments<P, A...>)
  WEIR_USAGE_ERROR(
      "Process<P>(uid, args...): the uid comes first, and P must have a constructor that takes "
      "args... by value or const reference")
  internal::AfterMistake Process(A&&...) const {
    return {};
  }

  template <class P, class... A>
    requires(internal::KeyedProcessOf<P, Key, T> && internal::TakesBroadcast<P> &&
             internal::kProcessArguments<P, A...>)
  WEIR_USAGE_ERROR(
      "Process<P>(uid, args...): P takes the records of a second stream too: write "
      "WithBroadcast(stream) before it")
  internal::AfterMistake Process(A&&...) const {
    return {};
  }

  // This stream and another one with the same keys, for a weir::KeyedTwoInputProcess
  // (weir/connected.h).
  template <class B, class FB>
  auto Connect(const KeyedStream<B, FB>& other) const;
  // Pairs with one record of each stream whose keys are equal and whose times are near one another
  // (weir/interval_join.h).
  template <class B, class FB>
  auto IntervalJoin(const KeyedStream<B, FB>& other, Between between) const;
  // Those of both streams whose keys are equal and which are in one window, a weir::Tumbling,
  // Sliding, Session, ... (weir/window_join.h).
  template <class B, class FB, class Window_>
  auto WindowJoin(const KeyedStream<B, FB>& other, const Window_& window) const;
  // Each record with the version of a table that held at its time: that of the newest record of
  // `versions` with the same key that is not later (weir/temporal_join.h).
  template <class B, class FB>
  auto TemporalJoin(const KeyedStream<B, FB>& versions) const;
  // The events of each key in which the pattern is found (weir/pattern.h); a weir::PatternStream.
  auto Match(const Pattern<T>& pattern) const;

  // This stream and another one, of which every subtask gets all records; a
  // weir::KeyedBroadcastProcess follows. For the watermark see Stream::WithBroadcast.
  template <class B, class OtherStage>
  auto WithBroadcast(const Stream<B, OtherStage>& broadcast) const {
    return KeyedStreamWithBroadcast<T, F, B>(keyed_, broadcast.Close());
  }
  template <class Other>
  WEIR_USAGE_ERROR("WithBroadcast(stream): what is broadcast must be a stream without KeyBy")
  internal::AfterMistake WithBroadcast(const Other&) const {
    return {};
  }

  // For the steps of two streams.
  const internal::KeyedUpstream<T, F>& upstream() const { return keyed_; }

  // ---- What a stream without keys has, and this has not.
  template <class... A>
  WEIR_USAGE_ERROR(WEIR_KEYED_NOT_USED)
  internal::AfterMistake Map(A&&...) const {
    return {};
  }
  template <class... A>
  WEIR_USAGE_ERROR(WEIR_KEYED_NOT_USED)
  internal::AfterMistake Filter(A&&...) const {
    return {};
  }
  template <class... A>
  WEIR_USAGE_ERROR(WEIR_KEYED_NOT_USED)
  internal::AfterMistake FlatMap(A&&...) const {
    return {};
  }
  template <class... A>
  WEIR_USAGE_ERROR(WEIR_KEYED_NOT_USED)
  internal::AfterMistake To(A&&...) const {
    return {};
  }

 private:
  template <class Out, class A, class Finish>
  auto AddRunning(std::string uid, const char* description, A aggregator, Finish finish,
                  const std::source_location& where) const {
    if constexpr (internal::CheckBoth<typename A::Accumulator, Out>()) {
      using Op = internal::RunningOperator<Key, T, Out, F, A, Finish>;
      NodeDefinition node;
      node.uid = std::move(uid);
      node.description = description;
      node.states.push_back(Op::DescribeState());
      return keyed_.template Add<Out>(
          std::move(node), where,
          [key = keyed_.key, aggregator, finish](std::shared_ptr<const internal::SidePorts> sides) {
            return std::make_unique<Op>(key, aggregator, finish, std::move(sides));
          });
    } else {
      return internal::AfterMistake();
    }
  }

  internal::KeyedUpstream<T, F> keyed_;
};

}  // namespace weir
