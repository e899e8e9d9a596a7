#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "weir/time.h"

namespace weir::internal {

// How a step of a pattern follows the one before it, or an event of a loop the one before it.
enum class Contiguity : std::uint8_t {
  kStrict,      // at once
  kRelaxed,     // events that do not fit lie between
  kRelaxedAny,  // any events lie between
  kNotNext,
  kNotFollowedBy,
};

inline bool IsNegation(Contiguity contiguity) {
  return contiguity == Contiguity::kNotNext || contiguity == Contiguity::kNotFollowedBy;
}

// What an event must be: predicates, joined. Null: anything.
struct Condition;
using ConditionPtr = std::shared_ptr<const Condition>;
struct Condition {
  enum class Kind : std::uint8_t { kPredicate, kNot, kAnd, kOr };
  Kind kind = Kind::kPredicate;
  // A Predicate<T>, of kPredicate.
  std::shared_ptr<const void> predicate;
  ConditionPtr left;
  ConditionPtr right;
};

// A step of a pattern as it was declared.
struct PatternStep {
  std::string name;
  Contiguity contiguity = Contiguity::kStrict;
  ConditionPtr condition;
  bool optional = false;
  // Taken more than once: `from` to `to` times, or from `from` times on if `endless`.
  bool repeated = false;
  bool endless = false;
  std::uint32_t from = 1;
  std::uint32_t to = 1;
  Contiguity inner = Contiguity::kRelaxed;
  bool greedy = false;
  ConditionPtr until;
  // Since the event before, in ticks; 0: no limit.
  Ticks within_previous = 0;
  // Not empty: the step is these.
  std::vector<PatternStep> group;
};

// Where the search goes on once a match was found (semantics rule 40).
enum class SkipTo : std::uint8_t { kNoSkip, kNext, kPastLastEvent, kFirst, kLast };

struct PatternDefinition {
  std::vector<PatternStep> steps;
  // Of a whole match, in ticks; 0: no limit.
  Ticks within = 0;
  SkipTo skip = SkipTo::kNoSkip;
  // Of kFirst and kLast.
  std::string skip_step;
};

}  // namespace weir::internal
