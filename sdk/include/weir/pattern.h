#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "weir/pattern_automaton.h"
#include "weir/pattern_steps.h"
#include "weir/time.h"
#include "weir/usage_error.h"

namespace weir {

namespace internal {
template <class T>
class PatternMatcher;
}  // namespace internal

// What a pattern has taken so far, or all of it: the events by step, each in the order in which
// they came. Valid while the function is called that is given it.
template <class T>
class Match {
 public:
  // The events of a step; none if it was left out.
  std::vector<const T*> All(std::string_view step) const {
    std::vector<const T*> events;
    ForEach(step, [&](const T& event) { events.push_back(&event); });
    return events;
  }
  template <std::invocable<const T&> F>
  void ForEach(std::string_view step, F&& f) const {
    for (const Entry& entry : entries_) {
      if ((*names_)[entry.step] == step) f(*entry.event);
    }
  }
  std::size_t Count(std::string_view step) const {
    std::size_t count = 0;
    ForEach(step, [&](const T&) { ++count; });
    return count;
  }
  bool Has(std::string_view step) const { return Count(step) > 0; }
  // Null if the step has no event.
  const T* First(std::string_view step) const {
    for (const Entry& entry : entries_) {
      if ((*names_)[entry.step] == step) return entry.event;
    }
    return nullptr;
  }
  const T* Last(std::string_view step) const {
    const T* last = nullptr;
    ForEach(step, [&](const T& event) { last = &event; });
    return last;
  }
  // All events and the names of their steps, in the order in which they were taken.
  std::size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  const T& event(std::size_t i) const { return *entries_[i].event; }
  EventTime time(std::size_t i) const { return EventTime::FromTicks(entries_[i].time); }
  const std::string& step(std::size_t i) const { return (*names_)[entries_[i].step]; }

 private:
  friend class internal::PatternMatcher<T>;
  struct Entry {
    const T* event;
    Ticks time;
    std::uint64_t number;
    std::uint32_t step;
  };
  std::vector<Entry> entries_;
  const std::vector<std::string>* names_ = nullptr;
};

namespace internal {

// A condition of the user's on one event, or on one event and those taken before it.
template <class T>
struct PatternPredicate {
  std::function<bool(const T&)> simple;
  std::function<bool(const T&, const Match<T>&)> iterative;
};

template <class F, class T>
concept PatternCondition = std::is_invocable_r_v<bool, const F&, const T&> ||
                           std::is_invocable_r_v<bool, const F&, const T&, const Match<T>&>;

template <class T, class F>
ConditionPtr MakeCondition(F f) {
  auto predicate = std::make_shared<PatternPredicate<T>>();
  if constexpr (std::is_invocable_r_v<bool, const F&, const T&>) {
    predicate->simple = std::move(f);
  } else {
    predicate->iterative = std::move(f);
  }
  return std::make_shared<const Condition>(
      Condition{Condition::Kind::kPredicate, std::move(predicate), nullptr, nullptr});
}

}  // namespace internal

// Where the search goes on after a match (semantics rule 40).
struct AfterMatch {
  internal::SkipTo to = internal::SkipTo::kNoSkip;
  std::string step;

  // All matches, those that overlap as well.
  static AfterMatch NoSkip() { return {}; }
  // No other match that starts with the same event.
  static AfterMatch SkipToNext() { return {internal::SkipTo::kNext, {}}; }
  // None that starts before the end of the match.
  static AfterMatch SkipPastLastEvent() { return {internal::SkipTo::kPastLastEvent, {}}; }
  // None that starts before the first, or the last, event of a step. Nothing is skipped if the
  // match has none.
  static AfterMatch SkipToFirst(std::string step) {
    return {internal::SkipTo::kFirst, std::move(step)};
  }
  static AfterMatch SkipToLast(std::string step) {
    return {internal::SkipTo::kLast, std::move(step)};
  }
};

// What KeyedStream::Match looks for: steps, of which each takes events, one after the other.
//   auto failed_twice = weir::Pattern<Login>::Begin("failed").Where(&Login::failed).Times(2)
//                           .FollowedBy("in").Where([](const Login& l) { return !l.failed; })
//                           .Within(10min);
// Every call but Within and After is about the last step. What cannot be is refused when the job is
// defined. Conditions are called in any order and any number of times; they must depend on nothing
// else.
template <class T>
class Pattern {
 public:
  using Record = T;

  // A pattern of one step, that takes one event.
  static Pattern Begin(std::string step) {
    Pattern pattern;
    pattern.Add(std::move(step), internal::Contiguity::kStrict);
    return pattern;
  }
  // One whose first step are all steps of `group`.
  static Pattern Begin(const Pattern& group) {
    Pattern pattern;
    pattern.Add(group, internal::Contiguity::kStrict);
    return pattern;
  }

  // The event after the one before.
  Pattern Next(std::string step) const {
    return With(std::move(step), internal::Contiguity::kStrict);
  }
  Pattern Next(const Pattern& group) const { return With(group, internal::Contiguity::kStrict); }
  // The next event that fits.
  Pattern FollowedBy(std::string step) const {
    return With(std::move(step), internal::Contiguity::kRelaxed);
  }
  Pattern FollowedBy(const Pattern& group) const {
    return With(group, internal::Contiguity::kRelaxed);
  }
  // Any later event that fits: each gives a match.
  Pattern FollowedByAny(std::string step) const {
    return With(std::move(step), internal::Contiguity::kRelaxedAny);
  }
  Pattern FollowedByAny(const Pattern& group) const {
    return With(group, internal::Contiguity::kRelaxedAny);
  }
  // The event after the one before does not fit.
  Pattern NotNext(std::string step) const {
    return With(std::move(step), internal::Contiguity::kNotNext);
  }
  // No event that fits comes before the next step, or before the time of Within is over.
  Pattern NotFollowedBy(std::string step) const {
    return With(std::move(step), internal::Contiguity::kNotFollowedBy);
  }

  // What an event of the step must be: f(event), or f(event, match) with what was taken so far.
  // Several must all hold. A step without takes any event.
  template <internal::PatternCondition<T> F>
  Pattern Where(F f) const {
    return Change([&](internal::PatternStep& step) {
      step.condition =
          internal::And(std::move(step.condition), internal::MakeCondition<T>(std::move(f)));
    });
  }
  // Or: all that was said before.
  template <internal::PatternCondition<T> F>
  Pattern OrWhere(F f) const {
    return Change([&](internal::PatternStep& step) {
      ConditionPtr condition = internal::MakeCondition<T>(std::move(f));
      step.condition = step.condition == nullptr
                           ? std::move(condition)
                           : internal::Either(std::move(step.condition), std::move(condition));
    });
  }
  template <class F>
    requires(!internal::PatternCondition<F, T>)
  WEIR_USAGE_ERROR(
      "Where(f): f must take (const T& event) or (const T& event, const weir::Match<T>& match), "
      "where T is the pattern's record type, and return bool")
  Pattern Where(const F&) const {
    return *this;
  }

  // May be left out.
  Pattern Optional() const {
    return Change([](internal::PatternStep& step) { step.optional = true; });
  }
  // Takes any number of events, at least one. Relaxed: events that do not fit lie between.
  Pattern OneOrMore() const { return TimesOrMore(1); }
  Pattern TimesOrMore(std::uint32_t from) const { return Repeat(from, from, true); }
  Pattern Times(std::uint32_t n) const { return Repeat(n, n, false); }
  // With `from` 0 the step is optional.
  Pattern Times(std::uint32_t from, std::uint32_t to) const {
    if (from == 0 && to > 0) return Repeat(1, to, false).Optional();
    return Repeat(from, to, false);
  }
  // Of a repeated step: takes as many events as it can.
  Pattern Greedy() const {
    return Change([](internal::PatternStep& step) { step.greedy = true; });
  }
  // Of a repeated step: nothing lies between its events.
  Pattern Consecutive() const {
    return Change([](internal::PatternStep& step) { step.inner = internal::Contiguity::kStrict; });
  }
  // Of a repeated step: its events are any of those that fit.
  Pattern AllowCombinations() const {
    return Change(
        [](internal::PatternStep& step) { step.inner = internal::Contiguity::kRelaxedAny; });
  }
  // Of OneOrMore and TimesOrMore: an event for which this holds ends the loop, and is not of it.
  template <internal::PatternCondition<T> F>
  Pattern Until(F f) const {
    return Change([&](internal::PatternStep& step) {
      step.until = internal::MakeCondition<T>(std::move(f));
    });
  }
  // The step takes its event less than `limit` after the one before. Of no effect on a repeated
  // step (so it is in Flink).
  Pattern WithinPrevious(Duration limit) const {
    return Change([&](internal::PatternStep& step) {
      step.within_previous = limit.count() > 0 ? limit.count() : -1;
    });
  }

  // The last event of a match comes less than `limit` after the first one (semantics rule 37).
  Pattern Within(Duration limit) const {
    Pattern copy = *this;
    copy.definition_.within = limit.count() > 0 ? limit.count() : -1;
    return copy;
  }
  Pattern After(AfterMatch skip) const {
    Pattern copy = *this;
    copy.definition_.skip = skip.to;
    copy.definition_.skip_step = std::move(skip.step);
    return copy;
  }

  // For the operator.
  const internal::PatternDefinition& definition() const { return definition_; }

 private:
  using ConditionPtr = internal::ConditionPtr;

  void Add(std::string name, internal::Contiguity contiguity) {
    internal::PatternStep step;
    step.name = std::move(name);
    step.contiguity = contiguity;
    definition_.steps.push_back(std::move(step));
  }
  void Add(const Pattern& group, internal::Contiguity contiguity) {
    internal::PatternStep step;
    step.contiguity = contiguity;
    step.group = group.definition_.steps;
    // The shortest limit counts.
    const Ticks within = group.definition_.within;
    if (within != 0 && (definition_.within == 0 || within < definition_.within))
      definition_.within = within;
    definition_.steps.push_back(std::move(step));
  }
  template <class Step>
  Pattern With(Step&& step, internal::Contiguity contiguity) const {
    Pattern copy = *this;
    copy.Add(std::forward<Step>(step), contiguity);
    return copy;
  }
  template <class F>
  Pattern Change(F&& f) const {
    Pattern copy = *this;
    f(copy.definition_.steps.back());
    return copy;
  }
  Pattern Repeat(std::uint32_t from, std::uint32_t to, bool endless) const {
    return Change([&](internal::PatternStep& step) {
      step.repeated = true;
      step.endless = endless;
      step.from = from;
      step.to = to;
    });
  }

  internal::PatternDefinition definition_;
};

}  // namespace weir
