#pragma once

#include <concepts>
#include <memory>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

#include "weir/aggregates.h"
#include "weir/keyed_operators.h"
#include "weir/sliced_window_operator.h"
#include "weir/stream.h"
#include "weir/time_format.h"
#include "weir/window.h"
#include "weir/window_operator.h"

namespace weir {

namespace internal {

// The key of T that F gives, as a value type.
template <class F, class T>
using KeyOf = std::remove_cvref_t<std::invoke_result_t<const F&, const T&>>;

template <class T, class F>
class StreamKeyHasher final : public KeyHasher {
 public:
  explicit StreamKeyHasher(F key) : key_(std::move(key)) {}
  void Hash(BatchBase& base) const override {
    auto& batch = static_cast<Batch<T>&>(base);
    batch.hashes.resize_uninitialized(batch.records.size());
    for (std::size_t i = 0; i < batch.records.size(); ++i) {
      batch.hashes[i] = KeyHash(std::invoke(key_, std::as_const(batch.records[i])));
    }
  }

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

  // One WindowResult{key, start, end, value} a key and window, when the watermark passes the
  // window's end.
  template <Aggregator<T> A>
  Stream<WindowResult<Key, AggregateResult<A>>> Aggregate(
      std::string uid, A aggregator,
      std::source_location where = std::source_location::current()) const {
    using Out = WindowResult<Key, AggregateResult<A>>;
    return Add<Out, true>(
        std::move(uid), std::move(aggregator),
        [](const Key& key, const TimeWindow& window, AggregateResult<A>&& value) {
          return Out{key, window.start, window.end, std::move(value)};
        },
        where);
  }
  // As above; `finish(key, window, value)` makes the record that is put out.
  template <Aggregator<T> A, class Finish>
    requires std::invocable<const Finish&, const Key&, const TimeWindow&, AggregateResult<A>&&>
  auto Aggregate(std::string uid, A aggregator, Finish finish,
                 std::source_location where = std::source_location::current()) const {
    using Out = std::remove_cvref_t<
        std::invoke_result_t<const Finish&, const Key&, const TimeWindow&, AggregateResult<A>&&>>;
    return Add<Out, true>(std::move(uid), std::move(aggregator), std::move(finish), where);
  }
  template <class A>
    requires(!Aggregator<A, T>)
  WEIR_USAGE_ERROR(
      "Aggregate(uid, a): a is not an aggregator of the stream's record type; see "
      "weir/aggregates.h for what one has")
  Stream<T> Aggregate(std::string uid, A a) const;

  // f(accumulated, next) -> accumulated, in the order of arrival. Puts out a T for each key and
  // window.
  template <class Reducer>
    requires std::is_invocable_r_v<T, const Reducer&, const T&, const T&>
  Stream<T> Reduce(std::string uid, Reducer f,
                   std::source_location where = std::source_location::current()) const {
    return Add<T, false>(
        std::move(uid), internal::ReduceAggregator<T, Reducer>{std::move(f)},
        [](const Key&, const TimeWindow&, T&& value) { return std::move(value); }, where);
  }

 private:
  template <class Out, bool kOrderFree, class A, class Finish>
  Stream<Out> Add(std::string uid, A aggregator, Finish finish,
                  const std::source_location& where) const {
    using Plan = internal::WindowPlan<T, F, A, Finish>;
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
        return AddOperator<Out, internal::SlicedWindowOperator<Key, T, Out, Plan>>(
            std::move(node), std::move(plan), where);
      }
    }
    return AddOperator<Out, internal::WindowOperator<Key, T, Out, Plan>>(std::move(node),
                                                                         std::move(plan), where);
  }
  template <class Out, class Op, class Plan>
  Stream<Out> AddOperator(NodeDefinition node, std::shared_ptr<const Plan> plan,
                          const std::source_location& where) const {
    node.states.push_back({"windows", Op::StateTypeText()});
    return keyed_.template Add<Out>(std::move(node), where,
                                    [plan](std::shared_ptr<const internal::SidePorts> sides) {
                                      return std::make_unique<Op>(plan, std::move(sides));
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

  KeyedStream(internal::GraphBuilder* graph, internal::Upstream upstream, F key,
              const std::source_location&)
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

  // f(accumulated, next) -> accumulated; puts out the new value for each record.
  template <class Reducer>
    requires std::is_invocable_r_v<T, const Reducer&, const T&, const T&>
  Stream<T> Reduce(std::string uid, Reducer f,
                   std::source_location where = std::source_location::current()) const {
    using A = internal::ReduceAggregator<T, Reducer>;
    return AddRunning<T>(
        std::move(uid), "Reduce", A{std::move(f)},
        [](const Key&, T&& value) { return std::move(value); }, where);
  }

  // A running aggregation: KeyedResult{key, value} for each record.
  template <Aggregator<T> A>
  Stream<KeyedResult<Key, AggregateResult<A>>> Aggregate(
      std::string uid, A aggregator,
      std::source_location where = std::source_location::current()) const {
    using Out = KeyedResult<Key, AggregateResult<A>>;
    return AddRunning<Out>(
        std::move(uid), "Aggregate", std::move(aggregator),
        [](const Key& key, AggregateResult<A>&& value) { return Out{key, std::move(value)}; },
        where);
  }
  template <class A>
    requires(!Aggregator<A, T>)
  WEIR_USAGE_ERROR(
      "Aggregate(uid, a): a is not an aggregator of the stream's record type; see "
      "weir/aggregates.h for what one has")
  Stream<T> Aggregate(std::string uid, A a) const;

  // P derives from weir::KeyedProcess<Key, T, Out>; `args` go to its constructor, once for each
  // subtask.
  template <class P, class... Args>
  Stream<typename P::Out> Process(std::string uid, Args... args) const {
    static_assert(
        std::same_as<typename P::In, T>,
        "Process<P>: P must derive from weir::KeyedProcess<Key, T, Out> with the stream's T");
    static_assert(std::same_as<typename P::Key, Key>,
                  "Process<P>: the key of P is not the key of the stream");
    const auto where = std::source_location::current();
    NodeDefinition node;
    node.uid = std::move(uid);
    node.description = "Process";
    const P prototype(args...);
    for (const auto& member : prototype.members()) {
      StateDefinition state = member->Describe();
      for (const StateDefinition& other : node.states) {
        if (other.name == state.name) {
          keyed_.graph->Error(where, "operator '" + node.uid +
                                         "': two states or timers are named '" + state.name + "'");
        }
      }
      node.states.push_back(std::move(state));
    }
    return keyed_.template Add<typename P::Out>(
        std::move(node), where,
        [key = keyed_.key, args...](std::shared_ptr<const internal::SidePorts> sides) {
          return std::make_unique<internal::KeyedProcessOperator<P, F>>(
              std::make_unique<P>(args...), key, std::move(sides));
        });
  }

 private:
  template <class Out, class A, class Finish>
  Stream<Out> AddRunning(std::string uid, const char* description, A aggregator, Finish finish,
                         const std::source_location& where) const {
    using Op = internal::RunningOperator<Key, T, Out, F, A, Finish>;
    NodeDefinition node;
    node.uid = std::move(uid);
    node.description = description;
    node.states.push_back({"accumulators", Op::StateTypeText()});
    return keyed_.template Add<Out>(
        std::move(node), where,
        [key = keyed_.key, aggregator, finish](std::shared_ptr<const internal::SidePorts> sides) {
          return std::make_unique<Op>(key, aggregator, finish, std::move(sides));
        });
  }

  internal::KeyedUpstream<T, F> keyed_;
};

}  // namespace weir
