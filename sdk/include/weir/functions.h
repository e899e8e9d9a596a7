#pragma once

#include <functional>
#include <memory>
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
  // The wall clock.
  EventTime now() const { return EventTime::FromTicks(context_.ProcessingTime()); }
  // A thread for calls that block; gone before the function is closed.
  std::unique_ptr<OperatorThread> NewThread() { return context_.NewThread(); }
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

}  // namespace internal
}  // namespace weir
