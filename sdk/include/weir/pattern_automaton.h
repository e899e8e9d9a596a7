#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/pattern_steps.h"

namespace weir::internal {

// What a state does with an event that fulfils a transition's condition.
enum class PatternAction : std::uint8_t {
  kTake,     // the event becomes part of the match
  kIgnore,   // it does not
  kProceed,  // the target's transitions are tried with the same event
};

struct PatternTransition {
  PatternAction action = PatternAction::kTake;
  std::uint32_t target = 0;
  ConditionPtr condition;
};

struct PatternState {
  enum class Kind : std::uint8_t {
    kNormal,
    kFinal,
    kStop,     // what gets here is given up
    kPending,  // complete once its time is over
  };
  // Index into PatternAutomaton::names.
  std::uint32_t name = 0;
  Kind kind = Kind::kNormal;
  // Time since the last event, in ticks; 0: no limit.
  Ticks within_previous = 0;
  std::vector<PatternTransition> transitions;
};

// A pattern as states with transitions, in the way of Flink's pattern library, which decides what
// rules 38 to 40 of the semantics mean where steps are combined. The same pattern has the same
// states in every build: they are part of snapshots.
struct PatternAutomaton {
  std::vector<PatternState> states;
  std::uint32_t start = 0;
  Ticks within = 0;
  // Of the steps, in the order of the pattern, those of groups among them.
  std::vector<std::string> names;

  // Tells patterns with other states apart.
  std::uint64_t Fingerprint() const;
};

// Empty, or what is wrong with the pattern (semantics rule 39).
std::string PatternProblem(const PatternDefinition& pattern);
// Of a pattern without problem.
PatternAutomaton CompilePattern(const PatternDefinition& pattern);

// ---- Implementation.

inline ConditionPtr Not(ConditionPtr condition) {
  return std::make_shared<const Condition>(
      Condition{Condition::Kind::kNot, nullptr, std::move(condition), nullptr});
}
// Of conditions that are not null.
inline ConditionPtr Both(ConditionPtr a, ConditionPtr b) {
  return std::make_shared<const Condition>(
      Condition{Condition::Kind::kAnd, nullptr, std::move(a), std::move(b)});
}
inline ConditionPtr Either(ConditionPtr a, ConditionPtr b) {
  return std::make_shared<const Condition>(
      Condition{Condition::Kind::kOr, nullptr, std::move(a), std::move(b)});
}
// Of which null stands for anything.
inline ConditionPtr And(ConditionPtr a, ConditionPtr b) {
  if (a == nullptr) return b;
  return b == nullptr ? a : Both(std::move(a), std::move(b));
}
// What is never fulfilled: not (null).
inline bool IsNever(const ConditionPtr& condition) {
  return condition != nullptr && condition->kind == Condition::Kind::kNot &&
         condition->left == nullptr;
}

// Builds the states from the last step to the first: each step is built with the state that
// follows it, its sink.
class PatternCompiler {
 public:
  explicit PatternCompiler(const PatternDefinition& pattern) : pattern_(pattern) {
    AddNames(pattern.steps);
    automaton_.within = pattern.within;
  }

  PatternAutomaton Compile() {
    steps_ = &pattern_.steps;
    at_ = steps_->size() - 1;
    const std::uint32_t end = Add(PatternState::Kind::kFinal, 0, 0);
    automaton_.start = Convert(Middle(end));
    return std::move(automaton_);
  }

 private:
  using Kind = PatternState::Kind;

  // ---- Where the construction is.

  const PatternStep& step() const { return (*steps_)[at_]; }
  bool IsHeadOfGroup() const { return group_ != nullptr && at_ == 0; }
  bool IsFirstOfLoop() const {
    const auto found = first_of_loop_.find(group_);
    return found == first_of_loop_.end() || found->second;
  }
  void SetFirstOfLoop(bool first) {
    if (!step().group.empty()) first_of_loop_[&step()] = first;
  }

  void AddNames(const std::vector<PatternStep>& steps) {
    for (const PatternStep& step : steps) {
      if (!step.group.empty()) {
        AddNames(step.group);
      } else {
        automaton_.names.push_back(step.name);
      }
    }
  }
  std::uint32_t NameOf(const PatternStep& step) const {
    const auto found = std::find(automaton_.names.begin(), automaton_.names.end(), step.name);
    return static_cast<std::uint32_t>(found - automaton_.names.begin());
  }

  // ---- States and transitions.

  std::uint32_t Add(Kind kind, std::uint32_t name, Ticks within_previous) {
    automaton_.states.push_back({name, kind, within_previous, {}});
    return static_cast<std::uint32_t>(automaton_.states.size() - 1);
  }
  // Of the current step. Its own limit of time holds where it waits for its only event.
  std::uint32_t AddOfStep(Kind kind, bool waits) {
    const Ticks limit = waits && !step().repeated ? step().within_previous : 0;
    return Add(kind, NameOf(step()), limit);
  }
  void Connect(std::uint32_t from, PatternAction action, std::uint32_t to, ConditionPtr condition) {
    automaton_.states[from].transitions.push_back({action, to, std::move(condition)});
  }
  void Take(std::uint32_t from, std::uint32_t to, ConditionPtr condition) {
    Connect(from, PatternAction::kTake, to, std::move(condition));
  }
  void Ignore(std::uint32_t from, std::uint32_t to, ConditionPtr condition) {
    Connect(from, PatternAction::kIgnore, to, std::move(condition));
  }
  void Proceed(std::uint32_t from, std::uint32_t to, ConditionPtr condition) {
    Connect(from, PatternAction::kProceed, to, std::move(condition));
  }
  // One for each negated step.
  std::uint32_t StopOf(const PatternStep& negated) {
    const std::uint32_t name = NameOf(negated);
    const auto [stop, added] = stops_.try_emplace(name, 0);
    if (added) {
      stop->second = Add(Kind::kStop, name, 0);
      Take(stop->second, stop->second, TakeCondition(negated));
    }
    return stop->second;
  }
  bool IsFinal(std::uint32_t state) const { return automaton_.states[state].kind == Kind::kFinal; }

  std::uint32_t Copy(std::uint32_t state) {
    const std::uint32_t copy = Add(automaton_.states[state].kind, automaton_.states[state].name, 0);
    const std::vector<PatternTransition> transitions = automaton_.states[state].transitions;
    for (const PatternTransition& transition : transitions) {
      Connect(copy, transition.action, transition.target == state ? copy : transition.target,
              transition.condition);
    }
    return copy;
  }

  // ---- Conditions of the current step.

  // Within a group that is repeated until something comes, nothing goes on once it has come.
  ConditionPtr BeforeGroupEnds(ConditionPtr condition) const {
    if (group_ == nullptr || group_->until == nullptr) return condition;
    return And(Not(group_->until), std::move(condition));
  }
  ConditionPtr TakeCondition(const PatternStep& of) const { return BeforeGroupEnds(of.condition); }
  ConditionPtr Always() const { return BeforeGroupEnds(nullptr); }
  // Which events are passed over while the step waits for its event. Never: none.
  ConditionPtr Passes(Contiguity contiguity) const {
    ConditionPtr passes;
    if (contiguity == Contiguity::kStrict) return Not(nullptr);
    if (contiguity == Contiguity::kRelaxed) passes = Not(step().condition);
    if (IsNever(passes)) return passes;
    return BeforeGroupEnds(std::move(passes));
  }
  ConditionPtr IgnoreCondition() const {
    if (!IsHeadOfGroup()) return Passes(step().contiguity);
    return Passes(IsFirstOfLoop() ? group_->contiguity : group_->inner);
  }
  ConditionPtr InnerIgnoreCondition() const {
    const ConditionPtr passes = Passes(IsHeadOfGroup() ? group_->inner : step().inner);
    return IsNever(passes) ? passes : BeforeEnd(passes);
  }
  // What is so while the loop is not at the event that ends it.
  ConditionPtr BeforeEnd(ConditionPtr condition) const {
    return step().until == nullptr ? condition : And(Not(step().until), std::move(condition));
  }
  bool IsOptional() const {
    if (IsHeadOfGroup()) return IsFirstOfLoop() && group_->optional;
    return step().optional;
  }

  // ---- Negations.

  // The steps before this one that must not have come when it is reached: those over which
  // optional steps lead back.
  std::vector<const PatternStep*> OpenNegations() const {
    std::vector<const PatternStep*> negations;
    for (std::size_t i = at_; i > 0; --i) {
      const PatternStep& before = (*steps_)[i - 1];
      const bool negation = before.contiguity == Contiguity::kNotFollowedBy;
      if (!before.optional && !negation) break;
      if (negation) negations.push_back(&before);
    }
    return negations;
  }
  void AddStops(std::uint32_t state) {
    for (const PatternStep* negated : OpenNegations())
      Proceed(state, StopOf(*negated), TakeCondition(*negated));
  }
  void AddStopOfFollowing(std::uint32_t state) {
    if (following_ == nullptr || following_->contiguity != Contiguity::kNotFollowedBy) return;
    Proceed(state, StopOf(*following_), TakeCondition(*following_));
  }
  // Where an event that an optional step takes leads: what had to be absent before counts no more.
  std::uint32_t WithoutOpenNegations(std::uint32_t sink) {
    const std::vector<const PatternStep*> negations = OpenNegations();
    if (negations.empty() || !step().optional) return sink;
    const std::uint32_t copy = Add(automaton_.states[sink].kind, automaton_.states[sink].name, 0);
    const std::vector<PatternTransition> transitions = automaton_.states[sink].transitions;
    for (const PatternTransition& transition : transitions) {
      std::uint32_t target = transition.target;
      if (transition.action == PatternAction::kProceed) {
        if (automaton_.states[target].kind == Kind::kStop) {
          const bool open =
              std::any_of(negations.begin(), negations.end(), [&](const PatternStep* negated) {
                return NameOf(*negated) == automaton_.states[target].name;
              });
          if (open) continue;
        } else {
          target = WithoutOpenNegations(target);
        }
      } else if (target == sink) {
        target = copy;
      }
      Connect(copy, transition.action, target, transition.condition);
    }
    return copy;
  }

  // ---- Steps.

  // All steps from the current one down to the second; the first is the current one then.
  std::uint32_t Middle(std::uint32_t sink) {
    while (at_ > 0) {
      if (step().contiguity == Contiguity::kNotFollowedBy) {
        // It is in the transitions of what follows it; at the end of a pattern it waits.
        if ((step().within_previous > 0 || automaton_.within > 0) && IsFinal(sink)) {
          const std::uint32_t waiting = AddOfStep(Kind::kPending, true);
          Proceed(waiting, StopOf(step()), TakeCondition(step()));
          Ignore(waiting, waiting, Not(TakeCondition(step())));
          sink = waiting;
        }
      } else if (step().contiguity == Contiguity::kNotNext) {
        const std::uint32_t waiting = AddOfStep(Kind::kNormal, true);
        if (IsFinal(sink)) {
          Ignore(waiting, sink, Not(TakeCondition(step())));
        } else {
          Proceed(waiting, sink, Not(TakeCondition(step())));
        }
        Proceed(waiting, StopOf(step()), TakeCondition(step()));
        sink = waiting;
      } else {
        sink = Convert(sink);
      }
      following_ = &step();
      --at_;
    }
    return sink;
  }

  std::uint32_t Convert(std::uint32_t sink) {
    std::uint32_t state = 0;
    if (step().endless) {
      SetFirstOfLoop(false);
      const std::uint32_t loop = Loop(WithoutOpenNegations(sink));
      SetFirstOfLoop(true);
      state = Times(loop, sink);
    } else if (step().repeated) {
      state = Times(sink, sink);
    } else {
      state = Single(sink, sink, TakeCondition(step()), IgnoreCondition(), IsOptional());
    }
    AddStops(state);
    return state;
  }

  // A greedy loop takes what it can: what follows it does not take the same.
  void YieldTo(std::uint32_t state, const ConditionPtr& take) {
    for (PatternTransition& transition : automaton_.states[state].transitions)
      transition.condition = And(transition.condition, Not(take));
  }

  std::uint32_t Times(std::uint32_t sink, std::uint32_t proceed) {
    SetFirstOfLoop(false);
    const ConditionPtr passes = InnerIgnoreCondition();
    const ConditionPtr take = BeforeEnd(TakeCondition(step()));
    if (step().greedy && step().from != step().to) {
      if (step().until != nullptr) before_greed_[sink] = Copy(sink);
      YieldTo(sink, take);
    }
    std::uint32_t state = sink;
    for (std::uint32_t i = step().from; i < step().to; ++i) {
      state = Single(state, proceed, take, passes, true);
      AddStopOfFollowing(state);
    }
    for (std::uint32_t i = 1; i < step().from; ++i) {
      state = Single(state, proceed, take, passes, false);
      AddStopOfFollowing(state);
    }
    SetFirstOfLoop(true);
    return Single(state, proceed, take, IgnoreCondition(), IsOptional());
  }

  // Waits for one event. `proceed`: where it leads without, if it is optional.
  std::uint32_t Single(std::uint32_t sink, std::uint32_t proceed, const ConditionPtr& take,
                       const ConditionPtr& passes, bool optional) {
    if (!step().group.empty()) return Group(sink, proceed, optional);
    const std::uint32_t state = AddOfStep(Kind::kNormal, true);
    const std::uint32_t taken = WithoutOpenNegations(sink);
    Take(state, taken, take);
    // The first step of a group gets this transition when the group is complete.
    if (optional && !IsHeadOfGroup()) {
      if (step().greedy && step().until != nullptr) {
        if (const auto before = before_greed_.find(proceed); before != before_greed_.end())
          Proceed(state, before->second, And(Always(), step().until));
        Proceed(state, proceed, And(Always(), Not(step().until)));
      } else {
        Proceed(state, proceed, Always());
      }
    }
    if (IsNever(passes)) return state;
    std::uint32_t ignoring = state;
    if (optional) {
      // Once an event was passed over, the step is not left out any more.
      ignoring = AddOfStep(Kind::kNormal, false);
      Take(ignoring, taken, take);
      Ignore(ignoring, ignoring, passes);
      AddStops(ignoring);
    }
    Ignore(state, ignoring, passes);
    return state;
  }

  // Takes any number of events.
  std::uint32_t Loop(std::uint32_t sink) {
    if (!step().group.empty()) return GroupLoop(sink);
    const ConditionPtr passes = InnerIgnoreCondition();
    const ConditionPtr take = BeforeEnd(TakeCondition(step()));
    const std::uint32_t state = AddOfStep(Kind::kNormal, true);
    if (step().greedy) {
      if (step().until != nullptr) {
        const std::uint32_t copy = Copy(sink);
        Proceed(state, copy, And(Always(), step().until));
        before_greed_[sink] = copy;
        Proceed(state, sink, And(Always(), Not(step().until)));
      } else {
        Proceed(state, sink, Always());
      }
      YieldTo(sink, TakeCondition(step()));
    } else {
      Proceed(state, sink, Always());
    }
    Take(state, state, take);
    AddStopOfFollowing(state);
    if (IsNever(passes)) return state;
    const std::uint32_t ignoring = AddOfStep(Kind::kNormal, false);
    Take(ignoring, state, take);
    Ignore(ignoring, ignoring, passes);
    Ignore(state, ignoring, passes);
    AddStopOfFollowing(ignoring);
    return state;
  }

  // The steps of the current step, a group, with the state that follows them.
  std::uint32_t Inside(std::uint32_t sink) {
    const PatternStep* const group = &step();
    const auto* const outer_steps = std::exchange(steps_, &group->group);
    const std::size_t outer_at = std::exchange(at_, group->group.size() - 1);
    const PatternStep* const outer_group = std::exchange(group_, group);
    const PatternStep* const outer_following = following_;
    const std::uint32_t state = Convert(Middle(sink));
    steps_ = outer_steps;
    at_ = outer_at;
    following_ = outer_following;
    group_ = outer_group;
    return state;
  }
  std::uint32_t Group(std::uint32_t sink, std::uint32_t proceed, bool optional) {
    const ConditionPtr always = Always();
    const std::uint32_t state = Inside(sink);
    if (optional) Proceed(state, proceed, always);
    return state;
  }
  std::uint32_t GroupLoop(std::uint32_t sink) {
    const ConditionPtr always = Always();
    const std::uint32_t again = AddOfStep(Kind::kNormal, true);
    const std::uint32_t state = Inside(again);
    Proceed(state, sink, always);
    Proceed(again, state, always);
    return state;
  }

  const PatternDefinition& pattern_;
  PatternAutomaton automaton_;
  // The steps that are being built, those of a group or of the pattern.
  const std::vector<PatternStep>* steps_ = nullptr;
  std::size_t at_ = 0;
  const PatternStep* group_ = nullptr;
  const PatternStep* following_ = nullptr;
  std::map<const PatternStep*, bool> first_of_loop_;
  std::map<std::uint32_t, std::uint32_t> stops_;
  // By state: what it was before a greedy step made it yield.
  std::map<std::uint32_t, std::uint32_t> before_greed_;
};

inline std::string StepsProblem(const std::vector<PatternStep>& steps, Ticks within,
                                std::vector<std::string>& names) {
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const PatternStep& step = steps[i];
    const PatternStep* const before = i > 0 ? &steps[i - 1] : nullptr;
    const std::string of = step.group.empty() ? "step '" + step.name + "'" : "a group of steps";
    if (step.group.empty()) {
      if (step.name.empty()) return "a step has no name";
      if (std::find(names.begin(), names.end(), step.name) != names.end())
        return "two steps are named '" + step.name + "'";
      names.push_back(step.name);
    } else if (std::string problem = StepsProblem(step.group, within, names); !problem.empty()) {
      return problem;
    }
    if (IsNegation(step.contiguity)) {
      if (before == nullptr)
        return of + " is negated: a pattern and a group begin with a step that comes";
      if (step.optional || step.repeated)
        return of + " is negated: it can be neither optional nor repeated";
      if (before->optional)
        return of +
               " is negated: it cannot follow an optional step; write two patterns, one with "
               "that step and one without";
      if (step.condition == nullptr) return of + " is negated and has no Where: it can never match";
    }
    if (before != nullptr && step.optional && before->greedy)
      return of + " is optional: it cannot follow a greedy step";
    if (step.repeated && (step.from == 0 || step.to == 0))
      return of + " is to come 0 times: write Optional(), or leave it out";
    if (step.repeated && step.to < step.from)
      return of + " is to come at least " + std::to_string(step.from) + " and at most " +
             std::to_string(step.to) + " times: it can never match";
    if (step.greedy && !step.repeated) return of + " is greedy: only a repeated step can be";
    if (step.greedy && !step.group.empty()) return of + " cannot be greedy";
    if (step.greedy && step.inner == Contiguity::kRelaxedAny)
      return of + " cannot be both greedy and of all combinations";
    if (step.inner != Contiguity::kRelaxed && !step.repeated)
      return of + " is Consecutive or of all combinations: only a repeated step can be";
    if (step.until != nullptr && !step.endless)
      return of + " has an Until: only a step that comes any number of times can have one";
    if (step.within_previous < 0) return of + " has a WithinPrevious that is not positive";
    if (within > 0 && step.within_previous > within)
      return of + " has a WithinPrevious that is longer than the pattern's Within";
  }
  return "";
}

inline std::string PatternProblem(const PatternDefinition& pattern) {
  if (pattern.steps.empty()) return "the pattern has no steps";
  if (pattern.within < 0) return "Within is not positive: it can never match";
  std::vector<std::string> names;
  if (std::string problem = StepsProblem(pattern.steps, pattern.within, names); !problem.empty())
    return problem;
  const PatternStep& last = pattern.steps.back();
  if (last.contiguity == Contiguity::kNotFollowedBy && pattern.within == 0 &&
      last.within_previous == 0) {
    return "it ends with NotFollowedBy('" + last.name + "') and has no Within: it never ends";
  }
  const bool named = pattern.skip == SkipTo::kFirst || pattern.skip == SkipTo::kLast;
  if (named && std::find(names.begin(), names.end(), pattern.skip_step) == names.end())
    return "it skips to a step '" + pattern.skip_step + "' that it does not have";
  return "";
}

inline PatternAutomaton CompilePattern(const PatternDefinition& pattern) {
  return PatternCompiler(pattern).Compile();
}

inline std::uint64_t PatternAutomaton::Fingerprint() const {
  std::string text;
  for (const std::string& name : names) text += name + "\n";
  for (const PatternState& state : states) {
    text += std::to_string(state.name) + ":" + std::to_string(static_cast<int>(state.kind));
    for (const PatternTransition& transition : state.transitions) {
      text += " " + std::to_string(static_cast<int>(transition.action)) + ">" +
              std::to_string(transition.target);
    }
    text += "\n";
  }
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace weir::internal
