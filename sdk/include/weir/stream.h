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
#include "weir/for_each.h"
#include "weir/functions.h"
#include "weir/fused_operator.h"
#include "weir/graph_builder.h"
#include "weir/misuse.h"
#include "weir/process.h"
#include "weir/side_output.h"
#include "weir/watermarks.h"

namespace weir {

template <class T, class F>
class KeyedStream;
template <class T, class B>
class StreamWithBroadcast;
struct AsyncOptions;
struct LookupOptions;

namespace internal {

// Steps of the chain that has not been closed: for the uid and the description of the node it
// becomes.
struct StepNames {
  std::string uid;          // from named steps, joined by '+'
  std::string description;  // "Map-Filter"
  // Of the first step.
  std::source_location where;

  StepNames With(const std::string& step_uid, const char* step,
                 const std::source_location& step_where) const {
    StepNames names = *this;
    if (description.empty()) names.where = step_where;
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
  template <internal::MapFunction<T> F>
  auto Map(F f, std::source_location where = std::source_location::current()) && {
    return std::move(*this).MapStep(std::string(), std::move(f), where);
  }
  template <internal::MapFunction<T> F>
  auto Map(F f, std::source_location where = std::source_location::current()) const& {
    return Closed().MapStep(std::string(), std::move(f), where);
  }
  template <internal::MapFunction<T> F>
  auto Map(std::string uid, F f, std::source_location where = std::source_location::current()) && {
    return std::move(*this).MapStep(std::move(uid), std::move(f), where);
  }
  template <internal::MapFunction<T> F>
  auto Map(std::string uid, F f,
           std::source_location where = std::source_location::current()) const& {
    return Closed().MapStep(std::move(uid), std::move(f), where);
  }
  template <class... A>
    requires(!internal::UnaryFunction<internal::StepFunction<A...>, T>)
  WEIR_USAGE_ERROR(
      "Map(f) or Map(uid, f): f cannot be called with a record of the stream; let it take "
      "(const T& record), where T is the stream's record type")
  internal::AfterMistake Map(A&&...) const {
    return {};
  }
  template <class... A>
    requires(internal::UnaryFunction<internal::StepFunction<A...>, T> &&
             !internal::MapFunction<internal::StepFunction<A...>, T>)
  WEIR_USAGE_ERROR(
      "Map(f): f returns nothing; let it return a record, or use Filter, or FlatMap<U>(f) with "
      "f(record, weir::Collector<U>&)")
  internal::AfterMistake Map(A&&...) const {
    return {};
  }

  // Keeps the records for which f(const T&) is true.
  template <internal::Predicate<T> F>
  auto Filter(F f, std::source_location where = std::source_location::current()) && {
    return std::move(*this).FilterStep(std::string(), std::move(f), where);
  }
  template <internal::Predicate<T> F>
  auto Filter(F f, std::source_location where = std::source_location::current()) const& {
    return Closed().FilterStep(std::string(), std::move(f), where);
  }
  template <internal::Predicate<T> F>
  auto Filter(std::string uid, F f,
              std::source_location where = std::source_location::current()) && {
    return std::move(*this).FilterStep(std::move(uid), std::move(f), where);
  }
  template <internal::Predicate<T> F>
  auto Filter(std::string uid, F f,
              std::source_location where = std::source_location::current()) const& {
    return Closed().FilterStep(std::move(uid), std::move(f), where);
  }
  template <class... A>
    requires(!internal::UnaryFunction<internal::StepFunction<A...>, const T&>)
  WEIR_USAGE_ERROR(
      "Filter(f) or Filter(uid, f): f cannot be called with a const record of the stream; let it "
      "take (const T& record), where T is the stream's record type")
  internal::AfterMistake Filter(A&&...) const {
    return {};
  }
  template <class... A>
    requires(internal::UnaryFunction<internal::StepFunction<A...>, const T&> &&
             !internal::Predicate<internal::StepFunction<A...>, T>)
  WEIR_USAGE_ERROR("Filter(f): f does not return bool; true keeps the record")
  internal::AfterMistake Filter(A&&...) const {
    return {};
  }

  // f(record) -> a range of records (a vector, an optional-like container, ...).
  template <internal::FlatMapFunction<T> F>
  auto FlatMap(F f, std::source_location where = std::source_location::current()) && {
    return std::move(*this).FlatMapStep(std::string(), std::move(f), where);
  }
  template <internal::FlatMapFunction<T> F>
  auto FlatMap(F f, std::source_location where = std::source_location::current()) const& {
    return Closed().FlatMapStep(std::string(), std::move(f), where);
  }
  template <internal::FlatMapFunction<T> F>
  auto FlatMap(std::string uid, F f,
               std::source_location where = std::source_location::current()) && {
    return std::move(*this).FlatMapStep(std::move(uid), std::move(f), where);
  }
  template <internal::FlatMapFunction<T> F>
  auto FlatMap(std::string uid, F f,
               std::source_location where = std::source_location::current()) const& {
    return Closed().FlatMapStep(std::move(uid), std::move(f), where);
  }
  template <class... A>
    requires(!internal::FlatMapFunction<internal::StepFunction<A...>, T>)
  WEIR_USAGE_ERROR(
      "FlatMap(f) or FlatMap(uid, f): f must take (const T& record), where T is the stream's "
      "record "
      "type, and return a range such as std::vector<U>; if f is (record, weir::Collector<U>&), "
      "write FlatMap<U>(f)")
  internal::AfterMistake FlatMap(A&&...) const {
    return {};
  }

  // FlatMap<U>(f): f(record, weir::Collector<U>&) emits any number of U.
  template <class U, internal::CollectFunction<T, U> F>
  auto FlatMap(F f, std::source_location where = std::source_location::current()) && {
    return std::move(*this).template CollectStep<U>(std::string(), std::move(f), where);
  }
  template <class U, internal::CollectFunction<T, U> F>
  auto FlatMap(F f, std::source_location where = std::source_location::current()) const& {
    return Closed().template CollectStep<U>(std::string(), std::move(f), where);
  }
  template <class U, internal::CollectFunction<T, U> F>
  auto FlatMap(std::string uid, F f,
               std::source_location where = std::source_location::current()) && {
    return std::move(*this).template CollectStep<U>(std::move(uid), std::move(f), where);
  }
  template <class U, internal::CollectFunction<T, U> F>
  auto FlatMap(std::string uid, F f,
               std::source_location where = std::source_location::current()) const& {
    return Closed().template CollectStep<U>(std::move(uid), std::move(f), where);
  }
  template <class U, class... A>
    requires(!internal::CollectFunction<internal::StepFunction<A...>, T, U>)
  WEIR_USAGE_ERROR(
      "FlatMap<U>(f) or FlatMap<U>(uid, f): f must take (const T& record, weir::Collector<U>& "
      "out), "
      "where T is the stream's record type")
  internal::AfterMistake FlatMap(A&&...) const {
    return {};
  }

  // ---- Spreading over subtasks.

  // All records of one key go to one subtask. `key` is a pointer to a member or a function; the key
  // must be a record type of its own (an integer, a string, an aggregate, ...) and depend on the
  // record alone. KeyBy(std::identity{}): the record is its own key, as for a stream of words.
  template <internal::KeyFunction<T> F>
  auto KeyBy(F key) const {
    using Key = std::remove_cvref_t<std::invoke_result_t<const F&, const T&>>;
    if constexpr (CheckRecord<Key>()) {
      return KeyedStream<T, F>(graph_, Close(), std::move(key));
    } else {
      return internal::AfterMistake();
    }
  }
  template <class... A>
    requires(sizeof...(A) != 1 || !internal::KeyFunction<internal::StepFunction<A...>, T>)
  WEIR_USAGE_ERROR(
      "KeyBy(key): key must be a member of the stream's record type (&T::field), or a function "
      "that "
      "takes (const T& record) and returns the key")
  internal::AfterMistake KeyBy(A&&...) const {
    return {};
  }

  // Round robin; against skew, or to give a slow step more subtasks than its input has.
  Stream<T> Rebalance() const { return Spread(Partitioning::kRebalance); }
  // Each record to every subtask of what reads the stream.
  Stream<T> Broadcast() const { return Spread(Partitioning::kBroadcast); }
  // The records of this and the other streams, in no particular order.
  template <class... Streams>
    requires(internal::kIsStreamOf<Streams, T> && ...)
  Stream<T> Union(const Streams&... others) const {
    internal::Upstream all = Close();
    (Append(all, others.Close()), ...);
    return Stream<T>(graph_, std::move(all));
  }
  template <class... Streams>
    requires(!(internal::kIsStreamOf<Streams, T> && ...))
  WEIR_USAGE_ERROR(
      "Union(streams...): all must be streams of this one's record type; Map the others to it "
      "first")
  internal::AfterMistake Union(const Streams&...) const {
    return {};
  }

  // ---- Event time.

  // Gives the records timestamps and makes watermarks from here on, as a source does (its subtasks
  // are splits each); those from before are ignored, but for the end of the input. For timestamps
  // that are known after some steps only; what can be said at the source is said there.
  Stream<T> AssignTimestamps(internal::PlacedUid uid, const Watermarks<T>& watermarks) const {
    NodeDefinition node;
    node.uid = std::move(uid.text);
    node.description = "AssignTimestamps";
    node.assigns_timestamps = true;
    internal::DefineWatermarks(*graph_, uid.where, "operator '" + node.uid + "'", watermarks, false,
                               node.watermarks);
    const internal::Upstream upstream = Close();
    const std::uint32_t id = graph_->AddNode(std::move(node), &RecordTypeOf<T>(), uid.where);
    graph_->Connect(upstream, id, 0, &RecordTypeOf<T>());
    return Stream<T>(graph_, internal::Upstream{{{id, 0}}, Partitioning::kForward});
  }

  // ---- Steps with a function class, and the ends.

  // F derives from weir::ProcessFunction<T, Out>; `args` go to its constructor, once for each
  // subtask.
  template <internal::ProcessOf<T> F, class... Args>
    requires(internal::MadeFrom<F, Args...> && !internal::TakesBroadcast<F>)
  auto Process(internal::PlacedUid uid, Args... args) const {
    if constexpr (CheckRecord<typename F::Out>()) {
      NodeDefinition node;
      node.uid = std::move(uid.text);
      node.description = "Process";
      const F prototype(args...);
      internal::DescribeMembers(prototype.list_members(), uid.where, *graph_, node);
      return AddOperator<typename F::Out>(std::move(node), uid.where,
                                          [=](std::shared_ptr<const internal::SidePorts> sides) {
                                            return std::make_unique<internal::ProcessOperator<F>>(
                                                std::make_unique<F>(args...), std::move(sides));
                                          });
    } else {
      return internal::AfterMistake();
    }
  }
  template <class F, class... A>
    requires(!internal::AnyProcessFunction<F>)
  WEIR_USAGE_ERROR(
      "Process<F>(uid, args...): F must derive from weir::ProcessFunction<T, Out>; a "
      "weir::KeyedProcess needs KeyBy(key) before it")
  internal::AfterMistake Process(A&&...) const {
    return {};
  }
  template <class F, class... A>
    requires(internal::AnyProcessFunction<F> && !internal::ProcessOf<F, T>)
  WEIR_USAGE_ERROR(
      "Process<F>(uid, args...): F takes other records than the stream has; derive it from "
      "weir::ProcessFunction<T, Out>, where T is the stream's record type")
  internal::AfterMistake Process(A&&...) const {
    return {};
  }
  template <class F, class... A>
    requires(internal::ProcessOf<F, T> && std::is_abstract_v<F>)
  WEIR_USAGE_ERROR(
      "Process<F>(uid, args...): F does not override "
      "void Process(const T& record, Context& context)")
  internal::AfterMistake Process(A&&...) const {
    return {};
  }
  template <class F, class... A>
    requires(internal::ProcessOf<F, T> && !std::is_abstract_v<F> &&
             !internal::kProcessArguments<F, A...>)
  WEIR_USAGE_ERROR(
      "Process<F>(uid, args...): the uid comes first, and F must have a constructor that takes "
      "args... by value or const reference")
  internal::AfterMistake Process(A&&...) const {
    return {};
  }

  template <class F, class... A>
    requires(internal::ProcessOf<F, T> && internal::TakesBroadcast<F> &&
             internal::kProcessArguments<F, A...>)
  WEIR_USAGE_ERROR(
      "Process<F>(uid, args...): F takes the records of a second stream too: write "
      "WithBroadcast(stream) before it")
  internal::AfterMistake Process(A&&...) const {
    return {};
  }

  // This stream and another one, of which every subtask gets all records; a weir::BroadcastProcess
  // follows. The watermark is the lesser of both: if the other stream is to hold nothing back it
  // needs timestamps and an `idle_after`, or an end.
  template <class B, class OtherStage>
  auto WithBroadcast(const Stream<B, OtherStage>& broadcast) const {
    return StreamWithBroadcast<T, B>(Closed(), graph_, broadcast.Close());
  }
  template <class Other>
  WEIR_USAGE_ERROR("WithBroadcast(stream): what is broadcast must be a stream without KeyBy")
  internal::AfterMistake WithBroadcast(const Other&) const {
    return {};
  }

  // This stream and another one, for a weir::TwoInputProcess (weir/connected.h).
  template <class B, class OtherStage>
  auto Connect(const Stream<B, OtherStage>& other) const;
  template <class Other>
  WEIR_USAGE_ERROR(
      "Connect(stream): both streams must have keys (KeyBy before Connect), or neither")
  internal::AfterMistake Connect(const Other&) const {
    return {};
  }

  // Asks something outside of the job for each record: F derives from weir::AsyncFunction<T, Out>
  // or weir::BlockingFunction<T, Out>; `args` go to its constructor (weir/async.h).
  template <class F, class... Args>
  auto Async(internal::PlacedUid uid, AsyncOptions options, Args... args) const;
  // Each record with the value of its key in a table outside of the job: combine(record, value)
  // makes what is put out, an Out or a std::optional<Out>; the value is a std::optional<V>. L
  // derives from weir::AsyncFunction<K, V> or weir::BlockingFunction<K, V>, where K is what `key`
  // gives of a record; `args` go to its constructor. Values are kept for a while, and one that is
  // on its way is not asked for again. `combine` may be called from any thread (weir/lookup.h).
  template <class L, class Key, class Combine, class... Args>
  auto Lookup(internal::PlacedUid uid, Key key, Combine combine, LookupOptions options,
              Args... args) const;

  // Windows of all records of the stream, in one subtask, with the results' key left out: a
  // WindowResult<AllRecords, V> is {start, end, value}. What follows is as after KeyBy and Window.
  template <class W>
  auto WindowAll(const W& window) const {
    return KeyBy(internal::ToAllRecords()).Window(window);
  }
  auto CountWindowAll(std::int64_t size) const {
    return KeyBy(internal::ToAllRecords()).CountWindow(size);
  }
  auto CountWindowAll(std::int64_t size, std::int64_t slide) const {
    return KeyBy(internal::ToAllRecords()).CountWindow(size, slide);
  }

  // The side output `tag` of the operator that this stream comes from.
  template <class U>
  Stream<U> Side(const SideOutput<U>& tag,
                 std::source_location where = std::source_location::current()) const {
    const internal::Upstream upstream = Close();
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
  template <class Tag>
  WEIR_USAGE_ERROR(
      "Side(tag): tag must be a weir::SideOutput<U>, the same object that the step before writes "
      "to")
  internal::AfterMistake Side(const Tag&) const {
    return {};
  }

  // Writes the records: weir::Files{...}, weir::Print{}, weir::ForEach{f}, ...
  template <internal::SinkFor<T> Connector>
  void To(std::string uid, const Connector& connector,
          std::source_location where = std::source_location::current()) const {
    NodeDefinition node;
    node.uid = std::move(uid);
    node.parallelism = parallelism_;
    if constexpr (requires { connector.ToSpec(); }) {
      node.connector = connector.ToSpec();
      node.description = "Sink(" + node.connector.connector + ")";
    } else {
      node.make_sink = connector.MakeFactory();
      node.description = "Sink(plugin)";
    }
    AddSink<T>(std::move(node), Close(), where);
  }
  template <internal::FunctionSinkFor<T> Connector>
  void To(std::string uid, Connector connector,
          std::source_location where = std::source_location::current()) const& {
    Closed().AddFunctionSink(std::move(uid), std::move(connector.f), parallelism_, where);
  }
  template <internal::FunctionSinkFor<T> Connector>
  void To(std::string uid, Connector connector,
          std::source_location where = std::source_location::current()) && {
    if (closed_->has_value()) {
      Closed().AddFunctionSink(std::move(uid), std::move(connector.f), parallelism_, where);
    } else {
      AddFunctionSink(std::move(uid), std::move(connector.f), parallelism_, where);
    }
  }
  template <class Connector>
    requires(!HostConnector<Connector> && !PluginSink<Connector> &&
             !internal::kIsForEach<Connector>)
  WEIR_USAGE_ERROR(
      "To(uid, sink): this is no sink; use weir::Files, weir::Print, weir::Blackhole or "
      "weir::ForEach{f}, or a value whose MakeFactory() makes weir::SinkWriters")
  void To(std::string, const Connector&) const {
    internal::NeverRun();
  }
  template <class Connector>
    requires(PluginSink<Connector> && !internal::kWritesRecord<Connector, T>)
  WEIR_USAGE_ERROR(
      "To(uid, sink): the sink writes another type of record than the stream has; Map to it first")
  void To(std::string, const Connector&) const {
    internal::NeverRun();
  }
  template <class Connector>
    requires(internal::kIsForEach<Connector> && !internal::FunctionSinkFor<Connector, T>)
  WEIR_USAGE_ERROR(
      "To(uid, weir::ForEach{f}): f cannot be called with a record of the stream; let it take "
      "(const T& record), where T is the stream's record type")
  void To(std::string, const Connector&) const {
    internal::NeverRun();
  }
  template <class Connector>
  WEIR_USAGE_ERROR("To(uid, sink): the sink has no uid; give it one as the first argument")
  void To(const Connector&) const {
    internal::NeverRun();
  }

  // ---- What a keyed stream has, and this has not.
  template <class... A>
  WEIR_USAGE_ERROR(
      "Window(w) is a step of a keyed stream: write KeyBy(key) before it, or WindowAll(w) for "
      "windows of all records in one subtask")
  internal::AfterMistake Window(A&&...) const {
    return {};
  }
  template <class... A>
  WEIR_USAGE_ERROR("Reduce(uid, f) is a step of a keyed stream: write KeyBy(key) before it")
  internal::AfterMistake Reduce(A&&...) const {
    return {};
  }
  template <class... A>
  WEIR_USAGE_ERROR("Aggregate(uid, a) is a step of a keyed stream: write KeyBy(key) before it")
  internal::AfterMistake Aggregate(A&&...) const {
    return {};
  }

  // How many subtasks the step before this has (and a sink that follows); the job's parallelism
  // unless given.
  Stream<T> Parallelism(std::uint32_t n,
                        std::source_location where = std::source_location::current()) const {
    const internal::Upstream upstream = Close();
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
  internal::Upstream Close() const {
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
        const std::uint32_t id = graph_->AddNode(std::move(node), &RecordTypeOf<T>(), names_.where);
        graph_->Connect(upstream_, id, 0, &RecordTypeOf<typename Stage::In>());
        *closed_ = internal::Upstream{{{id, 0}}, Partitioning::kForward};
      }
      return **closed_;
    }
  }

  template <class Out, class Make>
  Stream<Out> AddOperator(NodeDefinition node, const std::source_location& where, Make make) const {
    const internal::Upstream upstream = Close();
    const std::uint32_t id = graph_->AddNode(std::move(node), &RecordTypeOf<Out>(), where);
    graph_->job().nodes[id].make_operator =
        [make, sides = graph_->sides(id)]() -> std::unique_ptr<Operator> { return make(sides); };
    graph_->Connect(upstream, id, 0, &RecordTypeOf<T>());
    return Stream<Out>(graph_, internal::Upstream{{{id, 0}}, Partitioning::kForward});
  }

 private:
  template <class, class>
  friend class Stream;

  Stream<T> Closed() const { return Stream<T>(graph_, Close()); }

  Stream<T> Spread(Partitioning partitioning) const {
    internal::Upstream upstream = Close();
    upstream.partitioning = partitioning;
    return Stream<T>(graph_, std::move(upstream));
  }
  static void Append(internal::Upstream& all, internal::Upstream more) {
    for (const internal::PortRef& port : more.ports) all.ports.push_back(port);
  }

  template <class In>
  void AddSink(NodeDefinition node, const internal::Upstream& upstream,
               const std::source_location& where) const {
    node.kind = NodeKind::kSink;
    node.record_type = &RecordTypeOf<In>();
    const std::uint32_t id = graph_->AddNode(std::move(node), nullptr, where);
    graph_->Connect(upstream, id, 0, &RecordTypeOf<In>());
  }
  // The steps that are not closed yet and f become one sink.
  template <class F>
  void AddFunctionSink(const std::string& uid, F f, std::uint32_t parallelism,
                       const std::source_location& where) const {
    const internal::StepNames names = names_.With(uid, "Sink(function)", where);
    NodeDefinition node;
    node.uid = names.uid;
    node.description = names.description;
    node.parallelism = parallelism;
    node.make_sink = [stage = stage_, f = std::move(f)] {
      return std::make_unique<internal::FusedSink<T, Stage, F>>(stage, f);
    };
    AddSink<typename Stage::In>(std::move(node), upstream_, where);
  }

  template <class F>
  auto MapStep(std::string uid, F f, const std::source_location& where) && {
    using U = internal::UnaryResult<F, T>;
    return std::move(*this).template Then<U, internal::MapStage<Stage, T, F>>(uid, "Map",
                                                                              std::move(f), where);
  }
  template <class F>
  auto FilterStep(std::string uid, F f, const std::source_location& where) && {
    return std::move(*this).template Then<T, internal::FilterStage<Stage, T, F>>(
        uid, "Filter", std::move(f), where);
  }
  template <class F>
  auto FlatMapStep(std::string uid, F f, const std::source_location& where) && {
    using U = internal::FlatMapElement<F, T>;
    return std::move(*this).template Then<U, internal::FlatMapStage<Stage, T, F>>(
        uid, "FlatMap", std::move(f), where);
  }
  template <class U, class F>
  auto CollectStep(std::string uid, F f, const std::source_location& where) && {
    return std::move(*this).template Then<U, internal::CollectStage<Stage, T, U, F>>(
        uid, "FlatMap", std::move(f), where);
  }
  // The chain with one step more, which makes records of type U.
  template <class U, class Next, class F>
  auto Then(const std::string& uid, const char* step, F f, const std::source_location& where) && {
    if constexpr (CheckRecord<U>()) {
      return Stream<U, Next>(graph_, std::move(upstream_), Next{{std::move(stage_), std::move(f)}},
                             names_.With(uid, step, where));
    } else {
      return internal::AfterMistake();
    }
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
