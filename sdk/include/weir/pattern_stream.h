#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "weir/keyed_stream.h"
#include "weir/pattern.h"
#include "weir/pattern_process.h"
#include "weir/side_output.h"
#include "weir/usage_error.h"

namespace weir {

namespace internal {

template <class F, class K, class T>
concept MatchFunction = std::is_invocable_v<const F&, const K&, const Match<T>&> ||
                        std::is_invocable_v<const F&, const Match<T>&>;

template <class F, class K, class T>
auto CallMatchFunction(const F& f, const K& key, const Match<T>& match) {
  if constexpr (std::is_invocable_v<const F&, const K&, const Match<T>&>) {
    return std::invoke(f, key, match);
  } else {
    return std::invoke(f, match);
  }
}
template <class F, class K, class T>
using MatchResult = decltype(CallMatchFunction(std::declval<const F&>(), std::declval<const K&>(),
                                               std::declval<const Match<T>&>()));

// Whether these can be the arguments of PatternStream::Select.
template <class K, class T, class... A>
inline constexpr bool kSelects = false;
template <class K, class T, class Uid, class F>
inline constexpr bool kSelects<K, T, Uid, F> = MatchFunction<F, K, T>;
template <class K, class T, class Uid, class F, class U, class G>
inline constexpr bool kSelects<K, T, Uid, F, SideOutput<U>, G> =
    MatchFunction<F, K, T> && MatchFunction<G, K, T>;

template <class P, class K, class T>
concept PatternProcessOf =
    requires { requires std::derived_from<P, PatternProcess<K, T, typename P::Out>>; };

#define WEIR_MATCH_FUNCTION                                                                     \
  "Select(uid, f): f must take (const weir::Match<T>& match) or (const Key& key, const "        \
  "weir::Match<T>& match), where T is the stream's record type, and return a record; after it " \
  "may come a side output and such a function for what timed out"

}  // namespace internal

// A keyed stream and the pattern that is looked for in the events of each key; say what becomes of
// late events and how many partial matches there may be, then what is put out.
template <class T, class F>
class PatternStream {
 public:
  using Key = internal::KeyOf<F, T>;

  PatternStream(internal::KeyedUpstream<T, F> keyed, internal::PatternPlan<T> plan)
      : keyed_(std::move(keyed)), plan_(std::move(plan)) {}

  // Events of one time are taken in this order: less(a, b). Else in the order in which they came.
  template <class Less>
    requires std::is_invocable_r_v<bool, const Less&, const T&, const T&>
  PatternStream OrderBy(Less less) const {
    PatternStream copy = *this;
    copy.plan_.less = std::move(less);
    return copy;
  }
  // Events that the watermark has passed go to this side output instead of being dropped and
  // counted.
  PatternStream SideOutputLate(const SideOutput<T>& tag) const {
    PatternStream copy = *this;
    copy.plan_.late_tag = tag.name;
    return copy;
  }
  // A pattern whose steps any number of events may lie between has partial matches without end
  // unless Within ends them. No key may have more than `most`, and what is done if one would. By
  // default 100,000, and the job fails.
  PatternStream LimitPartialMatches(
      std::size_t most, AtPartialMatchLimit at_limit = AtPartialMatchLimit::kFail) const {
    PatternStream copy = *this;
    copy.plan_.limit = most;
    copy.plan_.at_limit = at_limit;
    return copy;
  }

  // A record for each match.
  template <internal::MatchFunction<Key, T> Select_>
  auto Select(internal::PlacedUid uid, Select_ select) const {
    using Out = internal::MatchResult<Select_, Key, T>;
    const auto nothing = [](const Match<T>&, auto&) {};
    return AddSelect<Out>(std::move(uid), std::move(select), nothing);
  }
  // Besides: a record to the side output for each partial match whose time is over.
  template <internal::MatchFunction<Key, T> Select_, class U,
            internal::MatchFunction<Key, T> TimedOut>
  auto Select(internal::PlacedUid uid, Select_ select, SideOutput<U> tag,
              TimedOut timed_out) const {
    using Out = internal::MatchResult<Select_, Key, T>;
    return AddSelect<Out>(std::move(uid), std::move(select),
                          [tag = std::string(tag.name), timed_out = std::move(timed_out)](
                              const Match<T>& match, auto& context) {
                            context.Emit(
                                SideOutput<U>{tag.c_str()},
                                internal::CallMatchFunction(timed_out, context.key(), match));
                          });
  }
  template <class... A>
    requires(!internal::kSelects<Key, T, std::remove_cvref_t<A>...>)
  WEIR_USAGE_ERROR(WEIR_MATCH_FUNCTION)
  internal::AfterMistake Select(A&&...) const {
    return {};
  }

  // P derives from weir::PatternProcess<Key, T, Out>; `args` go to its constructor, once for each
  // subtask.
  template <internal::PatternProcessOf<Key, T> P, class... Args>
    requires internal::MadeFrom<P, Args...>
  auto Process(internal::PlacedUid uid, Args... args) const {
    return Add<P>(std::move(uid), [args...] { return std::make_unique<P>(args...); });
  }
  template <class P, class... A>
    requires(!internal::PatternProcessOf<P, Key, T>)
  WEIR_USAGE_ERROR(
      "Process<P>(uid, args...): after Match, P must derive from weir::PatternProcess<Key, T, "
      "Out>, where Key is what KeyBy's function returns and T the stream's record type")
  internal::AfterMistake Process(A&&...) const {
    return {};
  }

 private:
  template <class Out, class Select_, class TimedOut>
  auto AddSelect(internal::PlacedUid uid, Select_ select, TimedOut timed_out) const {
    using P = internal::PatternSelect<Key, T, Out, Select_, TimedOut>;
    return Add<P>(std::move(uid), [select = std::move(select), timed_out = std::move(timed_out)] {
      return std::make_unique<P>(select, timed_out);
    });
  }
  template <class P, class Make>
  auto Add(internal::PlacedUid uid, Make make) const {
    using Function = internal::PatternFunction<P>;
    if constexpr (internal::CheckBoth<T, typename P::Out>()) {
      auto plan = std::make_shared<internal::PatternPlan<T>>(plan_);
      NodeDefinition node;
      node.uid = std::move(uid.text);
      node.description = "Match";
      std::string problem = internal::PatternProblem(plan->pattern);
      if (problem.empty() && plan->limit == 0) problem = "LimitPartialMatches(0) allows no match";
      if (problem.empty()) {
        const Function prototype(plan, nullptr);
        internal::DescribeMembers(prototype.members(), uid.where, *keyed_.graph, node);
      } else {
        keyed_.graph->Error(uid.where, "operator '" + node.uid + "': " + problem);
      }
      return keyed_.template Add<typename P::Out>(
          std::move(node), uid.where,
          [key = keyed_.key, plan, make](std::shared_ptr<const internal::SidePorts> sides) {
            return std::make_unique<internal::KeyedProcessOperator<Function, F>>(
                std::make_unique<Function>(plan, make()), key, std::move(sides));
          });
    } else {
      return internal::AfterMistake();
    }
  }

  internal::KeyedUpstream<T, F> keyed_;
  internal::PatternPlan<T> plan_;
};

template <class T, class F>
auto KeyedStream<T, F>::Match(const Pattern<T>& pattern) const {
  internal::PatternPlan<T> plan;
  plan.pattern = pattern.definition();
  return PatternStream<T, F>(keyed_, std::move(plan));
}

}  // namespace weir
