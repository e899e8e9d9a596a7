#pragma once

#include <functional>
#include <type_traits>
#include <utility>

#include "weir/operator.h"

namespace weir {

// What a rich function may use while it is open: metrics, and where it runs. A function is rich by
// having a member `void Open(weir::FunctionContext&)`, and `void Close()` if it has something to
// release; both are optional.
class FunctionContext {
 public:
  explicit FunctionContext(OperatorContext& context) : context_(context) {}

  const std::string& uid() const { return context_.uid(); }
  std::uint32_t subtask() const { return context_.subtask(); }
  std::uint32_t parallelism() const { return context_.parallelism(); }
  Counter& counter(std::string_view name) { return context_.metrics().counter(name); }
  Gauge& gauge(std::string_view name) { return context_.metrics().gauge(name); }
  void Log(std::string_view level, std::string_view text) { context_.Log(level, text); }

 private:
  OperatorContext& context_;
};

// Where a FlatMap that produces any number of records puts them.
template <class T>
class Collector {
 public:
  virtual void Emit(T record) = 0;

 protected:
  ~Collector() = default;
};

namespace internal {

template <class F>
void OpenFunction(F& f, FunctionContext& context) {
  if constexpr (requires { f.Open(context); }) f.Open(context);
}
template <class F>
void CloseFunction(F& f) {
  if constexpr (requires { f.Close(); }) f.Close();
}

template <class T, class Sink>
class SinkCollector final : public Collector<T> {
 public:
  explicit SinkCollector(Sink& sink) : sink_(sink) {}
  void Emit(T record) override { sink_(std::move(record)); }

 private:
  Sink& sink_;
};

template <class R>
concept Range = requires(R& r) {
  r.begin();
  r.end();
} && !std::is_convertible_v<R, std::string_view>;

template <class R>
using RangeElement = std::remove_cvref_t<decltype(*std::declval<R&>().begin())>;

// A function of any form (lambda, functor, pointer to member) called with a record: as an rvalue if
// it takes one.
template <class F, class T>
concept UnaryFunction = std::is_invocable_v<F&, T&&>;

template <class F, class T>
using UnaryResult = std::remove_cvref_t<std::invoke_result_t<F&, T&&>>;

template <class F, class T>
concept Predicate = std::is_invocable_r_v<bool, F&, const T&>;

// ---- Stages: what a chain of Map, Filter and FlatMap is made of. Apply(record, sink) calls
// sink(out) for each result. kMaxOne: at most one result a record, so that space can be reserved.

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

template <class Prev, class T, class F>
struct MapStage {
  using In = typename Prev::In;
  static constexpr bool kMaxOne = Prev::kMaxOne;
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
  template <class Sink>
  [[gnu::always_inline]] void Apply(In&& record, Sink&& sink) {
    prev.Apply(std::move(record), [&](T&& value) __attribute__((always_inline)) {
      sink(std::invoke(f, std::move(value)));
    });
  }
};

template <class Prev, class T, class F>
struct FilterStage {
  using In = typename Prev::In;
  static constexpr bool kMaxOne = Prev::kMaxOne;
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
  template <class Sink>
  [[gnu::always_inline]] void Apply(In&& record, Sink&& sink) {
    prev.Apply(std::move(record), [&](T&& value) __attribute__((always_inline)) {
      if (std::invoke(f, std::as_const(value))) sink(std::move(value));
    });
  }
};

// FlatMap with a function that returns a range.
template <class Prev, class T, class F>
struct FlatMapStage {
  using In = typename Prev::In;
  static constexpr bool kMaxOne = false;
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
  template <class Sink>
  [[gnu::always_inline]] void Apply(In&& record, Sink&& sink) {
    prev.Apply(std::move(record), [&](T&& value) {
      auto&& results = std::invoke(f, std::move(value));
      for (auto&& result : results) sink(RangeElement<decltype(results)>(std::move(result)));
    });
  }
};

// FlatMap<U> with a function that is given a collector.
template <class Prev, class T, class U, class F>
struct CollectStage {
  using In = typename Prev::In;
  static constexpr bool kMaxOne = false;
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
  template <class Sink>
  [[gnu::always_inline]] void Apply(In&& record, Sink&& sink) {
    prev.Apply(std::move(record), [&](T&& value) {
      SinkCollector<U, std::remove_reference_t<Sink>> collector(sink);
      std::invoke(f, std::move(value), collector);
    });
  }
};

}  // namespace internal
}  // namespace weir
