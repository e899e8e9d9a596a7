#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#include "weir/time.h"

namespace weir {

// An aggregator over records of type T has
//   a type `Accumulator`, default-constructible: the partial result;
//   `void Add(Accumulator&, const T&) const`;
//   `void Merge(Accumulator& into, const Accumulator& later) const`: adds a partial result of later
//   slices; `R Result(const Accumulator&) const`; and, if what was merged can be taken out again
//   exactly, `void Retract(Accumulator& from, const Accumulator& part) const`.
// It must not depend on the order of the records beyond what Merge keeps; Reduce does not make this
// assumption.
template <class A, class T>
concept Aggregator = requires(const A& aggregator, typename A::Accumulator& acc, const T& record) {
  { typename A::Accumulator{} };
  aggregator.Add(acc, record);
  aggregator.Merge(acc, std::as_const(acc));
  requires !std::is_void_v<decltype(aggregator.Result(std::as_const(acc)))>;
};

template <class A>
using AggregateResult = std::remove_cvref_t<decltype(std::declval<const A&>().Result(
    std::declval<const typename A::Accumulator&>()))>;

template <class A>
concept Retractable = requires(const A& aggregator, typename A::Accumulator& acc) {
  aggregator.Retract(acc, std::as_const(acc));
};

namespace internal {

// Sums of integers are kept in 64 bits, those of floating-point fields in double.
template <class V>
using SumOf =
    std::conditional_t<std::is_floating_point_v<V>, double,
                       std::conditional_t<std::is_unsigned_v<V>, std::uint64_t, std::int64_t>>;

template <class V>
concept Number = std::is_arithmetic_v<V>;
template <class V>
concept Ordered = requires(const V& a) {
  { a < a } -> std::convertible_to<bool>;
};

}  // namespace internal

// How many records.
struct Count {
  using Accumulator = std::int64_t;
  template <class T>
  void Add(Accumulator& acc, const T&) const {
    ++acc;
  }
  void Merge(Accumulator& into, const Accumulator& later) const { into += later; }
  void Retract(Accumulator& from, const Accumulator& part) const { from -= part; }
  std::int64_t Result(const Accumulator& acc) const { return acc; }
};

// The sum of a field: Sum{&Order::amount}. Integers wrap around at 64 bits.
template <class T, class V>
struct Sum {
  V T::* field;
  using Accumulator = internal::SumOf<V>;
  void Add(Accumulator& acc, const T& record) const
    requires internal::Number<V>
  {
    acc = Plus(acc, static_cast<Accumulator>(record.*field));
  }
  void Merge(Accumulator& into, const Accumulator& later) const { into = Plus(into, later); }
  void Retract(Accumulator& from, const Accumulator& part) const
    requires std::is_integral_v<V>
  {
    from = static_cast<Accumulator>(static_cast<std::uint64_t>(from) -
                                    static_cast<std::uint64_t>(part));
  }
  Accumulator Result(const Accumulator& acc) const { return acc; }

 private:
  static Accumulator Plus(Accumulator a, Accumulator b) {
    if constexpr (std::is_floating_point_v<Accumulator>) {
      return a + b;
    } else {
      return static_cast<Accumulator>(static_cast<std::uint64_t>(a) +
                                      static_cast<std::uint64_t>(b));
    }
  }

 public:
  constexpr explicit Sum(V T::* f) : field(f) {}
};

namespace internal {
template <class V>
struct Extreme {
  V value{};
  bool set = false;
};
}  // namespace internal

// The least value of a field: Min{&Reading::celsius}.
template <class T, class V>
struct Min {
  constexpr explicit Min(V T::* f) : field(f) {}
  V T::* field;
  using Accumulator = internal::Extreme<V>;
  void Add(Accumulator& acc, const T& record) const
    requires internal::Ordered<V>
  {
    if (!acc.set || record.*field < acc.value) acc = {record.*field, true};
  }
  void Merge(Accumulator& into, const Accumulator& later) const {
    if (later.set && (!into.set || later.value < into.value)) into = later;
  }
  V Result(const Accumulator& acc) const { return acc.value; }
};

// The greatest value of a field.
template <class T, class V>
struct Max {
  constexpr explicit Max(V T::* f) : field(f) {}
  V T::* field;
  using Accumulator = internal::Extreme<V>;
  void Add(Accumulator& acc, const T& record) const
    requires internal::Ordered<V>
  {
    if (!acc.set || acc.value < record.*field) acc = {record.*field, true};
  }
  void Merge(Accumulator& into, const Accumulator& later) const {
    if (later.set && (!into.set || into.value < later.value)) into = later;
  }
  V Result(const Accumulator& acc) const { return acc.value; }
};

// The mean of a field, as double.
template <class T, class V>
struct Avg {
  constexpr explicit Avg(V T::* f) : field(f) {}
  V T::* field;
  struct Accumulator {
    internal::SumOf<V> sum{};
    std::int64_t count = 0;
  };
  void Add(Accumulator& acc, const T& record) const
    requires internal::Number<V>
  {
    acc.sum += static_cast<internal::SumOf<V>>(record.*field);
    ++acc.count;
  }
  void Merge(Accumulator& into, const Accumulator& later) const {
    into.sum += later.sum;
    into.count += later.count;
  }
  void Retract(Accumulator& from, const Accumulator& part) const
    requires std::is_integral_v<V>
  {
    from.sum -= part.sum;
    from.count -= part.count;
  }
  double Result(const Accumulator& acc) const {
    return acc.count == 0 ? 0.0 : static_cast<double>(acc.sum) / static_cast<double>(acc.count);
  }
};

// Several aggregators over the same records at once: Combine{Count(), Avg{&Order::amount}} has the
// result std::tuple<std::int64_t, double>. A function that makes a record of it is the third
// argument of a window's Aggregate.
template <class... A>
struct Combine {
  static_assert(sizeof...(A) > 0, "Combine{...} needs at least one aggregator");
  constexpr explicit Combine(A... a) : parts(std::move(a)...) {}
  std::tuple<A...> parts;
  using Accumulator = std::tuple<typename A::Accumulator...>;
  template <class T>
    requires(Aggregator<A, T> && ...)
  void Add(Accumulator& acc, const T& record) const {
    Each([&](auto i) { std::get<i>(parts).Add(std::get<i>(acc), record); });
  }
  void Merge(Accumulator& into, const Accumulator& later) const {
    Each([&](auto i) { std::get<i>(parts).Merge(std::get<i>(into), std::get<i>(later)); });
  }
  void Retract(Accumulator& from, const Accumulator& part) const
    requires(Retractable<A> && ...)
  {
    Each([&](auto i) { std::get<i>(parts).Retract(std::get<i>(from), std::get<i>(part)); });
  }
  std::tuple<AggregateResult<A>...> Result(const Accumulator& acc) const {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return std::tuple<AggregateResult<A>...>(std::get<I>(parts).Result(std::get<I>(acc))...);
    }(std::index_sequence_for<A...>());
  }

 private:
  // Calls f with the index of each part, as an integral constant.
  template <class F>
  static void Each(F f) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (f(std::integral_constant<std::size_t, I>()), ...);
    }(std::index_sequence_for<A...>());
  }
};

// ---- What aggregations put out.

// Of a window.
template <class K, class V>
struct WindowResult {
  K key;
  EventTime start;
  // Exclusive.
  EventTime end;
  V value;
};

// In the place of a key where there is none: all records of a stream.
struct AllRecords {
  friend bool operator==(const AllRecords&, const AllRecords&) = default;
};
template <class V>
struct WindowResult<AllRecords, V> {
  EventTime start;
  // Exclusive.
  EventTime end;
  V value;
};

namespace internal {

struct ToAllRecords {
  template <class T>
  AllRecords operator()(const T&) const {
    return {};
  }
};

// A WindowResult of the key or, for all records, without one.
template <class Out, class K, class Window, class V>
Out MakeWindowResult(const K& key, const Window& window, V&& value) {
  if constexpr (std::is_same_v<K, AllRecords>) {
    return Out{window.start, window.end, std::forward<V>(value)};
  } else {
    return Out{key, window.start, window.end, std::forward<V>(value)};
  }
}

}  // namespace internal

// Of a running aggregation, one for each record.
template <class K, class V>
struct KeyedResult {
  K key;
  V value;
};

}  // namespace weir
