#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/conformance/kinds.h"
#include "tests/conformance/operator_subject.h"
#include "weir/pattern.h"
#include "weir/pattern_stream.h"

namespace weir::conformance {
namespace {

using CasePattern = Pattern<CaseRecord>;
using CaseMatch = Match<CaseRecord>;

constexpr SideOutput<std::string> kTimedOut{"timed out"};
constexpr SideOutput<CaseRecord> kLate{"late"};

// key|step=e1,e2|...
std::string Text(const std::string& key, const CaseMatch& match,
                 const std::vector<std::string>& steps) {
  std::string text = key;
  for (const std::string& step : steps) {
    if (!match.Has(step)) continue;
    text += "|" + step + "=";
    const char* comma = "";
    match.ForEach(step, [&](const CaseRecord& event) {
      text += comma + event.text;
      comma = ",";
    });
  }
  return text;
}

// The condition of a step: a letter, a least value, and above all that the step has taken.
struct StepCondition {
  std::string step;
  std::string letter;
  std::optional<std::int64_t> min_value;
  bool rising = false;

  bool operator()(const CaseRecord& event, const CaseMatch& match) const {
    if (!event.text.starts_with(letter)) return false;
    if (min_value.has_value() && event.value < *min_value) return false;
    bool above = true;
    if (rising) {
      match.ForEach(step,
                    [&](const CaseRecord& taken) { above = above && event.value > taken.value; });
    }
    return above;
  }
};

CasePattern Where(const CasePattern& pattern, const std::string& step, const CaseValue& where) {
  const StepCondition condition{step, where.TextOr("letter", ""), where.MaybeNumber("min_value"),
                                where.Flag("rising")};
  if (condition.rising) return pattern.Where(condition);
  return pattern.Where(
      [condition](const CaseRecord& event) { return condition(event, CaseMatch()); });
}

CasePattern Loop(CasePattern pattern, const CaseValue& loop) {
  const auto from = static_cast<std::uint32_t>(loop.NumberOr("from", 1));
  if (const auto to = loop.MaybeNumber("to"); to.has_value()) {
    pattern = pattern.Times(from, static_cast<std::uint32_t>(*to));
  } else {
    pattern = pattern.TimesOrMore(from);
  }
  if (loop.Flag("consecutive")) pattern = pattern.Consecutive();
  if (loop.Flag("all_combinations")) pattern = pattern.AllowCombinations();
  if (loop.Flag("greedy")) pattern = pattern.Greedy();
  if (loop.Has("until")) {
    const CaseValue& until = loop.Object("until");
    const StepCondition condition{"", until.TextOr("letter", ""), until.MaybeNumber("min_value")};
    pattern = pattern.Until(
        [condition](const CaseRecord& event) { return condition(event, CaseMatch()); });
  }
  return pattern;
}

// Nothing if `how` is not known.
std::optional<CasePattern> Append(const std::optional<CasePattern>& before, const std::string& how,
                                  const std::string& name) {
  if (!before.has_value()) {
    return how == "begin" ? std::optional(CasePattern::Begin(name)) : std::nullopt;
  }
  if (how == "next") return before->Next(name);
  if (how == "followed_by") return before->FollowedBy(name);
  if (how == "followed_by_any") return before->FollowedByAny(name);
  if (how == "not_next") return before->NotNext(name);
  if (how == "not_followed_by") return before->NotFollowedBy(name);
  return std::nullopt;
}

CasePattern WithSkip(const CasePattern& pattern, const CaseValue& skip) {
  const std::string type = skip.Text("type");
  if (type == "to_next") return pattern.After(AfterMatch::SkipToNext());
  if (type == "past_last_event") return pattern.After(AfterMatch::SkipPastLastEvent());
  if (type == "to_first") return pattern.After(AfterMatch::SkipToFirst(skip.Text("step")));
  if (type == "to_last") return pattern.After(AfterMatch::SkipToLast(skip.Text("step")));
  if (type != "no_skip") skip.Problem("the skip '" + type + "' is not known");
  return pattern;
}

std::optional<CasePattern> PatternOf(const CaseValue& op, std::vector<std::string>& steps) {
  std::optional<CasePattern> pattern;
  for (const CaseValue& step : op.List("pattern")) {
    const std::string name = step.Text("step");
    const std::string how = step.Text("how");
    steps.push_back(name);
    pattern = Append(pattern, how, name);
    if (!pattern.has_value()) {
      op.Problem("a step that is '" + how + "' is not known at its place");
      return std::nullopt;
    }
    if (step.Has("where")) pattern = Where(*pattern, name, step.Object("where"));
    if (step.Has("loop")) pattern = Loop(*pattern, step.Object("loop"));
    if (step.Flag("optional")) pattern = pattern->Optional();
    if (const auto limit = step.MaybeNumber("within_previous"); limit.has_value())
      pattern = pattern->WithinPrevious(Duration(*limit));
  }
  if (!pattern.has_value()) {
    op.Problem("the pattern has no steps");
    return std::nullopt;
  }
  if (const auto within = op.MaybeNumber("within"); within.has_value())
    pattern = pattern->Within(Duration(*within));
  return op.Has("skip") ? WithSkip(*pattern, op.Object("skip")) : *pattern;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Subject>> MakePattern(const Case& test,
                                                     const testing::HarnessOptions& options) {
  const CaseValue& op = test.op();
  std::vector<std::string> steps;
  const std::optional<CasePattern> pattern = PatternOf(op, steps);
  if (!pattern.has_value()) return absl::InvalidArgumentError("the pattern is not known");
  const bool late = op.Flag("late_output");
  const bool timed_out = op.Flag("timed_out_output");
  OperatorUnderTest made;
  if (timed_out) made.sides.push_back({"timed_out", false});
  if (late) made.sides.push_back({"late"});
  DefineJob(made, [&](Job& job) {
    auto matched =
        job.From<CaseRecord>("in", Files{.path = "x"}).KeyBy(&CaseRecord::key).Match(*pattern);
    if (late) matched = matched.SideOutputLate(kLate);
    if (op.Has("comparator")) {
      if (op.Text("comparator") != "value") op.Problem("only 'value' is known as a comparator");
      matched = matched.OrderBy(
          [](const CaseRecord& a, const CaseRecord& b) { return a.value < b.value; });
    }
    const auto text = [steps](const std::string& key, const CaseMatch& match) {
      return Text(key, match, steps);
    };
    const auto found = matched.Select("matches", text, kTimedOut, text);
    found.To("out", Print{});
    if (timed_out) found.Side(kTimedOut).To("timed out", Print{});
    if (late) found.Side(kLate).To("late", Print{});
  });
  return MakeOperatorSubject(std::move(made), options);
}

}  // namespace weir::conformance
