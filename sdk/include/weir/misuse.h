#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "weir/aggregates.h"
#include "weir/connectors.h"
#include "weir/for_each.h"
#include "weir/functions.h"
#include "weir/process.h"
#include "weir/side_output.h"
#include "weir/source.h"
#include "weir/usage_error.h"
#include "weir/window.h"

// What the steps of a stream ask of their arguments.
namespace weir {

template <class T, class Stage>
class Stream;

namespace internal {

// What a misused step returns: it takes whatever steps follow, so that one mistake is one error.
// None of it is ever run.
class AfterMistake {
 public:
  AfterMistake() { NeverRun(); }
  template <class... A>
  AfterMistake Map(A&&...) const {
    return {};
  }
  template <class... A>
  AfterMistake Filter(A&&...) const {
    return {};
  }
  template <class... A>
  AfterMistake FlatMap(A&&...) const {
    return {};
  }
  template <class U, class... A>
  AfterMistake FlatMap(A&&...) const {
    return {};
  }
  template <class... A>
  AfterMistake KeyBy(A&&...) const {
    return {};
  }
  template <class... A>
  AfterMistake Window(A&&...) const {
    return {};
  }
  template <class... A>
  AfterMistake AllowLateness(A&&...) const {
    return {};
  }
  template <class... A>
  AfterMistake SideOutputLate(A&&...) const {
    return {};
  }
  template <class... A>
  AfterMistake Aggregate(A&&...) const {
    return {};
  }
  template <class... A>
  AfterMistake Reduce(A&&...) const {
    return {};
  }
  template <class F, class... A>
  AfterMistake Process(A&&...) const {
    return {};
  }
  template <class S>
  AfterMistake WithBroadcast(const S&) const {
    return {};
  }
  template <class... A>
  AfterMistake Union(A&&...) const {
    return {};
  }
  template <class U>
  AfterMistake Side(const SideOutput<U>&) const {
    return {};
  }
  template <class... A>
  AfterMistake To(A&&...) const {
    return {};
  }
  AfterMistake Rebalance() const { return {}; }
  AfterMistake Broadcast() const { return {}; }
  AfterMistake Parallelism(unsigned) const { return {}; }
  template <class... A>
  AfterMistake WindowAll(A&&...) const {
    return {};
  }
  template <class S>
  AfterMistake Connect(const S&) const {
    return {};
  }
  template <class T, class Stage>
  operator Stream<T, Stage>() const {  // NOLINT: meant to convert
    __builtin_trap();
  }
};

// The function of a step that was called with (f) or (uid, f); void for other arguments.
template <class... A>
struct FunctionOfStep {
  using type = void;
};
template <class F>
struct FunctionOfStep<F> {
  using type = std::decay_t<F>;
};
template <class Uid, class F>
  requires std::convertible_to<Uid, std::string>
struct FunctionOfStep<Uid, F> {
  using type = std::decay_t<F>;
};
template <class... A>
using StepFunction = typename FunctionOfStep<A...>::type;

template <class F>
WEIR_USAGE_ERROR(
    "Async<F>(uid, options, args...), Lookup<F>(uid, key, combine, options, args...): F must "
    "derive from weir::AsyncFunction<T, Out> or weir::BlockingFunction<T, Out>, where T is the "
    "stream's record type, or of a lookup its key")
AfterMistake NoAsyncFunction() {
  return {};
}

template <class F, class T>
concept MapFunction = UnaryFunction<F, T> && !std::is_void_v<UnaryResult<F, T>>;

template <class F, class T>
concept FlatMapFunction = UnaryFunction<F, T> && Range<UnaryResult<F, T>>;

template <class F, class T, class U>
concept CollectFunction = std::invocable<F&, T&&, Collector<U>&>;

template <class F, class T>
concept KeyFunction =
    std::invocable<const F&, const T&> && !std::is_void_v<std::invoke_result_t<const F&, const T&>>;

template <class F, class T>
concept Reducer = std::is_invocable_r_v<T, const F&, const T&, const T&>;

template <class F, class Key, class A>
concept WindowFinish =
    std::invocable<const F&, const Key&, const TimeWindow&, AggregateResult<A>&&> &&
    !std::is_void_v<
        std::invoke_result_t<const F&, const Key&, const TimeWindow&, AggregateResult<A>&&>>;

// The same without the key, where there is none.
template <class F, class Key, class A>
concept WindowAllFinish =
    std::is_same_v<Key, AllRecords> &&
    std::invocable<const F&, const TimeWindow&, AggregateResult<A>&&> &&
    !std::is_void_v<std::invoke_result_t<const F&, const TimeWindow&, AggregateResult<A>&&>>;

template <class S, class T>
inline constexpr bool kIsStreamOf = false;
template <class T, class Stage>
inline constexpr bool kIsStreamOf<Stream<T, Stage>, T> = true;

template <class F>
concept AnyProcessFunction = requires {
  typename F::In;
  typename F::Out;
  requires std::derived_from<F, ProcessFunction<typename F::In, typename F::Out>>;
};
template <class F>
concept AnyKeyedProcess = requires {
  typename F::Key;
  typename F::In;
  typename F::Out;
  requires std::derived_from<F, KeyedProcess<typename F::Key, typename F::In, typename F::Out>>;
};
template <class F, class T>
concept ProcessOf = AnyProcessFunction<F> && std::same_as<typename F::In, T>;
template <class F, class Key, class T>
concept KeyedProcessOf =
    AnyKeyedProcess<F> && std::same_as<typename F::In, T> && std::same_as<typename F::Key, Key>;
// It takes the records of a second stream, which every subtask gets.
template <class F>
concept TakesBroadcast = requires { typename F::Broadcast; };
// Whether F can be made from `A`, once for each subtask.
template <class F, class... A>
concept MadeFrom = !std::is_abstract_v<F> && std::constructible_from<F, const A&...>;
// Whether `A` are a uid and what F can be made from.
template <class F, class... A>
inline constexpr bool kProcessArguments = false;
template <class F, class Uid, class... A>
inline constexpr bool kProcessArguments<F, Uid, A...> =
    std::convertible_to<Uid, std::string> && MadeFrom<F, std::decay_t<A>...>;

template <class C, class T>
concept SinkFor = HostConnector<C> || (PluginSink<C> && kWritesRecord<C, T>);
template <class C, class T>
concept FunctionSinkFor = kIsForEach<C> && kTakesEach<C, T>;
template <class C, class T>
concept SourceFor = HostConnector<C> || (PluginSource<C> && kMakesRecord<C, T>);

}  // namespace internal
}  // namespace weir
