#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "weir/pattern.h"
#include "weir/pattern_automaton.h"
#include "weir/pattern_matches.h"

namespace weir::internal {

// Feeds the events of one key after the other, in the order of their times, to a pattern's states
// (semantics rules 37 to 40). One object a subtask; what a key has is given with each call.
template <class T>
class PatternMatcher {
 public:
  explicit PatternMatcher(const PatternDefinition& pattern)
      : automaton_(CompilePattern(pattern)), skip_(pattern.skip) {
    for (const PatternState& state : automaton_.states) {
      for (const PatternTransition& transition : state.transitions) {
        compiled_.push_back({transition.action, transition.target, Compile(transition.condition)});
      }
      first_.push_back(compiled_.size() - state.transitions.size());
    }
    first_.push_back(compiled_.size());
    verdicts_.resize(terms_.size());
    for (std::uint32_t state = 0; state < automaton_.states.size(); ++state)
      edges_.push_back({.same = AsksOfEventAlone(state)});
    times_out_ = automaton_.within > 0 ||
                 std::any_of(automaton_.states.begin(), automaton_.states.end(),
                             [](const PatternState& state) { return state.within_previous > 0; });
    const auto step =
        std::find(automaton_.names.begin(), automaton_.names.end(), pattern.skip_step);
    skip_step_ = static_cast<std::uint32_t>(step - automaton_.names.begin());
    match_.names_ = &automaton_.names;
    so_far_.names_ = &automaton_.names;
  }
  PatternMatcher(const PatternMatcher&) = delete;
  PatternMatcher& operator=(const PatternMatcher&) = delete;

  const PatternAutomaton& automaton() const { return automaton_; }

  // `found(match)` for each match that the event completes.
  template <class Found>
  void Process(KeyMatches<T>& key, T record, Ticks time, Found&& found) {
    at_work_.reset();
    Begin(key);
    const std::uint32_t event = key.events.Add(std::move(record), time, key.next_number++);
    at_work_ = event;
    std::fill(verdicts_.begin(), verdicts_.end(), Verdict::kUnknown);
    ++asked_;
    // As long as each stays one, and so the order as it is, they are changed where they are.
    std::size_t stayed = 0;
    while (stayed < key.partial.size() && StaysOne(key, key.partial[stayed], event, time)) ++stayed;
    rest_.clear();
    key.partial.MoveFrom(stayed, rest_);
    bool started = false;
    for (PartialMatch& match : rest_) {
      // Of the first it is known.
      if (&match != rest_.data() && StaysOne(key, match, event, time)) {
        key.partial.Add(match);
      } else {
        started |= Step(key, match, event, time);
      }
    }
    if (started && automaton_.within > 0) {
      const Ticks timeout = time + automaton_.within;
      if (key.timeouts.empty() || key.timeouts.back() < timeout) key.timeouts.push_back(timeout);
    }
    Report(key, found);
    ReleaseGivenUp(key, event);
  }

  // The record that Process was given last, if that has thrown; null: it is not known.
  const T* AtWork(const KeyMatches<T>& key) const {
    return at_work_.has_value() ? &key.events[*at_work_].record : nullptr;
  }

  // The time has come to `now`: `timed_out(match, time)` for each partial match whose time is over,
  // `found(match)` for each that is complete by that.
  template <class Found, class TimedOut>
  void Advance(KeyMatches<T>& key, Ticks now, Found&& found, TimedOut&& timed_out) {
    Begin(key);
    bool any = false;
    if (times_out_) {
      for (const PartialMatch& match : key.partial) any = any || TimeoutOf(match, now) != kMinTicks;
    }
    if (any) {
      std::vector<std::pair<PartialMatch, Ticks>> over;
      rest_.clear();
      key.partial.MoveFrom(0, rest_);
      for (const PartialMatch& match : rest_) {
        const Ticks timeout = TimeoutOf(match, now);
        if (timeout == kMinTicks) {
          key.partial.Add(match);
        } else if (automaton_.states[match.state].kind == PatternState::Kind::kPending) {
          key.complete.Add(match);
        } else {
          over.emplace_back(match, timeout);
        }
      }
      Report(key, found);
      for (const auto& [match, timeout] : over) {
        Collect(key, match.node, match_);
        timed_out(std::as_const(match_), timeout);
        given_up_.push_back(match.node);
      }
      ReleaseGivenUp(key, kNoIndex);
    }
    if (!key.timeouts.empty())
      std::erase_if(key.timeouts, [&](Ticks timeout) { return timeout <= now; });
  }

  // Gives up the partial matches that began first, until `most` are left. Returns how many.
  std::size_t DropOldest(KeyMatches<T>& key, std::size_t most) {
    std::size_t dropped = 0;
    while (key.partial.size() > most + 1) {
      key.Release(key.partial.Pop().node);
      ++dropped;
    }
    return dropped;
  }

 private:
  enum class Verdict : std::uint8_t { kUnknown, kNo, kYes };
  struct Transition {
    PatternAction action;
    std::uint32_t target;
    // Index into terms_, or kAlways.
    std::int32_t condition;
  };
  struct Term {
    Condition::Kind kind;
    std::int32_t left;
    std::int32_t right;
    // It asks of the event alone: the same for all partial matches.
    bool simple;
  };
  struct Edge {
    std::uint32_t source;
    PatternAction action;
    std::uint32_t target;
  };
  // What an event makes of a partial match: itself, the one in the state that its only edge leads
  // to, or something else.
  enum class Becomes : std::uint8_t { kSame, kNext, kOther };
  // The transitions that an event takes from a state, those behind proceeding ones as well.
  struct Edges {
    // They ask of the event alone: the same for all partial matches.
    bool same;
    Becomes becomes = Becomes::kOther;
    // The value of asked_ when they were found, if they are the same.
    std::uint64_t found = 0;
    std::vector<Edge> edges = {};
  };
  static constexpr std::int32_t kAlways = -1;

  // ---- Conditions.

  std::int32_t Compile(const ConditionPtr& condition) {
    if (condition == nullptr) return kAlways;
    if (const auto done = compiled_conditions_.find(condition); done != compiled_conditions_.end())
      return done->second;
    Term term{condition->kind, kAlways, kAlways, true};
    const auto is_simple = [this](std::int32_t of) {
      return of == kAlways || terms_[static_cast<std::size_t>(of)].simple;
    };
    if (condition->kind == Condition::Kind::kPredicate) {
      term.left = static_cast<std::int32_t>(predicates_.size());
      predicates_.push_back(
          std::static_pointer_cast<const PatternPredicate<T>>(condition->predicate));
      term.simple = predicates_.back()->simple != nullptr;
    } else {
      term.left = Compile(condition->left);
      term.right = condition->right != nullptr ? Compile(condition->right) : kAlways;
      term.simple = is_simple(term.left) && is_simple(term.right);
    }
    terms_.push_back(term);
    const auto index = static_cast<std::int32_t>(terms_.size() - 1);
    compiled_conditions_.emplace(condition, index);
    return index;
  }

  bool Holds(std::int32_t condition, KeyMatches<T>& key, const PartialMatch& match,
             std::uint32_t event) {
    if (condition == kAlways) return true;
    const Verdict known = verdicts_[static_cast<std::size_t>(condition)];
    return known != Verdict::kUnknown ? known == Verdict::kYes
                                      : Evaluate(condition, key, match, event);
  }
  [[gnu::noinline]] bool Evaluate(std::int32_t condition, KeyMatches<T>& key,
                                  const PartialMatch& match, std::uint32_t event) {
    const Term& term = terms_[static_cast<std::size_t>(condition)];
    const bool holds = Ask(term, key, match, event);
    if (term.simple)
      verdicts_[static_cast<std::size_t>(condition)] = holds ? Verdict::kYes : Verdict::kNo;
    return holds;
  }
  bool Ask(const Term& term, KeyMatches<T>& key, const PartialMatch& match, std::uint32_t event) {
    switch (term.kind) {
      case Condition::Kind::kNot:
        return !Holds(term.left, key, match, event);
      case Condition::Kind::kAnd:
        return Holds(term.left, key, match, event) && Holds(term.right, key, match, event);
      case Condition::Kind::kOr:
        return Holds(term.left, key, match, event) || Holds(term.right, key, match, event);
      case Condition::Kind::kPredicate:
        break;
    }
    const PatternPredicate<T>& predicate = *predicates_[static_cast<std::size_t>(term.left)];
    const T& record = key.events[event].record;
    if (predicate.simple) return predicate.simple(record);
    if (!so_far_known_) {
      Collect(key, match.node, so_far_);
      so_far_known_ = true;
    }
    return predicate.iterative(record, std::as_const(so_far_));
  }

  // ---- Events.

  void Begin(KeyMatches<T>& key) {
    if (key.partial.empty()) key.partial.Add(PartialMatch{.state = automaton_.start});
  }
  bool IsBegin(const PartialMatch& match) const { return match.state == automaton_.start; }

  // Finds the match's edges. If it becomes one that began as it did, makes it that.
  bool StaysOne(KeyMatches<T>& key, PartialMatch& match, std::uint32_t event, Ticks time) {
    so_far_known_ = false;
    Edges& found = edges_[match.state];
    if (found.found != asked_) FindEdges(key, match, event, found);
    if (found.becomes == Becomes::kSame) return true;
    if (found.becomes == Becomes::kOther) return false;
    const Edge& edge = found.edges.front();
    match.node = key.Append(match.node, event, automaton_.states[edge.source].name);
    match.state = edge.target;
    match.previous = time;
    return true;
  }

  // What becomes of a partial match whose edges were found; returns whether it has begun.
  bool Step(KeyMatches<T>& key, const PartialMatch& match, std::uint32_t event, Ticks time) {
    const std::vector<Edge>& edges = edges_[match.state].edges;
    next_.clear();
    bool started = false;
    bool stopped = false;
    for (const Edge& edge : edges) {
      // The last one goes on with the match's own reference.
      const bool last = &edge == &edges.back();
      PartialMatch next = match;
      next.state = edge.target;
      if (edge.action == PatternAction::kIgnore) {
        if (IsBegin(match)) continue;
        if (!last) key.Reference(next.node);
        Add(key, next, stopped);
        continue;
      }
      if (!last) key.Reference(match.node);
      next.node = key.Append(match.node, event, automaton_.states[edge.source].name);
      if (IsBegin(match)) {
        next.start = time;
        next.first = key.events[event].number;
        // Flink sets no timer for what begins at time 0 or before.
        started = started || time > 0;
      }
      next.previous = time;
      // If what follows may be left out, it is complete too.
      const std::uint32_t end = FinalAfter(key, match, event, next.state);
      if (end != kNoIndex) key.Reference(next.node);
      Add(key, next, stopped);
      if (end != kNoIndex) {
        next.state = end;
        Add(key, next, stopped);
      }
    }
    if (IsBegin(match)) next_.push_back(match);
    if (stopped) {
      for (const PartialMatch& next : next_) key.Release(next.node);
    } else {
      for (const PartialMatch& next : next_) key.partial.Add(next);
    }
    if (edges.empty()) key.Release(match.node);
    return started;
  }

  void Add(KeyMatches<T>& key, const PartialMatch& next, bool& stopped) {
    switch (automaton_.states[next.state].kind) {
      case PatternState::Kind::kFinal:
        key.complete.Add(next);
        break;
      case PatternState::Kind::kStop:
        stopped = true;
        key.Release(next.node);
        break;
      case PatternState::Kind::kNormal:
      case PatternState::Kind::kPending:
        next_.push_back(next);
        break;
    }
  }

  // What a match becomes whose edges were found.
  Becomes AfterEdges(KeyMatches<T>& key, const PartialMatch& match, std::uint32_t event,
                     const std::vector<Edge>& edges) {
    if (IsBegin(match)) return edges.empty() ? Becomes::kSame : Becomes::kOther;
    if (edges.size() != 1) return Becomes::kOther;
    const Edge& edge = edges.front();
    if (edge.action == PatternAction::kIgnore)
      return edge.target == match.state ? Becomes::kSame : Becomes::kOther;
    const PatternState::Kind kind = automaton_.states[edge.target].kind;
    const bool goes_on =
        kind == PatternState::Kind::kNormal || kind == PatternState::Kind::kPending;
    return goes_on && edges_[edge.target].same &&
                   FinalAfter(key, match, event, edge.target) == kNoIndex
               ? Becomes::kNext
               : Becomes::kOther;
  }

  // Whether the transitions of a state, and those behind proceeding ones, are the same for all
  // partial matches.
  bool AsksOfEventAlone(std::uint32_t state) const {
    std::vector<std::uint32_t> seen{state};
    for (std::size_t i = 0; i < seen.size(); ++i) {
      for (const Transition& transition : From(seen[i])) {
        if (transition.condition != kAlways &&
            !terms_[static_cast<std::size_t>(transition.condition)].simple) {
          return false;
        }
        if (transition.action == PatternAction::kProceed &&
            std::find(seen.begin(), seen.end(), transition.target) == seen.end()) {
          seen.push_back(transition.target);
        }
      }
    }
    return true;
  }

  [[gnu::noinline]] void FindEdges(KeyMatches<T>& key, const PartialMatch& match,
                                   std::uint32_t event, Edges& into) {
    into.edges.clear();
    Follow(key, match, event, into.edges);
    into.becomes = AfterEdges(key, match, event, into.edges);
    if (into.same) into.found = asked_;
  }
  void Follow(KeyMatches<T>& key, const PartialMatch& match, std::uint32_t event,
              std::vector<Edge>& edges) {
    open_.clear();
    std::uint32_t state = match.state;
    for (;;) {
      for (const Transition& transition : From(state)) {
        if (!Holds(transition.condition, key, match, event)) continue;
        if (transition.action == PatternAction::kProceed) {
          open_.push_back(transition.target);
        } else {
          edges.push_back({state, transition.action, transition.target});
        }
      }
      if (open_.empty()) return;
      state = open_.back();
      open_.pop_back();
    }
  }
  // The final state, if proceeding transitions lead to it.
  std::uint32_t FinalAfter(KeyMatches<T>& key, const PartialMatch& match, std::uint32_t event,
                           std::uint32_t from) {
    open_.clear();
    for (;;) {
      for (const Transition& transition : From(from)) {
        if (transition.action != PatternAction::kProceed) continue;
        if (!Holds(transition.condition, key, match, event)) continue;
        if (automaton_.states[transition.target].kind == PatternState::Kind::kFinal)
          return transition.target;
        open_.push_back(transition.target);
      }
      if (open_.empty()) return kNoIndex;
      from = open_.back();
      open_.pop_back();
    }
  }
  std::span<const Transition> From(std::uint32_t state) const {
    return {compiled_.data() + first_[state], compiled_.data() + first_[state + 1]};
  }

  // When the match's time was over, if it is; else kMinTicks. Times wrap around as in Java, which
  // shows with times before 0 at the end of the input.
  Ticks TimeoutOf(const PartialMatch& match, Ticks now) const {
    if (IsBegin(match)) return kMinTicks;
    const auto since = [now](Ticks time) {
      return static_cast<Ticks>(static_cast<std::uint64_t>(now) - static_cast<std::uint64_t>(time));
    };
    const Ticks limit = automaton_.states[match.state].within_previous;
    if (limit > 0 && since(match.previous) >= limit) return match.previous + limit;
    if (automaton_.within > 0 && since(match.start) >= automaton_.within)
      return match.start + automaton_.within;
    return kMinTicks;
  }

  // ---- Matches.

  void Collect(const KeyMatches<T>& key, std::uint32_t node, Match<T>& into) const {
    into.entries_.clear();
    for (; node != kNoIndex; node = key.nodes[node].previous) {
      const auto& event = key.events[key.nodes[node].event];
      into.entries_.push_back({&event.record, event.time, event.number, key.nodes[node].step});
    }
    std::reverse(into.entries_.begin(), into.entries_.end());
  }

  template <class Found>
  void Report(KeyMatches<T>& key, Found& found) {
    while (!key.complete.empty()) {
      if (skip_ != SkipTo::kNoSkip && !key.partial.empty() &&
          key.partial.Top().first < key.complete.Top().first) {
        return;
      }
      const PartialMatch match = key.complete.Pop();
      Collect(key, match.node, match_);
      if (skip_ != SkipTo::kNoSkip) Skip(key);
      found(std::as_const(match_));
      given_up_.push_back(match.node);
    }
  }

  // Lets go of what given_up_ has held, and of the event that was worked on (kNoIndex: none). When
  // nothing else is held, all goes at once.
  void ReleaseGivenUp(KeyMatches<T>& key, std::uint32_t event) {
    if (!given_up_.empty() && key.complete.empty() && key.partial.size() == 1 &&
        IsBegin(key.partial.Top())) {
      key.events.Clear();
      key.nodes.Clear();
    } else {
      for (const std::uint32_t node : given_up_) key.Release(node);
      if (event != kNoIndex && key.events.Release(event)) key.events.Free(event);
    }
    given_up_.clear();
  }

  // Gives up what the match that was found rules out.
  void Skip(KeyMatches<T>& key) {
    // What begins before the event `end`, or with it if `with_end`.
    std::uint64_t end = 0;
    bool any = false;
    const bool with_end = skip_ == SkipTo::kNext || skip_ == SkipTo::kPastLastEvent;
    for (const auto& entry : match_.entries_) {
      if (!with_end && entry.step != skip_step_) continue;
      end = entry.number;
      any = true;
      if (skip_ == SkipTo::kNext || skip_ == SkipTo::kFirst) break;
    }
    if (!any) return;
    const auto ruled_out = [&](const PartialMatch& match) {
      if (IsBegin(match) || !(with_end ? match.first <= end : match.first < end)) return false;
      given_up_.push_back(match.node);
      return true;
    };
    key.partial.RemoveIf(ruled_out);
    key.complete.RemoveIf(ruled_out);
  }

  const PatternAutomaton automaton_;
  const SkipTo skip_;
  // Of the key whose event is worked on.
  std::optional<std::uint32_t> at_work_;
  std::uint32_t skip_step_ = 0;
  // Partial matches may time out.
  bool times_out_ = false;
  // The transitions of all states, those of state i from first_[i] to first_[i + 1].
  std::vector<Transition> compiled_;
  std::vector<std::size_t> first_;
  std::vector<Term> terms_;
  std::vector<std::shared_ptr<const PatternPredicate<T>>> predicates_;
  std::map<ConditionPtr, std::int32_t> compiled_conditions_;

  // Of the current event, those of the simple terms.
  std::vector<Verdict> verdicts_;
  // Of the current partial match.
  Match<T> so_far_;
  bool so_far_known_ = false;
  // Of each state.
  std::vector<Edges> edges_;
  // How many events were asked of.
  std::uint64_t asked_ = 0;
  std::vector<std::uint32_t> open_;
  std::vector<PartialMatch> next_;
  std::vector<PartialMatch> rest_;
  Match<T> match_;
  // The last nodes of matches that were found, ruled out or timed out.
  std::vector<std::uint32_t> given_up_;
};

}  // namespace weir::internal
