#pragma once

#include <functional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "weir/aggregates.h"
#include "weir/state.h"
#include "weir/usage_error.h"

namespace weir {

// One value a key into which others are reduced; a member of a KeyedProcess:
//   weir::ReducingState<std::int64_t, std::plus<>> total{this, "total"};
// F is a function (const V& so_far, const V& next) -> V. It may be used in Process and OnTimer,
// where there is a current key. V must be a record type.
template <class V, class F>
class ReducingState {
  static_assert(std::is_invocable_r_v<V, const F&, const V&, const V&>,
                "ReducingState<V, F>: F must take (const V& so_far, const V& next) and return V");

 public:
  // `name` is unique within the function and identifies the state in snapshots.
  template <class Function>
  ReducingState(Function* function, std::string_view name, F f = F())
      : access_(internal::AddValue<V>(*function, name, nullptr)), f_(std::move(f)) {}
  // Add renews the value, Get and Exists can; what is added to an expired value is the first again.
  template <class Function>
  ReducingState(Function* function, std::string_view name, const Ttl& ttl)
      : ReducingState(function, name, F(), ttl) {}
  template <class Function>
  ReducingState(Function* function, std::string_view name, F f, const Ttl& ttl)
      : access_(internal::AddValue<V>(*function, name, &ttl)), f_(std::move(f)) {}
  ReducingState(const ReducingState&) = delete;
  ReducingState& operator=(const ReducingState&) = delete;

  void Add(V value) {
    const auto [so_far, is_new] = access_->FindOrInsert();
    if (is_new) {
      *so_far = std::move(value);
    } else {
      *so_far = std::invoke(f_, std::as_const(*so_far), std::as_const(value));
    }
  }
  bool Exists() const { return access_->Find() != nullptr; }
  // A copy; V{} if nothing was added.
  V Get() const {
    const V* value = access_->Find();
    return value != nullptr ? *value : V{};
  }
  void Clear() { access_->Erase(); }

 private:
  internal::ValueAccess<V>* access_;
  const F f_;
};

// One partial result a key of an aggregator (weir::Count, weir::Avg{&Click::milliseconds}, one of
// your own); a member of a KeyedProcess:
//   weir::AggregatingState<weir::Avg<Click, double>> mean{this, "mean",
//   weir::Avg{&Click::seconds}};
// It may be used in Process and OnTimer, where there is a current key. A::Accumulator must be a
// record type.
template <class A>
class AggregatingState {
 public:
  using Accumulator = typename A::Accumulator;

  // `name` is unique within the function and identifies the state in snapshots.
  template <class Function>
  AggregatingState(Function* function, std::string_view name)
    requires std::default_initializable<A>
      : AggregatingState(function, name, A()) {}
  template <class Function>
  AggregatingState(Function* function, std::string_view name, A aggregator)
      : access_(internal::AddValue<Accumulator>(*function, name, nullptr)),
        aggregator_(std::move(aggregator)) {}
  // Add renews the result, Get and Exists can; what is added to an expired one is the first again.
  template <class Function>
  AggregatingState(Function* function, std::string_view name, const Ttl& ttl)
    requires std::default_initializable<A>
      : AggregatingState(function, name, A(), ttl) {}
  template <class Function>
  AggregatingState(Function* function, std::string_view name, A aggregator, const Ttl& ttl)
      : access_(internal::AddValue<Accumulator>(*function, name, &ttl)),
        aggregator_(std::move(aggregator)) {}
  AggregatingState(const AggregatingState&) = delete;
  AggregatingState& operator=(const AggregatingState&) = delete;

  template <class T>
    requires Aggregator<A, T>
  void Add(const T& record) {
    aggregator_.Add(*access_->FindOrInsert().first, record);
  }
  template <class T>
    requires(!Aggregator<A, T>)
  WEIR_USAGE_ERROR(
      "Add(record): the state's aggregator has no Accumulator, Add(Accumulator&, const T&), Merge "
      "and Result for such a record")
  void Add(const T&) {
    internal::NeverRun();
  }
  bool Exists() const { return access_->Find() != nullptr; }
  // The result so far; that of nothing if nothing was added.
  AggregateResult<A> Get() const {
    const Accumulator* accumulator = access_->Find();
    return accumulator != nullptr ? aggregator_.Result(*accumulator)
                                  : aggregator_.Result(Accumulator{});
  }
  void Clear() { access_->Erase(); }

 private:
  internal::ValueAccess<Accumulator>* access_;
  const A aggregator_;
};

}  // namespace weir
