#pragma once

#include <concepts>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "weir/codec.h"
#include "weir/connectors.h"
#include "weir/functions.h"
#include "weir/fused_operator.h"
#include "weir/graph_builder.h"
#include "weir/process.h"
#include "weir/side_output.h"

namespace weir {

template <class T, class F>
class KeyedStream;

// Where a misuse of the SDK is reported: at the user's own line.
#define WEIR_USAGE_ERROR(text) __attribute__((error(text)))

namespace internal {

// Steps of the chain that has not been closed: for the uid and the description of the node it
// becomes.
struct StepNames {
  std::string uid;          // from named steps, joined by '+'
  std::string description;  // "Map-Filter"

  StepNames With(const std::string& step_uid, const char* step) const {
    StepNames names = *this;
    if (!step_uid.empty()) names.uid += (names.uid.empty() ? "" : "+") + step_uid;
    names.description += (names.description.empty() ? "" : "-") + std::string(step);
    return names;
  }
};

template <class F, class T>
using FlatMapElement = RangeElement<std::invoke_result_t<F&, T&&>>;

}  // namespace internal

// Records of type T on their way. A stream is a value: pass it, copy it, use it more than once.
//
// `a.Map(f).Filter(g)` is one loop in the running job: the temporary that Map returns carries its
// function in its type. A stream that has a name ends the loop there and is computed once, however
// many steps read it.
//
// Functions are lambdas, function objects (copied for each subtask, so they may keep values of
// their own; see functions.h for the rich form) or pointers to members. All methods may be called
// while the job is being defined only.
template <class T, class Stage = internal::Identity<T>>
class Stream {
 public:
  using Record = T;

  Stream(internal::GraphBuilder* graph, internal::Upstream upstream, Stage stage = {},
         internal::StepNames names = {})
      : graph_(graph),
        upstream_(std::move(upstream)),
        stage_(std::move(stage)),
        names_(std::move(names)) {}

  // ---- Stateless steps. `uid` (optional, first) names the step in metrics and errors.

  // f(record) -> another record.
  template <internal::UnaryFunction<T> F>
  auto Map(F f, std::source_location where = std::source_location::current()) && {
    return std::move(*this).MapStep(std::string(), std::move(f), where);
  }
  template <internal::UnaryFunction<T> F>
  auto Map(F f, std::source_location where = std::source_location::current()) const& {
    return Closed(where).MapStep(std::string(), std::move(f), where);
  }
  template <internal::UnaryFunction<T> F>
  auto Map(std::string uid, F f, std::source_location where = std::source_location::current()) && {
    return std::move(*this).MapStep(std::move(uid), std::move(f), where);
  }
  template <internal::UnaryFunction<T> F>
  auto Map(std::string uid, F f,
           std::source_location where = std::source_location::current()) const& {
    return Closed(where).MapStep(std::move(uid), std::move(f), where);
  }
  template <class F>
    requires(!internal::UnaryFunction<F, T>)
  WEIR_USAGE_ERROR("Map(f): f cannot be called with the stream's record type")
  Stream Map(F) const;

  // Keeps the records for which f(const T&) is true.
  template <internal::Predicate<T> F>
  auto Filter(F f, std::source_location where = std::source_location::current()) && {
    return std::move(*this).FilterStep(std::string(), std::move(f), where);
  }
  template <internal::Predicate<T> F>
  auto Filter(F f, std::source_location where = std::source_location::current()) const& {
    return Closed(where).FilterStep(std::string(), std::move(f), where);
  }
  template <internal::Predicate<T> F>
  auto Filter(std::string uid, F f,
              std::source_location where = std::source_location::current()) && {
    return std::move(*this).FilterStep(std::move(uid), std::move(f), where);
  }
  template <internal::Predicate<T> F>
  auto Filter(std::string uid, F f,
              std::source_location where = std::source_location::current()) const& {
    return Closed(where).FilterStep(std::move(uid), std::move(f), where);
  }
  template <class F>
    requires(!internal::Predicate<F, T>)
  WEIR_USAGE_ERROR(
      "Filter(f): f cannot be called with the stream's record type, or does not return bool")
  Stream Filter(F) const;

  // f(record) -> a range of records (a vector, an optional-like container, ...).
  template <internal::UnaryFunction<T> F>
  auto FlatMap(F f, std::source_location where = std::source_location::current()) && {
    return std::move(*this).FlatMapStep(std::string(), std::move(f), where);
  }
  template <internal::UnaryFunction<T> F>
  auto FlatMap(F f, std::source_location where = std::source_location::current()) const& {
    return Closed(where).FlatMapStep(std::string(), std::move(f), where);
  }
  template <internal::UnaryFunction<T> F>
  auto FlatMap(std::string uid, F f,
               std::source_location where = std::source_location::current()) && {
    return std::move(*this).FlatMapStep(std::move(uid), std::move(f), where);
  }
  template <internal::UnaryFunction<T> F>
  auto FlatMap(std::string uid, F f,
               std::source_location where = std::source_location::current()) const& {
    return Closed(where).FlatMapStep(std::move(uid), std::move(f), where);
  }

  // FlatMap<U>(f): f(record, weir::Collector<U>&) emits any number of U.
  template <class U, std::invocable<T&&, Collector<U>&> F>
  auto FlatMap(F f, std::source_location where = std::source_location::current()) && {
    return std::move(*this).template CollectStep<U>(std::string(), std::move(f), where);
  }
  template <class U, std::invocable<T&&, Collector<U>&> F>
  auto FlatMap(F f, std::source_location where = std::source_location::current()) const& {
    return Closed(where).template CollectStep<U>(std::string(), std::move(f), where);
  }
  template <class U, std::invocable<T&&, Collector<U>&> F>
  auto FlatMap(std::string uid, F f,
               std::source_location where = std::source_location::current()) && {
    return std::move(*this).template CollectStep<U>(std::move(uid), std::move(f), where);
  }
  template <class U, std::invocable<T&&, Collector<U>&> F>
  auto FlatMap(std::string uid, F f,
               std::source_location where = std::source_location::current()) const& {
    return Closed(where).template CollectStep<U>(std::move(uid), std::move(f), where);
  }

  // ---- Spreading over subtasks.

  // All records of one key go to one subtask. `key` is a pointer to a member or a function; the key
  // must be a record type of its own (an integer, a string, an aggregate, ...) with ==, and depend
  // on the record alone.
  template <internal::UnaryFunction<const T&> F>
  KeyedStream<T, F> KeyBy(F key,
                          std::source_location where = std::source_location::current()) const {
    return KeyedStream<T, F>(graph_, Close(where), std::move(key), where);
  }
  template <class F>
    requires(!internal::UnaryFunction<F, const T&>)
  WEIR_USAGE_ERROR(
      "KeyBy(key): key must be a member of the stream's record type, or a function of a record")
  Stream KeyBy(F) const;

  // Round robin; against skew, or to give a slow step more subtasks than its input has.
  Stream<T> Rebalance(std::source_location where = std::source_location::current()) const {
    return Spread(Partitioning::kRebalance, where);
  }
  // Each record to every subtask of what reads the stream.
  Stream<T> Broadcast(std::source_location where = std::source_location::current()) const {
    return Spread(Partitioning::kBroadcast, where);
  }
  // The records of this and the other streams, in no particular order.
  template <class... Streams>
    requires(std::same_as<typename Streams::Record, T> && ...)
  Stream<T> Union(const Streams&... others) const {
    const auto where = std::source_location::current();
    internal::Upstream all = Close(where);
    (Append(all, others.Close(where)), ...);
    return Stream<T>(graph_, std::move(all));
  }

  // ---- Steps with a function class, and the ends.

  // F derives from weir::ProcessFunction<T, Out>; `args` go to its constructor, once for each
  // subtask.
  template <class F, class... Args>
  Stream<typename F::Out> Process(std::string uid, Args... args) const {
    static_assert(
        std::same_as<typename F::In, T>,
        "Process<F>: F must derive from weir::ProcessFunction<T, Out> with the stream's T");
    const auto where = std::source_location::current();
    NodeDefinition node;
    node.uid = std::move(uid);
    node.description = "Process";
    return AddOperator<typename F::Out>(std::move(node), where,
                                        [=](std::shared_ptr<const internal::SidePorts> sides) {
                                          return std::make_unique<internal::ProcessOperator<F>>(
                                              std::make_unique<F>(args...), std::move(sides));
                                        });
  }

  // The side output `tag` of the operator that this stream comes from.
  template <class U>
  Stream<U> Side(const SideOutput<U>& tag,
                 std::source_location where = std::source_location::current()) const {
    const internal::Upstream upstream = Close(where);
    internal::Upstream side;
    for (const internal::PortRef& from : upstream.ports) {
      const NodeDefinition& node = graph_->job().nodes[from.node];
      if (node.kind == NodeKind::kSource &&
          !(std::same_as<U, MalformedRecord> && std::string_view(tag.name) == kMalformed.name)) {
        graph_->Error(where, "source '" + node.uid + "' has no side output '" + tag.name +
                                 "'; the one that a source has is weir::kMalformed");
      }
      side.ports.push_back(
          {from.node, graph_->SidePort(from.node, tag.name, &RecordTypeOf<U>(), where)});
    }
    return Stream<U>(graph_, std::move(side));
  }

  // Writes the records: weir::Files{...}, weir::Print{}, ...
  template <class Connector>
  void To(std::string uid, const Connector& connector,
          std::source_location where = std::source_location::current()) const {
    const internal::Upstream upstream = Close(where);
    NodeDefinition node;
    node.uid = std::move(uid);
    node.kind = NodeKind::kSink;
    node.record_type = &RecordTypeOf<T>();
    node.parallelism = parallelism_;
    if constexpr (requires { connector.ToSpec(); }) {
      node.connector = connector.ToSpec();
      node.description = "Sink(" + node.connector.connector + ")";
    } else {
      node.make_sink = connector.MakeFactory();
      node.description = "Sink(plugin)";
    }
    const std::uint32_t id = graph_->AddNode(std::move(node), nullptr, where);
    graph_->Connect(upstream, id, 0, &RecordTypeOf<T>());
  }

  // How many subtasks the step before this has (and a sink that follows); the job's parallelism
  // unless given.
  Stream<T> Parallelism(std::uint32_t n,
                        std::source_location where = std::source_location::current()) const {
    const internal::Upstream upstream = Close(where);
    if (n == 0) {
      graph_->Error(where, "parallelism 0 of operator '" +
                               graph_->job().nodes[upstream.ports.front().node].uid +
                               "': it must be at least 1");
    }
    for (const internal::PortRef& from : upstream.ports)
      graph_->job().nodes[from.node].parallelism = n;
    Stream<T> stream(graph_, upstream);
    stream.parallelism_ = n;
    return stream;
  }

  // ---- For the SDK itself.

  // Ends the chain: its functions become one operator, made once.
  internal::Upstream Close(const std::source_location& where) const {
    if constexpr (Stage::kIdentity) {
      return upstream_;
    } else {
      if (!closed_->has_value()) {
        NodeDefinition node;
        node.uid =
            names_.uid.empty() ? graph_->DerivedUid(upstream_, names_.description) : names_.uid;
        node.description = names_.description;
        node.make_operator = [stage = stage_] {
          return std::make_unique<internal::FusedOperator<T, Stage>>(stage);
        };
        const std::uint32_t id = graph_->AddNode(std::move(node), &RecordTypeOf<T>(), where);
        graph_->Connect(upstream_, id, 0, &RecordTypeOf<typename Stage::In>());
        *closed_ = internal::Upstream{{{id, 0}}, Partitioning::kForward};
      }
      return **closed_;
    }
  }

  template <class Out, class Make>
  Stream<Out> AddOperator(NodeDefinition node, const std::source_location& where, Make make) const {
    const internal::Upstream upstream = Close(where);
    const std::uint32_t id = graph_->AddNode(std::move(node), &RecordTypeOf<Out>(), where);
    graph_->job().nodes[id].make_operator =
        [make, sides = graph_->sides(id)]() -> std::unique_ptr<Operator> { return make(sides); };
    graph_->Connect(upstream, id, 0, &RecordTypeOf<T>());
    return Stream<Out>(graph_, internal::Upstream{{{id, 0}}, Partitioning::kForward});
  }

 private:
  template <class, class>
  friend class Stream;

  Stream<T> Closed(const std::source_location& where) const {
    return Stream<T>(graph_, Close(where));
  }

  Stream<T> Spread(Partitioning partitioning, const std::source_location& where) const {
    internal::Upstream upstream = Close(where);
    upstream.partitioning = partitioning;
    return Stream<T>(graph_, std::move(upstream));
  }
  static void Append(internal::Upstream& all, internal::Upstream more) {
    for (const internal::PortRef& port : more.ports) all.ports.push_back(port);
  }

  template <class F>
  auto MapStep(std::string uid, F f, const std::source_location&) && {
    using U = internal::UnaryResult<F, T>;
    static_assert(Record_<U>(), "Map(f): what f returns cannot be a record");
    using Next = internal::MapStage<Stage, T, F>;
    return Stream<U, Next>(graph_, std::move(upstream_), Next{std::move(stage_), std::move(f)},
                           names_.With(uid, "Map"));
  }
  template <class F>
  auto FilterStep(std::string uid, F f, const std::source_location&) && {
    using Next = internal::FilterStage<Stage, T, F>;
    return Stream<T, Next>(graph_, std::move(upstream_), Next{std::move(stage_), std::move(f)},
                           names_.With(uid, "Filter"));
  }
  template <class F>
  auto FlatMapStep(std::string uid, F f, const std::source_location&) && {
    using U = internal::FlatMapElement<F, T>;
    using Next = internal::FlatMapStage<Stage, T, F>;
    return Stream<U, Next>(graph_, std::move(upstream_), Next{std::move(stage_), std::move(f)},
                           names_.With(uid, "FlatMap"));
  }
  template <class U, class F>
  auto CollectStep(std::string uid, F f, const std::source_location&) && {
    using Next = internal::CollectStage<Stage, T, U, F>;
    return Stream<U, Next>(graph_, std::move(upstream_), Next{std::move(stage_), std::move(f)},
                           names_.With(uid, "FlatMap"));
  }
  template <class U>
  static constexpr bool Record_() {
    return !std::is_void_v<U> && !std::is_pointer_v<U> && !std::is_reference_v<U>;
  }

  internal::GraphBuilder* graph_;
  internal::Upstream upstream_;
  Stage stage_;
  internal::StepNames names_;
  std::uint32_t parallelism_ = 0;
  std::shared_ptr<std::optional<internal::Upstream>> closed_ =
      std::make_shared<std::optional<internal::Upstream>>();
};

}  // namespace weir
