#pragma once

#include <concepts>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "weir/graph_builder.h"
#include "weir/keyed_stream.h"
#include "weir/misuse.h"
#include "weir/process.h"
#include "weir/usage_error.h"

namespace weir {

// A function over the records of two streams with the same keys: Process for the one, ProcessSecond
// for the other, both with the state and timers of the record's key. Which of two records comes
// first is open; the watermark is the lesser of both.
template <class K, class A, class B, class O>
class KeyedTwoInputProcess : public KeyedProcess<K, A, O> {
 public:
  using Second = B;
  using typename KeyedProcess<K, A, O>::Context;

  virtual void ProcessSecond(const B& record, Context& context) = 0;
};

// The same for two streams without keys. Its state are members: those of a ProcessFunction.
template <class A, class B, class O>
class TwoInputProcess : public ProcessFunction<A, O> {
 public:
  using Second = B;
  using typename ProcessFunction<A, O>::Context;

  virtual void ProcessSecond(const B& record, Context& context) = 0;
};

namespace internal {

template <class P, class A, class B>
concept PlainTwoInputProcessOf =
    requires { requires std::derived_from<P, TwoInputProcess<A, B, typename P::Out>>; };
template <class P, class K, class A, class B>
concept TwoInputProcessOf =
    requires { requires std::derived_from<P, KeyedTwoInputProcess<K, A, B, typename P::Out>>; };

// Two keyed streams that an operator reads.
template <class A, class FA, class B, class FB>
struct KeyedUpstreams {
  KeyedUpstream<A, FA> first;
  KeyedUpstream<B, FB> second;

  // Adds the operator of a KeyedTwoInputProcess; `make()` makes that of one subtask. `node` has
  // uid and description.
  template <class P, class Make>
  auto Add(NodeDefinition node, const std::source_location& where, Make make) const {
    node.inputs = 2;
    DescribeMembers(make()->members(), where, *first.graph, node);
    auto out = first.template Add<typename P::Out>(
        std::move(node), where,
        [make, key = first.key, second_key = second.key](std::shared_ptr<const SidePorts> sides) {
          return std::make_unique<KeyedProcessOperator<P, FA, FB>>(make(), key, std::move(sides),
                                                                   second_key);
        });
    first.graph->Connect(second.upstream, out.Close().ports.front().node, 1, &RecordTypeOf<B>(),
                         std::make_shared<StreamKeyHasher<B, FB>>(second.key));
    return out;
  }
};

}  // namespace internal

// Two keyed streams whose records of one key meet in one subtask: Process<P> is all that there is
// for them.
template <class A, class FA, class B, class FB>
class ConnectedStreams {
 public:
  using Key = internal::KeyOf<FA, A>;

  explicit ConnectedStreams(internal::KeyedUpstreams<A, FA, B, FB> upstreams)
      : upstreams_(std::move(upstreams)) {}

  // P derives from weir::KeyedTwoInputProcess<Key, A, B, Out>; `args` go to its constructor, once
  // for each subtask.
  template <internal::TwoInputProcessOf<Key, A, B> P, class... Args>
    requires internal::MadeFrom<P, Args...>
  auto Process(internal::PlacedUid uid, Args... args) const {
    if constexpr (CheckRecord<typename P::Out>()) {
      NodeDefinition node;
      node.uid = std::move(uid.text);
      node.description = "Process";
      return upstreams_.template Add<P>(std::move(node), uid.where,
                                        [args...] { return std::make_unique<P>(args...); });
    } else {
      return internal::AfterMistake();
    }
  }
  template <class P, class... A_>
    requires(!internal::TwoInputProcessOf<P, Key, A, B>)
  WEIR_USAGE_ERROR(
      "Process<P>(uid, args...): after Connect, P must derive from "
      "weir::KeyedTwoInputProcess<Key, A, B, Out>, where Key is what both KeyBy functions return "
      "and A and B are the record types of the two streams")
  internal::AfterMistake Process(A_&&...) const {
    return {};
  }

 private:
  internal::KeyedUpstreams<A, FA, B, FB> upstreams_;
};

// Two streams without keys, each spread over the subtasks as it comes.
template <class A, class B>
class StreamPair {
 public:
  StreamPair(Stream<A> first, internal::GraphBuilder* graph, internal::Upstream second)
      : first_(std::move(first)), graph_(graph), second_(std::move(second)) {}

  // P derives from weir::TwoInputProcess<A, B, Out>; `args` go to its constructor, once for each
  // subtask.
  template <internal::PlainTwoInputProcessOf<A, B> P, class... Args>
    requires internal::MadeFrom<P, Args...>
  auto Process(internal::PlacedUid uid, Args... args) const {
    if constexpr (CheckRecord<typename P::Out>()) {
      return internal::AddTwoInputs<P, B>(first_, *graph_, second_, std::move(uid), args...);
    } else {
      return internal::AfterMistake();
    }
  }
  template <class P, class... A_>
    requires(!internal::PlainTwoInputProcessOf<P, A, B>)
  WEIR_USAGE_ERROR(
      "Process<P>(uid, args...): after Connect of streams without keys, P must derive from "
      "weir::TwoInputProcess<A, B, Out>, where A and B are the record types of the two streams")
  internal::AfterMistake Process(A_&&...) const {
    return {};
  }

 private:
  Stream<A> first_;
  internal::GraphBuilder* graph_;
  internal::Upstream second_;
};

template <class T, class Stage>
template <class B, class OtherStage>
auto Stream<T, Stage>::Connect(const Stream<B, OtherStage>& other) const {
  return StreamPair<T, B>(Closed(), graph_, other.Close());
}

template <class T, class F>
template <class B, class FB>
auto KeyedStream<T, F>::Connect(const KeyedStream<B, FB>& other) const {
  static_assert(std::is_same_v<Key, typename KeyedStream<B, FB>::Key>,
                "Connect(stream): both streams must have keys of the same type");
  return ConnectedStreams<T, F, B, FB>({keyed_, other.upstream()});
}

}  // namespace weir
