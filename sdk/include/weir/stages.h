#pragma once

#include <functional>
#include <type_traits>
#include <utility>

#include "weir/functions.h"

// What a chain of Map, Filter and FlatMap is made of: each stage holds the one before it.
//
// Apply(record, sink) calls sink(out) for each result of one record. A chain without FlatMap has
// kMaxOne: at most one result a record, so that space can be reserved.
namespace weir::internal {

template <class T>
struct Identity {
  using In = T;
  static constexpr bool kMaxOne = true;
  static constexpr bool kIdentity = true;
  void Open(FunctionContext&) {}
  void Close() {}
  template <class Sink>
  [[gnu::always_inline]] void Apply(T&& record, Sink&& sink) {
    sink(std::move(record));
  }
};

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
  template <class Sink>
  [[gnu::always_inline]] void Apply(In&& record, Sink&& sink) {
    this->prev.Apply(std::move(record), [&](T&& value) {
      SinkCollector<U, std::remove_reference_t<Sink>> collector(sink);
      std::invoke(this->f, std::move(value), collector);
    });
  }
};

}  // namespace weir::internal
