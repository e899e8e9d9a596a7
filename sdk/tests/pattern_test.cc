#include "weir/pattern.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "simdjson.h"
#include "weir/connectors.h"
#include "weir/job.h"
#include "weir/pattern_stream.h"
#include "weir/testing.h"

namespace weir {

struct PatternEvent {
  std::string key;
  std::string text;
  std::int64_t value = 0;
  friend bool operator==(const PatternEvent&, const PatternEvent&) = default;
};

namespace {

using simdjson::dom::element;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using testing::OperatorHarness;
using testing::Timed;

constexpr SideOutput<std::string> kTimedOut{"timed out"};
constexpr SideOutput<PatternEvent> kLate{"late"};

// key|step=e1,e2|...
std::string Text(const std::string& key, const Match<PatternEvent>& match,
                 const std::vector<std::string>& steps) {
  std::string text = key;
  for (const std::string& step : steps) {
    if (!match.Has(step)) continue;
    text += "|" + step + "=";
    const char* comma = "";
    match.ForEach(step, [&](const PatternEvent& event) {
      text += comma + event.text;
      comma = ",";
    });
  }
  return text;
}

struct Defined {
  JobDefinition job;
  std::vector<std::string> errors;
};

// A job with the one pattern; its late and timed-out outputs are read if `late`, `timed_out`.
Defined Define(const Pattern<PatternEvent>& pattern, const std::vector<std::string>& steps,
               bool late = false, bool timed_out = false, bool by_value = false,
               std::optional<std::pair<std::size_t, AtPartialMatchLimit>> limit = {}) {
  Defined defined;
  const DefineInput input;
  internal::GraphBuilder graph(input, defined.job);
  auto matched = Job(graph)
                     .From<PatternEvent>("in", Files{.path = "x"})
                     .KeyBy(&PatternEvent::key)
                     .Match(pattern);
  if (late) matched = matched.SideOutputLate(kLate);
  if (by_value) {
    matched = matched.OrderBy(
        [](const PatternEvent& a, const PatternEvent& b) { return a.value < b.value; });
  }
  if (limit.has_value()) matched = matched.LimitPartialMatches(limit->first, limit->second);
  const auto text = [steps](const std::string& key, const Match<PatternEvent>& match) {
    return Text(key, match, steps);
  };
  auto found = matched.Select("matches", text, kTimedOut, text);
  found.To("out", Print{});
  if (timed_out) found.Side(kTimedOut).To("timed out", Print{});
  if (late) found.Side(kLate).To("late", Print{});
  for (const auto& error : defined.job.errors) defined.errors.push_back(error);
  return defined;
}

bool StartsWith(const std::string& text, const std::string& prefix) {
  return text.compare(0, prefix.size(), prefix) == 0;
}

// ---- The recorded cases.

std::string TextOf(element object, const char* key) {
  return std::string(object[key].get_string().value());
}
std::int64_t NumberOf(element object, const char* key) { return object[key].get_int64().value(); }
bool Flag(element object, const char* key) {
  bool flag = false;
  return object[key].get(flag) == simdjson::SUCCESS && flag;
}

// The condition of a step: a letter, a least value, and above all that the step has taken.
struct RecordedCondition {
  std::string step;
  std::string letter;
  std::optional<std::int64_t> min_value;
  bool rising = false;
  bool operator()(const PatternEvent& event, const Match<PatternEvent>& match) const {
    if (!StartsWith(event.text, letter)) return false;
    if (min_value.has_value() && event.value < *min_value) return false;
    bool above = true;
    if (rising) {
      match.ForEach(step,
                    [&](const PatternEvent& taken) { above = above && event.value > taken.value; });
    }
    return above;
  }
};
Pattern<PatternEvent> Where(const Pattern<PatternEvent>& pattern, const std::string& step,
                            element where) {
  RecordedCondition condition{step, "", {}, Flag(where, "rising")};
  if (element letter; where["letter"].get(letter) == simdjson::SUCCESS)
    condition.letter = TextOf(where, "letter");
  std::int64_t least = 0;
  if (where["min_value"].get(least) == simdjson::SUCCESS) condition.min_value = least;
  if (condition.rising) return pattern.Where(condition);
  return pattern.Where([condition](const PatternEvent& event) {
    return condition(event, Match<PatternEvent>());
  });
}

Pattern<PatternEvent> RecordedPattern(element op, std::vector<std::string>& steps) {
  std::optional<Pattern<PatternEvent>> pattern;
  const simdjson::dom::array declared = op["pattern"].get_array().value();
  for (const element step : declared) {
    const std::string name = TextOf(step, "step");
    const std::string how = TextOf(step, "how");
    steps.push_back(name);
    if (how == "begin") pattern = Pattern<PatternEvent>::Begin(name);
    if (how == "next") pattern = pattern->Next(name);
    if (how == "followed_by") pattern = pattern->FollowedBy(name);
    if (how == "followed_by_any") pattern = pattern->FollowedByAny(name);
    if (how == "not_next") pattern = pattern->NotNext(name);
    if (how == "not_followed_by") pattern = pattern->NotFollowedBy(name);
    if (element where; step["where"].get(where) == simdjson::SUCCESS)
      pattern = Where(*pattern, name, where);
    if (element loop; step["loop"].get(loop) == simdjson::SUCCESS) {
      std::int64_t from = 1;
      std::int64_t to = 0;
      if (loop["from"].get(from) != simdjson::SUCCESS) from = 1;
      if (loop["to"].get(to) == simdjson::SUCCESS) {
        pattern = pattern->Times(static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(to));
      } else {
        pattern = pattern->TimesOrMore(static_cast<std::uint32_t>(from));
      }
      if (Flag(loop, "consecutive")) pattern = pattern->Consecutive();
      if (Flag(loop, "all_combinations")) pattern = pattern->AllowCombinations();
      if (Flag(loop, "greedy")) pattern = pattern->Greedy();
      if (element until; loop["until"].get(until) == simdjson::SUCCESS) {
        const std::string letter =
            until.is_string() ? std::string(until.get_string().value()) : TextOf(until, "letter");
        pattern = pattern->Until(
            [letter](const PatternEvent& event) { return StartsWith(event.text, letter); });
      }
    }
    if (Flag(step, "optional")) pattern = pattern->Optional();
    std::int64_t limit = 0;
    if (step["within_previous"].get(limit) == simdjson::SUCCESS)
      pattern = pattern->WithinPrevious(Duration(limit));
  }
  std::int64_t within = 0;
  if (op["within"].get(within) == simdjson::SUCCESS) pattern = pattern->Within(Duration(within));
  const element skip = op["skip"].value();
  const std::string to = TextOf(skip, "type");
  if (to == "to_next") pattern = pattern->After(AfterMatch::SkipToNext());
  if (to == "past_last_event") pattern = pattern->After(AfterMatch::SkipPastLastEvent());
  if (to == "to_first") pattern = pattern->After(AfterMatch::SkipToFirst(TextOf(skip, "step")));
  if (to == "to_last") pattern = pattern->After(AfterMatch::SkipToLast(TextOf(skip, "step")));
  return *pattern;
}

Timed<PatternEvent> EventOf(element record) {
  return {{TextOf(record, "key"), TextOf(record, "text"), NumberOf(record, "value")},
          NumberOf(record, "ts")};
}

std::string Line(const std::string& kind, const std::string& text, Ticks time) {
  return kind + " " + text + " @" + std::to_string(time);
}

void Replay(element test, const testing::HarnessMode& mode) {
  const element op = test["operator"].value();
  std::vector<std::string> steps;
  const Pattern<PatternEvent> pattern = RecordedPattern(op, steps);
  const bool late = Flag(op, "late_output");
  const bool timed_out = Flag(op, "timed_out_output");
  element comparator;
  const bool by_value = op["comparator"].get(comparator) == simdjson::SUCCESS;
  const Defined defined = Define(pattern, steps, late, timed_out, by_value);
  if (Flag(op, "refused")) {
    EXPECT_FALSE(defined.errors.empty());
    return;
  }
  ASSERT_THAT(defined.errors, IsEmpty());
  testing::HarnessOptions options;
  options.mode = mode;
  OperatorHarness harness(defined.job.nodes[1].make_operator, options);
  harness.AddOutput<std::string>();
  std::size_t port = 1;
  if (timed_out) harness.AddOutput<std::string>();
  if (late) harness.AddOutput<PatternEvent>();
  ASSERT_TRUE(harness.Open().ok());
  const auto inputs = test["input"].get_array().value();
  const auto outputs = test["output"].get_array().value();
  std::uint64_t dropped = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const element step = inputs.at(i).value();
    absl::Status status;
    std::int64_t watermark = 0;
    if (element record; step["record"].get(record) == simdjson::SUCCESS) {
      status = harness.Process<PatternEvent>({EventOf(record)});
    } else if (step["watermark"].get(watermark) == simdjson::SUCCESS) {
      status = harness.Watermark(watermark);
    } else {
      status = harness.Finish();
    }
    ASSERT_TRUE(status.ok()) << status;
    std::vector<std::string> expected;
    std::uint64_t expected_drops = 0;
    const simdjson::dom::array recorded = outputs.at(i).get_array().value();
    for (const element out : recorded) {
      element of;
      std::int64_t count = 0;
      if (out["value"].get(of) == simdjson::SUCCESS) {
        expected.push_back(Line("match", TextOf(out, "value"), NumberOf(out, "ts")));
      } else if (out["timed_out"].get(of) == simdjson::SUCCESS) {
        expected.push_back(Line("timed out", TextOf(of, "value"), NumberOf(of, "ts")));
      } else if (out["late"].get(of) == simdjson::SUCCESS) {
        expected.push_back(Line("late", TextOf(of, "text"), NumberOf(of, "ts")));
      } else if (out["dropped"].get(count) == simdjson::SUCCESS) {
        expected_drops = static_cast<std::uint64_t>(count);
      } else {
        ASSERT_EQ(out["watermark"].get(of), simdjson::SUCCESS);
      }
    }
    std::vector<std::string> got;
    for (const auto& out : harness.Take<std::string>())
      got.push_back(Line("match", out.value, out.timestamp));
    port = 1;
    if (timed_out) {
      for (const auto& out : harness.Take<std::string>(port++))
        got.push_back(Line("timed out", out.value, out.timestamp));
    }
    if (late) {
      for (const auto& out : harness.Take<PatternEvent>(port))
        got.push_back(Line("late", out.value.text, out.timestamp));
    }
    EXPECT_THAT(got, ::testing::UnorderedElementsAreArray(expected)) << "step " << i;
    EXPECT_EQ(harness.late_records_dropped() - std::exchange(dropped, harness.late_records_dropped()),
              expected_drops);
    if (::testing::Test::HasFailure()) return;
  }
}

// Rules 36 to 40.
TEST(PatternConformanceTest, GivesWhatTheRecordedCasesGive) {
  std::ifstream file(WEIR_SDK_TESTDATA "/patterns.jsonl");
  simdjson::dom::parser parser;
  std::string line;
  int cases = 0;
  while (std::getline(file, line)) {
    const element test = parser.parse(line).value();
    ++cases;
    for (const testing::HarnessMode& mode : testing::AllHarnessModes()) {
      SCOPED_TRACE(TextOf(test, "name") + ", " + mode.name);
      Replay(test, mode);
      ASSERT_FALSE(HasFailure());
    }
  }
  EXPECT_EQ(cases, 328);
}

}  // namespace
}  // namespace weir
