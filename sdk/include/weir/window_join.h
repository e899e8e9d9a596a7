#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "weir/connected.h"
#include "weir/interval_join.h"
#include "weir/window_process.h"
#include "weir/window_stream.h"

namespace weir {

namespace internal {

// A record of one of two streams, in a window of both.
template <class A, class B>
struct EitherRecord {
  std::optional<A> left;
  std::optional<B> right;
};

// Hands the records of a window to f(key, window, lefts, rights, context).
template <class K, class A, class B, class O, class F>
class CoGroupWindow : public WindowProcess<K, EitherRecord<A, B>, O> {
 public:
  using typename WindowProcess<K, EitherRecord<A, B>, O>::Context;
  explicit CoGroupWindow(F f) : f_(std::move(f)) {}
  void OnWindow(const WindowElements<EitherRecord<A, B>>& elements, Context& context) override {
    left_.clear();
    right_.clear();
    for (const auto& element : elements) {
      if (element.left.has_value()) left_.push_back(&*element.left);
      if (element.right.has_value()) right_.push_back(&*element.right);
    }
    f_(context.key(), context.window(), left_, right_, context);
  }

 private:
  const F f_;
  std::vector<const A*> left_;
  std::vector<const B*> right_;
};

template <class P, class A, class B, class S>
class WindowJoinDriver final : public P {
 public:
  using In = A;
  using Second = B;
  using Record = EitherRecord<A, B>;
  using Context = typename P::KeyedBase::Context;

  template <class... Args>
  WindowJoinDriver(std::shared_ptr<const WindowingPlan<Record, S>> plan, EvictorPtr<Record> evictor,
                   const Args&... args)
      : P(args...),
        weir_engine_(*this, std::move(plan), ListedContents<Record>{std::move(evictor)}) {}

  void Process(const A& record, Context& context) {
    weir_engine_.Process({record, std::nullopt}, context);
  }
  void ProcessSecond(const B& record, Context& context) {
    weir_engine_.Process({std::nullopt, record}, context);
  }
  void OnTimer(const EventTimer&, Context& context) final {
    weir_engine_.template Fire<true>(context);
  }
  void OnTimer(const ProcessingTimer&, Context& context) final {
    weir_engine_.template Fire<false>(context);
  }

 private:
  WindowEngine<P, Record, ListedContents<Record>, S> weir_engine_;
};

// Calls a function of CoGroup, with the window or without.
template <class F, class K, class A, class B>
decltype(auto) CallCoGroup(const F& f, const K& key, const TimeWindow& window,
                           const std::vector<const A*>& left, const std::vector<const B*>& right) {
  if constexpr (std::is_invocable_v<const F&, const K&, const TimeWindow&,
                                    const std::vector<const A*>&, const std::vector<const B*>&>) {
    return std::invoke(f, key, window, left, right);
  } else {
    return std::invoke(f, key, left, right);
  }
}
template <class F, class K, class A, class B>
concept CoGroupFunction =
    std::is_invocable_v<const F&, const K&, const TimeWindow&, const std::vector<const A*>&,
                        const std::vector<const B*>&> ||
    std::is_invocable_v<const F&, const K&, const std::vector<const A*>&,
                        const std::vector<const B*>&>;
// What it returns: a record, or any number in an optional or a vector.
template <class R>
struct RecordsIn {
  using Record = R;
  static void Emit(R&& result, auto& context) { context.Emit(std::move(result)); }
};
template <class R>
struct RecordsIn<std::optional<R>> {
  using Record = R;
  static void Emit(std::optional<R>&& result, auto& context) {
    if (result.has_value()) context.Emit(*std::move(result));
  }
};
template <class R>
struct RecordsIn<std::vector<R>> {
  using Record = R;
  static void Emit(std::vector<R>&& result, auto& context) {
    for (R& record : result) context.Emit(std::move(record));
  }
};

#define WEIR_COGROUP_FUNCTION                                                                      \
  "CoGroup(uid, f): f must take (const Key& key, const std::vector<const A*>& left, const "        \
  "std::vector<const B*>& right), or a const weir::TimeWindow& as well after the key, where A "    \
  "and "                                                                                           \
  "B are the record types of the two streams, and return a record, or an optional or a vector of " \
  "records"

}  // namespace internal

// Two keyed streams cut into windows, of which those of one key and time are joined (semantics rule
// 30).
template <class A, class FA, class B, class FB, class S>
class WindowJoinedStreams {
 public:
  using Key = internal::KeyOf<FA, A>;
  using Record = internal::EitherRecord<A, B>;

  WindowJoinedStreams(internal::KeyedUpstreams<A, FA, B, FB> upstreams,
                      internal::WindowingPlan<Record, S> plan,
                      internal::EvictorPtr<Record> evictor = nullptr)
      : upstreams_(std::move(upstreams)), plan_(std::move(plan)), evictor_(std::move(evictor)) {}

  // When windows fire, in place of their own trigger: one that does not ask what the records are,
  // such as CountTrigger, which counts those of both streams.
  template <class Trigger_>
    requires(internal::IsPurging<Trigger_>::value || WindowTrigger<Trigger_, Record>)
  auto Trigger(Trigger_ trigger) const {
    auto made = internal::MakeTrigger<Record>(std::move(trigger));
    using S2 = typename std::remove_cvref_t<decltype(*made)>::State;
    return WindowJoinedStreams<A, FA, B, FB, S2>(upstreams_, plan_.WithTrigger(std::move(made)),
                                                 evictor_);
  }
  // Removes records of both streams before or after each firing: CountEvictor or TimeEvictor.
  template <class Evict_>
  WindowJoinedStreams Evict(Evict_ evictor) const {
    WindowJoinedStreams copy = *this;
    copy.evictor_ = internal::MakeEvictor<Record>(std::move(evictor));
    return copy;
  }

  // As in WindowedStream. A window that fires again gives all its pairs again.
  WindowJoinedStreams AllowLateness(Duration lateness) const {
    WindowJoinedStreams copy = *this;
    copy.plan_.lateness = lateness.count();
    return copy;
  }
  // More records of both streams in one window fail the job, with the key. By default ten million.
  WindowJoinedStreams LimitElements(std::size_t most) const {
    WindowJoinedStreams copy = *this;
    copy.plan_.element_limit = most;
    return copy;
  }

  // A record f(left, right) for each pair of a key and window, with the time of the window's last
  // moment.
  template <class F>
    requires std::is_invocable_v<const F&, const A&, const B&>
  auto Join(internal::PlacedUid uid, F f) const {
    return AddJoin(std::move(uid), "WindowJoin", false, false,
                   [f](const A* left, const B* right) { return std::invoke(f, *left, *right); });
  }
  // Besides: f(left, nullptr) for each left record of a window without right ones. The others
  // likewise.
  template <class F>
    requires std::is_invocable_v<const F&, const A&, const B*>
  auto LeftJoin(internal::PlacedUid uid, F f) const {
    return AddJoin(std::move(uid), "WindowLeftJoin", true, false,
                   [f](const A* left, const B* right) { return std::invoke(f, *left, right); });
  }
  template <class F>
    requires std::is_invocable_v<const F&, const A*, const B&>
  auto RightJoin(internal::PlacedUid uid, F f) const {
    return AddJoin(std::move(uid), "WindowRightJoin", false, true,
                   [f](const A* left, const B* right) { return std::invoke(f, left, *right); });
  }
  template <class F>
    requires std::is_invocable_v<const F&, const A*, const B*>
  auto FullJoin(internal::PlacedUid uid, F f) const {
    return AddJoin(std::move(uid), "WindowFullJoin", true, true, std::move(f));
  }
  // f(key, lefts, rights) or f(key, window, lefts, rights) for each key and window, with the
  // records of both as vectors of pointers; one may be empty. It returns a record, or a
  // std::optional or std::vector of them.
  template <internal::CoGroupFunction<Key, A, B> F>
  auto CoGroup(internal::PlacedUid uid, F f) const {
    using Result = std::remove_cvref_t<decltype(internal::CallCoGroup<F, Key, A, B>(
        f, std::declval<const Key&>(), std::declval<const TimeWindow&>(), {}, {}))>;
    using Records = internal::RecordsIn<Result>;
    return Add<typename Records::Record>(
        std::move(uid), "CoGroup",
        [f](const Key& key, const TimeWindow& window, const std::vector<const A*>& left,
            const std::vector<const B*>& right, auto& context) {
          Records::Emit(internal::CallCoGroup<F, Key, A, B>(f, key, window, left, right), context);
        });
  }
  template <class F>
    requires(!internal::CoGroupFunction<F, Key, A, B>)
  WEIR_USAGE_ERROR(WEIR_COGROUP_FUNCTION)
  internal::AfterMistake CoGroup(internal::PlacedUid, const F&) const {
    return {};
  }
  template <class F>
    requires(!std::is_invocable_v<const F&, const A&, const B&>)
  WEIR_USAGE_ERROR("Join(uid, f): " WEIR_JOIN_FUNCTION)
  internal::AfterMistake Join(internal::PlacedUid, const F&) const {
    return {};
  }

 private:
  template <class Join>
  auto AddJoin(internal::PlacedUid uid, const char* description, bool keeps_left, bool keeps_right,
               Join join) const {
    using Out = std::remove_cvref_t<std::invoke_result_t<const Join&, const A*, const B*>>;
    return Add<Out>(std::move(uid), description,
                    [join, keeps_left, keeps_right](
                        const Key&, const TimeWindow&, const std::vector<const A*>& lefts,
                        const std::vector<const B*>& rights, auto& context) {
                      for (const A* left : lefts) {
                        for (const B* right : rights) context.Emit(join(left, right));
                        if (rights.empty() && keeps_left)
                          context.Emit(join(left, static_cast<const B*>(nullptr)));
                      }
                      if (!lefts.empty() || !keeps_right) return;
                      for (const B* right : rights)
                        context.Emit(join(static_cast<const A*>(nullptr), right));
                    });
  }

  template <class Out, class F>
  auto Add(internal::PlacedUid uid, const char* description, F f) const {
    using P = internal::CoGroupWindow<Key, A, B, Out, F>;
    using Driver = internal::WindowJoinDriver<P, A, B, S>;
    if constexpr (CheckRecord<Out>()) {
      NodeDefinition node;
      node.uid = std::move(uid.text);
      node.description = std::string(description) + "-" + plan_.assigner->description();
      std::string problem = plan_.Problem();
      if (problem.empty() && evictor_ != nullptr) problem = evictor_->Problem();
      if (!problem.empty())
        upstreams_.first.graph->Error(uid.where, "operator '" + node.uid + "': " + problem);
      auto plan = std::make_shared<const internal::WindowingPlan<Record, S>>(plan_);
      return upstreams_.template Add<Driver>(
          std::move(node), uid.where,
          [plan, evictor = evictor_, f] { return std::make_unique<Driver>(plan, evictor, f); });
    } else {
      return internal::AfterMistake();
    }
  }

  internal::KeyedUpstreams<A, FA, B, FB> upstreams_;
  internal::WindowingPlan<Record, S> plan_;
  internal::EvictorPtr<Record> evictor_;
};

template <class T, class F>
template <class B, class FB, class Window_>
auto KeyedStream<T, F>::WindowJoin(const KeyedStream<B, FB>& other, const Window_& window) const {
  static_assert(std::is_same_v<Key, typename KeyedStream<B, FB>::Key>,
                "WindowJoin(stream, window): both streams must have keys of the same type");
  auto plan = internal::PlanOf<internal::EitherRecord<T, B>>(window);
  using S = typename std::remove_cvref_t<decltype(*plan.trigger)>::State;
  return WindowJoinedStreams<T, F, B, FB, S>({keyed_, other.upstream()}, std::move(plan));
}

}  // namespace weir
