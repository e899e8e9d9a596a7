#pragma once

#include <functional>
#include <type_traits>
#include <utility>

#include "weir/functions.h"

// What a chain of Map, Filter and FlatMap is made of: each stage holds the one before it.
//
// Apply(record, sink) calls sink(out) for each result of one record. A chain without FlatMap has
// kMaxOne: at most one result a record, so that space can be reserved. kPassesInput: what sink is
// given is the record itself. kLeavesInput: the functions leave the record as it was.
namespace weir::internal {

// Whether f says that it takes a const T&: it may not if it is a template.
template <class F, class T>
inline constexpr bool kTakesConst = false;
template <class R, class T>
inline constexpr bool kTakesConst<R (*)(const T&), T> = true;
template <class R, class T>
inline constexpr bool kTakesConst<R (*)(const T&) noexcept, T> = true;
template <class R, class T>
inline constexpr bool kTakesConst<R (T::*)() const, T> = true;
template <class R, class T>
inline constexpr bool kTakesConst<R (T::*)() const noexcept, T> = true;
template <class C, class T>
inline constexpr bool kCallTakesConst = false;
template <class C, class R, class T, class... More>
inline constexpr bool kCallTakesConst<R (C::*)(const T&, More...), T> = true;
template <class C, class R, class T, class... More>
inline constexpr bool kCallTakesConst<R (C::*)(const T&, More...) const, T> = true;
template <class C, class R, class T, class... More>
inline constexpr bool kCallTakesConst<R (C::*)(const T&, More...) noexcept, T> = true;
template <class C, class R, class T, class... More>
inline constexpr bool kCallTakesConst<R (C::*)(const T&, More...) const noexcept, T> = true;
template <class F, class T>
  requires requires { &F::operator(); }
inline constexpr bool kTakesConst<F, T> = kCallTakesConst<decltype(&F::operator()), T>;

template <class T>
struct Identity {
  using In = T;
  static constexpr bool kMaxOne = true;
  static constexpr bool kIdentity = true;
  static constexpr bool kPassesInput = true;
  static constexpr bool kLeavesInput = true;
  void Open(FunctionContext&) {}
  void Close() {}
  template <class Sink>
  [[gnu::always_inline]] void Apply(T&& record, Sink&& sink) {
    sink(std::move(record));
  }
};

// Whether a function of T after the stage Prev leaves the record of the input as it was.
template <class Prev, class T, class F>
inline constexpr bool kLeaves = Prev::kLeavesInput && (!Prev::kPassesInput || kTakesConst<F, T>);

// A user's function after the stages before it.
template <class Prev, class F>
struct Stage {
  using In = typename Prev::In;
  static constexpr bool kIdentity = false;
  Prev prev;
  F f;
  void Open(FunctionContext& context) {
    prev.Open(context);
    OpenFunction(f, context);
  }
  void Close() {
    prev.Close();
    CloseFunction(f);
  }
};

template <class Prev, class T, class F>
struct MapStage : Stage<Prev, F> {
  using In = typename Prev::In;
  static constexpr bool kMaxOne = Prev::kMaxOne;
  static constexpr bool kPassesInput = false;
  static constexpr bool kLeavesInput = kLeaves<Prev, T, F>;
  template <class Sink>
  [[gnu::always_inline]] void Apply(In&& record, Sink&& sink) {
    this->prev.Apply(std::move(record), [&](T&& value) __attribute__((always_inline)) {
      sink(std::invoke(this->f, std::move(value)));
    });
  }
};

template <class Prev, class T, class F>
struct FilterStage : Stage<Prev, F> {
  using In = typename Prev::In;
  static constexpr bool kMaxOne = Prev::kMaxOne;
  static constexpr bool kPassesInput = Prev::kPassesInput;
  static constexpr bool kLeavesInput = Prev::kLeavesInput;
  template <class Sink>
  [[gnu::always_inline]] void Apply(In&& record, Sink&& sink) {
    this->prev.Apply(std::move(record), [&](T&& value) __attribute__((always_inline)) {
      if (std::invoke(this->f, std::as_const(value))) sink(std::move(value));
    });
  }
};

// FlatMap with a function that returns a range.
template <class Prev, class T, class F>
struct FlatMapStage : Stage<Prev, F> {
  using In = typename Prev::In;
  static constexpr bool kMaxOne = false;
  static constexpr bool kPassesInput = false;
  static constexpr bool kLeavesInput = kLeaves<Prev, T, F>;
  template <class Sink>
  [[gnu::always_inline]] void Apply(In&& record, Sink&& sink) {
    this->prev.Apply(std::move(record), [&](T&& value) {
      auto&& results = std::invoke(this->f, std::move(value));
      for (auto&& result : results) sink(RangeElement<decltype(results)>(std::move(result)));
    });
  }
};

// FlatMap<U> with a function that is given a collector.
template <class Prev, class T, class U, class F>
struct CollectStage : Stage<Prev, F> {
  using In = typename Prev::In;
  static constexpr bool kMaxOne = false;
  static constexpr bool kPassesInput = false;
  static constexpr bool kLeavesInput = kLeaves<Prev, T, F>;
  template <class Sink>
  [[gnu::always_inline]] void Apply(In&& record, Sink&& sink) {
    this->prev.Apply(std::move(record), [&](T&& value) {
      SinkCollector<U, std::remove_reference_t<Sink>> collector(sink);
      std::invoke(this->f, std::move(value), collector);
    });
  }
};

}  // namespace weir::internal
